//! Retention: whole segments are dropped, oldest first, when everything in them has had its time. What is still needed
//! in one (undelivered events, dead letters that are kept longer) is carried forward first, see `carry`.
//!
//! The oldest segment goes when one of these holds: it is older than `delivered_ms` by the [`Calendar`]; so many events
//! or so many bytes came after it that the budget for what has ended is full without it; or room is wanted. For the last
//! two it is surveyed first: a segment of which most lives would only be written anew, so it stays, unless there is much
//! behind it that has ended.
//!
//! Dead letters go when they are older than `dead_ms`, which is looked at when their segment goes, and the oldest of
//! them as soon as there are more than `dead_events`, or more than `dead_bytes` of their events.
//!
//! When so little is left that carrying forward would take the last of it, a segment goes all the same if dropping it
//! gives back more than what lives in it takes, or if much behind it has ended: it is surveyed for that, after its dead
//! letters have been looked at, for those whose time is over need no event any more. So a full log gets its room back
//! without anybody's help, unless nearly all of it lives.
//!
//! All of it is done in small steps, between the orders of the scheduler.

use super::calendar::Calendar;
use super::carry::{self, Records, Retiring};
use super::handle::Handle;
use super::reads::read_event;
use super::room::{may_carry, may_exceed, wants_trim};
use super::thread::Clock;
use crate::log::{LogError, Reader, Room, SegmentInfo, failpoint};
use crate::model::{Now, Seq, limits};
use crate::queue::{Carriage, Command, Input, Query, Reply, Revive, Status};
use crate::record::{DeadLetter, Record};

/// The file beside the log that holds the calendar.
const FILE: &str = "calendar";
/// Between two savings of the calendar when nothing else happens.
const SAVE_MS: u64 = 600_000;
/// After a segment that should go had to stay.
const REST_MS: u64 = 5_000;
/// After a segment was found to live, it is not surveyed again for this time, and so many times what the survey took.
const PAUSE_MS: u64 = 2_000;
const PAUSE_TIMES: u64 = 20;
/// Between two looks at the bytes of dead letters.
const WEIGH_MS: u64 = 10_000;
/// What a slice that is carried forward may take of what is left: sled writes a little more than it is given.
const SLICE_BYTES: u64 = 2 * limits::CARRY_BYTES as u64;
/// Dead letters weighed in one step.
const WEIGHED: usize = 32;

/// How long, how many, and how much is kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Events that have been delivered or cancelled, and the history of their attempts.
    pub delivered_ms: u64,
    pub delivered_events: Option<u64>,
    pub delivered_bytes: Option<u64>,
    /// Dead letters.
    pub dead_ms: u64,
    pub dead_events: Option<u64>,
    pub dead_bytes: Option<u64>,
}

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Age,
    Events,
    Bytes,
    Room,
}

/// Looks after it, step by step.
pub(super) struct Keeper<'a> {
    reader: &'a Reader,
    handle: &'a Handle,
    clock: &'a Clock,
    retention: &'a Retention,
    calendar: Calendar,
    saved_at: u64,
    work: Work,
    /// No segment goes before this, and none goes early before the other, on the monotonic clock.
    not_before: u64,
    not_early_before: u64,
    weighed_at: u64,
    /// How many dead letters there were, and the newest, when they were last weighed.
    weighed: Option<(u64, Seq)>,
}

/// What is under way.
enum Work {
    None,
    /// Looks how much of a segment lives before it goes early.
    Survey(Survey),
    Retire(Leaving),
    /// Weighs the dead letters, the newest first.
    Weigh {
        before: Seq,
        bytes: u64,
    },
    /// Discards the dead letters with graves up to this one.
    Discard {
        upto: Seq,
    },
}

struct Survey {
    leaving: Leaving,
    /// Whether carrying forward has to be paid for by the drop.
    tight: bool,
    next: Seq,
    begun_at: u64,
    all_bytes: u64,
    living_bytes: u64,
    /// There is much behind the segment that has ended.
    much_behind: bool,
}

enum Carried {
    /// There is more in it.
    More(Leaving),
    /// There is more in it, and little left: it has to be surveyed first.
    Tight(Leaving),
    /// It is dropped.
    All(Leaving),
}

struct Leaving {
    retiring: Retiring,
    why: Why,
    records: u64,
    disk_bytes: u64,
    /// It was surveyed, and its drop pays for what is carried forward.
    pays: bool,
    carried: usize,
    carried_bytes: u64,
}

impl Records for Reader {
    type Error = LogError;

    fn read(&self, seq: Seq) -> Result<Option<Record>, LogError> {
        Reader::read(self, seq)
    }

