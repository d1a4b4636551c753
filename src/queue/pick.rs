//! What an endpoint does next, and when: its windows, its rate, its breaker, its batches.

use super::bucket::{Bucket, step_us};
use super::flow::{Flow, Job, Next, Slot, Work};
use super::state::Lane;
use crate::model::{Batch, DeliveryId, Seq, limits};

impl Flow {
    /// Begins with no token, so that a restart is no burst; an endpoint with a slow rate waits only as long as what is
    /// remembered of its last attempt says.
    pub fn set_rate(&mut self, lane: &Lane, now_mono: u64, wall_ms: u64) {
        let Some(rate) = lane.endpoint.rate else { return };
        let step = step_us(rate);
        let slow = step >= limits::SLOW_RATE_STEP_MS * 1000;
        let passed_us = wall_ms.saturating_sub(lane.last_attempt_at).saturating_mul(1000);
        let known = slow && lane.last_attempt_at > 0;
        let wait = match (known, lane.last_attempt_at) {
            (true, _) => step.saturating_sub(passed_us).min(step),
            // It never made one.
            (false, 0) => 0,
            (false, _) => step,
        };
        self.bucket = Bucket::empty(rate, lane.endpoint.burst.unwrap_or(1), now_mono, wait);
    }

    /// The earliest time that rate, pauses, breaker and catching up allow.
    #[must_use]
    pub fn allowed_at(&self, lane: &Lane) -> u64 {
        let by_probe = self.breaker.probe_at().unwrap_or(0);
        self.paced_at(lane).max(by_probe).max(self.paused_until)
    }

    /// The same for what the operator asked for: the endpoint's own pace alone.
    fn paced_at(&self, lane: &Lane) -> u64 {
        let by_rate = self.rate_ready_at(lane).unwrap_or(0);
        let by_catch_up = match (&self.catching_up, lane.endpoint.catch_up.rate) {
            (Some(catching), Some(rate)) => catching.bucket.ready_at(rate, 1),
            _ => 0,
        };
        by_rate.max(by_catch_up)
    }

    /// Whether consumers would have to come for more than is out already.
    #[must_use]
    pub fn lacks_consumers(&self, lane: &Lane) -> bool {
        lane.endpoint.is_pull() && self.in_flight.len() >= self.wanted
    }

    /// How many attempts may be under way.
    #[must_use]
    pub fn slots(&self) -> usize {
        if self.breaker.open.is_some() { 1 } else { self.width as usize }
    }

