//! What an endpoint attempts next, and when: its window, its rate, its breaker, its batches.

use super::breaker::OpenCircuit;
use super::delivery::{ActiveDelivery, NextAttempt, SlotKind, TimerKey};
use super::endpoint_queue::EndpointQueue;
use crate::model::{DeliveryId, Seq, limits};

/// What an endpoint might attempt next.
#[derive(Clone, Copy, Debug)]
struct AttemptCandidate {
    at: u64,
    pick: Pick,
    /// Its newest delivery.
    newest: Seq,
    /// It is part of a backlog that is being worked off.
    backlog: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pick {
    Urgent(u64, TimerKey),
    Retry(u64, TimerKey),
    Fresh(usize),
    Gather,
}

/// What was picked.
#[derive(Debug)]
pub struct Picked {
    pub next: NextAttempt,
    pub backlog: bool,
}

impl EndpointQueue {
    /// The earliest time that rate, pauses and breaker allow.
    #[must_use]
    fn allowed_at(&self) -> u64 {
        self.rate_ready_at().unwrap_or(0).max(self.kept_back_until())
    }

    /// When its rate lets an attempt go.
    #[must_use]
    pub fn rate_ready_at(&self) -> Option<u64> {
        let burst = self.settings.burst.unwrap_or(1);
        self.settings.rate.map(|rate| self.runtime.rate.ready_at(rate, burst))
    }

    /// The earliest time that the pace of catching up allows: of the endpoint's own, and of all
    /// together, where its turn has to come first.
    fn paced_at(&self, backlog: bool, has_turn: bool) -> u64 {
        match (self.catching_up(), self.settings.catch_up.rate) {
            _ if !backlog => 0,
            _ if !has_turn => u64::MAX,
            (Some(catching), Some(rate)) => catching.bucket.ready_at(rate, 1),
            _ => 0,
        }
    }

    /// Whether consumers would have to come for more than is out already.
    #[must_use]
    pub fn lacks_consumers(&self) -> bool {
        self.settings.is_leased() && self.runtime.in_flight.len() >= self.runtime.leases_wanted
    }

    /// Consumers hold or wait for so many deliveries.
    pub fn set_leases_wanted(&mut self, total: usize) {
        self.runtime.leases_wanted = total;
    }

    /// How many attempts may be under way.
    #[must_use]
    pub fn window(&self) -> usize {
        match self.runtime.breaker.open {
            Some(_) => 1,
            None => self.runtime.window.min(self.settings.concurrency) as usize,
        }
    }

    /// When something may be done next, if nothing happens before: now or earlier means at once.
    #[must_use]
    pub fn next_due(&self, now_mono: u64, has_turn: bool) -> Option<u64> {
        let candidates = self.candidates(now_mono, has_turn).into_iter().flatten();
        candidates.map(|candidate| candidate.at).filter(|at| *at < u64::MAX).min()
    }

    /// When the probe of its open breaker goes out: when the breaker lets one go and something is
    /// due. Where nothing waits that is with the next event, and the time may have passed.
    #[must_use]
    pub fn next_probe_at(&self, open: OpenCircuit, now_mono: u64) -> u64 {
        match self.undone {
            0 => open.probe_at,
            _ => self.next_due(now_mono, true).unwrap_or(open.probe_at).max(now_mono),
        }
    }

    /// What may be attempted next: what the operator asked for, what waits for a retry, and what
    /// was not attempted yet.
    fn candidates(&self, now_mono: u64, has_turn: bool) -> [Option<AttemptCandidate>; 3] {
        let full = !self.settings.is_leased() && self.under_way() >= self.window();
        if self.hold.is_some() || self.lacks_consumers() || full {
            return [None; 3];
        }

        let candidate = |at: u64, pick: Pick, newest: Seq| {
            let backlog = self.is_backlog(newest);
            let at = at.max(self.paced_at(backlog, has_turn));
            AttemptCandidate { at, pick, newest, backlog }
        };

        // Pauses and the breaker do not keep what the operator asked for.
        let urgent = self.next_urgent().map(|(due, timer)| {
            let at = due.max(self.rate_ready_at().unwrap_or(0));
            candidate(at, Pick::Urgent(due, timer), self.newest_of(timer))
        });

        let allowed = self.allowed_at();
        let retry = self.next_retry(now_mono).map(|(due, timer)| {
            candidate(due.max(allowed), Pick::Retry(due, timer), self.newest_of(timer))
        });

        let fresh = match self.settings.batch {
            Some(batch) => {
                let due = self.batch_due(batch, now_mono);
                due.map(|(due, newest)| candidate(due.max(allowed), Pick::Gather, newest))
            }
            None => self.next_fresh().filter(|_| self.may_begin()).map(|(at, job)| {
                candidate(now_mono.max(allowed), Pick::Fresh(at), job.delivery.seq)
            }),
        };
        [urgent, retry, fresh]
    }

