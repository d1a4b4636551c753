//! Checkpoints: which is the newest, whether another one is wanted, and how it is written while
//! records are appended.
//!
//! A segment of format 3 is begun without the state before it. Whoever folds that state from the
//! log hands it to [`Reader::write_checkpoint`] later; until then a start folds from the checkpoint
//! before. So a roll costs the same however large the state is.

use std::io::Write;
use std::sync::Arc;

use super::error::LogError;
use super::frame::ChainHead;
use super::reader::Reader;
use super::segment::Segment;
use super::segment_set::SegmentSet;
use super::segment_slot::SegmentSlot;
use super::{checkpoint_file, folder};
use crate::model::{Seq, limits};

/// A state to fold from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldBase {
    /// The state before `fold_from`; `None` when there is none, then everything is folded.
    pub state: Option<Vec<u8>>,
    pub fold_from: Seq,
}

impl Reader {
    /// The first record of the active segment, when there is no checkpoint before it yet and the
    /// log gives one.
    #[must_use]
    pub fn wanted_checkpoint(&self) -> Option<Seq> {
        let known = &self.segments.checkpoints;
        let newest = self.segments.newest()?.first;
        (newest > known.fold_from() && !known.needs_state()).then_some(newest)
    }

    /// The newest checkpoint, to fold from.
    #[must_use]
    pub fn fold_base(&self) -> FoldBase {
        let end = LogEnd { next: self.durable() + 1, head: None, newest: None };
        let found = newest_checkpoint(&self.segments, &end, &mut |segment, error| {
            tracing::warn!(segment, %error, "a checkpoint cannot be read");
        });
        found.unwrap_or_else(|| FoldBase { state: None, fold_from: self.first() })
    }

    /// Whether the disk seems to have space for another checkpoint like the newest.
    #[must_use]
    pub fn fits_checkpoint(&self) -> bool {
        let space = self.segments.disk_space();
        space.left() >= limits::ROLL_BYTES + 2 * space.checkpoint
    }

    /// Writes down the state before the segment that begins with `before`, durable when this
    /// returns. Gives its length.
    ///
    /// # Errors
    /// When there is no such segment, when the disk has no space for it, or those of `encode` and
    /// of the operating system. The newest checkpoint is still the one before then.
    pub fn write_checkpoint(
        &self,
        before: Seq,
        encode: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<u64, LogError> {
        let slot = self.segments.get(before).ok_or(LogError::NoSuchSegment { first: before })?;
        let dir = &self.segments.dir;
        let bytes = checkpoint_file::write(dir, before, &slot.summary().prev, encode)?;
        self.segments.checkpoints.complete(before, bytes);
        Ok(bytes)
    }

    /// The checkpoint before a segment, wherever it is; empty when there is none.
    pub(super) fn checkpoint_of(&self, segment: &Segment) -> Result<Vec<u8>, LogError> {
        if segment.holds_checkpoint() {
            return segment.checkpoint();
        }
        let found = checkpoint_file::read(&self.segments.dir, segment.header.first)?;
        Ok(found.map(|checkpoint| checkpoint.state).unwrap_or_default())
    }

    /// The state cannot be folded from the log as it is: records are missing, or cannot be read.
    /// The queue's own is written down at the next roll, which is due now.
    pub fn require_state(&self) {
        self.segments.checkpoints.require_state();
    }

    /// The records before this one are in the newest checkpoint.
    #[must_use]
    pub fn checkpoint_before(&self) -> Seq {
        self.segments.checkpoints.fold_from()
    }

    /// Bytes of the newest checkpoint.
    #[must_use]
    pub fn checkpoint_bytes(&self) -> u64 {
        self.segments.checkpoints.bytes()
    }
}

/// Where a checkpoint may be.
enum Candidate<'a> {
    /// In a segment of an earlier format that is open.
    Inside(&'a Segment),
    InsideSlot(Arc<SegmentSlot>),
    /// In a file beside its segment.
    File,
}

/// What is known of the log's end while a checkpoint is looked for.
pub(super) struct LogEnd<'a> {
    /// The record behind the last one.
    pub next: Seq,
    /// The record behind the last one that can be read, and the chain head before it.
    pub head: Option<(Seq, ChainHead)>,
    /// The newest segment, when it is not in the set yet.
    pub newest: Option<&'a Segment>,
}

/// The newest checkpoint that can be read. What cannot be is reported, with the segment that it is
/// before.
pub(super) fn newest_checkpoint(
    segments: &SegmentSet,
    end: &LogEnd<'_>,
    report: &mut dyn FnMut(Seq, &LogError),
) -> Option<FoldBase> {
    let files = folder::list(&segments.dir).unwrap_or_default().checkpoints;
    let slots = segments.all().into_iter();
    let mut candidates: Vec<(Seq, Candidate<'_>)> =
        slots.map(|slot| (slot.first, Candidate::InsideSlot(slot))).collect();
    candidates.extend(end.newest.map(|open| (open.header.first, Candidate::Inside(open))));
    candidates.extend(files.into_iter().map(|before| (before, Candidate::File)));
    // Of two for one segment the file comes first: sorting keeps their order.
    candidates.sort_by_key(|(before, _)| *before);

    for (before, candidate) in candidates.into_iter().rev() {
        let found = match candidate {
            Candidate::File => from_file(segments, before, end),
            Candidate::Inside(segment) => inside(segment),
            Candidate::InsideSlot(slot) => match segments.acquire(&slot) {
                Ok(Some(segment)) => inside(&segment),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            },
        };
        match found {
            Ok(Some(base)) => return Some(base),
            Ok(None) => {}
            Err(error) => report(before, &error),
        }
    }
    None
}

fn from_file(
    segments: &SegmentSet,
    before: Seq,
    end: &LogEnd<'_>,
) -> Result<Option<FoldBase>, LogError> {
    let path = folder::checkpoint(&segments.dir, before);
    let unusable = |what: &str| Err(LogError::corrupt("use", &path, what));
    if before > end.next {
        return unusable("it is of records that the log does not have");
    }
    let Some(found) = checkpoint_file::read(&segments.dir, before)? else { return Ok(None) };

    let slot = segments.get(before).map(|slot| slot.summary().prev);
    let newest = end.newest.filter(|segment| segment.header.first == before);
    let prev = newest.map(|segment| segment.header.prev).or(slot);
    let at_end = end.head.filter(|(at, _)| *at == before).map(|(_, head)| head);
    let prev = prev.or(at_end);
    if prev.is_some_and(|prev| prev != found.head) {
        return unusable("it is of another log: the chain differs");
    }
    Ok(Some(FoldBase { state: Some(found.state), fold_from: before }))
}

/// The checkpoint that a segment of an earlier format begins with.
fn inside(segment: &Segment) -> Result<Option<FoldBase>, LogError> {
    if !segment.holds_checkpoint() {
        return Ok(None);
    }
    let state = Some(segment.checkpoint()?).filter(|bytes| !bytes.is_empty());
    Ok(Some(FoldBase { state, fold_from: segment.header.fold_from }))
}
