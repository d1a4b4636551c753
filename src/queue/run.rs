//! Starts what is due: round robin over the lanes that have something to do, inside their windows.

use std::collections::BTreeMap;

use super::catchup::CatchingUp;
use super::flow::{Flow, Job, Next, Slot};
use super::input::{Action, Keys, StreamEntry};
use super::state::{Lane, State};
use super::{Draft, Queue};
use crate::model::{CatchUpMode, EndpointId, Now, Seq, limits};
use crate::record::Record;

impl Queue {
    /// Starts what is due at `now`. What it decides is remembered and released like every other decision.
    pub fn run(&mut self, now: Now) -> super::Decision {
        let mut draft = Draft::default();
        self.look_at_the_clock(now);
        self.run_ready(now, &mut draft);
        self.flush_notices(now, &mut draft);
        while let Some(&(due, id)) = self.wakes.first()
            && due <= now.mono_ms
        {
            self.wakes.pop_first();
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.wake = None;
            }
            self.wake(id);
        }
        self.probe_the_link(now, &mut draft);
        while self.in_flight < limits::IN_FLIGHT
            && let Some(id) = self.runnable.pop_front()
        {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.runnable = false;
                if !self.link.keeps_back(id) {
                    self.run_lane(id, now, &mut draft);
                }
            }
        }
        self.run_replays(now, &mut draft.actions);
        self.send_ready(now, &mut draft);
        super::Decision { records: draft.records, actions: draft.actions, reply: super::Reply::None }
    }

    /// When `run` has something to do again, if nothing happens before, on the monotonic clock.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<u64> {
        if !self.runnable.is_empty() && self.in_flight < limits::IN_FLIGHT {
            return Some(now.mono_ms);
        }
        let lanes = self.wakes.first().map(|(due, _)| *due);
        let replays = self.replay_due.values().filter_map(|due| *due).min();
        let link = self.link.offline.filter(|o| o.probing.is_none()).map(|o| o.probe_at.max(now.mono_ms + 1));
        let link = link.filter(|_| self.link.away.iter().any(|id| self.has_work(*id, now)));
        [lanes, replays, link, self.notices_due()].into_iter().flatten().min()
    }

    fn has_work(&self, id: EndpointId, now: Now) -> bool {
        let (Some(flow), Some(lane)) = (self.flows.get(&id), self.state.lanes.get(&id)) else { return false };
        flow.unread.is_some() || flow.next_due(lane, now.mono_ms).is_some()
    }

    /// While the link is down: one request to one of those who wait for it.
    fn probe_the_link(&mut self, now: Now, draft: &mut Draft) {
        for id in self.link.candidates(now.mono_ms) {
            let before = self.flows.get(&id).map_or(0, Flow::under_way);
            self.run_lane(id, now, draft);
            if self.flows.get(&id).map_or(0, Flow::under_way) > before {
                return self.link.probes(id);
            }
        }
    }

    fn look_at_the_clock(&mut self, now: Now) {
        let waited = self.clock_until;
        self.clock_until = self.clock.look(now);
        if waited.is_some() && self.clock_until.is_none() {
            let all: Vec<EndpointId> = self.flows.keys().copied().collect();
            all.into_iter().for_each(|id| self.wake(id));
        }
    }

    /// The endpoint's stream has a new entry at `position`.
    pub(super) fn stream_grew(&mut self, id: EndpointId, position: Seq) {
        if let Some(flow) = self.flows.get_mut(&id)
            && flow.unread.is_none()
        {
            flow.unread = Some(position);
        }
        self.wake(id);
    }

    /// Starts one attempt of a lane if one is due, and puts the lane back in the row if there may be another.
    fn run_lane(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        self.expire(id, now, draft);
        self.fill(id, now, draft);
        self.caught_up(id, now);
        if let Some(later) = self.kept_until(id, now) {
            return self.register_wake(id, Some(later));
        }
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let slot = match (lane.endpoint.is_pull(), flow.is_doubtful()) {
            (true, _) => Slot::Lease,
            (false, true) => Slot::Doubtful,
            (false, false) => Slot::Plain,
        };
        if slot == Slot::Doubtful && self.in_flight_doubtful >= limits::IN_FLIGHT_DOUBTFUL {
            self.parked.push(id);
            return;
        }
        if slot == Slot::Lease && self.leased >= limits::LEASES {
            self.parked.push(id);
            return;
        }
        if slot == Slot::Plain && has_its_share(flow.under_way(), self.in_flight) {
            if !std::mem::replace(&mut flow.shares, true) {
                self.sharing.push_back(id);
            }
            return;
        }
        let Some((next, freed)) = flow.next_job(lane, now.mono_ms) else {
            let due = flow.next_due(lane, now.mono_ms);
            return self.register_wake(id, due);
        };
        self.window_bytes -= freed;
        if flow.catching_up.is_some()
            && let Some(pace) = &mut self.pace
        {
            pace.bucket.take(pace.rate, now.mono_ms);
        }
        self.spend_slow_rate(id, now, draft);
        match next {
            Next::One(job) => self.start_one(id, job, slot, draft),
            Next::Batch(batch, since) => self.start_batch(id, batch, since, slot, draft),
            Next::Gather => self.gather(id, slot, now, draft),
        }
        self.wake(id);
    }

    /// Until when this lane has to wait for something that is not its own: a sane clock, the pace of catching up.
    fn kept_until(&self, id: EndpointId, now: Now) -> Option<u64> {
        let (flow, lane) = (self.flows.get(&id)?, self.state.lanes.get(&id)?);
        let signs = !lane.endpoint.is_pull() && !lane.endpoint.is_exec();
        let clock = self.clock_until.filter(|_| signs);
        let pace = self.pace.filter(|_| flow.catching_up.is_some()).map(|pace| pace.bucket.ready_at(pace.rate, 1));
        [clock, pace].into_iter().flatten().max().filter(|at| *at > now.mono_ms)
    }

    /// A slow rate is remembered when it is used, so that it holds over restarts.
    fn spend_slow_rate(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let rate = self.state.lanes.get(&id).and_then(|lane| lane.endpoint.rate);
        if rate.is_some_and(|rate| super::bucket::step_us(rate) >= limits::SLOW_RATE_STEP_MS * 1000) {
            self.remember(Record::RateSpent { endpoint: id, at: now.wall_ms }, draft);
        }
    }

    fn start_one(&mut self, id: EndpointId, mut job: Job, slot: Slot, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        job.slot = slot;
        flow.lanes.fly(job.key);
        let (delivery, number) = (job.delivery, job.attempts + 1);
        match job.loaded.take() {
            Some(event) => {
                job.own = event.is_own();
                let endpoint = lane.endpoint.clone();
                draft.actions.push(Action::Attempt { delivery, number, endpoint, event });
            }
            None => {
                let event = self.state.moved.get(&job.event).copied().unwrap_or(job.event);
                job.read_at = Some(event);
                draft.actions.push(Action::Load { delivery, event });
            }
        }
        flow.in_flight.insert(delivery.seq, job);
        self.occupy(slot);
    }

    /// An attempt takes its place among those in flight.
    pub(super) fn occupy(&mut self, slot: Slot) {
        match slot {
            Slot::Lease => self.leased += 1,
            Slot::Plain => self.in_flight += 1,
            Slot::Doubtful => {
                self.in_flight += 1;
                self.in_flight_doubtful += 1;
            }
        }
    }

    /// An attempt gives its place back.
    pub(super) fn vacate(&mut self, slot: Slot) {
        match slot {
            Slot::Lease => self.leased -= 1,
            Slot::Plain => {
                self.in_flight -= 1;
                return self.let_one_share();
            }
            Slot::Doubtful => {
                self.in_flight -= 1;
                self.in_flight_doubtful -= 1;
                self.let_one_share();
            }
        }
        let parked = std::mem::take(&mut self.parked);
        parked.into_iter().for_each(|id| self.wake(id));
    }

    /// A place is free: one of those that had their share may have more now. All of them have attempts in flight, whose
    /// ends wake them as well.
    fn let_one_share(&mut self) {
        if let Some(id) = self.sharing.pop_front() {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.shares = false;
            }
            self.wake(id);
        }
    }

    fn register_wake(&mut self, id: EndpointId, due: Option<u64>) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if due == flow.wake {
            return;
        }
        if let Some(old) = std::mem::replace(&mut flow.wake, due) {
            self.wakes.remove(&(old, id));
        }
        if let Some(due) = due {
            self.wakes.insert((due, id));
        }
    }

    /// Takes entries of the stream into the window: from memory when they are at hand, else by a refill.
    fn fill(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let Self { state, flows, recent, loads, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&id), state.lanes.get(&id)) else { return };
        if !flow.has_room(lane) || !flow.may_begin(lane) || flow.refilling {
            return;
        }
        let keys = Keys::of(&lane.endpoint);
        if let Some(from) = flow.unread.filter(|from| *from >= recent.covers_from()) {
            let room = Flow::window_room(lane) - flow.window_len();
            let mut entries: Vec<StreamEntry> = recent.entries(id, from).take(room + 1).collect();
            for entry in &mut entries {
                if let Some(event) = entry.loaded.clone() {
                    keys.fill(entry, &event);
                }
            }
            // What is not at hand in full is read from the log, with all before it.
            if !entries.iter().any(|entry| keys.lacks(entry)) {
                // There may be more behind these: some of them may not come into the window after all.
                flow.unread = entries.get(room).map(|entry| entry.position);
                entries.truncate(room);
                return self.take_forward(id, entries, now, draft);
            }
        }
        let half_full = flow.window_len() > Flow::window_room(lane) / 2;
        if !half_full && *loads < limits::LOADS {
            self.refill(id, keys, draft);
        }
    }

    /// Has the stream read from the log.
    fn refill(&mut self, id: EndpointId, keys: Keys, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let back = flow.catching_up.as_ref().and_then(|catching| catching.back);
        let (from, until) = match (flow.unread, back) {
            (Some(from), _) => (from, None),
            (None, Some((before, until))) => (before, Some(until)),
            (None, None) => return,
        };
        flow.refilling = true;
        self.loads += 1;
        let max_entries = Flow::window_room(lane).saturating_sub(flow.window_len()).max(1);
        let max_bytes = limits::WINDOW_BYTES.saturating_sub(flow.window_bytes());
        draft.actions.push(Action::Refill { endpoint: id, from, until, max_entries, max_bytes, keys });
    }

    /// Takes entries that go forward into the window.
    fn take_forward(&mut self, id: EndpointId, entries: Vec<StreamEntry>, now: Now, draft: &mut Draft) {
        let Self { state, flows, window_bytes, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&id), state.lanes.get(&id)) else { return };
        // While the newest go first, what has just come in goes before what waited.
        let newest_first = flow.catching_up.as_ref().is_some_and(|catching| catching.back.is_some());
        for mut entry in entries {
            if !flow.has_room(lane) {
                flow.unread = Some(flow.unread.map_or(entry.position, |unread| unread.min(entry.position)));
                break;
            }
            entry.key = lane.key_of(entry.key);
            if let Some(catching) = &mut flow.catching_up {
                catching.supersedes(&entry);
            }
            let may_keep = may_keep(lane, flow, *window_bytes);
            *window_bytes += flow.take(lane, entry, may_keep, now.mono_ms, newest_first);
        }
        let more = flow.unread.is_some() && flow.has_room(lane);
        if more {
            self.wake(id);
        }
        let _ = draft;
    }

    /// A refill has read the stream from `from` up to before `next`, or, backward, down to `next`.
    pub(super) fn refilled(
        &mut self,
        now: Now,
        id: EndpointId,
        from: Seq,
        (mut entries, next): (Vec<StreamEntry>, Seq),
        asked: Keys,
        draft: &mut Draft,
    ) {
        self.loads = self.loads.saturating_sub(1);
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        flow.refilling = false;
        // The endpoint's pointers may have changed while the log was read.
        let keys = Keys::of(&lane.endpoint);
        let asked = if (&asked.order, &asked.latest) == (&keys.order, &keys.latest) { asked } else { keys };
        let back = flow.catching_up.as_ref().and_then(|catching| catching.back);
        let missing = missing(&self.state, &asked, &mut entries);
        if !missing.is_empty() {
            // What was found where it was looked for is looked for there again.
            let moved = asked.moved.into_iter().chain(missing).collect();
            return self.refill(id, Keys { moved, order: asked.order, latest: asked.latest }, draft);
        }
        if flow.unread == Some(from) && next > from {
            flow.unread = (next < self.state.next_seq).then_some(next);
            self.take_forward(id, entries, now, draft);
        } else if back.is_some_and(|(before, _)| before == from) && next < from {
            self.take_back(id, entries, next, now, draft);
        }
        self.wake(id);
    }

    /// Takes entries that go backward into the window; of those with a key, only the newest.
    fn take_back(&mut self, id: EndpointId, entries: Vec<StreamEntry>, next: Seq, now: Now, draft: &mut Draft) {
        let Self { state, flows, window_bytes, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&id), state.lanes.get(&id)) else { return };
        let mut superseded = Vec::new();
        let mut reached = next;
        for mut entry in entries {
            if !flow.has_room(lane) {
                reached = entry.position + 1;
                break;
            }
            entry.key = lane.key_of(entry.key);
            let void = lane.taken_up(entry.position) || flow.is_at_hand(entry.delivery.seq);
            if void {
                continue;
            }
            let left_out = flow.catching_up.as_mut().is_some_and(|catching| catching.supersedes(&entry));
            if left_out && !lane.cancelled.contains(entry.delivery.seq) {
                superseded.push(entry.delivery.seq);
                continue;
            }
            let may_keep = may_keep(lane, flow, *window_bytes);
            *window_bytes += flow.take(lane, entry, may_keep, now.mono_ms, false);
        }
        if let Some(catching) = &mut flow.catching_up {
            catching.read_to(reached);
        }
        if !superseded.is_empty() {
            let low = flow.low(state.next_seq);
            let record = Record::Superseded { endpoint: id, deliveries: superseded, low, at: now.wall_ms };
            self.remember(record, draft);
        }
    }

    /// The link or the receiver is back: what waited is worked off as the endpoint wants it.
    pub(super) fn catch_up(&mut self, id: EndpointId, now: Now) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        flow.width = 1;
        if flow.catching_up.is_none() {
            let mode = lane.endpoint.catch_up.mode;
            let mut from = flow.first_unread();
            if mode != CatchUpMode::Oldest {
                // What stands in the window was read forward: it has its turn with the others.
                let (first, freed) = flow.clear_window();
                self.window_bytes -= freed;
                from = [from, first].into_iter().flatten().min();
            }
            let catching = CatchingUp::new(mode, from, self.state.next_seq);
            if catching.back.is_some() {
                flow.unread = None;
                flow.lanes.forget_skipped();
            }
            flow.catching_up = Some(catching);
        }
        let _ = now;
        self.wake(id);
    }

    /// Ends the catching up of a lane in which nothing waits any more that could go.
    fn caught_up(&mut self, id: EndpointId, now: Now) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Some(catching) = &flow.catching_up else { return };
        let waits = flow.timers.first_key_value().is_some_and(|((due, _), _)| *due <= now.mono_ms);
        if catching.back.is_none() && flow.unread.is_none() && flow.window_len() == 0 && !waits && !flow.refilling {
            flow.catching_up = None;
        }
    }

    /// Marks a job that is under way as ended by the operator.
    pub(super) fn end_in_flight(&mut self, id: EndpointId, key: Seq, renamed: Seq) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if let Some(job) = flow.in_flight.get_mut(&key) {
            job.ended = true;
        }
        for job in flow.gathering.iter_mut().filter(|job| job.delivery.seq == key) {
            job.ended = true;
        }
        for batch in flow.batches.values_mut() {
            if let Some(member) = batch.members.iter_mut().find(|member| member.delivery == key && !member.ended) {
                member.ended = true;
                batch.id = crate::model::BatchId { seq: renamed, part: 0 };
            }
        }
    }

    /// Lets go of a deleted endpoint's flow.
    pub(super) fn drop_flow(&mut self, id: EndpointId) {
        let Some(mut flow) = self.flows.remove(&id) else { return };
        self.window_bytes -= flow.drop_bodies();
        let slots: Vec<Slot> = flow.slots_taken().collect();
        slots.into_iter().for_each(|slot| self.vacate(slot));
        if let Some(due) = flow.wake {
            self.wakes.remove(&(due, id));
        }
        self.runnable.retain(|other| *other != id);
        self.parked.retain(|other| *other != id);
        self.matcher.remove(id);
        self.link.forget(id);
    }
}

