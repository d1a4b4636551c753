//! The retry rule: what follows for a delivery whose attempt failed. One rule for single deliveries
//! and for members of batches. Pure.
//!
//! * **An attempt that does not count** (the link was down) is no reason to give up, nor to put the
//!   endpoint on hold, and it changes no backoff: the delay is that of the last attempt that
//!   counted. A receiver that has failed for hours is not asked every second again because the
//!   link was down for a moment.
//! * **An endpoint that did nothing but fail for too long** is put on hold, before anything is
//!   given up ([`AttemptRetry::holds`]).
//! * **The head of a lane** keeps the others of its lane back: `--head-of-line` decides before the
//!   retry policy does.

use crate::model::backoff::{self, RetryDecision};
use crate::model::{AttemptReport, Endpoint, HeadOfLine, Now, RetryPolicy, limits};
use crate::queue::reports::{error_summary, requested_pause_ms};
use crate::record::Consequence;

/// How much a delivery has been tried, the attempt that has just failed included.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::queue) struct RetryProgress {
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

/// What an attempt counts for, as the link and the endpoint's run of failures say.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct AttemptWeight {
    pub uncounted: bool,
    pub failing_ms: u64,
}

/// What decides on the failure of one attempt, with what was drawn for it.
pub(in crate::queue) struct AttemptRetry {
    policy: RetryPolicy,
    head_of_line: HeadOfLine,
    /// The pause that the receiver asked for.
    requested_ms: Option<u64>,
    /// The random part of the delay, the same for all members of a batch: they go on together.
    draw: f64,
    uncounted: bool,
    /// The endpoint is put on hold instead.
    pub holds: bool,
}

/// What follows for one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) enum FailureVerdict {
    RetryIn {
        delay_ms: u64,
    },
    /// Its lane waits for the operator.
    Park {
        reason: String,
    },
    GiveUp {
        reason: String,
    },
}

impl AttemptRetry {
    pub fn new(
        settings: &Endpoint,
        report: &AttemptReport,
        weight: AttemptWeight,
        draw: f64,
    ) -> Self {
        let AttemptWeight { uncounted, failing_ms } = weight;
        let mut policy = settings.retry.clone();
        if uncounted {
            (policy.max_attempts, policy.max_age_ms) = (None, u64::MAX);
        }

        Self {
            policy,
            head_of_line: settings.head_of_line,
            requested_ms: requested_pause_ms(report),
            draw,
            uncounted,
            holds: !uncounted && failing_ms >= settings.hold_after_ms,
        }
    }

    /// What follows for a delivery that has been tried so much. `is_head`: others of its lane wait
    /// for it alone.
    pub fn verdict(&self, progress: RetryProgress, is_head: bool) -> FailureVerdict {
        let attempts = self.counted(progress.attempts);
        let policy = &self.policy;
        let decision =
            backoff::decide(policy, attempts, progress.age_ms, self.requested_ms, self.draw);

        let rule = if is_head && !self.uncounted { self.head_of_line } else { HeadOfLine::Block };
        match (decision, rule) {
            (_, HeadOfLine::Park { after }) if attempts >= after => FailureVerdict::Park {
                reason: format!("{attempts} attempts failed, and its lane waits for you"),
            },
            (RetryDecision::RetryIn { .. }, HeadOfLine::Skip { after }) if attempts >= after => {
                let reason = format!("{attempts} attempts failed, and its lane goes on without it");
                FailureVerdict::GiveUp { reason }
            }
            (RetryDecision::RetryIn { delay_ms }, _) => FailureVerdict::RetryIn { delay_ms },
            (RetryDecision::GiveUp { reason }, _) => FailureVerdict::GiveUp { reason },
        }
    }

    /// Whether `--head-of-line` decides after so many attempts about what keeps its lane back.
    pub fn head_is_due(&self, attempts: u32) -> bool {
        let after = match self.head_of_line {
            HeadOfLine::Block => return false,
            HeadOfLine::Skip { after } | HeadOfLine::Park { after } => after,
        };
        !self.uncounted && attempts >= after
    }

    /// Whether a batch that has failed so often is split, though nothing says that one of its
    /// events is to blame.
    pub fn split_is_due(&self, attempts: u32) -> bool {
        !self.uncounted && !self.holds && attempts >= limits::BATCH_WHOLE_ATTEMPTS
    }

