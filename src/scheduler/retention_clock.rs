//! The retention clock: the time that retention goes by. It never jumps.
//!
//! The wall clock of a small box may begin in 1970, or be years off until somebody sets it; whoever
//! throws things away by it throws away too much. So this clock counts the time that passes while
//! the daemon runs, on the monotonic clock, and stands in a checked file beside the log. What
//! passed while the daemon was off, or asleep, is only known from the wall clock: it is believed
//! when it is a matter of at most [`BELIEVED_MS`], and only after the wall clock has kept going for
//! an hour without another jump ([`PROOF_MS`]). What is not believed is not counted, so things stay
//! longer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Now, Seq, WallMs, time};

/// A difference between the two clocks that is a jump.
const JUMP_MS: u64 = 3_600_000;
/// How long the wall clock has to go on without a jump before one is believed.
const PROOF_MS: u64 = 3_600_000;
/// The longest leap that is ever believed.
const BELIEVED_MS: u64 = 30 * 86_400_000;

/// When a segment was seen sealed for the first time, and how many events there had been by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub at: WallMs,
    pub events: u64,
}

/// A time that only goes forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionClock {
    /// What time it is by this clock.
    now: WallMs,
    /// What the system's clock showed at that time.
    wall: WallMs,
    /// By the first record of each sealed segment.
    stamps: BTreeMap<Seq, Stamp>,
    /// With which time it began: what was measured by another clock, whose file was lost, may lie
    /// before it. 0 in files of earlier versions.
    #[serde(default)]
    began: WallMs,
    /// The monotonic clock at that time; it begins anew with each process.
    #[serde(skip)]
    mono_ms: u64,
    /// A leap of the wall clock that is not believed yet, and since when it stands.
    #[serde(skip)]
    leap: Option<(u64, u64)>,
}

