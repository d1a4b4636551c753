//! The breaker of one endpoint: after a run of nothing but failures only a probe goes out, with growing gaps. Volatile.
//!
//! It opens after `limits::BREAKER_FAILURES` failures in a row that span `limits::BREAKER_SPAN_MS` at least, so that a
//! short outage is the retry policy's alone. While it is open, deliveries burn no attempts; the first success closes it,
//! and the window, which is one by then, grows again from there.

use crate::model::limits;

/// One endpoint's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    pub failures_in_row: u32,
    /// When the run of failures began, on the monotonic clock.
    failing_since: u64,
    pub open: Option<Open>,
}

/// An open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub since: u64,
    pub probe_at: u64,
    probes: u32,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    None,
    Opened,
    Closed,
}

impl Breaker {
    /// Learns from an attempt. `longest_ms` is the longest delay of the endpoint's retry policy.
    pub fn learn(&mut self, succeeded: bool, now: u64, longest_ms: u64) -> Turn {
        if succeeded {
            let was_open = self.open.is_some();
            *self = Self::default();
            return if was_open { Turn::Closed } else { Turn::None };
        }
        if self.failures_in_row == 0 {
            self.failing_since = now;
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        if let Some(open) = &mut self.open {
            open.probes = open.probes.saturating_add(1);
            open.probe_at = now + gap_ms(open.probes, longest_ms);
            return Turn::None;
        }
        let long = now.saturating_sub(self.failing_since) >= limits::BREAKER_SPAN_MS;
        if self.failures_in_row < limits::BREAKER_FAILURES || !long {
            return Turn::None;
        }
        self.open = Some(Open { since: now, probe_at: now + gap_ms(0, longest_ms), probes: 0 });
        Turn::Opened
    }

    /// No attempt before this.
    #[must_use]
    pub fn probe_at(&self) -> Option<u64> {
        self.open.map(|open| open.probe_at)
    }
}

/// The gap before probe `n`, doubled each time.
fn gap_ms(n: u32, longest_ms: u64) -> u64 {
    let most = limits::PROBE_GAP_MAX_MS.min(longest_ms).max(limits::PROBE_GAP_MS);
    limits::PROBE_GAP_MS.saturating_mul(1 << n.min(30)).min(most)
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Turn};
    use crate::model::limits::{BREAKER_FAILURES, BREAKER_SPAN_MS, PROBE_GAP_MAX_MS, PROBE_GAP_MS};

    #[test]
    fn opens_after_a_long_run_and_probes_with_growing_gaps() {
        let mut breaker = Breaker::default();
        for n in 0..50 {
            assert_eq!(breaker.learn(false, n, u64::MAX), Turn::None, "a burst of failures is no run");
        }
        assert_eq!(breaker.learn(false, BREAKER_SPAN_MS, u64::MAX), Turn::Opened);
        let mut now = BREAKER_SPAN_MS;
        let mut gaps = Vec::new();
        for _ in 0..12 {
            let at = breaker.probe_at().expect("open");
            gaps.push(at - now);
            now = at;
            assert_eq!(breaker.learn(false, now, u64::MAX), Turn::None);
        }
        assert_eq!(gaps[..3], [PROBE_GAP_MS, 2 * PROBE_GAP_MS, 4 * PROBE_GAP_MS]);
        assert_eq!(gaps.last(), Some(&PROBE_GAP_MAX_MS));
        assert_eq!(breaker.learn(true, now, u64::MAX), Turn::Closed);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn few_failures_over_a_long_time_do_not_open_it() {
        let mut breaker = Breaker::default();
        for n in 1..u64::from(BREAKER_FAILURES) {
            assert_eq!(breaker.learn(false, n * BREAKER_SPAN_MS, 1), Turn::None);
        }
    }
}
