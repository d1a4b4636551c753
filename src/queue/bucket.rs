//! A token bucket, as the generic cell rate algorithm keeps it: one number, the time up to which tokens are spent.

use crate::model::Rate;

/// Tokens of one rate. Times in microseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    spent_until_us: u64,
}

/// Microseconds between two tokens.
#[must_use]
pub fn step_us(rate: Rate) -> u64 {
    rate.per_ms.saturating_mul(1000) / u64::from(rate.count.max(1))
}

impl Bucket {
    /// One whose tokens are all spent, the next comes in `wait_us`.
    #[must_use]
    pub fn empty(rate: Rate, burst: u32, now_ms: u64, wait_us: u64) -> Self {
        let behind = step_us(rate).saturating_mul(u64::from(burst.max(1) - 1));
        Self { spent_until_us: now_ms.saturating_mul(1000).saturating_add(wait_us).saturating_add(behind) }
    }

    /// When there is a token, in milliseconds.
    #[must_use]
    pub fn ready_at(&self, rate: Rate, burst: u32) -> u64 {
        let ahead = step_us(rate).saturating_mul(u64::from(burst.max(1) - 1));
        self.spent_until_us.saturating_sub(ahead).div_ceil(1000)
    }

    /// Takes a token.
    pub fn take(&mut self, rate: Rate, now_ms: u64) {
        self.spent_until_us = self.spent_until_us.max(now_ms.saturating_mul(1000)).saturating_add(step_us(rate));
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
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
            let mut bucket = Bucket::default();
            let (mut now, mut times) = (1_000u64, Vec::new());
            for pause in pauses {
                now = (now + pause).max(bucket.ready_at(rate, burst));
                bucket.take(rate, now);
                times.push(now);
            }
            for (at, from) in times.iter().enumerate() {
                for (more, to) in times[at..].iter().enumerate() {
                    let allowed = f64::from(burst) + (*to - *from) as f64 * f64::from(count) / per_ms as f64;
                    prop_assert!((more + 1) as f64 <= allowed + 0.01, "{} in {} ms", more + 1, to - from);
                }
            }
        }
    }

    #[test]
    fn an_empty_one_fills_up_again() {
        let rate = Rate { count: 1, per_ms: 1000 };
        let bucket = Bucket::empty(rate, 3, 5_000, 1_000_000);
        assert_eq!(bucket.ready_at(rate, 3), 6_000);
    }
}