impl RetentionClock {
    /// A new one: it begins with whatever the system's clock says.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let (wall, mono_ms) = (now.wall_ms, now.mono_ms);
        Self { now: wall, wall, began: wall, mono_ms, ..Self::default() }
    }

    /// Takes up one that was saved.
    pub fn resume(&mut self, now: Now) {
        self.mono_ms = now.mono_ms;
        let off = now.wall_ms.saturating_sub(self.wall);
        if off <= JUMP_MS {
            self.now += off;
        }
        self.jump(0, now);
    }

    /// Goes on to `now`.
    pub fn go_on(&mut self, now: Now) {
        let passed = now.mono_ms.saturating_sub(self.mono_ms);
        self.now += passed;
        self.mono_ms = now.mono_ms;
        self.jump(passed, now);
        if let Some((leap, since)) = self.leap
            && now.mono_ms.saturating_sub(since) >= PROOF_MS
        {
            self.now += leap;
            self.leap = None;
        }
    }

    /// Compares what passed with what the wall clock says has passed.
    fn jump(&mut self, passed: u64, now: Now) {
        let expected = self.wall.saturating_add(passed);
        let (ahead, behind) =
            (now.wall_ms.saturating_sub(expected), expected.saturating_sub(now.wall_ms));
        self.wall = now.wall_ms;
        if ahead <= JUMP_MS && behind <= JUMP_MS {
            return;
        }
        let (jumped, believed) =
            (time::format_duration_ms(ahead.max(behind)), ahead > 0 && ahead <= BELIEVED_MS);
        let direction = if ahead > 0 { "forward" } else { "back" };
        tracing::warn!(
            believed,
            "the wall clock jumped {direction} by {jumped}: retention by age ignores the jump"
        );
        self.leap = believed.then_some((ahead, now.mono_ms));
    }

    /// Whether a leap of the wall clock, such as the time that the daemon was off, is yet to be
    /// believed.
    #[must_use]
    pub fn is_proving(&self) -> bool {
        self.leap.is_some()
    }

    /// What time it is by this clock.
    #[must_use]
    pub fn now(&self) -> WallMs {
        self.now
    }

    /// With which time it began.
    #[must_use]
    pub fn began(&self) -> WallMs {
        self.began
    }

    /// Takes note of the segments that are sealed now. Returns whether there was anything new.
    pub fn note(&mut self, sealed: &[Seq], events: u64) -> bool {
        let before = self.stamps.len();
        self.stamps.retain(|first, _| sealed.contains(first));
        let mut changed = self.stamps.len() != before;
        for first in sealed {
            let stamp = Stamp { at: self.now, events };
            changed |= *self.stamps.entry(*first).or_insert(stamp) == stamp;
        }
        changed
    }

    /// When the segment was seen sealed.
    #[must_use]
    pub fn stamp(&self, first: Seq) -> Option<Stamp> {
        self.stamps.get(&first).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::RetentionClock;
    use crate::model::Now;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;

    fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now { mono_ms, wall_ms }
    }

    fn age(clock: &RetentionClock, first: u64) -> u64 {
        clock.now() - clock.stamp(first).expect("it was seen").at
    }

    #[test]
    fn time_passes_with_the_monotonic_clock() {
        let mut clock = RetentionClock::new(at(0, 50 * YEAR));
        assert!(clock.note(&[1, 5], 7));
        assert!(!clock.note(&[1, 5], 9));
        clock.go_on(at(2 * DAY, 50 * YEAR + 2 * DAY));
        assert_eq!((age(&clock, 1), clock.stamp(5).expect("seen").events), (2 * DAY, 7));
        assert!(clock.note(&[5], 9) && clock.stamp(1).is_none());
    }

    #[test]
    fn a_clock_that_jumps_years_ages_nothing() {
        // The box starts in 1970, and gets its time a minute later.
        let mut clock = RetentionClock::new(at(0, 1_000));
        clock.note(&[1], 0);
        clock.go_on(at(60_000, 56 * YEAR));
        clock.go_on(at(2 * HOUR, 56 * YEAR + 2 * HOUR));
        assert_eq!(age(&clock, 1), 2 * HOUR, "a difference of seconds is none");
        // And back again, and far ahead, and nothing stays for ever for it.
        clock.go_on(at(3 * HOUR, 0));
        clock.go_on(at(4 * HOUR, 400 * YEAR));
        clock.go_on(at(8 * DAY, 400 * YEAR + 8 * DAY));
        assert_eq!(age(&clock, 1), 8 * DAY);
    }

    #[test]
    fn days_that_the_daemon_was_off_count_after_a_while() {
        let mut clock = RetentionClock::new(at(0, 50 * YEAR));
        clock.note(&[1], 0);
        clock.go_on(at(HOUR, 50 * YEAR + HOUR));
        clock.resume(at(5, 50 * YEAR + 3 * DAY));
        assert_eq!(age(&clock, 1), HOUR);
        clock.go_on(at(HOUR - 1, 50 * YEAR + 3 * DAY + HOUR - 6));
        assert!(age(&clock, 1) <= 2 * HOUR, "an hour has to pass first");
        clock.go_on(at(HOUR + 5, 50 * YEAR + 3 * DAY + HOUR));
        assert_eq!(age(&clock, 1), 3 * DAY + HOUR);
    }

    #[test]
    fn a_leap_that_is_taken_back_was_none() {
        let mut clock = RetentionClock::new(at(0, 50 * YEAR));
        clock.note(&[1], 0);
        clock.go_on(at(1000, 50 * YEAR + 20 * DAY));
        clock.go_on(at(60_000, 50 * YEAR + 60_000));
        clock.go_on(at(5 * HOUR, 50 * YEAR + 5 * HOUR));
        assert_eq!(age(&clock, 1), 5 * HOUR);
    }

    #[test]
    fn a_short_absence_counts_at_once() {
        let mut clock = RetentionClock::new(at(0, 50 * YEAR));
        clock.note(&[1], 0);
        clock.resume(at(3, 50 * YEAR + 60_000));
        assert_eq!(age(&clock, 1), 60_000);
    }
}
