//! Whose turn it is at one endpoint: timers of what waits, and the lanes that keep an order.

use super::breaker::Breaker;
use super::flow::{Flow, Work};
use super::lanes::{Lanes, STRICT};
use super::state::Lane;
use crate::model::{BatchId, Order, Seq};

impl Flow {
    /// The endpoint keeps another order from now on: what is at hand gets its lanes anew.
    pub fn reorder(&mut self, lane: &Lane) -> usize {
        let (first, freed) = self.clear_window();
        let unread = [self.first_unread(), first].into_iter().flatten().min();
        self.unread = unread;
        self.lanes = Lanes::default();
        for (key, waiting) in &lane.retrying {
            self.lanes.wait(lane.key_of(waiting.key), *key, waiting.parked);
        }
        for job in self.in_flight.values_mut().chain(&mut self.gathering) {
            job.key = lane.key_of(job.key);
            self.lanes.wait_no_more(job.key, job.delivery.seq);
            self.lanes.fly(job.key);
        }
        for member in self.batches.values_mut().flat_map(|batch| &mut batch.members) {
            member.key = lane.key_of(member.key);
            self.lanes.fly(member.key);
        }
        freed
    }

    /// A batch that lost a member has another name.
    pub fn rename_batch(&mut self, lane: &Lane, old: BatchId, new: BatchId, now_mono: u64) {
        let due = self.timer(Work::Batch(old)).or_else(|| self.behind.get(&Work::Batch(old)).map(|(due, _)| *due));
        self.forget_timer(Work::Batch(old));
        if let (Some(due), true) = (due, lane.batches.contains_key(&new)) {
            self.wait_turn(lane, Work::Batch(new), due, self.age_clock(now_mono));
        }
    }

    /// Parked heads are tried again.
    pub fn let_parked_go(&mut self, lane: &Lane, now_mono: u64) {
        self.lanes.unpark_all();
        let since = self.age_clock(now_mono);
        for (key, waiting) in &lane.retrying {
            let work = waiting.batch.map_or(Work::One(*key), Work::Batch);
            if self.timer(work).is_none() && !self.is_flying(*key) && self.may_go_on(lane, work) {
                self.wait(work, now_mono, since);
            }
        }
    }

    /// Lets a delivery wait, in its lane and with a timer, if nothing of its lane is before it.
    pub fn wait_in_lane(&mut self, key: Option<u64>, delivery: Seq, due_mono: u64, since: u64) {
        self.lanes.wait(key, delivery, false);
        let work = Work::One(delivery);
        self.forget_timer(work);
        if self.lanes.may_go_on(key, |head| head == delivery) {
            self.wait(work, due_mono, since);
        } else {
            self.behind.insert(work, (due_mono, since));
        }
        self.evict(key);
    }

    /// Sets the timer of what waits already, if nothing of its lanes is before it.
    pub fn wait_turn(&mut self, lane: &Lane, work: Work, due_mono: u64, since: u64) {
        self.forget_timer(work);
        if self.may_go_on(lane, work) {
            self.wait(work, due_mono, since);
        } else {
            self.behind.insert(work, (due_mono, since));
        }
    }

    /// Leaves what the window holds of this lane in the stream, because its head waits and others want the room.
    pub(super) fn evict(&mut self, key: Option<u64>) {
        let Some(lane_key) = key.filter(|key| *key != STRICT) else { return };
        let mut at = 0;
        while let Some(job) = self.window.get(at) {
            if job.key != key {
                at += 1;
                continue;
            }
            let Some(job) = self.window.remove(at) else { return };
            self.in_window.remove(&job.delivery.seq);
            self.lanes.leave_window(key);
            self.unload(&job);
            self.settle(&job);
            if let Some(position) = job.position {
                self.lanes.skip(lane_key, position);
            }
        }
    }

