//! The keeper: it chooses what retention does next, and does it in steps.

use roaring::RoaringTreemap;

use super::Retention;
use super::access::LogAccess;
use super::dead_letters::{DeadLetterStep, DeadLetterWork, PassedOver};
use super::segment::{DeadLetterAges, RetireReason, SegmentRetirement, SliceResult};
use super::stays::{StayReason, StayReports};
use super::survey::{Survey, SurveyResult};
use crate::log::{Reader, SegmentInfo};
use crate::model::{Clock, Now, Seq};
use crate::queue::{DeadLetterSeqsQuery, Status, StatusQuery};
use crate::scheduler::disk_thresholds::wants_trim;
use crate::scheduler::handle::Handle;
use crate::scheduler::losses::{AskQueue, Readable, SettleStep, Settling};
use crate::scheduler::retention_clock::RetentionClock;

/// The file beside the log that holds the retention clock. Its name is from an earlier version.
const FILE: &str = "calendar";
/// Between two savings of the clock when nothing else happens.
const SAVE_MS: u64 = 600_000;
/// After a segment that should go had to stay.
const REST_MS: u64 = 5_000;
/// After a segment was found to live, it is not surveyed again for this time, and so many times
/// what the survey took.
const PAUSE_MS: u64 = 2_000;
const PAUSE_TIMES: u64 = 20;
/// Between two looks at the bytes of dead letters.
const WEIGH_MS: u64 = 10_000;

/// Looks after retention, step by step.
pub(in crate::scheduler) struct RetentionKeeper<'a> {
    access: LogAccess<'a>,
    retention_clock: RetentionClock,
    saved_at: u64,
    work: RetentionWork,
    /// No segment goes before this, and none goes early before the other, on the monotonic clock.
    not_before: u64,
    not_early_before: u64,
    weighed_at: u64,
    /// How many dead letters there were, and the newest, when they were last weighed.
    weighed: Option<(u64, Seq)>,
    /// Records that cannot be read, and of which everything has been settled; and no look at them
    /// before this.
    settled: RoaringTreemap,
    not_settled_before: u64,
    stay_reports: StayReports,
    /// No dead letters are discarded before this; and how many were passed over at most so far.
    not_discarded_before: u64,
    passed_over: usize,
}

/// What is under way.
enum RetentionWork {
    None,
    /// Looks how much of a segment lives before it goes early.
    Survey(Survey),
    Retire(SegmentRetirement),
    DeadLetters(DeadLetterWork),
    /// Settles what follows from records that cannot be read.
    Settle(Box<Settling>),
}

impl<'a> RetentionKeeper<'a> {
    pub fn new(
        reader: &'a Reader,
        handle: &'a Handle,
        clock: &'a Clock,
        retention: &'a Retention,
    ) -> Self {
        let now = clock();
        let retention_clock = match reader.read_note::<RetentionClock>(FILE) {
            Some(mut saved) => {
                saved.resume(now);
                saved
            }
            None => RetentionClock::new(now),
        };

        Self {
            access: LogAccess { reader, handle, clock, retention },
            retention_clock,
            saved_at: now.mono_ms,
            work: RetentionWork::None,
            not_before: 0,
            not_early_before: 0,
            weighed_at: 0,
            weighed: None,
            settled: RoaringTreemap::new(),
            not_settled_before: 0,
            stay_reports: StayReports::default(),
            not_discarded_before: 0,
            passed_over: 0,
        }
    }

    /// Whether there is more to do at once.
    pub fn is_busy(&self) -> bool {
        !matches!(self.work, RetentionWork::None)
    }

    /// Whether there is more to do, at once or as soon as what was tried may be tried again.
    pub fn has_more(&self) -> bool {
        let now_ms = self.access.mono_ms();
        let again = [
            self.not_before,
            self.not_early_before,
            self.not_settled_before,
            self.not_discarded_before,
        ];
        self.is_busy() || again.into_iter().any(|at| at > now_ms)
    }

    /// In how many milliseconds the oldest segment has had its time.
    pub fn next_due_ms(&self) -> u64 {
        let oldest = self.access.reader.segments().first().map(|segment| segment.first);
        let Some(stamp) = oldest.and_then(|first| self.retention_clock.stamp(first)) else {
            return u64::MAX;
        };
        let due = stamp.at.saturating_add(self.access.retention.delivered_ms);
        due.saturating_sub(self.retention_clock.now())
    }

