//! What an endpoint does right now: its window onto the stream, its timers, its lanes, its attempts in flight.
//! Volatile: after a restart it is made anew from the state, and attempts that were under way are simply due again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::breaker::Breaker;
use super::bucket::Bucket;
use super::catchup::CatchingUp;
use super::input::StreamEntry;
use super::lanes::Lanes;
use super::link::{self, Place};
use super::state::Lane;
use crate::model::{BatchId, DeliveryId, Event, EventId, Now, Rate, Seq, limits};

/// A delivery that is ready for an attempt, or under way.
#[derive(Clone, Debug)]
pub struct Job {
    pub delivery: DeliveryId,
    pub event: Seq,
    /// Its place in the stream, when this is its first attempt from there.
    pub position: Option<Seq>,
    /// Attempts so far.
    pub attempts: u32,
    pub last: Seq,
    /// How long it had been tried at `since`, which is by the flow's clock of age (see [`Flow::age_clock`]).
    pub age_ms: u64,
    pub since: u64,
    /// When it came into the window, on the monotonic clock.
    pub arrived: u64,
    pub loaded: Option<Arc<Event>>,
    /// The operator ended it while it was under way.
    pub ended: bool,
    /// The record its event was last read from.
    pub read_at: Option<Seq>,
    /// The place it takes among those in flight.
    pub slot: Slot,
    /// Its lane.
    pub key: Option<u64>,
    /// Bytes of its body, where they are known.
    pub size: u64,
    /// Its event is one of the daemon's own.
    pub own: bool,
}

/// What kind of place an attempt takes among those in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    #[default]
    Plain,
    /// To an endpoint that keeps failing, or has not shown yet that it does not: only so many, so that the others
    /// always find room.
    Doubtful,
    /// Lent to a consumer, who takes as long as he takes.
    Lease,
}

/// Something that waits for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    One(Seq),
    Batch(BatchId),
}

/// A batch that an attempt is under way for.
#[derive(Clone, Debug)]
pub struct FlyingBatch {
    /// What the state calls it: another one than the request did, when a member was ended meanwhile.
    pub id: BatchId,
    /// In the order of the request.
    pub members: Vec<Member>,
    pub attempts: u32,
    pub age_ms: u64,
    pub since: u64,
    pub slot: Slot,
    pub halved: bool,
    /// The request has not gone out yet: its events are being read.
    pub reading: bool,
}

/// One delivery of it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub delivery: Seq,
    pub event: Seq,
    /// The event's id, once it was read.
    pub event_id: Option<EventId>,
    pub attempts: u32,
    pub last: Seq,
    pub key: Option<u64>,
    pub ended: bool,
    pub own: bool,
}

/// The volatile side of a lane.
#[derive(Debug)]
pub struct Flow {
    /// Taken from the stream, not attempted yet, in order.
    pub(super) window: VecDeque<Job>,
    pub(super) window_bytes: usize,
    /// Places of the stream in the window or in flight: `low` ends before the first of them.
    pub(super) outstanding: BTreeSet<Seq>,
    pub(super) in_window: HashSet<Seq>,
    /// The first place of the stream that was not read into the window; `None` when there is none.
    pub unread: Option<Seq>,
    pub refilling: bool,
    /// When retries are due on the monotonic clock, and since when they wait by the clock of age.
    pub(super) timers: BTreeMap<(u64, Work), u64>,
    pub(super) timer_of: HashMap<Work, u64>,
    /// What waits behind others of its lane: when it is due, and since when it waits.
    pub(super) behind: HashMap<Work, (u64, u64)>,
    /// Of what waits: what the operator asked for, in spite of pauses.
    pub(super) urgent: BTreeSet<Work>,
    pub in_flight: HashMap<Seq, Job>,
    pub batches: HashMap<BatchId, FlyingBatch>,
    /// Deliveries whose events are being read, to become a batch.
    pub gathering: Vec<Job>,
    /// Attempts that may be in flight: one more with each success, half as many with a failure.
    pub width: u32,
    pub breaker: Breaker,
    /// It stands among those that had their share of the places.
    pub(super) shares: bool,
    /// It took something since the start.
    pub(super) proven: bool,
    pub lanes: Lanes,
    /// Whether its last free place went to a retry: first attempts and retries take turns.
    pub(super) retry_last: bool,
    pub(super) bucket: Bucket,
    /// No attempt before this, because the receiver asked for it.
    pub paused_until: u64,
    /// Where it leads.
    pub place: Place,
    /// How long it has been away behind a link that was down, and since when it is.
    pub(super) away_ms: u64,
    pub(super) away_since: Option<u64>,
    /// When its run of failures was last looked at, by the clock of age.
    pub failed_at: Option<u64>,
    pub catching_up: Option<CatchingUp>,
    /// How many deliveries of a pull endpoint may be out: what consumers hold, and what they wait for.
    pub wanted: usize,
    /// Whether it stands in the queue of lanes that may have something to do.
    pub runnable: bool,
    /// The wake-up it has registered.
    pub wake: Option<u64>,
    /// When the first of its waiting deliveries is too old, while the breaker is open.
    pub expires_at: Option<u64>,
}

