//! What an endpoint does right now: its window onto the stream, its timers, its attempts in flight. Volatile: after
//! a restart it is made anew from the state, and attempts that were under way are simply due again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::input::StreamEntry;
use super::state::Lane;
use crate::model::{DeliveryId, Event, Order, Seq, limits};

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
    /// How long it had been tried at `since_mono`.
    pub age_ms: u64,
    pub since_mono: u64,
    pub loaded: Option<Arc<Event>>,
    /// The operator ended it while it was under way.
    pub ended: bool,
    /// The record its event was last read from.
    pub read_at: Option<Seq>,
    /// Counted among the attempts to failing endpoints.
    pub failing: bool,
}

/// The volatile side of a lane.
#[derive(Debug, Default)]
pub struct Flow {
    /// Taken from the stream, not attempted yet, in order.
    window: VecDeque<Job>,
    window_bytes: usize,
    /// Places of the stream in the window or in flight: `low` ends before the first of them.
    outstanding: BTreeSet<Seq>,
    in_window: HashSet<Seq>,
    /// The first place of the stream that was not read into the window; `None` when there is none.
    pub unread: Option<Seq>,
    pub refilling: bool,
    /// When retries are due on the monotonic clock, and since when they wait.
    timers: BTreeMap<(u64, Seq), u64>,
    timer_of: HashMap<Seq, u64>,
    pub in_flight: HashMap<Seq, Job>,
    /// Attempts that may be in flight: doubles with success, halves with failure.
    pub width: u32,
    pub failures_in_row: u32,
    /// Whether its last free place went to a retry: first attempts and retries take turns.
    retry_last: bool,
    /// No attempt before this, by the endpoint's rate; in microseconds of the monotonic clock.
    next_by_rate_us: u64,
    /// Whether it stands in the queue of lanes that may have something to do.
    pub runnable: bool,
    /// The wake-up it has registered.
    pub wake: Option<u64>,
}

