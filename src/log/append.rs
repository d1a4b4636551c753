//! Appending: the log as its one writer sees it, and what a commit is.
//!
//! A commit has two halves. The first writes the records to the store; the second makes them
//! durable: sled's flush, fdatasync, watermark, publish. The next commit may be written while the
//! second half of the one before is under way, on another thread: the store keeps the order in
//! which they were written, so that after a crash the first of them is there, or none.
//!
//! Any error is fatal: its outcome is unknown, so every later commit is refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk_space::DiskSpace;
use super::error::LogError;
use super::failpoint;
use super::frame::{self, ChainHead, FramePacker};
use super::segment_set::SegmentSet;
use super::segment_slot::{SegmentGuard, SegmentSlot};
use super::watermark::{Mark, Watermark};
use crate::model::Seq;
use crate::record::Record;

/// The log, for the one thread that appends to it.
#[derive(Debug)]
pub struct Log {
    pub(super) segments: Arc<SegmentSet>,
    /// The active segment's slot, and the segment itself (`None` only while it is being replaced or
    /// closed).
    pub(super) slot: Arc<SegmentSlot>,
    pub(super) active: Option<Arc<SegmentGuard>>,
    /// The number of the next record, and the chain head before it, durable or not.
    pub(super) next: Seq,
    pub(super) head: ChainHead,
    pub(super) packer: FramePacker,
    pub(super) shared: Arc<CommitState>,
    pub(super) segment_bytes: u64,
    pub(super) segment_age_ms: u64,
    /// The records from this one on are not in the newest checkpoint.
    pub(super) fold_from: Seq,
    /// The newest checkpoint is not the active segment's own: roll soon.
    pub(super) needs_checkpoint: bool,
    pub(super) postponed_roll: Option<PostponedRoll>,
}

/// The situation in which a roll was postponed for lack of disk space.
#[derive(Clone, Copy, Debug)]
pub(super) struct PostponedRoll {
    /// The payload of the active segment.
    pub payload_bytes: u64,
    pub bytes_left: u64,
}

/// What both halves of a commit share.
#[derive(Debug)]
pub(super) struct CommitState {
    watermark: Mutex<Watermark>,
    /// A commit or a roll has failed, or a roll is under way.
    poisoned: AtomicBool,
}

/// Proof that records are durable. Only [`WrittenCommit::make_durable`] creates it.
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

/// A commit that was written, but is not durable yet. Those of a log are made durable in the order
/// in which they were written; a roll comes only when all of them are.
#[must_use = "it is not durable yet"]
#[derive(Debug)]
pub struct WrittenCommit {
    first: Seq,
    last: Seq,
    head: ChainHead,
    bytes: u64,
    records: u64,
    segment: Arc<SegmentGuard>,
    slot: Arc<SegmentSlot>,
    segments: Arc<SegmentSet>,
    shared: Arc<CommitState>,
}

impl CommitState {
    pub fn new(watermark: Watermark) -> Self {
        Self { watermark: Mutex::new(watermark), poisoned: AtomicBool::new(false) }
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub fn set_poisoned(&self, poisoned: bool) {
        self.poisoned.store(poisoned, Ordering::Release);
    }

    fn set_mark(&self, mark: Mark) -> Result<(), LogError> {
        self.watermark.lock().unwrap_or_else(PoisonError::into_inner).set(mark)
    }

    pub fn sync_mark(&self) -> Result<(), LogError> {
        self.watermark.lock().unwrap_or_else(PoisonError::into_inner).sync()
    }
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

    /// Appends records, all or none; durable when it returns.
    ///
    /// # Errors
    /// Any error means that it is unknown whether they are there; the log takes no more, and the
    /// process has to end.
    pub fn commit(&mut self, records: &[Record]) -> Result<Committed, LogError> {
        if records.is_empty() && !self.shared.is_poisoned() {
            return Ok(Committed { first: self.next, last: self.next - 1, _private: () });
        }
        self.write(records)?.make_durable()
    }

    /// The first half of a commit: packs the records into frames and hands them to the store.
    ///
    /// # Errors
    /// As for [`Log::commit`].
    pub fn write(&mut self, records: &[Record]) -> Result<WrittenCommit, LogError> {
        if self.shared.is_poisoned() {
            return Err(LogError::Poisoned);
        }
        failpoint::reached("commit.begun");

        let written = self.write_frames(records);
        self.packer.reset();
        match &written {
            Ok(written) => (self.next, self.head) = (written.last + 1, written.head),
            Err(_) => self.shared.set_poisoned(true),
        }
        written
    }

    fn write_frames(&mut self, records: &[Record]) -> Result<WrittenCommit, LogError> {
        let segment = active(&self.active)?.clone();
        let mut writer = segment.commit();
        let (mut next, mut head, mut bytes) = (self.next, self.head, 0);

        for (index, record) in records.iter().enumerate() {
            if let Err(len) = self.packer.add(record) {
                return Err(LogError::TooLarge { len, limit: frame::RECORD_MAX });
            }

            // A large commit continues in another frame, so that a random read unpacks little.
            if self.packer.is_full() || index + 1 == records.len() {
                let (frame_head, frame) = self.packer.finish(next, head);
                next = frame_head.last() + 1;
                head = frame_head.own;
                bytes += u64::from(frame_head.stored_len);
                writer.frame(&frame_head, frame)?;
            }
        }
        writer.finish()?;

        let (first, last, records) = (self.next, next - 1, records.len() as u64);
        let (slot, segments) = (self.slot.clone(), self.segments.clone());
        let shared = self.shared.clone();
        Ok(WrittenCommit { first, last, head, bytes, records, segment, slot, segments, shared })
    }

    /// Closes the log. Dropping it does the same, but for the last sync of the watermark.
    ///
    /// # Errors
    /// When the operating system refuses. Everything that was acknowledged is durable nevertheless.
    pub fn close(mut self) -> Result<(), LogError> {
        self.active = None;
        self.segments.close_idle();
        self.segments.record_checksums(|_| true);
        self.shared.sync_mark()
    }
}

impl WrittenCommit {
    /// The second half of a commit: makes durable what was written, and then lets readers see it.
    ///
    /// # Errors
    /// As for [`Log::commit`].
    pub fn make_durable(self) -> Result<Committed, LogError> {
        let shared = self.shared.clone();
        if shared.is_poisoned() {
            return Err(LogError::Poisoned);
        }
        self.sync_and_publish().inspect_err(|_| shared.set_poisoned(true))
    }

    fn sync_and_publish(self) -> Result<Committed, LogError> {
        let Self { first, last, head, .. } = self;
        failpoint::reached("commit.written");
        self.segment.sync()?;
        failpoint::reached("commit.synced");
        self.shared.set_mark(Mark { seq: last, head })?;
        failpoint::reached("commit.marked");

        self.slot.update(|summary| {
            summary.last = last;
            summary.head = head;
            summary.records += self.records;
            summary.payload_bytes += self.bytes;
        });
        self.segments.publish(last);

        self.segments.gauge.measure_commit(self.segment.disk_bytes());
        Ok(Committed { first, last, _private: () })
    }
}

/// The active segment. It is missing only after a roll has failed, which poisons the log.
pub(super) fn active(segment: &Option<Arc<SegmentGuard>>) -> Result<&Arc<SegmentGuard>, LogError> {
    segment.as_ref().ok_or(LogError::Poisoned)
}
