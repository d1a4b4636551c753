//! Appending: the log as its one writer sees it, and what a commit is.
//!
//! A commit returns after its records are durable: the layout's values, sled's flush, fdatasync,
//! watermark, publish. Any error in it is fatal: its outcome is unknown, so every later commit is
//! refused.

use std::sync::Arc;

use super::blocks::BodyBlocks;
use super::body_ahead::BodyAhead;
use super::disk_space::DiskSpace;
use super::error::LogError;
use super::failpoint;
use super::frame::{self, ChainHead, FramePacker};
use super::pending_checkpoint::PendingCheckpoint;
use super::segment_set::SegmentSet;
use super::segment_slot::{SegmentGuard, SegmentSlot};
use super::watermark::{Mark, Watermark};
use crate::model::{Seq, limits};
use crate::record::Record;

/// The log, for the one thread that appends to it.
#[derive(Debug)]
pub struct Log {
    pub(super) segments: Arc<SegmentSet>,
    /// The active segment's slot, and the segment itself (`None` only while it is being replaced or
    /// closed).
    pub(super) slot: Arc<SegmentSlot>,
    pub(super) active: Option<SegmentGuard>,
    /// The number of the next record, and the chain head before it.
    pub(super) next: Seq,
    pub(super) head: ChainHead,
    pub(super) packer: FramePacker,
    /// The large body that is being written ahead of its commit.
    pub(super) ahead: Option<BodyAhead>,
    pub(super) watermark: Watermark,
    pub(super) segment_bytes: u64,
    pub(super) segment_age_ms: u64,
    /// The checkpoint of the active segment, while it is being written.
    pub(super) pending: Option<PendingCheckpoint>,
    /// Bytes of a checkpoint that are written with one commit.
    pub(super) checkpoint_step: usize,
    /// The newest checkpoint is not the active segment's own, nor is that being written: roll soon.
    pub(super) needs_checkpoint: bool,
    /// A fold of the log does not give the state that there is, because records are missing.
    pub(super) has_gaps: bool,
    /// A commit or a roll has failed, or is under way.
    pub(super) poisoned: bool,
    pub(super) postponed_roll: Option<PostponedRoll>,
}

/// The situation in which a roll was postponed for lack of disk space.
#[derive(Clone, Copy, Debug)]
pub(super) struct PostponedRoll {
    /// The payload of the active segment.
    pub payload_bytes: u64,
    pub bytes_left: u64,
}

/// Proof that records are durable. Only [`Log::commit`] creates it.
#[must_use = "what was committed may be released now"]
#[derive(Debug)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "other modules of this crate must not create one either"
)]
pub struct Committed {
    pub first: Seq,
    /// One before `first` when nothing was to be committed.
    pub last: Seq,
    _private: (),
}

/// A commit that was written, but is not durable yet.
struct WrittenCommit {
    last: Seq,
    head: ChainHead,
    bytes: u64,
    records: u64,
}

impl Log {
    /// The number that the next record gets.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// The disk space as it was last measured.
    #[must_use]
    pub fn disk_space(&self) -> DiskSpace {
        self.segments.gauge.space()
    }

    /// Measures the free space of the file system, which others take and give back as well.
    pub fn measure_free_space(&self) {
        self.segments.gauge.measure_free();
    }

    /// Appends records, all or none; durable when it returns.
    ///
    /// # Errors
    /// Any error means that it is unknown whether they are there; the log takes no more, and the
    /// process has to end.
    pub fn commit(&mut self, records: &[Record]) -> Result<Committed, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let first = self.next;
        if records.is_empty() {
            return Ok(Committed { first, last: first - 1, _private: () });
        }
        failpoint::reached("commit.begun");

        let done = self
            .write(records)
            .and_then(|written| self.make_durable(&written).map(|()| written.last));
        self.packer.reset();

