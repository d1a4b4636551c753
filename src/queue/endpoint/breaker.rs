//! The breaker of one endpoint: after a run of nothing but failures only a probe goes out, with
//! growing gaps. Each attempt's record says how it stands, so that a restart finds it as it was.
//!
//! It opens after `limits::BREAKER_FAILURES` failures in a row that span `limits::BREAKER_SPAN_MS`
//! at least, so that a short outage is the retry policy's alone. While it is open, deliveries burn
//! no attempts; the first success closes it, and the window, which is one by then, grows again from
//! there.

use crate::model::{Now, WallMs, limits};
use crate::record::{OpenBreaker, Restraint, Wait};

/// One endpoint's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    pub failures_in_row: u32,
    /// When the run of failures began, on the monotonic clock: below 0 before this start.
    failing_since: i64,
    pub open: Option<OpenCircuit>,
}

/// An open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// By the wall clock, for people.
    pub since: WallMs,
    pub probe_at: u64,
    probes: u32,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    None,
    Opened,
    Closed,
}

impl Breaker {
    /// Learns from an attempt. `longest_ms` is the longest delay of the endpoint's retry policy.
    pub fn learn(&mut self, succeeded: bool, at: Now, longest_ms: u64) -> BreakerChange {
        let now = at.mono_ms;
        if succeeded {
            let was_open = self.open.is_some();
            *self = Self::default();
            return if was_open { BreakerChange::Closed } else { BreakerChange::None };
        }

        if self.failures_in_row == 0 {
            self.failing_since = signed(now);
        }
        self.failures_in_row = self.failures_in_row.saturating_add(1);

        // It is open: this was a probe, and the next one comes later.
        if let Some(open) = &mut self.open {
            open.probes = open.probes.saturating_add(1);
            open.probe_at = now + gap_ms(open.probes, longest_ms);
            return BreakerChange::None;
        }

        // A short outage, however many attempts it meets, is the retry policy's alone.
        let long = self.failing_ms(now) >= limits::BREAKER_SPAN_MS;
        if self.failures_in_row < limits::BREAKER_FAILURES || !long {
            return BreakerChange::None;
        }
        self.open = Some(OpenCircuit {
            since: at.wall_ms,
            probe_at: now + gap_ms(0, longest_ms),
            probes: 0,
        });
        BreakerChange::Opened
    }

    /// The breaker as the record of the last attempt has it. A probe keeps what is left of its gap.
    #[must_use]
    pub fn of(restraint: &Restraint, now: Now) -> Self {
        let failing_ms = now.wall_ms.saturating_sub(restraint.failing_since);
        let open = restraint.breaker.map(|open| OpenCircuit {
            since: open.since,
            probe_at: now.mono_ms + open.probe.left_ms(now.wall_ms),
            probes: open.probes,
        });
        Self {
            failures_in_row: restraint.failures,
            failing_since: signed(now.mono_ms).saturating_sub(signed(failing_ms)),
            open,
        }
    }

    /// What the record of an attempt says of it.
    #[must_use]
    pub fn remembered(&self, now: Now) -> Restraint {
        let failing_since = match self.failures_in_row {
            0 => 0,
            _ => now.wall_ms.saturating_sub(self.failing_ms(now.mono_ms)),
        };
        let breaker = self.open.map(|open| {
            let wait_ms = open.probe_at.saturating_sub(now.mono_ms);
            OpenBreaker {
                since: open.since,
                probes: open.probes,
                probe: Wait { until: now.wall_ms.saturating_add(wait_ms), wait_ms },
            }
        });
        Restraint { failures: self.failures_in_row, failing_since, breaker, paused: None }
    }

    /// For how long there was nothing but failures.
    fn failing_ms(&self, now_mono: u64) -> u64 {
        u64::try_from(signed(now_mono).saturating_sub(self.failing_since)).unwrap_or(0)
    }

    /// No attempt before this.
    #[must_use]
    pub fn probe_at(&self) -> Option<u64> {
        self.open.map(|open| open.probe_at)
    }
}

/// A time or a stretch of it, which may be subtracted from an earlier one.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// The gap before probe `n`, doubled each time.
fn gap_ms(n: u32, longest_ms: u64) -> u64 {
    let most = limits::PROBE_GAP_MAX_MS.min(longest_ms).max(1);
    limits::PROBE_GAP_MS.saturating_mul(1 << n.min(30)).min(most)
}

