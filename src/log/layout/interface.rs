//! What a segment asks of its layout.

use super::cells::PlacedAhead;
use crate::log::error::LogError;
use crate::log::frame::{FrameHead, StoredFrame};
use crate::model::Seq;

/// The result of looking for a frame.
#[derive(Debug)]
pub(in crate::log) enum FrameLookup {
    Frame(StoredFrame),
    /// The remains of a frame that begins with `first`. The frame behind it begins with `next`, if
    /// there is one.
    Broken {
        first: Seq,
        next: Option<Seq>,
        what: String,
    },
}

/// How the frames and the checkpoint of one open segment are stored.
pub(in crate::log) trait SegmentLayout: Send + Sync {
    /// The checkpoint as it is stored, not verified.
    fn checkpoint(&self) -> Result<Vec<u8>, LogError>;

    /// Begins a commit. Only one is written at a time.
    fn commit(&self) -> Box<dyn CommitWriter + '_>;

    /// The last frame that begins at `seq` or before it.
    fn at_or_before(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError>;

    /// The first frame that begins behind `seq`.
    fn after(&self, seq: Seq) -> Result<Option<FrameLookup>, LogError>;

    /// The record that a commit behind `seq` begins with, over what cannot be read in between. So a
    /// walk may go on where [`Self::at_or_before`] or [`Self::after`] finds damage. `None` when
    /// there is none, or when the layout cannot tell.
    fn readable_behind(&self, seq: Seq) -> Result<Option<Seq>, LogError>;

    /// Removes all frames that begin at `from` or behind it, if what is broken there may be what is
    /// left of a commit that was never completed. Returns whether it may.
    fn remove_unfinished(&self, from: Seq) -> Result<bool, LogError>;

    /// Marks it as being read once, from its beginning to its end, or not any more: a layout may
    /// take less care then of what the store keeps in memory, up to the end.
    fn set_reading_through(&self, is_reading: bool);

    /// Whether the segment should be rolled before it is full: it has very many commits.
    fn is_crowded(&self) -> bool;

    /// Changes what is stored, as damage or somebody with a tool would.
    #[cfg(test)]
    fn tamper(&self, with: &Tampering) -> Result<(), LogError>;
}

/// Writes the frames of one commit. None of them can be seen before it is finished.
pub(in crate::log) trait CommitWriter {
    /// Adds a frame, head and payload together.
    fn frame(&mut self, head: &FrameHead, bytes: &[u8]) -> Result<(), LogError>;

    /// Adds the first frame of a commit, whose payload begins with what was written ahead; `bytes`
    /// are its head and the rest of the payload. Only for layouts in which something can be.
    fn frame_behind(
        &mut self,
        head: &FrameHead,
        _ahead: PlacedAhead,
        _bytes: &[u8],
    ) -> Result<(), LogError> {
        unreachable!("nothing was written ahead of record {}", head.first)
    }

    /// Writes what is left. Durable only after a sync.
    fn finish(self: Box<Self>) -> Result<(), LogError>;
}

/// What tests do to a segment.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(in crate::log) enum Tampering {
    /// A frame, whatever its bytes are, in the place of the one that begins with `first`, or behind
    /// all.
    Frame { first: Seq, bytes: Vec<u8> },
    /// A frame of several values loses one of them.
    LoseMiddle { first: Seq },
    /// The remains of a commit that begins with `first` and was never completed.
    Remains { first: Seq, parts: u16 },
    /// The frames that begin with this record, or behind it, are removed.
    CutFrom { first: Seq },
    /// The value or the chunk in which a frame begins is replaced by other bytes, made of its own.
    Beginning { first: Seq, change: fn(&mut Vec<u8>) },
    /// Another checkpoint of the same number of values.
    Checkpoint(Vec<u8>),
    /// A part of what was written ahead first is lost, or replaced by other bytes, made of its own.
    Ahead { part: u16, change: Option<fn(&mut Vec<u8>)> },
    /// No tree is left for what is written ahead.
    NoTreesAhead,
}
