//! Starts what is due: round robin over the lanes that have something to do, inside their windows.

use super::Queue;
use super::flow::{Flow, Job};
use super::input::{Action, StreamEntry};
use super::state::Lane;
use crate::model::{EndpointId, Now, Seq, limits};

impl Queue {
    /// Starts what is due at `now`. The actions are released after the step's commit, like all others.
    pub fn run(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.run_ready(&mut actions);
        while let Some(&(due, id)) = self.wakes.first()
            && due <= now.mono_ms
        {
            self.wakes.pop_first();
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.wake = None;
            }
            self.wake(id);
        }
        while self.in_flight < limits::IN_FLIGHT
            && let Some(id) = self.runnable.pop_front()
        {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.runnable = false;
                self.run_lane(id, now, &mut actions);
            }
        }
        self.run_replays(now, &mut actions);
        actions
    }

    /// When `run` has something to do again, if nothing happens before, on the monotonic clock.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<u64> {
        if !self.runnable.is_empty() && self.in_flight < limits::IN_FLIGHT {
            return Some(now.mono_ms);
        }
        let lanes = self.wakes.first().map(|(due, _)| *due);
        let replays = self.replay_due.values().filter_map(|due| *due).min();
        match (lanes, replays) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
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

    /// A refill has read the stream from `from` up to before `next`.
    pub(super) fn refilled(&mut self, id: EndpointId, from: Seq, entries: Vec<StreamEntry>, next: Seq) {
        self.loads = self.loads.saturating_sub(1);
        let Self { state, flows, window_bytes, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&id), state.lanes.get(&id)) else { return };
        flow.refilling = false;
        if flow.unread == Some(from) {
            flow.unread = (next < state.next_seq).then_some(next);
            for entry in entries {
                if !flow.has_room() {
                    flow.unread = Some(entry.position);
                    break;
                }
                let may_keep = may_keep(lane, flow, *window_bytes);
                *window_bytes += flow.take(lane, entry, may_keep);
            }
        }
        self.wake(id);
    }

    /// Starts one attempt of a lane if one is due, and puts the lane back in the row if there may be another.
    fn run_lane(&mut self, id: EndpointId, now: Now, actions: &mut Vec<Action>) {
        self.fill(id, actions);
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let failing = flow.is_failing();
        if failing && self.in_flight_failing >= limits::IN_FLIGHT_FAILING {
            self.parked.push(id);
            return;
        }
        let Some((mut job, freed)) = flow.next_job(lane, now.mono_ms) else {
            return self.register_wake(id, now);
        };
        self.window_bytes -= freed;
        job.failing = failing;
        self.in_flight += 1;
        self.in_flight_failing += usize::from(failing);
        let (delivery, number) = (job.delivery, job.attempts + 1);
        match job.loaded.take() {
            Some(event) => actions.push(Action::Attempt { delivery, number, endpoint: lane.endpoint.clone(), event }),
            None => {
                let event = self.state.moved.get(&job.event).copied().unwrap_or(job.event);
                job.read_at = Some(event);
                actions.push(Action::Load { delivery, event });
            }
        }
        flow.in_flight.insert(delivery.seq, job);
        self.wake(id);
    }

    fn register_wake(&mut self, id: EndpointId, now: Now) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let due = flow.next_due(lane, now.mono_ms);
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
    fn fill(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        let Self { state, flows, recent, window_bytes, loads, .. } = self;
        let (Some(flow), Some(lane)) = (flows.get_mut(&id), state.lanes.get(&id)) else { return };
        let Some(from) = flow.unread else { return };
        if !flow.has_room() || !flow.may_begin(lane) {
            return;
        }
        if from >= recent.covers_from() {
            flow.unread = None;
            for entry in recent.entries(id, from) {
                if !flow.has_room() {
                    flow.unread = Some(entry.position);
                    break;
                }
                let may_keep = may_keep(lane, flow, *window_bytes);
                *window_bytes += flow.take(lane, entry, may_keep);
            }
        } else if !flow.refilling && flow.window_len() <= limits::WINDOW / 2 && *loads < limits::LOADS {
            flow.refilling = true;
            *loads += 1;
            let max_entries = limits::WINDOW - flow.window_len();
            let max_bytes = limits::WINDOW_BYTES.saturating_sub(flow.window_bytes());
            actions.push(Action::Refill { endpoint: id, from, max_entries, max_bytes });
        }
    }

    /// Marks a job that is under way as ended by the operator.
    pub(super) fn end_in_flight(&mut self, id: EndpointId, key: Seq) {
        if let Some(job) = self.flows.get_mut(&id).and_then(|flow| flow.in_flight.get_mut(&key)) {
            job.ended = true;
        }
    }

    /// Lets go of a deleted endpoint's flow.
    pub(super) fn drop_flow(&mut self, id: EndpointId) {
        let Some(mut flow) = self.flows.remove(&id) else { return };
        self.window_bytes -= flow.drop_bodies();
        self.in_flight -= flow.in_flight.len();
        self.in_flight_failing -= flow.in_flight.values().filter(|job: &&Job| job.failing).count();
        if let Some(due) = flow.wake {
            self.wakes.remove(&(due, id));
        }
        self.runnable.retain(|other| *other != id);
        self.parked.retain(|other| *other != id);
        self.matcher.remove(id);
    }
}

/// Whether an event stays in memory while its delivery waits in the window. Endpoints on hold and failing ones keep
/// only the places: their windows are filled all the same, so that what waits there can be carried forward.
fn may_keep(lane: &Lane, flow: &Flow, window_bytes: usize) -> bool {
    lane.hold.is_none() && !flow.is_failing() && window_bytes < limits::WINDOWS_BYTES
}