#[cfg(test)]
mod tests {
    use super::{Breaker, BreakerChange};
    use crate::model::Now;
    use crate::model::limits::{BREAKER_FAILURES, BREAKER_SPAN_MS, PROBE_GAP_MAX_MS, PROBE_GAP_MS};

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_800_000_000_000 + mono_ms }
    }

    #[test]
    fn opens_after_a_long_run_and_probes_with_growing_gaps() {
        let mut breaker = Breaker::default();
        for n in 0..50 {
            assert_eq!(
                breaker.learn(false, at(n), u64::MAX),
                BreakerChange::None,
                "a burst of failures is not a run"
            );
        }

        assert_eq!(breaker.learn(false, at(BREAKER_SPAN_MS), u64::MAX), BreakerChange::Opened);

        let mut now = BREAKER_SPAN_MS;
        let mut gaps = Vec::new();
        for _ in 0..12 {
            let due = breaker.probe_at().expect("open");
            gaps.push(due - now);
            now = due;
            assert_eq!(breaker.learn(false, at(now), u64::MAX), BreakerChange::None);
        }
        assert_eq!(gaps[..3], [PROBE_GAP_MS, 2 * PROBE_GAP_MS, 4 * PROBE_GAP_MS]);
        assert_eq!(gaps.last(), Some(&PROBE_GAP_MAX_MS));
        assert_eq!(breaker.learn(true, at(now), u64::MAX), BreakerChange::Closed);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn few_failures_over_a_long_time_do_not_open_it() {
        let mut breaker = Breaker::default();
        for n in 1..u64::from(BREAKER_FAILURES) {
            assert_eq!(breaker.learn(false, at(n * BREAKER_SPAN_MS), 1), BreakerChange::None);
        }
    }

    #[test]
    fn a_restart_finds_it_as_it_was() {
        let mut breaker = Breaker::default();
        for n in 0..20 {
            breaker.learn(false, at(n * BREAKER_SPAN_MS / 10), u64::MAX);
        }

        let then = at(2 * BREAKER_SPAN_MS);
        let remembered = breaker.remembered(then);
        let gap = breaker.probe_at().expect("open") - then.mono_ms;

        let later = |passed| Now { mono_ms: 5, wall_ms: then.wall_ms + passed };
        let again = Breaker::of(&remembered, later(gap / 2));
        assert_eq!(again.probe_at(), Some(5 + gap - gap / 2));
        assert_eq!(
            (again.failures_in_row, again.open.map(|o| o.since)),
            (20, breaker.open.map(|o| o.since))
        );
        assert_eq!(Breaker::of(&remembered, later(10 * gap)).probe_at(), Some(5), "it is due");
        let before = Now { mono_ms: 5, wall_ms: 0 };
        assert_eq!(
            Breaker::of(&remembered, before).probe_at(),
            Some(5 + gap),
            "no longer than it was, in 1970"
        );
    }

    #[test]
    fn a_run_of_failures_goes_on_over_a_restart() {
        let mut breaker = Breaker::default();
        let failures = u64::from(BREAKER_FAILURES) - 1;
        for n in 0..failures {
            breaker.learn(false, at(n * BREAKER_SPAN_MS / failures), u64::MAX);
        }
        assert_eq!(breaker.open, None, "one is missing");

        let remembered = breaker.remembered(at(BREAKER_SPAN_MS));
        let started = Now { mono_ms: 3, ..at(BREAKER_SPAN_MS) };
        let mut again = Breaker::of(&remembered, started);
        assert_eq!(again.remembered(started).failing_since, at(0).wall_ms);
        assert_eq!(again.learn(false, started, u64::MAX), BreakerChange::Opened);
        assert_eq!(again.remembered(started).failing_since, at(0).wall_ms);

        // A clock that was set back since says nothing: the run begins now.
        let before = Now { mono_ms: 3, wall_ms: 5 };
        assert_eq!(Breaker::of(&remembered, before).remembered(before).failing_since, 5);
    }

    #[test]
    fn probes_are_no_further_apart_than_the_longest_retry() {
        let mut breaker = Breaker::default();
        for n in 0..=u64::from(BREAKER_FAILURES) {
            breaker.learn(false, at(n * BREAKER_SPAN_MS), 200);
        }
        let now = u64::from(BREAKER_FAILURES) * BREAKER_SPAN_MS;
        assert_eq!(breaker.probe_at(), Some(now + 200));
    }
}