impl Flow {
    #[must_use]
    pub fn new(unread: Option<Seq>, concurrency: u32, place: Place) -> Self {
        Self {
            window: VecDeque::new(),
            window_bytes: 0,
            outstanding: BTreeSet::new(),
            in_window: HashSet::new(),
            unread,
            refilling: false,
            timers: BTreeMap::new(),
            timer_of: HashMap::new(),
            behind: HashMap::new(),
            urgent: BTreeSet::new(),
            in_flight: HashMap::new(),
            batches: HashMap::new(),
            gathering: Vec::new(),
            width: concurrency.min(4),
            breaker: Breaker::default(),
            shares: false,
            proven: false,
            lanes: Lanes::default(),
            retry_last: false,
            bucket: Bucket::default(),
            paused_until: 0,
            place,
            away_ms: 0,
            away_since: None,
            failed_at: None,
            catching_up: None,
            wanted: 0,
            runnable: false,
            wake: None,
            expires_at: None,
        }
    }

    /// The flow of a lane as the state has it: what waits keeps its remaining delay, at most the one that was decided.
    #[must_use]
    pub fn of(lane: &Lane, now: Now) -> Self {
        let unread = (lane.in_stream() > 0).then_some(lane.low + 1);
        let mut flow = Self::new(unread, lane.endpoint.concurrency, link::place(&lane.endpoint));
        let since = flow.age_clock(now.mono_ms);
        let due = |due_at: u64, delay_ms: u64| now.mono_ms + due_at.saturating_sub(now.wall_ms).min(delay_ms);
        for (key, waiting) in &lane.retrying {
            flow.lanes.wait(lane.key_of(waiting.key), *key, waiting.parked);
        }
        for (key, waiting) in &lane.retrying {
            if waiting.batch.is_none() && !waiting.parked {
                flow.wait_turn(lane, Work::One(*key), due(waiting.due_at, waiting.delay_ms), since);
            }
        }
        for (id, batch) in &lane.batches {
            flow.wait_turn(lane, Work::Batch(*id), due(batch.due_at, batch.delay_ms), since);
        }
        flow.set_rate(lane, now.mono_ms, now.wall_ms);
        flow
    }

    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away_since.is_some()
    }

    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.breaker.failures_in_row >= limits::FAILING_AFTER
    }

    /// Whether it keeps failing, or may do so for all that is known.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        !self.proven || self.is_failing()
    }

    /// The clock by which deliveries grow old: the monotonic one without the time that the link was down.
    #[must_use]
    pub fn age_clock(&self, now_mono: u64) -> u64 {
        let away = self.away_since.map_or(0, |since| now_mono.saturating_sub(since));
        now_mono.saturating_sub(self.away_ms + away)
    }

    pub fn go_away(&mut self, now_mono: u64) {
        self.away_since.get_or_insert(now_mono);
    }

    pub fn come_back(&mut self, now_mono: u64) {
        if let Some(since) = self.away_since.take() {
            self.away_ms += now_mono.saturating_sub(since);
        }
    }

    /// The last place up to which everything in the stream is taken up once what is under way is.
    #[must_use]
    pub fn low(&self, next_seq: Seq) -> Seq {
        let places = [
            self.unread,
            self.outstanding.first().copied(),
            self.lanes.first_skipped(),
            self.catching_up.as_ref().and_then(CatchingUp::first_unread),
        ];
        places.into_iter().flatten().min().unwrap_or(next_seq).min(next_seq).saturating_sub(1)
    }

    /// The first place of the stream that has not been read, or was left for later.
    #[must_use]
    pub fn first_unread(&self) -> Option<Seq> {
        let back = self.catching_up.as_ref().and_then(CatchingUp::first_unread);
        [self.unread, self.lanes.first_skipped(), back].into_iter().flatten().min()
    }

    /// What came before `from` in the stream is not there any more.
    pub fn read_from(&mut self, from: Seq) {
        self.unread = self.unread.map(|unread| unread.max(from));
        self.lanes.read_from(from);
        if let Some(catching) = &mut self.catching_up {
            catching.read_from(from);
        }
    }

    /// Everything in the window or in flight that came from the stream.
    pub fn outstanding(&self) -> impl Iterator<Item = &Job> {
        let flying = self.in_flight.values().chain(&self.gathering);
        self.window.iter().chain(flying.filter(|job| job.position.is_some()))
    }

    #[must_use]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    pub(super) fn window(&self) -> &VecDeque<Job> {
        &self.window
    }

    /// How many deliveries the window holds at most.
    #[must_use]
    pub fn window_room(lane: &Lane) -> usize {
        lane.endpoint.batch.map_or(limits::WINDOW, |batch| limits::WINDOW.max(2 * batch.max_events as usize))
    }

    #[must_use]
    pub fn has_room(&self, lane: &Lane) -> bool {
        self.window.len() < Self::window_room(lane)
    }

    /// Takes an entry of the stream into the window, unless it is there already, needs no attempt any more, or has to
    /// stay in the stream for its lane's sake. Its event is kept in memory only if `may_keep` and the window's bytes
    /// allow it. Returns the bytes kept.
    pub fn take(&mut self, lane: &Lane, mut entry: StreamEntry, may_keep: bool, now_mono: u64, front: bool) -> usize {
        let key = entry.delivery.seq;
        let revived = entry.position != key;
        let void = lane.taken_up(entry.position)
            || lane.cancelled.contains(key)
            || (revived && !lane.revived.contains(key))
            || self.in_window.contains(&key)
            || self.is_flying(key);
        if void {
            return 0;
        }
        if let Some(lane_key) = entry.key.filter(|_| self.lanes.must_skip(entry.key, entry.position)) {
            self.lanes.skip(lane_key, entry.position);
            return 0;
        }
        let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
        let size = entry.loaded.as_ref().map_or(0, |event| event.body.len() as u64);
        let keep = may_keep && (self.window_bytes == 0 || self.window_bytes + cost <= limits::WINDOW_BYTES);
        if !keep {
            entry.loaded = None;
        }
        let kept = if keep { cost } else { 0 };
        self.window_bytes += kept;
        self.outstanding.insert(entry.position);
        self.in_window.insert(key);
        self.lanes.enter_window(entry.key);
        let job = Job {
            delivery: entry.delivery,
            event: entry.event,
            position: Some(entry.position),
            attempts: entry.attempts,
            last: entry.last,
            age_ms: 0,
            since: 0,
            arrived: now_mono,
            loaded: entry.loaded,
            ended: false,
            read_at: None,
            slot: Slot::Plain,
            key: entry.key,
            size,
            own: false,
        };
        if front {
            self.window.push_front(job)
        } else {
            self.window.push_back(job)
        }
        kept
    }

    /// Whether an attempt for this delivery is under way or being prepared.
    #[must_use]
    pub fn is_flying(&self, key: Seq) -> bool {
        self.in_flight.contains_key(&key)
            || self.gathering.iter().any(|job| job.delivery.seq == key)
            || self.batches.values().any(|batch| batch.members.iter().any(|m| m.delivery == key && !m.ended))
    }

    /// Attempts under way or being prepared.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.in_flight.len() + self.batches.len() + usize::from(!self.gathering.is_empty())
    }

    /// Whether a delivery is in the window or under way.
    #[must_use]
    pub fn is_at_hand(&self, key: Seq) -> bool {
        self.in_window.contains(&key) || self.is_flying(key)
    }

    /// The places that its attempts take among those in flight.
    pub fn slots_taken(&self) -> impl Iterator<Item = Slot> + '_ {
        let ones = self.in_flight.values().map(|job| job.slot);
        ones.chain(self.batches.values().map(|batch| batch.slot)).chain(self.gathering.first().map(|job| job.slot))
    }

    /// Takes a delivery out of window and timers. Returns the bytes freed.
    pub fn remove(&mut self, key: Seq) -> usize {
        self.forget_timer(Work::One(key));
        if !self.in_window.contains(&key) {
            return 0;
        }
        let Some(at) = self.window.iter().position(|job| job.delivery.seq == key) else { return 0 };
        let Some((job, freed)) = self.take_out(at) else { return 0 };
        self.settle(&job);
        freed
    }

    /// Takes a job out of the window, with the bytes freed. Its place in the stream stays outstanding.
    pub(super) fn take_out(&mut self, at: usize) -> Option<(Job, usize)> {
        let job = self.window.remove(at)?;
        self.in_window.remove(&job.delivery.seq);
        self.lanes.leave_window(job.key);
        self.read_lane_again(job.key);
        let freed = self.unload(&job);
        Some((job, freed))
    }

    /// Puts a job back at the front of the window, without its event.
    pub(super) fn put_back(&mut self, mut job: Job) {
        job.loaded = None;
        self.in_window.insert(job.delivery.seq);
        self.lanes.enter_window(job.key);
        self.window.push_front(job);
    }

    /// Forgets the place of a job whose attempt ended, or which was taken out.
    pub fn settle(&mut self, job: &Job) {
        if let Some(position) = job.position {
            self.outstanding.remove(&position);
        }
    }

    /// Lets go of the events in the window; they are read again when their turn comes. Returns the bytes freed.
    pub fn drop_bodies(&mut self) -> usize {
        for job in &mut self.window {
            job.loaded = None;
        }
        std::mem::take(&mut self.window_bytes)
    }

    /// Empties the window; what was in it is to be read again from the first place of it, which is returned with the
    /// bytes freed.
    pub(super) fn clear_window(&mut self) -> (Option<Seq>, usize) {
        let mut first = None;
        let freed = self.drop_bodies();
        for job in std::mem::take(&mut self.window) {
            self.in_window.remove(&job.delivery.seq);
            self.lanes.leave_window(job.key);
            if let Some(position) = job.position {
                self.outstanding.remove(&position);
                first = Some(first.map_or(position, |other: Seq| other.min(position)));
            }
        }
        (first, freed)
    }

    pub(super) fn unload(&mut self, job: &Job) -> usize {
        let cost = job.loaded.as_ref().map_or(0, |event| event.cost());
        self.window_bytes -= cost.min(self.window_bytes);
        cost
    }

    /// When its rate lets an attempt go.
    #[must_use]
    pub fn rate_ready_at(&self, lane: &Lane) -> Option<u64> {
        lane.endpoint.rate.map(|rate| self.bucket.ready_at(rate, lane.endpoint.burst.unwrap_or(1)))
    }
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    One(Job),
    /// A batch that waited, by the clock of age since then.
    Batch(BatchId, u64),
    /// Deliveries are to be gathered into a new batch.
    Gather,
}

/// Attempts in a second of an overall limit, with the bucket that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub rate: Rate,
    pub bucket: Bucket,
}
