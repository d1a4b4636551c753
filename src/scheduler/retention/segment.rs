//! Retiring one segment: what lives in it is relocated, slice by slice, and then it is dropped.

use super::access::{LogAccess, SLICE_BYTES};
use super::stays::StayReason;
use crate::log::{SegmentInfo, failpoint};
use crate::model::WallMs;
use crate::record::DeadLetter;
use crate::scheduler::disk_thresholds::may_exceed;
use crate::scheduler::losses::Readable;
use crate::scheduler::relocate::{RetirementStep, Retiring};

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetireReason {
    Age,
    Events,
    Bytes,
    DiskSpace,
}

/// A segment that goes.
pub(super) struct SegmentRetirement {
    pub retiring: Retiring,
    pub reason: RetireReason,
    pub records: u64,
    pub disk_bytes: u64,
    /// It was surveyed, and its drop pays for what is relocated.
    pub pays: bool,
    relocated: usize,
    relocated_bytes: u64,
}

/// What a slice came to.
pub(super) enum SliceResult {
    /// There is more in it.
    More(SegmentRetirement),
    /// There is more in it, and little space left: it has to be surveyed first.
    Tight(SegmentRetirement),
    /// It is dropped.
    Dropped(SegmentRetirement),
    /// It stays for now.
    Stays(StayReason),
}

impl SegmentRetirement {
    /// `None` for the active segment.
    pub fn of(segment: &SegmentInfo, reason: RetireReason) -> Option<Self> {
        let SegmentInfo { first, records, disk_bytes, head, .. } = *segment;
        let (_, last) = (segment.sealed_at?, segment.last?);
        Some(Self {
            retiring: Retiring::new(first, last, head),
            reason,
            records,
            disk_bytes,
            pays: false,
            relocated: 0,
            relocated_bytes: 0,
        })
    }

    /// Relocates the next slice, or drops the segment.
    pub fn next_slice(
        mut self,
        mut access: LogAccess<'_>,
        readable: &Readable<'_>,
        ages: DeadLetterAges,
    ) -> SliceResult {
        if self.retiring.is_to_be_asked() {
            match access.alive(self.retiring.first, self.retiring.last) {
                Ok(alive) => self.retiring.see(alive),
                Err(why) => return SliceResult::Stays(why),
            }
        }

        if access.is_tight() {
            let (wants_dead_letters, wants_events) = self.retiring.wants();
            if wants_events && !self.pays {
                return SliceResult::Tight(self);
            }
            // Measures the ballast as well, which is given up for this.
            let relocates = wants_events || wants_dead_letters;
            if relocates && !may_exceed(&access.reader.measure_disk_space(), SLICE_BYTES) {
                return SliceResult::Stays(StayReason::NoSpace);
            }
        }

        let dead_ms = access.retention.dead_ms;
        let mut keep = |dead: DeadLetter| ages.keep(dead, dead_ms);
        let step = match self.retiring.next_step(readable, &mut keep) {
            Ok(Some(step)) => step,
            Ok(None) => return SliceResult::Stays(StayReason::NotFound),
            Err(error) => return SliceResult::Stays(error.into()),
        };
        failpoint::reached("relocate.gathered");
        self.take_step(step, access)
    }

    /// Has the queue do what was found.
    fn take_step(mut self, step: RetirementStep, access: LogAccess<'_>) -> SliceResult {
        let done = match step {
            RetirementStep::Relocate(slice) => access.handle.ask_blocking(slice).map(Some),
            RetirementStep::Drop(retire) => access.handle.ask_blocking(retire).map(|()| None),
        };

        match done {
            Ok(Some((events, bytes))) => {
                self.relocated += events;
                self.relocated_bytes += bytes;
                SliceResult::More(self)
            }
            Ok(None) => {
                failpoint::reached("relocate.done");
                SliceResult::Dropped(self)
            }
            Err(refusal) => SliceResult::Stays(refusal.into()),
        }
    }

    /// Logs that it is dropped.
    pub fn report(&self) {
        let Retiring { first, last, .. } = self.retiring;
        let Self { reason, disk_bytes, relocated, relocated_bytes, .. } = self;
        tracing::info!(
            first,
            last,
            ?reason,
            disk_bytes,
            relocated,
            relocated_bytes,
            "dropped a segment"
        );
    }
}