    /// The first of what the operator asked for that has a timer. One that is to join a batch waits
    /// while another is being gathered.
    fn next_urgent(&self) -> Option<(u64, TimerKey)> {
        let is_gathering = !self.runtime.gathering.is_empty();
        let joins = |timer: &TimerKey| self.settings.batch.is_some() && is_alone(*timer);
        let may_go = self.runtime.timers.urgent().filter(|timer| !is_gathering || !joins(timer));
        may_go.filter_map(|timer| Some((self.due_of_timer(timer)?, timer))).min()
    }

    /// What waits for a retry and has its turn next: the first that is due, or the newest of those
    /// that are.
    fn next_retry(&self, now_mono: u64) -> Option<(u64, TimerKey)> {
        // What waits alone at an endpoint with batches joins one: see `batch_due`.
        let batching = self.settings.batch.is_some();
        let goes_itself = |(_, timer): &(u64, TimerKey)| !batching || !is_alone(*timer);
        let mut own = self.runtime.timers.iter().filter(goes_itself);
        if !self.newest_first() {
            return own.next();
        }

        let due = self.runtime.timers.due(now_mono).filter(goes_itself);
        let newest = due.filter(|(_, timer)| self.lets_go(*timer));
        let newest = newest.max_by_key(|(_, timer)| self.newest_of(*timer));
        newest.or_else(|| own.find(|(due, timer)| *due > now_mono && self.lets_go(*timer)))
    }

    /// The first in the prefetch whose lane is free, and its place there.
    #[must_use]
    pub fn next_fresh(&self) -> Option<(usize, &ActiveDelivery)> {
        let lanes = &self.runtime.lanes;
        self.prefetch().iter().enumerate().find(|(_, job)| lanes.may_begin(job.lane))
    }

    /// Whether a first attempt may be made: while few deliveries wait for a retry, and beyond that
    /// in turn with them. What one sender's events are refused for must not keep those of others
    /// from being tried.
    #[must_use]
    pub fn may_begin(&self) -> bool {
        let has_turn = self.runtime.retry_last && self.retrying.len() < limits::RETRYING;
        has_turn || !self.is_full_of_retries()
    }

    /// Whether so many wait for a retry that first attempts are made only in turn with them.
    #[must_use]
    pub fn is_full_of_retries(&self) -> bool {
        self.retrying.len() >= self.retrying_max()
    }

    /// Whether deliveries for first attempts are to be read ahead.
    #[must_use]
    pub fn wants_first_attempts(&self) -> bool {
        let lacks_one = self.prefetch().len() == 0 && self.retrying.len() < limits::RETRYING;
        lacks_one || !self.is_full_of_retries()
    }

    /// How many deliveries may wait for a retry before first attempts are made only in turn with
    /// them.
    #[must_use]
    pub fn retrying_max(&self) -> usize {
        if self.is_failing() { limits::RETRYING_FAILING } else { limits::RETRYING }
    }