    /// Whether the daemon may end as far as retention goes: nothing is due, and the time that
    /// passed before this start has been counted or waits for no segment.
    pub fn may_rest(&self) -> bool {
        let is_counting = self.retention_clock.is_proving() && self.next_due_ms() < u64::MAX;
        !self.has_more() && !is_counting && self.next_due_ms() > 0
    }

    /// Lets the retention clock go on, and looks for something to do. Called about once a second,
    /// and when something is due.
    pub fn look(&mut self) {
        if self.is_busy() {
            self.go_on();
        } else {
            self.work = self.find_work();
        }
    }

    /// Something to do at once, if there is anything.
    fn find_work(&mut self) -> RetentionWork {
        let Some((status, segments)) = self.go_on() else { return RetentionWork::None };
        let now = (self.access.clock)();

        if now.mono_ms >= self.not_settled_before {
            let work = self.look_for_losses(status.first_seq);
            if !matches!(work, RetentionWork::None) {
                return work;
            }
        }
        self.choose(now, &status, &segments)
    }

    /// Lets the retention clock go on. Returns what it went by: `None` when the queue gives no
    /// answer.
    fn go_on(&mut self) -> Option<(Status, Vec<SegmentInfo>)> {
        let now = (self.access.clock)();
        self.retention_clock.go_on(now);
        let status = self.access.ask(StatusQuery)?;

        let segments = self.access.reader.segments();
        let sealed = segments.iter().filter(|segment| segment.sealed_at.is_some());
        let sealed: Vec<Seq> = sealed.map(|segment| segment.first).collect();
        let changed = self.retention_clock.note(&sealed, status.events);
        if changed || now.mono_ms.saturating_sub(self.saved_at) >= SAVE_MS {
            self.save(now);
        }
        Some((status, segments))
    }

    pub fn save(&mut self, now: Now) {
        self.saved_at = now.mono_ms;
        if let Err(error) = self.access.reader.write_note(FILE, &self.retention_clock) {
            tracing::warn!(%error, "the retention clock was not saved: things may be kept longer");
        }
    }

    /// Does a little of what is under way.
    pub fn step(&mut self) {
        self.work = match std::mem::replace(&mut self.work, RetentionWork::None) {
            RetentionWork::None => RetentionWork::None,
            RetentionWork::Survey(survey) => self.survey(survey),
            RetentionWork::Retire(retirement) => self.retire(retirement),
            RetentionWork::DeadLetters(work) => {
                let step = work.step(self.access);
                self.dead_letters(step)
            }
            RetentionWork::Settle(settling) => {
                let step = settling.step(self.access.reader, &mut self.access);
                self.settle(step)
            }
        };
    }

    /// Begins to settle what follows from records that cannot be read, when there are others than
    /// the last time.
    fn look_for_losses(&mut self, first: Seq) -> RetentionWork {
        if self.access.reader.unreadable(first) == self.settled {
            return RetentionWork::None;
        }
        let step = Settling::begin(self.access.reader, first, &mut self.access);
        self.settle(step)
    }

    fn settle(&mut self, step: SettleStep) -> RetentionWork {
        match step {
            SettleStep::More(settling) => return RetentionWork::Settle(settling),
            SettleStep::Done { settled, unreadable } => {
                settled.report();
                self.settled = unreadable;
            }
            SettleStep::Failed => self.not_settled_before = self.access.mono_ms() + REST_MS,
        }
        RetentionWork::None
    }

    /// Chooses what to do next: a segment that goes comes first, then dead letters.
    fn choose(&mut self, now: Now, status: &Status, segments: &[SegmentInfo]) -> RetentionWork {
        let rests = now.mono_ms < self.not_before;
        if !rests && let Some(work) = self.begin_retirement(now, status, segments) {
            return work;
        }

        let may_discard = now.mono_ms >= self.not_discarded_before;
        if may_discard && self.access.retention.dead_events.is_some_and(|most| status.dead > most) {
            return RetentionWork::DeadLetters(DeadLetterWork::discard(0));
        }

        let due = now.mono_ms.saturating_sub(self.weighed_at) >= WEIGH_MS;
        if due && status.dead > 0 && self.access.retention.dead_bytes.is_some() {
            return self.begin_weighing(now, status);
        }
        RetentionWork::None
    }

