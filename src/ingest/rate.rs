//! How often a source may be posted to: two token buckets for each source, each as large as its
//! rate. One is for requests whose proof holds, the other for those without: whoever cannot prove
//! anything never uses up the rate of genuine senders.
//!
//! A bucket is kept as one number, the time at which the bucket would be full again (the generic
//! cell rate algorithm), so that nothing has to tick. In memory only: after a restart buckets are
//! full.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Rate, SourceId};

/// The buckets of all sources.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When each bucket is full again, in microseconds of the monotonic clock.
    full_at: Mutex<HashMap<(SourceId, RateClass), u64>>,
}

/// Which requests a bucket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum RateClass {
    Proven,
    Unproven,
}

impl Rates {
    /// Takes a token from the source's bucket, or returns in how many milliseconds there is one.
    pub fn take(
        &self,
        source: SourceId,
        bucket: RateClass,
        rate: Rate,
        mono_ms: u64,
    ) -> Result<(), u64> {
        self.look(source, bucket, rate, mono_ms, true)
    }

    /// Like [`Self::take`], without taking it.
    pub fn has(
        &self,
        source: SourceId,
        bucket: RateClass,
        rate: Rate,
        mono_ms: u64,
    ) -> Result<(), u64> {
        self.look(source, bucket, rate, mono_ms, false)
    }

    fn look(
        &self,
        source: SourceId,
        bucket: RateClass,
        rate: Rate,
        mono_ms: u64,
        takes: bool,
    ) -> Result<(), u64> {
        let now = mono_ms.saturating_mul(1000);
        let whole = rate.per_ms.saturating_mul(1000);
        let one = (whole / u64::from(rate.count.max(1))).max(1);

        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.entry((source, bucket)).or_insert(now);
        let after = (*at).max(now).saturating_add(one);

        let beyond = (after - now).saturating_sub(whole.max(one));
        if beyond > 0 {
            return Err(beyond.div_ceil(1000));
        }

        if takes {
            *at = after;
        }
        Ok(())
    }

    /// Keeps the buckets of these sources.
    pub fn retain(&self, is_there: impl Fn(SourceId) -> bool) {
        self.full_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(source, _), _| is_there(*source));
    }
}

#[cfg(test)]
mod tests {
    use super::RateClass::{Proven, Unproven};
    use super::Rates;
    use crate::model::Rate;

    #[test]
    fn a_bucket_holds_its_rate_and_fills_again() {
        let rates = Rates::default();
        let rate = Rate { count: 5, per_ms: 1000 };
        let taken = |at| (0..20).filter(|_| rates.take(1, Proven, rate, at).is_ok()).count();
        assert_eq!(taken(10_000), 5);
        assert_eq!(rates.take(1, Proven, rate, 10_000), Err(200));
        assert_eq!(rates.has(1, Proven, rate, 10_000), Err(200));
        assert_eq!(rates.take(2, Proven, rate, 10_000), Ok(()), "another source has its own");
        assert_eq!(rates.take(1, Unproven, rate, 10_000), Ok(()), "what is not proven has its own");
        assert!(
            (0..9).all(|_| rates.has(2, Proven, rate, 10_000).is_ok()),
            "to look takes nothing"
        );

        assert_eq!(taken(10_199), 0);
        assert_eq!(taken(10_200), 1);
        assert_eq!(taken(60_000), 5, "it never holds more");

        let slow = Rate { count: 1, per_ms: 3_600_000 };
        assert_eq!(
            (rates.take(3, Proven, slow, 0), rates.take(3, Proven, slow, 0)),
            (Ok(()), Err(3_600_000))
        );

        rates.retain(|source| source == 1);
        assert_eq!(rates.take(3, Proven, slow, 0), Ok(()));
    }
}
