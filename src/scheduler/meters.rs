//! What is measured while the daemon runs: how long things take, and what comes in. All are zero
//! at each start.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::model::histogram::Histogram;
use crate::model::{AttemptFault, AttemptReport, Clock, SourceId, limits};
use crate::record::Record;

/// Bounds for what should take milliseconds: a commit, a request.
const SHORT_MS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Bounds for requests to receivers, which may take minutes.
const ATTEMPT_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];
/// Bounds for the way from acceptance to delivery, which may take days.
const LATENCY_MS: &[u64] = &[
    10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000, 300_000, 1_800_000, 3_600_000, 21_600_000,
    86_400_000,
];

/// The meters of a daemon.
pub struct Meters {
    /// From a request that was read to events that are durable.
    pub accept: Histogram,
    /// From acceptance to delivery.
    pub latency: Histogram,
    /// Requests to receivers.
    pub attempt: Histogram,
    pub commit: Histogram,
    accepted: Mutex<BTreeMap<SourceId, u64>>,
    clock: OnceLock<Clock>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            accept: Histogram::new(SHORT_MS),
            latency: Histogram::new(LATENCY_MS),
            attempt: Histogram::new(ATTEMPT_MS),
            commit: Histogram::new(SHORT_MS),
            accepted: Mutex::default(),
            clock: OnceLock::new(),
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// Reads the time there from now on; without it no time passes.
    pub fn read_time_from(&self, clock: &Clock) {
        // The first one counts.
        let _ = self.clock.set(clock.clone());
    }

    /// The time of the monotonic clock.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.get().map_or(0, |clock| clock().mono_ms)
    }

    /// Events accepted since the start, by source. Sources that were deleted are forgotten
    /// once there are too many.
    #[must_use]
    pub fn accepted(&self) -> BTreeMap<SourceId, u64> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts what a step has made durable.
    pub(super) fn count(&self, records: &[Record]) {
        for record in records {
            if let Record::EventAccepted { event, .. } = record {
                let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                *accepted.entry(event.source).or_default() += 1;
                while accepted.len() > 2 * limits::SOURCES {
                    accepted.pop_first();
                }
            } else if let Record::AttemptFinished(attempt) = record {
                self.count_attempt(&attempt.report);
            } else if let Record::BatchFinished(batch) = record {
                self.count_attempt(&batch.report);
            }
        }
    }

    fn count_attempt(&self, report: &AttemptReport) {
        let was_made =
            !matches!(report.fault, Some(AttemptFault::NotTaken | AttemptFault::NotMade));
        if was_made {
            self.attempt.observe(report.duration_ms);
        }
    }
}
