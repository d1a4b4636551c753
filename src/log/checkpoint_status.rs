//! What is known of the checkpoints of an open log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::Seq;

/// What the log knows of its checkpoints.
#[derive(Debug, Default)]
pub(super) struct CheckpointStatus {
    /// The records from this one on are not in the newest checkpoint.
    fold_from: AtomicU64,
    /// Bytes of the newest checkpoint.
    bytes: AtomicU64,
    /// No fold gives the state exactly: it has to be written down at the next roll.
    needs_state: AtomicBool,
}

impl CheckpointStatus {
    pub fn fold_from(&self) -> Seq {
        self.fold_from.load(Ordering::Acquire)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn needs_state(&self) -> bool {
        self.needs_state.load(Ordering::Acquire)
    }

    pub fn require_state(&self) {
        self.needs_state.store(true, Ordering::Release);
    }

    /// The state before this record is durable. It is exact, wherever it comes from.
    pub fn complete(&self, fold_from: Seq, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.fold_from.fetch_max(fold_from, Ordering::AcqRel);
    }

    /// The queue's own state was written down.
    pub fn state_written(&self) {
        self.needs_state.store(false, Ordering::Release);
    }
}
