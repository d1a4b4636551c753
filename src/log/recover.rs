//! Opening: from what stands in the folder to a log that can be appended to.
//!
//! Reads the list of segments, their seals, and the active segment; nothing else, unless something does not add up.
//! Nothing that was acknowledged is dropped in silence: where the log ends before its watermark, the rest is
//! reported, the old active segment is sealed as it is, and a new one begins behind the watermark, which remembers
//! the gap. Sequence numbers are never used twice.

use std::fs;
use std::sync::Arc;

use super::format::Format;
use super::frame::{ChainHead, Packer};
use super::header::Beginning;
use super::room::Gauge;
use super::segment::Segment;
use super::shelf::{Dropped, Facts, Shelf, Slot};
use super::walk::{Walk, Walked, walk};
use super::watermark::{Mark, Watermark};
use super::{Log, LogError, Options, Problem, Reader, Recovered, ballast, failpoint, folder, sums};
use crate::model::{Seq, WallMs};

/// The file that tells of a missing watermark.
const DOUBT: &str = "doubt";

/// What is known so far.
struct Opening {
    shelf: Arc<Shelf>,
    wall_ms: WallMs,
    problems: Vec<Problem>,
    /// Segments whose folders are there, but for the active one.
    sealed: Vec<Facts>,
    /// Segments of which only the seal is left.
    lost: Vec<Facts>,
}

/// The newest segment that can be opened, and what is in it.
struct Newest {
    segment: Segment,
    walked: Walked,
}

pub(super) fn open(options: Options, wall_ms: WallMs) -> Result<Recovered, LogError> {
    // Before anything else: what a later version wrote is not touched.
    let format = Format::read(&options.dir)?;
    folder::make(&options.dir)?;
    ballast::release_to_open(&options.dir);
    match open_once(&options, &format, wall_ms) {
        // What was not there in time: once more, with nothing held back.
        Err(error) if error.is_full() && ballast::release(&options.dir) => open_once(&options, &format, wall_ms),
        opened => opened,
    }
}

fn open_once(options: &Options, format: &Format, wall_ms: WallMs) -> Result<Recovered, LogError> {
    let lock = folder::lock(&options.dir)?;
    let gauge = Gauge::new(&options.dir, options.budget, options.segment_bytes)?;
    let dropped: Vec<Dropped> = folder::read_checked(&options.dir.join("dropped")).unwrap_or_default();
    let shelf = Arc::new(Shelf::new(options, lock, dropped, format.clone(), gauge));
    let mut opening = Opening { shelf, wall_ms, problems: Vec::new(), sealed: Vec::new(), lost: Vec::new() };
    let present = opening.tidy()?;
    failpoint::reached("open.tidied");
    let (mut watermark, mark) = Watermark::open(&options.dir, options.skip_sync)?;
    let newest = opening.newest(present, mark)?;
    failpoint::reached("open.read");
    // The mark is made before the first record: without one, an empty first segment is a first start that was cut short.
    let is_fresh = |n: &Newest| n.segment.header.first == 1 && n.walked.last == 0 && !n.walked.remains;
    let unproven = newest.as_ref().filter(|n| mark.is_none() && !is_fresh(n)).map(|n| n.walked.last);
    opening.fill();
    opening.doubt(newest.as_ref(), unproven)?;
    let base = opening.base(newest.as_ref().map(|n| &n.segment));
    let active = opening.active(newest, &base, mark, options)?;
    if mark != Some(active.mark) {
        watermark.set(active.mark)?;
    }
    watermark.sync()?;
    format.keep(&options.dir)?;
    failpoint::reached("open.marked");
    let Opening { shelf, problems, .. } = opening;
    problems.iter().for_each(|problem| shelf.note_damage(problem));
    let slot = Slot::new(active.facts);
    shelf.add(slot.clone());
    for hole in holes(&shelf, &problems) {
        tracing::warn!(problem = %hole, "records of the log are not there");
        shelf.note_damage(&hole);
    }
    shelf.publish(active.next - 1);
    let reader = Reader { shelf: shelf.clone() };
    let fold_from = base.as_ref().map_or(reader.first(), |b| b.fold_from);
    let log = Log {
        shelf,
        segment: Some(Shelf::borrow_open(&slot, active.segment)),
        next: active.next,
        head: active.chain,
        packer: Packer::default(),
        watermark,
        segment_bytes: reader.shelf.gauge.room().segment,
        segment_age_ms: options.segment_age_ms,
        fold_from,
        rebase: fold_from != slot.first,
        poisoned: false,
        put_off: None,
        slot,
    };
    reader.look();
    let checkpoint = base.map(|b| b.checkpoint).filter(|bytes| !bytes.is_empty());
    Ok(Recovered { log, reader, checkpoint, first_to_fold: fold_from, problems })
}