    fn slice(&self, from: Seq, last: Seq) -> Result<(Carriage, Seq), LogError> {
        carry::slice(self.forward(from), (from, last))
    }
}

impl<'a> Keeper<'a> {
    pub fn new(reader: &'a Reader, handle: &'a Handle, clock: &'a Clock, retention: &'a Retention) -> Self {
        let now = clock();
        let calendar = match reader.read_note::<Calendar>(FILE) {
            Some(mut calendar) => {
                calendar.resume(now);
                calendar
            }
            None => Calendar::new(now),
        };
        Self {
            reader,
            handle,
            clock,
            retention,
            calendar,
            saved_at: now.mono_ms,
            work: Work::None,
            not_before: 0,
            not_early_before: 0,
            weighed_at: 0,
            weighed: None,
        }
    }

    /// Whether there is more to do at once.
    pub fn is_busy(&self) -> bool {
        !matches!(self.work, Work::None)
    }

    /// Looks for something to do. Called about once a second.
    pub fn look(&mut self) {
        let now = (self.clock)();
        self.calendar.go_on(now);
        let Some(Reply::Status(status)) = self.handle.ask_blocking(Input::Ask(Query::Status)) else { return };
        let segments = self.reader.segments();
        let sealed: Vec<Seq> = segments.iter().filter(|s| s.sealed_at.is_some()).map(|s| s.first).collect();
        let changed = self.calendar.note(&sealed, status.events);
        if changed || now.mono_ms.saturating_sub(self.saved_at) >= SAVE_MS {
            self.save(now);
        }
        if !self.is_busy() {
            self.work = self.choose(now, &status, &segments);
        }
    }

    pub fn save(&mut self, now: Now) {
        self.saved_at = now.mono_ms;
        if let Err(error) = self.reader.write_note(FILE, &self.calendar) {
            tracing::warn!(%error, "the calendar of retention was not saved: things may be kept longer");
        }
    }

    fn choose(&mut self, now: Now, status: &Status, segments: &[SegmentInfo]) -> Work {
        let rests = now.mono_ms < self.not_before;
        if !rests && let Some(work) = self.leave(segments, status, |oldest| self.why(now, status, oldest, segments)) {
            return work;
        }
        if self.retention.dead_events.is_some_and(|most| status.dead > most) {
            return Work::Discard { upto: 0 };
        }
        let due = now.mono_ms.saturating_sub(self.weighed_at) >= WEIGH_MS;
        if due && status.dead > 0 && self.retention.dead_bytes.is_some() {
            self.weighed_at = now.mono_ms;
            let query = Query::Graves { before: Seq::MAX, limit: 1 };
            let Some(Reply::Graves(newest)) = self.handle.ask_blocking(Input::Ask(query)) else { return Work::None };
            let weighed = newest.first().map(|newest| (status.dead, *newest));
            if std::mem::replace(&mut self.weighed, weighed) != weighed {
                return Work::Weigh { before: Seq::MAX, bytes: 0 };
            }
        }
        Work::None
    }

    /// Why the oldest segment goes; `None` when it stays.
    fn why(&self, now: Now, status: &Status, oldest: &SegmentInfo, segments: &[SegmentInfo]) -> Option<Why> {
        let stamp = self.calendar.stamp(oldest.first)?;
        if self.calendar.now().saturating_sub(stamp.at) >= self.retention.delivered_ms {
            return Some(Why::Age);
        }
        let newer = status.events.saturating_sub(stamp.events);
        if self.retention.delivered_events.is_some_and(|most| newer >= most) {
            return Some(Why::Events);
        }
        if now.mono_ms < self.not_early_before {
            return None;
        }
        if wants_trim(&self.reader.room()) {
            return Some(Why::Room);
        }
        let newer: u64 = segments.iter().skip(1).map(|segment| segment.disk_bytes).sum();
        self.retention.delivered_bytes.is_some_and(|most| newer >= most).then_some(Why::Bytes)
    }

    /// Begins to retire the oldest segment when there is a reason.
    fn leave(
        &self,
        segments: &[SegmentInfo],
        status: &Status,
        why: impl FnOnce(&SegmentInfo) -> Option<Why>,
    ) -> Option<Work> {
        let oldest = segments.first()?;
        let (_, last) = (oldest.sealed_at?, oldest.last?);
        let why = why(oldest)?;
        let retiring = Retiring::new(oldest.first, last, oldest.head);
        let SegmentInfo { records, disk_bytes, .. } = *oldest;
        let leaving = Leaving { retiring, why, records, disk_bytes, pays: false, carried: 0, carried_bytes: 0 };
        if matches!(why, Why::Age | Why::Events) || is_tight(&self.reader.room()) {
            return Some(Work::Retire(leaving));
        }
        Some(self.begin_survey(leaving, status, false))
    }