impl Flow {
    #[must_use]
    pub fn new(unread: Option<Seq>, concurrency: u32) -> Self {
        Self { unread, width: concurrency.min(4), ..Self::default() }
    }

    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures_in_row >= limits::FAILING_AFTER
    }

    /// The last place up to which everything in the stream is taken up once `position` is.
    #[must_use]
    pub fn low(&self, next_seq: Seq) -> Seq {
        let unread = self.unread.unwrap_or(next_seq);
        self.outstanding.first().map_or(unread, |first| unread.min(*first)).saturating_sub(1)
    }

    /// Everything in the window or in flight that came from the stream.
    pub fn outstanding(&self) -> impl Iterator<Item = &Job> {
        self.window.iter().chain(self.in_flight.values().filter(|job| job.position.is_some()))
    }

    #[must_use]
    pub fn window_len(&self) -> usize {
        self.window.len()
    }

    #[must_use]
    pub fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    #[must_use]
    pub fn has_room(&self) -> bool {
        self.window.len() < limits::WINDOW
    }

    /// Takes an entry of the stream into the window, unless it is there already or needs no attempt any more. Its
    /// event is kept in memory only if `may_keep` and the window's bytes allow it. Returns the bytes kept.
    pub fn take(&mut self, lane: &Lane, mut entry: StreamEntry, may_keep: bool) -> usize {
        let key = entry.delivery.seq;
        let revived = entry.position != key;
        let void = lane.taken_up(entry.position)
            || lane.cancelled.contains(key)
            || (revived && !lane.revived.contains(key))
            || self.in_window.contains(&key)
            || self.in_flight.contains_key(&key);
        if void {
            return 0;
        }
        let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
        let keep = may_keep && (self.window_bytes == 0 || self.window_bytes + cost <= limits::WINDOW_BYTES);
        if !keep {
            entry.loaded = None;
        }
        let kept = if keep { cost } else { 0 };
        self.window_bytes += kept;
        self.outstanding.insert(entry.position);
        self.in_window.insert(key);
        self.window.push_back(Job {
            delivery: entry.delivery,
            event: entry.event,
            position: Some(entry.position),
            attempts: entry.attempts,
            last: entry.last,
            age_ms: 0,
            since_mono: 0,
            loaded: entry.loaded,
            ended: false,
            read_at: None,
            failing: false,
        });
        kept
    }

    /// Sets the timer of a retry.
    pub fn wait(&mut self, key: Seq, due_mono: u64, since_mono: u64) {
        self.forget_timer(key);
        self.timers.insert((due_mono, key), since_mono);
        self.timer_of.insert(key, due_mono);
    }

    pub fn forget_timer(&mut self, key: Seq) {
        if let Some(due) = self.timer_of.remove(&key) {
            self.timers.remove(&(due, key));
        }
    }

    /// Takes a delivery out of window and timers. Returns the bytes freed.
    pub fn remove(&mut self, key: Seq) -> usize {
        self.forget_timer(key);
        if !self.in_window.remove(&key) {
            return 0;
        }
        let Some(at) = self.window.iter().position(|job| job.delivery.seq == key) else { return 0 };
        let Some(job) = self.window.remove(at) else { return 0 };
        self.settle(&job);
        self.unload(&job)
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

    /// Makes everything that waits for a retry due at once; the time on hold does not count to its age.
    pub fn release(&mut self, now_mono: u64) {
        self.failures_in_row = 0;
        self.timers = self.timer_of.keys().map(|key| ((now_mono, *key), now_mono)).collect();
        self.timer_of.values_mut().for_each(|due| *due = now_mono);
    }

    fn unload(&mut self, job: &Job) -> usize {
        let cost = job.loaded.as_ref().map_or(0, |event| event.cost());
        self.window_bytes -= cost.min(self.window_bytes);
        cost
    }

    /// When something may be done next, if nothing happens before: `Some(now)` or earlier means at once.
    #[must_use]
    pub fn next_due(&self, lane: &Lane, now_mono: u64) -> Option<u64> {
        if lane.hold.is_some() || self.in_flight.len() >= self.width as usize {
            return None;
        }
        let first_timer = self.timers.first_key_value().map(|((due, _), _)| *due);
        let fresh = (self.may_begin(lane) && !self.window.is_empty()).then_some(now_mono);
        let due = match (first_timer, fresh) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        if lane.endpoint.order == Order::Strict && !self.in_flight.is_empty() {
            return None;
        }
        Some(due.max(self.next_by_rate_us.div_ceil(1000)))
    }

    /// Whether first attempts may be made: not while too many wait for a retry already.
    #[must_use]
    pub fn may_begin(&self, lane: &Lane) -> bool {
        let most = match (lane.endpoint.order, self.is_failing()) {
            (Order::Strict | Order::Key, _) => 1,
            (Order::None, true) => limits::RETRYING_FAILING,
            (Order::None, false) => limits::RETRYING,
        };
        lane.retrying.len() < most
    }

    /// The next delivery to attempt, taken out of window or timers. Returns it with the bytes that left the window.
    pub fn next_job(&mut self, lane: &Lane, now_mono: u64) -> Option<(Job, usize)> {
        if self.next_due(lane, now_mono)? > now_mono {
            return None;
        }
        let retry_due = self.timers.first_key_value().is_some_and(|((due, _), _)| *due <= now_mono);
        let fresh = self.may_begin(lane) && !self.window.is_empty();
        let take_retry = retry_due && (!fresh || !self.retry_last);
        self.retry_last = take_retry;
        let (job, freed) = if take_retry { (self.due_retry(lane)?, 0) } else { self.first_attempt(now_mono)? };
        if let Some(rate) = lane.endpoint.rate {
            let step_us = rate.per_ms.saturating_mul(1000) / u64::from(rate.count.max(1));
            self.next_by_rate_us = self.next_by_rate_us.max(now_mono * 1000) + step_us;
        }
        Some((job, freed))
    }

    fn due_retry(&mut self, lane: &Lane) -> Option<Job> {
        let ((_, key), since_mono) = self.timers.pop_first()?;
        self.timer_of.remove(&key);
        let waiting = lane.retrying.get(&key)?;
        Some(Job {
            delivery: DeliveryId { seq: key, endpoint: lane.endpoint.id },
            event: waiting.event,
            position: None,
            attempts: waiting.attempts,
            last: waiting.last,
            age_ms: waiting.age_ms,
            since_mono,
            loaded: None,
            ended: false,
            read_at: None,
            failing: false,
        })
    }

    fn first_attempt(&mut self, now_mono: u64) -> Option<(Job, usize)> {
        let mut job = self.window.pop_front()?;
        self.in_window.remove(&job.delivery.seq);
        let freed = self.unload(&job);
        job.since_mono = now_mono;
        Some((job, freed))
    }

    /// Learns from an attempt.
    pub fn learn(&mut self, succeeded: bool, concurrency: u32) {
        if succeeded {
            self.failures_in_row = 0;
            self.width = (self.width + 1).min(concurrency);
        } else {
            self.failures_in_row = self.failures_in_row.saturating_add(1);
            self.width = (self.width / 2).max(1);
        }
    }
}