/// What is written down of a missing watermark; `None` without that, or when the record that it names has been dropped.
/// `newest` begins a segment that is not on the shelf yet.
pub(super) fn doubted(shelf: &Shelf, newest: Option<Seq>) -> Option<Problem> {
    let end = folder::read_checked::<Seq>(&shelf.dir.join(DOUBT))?;
    let holder = newest.filter(|first| *first <= end).or_else(|| shelf.floor(end).map(|slot| slot.first));
    holder.map(|segment| {
        let what = "the watermark file was missing or damaged when the log ended here: whether more had followed cannot be \
                    told";
        Problem { segment, first: end, last: end, what: what.to_owned() }
    })
}

/// What no segment holds though none was dropped there, unless it was told just now: losses of earlier times, which are
/// told as long as what lies around them is kept.
fn holes(shelf: &Shelf, problems: &[Problem]) -> Vec<Problem> {
    let slots = shelf.all();
    let hole = |pair: &[Arc<Slot>]| {
        let (first, behind) = (pair[0].last() + 1, pair[1].facts());
        let last = behind.first.checked_sub(1).filter(|last| first <= *last)?;
        let what = match behind.gap_from {
            Some(from) if from <= first => "they were lost: the log came back without them when it was opened",
            _ if shelf.is_known_hole(first, last) => return None,
            _ => "they are missing: no segment holds them",
        };
        let told = problems.iter().any(|problem| (problem.first, problem.last) == (first, last));
        (!told).then(|| Problem { segment: behind.first, first, last, what: what.to_owned() })
    };
    slots.windows(2).filter_map(hole).collect()
}

/// A checkpoint of the state before `fold_from`.
struct Base {
    checkpoint: Vec<u8>,
    fold_from: Seq,
}

/// The segment that records go to from now on.
struct Active {
    segment: Segment,
    facts: Facts,
    next: Seq,
    mark: Mark,
    /// The chain head that the next frame follows.
    chain: ChainHead,
}

impl Opening {
    /// Removes leftovers and what was to be dropped; the segments that are there, ascending.
    fn tidy(&mut self) -> Result<Vec<Seq>, LogError> {
        let dir = self.shelf.dir.clone();
        let listing = folder::list(&dir)?;
        for leftover in &listing.leftovers {
            folder::remove(leftover)?;
        }
        let dropped = self.shelf.dropped();
        let is_dropped = |seq: Seq| dropped.iter().any(|d| (d.first..=d.last).contains(&seq));
        let mut present = Vec::new();
        for first in listing.segments {
            if is_dropped(first) {
                // The drop was written down, but the process ended before it was done.
                let gone = folder::deleting(&dir, first);
                folder::rename(&folder::segment(&dir, first), &gone)?;
                folder::remove(&gone)?;
            } else {
                present.push(first);
            }
        }
        for first in listing.seals {
            if is_dropped(first) {
                folder::remove(&folder::seal(&dir, first))?;
            } else if !present.contains(&first) {
                self.lost.extend(folder::read_checked::<Facts>(&folder::seal(&dir, first)));
            }
        }
        Ok(present)
    }