    /// A lane is free again: its next delivery that waits gets a timer, or the stream is read again for it.
    pub fn free_lane(&mut self, lane: &Lane, key: Option<u64>, now_mono: u64) {
        let Some(lane_key) = key else { return };
        let Some(head) = self.lanes.head(lane_key) else { return self.read_lane_again(key) };
        let Some(waiting) = lane.retrying.get(&head).filter(|waiting| !waiting.parked) else { return };
        let work = waiting.batch.map_or(Work::One(head), Work::Batch);
        if self.timer(work).is_none() && !self.is_flying(head) && self.may_go_on(lane, work) {
            let (due, since) = self.behind.remove(&work).unwrap_or((now_mono, self.age_clock(now_mono)));
            self.wait(work, due.max(now_mono), since);
        }
    }

    /// Whether nothing of their lanes is before these.
    #[must_use]
    pub fn may_go_on(&self, lane: &Lane, work: Work) -> bool {
        match work {
            Work::One(delivery) => {
                let key = lane.key_of_waiting(delivery);
                self.lanes.may_go_on(key, |head| head == delivery)
            }
            Work::Batch(id) => lane.batches.get(&id).is_some_and(|batch| {
                batch
                    .members
                    .iter()
                    .all(|m| self.lanes.may_go_on(lane.key_of_waiting(*m), |head| batch.members.contains(&head)))
            }),
        }
    }

    /// Sets the timer of a retry.
    pub fn wait(&mut self, work: Work, due_mono: u64, since: u64) {
        self.forget_timer(work);
        self.timers.insert((due_mono, work), since);
        self.timer_of.insert(work, due_mono);
    }

    pub fn forget_timer(&mut self, work: Work) {
        self.behind.remove(&work);
        self.urgent.remove(&work);
        if let Some(due) = self.timer_of.remove(&work) {
            self.timers.remove(&(due, work));
        }
    }

    /// When its timer goes off, if it has one.
    #[must_use]
    pub fn timer(&self, work: Work) -> Option<u64> {
        self.timer_of.get(&work).copied()
    }

    /// Reads the stream again from where this lane's deliveries were left.
    pub(super) fn read_lane_again(&mut self, key: Option<u64>) {
        if let Some(position) = self.lanes.take_skipped(key) {
            self.unread = Some(self.unread.map_or(position, |unread| unread.min(position)));
        }
    }

    /// Whether its receiver asked to be left alone, or its breaker waits for the next probe.
    #[must_use]
    pub fn is_kept_back(&self, now_mono: u64) -> bool {
        self.paused_until.max(self.breaker.probe_at().unwrap_or(0)) > now_mono
    }

    /// The operator asked for this delivery alone: when it is due, pauses and the gaps between probes do not keep it.
    pub(super) fn make_urgent(&mut self, delivery: Seq, lane: Option<&Lane>) {
        let Some(waiting) = lane.and_then(|lane| lane.retrying.get(&delivery)) else { return };
        self.urgent.insert(waiting.batch.map_or(Work::One(delivery), Work::Batch));
    }

    /// Makes everything that waits for a retry due at once; the time on hold does not count to its age.
    pub fn release(&mut self, now_mono: u64) {
        self.breaker = Breaker::default();
        self.paused_until = 0;
        self.expires_at = None;
        self.failed_at = None;
        let since = self.age_clock(now_mono);
        self.timers = self.timer_of.keys().map(|work| ((now_mono, *work), since)).collect();
        self.timer_of.values_mut().for_each(|due| *due = now_mono);
        self.behind.values_mut().for_each(|behind| *behind = (now_mono, since));
    }

    /// What is due goes back behind others that came before it in its lane meanwhile, because the operator asked for them
    /// again.
    pub(super) fn step_back(&mut self, lane: &Lane, now_mono: u64) {
        if lane.endpoint.order == Order::None {
            return;
        }
        let due = self.timers.iter().take_while(|((due, _), _)| *due <= now_mono);
        let due: Vec<((u64, Work), u64)> = due.map(|(at, since)| (*at, *since)).collect();
        for ((at, work), since) in due {
            if !self.may_go_on(lane, work) {
                self.forget_timer(work);
                self.behind.insert(work, (at, since));
            }
        }
    }
}
