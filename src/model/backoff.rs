//! When a failed delivery is retried, or that it is given up.

use super::{RetryPolicy, limits};

/// What follows from a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    RetryIn { delay_ms: u64 },
    GiveUp { reason: String },
}

/// The delay after attempt number `attempts` (1 for the first), before jitter: `base ·
/// factor^(attempts-1)`, at most `max`.
#[must_use]
pub fn delay_ms(policy: &RetryPolicy, attempts: u32) -> u64 {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let delay = ms(policy.base_ms) * policy.factor.powi(exponent);
    to_ms(delay.min(ms(policy.max_ms)))
}

/// Decides on a failed delivery of `age_ms` after `attempts` attempts. `draw` is uniform in 0..1;
/// `after_ms` is what the receiver asked for, honoured up to `limits::RETRY_AFTER_MAX_MS`. The last
/// attempt falls on the end of `max_age`.
#[must_use]
pub fn decide(
    policy: &RetryPolicy,
    attempts: u32,
    age_ms: u64,
    after_ms: Option<u64>,
    draw: f64,
) -> RetryDecision {
    if let Some(most) = policy.max_attempts
        && attempts >= most
    {
        // Splitting a batch, or a retry by the operator, makes more attempts than the policy.
        let reason = match attempts > most {
            false => format!("{attempts} of {most} attempts failed"),
            true => format!(
                "{attempts} attempts failed, {} more than the {most} of the policy (for a split \
                 batch, or asked for)",
                attempts - most
            ),
        };
        return RetryDecision::GiveUp { reason };
    }

    if age_ms >= policy.max_age_ms {
        let age = super::time::format_duration_ms(policy.max_age_ms);
        return RetryDecision::GiveUp {
            reason: format!("older than its max age of {age} after {attempts} attempts"),
        };
    }

    // The last attempt is made at the end of the delivery's age, not after it.
    let spread = 1.0 + policy.jitter * (2.0 * draw - 1.0);
    let planned = to_ms(ms(delay_ms(policy, attempts)) * spread);
    let asked = after_ms.unwrap_or(0).min(limits::RETRY_AFTER_MAX_MS);
    let delay_ms = planned.max(asked).min(policy.max_age_ms - age_ms).max(1);
    RetryDecision::RetryIn { delay_ms }
}

#[expect(clippy::cast_precision_loss, reason = "delays are far below 2^52 ms")]
fn ms(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is meant"
)]
fn to_ms(n: f64) -> u64 {
    n.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::{RetryDecision, decide, delay_ms};
    use crate::model::{RetryPolicy, limits};
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let delays: Vec<u64> =
            [1, 2, 3, 12, 13, 40, u32::MAX].iter().map(|n| delay_ms(&policy, *n)).collect();
        assert_eq!(delays, [1000, 2000, 4000, 2_048_000, 3_600_000, 3_600_000, 3_600_000]);
    }

    #[test]
    fn gives_up_by_attempts_and_by_age() {
        let policy = RetryPolicy { max_attempts: Some(3), ..RetryPolicy::default() };
        assert!(matches!(
            decide(&policy, 2, 0, None, 0.5),
            RetryDecision::RetryIn { delay_ms: 2000 }
        ));
        assert!(matches!(decide(&policy, 3, 0, None, 0.5), RetryDecision::GiveUp { .. }));
        assert!(matches!(
            decide(&policy, 1, policy.max_age_ms, None, 0.5),
            RetryDecision::GiveUp { .. }
        ));
        let last = decide(&policy, 1, policy.max_age_ms - 10, None, 0.5);
        assert_eq!(last, RetryDecision::RetryIn { delay_ms: 10 });
    }

    #[test]
    fn honours_retry_after_up_to_its_cap() {
        let policy = RetryPolicy { max_age_ms: u64::MAX, ..RetryPolicy::default() };
        assert_eq!(
            decide(&policy, 1, 0, Some(5000), 0.5),
            RetryDecision::RetryIn { delay_ms: 5000 }
        );
        assert_eq!(decide(&policy, 1, 0, Some(5), 0.5), RetryDecision::RetryIn { delay_ms: 1000 });
        let capped = RetryDecision::RetryIn { delay_ms: limits::RETRY_AFTER_MAX_MS };
        assert_eq!(decide(&policy, 1, 0, Some(u64::MAX), 0.5), capped);
    }

    proptest! {
        #[test]
        fn never_outside_jitter_and_cap(
            base_ms in 1u64..100_000, factor in 1.0f64..100.0, max_ms in 1u64..10_000_000,
            jitter in 0.0f64..=1.0, attempts in any::<u32>(), draw in 0.0f64..1.0,
        ) {
            let (max_age_ms, max_attempts) = (u64::MAX, None);
            let policy = RetryPolicy { base_ms, factor, max_ms, jitter, max_age_ms, max_attempts };
            let decision = decide(&policy, attempts, 0, None, draw);
            let RetryDecision::RetryIn { delay_ms: delay } = decision else {
                panic!("gave up without a reason");
            };
            let mean = super::ms(delay_ms(&policy, attempts));
            prop_assert!(super::ms(delay) <= mean * (1.0 + jitter) + 1.0);
            prop_assert!(super::ms(delay) >= mean * (1.0 - jitter) - 1.0);
            prop_assert!(delay <= max_ms * 2 + 1);
        }
    }
}
