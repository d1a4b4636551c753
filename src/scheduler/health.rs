//! How the daemon is: whether it accepts, whether it stops, and how full its disk is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::accept_gate::AcceptGate;
use super::disk_level::DiskState;
use super::disk_thresholds::DiskLevel;
use crate::log::WriteProgress;

/// How the daemon is, for `/readyz` and `status`.
#[derive(Debug, Default)]
pub struct Health {
    /// False until the log is open, and again from the moment the daemon stops.
    pub accepting: AtomicBool,
    /// The daemon is stopping: no new attempts are started.
    pub draining: AtomicBool,
    /// The scheduler ends once its channel is empty.
    pub stopping: AtomicBool,
    /// Why not, in words, when `accepting` is false.
    pub reason: Mutex<String>,
    /// The last record that is durable.
    pub durable: AtomicU64,
    /// Nothing has to be done to keep the log small, now or soon.
    pub log_rests: AtomicBool,
    /// Before all listeners.
    pub gate: Arc<AcceptGate>,
    /// How full it is: events are refused as well when the disk is full.
    pub disk: DiskState,
    /// The writes of the scheduler's thread: while it has no time for an answer, they show whether
    /// it gets on.
    pub writes: OnceLock<WriteProgress>,
}

impl Health {
    /// Whether an event would be accepted: the daemon is accepting, and the disk has space.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::Acquire) && self.disk.level() < DiskLevel::Refusing
    }

    /// How many writes of the scheduler's thread have returned.
    #[must_use]
    pub fn returned_writes(&self) -> u64 {
        self.writes.get().map_or(0, WriteProgress::count)
    }

    /// Why not, in words; empty when there is no more to say.
    #[must_use]
    pub fn reason(&self) -> String {
        if let Some(why) = self.disk.refusal() {
            return why;
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
