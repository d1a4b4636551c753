//! When a batch, its halves, or its members are attempted again.

use crate::model::RetryPolicy;
use crate::model::backoff::{self, RetryDecision};

/// How much a delivery has been tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetryProgress {
    pub attempts: u32,
    pub age_ms: u64,
}

impl RetryProgress {
    /// Of deliveries that are sent together: the most attempts, and the age of the youngest,
    /// because the others end without the batch when their own time is over.
    pub fn together(self, other: Self) -> Self {
        Self { attempts: self.attempts.max(other.attempts), age_ms: self.age_ms.min(other.age_ms) }
    }
}

/// The policy by which retries after one attempt are decided, with what was drawn for it.
pub(super) struct BatchRetry {
    policy: RetryPolicy,
    /// The pause that the receiver asked for.
    requested_ms: Option<u64>,
    /// The random part of the delay, the same for all members: they go on together.
    draw: f64,
    uncounted: bool,
}

impl BatchRetry {
    pub fn new(
        mut policy: RetryPolicy,
        requested_ms: Option<u64>,
        draw: f64,
        uncounted: bool,
    ) -> Self {
        if uncounted {
            // An attempt that does not count is no reason to give up.
            (policy.max_attempts, policy.max_age_ms) = (None, u64::MAX);
        }
        Self { policy, requested_ms, draw, uncounted }
    }

    /// Whether deliveries that have been tried so much are attempted again.
    pub fn decide(&self, progress: RetryProgress) -> RetryDecision {
        let attempts = if self.uncounted { 1 } else { progress.attempts };
        backoff::decide(&self.policy, attempts, progress.age_ms, self.requested_ms, self.draw)
    }

    /// When the halves of a batch are attempted. They wait like any retry, but are not given up.
    pub fn halves_in(&self, attempts: u32) -> u64 {
        let patient =
            RetryPolicy { max_attempts: None, max_age_ms: u64::MAX, ..self.policy.clone() };
        match backoff::decide(&patient, attempts, 0, self.requested_ms, self.draw) {
            RetryDecision::RetryIn { delay_ms } => delay_ms,
            RetryDecision::GiveUp { .. } => patient.max_ms,
        }
    }

    /// Whether the time of deliveries that have been tried so much is over.
    pub fn is_too_old(&self, progress: RetryProgress) -> bool {
        progress.age_ms >= self.policy.max_age_ms
    }
}
