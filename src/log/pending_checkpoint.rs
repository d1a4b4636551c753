//! A checkpoint that is being written into a segment which is in use already.
//!
//! A large checkpoint is not written when its segment is begun, because every request would wait
//! for it. Some of its parts are written with each commit instead, or between commits while there
//! are none, and the sync of the commit makes them durable. When all of them are durable, a mark is
//! written, and with the next sync the checkpoint is complete. Until then a start folds from the
//! checkpoint before, over the records of that segment and this one, so none of them is dropped.
//!
//! What the checkpoint has to be is in the segment's header, and so in the chain, from the moment
//! in which the segment was begun.

use super::error::LogError;
use super::failpoint;
use super::layout::CheckpointWriter;
use super::segment::Segment;

pub(super) struct PendingCheckpoint {
    bytes: Vec<u8>,
    writer: CheckpointWriter,
    /// Bytes that have been written, durable at the next sync.
    written: usize,
    is_marked: bool,
}

impl std::fmt::Debug for PendingCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingCheckpoint").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl PendingCheckpoint {
    /// Begins to write a checkpoint into the segment that was begun for it.
    pub fn new(segment: &Segment, bytes: Vec<u8>) -> Self {
        Self { bytes, writer: segment.checkpoint_writer(), written: 0, is_marked: false }
    }

    /// Bytes that are still to be written.
    pub fn left(&self) -> u64 {
        (self.bytes.len() - self.written) as u64
    }

    /// Bytes of the checkpoint.
    pub fn total(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it is complete, once what was written is durable.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Writes its next parts, of so many bytes together; behind the last one, the mark. Each call
    /// has to be followed by a sync of the segment before the next one.
    pub fn write(&mut self, segment: &Segment, bytes: usize) -> Result<(), LogError> {
        if self.left() == 0 {
            segment.mark_checkpoint()?;
            self.is_marked = true;
            failpoint::reached("checkpoint.marked");
            return Ok(());
        }

        self.written = self.writer.write(&self.bytes, bytes)?;
        failpoint::reached("checkpoint.part");
        Ok(())
    }
}