    /// When something may be done next, if nothing happens before: `Some(now)` or earlier means at once.
    #[must_use]
    pub fn next_due(&self, lane: &Lane, now_mono: u64) -> Option<u64> {
        if lane.hold.is_some() {
            return None;
        }
        let expiry = self.expires_at;
        let work = self.next_work(lane, now_mono);
        match (work, expiry) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn next_work(&self, lane: &Lane, now_mono: u64) -> Option<u64> {
        if lane.hold.is_some() || self.lacks_consumers(lane) {
            return None;
        }
        if !lane.endpoint.is_pull() && self.under_way() >= self.slots() {
            return None;
        }
        let ordinary = self.ordinary_work(lane, now_mono);
        let urgent = self.next_urgent(lane).map(|(due, _)| due.max(self.paced_at(lane)));
        [ordinary, urgent].into_iter().flatten().min()
    }

    /// The first of what the operator asked for that has a timer. One that is to join a batch waits while another is
    /// being gathered.
    fn next_urgent(&self, lane: &Lane) -> Option<(u64, Work)> {
        let joins = |work: &Work| lane.endpoint.batch.is_some() && matches!(work, Work::One(_));
        let may_go = self.urgent.iter().filter(|work| self.gathering.is_empty() || !joins(work));
        may_go.filter_map(|work| Some((self.timer(*work)?, *work))).min()
    }

    fn ordinary_work(&self, lane: &Lane, now_mono: u64) -> Option<u64> {
        // What waits alone at an endpoint with batches joins one: see `batch_due`.
        let batching = lane.endpoint.batch.is_some();
        let own = |work: &Work| !batching || matches!(work, Work::Batch(_));
        let first_timer = self.timers.keys().find(|(_, work)| own(work)).map(|(due, _)| *due);
        let fresh = match lane.endpoint.batch {
            Some(batch) => self.batch_due(lane, batch, now_mono),
            None => (self.may_begin(lane) && self.next_fresh().is_some()).then_some(now_mono),
        };
        let due = match (first_timer, fresh) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        Some(due.max(self.allowed_at(lane)))
    }

    /// The first in the window whose lane is free.
    #[must_use]
    pub fn next_fresh(&self) -> Option<usize> {
        self.window.iter().position(|job| self.lanes.may_begin(job.key))
    }

    /// Whether first attempts may be made: not while too many wait for a retry already.
    #[must_use]
    pub fn may_begin(&self, lane: &Lane) -> bool {
        let most = if self.is_failing() { limits::RETRYING_FAILING } else { limits::RETRYING };
        lane.retrying.len() < most
    }

    /// The next delivery to attempt, taken out of window or timers, or the batch that is due. Returns it with the bytes
    /// that left the window.
    pub fn next_job(&mut self, lane: &Lane, now_mono: u64) -> Option<(Next, usize)> {
        self.step_back(lane, now_mono);
        if self.next_work(lane, now_mono)? > now_mono {
            return None;
        }
        let batching = lane.endpoint.batch.is_some();
        if let Some((due, work)) = self.next_urgent(lane).filter(|(due, _)| (*due).max(self.paced_at(lane)) <= now_mono)
        {
            self.urgent.remove(&work);
            let next = match work {
                Work::One(_) if batching => Next::Gather,
                _ => self.due_retry(lane, (due, work))?,
            };
            self.spend(lane, now_mono);
            return Some((next, 0));
        }
        let own = |work: &Work| !batching || matches!(work, Work::Batch(_));
        let retry_due = self.timers.keys().find(|(_, work)| own(work)).filter(|(due, _)| *due <= now_mono).copied();
        let fresh = match lane.endpoint.batch {
            Some(batch) => self.batch_due(lane, batch, now_mono).is_some_and(|due| due <= now_mono),
            None => self.may_begin(lane) && self.next_fresh().is_some(),
        };
        let take_retry = retry_due.is_some() && (!fresh || !self.retry_last);
        self.retry_last = take_retry;
        if !take_retry && !fresh {
            return None;
        }
        let next = match (take_retry, batching) {
            (true, _) => (self.due_retry(lane, retry_due?)?, 0),
            (false, true) => (Next::Gather, 0),
            (false, false) => {
                let (mut job, freed) = self.take_out(self.next_fresh()?)?;
                job.since = self.age_clock(now_mono);
                (Next::One(job), freed)
            }
        };
        self.spend(lane, now_mono);
        Some(next)
    }

    /// An attempt is about to start.
    pub(super) fn spend(&mut self, lane: &Lane, now_mono: u64) {
        if let Some(rate) = lane.endpoint.rate {
            self.bucket.take(rate, now_mono);
        }
        if let (Some(catching), Some(rate)) = (&mut self.catching_up, lane.endpoint.catch_up.rate) {
            catching.bucket.take(rate, now_mono);
        }
    }

    pub(super) fn due_retry(&mut self, lane: &Lane, at: (u64, Work)) -> Option<Next> {
        let since = self.timers.remove(&at)?;
        let work = at.1;
        self.timer_of.remove(&work);
        match work {
            Work::One(key) => self.waiting_job(lane, key, since).map(Next::One),
            Work::Batch(id) => Some(Next::Batch(id, since)),
        }
    }

    /// The job of a delivery that waits, taken out of the timers.
    pub(super) fn waiting_job(&mut self, lane: &Lane, key: Seq, since: u64) -> Option<Job> {
        self.forget_timer(Work::One(key));
        let waiting = lane.retrying.get(&key)?;
        let lane_key = lane.key_of(waiting.key);
        self.lanes.wait_no_more(lane_key, key);
        Some(Job {
            delivery: DeliveryId { seq: key, endpoint: lane.endpoint.id },
            event: waiting.event,
            position: None,
            attempts: waiting.attempts,
            last: waiting.last,
            age_ms: waiting.age_ms,
            since,
            arrived: 0,
            loaded: None,
            ended: false,
            read_at: None,
            slot: Slot::Plain,
            key: lane_key,
            size: 0,
            own: false,
        })
    }

    /// When the deliveries at hand are enough for a batch, or have waited long enough for one.
    pub(super) fn batch_due(&self, lane: &Lane, batch: Batch, now_mono: u64) -> Option<u64> {
        if !self.gathering.is_empty() {
            return None;
        }
        let (mut count, mut bytes, mut oldest, mut later) = (0u32, 0u64, u64::MAX, u64::MAX);
        for (due, work) in self.timers.keys() {
            match work {
                Work::One(_) if *due <= now_mono => {
                    count += 1;
                    oldest = oldest.min(*due);
                }
                Work::One(_) => {
                    later = *due;
                    break;
                }
                Work::Batch(_) => {}
            }
        }
        if self.may_begin(lane) {
            for job in self.window.iter().filter(|job| self.lanes.may_begin(job.key)) {
                count += 1;
                bytes += job.size;
                oldest = oldest.min(job.arrived);
                if count >= batch.max_events || bytes >= batch.max_bytes {
                    break;
                }
            }
        }
        if count >= batch.max_events || bytes >= batch.max_bytes {
            return Some(now_mono);
        }
        let first = oldest.min(later);
        (first < u64::MAX).then(|| first.saturating_add(batch.max_wait_ms))
    }

    /// Learns how wide the window is from an attempt.
    pub fn learn(&mut self, succeeded: bool, concurrency: u32) {
        self.proven |= succeeded;
        self.width = if succeeded { (self.width + 1).min(concurrency) } else { (self.width / 2).max(1) };
    }
}
