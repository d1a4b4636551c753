//! Starts what is due: round robin over the endpoints that have something to do, inside their
//! windows.

use crate::model::{EndpointId, Now, Seq, limits};
use crate::queue::action::{Action, AttemptOrder, ReadOrder};
use crate::queue::decision::Decision;
use crate::queue::endpoint::bucket::is_slow;
use crate::queue::endpoint::{ActiveDelivery, NextAttempt, Picked, SlotKind};
use crate::queue::link::LinkChange;
use crate::queue::{Draft, Queue};
use crate::record::Record;

impl Queue {
    /// Starts what is due at `now`. What it decides is remembered and released like every other
    /// decision.
    pub fn run(&mut self, now: Now) -> Decision {
        let mut draft = Draft::default();
        self.tick(now);
        self.look_at_the_clock(now);

        // What has become known since the last run: events that were read, ages, notices.
        self.run_reads(now, &mut draft);
        self.run_ages(now, &mut draft);
        self.run_ready(now, &mut draft);
        self.flush_notices(now, &mut draft);

        // Whose time has come waits for a turn like the others.
        while let Some(id) = self.wakes.pop_due(now.mono_ms) {
            self.wake(id);
        }
        self.idle = None;

        // First those who wait for something that all share, then everybody, one attempt each.
        self.run_pace(now, &mut draft);
        self.probe_the_link(now, &mut draft);
        self.run_newcomers(now, &mut draft);
        self.run_awaiting(now, &mut draft);
        while self.slots.free() > 0
            && let Some(id) = self.turns.runnable.pop()
        {
            self.run_unless_offline(id, now, &mut draft);
        }

        self.run_replays(now, &mut draft.actions);
        self.send_ready(now, &mut draft);
        draft.decided(Ok(()))
    }

    /// When `run` has something to do again, if nothing happens before, on the monotonic clock.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<u64> {
        if self.has_turns() || self.may_read_more() {
            return Some(now.mono_ms);
        }

