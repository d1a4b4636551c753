//! Opening: from the files in the folder to a log that can be appended to.
//!
//! It reads the list of segments, their seals, and the active segment; nothing else, unless there
//! is an inconsistency. Nothing that was acknowledged is dropped silently: where the log ends
//! before its watermark, the rest is reported, the old active segment is sealed as it is, and a new
//! one begins behind the watermark, which remembers the gap. Record numbers are never used twice.
//!
//! The steps, one file each: `inventory` (leftovers, segments, seals), `newest` (the newest segment
//! that can be opened), `ahead` (its records are folded while it is verified), `base` (the newest
//! checkpoint that can be read), `active` (where records go from now on).

mod active;
mod ahead;
mod base;
mod inventory;
mod newest;
mod recovery;

use std::sync::Arc;

pub use self::ahead::FoldAhead;
use self::newest::NewestSegment;
use self::recovery::{Recovery, is_possible};
use super::append::Log;
use super::disk_gauge::DiskGauge;
use super::error::{LogError, LogProblem};
use super::format::FolderFormat;
use super::frame::FramePacker;
use super::options::Options;
use super::reader::Reader;
use super::segment_set::SegmentSet;
use super::segment_slot::{SegmentGuard, SegmentSlot};
use super::segment_summary::DroppedRange;
use super::watermark::{Mark, Watermark};
use super::{ballast, failpoint, folder, unverified_tail};
use crate::model::{Seq, WallMs};

/// An opened log.
#[derive(Debug)]
pub struct Recovered {
    pub log: Log,
    pub reader: Reader,
    /// The state before `first_to_fold`; `None` when there is none, then everything is folded.
    pub checkpoint: Option<Vec<u8>>,
    pub first_to_fold: Seq,
    /// The inconsistencies that were found.
    pub problems: Vec<LogProblem>,
}

impl Log {
    /// Opens the log in a folder, which is created when it is missing.
    ///
    /// # Errors
    /// When another process has it ([`LogError::InUse`]), or the operating system refuses. Damage
    /// is no error: it is listed in [`Recovered::problems`].
    pub fn open(options: Options, wall_ms: WallMs) -> Result<Recovered, LogError> {
        open_or_fold(&options, wall_ms, &mut None)
    }

    /// The same, and folds the records of the newest segment while they are being verified.
    ///
    /// # Errors
    /// As there.
    pub fn open_folding(
        options: Options,
        wall_ms: WallMs,
        ahead: &mut dyn FoldAhead,
    ) -> Result<Recovered, LogError> {
        open_or_fold(&options, wall_ms, &mut Some(ahead))
    }
}

fn open_or_fold(
    options: &Options,
    wall_ms: WallMs,
    ahead: &mut Option<&mut dyn FoldAhead>,
) -> Result<Recovered, LogError> {
    // Before anything else: what a later version wrote is not changed.
    let format = FolderFormat::read(&options.dir)?;

    folder::create(&options.dir)?;
    ballast::release_to_open(&options.dir);
    match open_once(options, &format, wall_ms, ahead) {
        // The ballast released above was not enough: once more without any.
        Err(error) if error.is_full() && ballast::release(&options.dir) => {
            open_once(options, &format, wall_ms, ahead)
        }
        opened => opened,
    }
}