    /// Opens and reads the newest segment that can be opened, and makes sure of the seals of the others.
    fn newest(&mut self, mut present: Vec<Seq>, mark: Option<Mark>) -> Result<Option<Newest>, LogError> {
        let mut newest = None;
        while let Some(first) = present.pop() {
            match self.read_newest(first, mark) {
                Ok(found) => {
                    newest = Some(found);
                    break;
                }
                Err(error) if error.is_damage() => {
                    let what = self.shelf.put_aside(first, &error);
                    let last = mark.map_or(first, |m| m.seq.max(first));
                    self.problems.push(Problem { segment: first, first, last, what });
                }
                Err(error) => return Err(error),
            }
        }
        let mut behind = newest.as_ref().map_or(Seq::MAX, |n| n.segment.header.first);
        for first in present.into_iter().rev() {
            let sealed = folder::read_checked::<Facts>(&folder::seal(&self.shelf.dir, first));
            let facts = match sealed.filter(|facts| facts.first == first && facts.sealed_at.is_some()) {
                Some(facts) => facts,
                None => match self.seal_anew(first, behind)? {
                    Some(facts) => facts,
                    None => continue,
                },
            };
            self.sealed.push(facts);
            behind = first;
        }
        Ok(newest)
    }

    fn read_newest(&self, first: Seq, mark: Option<Mark>) -> Result<Newest, LogError> {
        let segment = self.shelf.open(first)?;
        // The mark of the active segment has to outlive a power cut.
        folder::sync(&self.shelf.dir)?;
        let what = Walk { mark: mark.map(|m| m.seq), ..Walk::ALL };
        let walked = walk(&segment, what, &mut |_, _| {})?;
        Ok(Newest { segment, walked })
    }