    /// The next delivery to attempt, taken out of prefetch or timers, or the batch that is due.
    pub fn next_attempt(&mut self, now_mono: u64, has_turn: bool) -> Option<Picked> {
        self.step_back(now_mono);

        let ready = |candidate: &AttemptCandidate| candidate.at <= now_mono;
        let candidates = self.candidates(now_mono, has_turn);
        let [urgent, retry, fresh] = candidates.map(|candidate| candidate.filter(ready));
        let chosen = match (urgent, retry, fresh) {
            (Some(urgent), ..) => urgent,
            (None, Some(retry), Some(fresh)) => {
                let take_retry = match self.newest_first() {
                    true => retry.newest > fresh.newest,
                    false => !self.runtime.retry_last,
                };
                if take_retry { retry } else { fresh }
            }
            (None, retry, fresh) => retry.or(fresh)?,
        };

        self.runtime.gathers_fresh = self.may_begin();
        self.runtime.retry_last = matches!(chosen.pick, Pick::Retry(..));
        let next = match chosen.pick {
            Pick::Urgent(due, timer) => {
                self.runtime.timers.is_no_longer_urgent(timer);
                match timer {
                    TimerKey::One(delivery) if self.settings.batch.is_some() => {
                        NextAttempt::GatherOne(delivery)
                    }
                    _ => self.due_retry(due, timer),
                }
            }
            Pick::Retry(due, timer) => self.due_retry(due, timer),
            Pick::Fresh(at) => NextAttempt::One(self.take_out(at)),
            Pick::Gather => NextAttempt::Gather,
        };

        self.spend(now_mono, chosen.backlog);
        Some(Picked { next, backlog: chosen.backlog })
    }

    /// An attempt is about to start.
    fn spend(&mut self, now_mono: u64, backlog: bool) {
        let Self { remembered, runtime } = self;
        if let Some(rate) = remembered.settings.rate {
            runtime.rate.take(rate, now_mono);
        }
        if let (true, Some(catching), Some(rate)) =
            (backlog, &mut runtime.catching_up, remembered.settings.catch_up.rate)
        {
            catching.bucket.take(rate, now_mono);
        }
    }

    fn due_retry(&mut self, due: u64, timer: TimerKey) -> NextAttempt {
        self.runtime.timers.take(due, timer);
        match timer {
            TimerKey::One(delivery) => NextAttempt::One(self.take_waiting(delivery)),
            TimerKey::Batch(id) => NextAttempt::Batch(id),
        }
    }

    /// A delivery that waits, taken out of timers and lane, for an attempt.
    pub fn take_waiting(&mut self, delivery: Seq) -> ActiveDelivery {
        let waiting = *self.waiting(delivery);
        let lane = self.lane_of_key(waiting.key);
        self.wait_no_more(lane, delivery);

        ActiveDelivery {
            delivery: DeliveryId { seq: delivery, endpoint: self.settings.id },
            event: waiting.event,
            position: None,
            attempts: waiting.attempts,
            last: waiting.last,
            born: waiting.born(),
            arrived: 0,
            loaded: None,
            ended: false,
            read_at: None,
            slot: SlotKind::Plain,
            lane,
            size: 0,
            own: false,
            source: waiting.source,
        }
    }
}

/// Whether it waits alone, and not with a batch.
fn is_alone(timer: TimerKey) -> bool {
    matches!(timer, TimerKey::One(_))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::model::{Endpoint, Outcome, limits};
    use crate::queue::testing::{TestQueue, answered};

    #[test]
    fn events_that_are_refused_keep_no_others_from_their_first_attempts() {
        let mut app = Endpoint::new("app", "http://127.0.0.1:1/");
        (app.retry.base_ms, app.retry.max_ms, app.retry.jitter) = (1_000, 10_000, 0.0);
        let mut world = TestQueue::new([app]);
        let (mut refused, mut wanted, mut ended) = (BTreeSet::new(), 0, 0);

        // For a minute one sender's events are refused, twenty a second; another's, one a second,
        // are taken.
        for tick in 0..3_000 {
            if tick < 1_200 {
                refused.insert(world.accept("{}").seq);
            }
            if tick < 1_200 && tick % 20 == 0 {
                world.accept("{}");
                wanted += 1;
            }
            while let Some(delivery) = world.attempts.get(ended).copied() {
                ended += 1;
                let report = match refused.contains(&delivery.seq) {
                    true => answered(world.now, Outcome::Retryable { after_ms: None }, 500),
                    false => answered(world.now, Outcome::Delivered, 200),
                };
                world.finish(delivery, report);
            }
            world.pass(50);
        }

        let app = &world.queue.state().endpoints[&1];
        assert_eq!(app.delivered, wanted, "{} wait for a retry", app.retrying.len());
        assert!(app.retrying.len() > limits::RETRYING_FAILING, "the limit was met");
    }
}