    fn begin_survey(&self, leaving: Leaving, status: &Status, tight: bool) -> Work {
        let first = leaving.retiring.first;
        let behind = status.events.saturating_sub(self.calendar.stamp(first).map_or(status.events, |s| s.events));
        Work::Survey(Survey {
            leaving,
            tight,
            next: first,
            begun_at: (self.clock)().mono_ms,
            all_bytes: 0,
            living_bytes: 0,
            much_behind: status.pending + status.held + status.dead <= behind / 2,
        })
    }

    /// One slice of a survey. At its end the segment goes, or stays for a while.
    fn survey(&mut self, mut survey: Survey) -> Work {
        let (first, last) = (survey.leaving.retiring.first, survey.leaving.retiring.last);
        let Some(Reply::Alive(Some(alive))) = self.handle.ask_blocking(Input::Ask(Query::Alive { first, last })) else {
            return Work::None;
        };
        if !alive.walk && !survey.tight {
            // At least every second record is an attempt, or there is nothing to be gained.
            (survey.living_bytes, survey.all_bytes) = (2 * alive.known as u64, survey.leaving.records);
        } else if survey.next <= last {
            let Ok((slice, next)) = self.reader.slice(survey.next, last) else { return Work::None };
            survey.next = next;
            survey.all_bytes += slice.events.iter().map(|carried| carried.event.cost() as u64).sum::<u64>();
            let query = Query::Lives { first, last, slice };
            let Some(Reply::Carried { bytes, .. }) = self.handle.ask_blocking(Input::Ask(query)) else {
                return Work::None;
            };
            survey.living_bytes += bytes;
            return Work::Survey(survey);
        }
        if survey.is_worth_it(&self.reader.room()) {
            let pays = survey.tight;
            return Work::Retire(Leaving { pays, ..survey.leaving });
        }
        let now = (self.clock)().mono_ms;
        self.not_early_before = now + PAUSE_MS + PAUSE_TIMES * now.saturating_sub(survey.begun_at);
        if survey.tight {
            self.not_before = self.not_early_before;
        }
        tracing::debug!(first, last, "most of the oldest segment lives: it does not go before its time");
        Work::None
    }