    /// Weighs the dead letters, unless they are those that were weighed before.
    fn begin_weighing(&mut self, now: Now, status: &Status) -> RetentionWork {
        self.weighed_at = now.mono_ms;
        let newest = DeadLetterSeqsQuery { before: Seq::MAX, limit: 1 };
        let Some(newest) = self.access.ask(newest) else { return RetentionWork::None };

        let weighed = newest.first().map(|newest| (status.dead, *newest));
        if std::mem::replace(&mut self.weighed, weighed) == weighed {
            return RetentionWork::None;
        }
        RetentionWork::DeadLetters(DeadLetterWork::weigh())
    }

    fn dead_letters(&mut self, step: DeadLetterStep) -> RetentionWork {
        let passed_over = match step {
            DeadLetterStep::More(work) => return RetentionWork::DeadLetters(work),
            DeadLetterStep::Done(passed_over) => passed_over,
            DeadLetterStep::Failed => PassedOver { count: 0, may_pass: true },
        };

        if passed_over.count > 0 || passed_over.may_pass {
            self.not_discarded_before = self.access.mono_ms() + REST_MS;
        }
        if passed_over.may_pass {
            // They are to be weighed again, though they are the same.
            self.weighed = None;
        }
        if passed_over.count > self.passed_over {
            self.passed_over = passed_over.count;
            tracing::warn!(
                count = self.passed_over,
                "some dead letters cannot be read: they are not discarded, and their bytes do not \
                 count"
            );
        }
        RetentionWork::None
    }

    /// Begins to retire the oldest segment when there is a reason.
    fn begin_retirement(
        &self,
        now: Now,
        status: &Status,
        segments: &[SegmentInfo],
    ) -> Option<RetentionWork> {
        let oldest = segments.first()?;
        // A start needs its records until a checkpoint behind them is complete.
        let needed_from = self.access.reader.checkpoint_before();
        if oldest.last.is_some_and(|last| last >= needed_from) {
            return None;
        }
        let reason = self.reason(now, status, oldest, segments)?;
        let retirement = SegmentRetirement::of(oldest, reason)?;

        let is_time = matches!(reason, RetireReason::Age | RetireReason::Events);
        if is_time || self.access.is_tight() {
            return Some(RetentionWork::Retire(retirement));
        }
        Some(self.begin_survey(retirement, status, false))
    }

    /// Why the oldest segment goes; `None` when it stays.
    fn reason(
        &self,
        now: Now,
        status: &Status,
        oldest: &SegmentInfo,
        segments: &[SegmentInfo],
    ) -> Option<RetireReason> {
        let retention = self.access.retention;
        let stamp = self.retention_clock.stamp(oldest.first)?;
        if self.retention_clock.now().saturating_sub(stamp.at) >= retention.delivered_ms {
            return Some(RetireReason::Age);
        }
        let newer = status.events.saturating_sub(stamp.events);
        if retention.delivered_events.is_some_and(|most| newer >= most) {
            return Some(RetireReason::Events);
        }

        // For what follows a segment goes before its time.
        if now.mono_ms < self.not_early_before {
            return None;
        }
        if wants_trim(&self.access.reader.disk_space()) {
            return Some(RetireReason::DiskSpace);
        }
        let newer: u64 = segments.iter().skip(1).map(|segment| segment.disk_bytes).sum();
        retention.delivered_bytes.is_some_and(|most| newer >= most).then_some(RetireReason::Bytes)
    }

    fn begin_survey(
        &self,
        retirement: SegmentRetirement,
        status: &Status,
        tight: bool,
    ) -> RetentionWork {
        let stamp = self.retention_clock.stamp(retirement.retiring.first);
        let now_ms = self.access.mono_ms();
        RetentionWork::Survey(Survey::begin(retirement, status, stamp, tight, now_ms))
    }

    fn survey(&mut self, survey: Survey) -> RetentionWork {
        match survey.step(self.access, &self.readable()) {
            SurveyResult::More(survey) => RetentionWork::Survey(survey),
            SurveyResult::Goes(retirement) => RetentionWork::Retire(retirement),
            SurveyResult::Failed(survey, why) => self.stay(survey.range(), &why),
            SurveyResult::Stays(survey) => {
                let now = self.access.mono_ms();
                let took = now.saturating_sub(survey.begun_at);
                self.not_early_before = now + PAUSE_MS + PAUSE_TIMES * took;
                if survey.tight {
                    self.not_before = self.not_early_before;
                }
                RetentionWork::None
            }
        }
    }