    /// Reads a segment whose seal is missing or damaged, and seals it again.
    fn seal_anew(&mut self, first: Seq, behind: Seq) -> Result<Option<Facts>, LogError> {
        let read = || {
            let segment = self.shelf.open(first)?;
            let walked = walk(&segment, Walk::ALL, &mut |_, _| {})?;
            Ok((facts_of(&segment, &walked, Some(self.wall_ms)), walked))
        };
        match read() {
            Ok((facts, walked)) => {
                self.problems.extend(walked.problems);
                folder::write_checked(&folder::seal(&self.shelf.dir, first), &facts)?;
                Ok(Some(facts))
            }
            Err(LogError::Io { doing, path, source }) => Err(LogError::Io { doing, path, source }),
            Err(error) if error.is_damage() => {
                let what = self.shelf.put_aside(first, &error);
                let last = if behind == Seq::MAX { first } else { behind - 1 };
                self.problems.push(Problem { segment: first, first, last, what });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Decides where records go on: in the newest segment, or, when records are missing behind it, in a new one.
    fn active(
        &mut self,
        newest: Option<Newest>,
        base: &Option<Base>,
        mark: Option<Mark>,
        options: &Options,
    ) -> Result<Active, LogError> {
        let dropped = self.shelf.dropped().iter().map(|d| d.last).max().unwrap_or(0);
        let lost = self.shelf.all().iter().map(|slot| slot.last()).max().unwrap_or(0);
        let reach = mark.map_or(0, |m| m.seq).max(dropped).max(lost);
        let Some(Newest { segment, walked }) = newest else {
            if reach > 0 {
                let what = "they are missing: there is no segment that can be read".to_owned();
                self.problems.push(Problem { segment: reach + 1, first: 1, last: reach, what });
            }
            let gap_from = (reach > 0).then_some(1);
            let prev = mark.map_or([0; 32], |m| m.head);
            let first = reach + 1;
            return self.begin(
                first,
                Beginning { first, prev, fold_from: first, gap_from, ..self.beginning() },
                options,
            );
        };
        self.problems.extend(walked.problems.iter().cloned());
        self.compare(&segment, &walked, mark);
        if walked.last < reach {
            return self.go_on_behind(&segment, &walked, base, reach, options);
        }
        if walked.remains {
            // Behind the watermark, and without its end: a commit that was never acknowledged.
            segment.remove_from(walked.last + 1)?;
        }
        // What a killed process left in the system's cache counts from now on, so it has to be on the disk.
        segment.sync()?;
        folder::remove(&folder::seal(&options.dir, segment.header.first))?;
        folder::remove(&folder::sums(&options.dir, segment.header.first))?;
        if mark.is_some() && self.problems.is_empty() {
            // It has no seal that a child could compare it with; here all of it was found, as far as the watermark.
            sums::drop_evidence(&folder::segment(&options.dir, segment.header.first));
        }
        let facts = facts_of(&segment, &walked, None);
        Ok(active_of(segment, facts))
    }

    /// Whether the log is the one that the watermark speaks of.
    fn compare(&mut self, segment: &Segment, walked: &Walked, mark: Option<Mark>) {
        let Some(mark) = mark else { return };
        let first = segment.header.first;
        let known = match mark.seq.checked_add(1) {
            Some(next) if next == first => Some(segment.header.prev),
            _ => walked.marked,
        };
        let inside = (first - 1..=walked.last).contains(&mark.seq);
        if inside && known != Some(mark.head) {
            let what =
                "it is not the record that the watermark speaks of: the log was put back or changed from outside";
            self.problems.push(Problem { segment: first, first: mark.seq, last: mark.seq, what: what.into() });
        }
    }

    fn go_on_behind(
        &mut self,
        segment: &Segment,
        walked: &Walked,
        base: &Option<Base>,
        reach: Seq,
        options: &Options,
    ) -> Result<Active, LogError> {
        let gap_from = walked.last + 1;
        let what = format!(
            "they were acknowledged and are missing: the log ends with record {}, it goes on with {}",
            walked.last,
            reach + 1
        );
        self.problems.push(Problem { segment: segment.header.first, first: gap_from, last: reach, what });
        segment.sync()?;
        // There is no checkpoint of the state here yet, so the new segment repeats the one that is folded from.
        let oldest = self.shelf.oldest().map_or(segment.header.first, |slot| slot.first);
        let (fold_from, checkpoint) = base.as_ref().map_or((oldest, &[][..]), |b| (b.fold_from, &b.checkpoint[..]));
        let beginning = Beginning {
            first: reach + 1,
            prev: walked.head,
            fold_from,
            gap_from: Some(gap_from),
            checkpoint,
            ..self.beginning()
        };
        let active = self.begin(reach + 1, beginning, options)?;
        let facts = facts_of(segment, walked, Some(self.wall_ms));
        folder::write_checked(&folder::seal(&options.dir, facts.first), &facts)?;
        self.shelf.add(Slot::new(facts));
        Ok(active)
    }

    fn beginning(&self) -> Beginning<'static> {
        let created_at = self.wall_ms;
        Beginning { first: 1, prev: [0; 32], fold_from: 1, gap_from: None, created_at, checkpoint: &[] }
    }

    fn begin(&self, first: Seq, beginning: Beginning<'_>, options: &Options) -> Result<Active, LogError> {
        let segment = Segment::create(&options.dir, &beginning, options.skip_sync)?;
        let facts = Facts {
            first,
            last: first - 1,
            records: 0,
            payload_bytes: 0,
            prev: beginning.prev,
            head: segment.chain,
            gap_from: beginning.gap_from,
            created_at: beginning.created_at,
            sealed_at: None,
        };
        Ok(active_of(segment, facts))
    }

    /// Puts the segments on the shelf, but for the newest.
    fn fill(&mut self) {
        for facts in std::mem::take(&mut self.sealed) {
            self.shelf.add(Slot::new(facts));
        }
        for facts in std::mem::take(&mut self.lost) {
            let slot = Slot::new(facts);
            let what = "their segment is missing, only its seal is there".to_owned();
            slot.lose(what.clone());
            self.problems.push(slot.problem(what));
            self.shelf.add(slot);
        }
    }

    /// Without a watermark nobody knows whether more had been acknowledged than `unproven`, the last record that is there.
    /// The new watermark says nothing of that, so it is written down.
    fn doubt(&mut self, newest: Option<&Newest>, unproven: Option<Seq>) -> Result<(), LogError> {
        let file = self.shelf.dir.join(DOUBT);
        if let Some(end) = unproven {
            folder::write_checked(&file, &end)?;
        }
        match doubted(&self.shelf, newest.map(|newest| newest.segment.header.first)) {
            Some(problem) => self.problems.push(problem),
            None => folder::remove(&file)?,
        }
        Ok(())
    }

    /// The newest checkpoint that can be read.
    fn base(&mut self, newest: Option<&Segment>) -> Option<Base> {
        let newest = newest?;
        match newest.checkpoint() {
            Ok(checkpoint) => return Some(Base { checkpoint, fold_from: newest.header.fold_from }),
            Err(error) => self.bad_checkpoint(newest.header.first, &error),
        }
        for slot in self.shelf.all().into_iter().rev().filter(|slot| slot.first < newest.header.first) {
            let read = self.shelf.borrow(&slot).and_then(|segment| match segment {
                Some(segment) => segment.checkpoint().map(|bytes| Some((bytes, segment.header.fold_from))),
                None => Ok(None),
            });
            match read {
                Ok(Some((checkpoint, fold_from))) => return Some(Base { checkpoint, fold_from }),
                Ok(None) => {}
                Err(error) => self.bad_checkpoint(slot.first, &error),
            }
        }
        None
    }

    fn bad_checkpoint(&mut self, segment: Seq, error: &LogError) {
        let what = format!("the checkpoint before them cannot be read, an older one is used: {error}");
        self.problems.push(Problem { segment, first: segment, last: segment, what });
    }
}

fn active_of(segment: Segment, facts: Facts) -> Active {
    let chain = facts.head;
    // An empty segment has its own chain head already, the watermark still speaks of the record before it.
    let head = if facts.last < facts.first { facts.prev } else { facts.head };
    let mark = Mark { seq: facts.last, head };
    Active { next: facts.last + 1, segment, facts, mark, chain }
}

fn facts_of(segment: &Segment, walked: &Walked, sealed_at: Option<WallMs>) -> Facts {
    Facts {
        first: segment.header.first,
        last: walked.last,
        records: walked.records,
        payload_bytes: walked.payload_bytes,
        prev: segment.header.prev,
        head: walked.head,
        gap_from: segment.header.gap_from,
        created_at: segment.header.created_at,
        sealed_at,
    }
}

/// Writes down that a segment is dropped, before it is.
pub(super) fn note_dropped(shelf: &Shelf, facts: &Facts) -> Result<(), LogError> {
    let mut dropped = shelf.dropped();
    // The gap before it, if there was one, goes with it.
    let first = facts.gap_from.unwrap_or(facts.first);
    dropped.push(Dropped { first, last: facts.last, head: facts.head });
    dropped.sort_by_key(|d| d.first);
    let mut merged: Vec<Dropped> = Vec::new();
    for range in dropped {
        match merged.last_mut() {
            Some(before) if before.last + 1 >= range.first => *before = Dropped { first: before.first, ..range },
            _ => merged.push(range),
        }
    }
    folder::write_checked(&shelf.dir.join("dropped"), &merged)?;
    shelf.set_dropped(merged);
    Ok(())
}

/// Deletes the folder and the seal of a dropped segment, after its last user.
pub(super) fn delete(shelf: &Shelf, slot: &Arc<Slot>) -> Result<(), LogError> {
    shelf.drop_slot(slot, || {
        let gone = folder::deleting(&shelf.dir, slot.first);
        let path = folder::segment(&shelf.dir, slot.first);
        if fs::exists(&path).unwrap_or(false) {
            folder::rename(&path, &gone)?;
        }
        failpoint::reached("drop.renamed");
        folder::remove(&folder::seal(&shelf.dir, slot.first))?;
        folder::remove(&folder::opened(&shelf.dir, slot.first))?;
        failpoint::reached("drop.unsealed");
        folder::remove(&folder::sums(&shelf.dir, slot.first))?;
        Ok(gone)
    })
}