fn open_once(
    options: &Options,
    format: &FolderFormat,
    wall_ms: WallMs,
    ahead: &mut Option<&mut dyn FoldAhead>,
) -> Result<Recovered, LogError> {
    let segments = Arc::new(lock_and_measure(options, format)?);
    let mut recovery = Recovery::new(segments, wall_ms);

    // Complete what the last process left half done, and find out what there is.
    let present = recovery.take_inventory()?;
    failpoint::reached("open.tidied");

    let (mut watermark, mark) = Watermark::open(&options.dir, options.skip_sync)?;
    let mark = mark.filter(|mark| is_possible(mark.seq));
    let mut newest = recovery.open_newest(present, mark, ahead)?;
    let folded = newest.as_ref().filter(|newest| newest.folded.is_some());
    let folded = folded.map(|newest| newest.segment.header.first);
    failpoint::reached("open.read");

    // The newest is added at the end: it may turn out not to be the active one.
    recovery.add_older_segments();
    report_unverified_tail(&mut recovery, newest.as_ref(), mark)?;
    let base = recovery.find_base(newest.as_mut())?;
    // Before a segment of this format is begun: earlier versions are to stay away from it.
    format.write(&options.dir)?;

    let active = recovery.choose_active(newest, base.as_ref(), mark, options)?;

    // From here on the folder states what was decided.
    if mark != Some(active.mark) {
        watermark.set(active.mark)?;
    }
    watermark.sync()?;
    failpoint::reached("open.marked");

    let Recovery { segments, problems, .. } = recovery;
    let slot = SegmentSlot::new(active.summary);
    segments.add(slot.clone());
    report_damage(&segments, &problems);
    segments.publish(active.next - 1);

    let reader = Reader { segments: segments.clone() };
    let fold_from = base.as_ref().map_or(reader.first(), |base| base.fold_from);
    let checkpoint = base.map(|base| base.checkpoint).filter(|bytes| !bytes.is_empty());
    segments.checkpoint_complete(fold_from, checkpoint.as_ref().map_or(0, |c| c.len() as u64));

    let log = Log {
        active: Some(SegmentGuard::of_active(&slot, active.segment)),
        next: active.next,
        head: active.chain,
        packer: FramePacker::default(),
        watermark,
        segment_bytes: segments.gauge.space().segment,
        segment_age_ms: options.segment_age_ms,
        pending: None,
        ahead: None,
        checkpoint_step: options.checkpoint_step,
        needs_checkpoint: fold_from != slot.first,
        has_gaps: slot.summary().gap_from.is_some() || !problems.is_empty(),
        poisoned: false,
        postponed_roll: None,
        slot,
        segments,
    };

    reader.measure_disk_space();
    // With another active segment, records are missing behind what was folded.
    if folded == Some(log.slot.first)
        && let Some(ahead) = ahead
    {
        ahead.confirm();
    }

    Ok(Recovered { log, reader, checkpoint, first_to_fold: fold_from, problems })
}

fn lock_and_measure(options: &Options, format: &FolderFormat) -> Result<SegmentSet, LogError> {
    let lock = folder::lock(&options.dir)?;
    let gauge = DiskGauge::new(&options.dir, options.budget, options.segment_bytes)?;
    let dropped = folder::read_checked::<Vec<DroppedRange>>(&options.dir.join("dropped"));
    let mut dropped = dropped.unwrap_or_default();
    dropped.retain(|range| is_possible(range.last));
    Ok(SegmentSet::new(options, lock, dropped, format.clone(), gauge))
}

/// Reports that the end of the log is unverified, when its watermark is missing now or was at an
/// earlier start.
fn report_unverified_tail(
    recovery: &mut Recovery,
    newest: Option<&NewestSegment>,
    mark: Option<Mark>,
) -> Result<(), LogError> {
    // The first mark is written before the first record. So without a mark, an empty first segment
    // is a first start that was interrupted.
    let unverified = newest.filter(|newest| mark.is_none() && !newest.is_first_and_empty());
    if let Some(newest) = unverified {
        unverified_tail::record(&recovery.segments, newest.scan.last)?;
    }

    let first = newest.map(|newest| newest.segment.header.first);
    match unverified_tail::problem(&recovery.segments, first) {
        Some(problem) => recovery.problems.push(problem),
        None => unverified_tail::forget(&recovery.segments)?,
    }
    Ok(())
}

/// Lets `status` report the problems, and the losses of earlier times: records that no segment
/// holds though none was dropped there. These are reported as long as what lies around them is
/// kept.
fn report_damage(segments: &SegmentSet, problems: &[LogProblem]) {
    problems.iter().for_each(|problem| segments.damage.add(problem));

    for gap in earlier_gaps(segments) {
        let is_reported = problems.iter().any(|p| (p.first, p.last) == (gap.first, gap.last));
        if !is_reported {
            tracing::warn!(problem = %gap, "records of the log are missing");
            segments.damage.add(&gap);
        }
    }
}

fn earlier_gaps(segments: &SegmentSet) -> Vec<LogProblem> {
    let gap = |pair: &[Arc<SegmentSlot>]| {
        let (first, behind) = (pair[0].last() + 1, pair[1].summary());
        let last = behind.first.checked_sub(1).filter(|last| first <= *last)?;
        let what = match behind.gap_from {
            Some(from) if from <= first => {
                "they were lost: the log came back without them when it was opened"
            }
            _ if segments.is_known_gap(first, last) => return None,
            _ => "they are missing: no segment holds them",
        };
        Some(LogProblem { segment: behind.first, first, last, what: what.to_owned() })
    };
    segments.all().windows(2).filter_map(gap).collect()
}
