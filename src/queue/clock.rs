//! Whether the wall clock can be believed. It stands in signatures, so a nonsense time must not go
//! out: a box without a battery boots in 1970, and a clock may jump by years. Deliveries that are
//! signed wait for a sane clock, at most `limits::CLOCK_WAIT_MS`; nothing else depends on it,
//! because delays run on the monotonic clock.
//!
//! Suspect is a time before this program existed, one that lies more than a year behind or a day
//! before what the log saw last (looked at when the daemon starts), and one that has moved by more
//! than `limits::CLOCK_JUMP_MS` against the monotonic clock while the daemon ran, unless it comes
//! from a time that was suspect itself.

use crate::model::{Now, WallMs, limits};

/// 2026-01-01T00:00:00Z: nobody had this program before.
const FLOOR: WallMs = 1_767_225_600_000;
const YEAR_MS: u64 = 366 * 86_400_000;

/// What is known of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    /// The wall clock when the monotonic one was at 0, as it is believed; `None` when no time could
    /// be believed yet.
    epoch: Option<WallMs>,
    /// What the log saw last.
    last_wall: WallMs,
    /// Since when the time has been suspect.
    suspect_since: Option<u64>,
}

impl ClockWatch {
    #[must_use]
    pub fn new(last_wall: WallMs) -> Self {
        Self { epoch: None, last_wall, suspect_since: None }
    }

    /// Looks at the clock. Returns until when, on the monotonic clock, what needs it has to wait;
    /// `None` when it can be believed, or has been waited for long enough.
    pub fn look(&mut self, now: Now) -> Option<u64> {
        let epoch = now.wall_ms.saturating_sub(now.mono_ms);
        let sane = now.wall_ms >= FLOOR
            && match self.epoch {
                Some(believed) => epoch.abs_diff(believed) <= limits::CLOCK_JUMP_MS,
                None if self.last_wall >= FLOOR => {
                    now.wall_ms + limits::CLOCK_JUMP_MS >= self.last_wall
                        && now.wall_ms <= self.last_wall + YEAR_MS
                }
                None => true,
            };

        if sane {
            self.epoch = Some(epoch);
            self.suspect_since = None;
            return None;
        }

        let since = *self.suspect_since.get_or_insert(now.mono_ms);
        let until = since + limits::CLOCK_WAIT_MS;
        if now.mono_ms < until {
            return Some(until);
        }

        // It has been given its time: what it says counts from now on, whatever that is.
        self.epoch = (now.wall_ms >= FLOOR).then_some(epoch);
        None
    }

    /// The wall clock when the monotonic one was at 0, while it can be believed.
    #[must_use]
    pub fn believed_epoch(&self) -> Option<WallMs> {
        self.epoch.filter(|_| !self.is_suspect())
    }

    /// Whether it is suspect now.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{ClockWatch, FLOOR, YEAR_MS};
    use crate::model::{Now, limits::CLOCK_WAIT_MS};

    fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now { mono_ms, wall_ms }
    }

    #[test]
    fn a_box_that_boots_in_1970_waits_until_the_time_is_set() {
        let mut clock = ClockWatch::new(0);
        assert_eq!(clock.look(at(10, 10)), Some(10 + CLOCK_WAIT_MS));
        assert!(clock.is_suspect());
        assert_eq!(clock.look(at(2_000, FLOOR + 5_000)), None);
        assert!(!clock.is_suspect());
    }

    #[test]
    fn the_wait_is_bounded() {
        let mut clock = ClockWatch::new(0);
        assert!(clock.look(at(0, 0)).is_some());
        assert_eq!(clock.look(at(CLOCK_WAIT_MS, CLOCK_WAIT_MS)), None);
        assert_eq!(clock.look(at(CLOCK_WAIT_MS + 1, CLOCK_WAIT_MS + 1)), None);
        assert!(clock.is_suspect(), "and it is reported nevertheless");
    }

    #[test]
    fn a_jump_of_years_is_suspect_and_a_correction_of_minutes_is_not() {
        let mut clock = ClockWatch::new(FLOOR);
        assert_eq!(clock.look(at(0, FLOOR + 1_000)), None);
        assert_eq!(clock.look(at(1_000, FLOOR + 600_000)), None);
        assert!(clock.look(at(2_000, FLOOR + 5 * YEAR_MS)).is_some());
        assert_eq!(clock.look(at(3_000, FLOOR + 601_000)), None);
    }

    #[test]
    fn a_start_years_from_what_the_log_saw_is_suspect() {
        let seen = FLOOR + YEAR_MS;
        assert!(ClockWatch::new(seen).look(at(0, seen + 2 * YEAR_MS)).is_some());
        assert!(ClockWatch::new(seen).look(at(0, FLOOR + 1)).is_some());
        assert_eq!(
            ClockWatch::new(seen).look(at(0, seen + YEAR_MS / 2)),
            None,
            "months in a drawer"
        );
    }
}
