//! Whose turn it is at one endpoint: timers of what waits, and the lanes that keep an order.

use super::delivery::TimerKey;
use super::endpoint_queue::EndpointQueue;
use super::left_out::LeftOut;
use crate::model::{BatchId, Order, Seq};
use crate::queue::stream::lanes::{Lanes, STRICT};

impl EndpointQueue {
    /// The lanes that keep an order.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.runtime.lanes
    }

    /// When its timer goes off, if it has one.
    #[must_use]
    pub fn due_of_timer(&self, timer: TimerKey) -> Option<u64> {
        self.runtime.timers.get(timer)
    }

    /// The endpoint keeps another order from now on: what is at hand gets its lanes anew.
    pub fn reorder(&mut self) {
        let first = self.clear_prefetch();
        let unread = [self.first_unread(), first].into_iter().flatten().min();
        self.runtime.prefetch.set_unread(unread);

        self.runtime.lanes = Lanes::default();
        self.runtime.left_out = LeftOut::default();
        self.fill_lanes();

        // What is under way waits no more, and takes its lane.
        let Self { remembered, runtime } = self;
        for job in runtime.in_flight.values_mut().chain(&mut runtime.gathering) {
            job.lane = remembered.lane_of_key(job.lane);
            runtime.lanes.wait_no_more(job.lane, job.delivery.seq);
            runtime.lanes.start(job.lane);
        }
        for member in runtime.batches_in_flight.values_mut().flat_map(|batch| &mut batch.members) {
            member.lane = remembered.lane_of_key(member.lane);
            runtime.lanes.start(member.lane);
        }

        // What waited behind others, and is the first of its lane now or in none, gets its timer.
        for (timer, due) in self.runtime.timers.take_all_behind() {
            self.wait_turn(timer, due);
        }
    }

    /// A batch that lost a member has another id.
    pub fn rename_batch(&mut self, old: BatchId, new: BatchId) {
        let timers = &mut self.runtime.timers;
        let old = TimerKey::Batch(old);
        let due = timers.get(old).or_else(|| timers.get_behind(old));
        timers.forget(old);
        if let Some(due) = due.filter(|_| self.batches.contains_key(&new)) {
            self.wait_turn(TimerKey::Batch(new), due);
        }
    }

    /// Everything that waits for a retry is due at once, parked heads of lanes as well, and nothing
    /// keeps the endpoint back.
    pub fn make_all_due(&mut self, now_mono: u64) {
        self.runtime.breaker = Default::default();
        self.runtime.paused_until = 0;
        self.runtime.failed_at = None;
        self.runtime.timers.make_all_due(now_mono);
        self.runtime.lanes.unpark_all();

        let waiting: Vec<(Seq, TimerKey, u64)> = self
            .retrying
            .iter()
            .map(|(seq, w)| (*seq, w.batch.map_or(TimerKey::One(*seq), TimerKey::Batch), w.born()))
            .collect();
        for (delivery, timer, born) in waiting {
            let has_none = self.due_of_timer(timer).is_none();
            if has_none && !self.is_in_flight(delivery) && self.may_go_on(timer) {
                self.runtime.timers.set(timer, now_mono);
                self.runtime.ages.enter(born, delivery);
            }
        }
    }

    /// Lets a delivery wait, in its lane and with a timer, if nothing of its lane is before it.
    pub fn wait_in_lane(&mut self, lane: Option<u64>, delivery: Seq, born: u64, due_mono: u64) {
        let at = self.position_in_lane(delivery);
        self.runtime.ages.enter(born, delivery);
        self.runtime.lanes.wait(lane, at, delivery, false);

        let timer = TimerKey::One(delivery);
        if self.runtime.lanes.may_go_on(lane, |head| head == delivery) {
            self.runtime.timers.set(timer, due_mono);
        } else {
            self.runtime.timers.set_behind(timer, due_mono);
        }
        self.evict(lane);
    }

    /// Lets a delivery wait in its lane until the operator lets the lane go on.
    pub fn park(&mut self, lane: Option<u64>, delivery: Seq) {
        let at = self.position_in_lane(delivery);
        self.runtime.lanes.wait(lane, at, delivery, true);
    }

    /// The lane of one that waits is known from now on.
    pub fn learn_lane(&mut self, lane: u64, delivery: Seq) {
        if !self.is_in_flight(delivery) {
            self.runtime.lanes.wait(Some(lane), delivery, delivery, false);
        }
    }

    /// Sets the timer of what waits already, if nothing of its lanes is before it.
    pub fn wait_turn(&mut self, timer: TimerKey, due_mono: u64) {
        if self.may_go_on(timer) {
            self.runtime.timers.set(timer, due_mono);
        } else {
            self.runtime.timers.set_behind(timer, due_mono);
        }
    }

    /// A delivery that waited has ended, or is about to be attempted.
    pub fn wait_no_more(&mut self, lane: Option<u64>, delivery: Seq) {
        self.runtime.timers.forget(TimerKey::One(delivery));
        self.runtime.lanes.wait_no_more(lane, delivery);
    }

    /// The head of a parked lane is tried again, or has ended.
    pub fn unpark(&mut self, lane: Option<u64>) {
        self.runtime.lanes.unpark(lane);
    }

    /// The operator wants this delivery now: its lane goes on, and it is due at once.
    pub fn hurry(&mut self, delivery: Seq, now_mono: u64) {
        let waiting = *self.waiting(delivery);
        let lane = self.lane_of_key(waiting.key);
        self.runtime.lanes.unpark(lane);

        match waiting.batch {
            Some(batch) => {
                self.runtime.ages.enter(waiting.born(), delivery);
                self.wait_turn(TimerKey::Batch(batch), now_mono);
            }
            None => self.wait_in_lane(lane, delivery, waiting.born(), now_mono),
        }
    }

    /// The operator asked for this delivery alone: when it is due, pauses and the gaps between
    /// probes do not keep it. One that went to the end of the stream has its turn there.
    pub fn make_urgent(&mut self, delivery: Seq) {
        if let Some(waiting) = self.retrying.get(&delivery) {
            let timer = waiting.batch.map_or(TimerKey::One(delivery), TimerKey::Batch);
            self.runtime.timers.make_urgent(timer);
        }
    }

    /// Leaves what the prefetch holds of this lane in the stream, because its head waits and others
    /// want the memory.
    fn evict(&mut self, lane: Option<u64>) {
        let latest = self.is_latest();
        let Some(key) = lane.filter(|key| *key != STRICT && !latest) else { return };

        let runtime = &mut self.runtime;
        while let Some(at) = runtime.prefetch.first_of_lane(lane) {
            let Some(job) = runtime.prefetch.take_out(at) else { break };
            runtime.lanes.leave_prefetch(lane);
            runtime.prefetch.release_position(&job);
            if let Some(position) = job.position {
                runtime.lanes.skip(key, position);
                runtime.ages.left_in_stream(position, job.born);
            }
        }
    }

    /// A lane is free again: its next delivery that waits gets a timer, or the stream is read again
    /// for it.
    pub fn free_lane(&mut self, lane: Option<u64>, now_mono: u64) {
        let Some(key) = lane else { return };
        let Some(head) = self.runtime.lanes.head(key) else { return self.read_lane_again(lane) };
        // A head without an entry is under way, in a batch.
        let Some(waiting) = self.retrying.get(&head).filter(|waiting| !waiting.parked) else {
            return;
        };

        let timer = waiting.batch.map_or(TimerKey::One(head), TimerKey::Batch);
        if self.due_of_timer(timer).is_none() && !self.is_in_flight(head) && self.may_go_on(timer) {
            let due = self.runtime.timers.take_behind(timer).unwrap_or(now_mono);
            self.runtime.timers.set(timer, due.max(now_mono));
        }
    }

    /// Whether nothing of their lanes is before these.
    #[must_use]
    pub(super) fn may_go_on(&self, timer: TimerKey) -> bool {
        let lanes = &self.runtime.lanes;
        match timer {
            TimerKey::One(delivery) => {
                lanes.may_go_on(self.lane_of_waiting(delivery), |head| head == delivery)
            }
            TimerKey::Batch(id) => self.batches.get(&id).is_some_and(|batch| {
                let in_batch = |head| batch.members.contains(&head);
                let members = batch.members.iter();
                members
                    .map(|m| self.lane_of_waiting(*m))
                    .all(|lane| lanes.may_go_on(lane, in_batch))
            }),
        }
    }

    /// Reads the stream again from where this lane's deliveries were left.
    pub(super) fn read_lane_again(&mut self, lane: Option<u64>) {
        if let Some(position) = self.runtime.lanes.take_skipped(lane) {
            self.runtime.prefetch.read_again_from(position);
        }
    }

    /// What is due goes back behind others that came before it in its lane meanwhile, because the
    /// operator asked for them again.
    pub(super) fn step_back(&mut self, now_mono: u64) {
        if self.settings.order == Order::None {
            return;
        }

        let due: Vec<(u64, TimerKey)> = self.runtime.timers.due(now_mono).collect();
        for (at, timer) in due {
            if !self.may_go_on(timer) {
                self.runtime.timers.set_behind(timer, at);
            }
        }
    }
}