/// Where the events stand whose entries still lack what was asked for. Those that are not in the log any more, or cannot
/// be read where they stand, get keys all the same: what is wrong with them shows when their turn comes.
fn missing(state: &State, asked: &Keys, entries: &mut [StreamEntry]) -> BTreeMap<Seq, Seq> {
    let mut places = BTreeMap::new();
    for entry in entries.iter_mut().filter(|entry| asked.lacks(entry)) {
        let tried = asked.moved.get(&entry.event).copied().unwrap_or(entry.event);
        match state.stands_at(entry.event).filter(|at| *at != tried) {
            Some(at) => {
                places.insert(entry.event, at);
            }
            None => asked.fill_nothing(entry),
        }
    }
    places
}

/// Whether an endpoint with `own` attempts in flight has its share of the places, of which `all` are taken.
pub(super) fn has_its_share(own: usize, all: usize) -> bool {
    let free = limits::IN_FLIGHT.saturating_sub(all);
    own > 0 && own >= limits::IN_FLIGHT_SHARE * free.saturating_sub(limits::IN_FLIGHT_KEPT)
}

/// Whether an event stays in memory while its delivery waits in the window. Endpoints on hold and failing ones keep
/// only the places: their windows are filled all the same, so that what waits there can be carried forward.
fn may_keep(lane: &Lane, flow: &Flow, window_bytes: usize) -> bool {
    lane.hold.is_none() && !flow.is_failing() && window_bytes < limits::WINDOWS_BYTES
}
