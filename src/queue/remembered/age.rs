//! How old deliveries are. One clock for each, from when it was accepted until it ends, whatever it
//! waits for.
//!
//! It runs on the *run clock*, which counts the milliseconds that the daemon has run since the log
//! began: it neither jumps with the wall clock nor runs while the daemon is down. For the
//! deliveries of an endpoint that is on hold, or waits for the link, it stands.

use serde::{Deserialize, Serialize};

use crate::model::limits;

/// Where the run clock begins: high enough that an age can be taken off it.
pub const RUN_START: u64 = 1 << 42;

/// When the clock of an endpoint's deliveries stood, by the run clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgePauses {
    /// Since when, while it stands.
    since: Option<u64>,
    /// It waits for the link.
    pub away: bool,
    /// From when until when it stood before, oldest first.
    past: Vec<(u64, u64)>,
}

impl AgePauses {
    /// It stands from now on.
    pub fn stop(&mut self, at: u64) {
        self.since.get_or_insert(at);
    }

    /// It goes on.
    pub fn go_on(&mut self, at: u64) {
        let Some(since) = self.since.take().filter(|since| *since < at) else { return };
        self.past.push((since, at));
        if self.past.len() > limits::CLOCK_STANDS {
            // The two oldest become one: what is as old as they are is taken for a little younger.
            let first = self.past.remove(0);
            if let Some(second) = self.past.first_mut() {
                second.0 = first.0;
            }
        }
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.since.is_some()
    }

    /// How old a delivery is that was accepted at `born`.
    #[must_use]
    pub fn age_ms(&self, born: u64, ran_ms: u64) -> u64 {
        let end = self.since.unwrap_or(ran_ms).min(ran_ms);
        let behind = self.past.iter().rev().take_while(|(_, until)| *until > born);
        let stood: u64 = behind.map(|(from, until)| until - from.max(&born).min(until)).sum();
        end.saturating_sub(born).saturating_sub(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::AgePauses;
    use crate::model::limits;

    #[test]
    fn what_it_stood_does_not_count() {
        let mut stands = AgePauses::default();
        assert_eq!(stands.age_ms(100, 250), 150);
        stands.stop(200);
        stands.stop(220);
        assert_eq!((stands.age_ms(100, 250), stands.age_ms(210, 250)), (100, 0));
        stands.go_on(300);
        assert_eq!(
            (stands.age_ms(100, 310), stands.age_ms(250, 310), stands.age_ms(305, 310)),
            (110, 10, 5)
        );
        stands.stop(310);
        stands.go_on(320);
        assert_eq!(stands.age_ms(100, 330), 120);
    }

    #[test]
    fn many_short_stands_are_bounded_and_make_nothing_older() {
        let mut stands = AgePauses::default();
        for n in 0..10 * limits::CLOCK_STANDS as u64 {
            stands.stop(1_000 + n * 10);
            stands.go_on(1_005 + n * 10);
        }
        assert!(stands.past.len() <= limits::CLOCK_STANDS);
        let now = 1_000 + 100 * limits::CLOCK_STANDS as u64;
        assert!(stands.age_ms(0, now) <= 1_000 + (now - 1_000) / 2);
        assert_eq!(stands.age_ms(now - 100, now), 50);
    }
}
