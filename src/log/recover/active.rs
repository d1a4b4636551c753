//! The active segment: where records go from now on.
//!
//! It is the newest segment, or, when records are missing behind it, a new one that begins behind
//! the gap.

use super::base::BaseCheckpoint;
use super::newest::NewestSegment;
use super::recovery::Recovery;
use crate::log::error::LogError;
use crate::log::frame::ChainHead;
use crate::log::header::NewSegment;
use crate::log::options::Options;
use crate::log::scan::FrameRemains;
use crate::log::segment::Segment;
use crate::log::segment_slot::SegmentSlot;
use crate::log::segment_summary::SegmentSummary;
use crate::log::watermark::Mark;
use crate::log::{checksums, folder};
use crate::model::Seq;

pub(super) struct ActiveSegment {
    pub segment: Segment,
    pub summary: SegmentSummary,
    /// The number of the next record.
    pub next: Seq,
    pub mark: Mark,
    /// The chain head that the next frame follows.
    pub chain: ChainHead,
}

impl ActiveSegment {
    fn new(segment: Segment, summary: SegmentSummary) -> Self {
        let mark = Mark { seq: summary.last, head: summary.last_head() };
        let (next, chain) = (summary.last + 1, summary.head);
        Self { segment, summary, next, mark, chain }
    }
}

impl Recovery {
    pub fn choose_active(
        &mut self,
        newest: Option<NewestSegment>,
        base: Option<&BaseCheckpoint>,
        mark: Option<Mark>,
        options: &Options,
    ) -> Result<ActiveSegment, LogError> {
        // The last record that the log is known to have had.
        let dropped = self.segments.dropped().iter().map(|d| d.last).max().unwrap_or(0);
        let older = self.segments.all().iter().map(|slot| slot.last()).max().unwrap_or(0);
        let reach = mark.map_or(0, |m| m.seq).max(dropped).max(older);

        let Some(newest) = newest else {
            return self.begin_without_segments(mark, reach, options);
        };
        self.problems.extend(newest.scan.problems.iter().cloned());
        self.compare_with_mark(&newest, mark);
        if newest.scan.last < reach {
            // What cannot be read may reach further than the mark: it is not synced each time.
            let remains = newest.scan.remains.as_ref().map_or(0, |remains| remains.upto);
            let what = "they were acknowledged and are missing".to_owned();
            return self.begin_behind_gap(&newest, base, (reach.max(remains), what), options);
        }
        if let Some(FrameRemains { upto, what }) = newest.scan.remains.clone()
            && !newest.segment.remove_unfinished(newest.scan.last + 1)?
        {
            // Nobody knows whether they were acknowledged.
            return self.begin_behind_gap(&newest, base, (upto, what), options);
        }
        self.continue_newest(newest, mark, options)
    }

    /// Appends to the newest segment.
    fn continue_newest(
        &mut self,
        newest: NewestSegment,
        mark: Option<Mark>,
        options: &Options,
    ) -> Result<ActiveSegment, LogError> {
        let NewestSegment { segment, scan, .. } = newest;
        // What a killed process left in the system's cache counts from now on, so it has to be on
        // the disk.
        segment.sync()?;

        let first = segment.header.first;
        folder::remove(&folder::seal(&options.dir, first))?;
        folder::remove(&folder::checksums(&options.dir, first))?;
        if mark.is_some() && self.problems.is_empty() {
            // It has no seal that a child could compare it with; here all of it was found, as far
            // as the watermark.
            checksums::remove_as_found(&folder::segment(&options.dir, first));
        }

        let summary = scan.summary(&segment, None);
        Ok(ActiveSegment::new(segment, summary))
    }

    /// Begins the first segment, or one behind everything when no segment can be read.
    fn begin_without_segments(
        &mut self,
        mark: Option<Mark>,
        reach: Seq,
        options: &Options,
    ) -> Result<ActiveSegment, LogError> {
        let first = reach + 1;
        if reach > 0 {
            self.problem(first, 1, reach, "they are missing: there is no segment that can be read");
        }

        let new = NewSegment {
            format: options.segment_format,
            first,
            prev: mark.map_or([0; 32], |m| m.head),
            fold_from: first,
            gap_from: (reach > 0).then_some(1),
            created_at: self.wall_ms,
            checkpoint: &[],
            is_gradual: false,
        };
        begin(&new, options)
    }

    /// Seals the newest segment as it is, and begins one behind the records that are missing, up to
    /// this one for this reason.
    fn begin_behind_gap(
        &mut self,
        newest: &NewestSegment,
        base: Option<&BaseCheckpoint>,
        (reach, why): (Seq, String),
        options: &Options,
    ) -> Result<ActiveSegment, LogError> {
        let NewestSegment { segment, scan, .. } = newest;
        let (first, gap_from) = (reach + 1, scan.last + 1);
        let what =
            format!("{why}: the log ends with record {}, and continues with {first}", scan.last);
        self.problem(segment.header.first, gap_from, reach, what);
        segment.sync()?;

        // There is no checkpoint of the state here yet, so the new segment repeats the one that is
        // folded from.
        let oldest = self.segments.oldest().map_or(segment.header.first, |slot| slot.first);
        let (fold_from, checkpoint) = match base {
            Some(base) => (base.fold_from, &base.checkpoint[..]),
            None => (oldest, &[][..]),
        };
        let gap_from = Some(gap_from);
        let (prev, created_at) = (scan.head, self.wall_ms);
        let format = options.segment_format;
        let new = NewSegment {
            format,
            first,
            prev,
            fold_from,
            gap_from,
            created_at,
            checkpoint,
            is_gradual: false,
        };
        let active = begin(&new, options)?;

        let sealed = scan.summary(segment, Some(self.wall_ms));
        folder::write_checked(&folder::seal(&options.dir, sealed.first), &sealed)?;
        self.segments.add(SegmentSlot::new(sealed));
        Ok(active)
    }

    /// Checks whether the watermark belongs to this log.
    fn compare_with_mark(&mut self, newest: &NewestSegment, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        let NewestSegment { segment, scan, .. } = newest;

        let first = segment.header.first;
        let known = if mark.seq + 1 == first { Some(segment.header.prev) } else { scan.found_head };
        let inside = (first - 1..=scan.last).contains(&mark.seq);
        if inside && known != Some(mark.head) {
            let what = "it is not the record that the watermark names: the log was put back or \
                        changed from outside";
            self.problem(first, mark.seq, mark.seq, what);
        }
    }
}

fn begin(new: &NewSegment<'_>, options: &Options) -> Result<ActiveSegment, LogError> {
    let segment = Segment::create(&options.dir, new, options.skip_sync)?;
    let summary = SegmentSummary::of_new(new, segment.chain);
    Ok(ActiveSegment::new(segment, summary))
}