        match done {
            Ok(last) => Ok(Committed { first, last, _private: () }),
            Err(error) => {
                self.poisoned = true;
                Err(error)
            }
        }
    }

    /// Packs the records into frames and hands them to the store.
    fn write(&mut self, records: &[Record]) -> Result<WrittenCommit, LogError> {
        let mut ahead = self.ahead.take_if(|ahead| is_in_first_frame(records, &ahead.blocks));
        let mut writer = active(&self.active)?.commit();
        let (mut next, mut head, mut bytes, mut frames) = (self.next, self.head, 0, 0);

        for (index, record) in records.iter().enumerate() {
            let prepared = ahead.as_ref().map(|ahead| &ahead.blocks);
            if let Err(len) = self.packer.add(record, prepared) {
                return Err(LogError::TooLarge { len, limit: frame::RECORD_MAX });
            }

            // A large commit continues in another frame, so that a random read unpacks little.
            if self.packer.is_full() || index + 1 == records.len() {
                frames += 1;
                if frames > limits::COMMIT_FRAMES {
                    // It could not become visible at once. What was written of it is not visible.
                    return Err(LogError::TooManyFrames { limit: limits::COMMIT_FRAMES });
                }

                let ahead = if self.packer.has_body() { ahead.take() } else { None };
                let ahead = ahead.map(BodyAhead::finish).transpose()?.flatten();
                let (frame_head, frame) = self.packer.finish(next, head);
                next = frame_head.last() + 1;
                head = frame_head.own;
                bytes += u64::from(frame_head.stored_len);
                match ahead {
                    Some(ahead) => writer.frame_behind(&frame_head, ahead, frame)?,
                    None => writer.frame(&frame_head, frame)?,
                }
            }
        }

        writer.finish()?;
        Ok(WrittenCommit { last: next - 1, head, bytes, records: records.len() as u64 })
    }

    /// Makes durable what was written, and then lets readers see it.
    fn make_durable(&mut self, written: &WrittenCommit) -> Result<(), LogError> {
        failpoint::reached("commit.written");
        self.write_checkpoint(usize::try_from(written.bytes).unwrap_or(usize::MAX))?;
        active(&self.active)?.sync()?;
        failpoint::reached("commit.synced");
        self.watermark.set(Mark { seq: written.last, head: written.head })?;
        failpoint::reached("commit.marked");

        self.next = written.last + 1;
        self.head = written.head;
        self.slot.update(|summary| {
            summary.last = written.last;
            summary.head = written.head;
            summary.records += written.records;
            summary.payload_bytes += written.bytes;
        });
        self.segments.publish(written.last);
        self.checkpoint_synced();

        self.segments.gauge.measure_commit(active(&self.active)?.disk_bytes());
        Ok(())
    }

    /// Whether the checkpoint of the active segment is being written and the disk has space for it.
    #[must_use]
    pub fn is_writing_checkpoint(&self) -> bool {
        self.pending.is_some() && self.has_space_for_checkpoint()
    }

    /// Writes on at the checkpoint of the active segment, if it is being written, without a commit;
    /// durable when it returns.
    ///
    /// # Errors
    /// As for a commit.
    pub fn go_on_with_checkpoint(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if !self.is_writing_checkpoint() {
            return Ok(());
        }

        // An error on the way leaves the log poisoned.
        self.poisoned = true;
        self.write_checkpoint(0)?;
        active(&self.active)?.sync()?;
        self.checkpoint_synced();
        self.segments.gauge.measure_commit(active(&self.active)?.disk_bytes());
        self.poisoned = false;
        Ok(())
    }

    /// Writes some parts of the pending checkpoint before a sync: no fewer bytes than the commit
    /// has, so that it is complete before the segment has grown by as much.
    fn write_checkpoint(&mut self, commit_bytes: usize) -> Result<(), LogError> {
        let bytes = self.checkpoint_step.max(commit_bytes);
        let goes_on = self.is_writing_checkpoint();
        match &mut self.pending {
            Some(pending) if goes_on => pending.write(active(&self.active)?, bytes),
            _ => Ok(()),
        }
    }

    /// Others may have taken the space that there was when the segment was begun. It is waited for.
    fn has_space_for_checkpoint(&self) -> bool {
        self.disk_space().free >= limits::ROLL_BYTES + self.checkpoint_step as u64
    }

    /// What was written of the pending checkpoint is durable.
    fn checkpoint_synced(&mut self) {
        let Some(pending) = &self.pending else { return };
        if !pending.is_marked() {
            self.segments.gauge.set_unwritten(pending.left());
            return;
        }

        let (first, bytes) = (self.slot.first, pending.total());
        self.pending = None;
        self.segments.checkpoint_complete(first, bytes);
        tracing::debug!(first, bytes, "a checkpoint is complete");
        failpoint::reached("checkpoint.done");
    }

    /// Writes all that is left of the pending checkpoint, so that the next start need not fold the
    /// segment before; unless the disk has no space for it.
    fn complete_checkpoint(&mut self) -> Result<(), LogError> {
        self.checkpoint_step = self
            .pending
            .as_ref()
            .map_or(0, |pending| usize::try_from(pending.left()).unwrap_or(usize::MAX));
        // Once for what is left, and once for the mark.
        for _ in 0..2 {
            self.go_on_with_checkpoint()?;
        }
        Ok(())
    }

    /// Records are missing that the state was folded from: what is known of that now, no later fold
    /// gives. So the next checkpoint is written as a whole when its segment is begun.
    pub fn report_gaps(&mut self) {
        self.has_gaps = true;
    }

    /// Closes the log. Dropping it does the same, but for the last sync of the watermark and the
    /// checksums.
    ///
    /// # Errors
    /// When the operating system refuses. Everything that was acknowledged is durable nevertheless.
    pub fn close(self) -> Result<(), LogError> {
        self.close_segments().map(ClosedLog::record_checksums)
    }

    /// The first half of [`Log::close`]: all that is written.
    ///
    /// # Errors
    /// As there.
    pub fn close_segments(mut self) -> Result<ClosedLog, LogError> {
        if !self.poisoned {
            self.complete_checkpoint()?;
        }
        self.active = None;
        self.segments.close_idle();
        self.watermark.sync()?;
        Ok(ClosedLog { segments: self.segments })
    }
}

/// Whether one of these records has this body, and is in the first frame of their commit.
fn is_in_first_frame(records: &[Record], blocks: &BodyBlocks) -> bool {
    let held = records.first().and_then(Record::held_event);
    held.is_some_and(|held| blocks.is_of(&held.event.body))
}

/// A log that takes no more. The folder stays locked as long as this lives.
#[derive(Debug)]
pub struct ClosedLog {
    segments: Arc<SegmentSet>,
}

impl ClosedLog {
    /// The second half of [`Log::close`]: what was opened is read through, so that the next process
    /// knows it again. On a slow disk that takes long.
    pub fn record_checksums(self) {
        self.segments.record_checksums(|_| true);
    }
}

/// The active segment. It is missing only after a roll has failed, which poisons the log.
pub(super) fn active(segment: &Option<SegmentGuard>) -> Result<&SegmentGuard, LogError> {
    segment.as_ref().ok_or(LogError::Poisoned)
}