    /// When the halves of a batch are attempted. They wait like any retry, but are not given up.
    pub fn halves_in(&self, attempts: u32) -> u64 {
        let patient =
            RetryPolicy { max_attempts: None, max_age_ms: u64::MAX, ..self.policy.clone() };
        let attempts = self.counted(attempts);
        match backoff::decide(&patient, attempts, 0, self.requested_ms, self.draw) {
            RetryDecision::RetryIn { delay_ms } => delay_ms,
            RetryDecision::GiveUp { .. } => patient.max_ms,
        }
    }

    /// Whether the time of deliveries that have been tried so much is over.
    pub fn is_too_old(&self, progress: RetryProgress) -> bool {
        progress.age_ms >= self.policy.max_age_ms
    }

    /// Of so many attempts, this one included, those that count; one at least, for the delay.
    fn counted(&self, attempts: u32) -> u32 {
        if self.uncounted { attempts.saturating_sub(1).max(1) } else { attempts }
    }
}

impl FailureVerdict {
    /// The same for a record, with the last error of what is given up.
    pub fn consequence(self, now: Now, age_ms: u64, last_error: &str) -> Consequence {
        match self {
            Self::RetryIn { delay_ms } => Consequence::retry(now, delay_ms, age_ms),
            Self::Park { reason } => Consequence::Parked { reason },
            Self::GiveUp { reason } => {
                Consequence::Dead { reason: format!("{reason}; the last: {last_error}") }
            }
        }
    }

    /// The same, where the report says what the last error was.
    pub fn after(self, now: Now, age_ms: u64, report: &AttemptReport) -> Consequence {
        self.consequence(now, age_ms, &error_summary(report))
    }
}

#[cfg(test)]
mod tests {
    use super::{AttemptRetry, AttemptWeight, FailureVerdict, RetryProgress};
    use crate::model::{
        AttemptFault, Batch, BatchFormat, Endpoint, HeadOfLine, Order, Outcome, limits,
    };
    use crate::queue::testing::{START, TestQueue, report};
    use crate::record::{Consequence, Record};

    const BATCH: Batch =
        Batch { max_events: 1, max_bytes: 1 << 20, max_wait_ms: 1, format: BatchFormat::Json };

    /// The delays after the attempts of one delivery, of which those of these numbers do not count.
    fn delays(batch: Option<Batch>, uncounted: &[usize]) -> Vec<u64> {
        let mut settings = Endpoint { batch, ..Endpoint::new("app", "http://app.example/") };
        (settings.retry.base_ms, settings.retry.jitter) = (1_000, 0.0);
        let mut world = TestQueue::new([settings]);
        world.accept("{}");
        world.pass(10);

        let mut delays = Vec::new();
        for number in 1..=5 {
            let mut failed = report(world.now, Outcome::Retryable { after_ms: None });
            if uncounted.contains(&number) {
                // No route: the link is to blame.
                failed.fault = Some(AttemptFault::NoRoute);
            }
            match batch {
                Some(_) => world.finish_batch(failed, Vec::new()),
                None => world.finish(world.attempts[number - 1], failed),
            }

            let next = world.records.iter().rev().find_map(|record| match record {
                Record::AttemptFinished(attempt) => Some((attempt.next.clone(), attempt.uncounted)),
                Record::BatchFinished(batch) => {
                    Some((batch.members[0].next.clone(), batch.uncounted))
                }
                _ => None,
            });
            let (next, was_uncounted) = next.expect("an attempt has ended");
            assert_eq!(was_uncounted, uncounted.contains(&number));
            let Consequence::Retry { delay_ms, .. } = next else { panic!("{next:?}") };
            delays.push(delay_ms);
            // The gap between probes of the link comes on top.
            world.pass(delay_ms + limits::LINK_GAP_MAX_MS);
        }
        delays
    }

    #[test]
    fn an_attempt_that_does_not_count_keeps_the_backoff() {
        for batch in [None, Some(BATCH)] {
            assert_eq!(delays(batch, &[]), [1_000, 2_000, 4_000, 8_000, 16_000]);
            assert_eq!(delays(batch, &[3, 4]), [1_000, 2_000, 2_000, 2_000, 4_000], "{batch:?}");
        }
    }

