//! What is measured while the daemon runs: how long things take, and what comes in. All are zero
//! at each start.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::tally::{LATENCY_MS, SHORT_MS, Tally};
use crate::model::histogram::Histogram;
use crate::model::{AttemptFault, AttemptReport, Clock, EndpointId, SourceId, limits};
use crate::record::Record;

/// Bounds for requests to receivers, which may take minutes.
const ATTEMPT_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/// One for the daemon.
pub struct Meters {
    /// From a request that was read to events that are durable.
    pub accept: Histogram,
    /// From acceptance to delivery.
    pub latency: Histogram,
    /// Requests to receivers.
    pub attempt: Histogram,
    pub commit: Histogram,
    accepted: Mutex<BTreeMap<SourceId, u64>>,
    tally: Mutex<Tally>,
    happened: Notify,
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
            tally: Mutex::default(),
            happened: Notify::new(),
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

    /// What happened since it was last taken.
    #[must_use]
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when something has happened since this last did.
    pub async fn happened(&self) {
        self.happened.notified().await;
    }

    /// Counts what a step has made durable, in a commit that took so long, and how long after
    /// their acceptance deliveries were made.
    pub(super) fn count(
        &self,
        records: &[Record],
        took_ms: u64,
        delivered_after: &[(EndpointId, u64)],
    ) {
        self.commit.observe(took_ms);
        delivered_after.iter().for_each(|(_, after_ms)| self.latency.observe(*after_ms));

        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(records, took_ms, delivered_after);
        drop(tally);
        self.happened.notify_one();

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
