//! What of the disk's level is reported, and when: a level that goes back and forth is not reported
//! each time.

use super::disk_thresholds::DiskLevel;
use crate::model::limits;

/// What was reported to operators last, in log lines and notices.
#[derive(Clone, Debug, Default)]
pub(super) struct Reported {
    pub level: DiskLevel,
    /// Since when the level has been better than that, on the monotonic clock.
    better_since: Option<u64>,
    /// When it was last reported, or seen, to get worse after it had been better.
    worse_again_at: Option<u64>,
    improved_at: Option<u64>,
    /// How long it has to stay better now before that is reported.
    hold_ms: u64,
    changes: u64,
}

impl Reported {
    /// Takes in a level. Returns the one reported before, and how many changes there were, when it
    /// is to be reported now.
    pub fn take(
        &mut self,
        before: DiskLevel,
        now: DiskLevel,
        now_ms: u64,
    ) -> Option<(DiskLevel, u64)> {
        self.changes += u64::from(before != now);
        if self.worse_again_at.is_some_and(|at| now_ms.saturating_sub(at) >= limits::DISK_CALM_MS) {
            (self.worse_again_at, self.hold_ms) = (None, 0);
        }

        if now >= self.level {
            let was_better = self.better_since.take().is_some()
                || (now > self.level
                    && self
                        .improved_at
                        .is_some_and(|at| now_ms.saturating_sub(at) < limits::DISK_HOLD_MAX_MS));
            if was_better {
                self.hold_ms =
                    (2 * self.hold_ms).clamp(limits::DISK_HOLD_MS, limits::DISK_HOLD_MAX_MS);
                self.worse_again_at = Some(now_ms);
            }
            return (now > self.level).then(|| self.report(now));
        }

        let since = *self.better_since.get_or_insert(now_ms);
        // That events are accepted again is what everybody waits for.
        let is_urgent = self.level >= DiskLevel::Refusing && now < DiskLevel::Refusing;
        let hold_ms = if is_urgent { self.hold_ms } else { self.hold_ms.max(limits::DISK_HOLD_MS) };
        if now_ms.saturating_sub(since) < hold_ms {
            return None;
        }
        self.improved_at = Some(now_ms);
        Some(self.report(now))
    }

    fn report(&mut self, now: DiskLevel) -> (DiskLevel, u64) {
        self.better_since = None;
        (std::mem::replace(&mut self.level, now), std::mem::take(&mut self.changes))
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskLevel, Reported};

    /// What is reported when these levels are seen, one a second, and how many changes each report
    /// counts.
    fn reports(levels: &[(u64, DiskLevel)]) -> Vec<(u64, DiskLevel, DiskLevel, u64)> {
        let (mut reported, mut before) = (Reported::default(), DiskLevel::Open);
        let mut found = Vec::new();
        for (at, level) in levels {
            if let Some((from, changes)) = reported.take(before, *level, at * 1000) {
                found.push((*at, from, *level, changes));
            }
            before = *level;
        }
        found
    }

    #[test]
    fn a_level_that_goes_back_and_forth_is_reported_once() {
        use DiskLevel::{Low, Open, Refusing};
        let flapping = (0..60).map(|at| (at, if at % 2 == 0 { Low } else { Open }));
        assert_eq!(reports(&flapping.clone().collect::<Vec<_>>()), [(0, Open, Low, 1)]);
        // It is reported once it has been calm, with what was left out.
        let then_calm: Vec<_> = flapping.chain((60..200).map(|at| (at, Open))).collect();
        assert_eq!(reports(&then_calm)[1..], [(59 + 60, Low, Open, 59)]);
        // The same where events are refused, but that they are accepted again is worth a line at
        // once, the first time.
        let refusing: Vec<_> =
            (0..60).map(|at| (at, if at % 2 == 0 { Refusing } else { Low })).collect();
        assert_eq!(
            reports(&refusing),
            [(0, Open, Refusing, 1), (1, Refusing, Low, 1), (2, Low, Refusing, 1)]
        );
    }

    #[test]
    fn what_gets_worse_is_reported_at_once_and_what_gets_better_when_it_stays_so() {
        use DiskLevel::{Halted, Low, Open, Refusing};
        let worse: Vec<_> =
            [Low, Refusing, Halted].into_iter().zip(0..).map(|(level, at)| (at, level)).collect();
        assert_eq!(reports(&worse).len(), 3);
        let better: Vec<_> = [(0, Low)].into_iter().chain((1..20).map(|at| (at, Open))).collect();
        assert_eq!(reports(&better), [(0, Open, Low, 1), (11, Low, Open, 1)]);
        // An hour later all is forgotten.
        let again = [
            (0, Refusing),
            (1, Low),
            (2, Refusing),
            (3, Low),
            (60, Low),
            (4000, Refusing),
            (4001, Low),
        ];
        assert_eq!(reports(&again).last(), Some(&(4001, Refusing, Low, 1)));
    }
}