    /// Does a little of what is under way.
    pub fn step(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::None) {
            Work::None => Work::None,
            Work::Survey(survey) => self.survey(survey),
            Work::Retire(leaving) => self.retire(leaving),
            Work::Weigh { before, bytes } => self.weigh(before, bytes),
            Work::Discard { upto } => self.discard(upto),
        };
    }

    /// One slice of a segment that goes. What stands in the way is tried again next time.
    fn retire(&mut self, leaving: Leaving) -> Work {
        match self.carry(leaving) {
            Some(Carried::More(leaving)) => Work::Retire(leaving),
            Some(Carried::Tight(leaving)) => match self.handle.ask_blocking(Input::Ask(Query::Status)) {
                Some(Reply::Status(status)) => self.begin_survey(leaving, &status, true),
                _ => Work::None,
            },
            Some(Carried::All(leaving)) => {
                self.left(&leaving);
                std::mem::replace(&mut self.work, Work::None)
            }
            None => {
                self.not_before = (self.clock)().mono_ms + REST_MS;
                Work::None
            }
        }
    }

    fn carry(&self, mut leaving: Leaving) -> Option<Carried> {
        let (first, last) = (leaving.retiring.first, leaving.retiring.last);
        let alive = match self.handle.ask_blocking(Input::Ask(Query::Alive { first, last })) {
            Some(Reply::Alive(Some(alive))) => alive,
            _ => return None,
        };
        if is_tight(&self.reader.room()) {
            let wants_events = leaving.retiring.wants_events(&alive);
            if wants_events && !leaving.pays {
                return Some(Carried::Tight(leaving));
            }
            // Looks after the ballast as well, which is given up for this.
            if (wants_events || !alive.graves.is_empty()) && !may_exceed(&self.reader.look(), SLICE_BYTES) {
                tracing::debug!(first, last, "no room to carry forward what may live in a segment: it stays for now");
                return None;
            }
        }
        let (now, dead_ms) = (self.calendar.now(), self.retention.dead_ms);
        let mut judge = |dead: DeadLetter| judge(dead, now, dead_ms);
        let input = match leaving.retiring.next_input(&alive, self.reader, &mut judge) {
            Ok(input) => input?,
            Err(error) => {
                tracing::error!(first, last, %error, "cannot read a segment whose time is over: it stays");
                return None;
            }
        };
        failpoint::reached("carry.gathered");
        match self.handle.ask_blocking(input)? {
            Reply::Carried { events, bytes } => {
                leaving.carried += events;
                leaving.carried_bytes += bytes;
                Some(Carried::More(leaving))
            }
            Reply::Done { .. } => {
                failpoint::reached("carry.done");
                Some(Carried::All(leaving))
            }
            Reply::Refused(why) => {
                tracing::debug!(first, last, %why, "a segment stays for now");
                None
            }
            _ => None,
        }
    }

    fn left(&mut self, leaving: &Leaving) {
        let Leaving { retiring: Retiring { first, last, .. }, why, disk_bytes, carried, carried_bytes, .. } = leaving;
        tracing::info!(first, last, ?why, disk_bytes, carried, carried_bytes, "dropped a segment");
        self.reader.close_idle();
        // What it took is free now.
        self.handle.health().room.see(self.reader.look());
        // The next one may have had its time as well.
        self.look();
    }

    /// Adds up the events of dead letters until they are too many bytes; what is older is discarded.
    fn weigh(&self, before: Seq, mut bytes: u64) -> Work {
        let most = self.retention.dead_bytes.unwrap_or(u64::MAX);
        let query = Query::Graves { before, limit: WEIGHED };
        let Some(Reply::Graves(graves)) = self.handle.ask_blocking(Input::Ask(query)) else { return Work::None };
        for grave in &graves {
            bytes += self.dead(*grave).and_then(|dead| self.event_bytes(dead.event)).unwrap_or(0);
            if bytes > most {
                return Work::Discard { upto: *grave };
            }
        }
        graves.last().map_or(Work::None, |last| Work::Weigh { before: *last, bytes })
    }

    /// Discards some of the oldest dead letters: up to `upto`, or as many as there are too many.
    fn discard(&self, upto: Seq) -> Work {
        let too_many = || {
            let Some(Reply::Status(status)) = self.handle.ask_blocking(Input::Ask(Query::Status)) else { return 0 };
            let most = self.retention.dead_events.unwrap_or(u64::MAX);
            usize::try_from(status.dead.saturating_sub(most)).unwrap_or(usize::MAX)
        };
        let limit = if upto > 0 { limits::SLICE } else { too_many().min(limits::SLICE) };
        let query = Query::OldestGraves { limit };
        let Some(Reply::Graves(mut graves)) = self.handle.ask_blocking(Input::Ask(query)) else { return Work::None };
        graves.retain(|grave| upto == 0 || *grave <= upto);
        let revive = |grave: &Seq| {
            let DeadLetter { delivery, event, attempts, last, .. } = self.dead(*grave)?;
            Some(Revive { delivery, event, attempts, last, grave: Some(*grave) })
        };
        let deliveries: Vec<Revive> = graves.iter().filter_map(revive).collect();
        if deliveries.is_empty() {
            return Work::None;
        }
        let count = deliveries.len();
        match self.handle.ask_blocking(Input::Command(Command::Discard { deliveries })) {
            Some(Reply::Done { count: done }) if done > 0 => {
                tracing::info!(count, "discarded the oldest dead letters: there were more than are kept");
                Work::Discard { upto }
            }
            _ => Work::None,
        }
    }

    fn dead(&self, grave: Seq) -> Option<DeadLetter> {
        self.reader.read(grave).ok().flatten().and_then(|record| record.dead_letter(grave))
    }

    fn event_bytes(&self, event: Seq) -> Option<u64> {
        let Some(Reply::Events(views)) = self.handle.ask_blocking(Input::Ask(Query::Events(vec![event]))) else {
            return None;
        };
        let at = views.first()?.stands_at;
        read_event(self.reader, at).map(|event| event.cost() as u64)
    }
}

/// Whether carrying forward would take the last of what is left.
fn is_tight(room: &Room) -> bool {
    may_carry(room) < SLICE_BYTES
}

impl Survey {
    /// Whether the segment goes, now that it is known what lives in it.
    fn is_worth_it(&self, room: &Room) -> bool {
        if !self.tight {
            return self.much_behind || self.living_bytes <= self.all_bytes / 2;
        }
        // As much again as the events have, for what the store makes of them.
        let takes = self.living_bytes.saturating_mul(2).saturating_add(SLICE_BYTES);
        (self.much_behind || takes <= self.leaving.disk_bytes) && may_exceed(room, takes)
    }
}

/// What becomes of a dead letter at `now` by the calendar: `None` when its time is over. One from the future died now.
fn judge(mut dead: DeadLetter, now: u64, dead_ms: u64) -> Option<DeadLetter> {
    dead.died_at = dead.died_at.min(now);
    (now - dead.died_at < dead_ms).then_some(dead)
}
