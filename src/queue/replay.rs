//! Replays: new deliveries made from old events, in bounded slices, remembered as they go, so that a restart goes
//! on where the last slice ended.

use super::input::{Action, Refusal, Reply, ScannedEvent, StreamEntry};
use super::{Draft, Queue};
use crate::model::{DeliveryId, EndpointId, Now, Seq, limits};
use crate::record::{Record, Replay, ReplayFilter};

impl Queue {
    /// Registers a replay of the records from `next` to `end`.
    pub(super) fn start_replay(
        &mut self,
        now: Now,
        filter: ReplayFilter,
        rate: Option<u32>,
        (next, end): (Seq, Seq),
        draft: &mut Draft,
    ) -> Reply {
        if let Some(name) = &filter.to
            && self.endpoint_named(name).is_none()
        {
            return Reply::Refused(Refusal::NotFound { what: "endpoint", name: name.clone() });
        }
        if self.state.replays.len() >= limits::REPLAYS {
            return Reply::Refused(Refusal::TooMany { what: "replays at a time", limit: limits::REPLAYS });
        }
        let id = self.state.next_seq;
        let end = end.min(id.saturating_sub(1));
        let replay = Replay { id, filter, next, end, rate, started_at: now.wall_ms };
        if next <= end {
            self.remember(Record::ReplayStarted { replay: replay.clone() }, draft);
            self.replay_due.insert(id, Some(now.mono_ms));
        }
        Reply::Replay(replay)
    }

    /// Asks for the next slice of each replay whose time has come.
    pub(super) fn run_replays(&mut self, now: Now, actions: &mut Vec<Action>) {
        for (id, due) in &mut self.replay_due {
            if due.is_none_or(|due| due > now.mono_ms) {
                continue;
            }
            let Some(replay) = self.state.replays.get(id) else { continue };
            *due = None;
            let per_slice = replay.rate.map_or(limits::SLICE, |rate| (rate as usize).clamp(1, limits::SLICE));
            actions.push(Action::Scan {
                replay: *id,
                filter: replay.filter.clone(),
                from: replay.next,
                end: replay.end,
                max: per_slice,
            });
        }
    }

    /// Makes deliveries of a slice.
    pub(super) fn scanned(
        &mut self,
        now: Now,
        id: u64,
        from: Seq,
        events: &[ScannedEvent],
        next: Seq,
        draft: &mut Draft,
    ) {
        let Some(replay) = self.state.replays.get(&id).filter(|replay| replay.next == from) else { return };
        let (to, rate) = (replay.filter.to.clone(), replay.rate);
        let to: Option<Vec<EndpointId>> = to.map(|name| self.endpoint_named(&name).into_iter().collect());
        let mut made = 0u64;
        // Retention may have dropped an event between the reading and now.
        for event in events.iter().filter(|event| self.state.stands_at(event.seq).is_some()).collect::<Vec<_>>() {
            for endpoint in to.as_ref().unwrap_or(&event.fan_out) {
                if self.state.lives(*endpoint) {
                    self.replay_one(now, event.seq, *endpoint, draft);
                    made += 1;
                }
            }
        }
        self.remember(Record::ReplayAdvanced { replay: id, next }, draft);
        if self.state.replays.contains_key(&id) {
            let pause = rate.map_or(0, |rate| made * 1000 / u64::from(rate.max(1)));
            self.replay_due.insert(id, Some(now.mono_ms + pause));
        } else {
            self.replay_due.remove(&id);
        }
    }

    fn replay_one(&mut self, now: Now, event: Seq, endpoint: EndpointId, draft: &mut Draft) {
        let position = self.remember(Record::Replayed { event, endpoint, at: now.wall_ms }, draft);
        let delivery = DeliveryId { seq: position, endpoint };
        self.recent.push_single(StreamEntry {
            position,
            delivery,
            event,
            loaded: None,
            attempts: 0,
            last: 0,
            key: None,
            latest_key: None,
        });
        self.stream_grew(endpoint, position);
    }
}