    /// One slice of a segment that goes. What stands in the way is tried again next time.
    fn retire(&mut self, retirement: SegmentRetirement) -> RetentionWork {
        let range = (retirement.retiring.first, retirement.retiring.last);
        let ages = self.dead_letter_ages(range.0);
        match retirement.next_slice(self.access, &self.readable(), ages) {
            SliceResult::More(retirement) => RetentionWork::Retire(retirement),
            SliceResult::Tight(retirement) => match self.access.ask(StatusQuery) {
                Some(status) => self.begin_survey(retirement, &status, true),
                None => RetentionWork::None,
            },
            SliceResult::Dropped(retirement) => {
                retirement.report();
                self.after_drop(range.0)
            }
            SliceResult::Stays(why) => self.stay(range, &why),
        }
    }

    /// How old the dead letters are that the segment with this first record holds.
    fn dead_letter_ages(&self, first: Seq) -> DeadLetterAges {
        let clock = &self.retention_clock;
        let sealed = clock.stamp(first).map_or(clock.now(), |stamp| stamp.at);
        DeadLetterAges { now: clock.now(), began: clock.began(), sealed }
    }

    /// A segment that should go stays for now.
    fn stay(&mut self, range: (Seq, Seq), why: &StayReason) -> RetentionWork {
        self.stay_reports.report(range, why);
        self.not_before = self.access.mono_ms() + REST_MS;
        RetentionWork::None
    }

    /// The thread that commits is removing the segment that begins with this record.
    fn after_drop(&mut self, dropped: Seq) -> RetentionWork {
        self.access.reader.close_idle_but(dropped);
        // What the segment took is free now.
        let disk = &self.access.handle.health().disk;
        disk.see(self.access.reader.measure_disk_space(), self.access.mono_ms());
        // The next one may have had its time as well.
        self.find_work()
    }

    fn readable(&self) -> Readable<'_> {
        Readable { reader: self.access.reader, settled: &self.settled }
    }
}

#[cfg(test)]
mod tests {
    use super::{RetentionKeeper, RetentionWork};
    use crate::scheduler::retention::Retention;
    use crate::scheduler::testing::TestScheduler;

    /// Something waits in each of two segments, and only the newer one can be opened.
    fn oldest_cannot_be_opened() -> TestScheduler {
        TestScheduler::new(|core| {
            core.accept_for_held();
            core.roll();
            core.accept_for_held();
            core.roll();
            core.hide_oldest();
        })
    }

    #[test]
    fn a_segment_that_a_start_needs_stays_until_the_checkpoint_behind_it_is_complete() {
        for is_complete in [false, true] {
            let world = TestScheduler::new(|core| {
                core.accept_for_held();
                if is_complete {
                    core.roll()
                } else {
                    core.roll_gradually()
                }
                core.accept_for_held();
            });

            let retention = Retention {
                delivered_ms: u64::MAX,
                delivered_bytes: Some(0),
                ..Retention::default()
            };
            let mut keeper =
                RetentionKeeper::new(&world.reader, &world.handle, &world.clock, &retention);
            keeper.look();
            assert_eq!(keeper.is_busy(), is_complete);
        }
    }

    #[test]
    fn a_survey_that_cannot_read_its_segment_rests_and_says_so() {
        let world = oldest_cannot_be_opened();
        let retention =
            Retention { delivered_ms: u64::MAX, delivered_bytes: Some(0), ..Retention::default() };
        let mut keeper =
            RetentionKeeper::new(&world.reader, &world.handle, &world.clock, &retention);

        keeper.look();
        assert!(matches!(keeper.work, RetentionWork::Survey(_)), "it is surveyed");
        keeper.step();
        assert!(!keeper.is_busy(), "it cannot be read");
        keeper.look();
        assert!(!keeper.is_busy(), "it is surveyed again at once");
        assert!(keeper.stay_reports.has_warned(), "nothing says why the log grows");

        world.pass(super::REST_MS);
        keeper.look();
        assert!(keeper.is_busy(), "it is tried again");
    }
}