/// How old dead letters of the segment are: by the retention clock alone. When they died stands in
/// them by the wall clock, which may have been anything then, and is only shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadLetterAges {
    /// The retention clock now, when it began, and when the segment was seen sealed.
    pub now: WallMs,
    pub began: WallMs,
    pub sealed: WallMs,
}

impl DeadLetterAges {
    /// What becomes of a dead letter: `None` when its time is over. One that was not relocated
    /// before is as old as its segment, and so is one whose age was taken from another retention
    /// clock, which was lost.
    fn keep(self, mut dead: DeadLetter, dead_ms: u64) -> Option<DeadLetter> {
        let of_this_clock = self.began..=self.now;
        let since = dead.kept_since.filter(|since| of_this_clock.contains(since));
        let since = *dead.kept_since.insert(since.unwrap_or(self.sealed));
        (self.now.saturating_sub(since) < dead_ms).then_some(dead)
    }
}

#[cfg(test)]
mod tests {
    use super::DeadLetterAges;
    use crate::model::{DeliveryId, Now};
    use crate::record::DeadLetter;
    use crate::scheduler::retention_clock::RetentionClock;

    const DAY: u64 = 86_400_000;
    const KEPT: u64 = 30 * DAY;
    const IN_2026: u64 = 1_795_000_000_000;

    fn died(died_at: u64) -> DeadLetter {
        DeadLetter {
            delivery: DeliveryId { seq: 5, endpoint: 1 },
            event: 5,
            attempts: 3,
            died_at,
            reason: "why".into(),
            last: 7,
            kept_since: None,
        }
    }

    /// The retention clock of a daemon that starts at this time of the wall clock, and goes by
    /// another one from the next second on.
    fn clock(wall_at_start: u64, wall_then: u64) -> RetentionClock {
        let mut clock = RetentionClock::new(Now { mono_ms: 0, wall_ms: wall_at_start });
        clock.go_on(Now { mono_ms: 1_000, wall_ms: wall_then });
        clock.note(&[1], 0);
        clock
    }

    fn ages(clock: &mut RetentionClock, day: u64, wall: u64) -> DeadLetterAges {
        clock.go_on(Now { mono_ms: day * DAY, wall_ms: wall + day * DAY });
        clock.note(&[1], 0);
        let sealed = clock.stamp(1).expect("it is sealed").at;
        DeadLetterAges { now: clock.now(), began: clock.began(), sealed }
    }

    /// It is kept at each retirement up to its time, and its own time is never changed.
    fn is_kept_for_its_time(mut clock: RetentionClock, died_at: u64) {
        let first = ages(&mut clock, 7, IN_2026);
        let dead = first.keep(died(died_at), KEPT).expect("7 days are not 30");
        assert_eq!(dead.died_at, died_at);

        // It is held by a segment that was sealed later now.
        let later = |day: u64| DeadLetterAges { now: first.now + (day - 7) * DAY, ..first };
        let younger = |day: u64| DeadLetterAges { sealed: first.now, ..later(day) };
        let dead = younger(29).keep(dead, KEPT).expect("29 days are not 30");
        assert_eq!(dead.died_at, died_at);
        assert_eq!(younger(31).keep(dead, KEPT), None, "its time is over");
    }

    #[test]
    fn one_that_died_in_1970_is_kept_for_its_time() {
        is_kept_for_its_time(clock(IN_2026, IN_2026 + 1_000), 12_000);
        is_kept_for_its_time(clock(5_000, IN_2026), 12_000);
    }

    #[test]
    fn one_that_died_while_the_clock_was_ahead_is_kept_for_its_time() {
        let in_2038 = IN_2026 + 12 * 365 * DAY;
        is_kept_for_its_time(clock(in_2038, IN_2026), in_2038 + 500);
        is_kept_for_its_time(clock(in_2038, IN_2026), IN_2026 + 2_000);
        is_kept_for_its_time(clock(IN_2026, IN_2026), IN_2026 + 20 * DAY);
    }

    #[test]
    fn an_age_of_a_retention_clock_that_was_lost_counts_anew() {
        for lost in [IN_2026 - 400 * DAY, IN_2026 + 400 * DAY] {
            let mut clock = clock(IN_2026, IN_2026);
            let dead = DeadLetter { kept_since: Some(lost), ..died(IN_2026) };
            let ages = ages(&mut clock, 7, IN_2026);
            let dead = ages.keep(dead, KEPT).expect("it is kept");
            assert_eq!(dead.kept_since, Some(ages.sealed));
        }
    }
}
