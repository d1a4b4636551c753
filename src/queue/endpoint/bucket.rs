//! A token bucket, as the generic cell rate algorithm keeps it: one number, the time up to which
//! tokens are spent.

use crate::model::{Now, Rate, WallMs, limits};

/// Tokens of one rate. Times in microseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    spent_until_us: u64,
}

/// Microseconds between two tokens.
#[must_use]
pub fn step_us(rate: Rate) -> u64 {
    rate.per_ms.saturating_mul(1000) / u64::from(rate.count.max(1))
}

/// Whether tokens are so far apart that it is remembered when one is used.
#[must_use]
pub fn is_slow(rate: Rate) -> bool {
    step_us(rate) >= limits::SLOW_RATE_STEP_MS * 1000
}

impl TokenBucket {
    /// One whose tokens are all spent, the next comes in `wait_us`.
    #[must_use]
    pub fn empty(rate: Rate, burst: u32, now_ms: u64, wait_us: u64) -> Self {
        let behind = step_us(rate).saturating_mul(u64::from(burst.max(1) - 1));
        Self {
            spent_until_us: now_ms
                .saturating_mul(1000)
                .saturating_add(wait_us)
                .saturating_add(behind),
        }
    }

    /// The bucket after a start, so that a restart is not a burst: no token that was spent before
    /// it comes again. A slow rate waits only as long as the time of the last attempt says.
    #[must_use]
    pub fn after_start(rate: Rate, burst: u32, last_attempt_at: WallMs, now: Now) -> Self {
        let step = step_us(rate);
        let passed_us = now.wall_ms.saturating_sub(last_attempt_at).saturating_mul(1000);
        let wait_us = match last_attempt_at {
            // There never was an attempt.
            0 => 0,
            _ if is_slow(rate) => step.saturating_sub(passed_us),
            _ => step,
        };
        Self::empty(rate, burst, now.mono_ms, wait_us)
    }

    /// The one of two of the same rate that has a token sooner.
    #[must_use]
    pub fn sooner(self, other: Self) -> Self {
        Self { spent_until_us: self.spent_until_us.min(other.spent_until_us) }
    }

    /// When there is a token, in milliseconds.
    #[must_use]
    pub fn ready_at(&self, rate: Rate, burst: u32) -> u64 {
        let ahead = step_us(rate).saturating_mul(u64::from(burst.max(1) - 1));
        self.spent_until_us.saturating_sub(ahead).div_ceil(1000)
    }

    /// Takes a token.
    pub fn take(&mut self, rate: Rate, now_ms: u64) {
        self.spent_until_us =
            self.spent_until_us.max(now_ms.saturating_mul(1000)).saturating_add(step_us(rate));
    }
}

#[cfg(test)]
mod tests {
    use super::TokenBucket;
    use crate::model::Rate;
    use proptest::prelude::{prop_assert, proptest};

    proptest! {
        /// In any stretch of time there are at most burst + stretch / step attempts.
        #[test]
        fn never_more_than_the_rate_and_its_burst(
            count in 1u32..100, per_ms in 1u64..100_000, burst in 1u32..20,
            pauses in proptest::collection::vec(0u64..5_000, 1..80),
        ) {
            let rate = Rate { count, per_ms };
            let mut bucket = TokenBucket::default();
            let (mut now, mut times) = (1_000u64, Vec::new());
            for pause in pauses {
                now = (now + pause).max(bucket.ready_at(rate, burst));
                bucket.take(rate, now);
                times.push(now);
            }
            for (at, from) in times.iter().enumerate() {
                for (more, to) in times[at..].iter().enumerate() {
                    let stretch_ms = (*to - *from) as f64;
                    let allowed = f64::from(burst) + stretch_ms * f64::from(count) / per_ms as f64;
                    let begun = (more + 1) as f64;
                    prop_assert!(begun <= allowed + 0.01, "{begun} in {stretch_ms} ms");
                }
            }
        }
    }

    #[test]
    fn an_empty_one_fills_up_again() {
        let rate = Rate { count: 1, per_ms: 1000 };
        let bucket = TokenBucket::empty(rate, 3, 5_000, 1_000_000);
        assert_eq!(bucket.ready_at(rate, 3), 6_000);
    }
}