        let endpoints = self.wakes.first();
        let replays = self.replay_due.values().filter_map(|due| *due).min();
        let link = self.link_wake(now);
        let notices = self.notices_due();
        let ages = self.ages_wake(now);
        let pace = self.pace_wake(now);
        [endpoints, replays, link, notices, ages, pace].into_iter().flatten().min()
    }

    /// Whether something signed waits until the wall clock can be believed, or is waited for.
    #[must_use]
    pub fn waits_for_clock(&self) -> bool {
        self.clock_until.is_some()
    }

    /// An endpoint has its turn, unless it waits for the link.
    pub(in crate::queue) fn run_unless_offline(
        &mut self,
        id: EndpointId,
        now: Now,
        draft: &mut Draft,
    ) {
        if !self.waits_for_the_link(id, now) {
            self.run_endpoint(id, now, draft);
        }
    }

    /// Starts one attempt of an endpoint if one is due, and lets it wait for another turn, if
    /// there may be more.
    pub(in crate::queue) fn run_endpoint(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        self.fill(id, now, draft);
        let endpoint = self.state.endpoint_mut(id);
        endpoint.look_whether_caught_up(now.mono_ms);
        endpoint.look_for_silence();

        if let Some(later) = self.clock_keeps_until(id, now) {
            return self.wakes.set(id, Some(later));
        }
        let Some(slot) = self.slot_for(id, now) else { return };

        let has_turn = self.has_turn(id);
        let Some(picked) = self.state.endpoint_mut(id).next_attempt(now.mono_ms, has_turn) else {
            return self.wait_for_due(id, has_turn, now);
        };
        let Picked { next, backlog } = picked;
        if backlog {
            self.spend_pace(now);
        }
        self.spend_slow_rate(id, backlog, now, draft);

        match next {
            NextAttempt::One(job) => self.start_one(id, job, slot, draft),
            NextAttempt::Batch(batch) => self.start_batch(id, batch, slot, draft),
            NextAttempt::Gather => self.gather(id, slot, now, draft),
            NextAttempt::GatherOne(delivery) => self.gather_one(id, delivery, slot, now, draft),
        }
        self.wake(id);
    }

    /// Nothing of it is due: it is woken when something is, or has its turn at the pace that all
    /// share.
    fn wait_for_due(&mut self, id: EndpointId, has_turn: bool, now: Now) {
        let endpoint = self.state.endpoint(id);
        let due = endpoint.next_due(now.mono_ms, has_turn);
        if has_turn {
            return self.wakes.set(id, due);
        }

        let due_with_turn = endpoint.next_due(now.mono_ms, true);
        if due_with_turn.is_some_and(|at| at <= now.mono_ms) {
            // Nothing but the shared pace keeps it.
            self.await_pace(id, now);
            self.wakes.set(id, due);
        } else {
            self.wakes.set(id, due_with_turn);
        }
    }

    /// Until when this endpoint has to wait for a sane clock, which stands in its signatures.
    fn clock_keeps_until(&self, id: EndpointId, now: Now) -> Option<u64> {
        let signs = self.state.endpoint(id).settings.signs();
        self.clock_until.filter(|at| signs && *at > now.mono_ms)
    }

    fn look_at_the_clock(&mut self, now: Now) {
        let waited = self.clock_until.is_some();
        self.clock_until = self.clock.look(now);
        if let Some(epoch) = self.clock.believed_epoch()
            && epoch > self.resumed.epoch + limits::CLOCK_SET_MS
        {
            self.resumed.epoch = epoch;
            self.resume_waits(now);
        }
        if waited && self.clock_until.is_none() {
            let all: Vec<EndpointId> = self.state.living().map(|e| e.settings.id).collect();
            all.into_iter().for_each(|id| self.wake(id));
        }
    }

    /// A slow rate is remembered when it is used, so that it holds over restarts.
    fn spend_slow_rate(&mut self, id: EndpointId, backlog: bool, now: Now, draft: &mut Draft) {
        let settings = &self.state.endpoint(id).settings;
        let shared = self.pace.as_ref().map(|pace| pace.rate);
        let of_backlog = [settings.catch_up.rate, shared].into_iter().flatten();
        let mut rates = settings.rate.into_iter().chain(of_backlog.filter(|_| backlog));
        if rates.any(is_slow) {
            self.remember(Record::RateSpent { endpoint: id, at: now.wall_ms }, draft);
        }
    }

    /// Starts an attempt for one delivery, or has its event read first.
    fn start_one(
        &mut self,
        id: EndpointId,
        mut job: ActiveDelivery,
        slot: SlotKind,
        draft: &mut Draft,
    ) {
        job.slot = slot;
        let (delivery, number) = (job.delivery, job.attempts + 1);
        match job.loaded.take() {
            Some(event) => {
                (job.own, job.source) = (event.is_own(), event.source);
                let endpoint = self.state.endpoint(id).settings.clone();
                draft.actions.push(Action::Attempt(AttemptOrder::One {
                    delivery,
                    number,
                    endpoint,
                    event,
                }));
            }
            None => {
                let event = self.record_of(job.event);
                job.read_at = Some(event);
                draft.actions.push(Action::Read(ReadOrder::Event { delivery, event }));
            }
        }

        self.state.endpoint_mut(id).start_attempt(job);
        self.slots.take(slot);
    }

    /// The endpoint's stream has a new entry at `position`.
    pub(in crate::queue) fn stream_grew(&mut self, id: EndpointId, position: Seq) {
        let ran_ms = self.ran_ms;
        self.state.endpoint_mut(id).stream_grew(position, ran_ms);
        self.mark_sooner(id);
        self.wake(id);
    }

    /// The endpoint may have something to do.
    pub(in crate::queue) fn wake(&mut self, id: EndpointId) {
        self.ages_changed.insert(id);
        if self.turns.runnable.contains(id) {
            return;
        }

        if self.state.endpoint(id).is_unknown() {
            self.turns.newcomers.push(id);
        } else {
            // One that has become known waits for a slot like the others.
            self.turns.newcomers.remove(id);
            self.turns.runnable.push(id);
        }
    }

    /// A deleted endpoint does nothing any more.
    pub(in crate::queue) fn stop_endpoint(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        self.turns.forget(id);
        if let Some(pace) = &mut self.pace {
            pace.leave(id);
        }
        self.wakes.forget(id);
        self.ages_due.forget(id);
        self.lags_due.forget(id);
        self.ages_changed.remove(&id);
        self.matcher.remove(id);
        if self.link.forget(id) == LinkChange::CameBack {
            self.mark_all_back(now, draft);
        }

        // Its slots are somebody else's turn.
        let slots = self.state.stop_deleted(id);
        slots.into_iter().for_each(|slot| self.vacate(slot));
    }
}