    #[test]
    fn one_that_does_not_count_is_no_reason_to_give_up_park_or_hold() {
        let mut settings = Endpoint::new("app", "http://app.example/");
        settings.retry.max_attempts = Some(2);
        settings.head_of_line = HeadOfLine::Park { after: 1 };
        let failed = report(START, Outcome::Retryable { after_ms: None });
        let decided = |uncounted| {
            let weight = AttemptWeight { uncounted, failing_ms: u64::MAX };
            let retry = AttemptRetry::new(&settings, &failed, weight, 0.5);
            let old = RetryProgress { attempts: 9, age_ms: 1 << 50 };
            (retry.holds, retry.verdict(old, true), retry.verdict(old, false))
        };

        let (holds, head, other) = decided(false);
        assert!(holds && matches!(head, FailureVerdict::Park { .. }), "{head:?}");
        assert!(matches!(other, FailureVerdict::GiveUp { .. }), "{other:?}");
        let (holds, head, other) = decided(true);
        assert!(!holds && head == other && matches!(head, FailureVerdict::RetryIn { .. }));
    }

    /// A receiver that fails whatever it is sent: a batch that keeps its lane back is split until
    /// its head is alone, which is then decided on.
    #[test]
    fn the_head_of_a_lane_is_found_in_a_batch_of_several() {
        let of = |head_of_line| {
            let batch = Batch { max_events: 3, max_wait_ms: 1_000, ..BATCH };
            let mut settings = Endpoint { batch: Some(batch), ..Endpoint::new("app", "http://a/") };
            (settings.order, settings.head_of_line) = (Order::Strict, head_of_line);
            (settings.retry.base_ms, settings.retry.jitter) = (1_000, 0.0);
            let mut world = TestQueue::new([settings]);

            let ids = [world.accept("{}"), world.accept("{}"), world.accept("{}")];
            for number in 1.. {
                world.pass(60_000);
                if number > 8 || world.batches.len() < number {
                    break;
                }
                world
                    .finish_batch(report(world.now, Outcome::Retryable { after_ms: None }), vec![]);
            }

            let app = &world.queue.state().endpoints[&1];
            let head_is_dead = app.dead.contains(ids[0].seq);
            (head_is_dead, app.dead.contains(ids[2].seq), app.lanes().count().1)
        };
        assert_eq!(of(HeadOfLine::Block), (false, false, 0));
        assert!(of(HeadOfLine::Skip { after: 2 }).0, "the head is passed");
        assert_eq!(of(HeadOfLine::Park { after: 2 }), (false, false, 1), "its lane is parked");
    }

    /// What has become of the first of two deliveries after five attempts that were refused.
    fn head_of(order: Order, head_of_line: HeadOfLine, batch: Option<Batch>) -> (u64, u64, usize) {
        let mut settings = Endpoint::new("app", "http://app.example/");
        (settings.order, settings.head_of_line, settings.batch) = (order, head_of_line, batch);
        (settings.retry.base_ms, settings.retry.jitter) = (1_000, 0.0);
        let mut world = TestQueue::new([settings]);
        let first = world.accept("{}");
        world.accept("{}");

        for number in 1..=5 {
            world.pass(20_000);
            let refused = crate::queue::testing::answered(
                world.now,
                Outcome::Retryable { after_ms: None },
                400,
            );
            match batch {
                Some(_) => {
                    assert_eq!(world.batches[number - 1].events, [first]);
                    world.finish_batch(refused, Vec::new());
                }
                None => world.finish(world.attempts[number - 1], refused),
            }
        }
        let app = &world.queue.state().endpoints[&1];
        (app.dead.len(), app.undone, app.lanes().count().1)
    }

    #[test]
    fn the_head_of_a_lane_is_treated_alike_in_a_batch() {
        for batch in [None, Some(BATCH)] {
            let of = |head_of_line| head_of(Order::Strict, head_of_line, batch);
            assert_eq!(of(HeadOfLine::Block), (0, 2, 0), "it waits, {batch:?}");
            assert_eq!(of(HeadOfLine::Skip { after: 5 }), (1, 1, 0), "it is passed, {batch:?}");
            assert_eq!(of(HeadOfLine::Park { after: 5 }), (0, 2, 1), "it is parked, {batch:?}");
        }
    }
}
