//! Replays: new deliveries of old events, made in bounded slices. Each slice is remembered, so that
//! a restart goes on where the last one ended.
//!
//! A replay takes each event where it stands when its turn comes. It reads the records from `next`
//! to `end`; what retention has relocated behind `end` before that (`left`) is read last, at the
//! records that hold it by then. What retention has dropped is gone.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::commands::StartReplay;
use crate::model::{DeliveryId, Endpoint, EndpointId, Now, Seq, limits};
use crate::queue::action::{Action, HealthEvent, HealthReport, ReadOrder};
use crate::queue::decision::Refusal;
use crate::queue::input::{ScannedEvent, ScannedLeft};
use crate::queue::stream::stream_entry::StreamEntry;
use crate::queue::{Draft, Queue};
use crate::record::{Record, Replay, WaitingDelivery};

impl Queue {
    /// Starts a replay.
    pub(in crate::queue) fn start_replay(
        &mut self,
        now: Now,
        request: StartReplay,
        draft: &mut Draft,
    ) -> Result<Replay, Refusal> {
        let StartReplay { filter, rate, next, end, member } = request;
        let to = filter.to.as_deref().map(|name| {
            let unknown = || Refusal::NotFound { what: "endpoint", name: name.to_owned() };
            self.endpoint_named(name).ok_or_else(unknown)
        });
        let to = to.transpose()?;
        self.may_start_replay(member)?;

        let id = self.state.next_seq;
        let end = end.min(id.saturating_sub(1));
        let replay = Replay {
            id,
            filter,
            next,
            end,
            rate,
            started_at: now.wall_ms,
            due_at: now.wall_ms,
            pause_ms: 0,
            member,
            to,
            left: RoaringTreemap::new(),
        };

        // Where there is nothing to look at, the replay is over before it began.
        if next <= end {
            self.remember(Record::ReplayStarted { replay: replay.clone() }, draft);
            self.replay_due.insert(id, Some(now.mono_ms));
        }
        Ok(replay)
    }

    /// Root and the daemon's own user may have all replays. A user of the group gets another one
    /// only while more are free than it has, so that each next user still finds some.
    fn may_start_replay(&self, member: Option<u32>) -> Result<(), Refusal> {
        let under_way = self.state.replays.len();
        let Some(user) = member else {
            let refusal = Refusal::TooMany { what: "replays at a time", limit: limits::REPLAYS };
            return if under_way < limits::REPLAYS { Ok(()) } else { Err(refusal) };
        };

        let own = self.state.replays.values().filter(|replay| replay.member == Some(user)).count();
        let free = (limits::REPLAYS - limits::REPLAYS_RESERVED).saturating_sub(under_way);
        if free > own {
            return Ok(());
        }
        Err(match own {
            0 => Refusal::TooMany {
                what: "replays of users of the group at a time",
                limit: limits::REPLAYS - limits::REPLAYS_RESERVED,
            },
            limit => Refusal::TooMany { what: "replays of one user beside those of others", limit },
        })
    }

    /// Ends a replay before it has come to its end.
    pub(in crate::queue) fn stop_replay(
        &mut self,
        now: Now,
        id: u64,
        draft: &mut Draft,
    ) -> Result<Replay, Refusal> {
        let replay = self.state.replays.get(&id).cloned();
        let no_replay = || Refusal::NotFound { what: "replay", name: id.to_string() };
        let replay = replay.ok_or_else(no_replay)?;

        self.end_replay(now, &replay, draft);
        Ok(replay)
    }

    fn end_replay(&mut self, now: Now, replay: &Replay, draft: &mut Draft) {
        let next = replay.end.max(replay.next).saturating_add(1);
        let record = Record::ReplayAdvanced {
            replay: replay.id,
            next,
            due_at: now.wall_ms,
            pause_ms: 0,
            left_from: None,
        };
        self.remember(record, draft);
        self.replay_due.remove(&replay.id);
    }

    /// Ends the replays that went to an endpoint which was deleted, and reports it.
    pub(in crate::queue) fn end_replays_to(
        &mut self,
        now: Now,
        endpoint: &Arc<Endpoint>,
        draft: &mut Draft,
    ) {
        let replays = self.state.replays.values();
        let ended = replays.filter(|replay| replay.to == Some(endpoint.id)).cloned();
        for replay in ended.collect::<Vec<_>>() {
            self.end_replay(now, &replay, draft);
            let Replay { id, next, end, .. } = replay;
            let what = HealthEvent::ReplayEnded { replay: id, next, end };
            draft.actions.push(Action::Report(HealthReport { endpoint: endpoint.clone(), what }));
            self.keep_ended(replay, endpoint.clone());
        }
    }

    /// Keeps a replay that ended before its end, so that it is listed for a while.
    fn keep_ended(&mut self, replay: Replay, endpoint: Arc<Endpoint>) {
        if self.ended_replays.len() == limits::REPLAYS_ENDED {
            self.ended_replays.pop_front();
        }
        self.ended_replays.push_back((replay, endpoint));
    }

    /// Asks for the next slice of each replay whose time has come.
    pub(in crate::queue) fn run_replays(&mut self, now: Now, actions: &mut Vec<Action>) {
        for (id, due) in &mut self.replay_due {
            if due.is_none_or(|due| due > now.mono_ms) {
                continue;
            }
            let Some(replay) = self.state.replays.get(id) else { continue };

            *due = None;
            let (replay_id, filter) = (*id, replay.filter.clone());
            let (from, end, max) = (replay.next, replay.end, most_of_a_slice(replay.rate));
            actions.push(Action::Read(if from <= end {
                ReadOrder::Replay { replay: replay_id, filter, from, end, max }
            } else {
                let some = replay.left.iter().take(max);
                let events = some.map(|event| (event, self.state.held_at(event))).collect();
                ReadOrder::ReplayLeft { replay: replay_id, filter, events }
            }));
        }
    }

    /// Makes the deliveries of a slice that was read.
    pub(in crate::queue) fn scanned(
        &mut self,
        now: Now,
        id: u64,
        from: Seq,
        events: &[ScannedEvent],
        next: Seq,
        draft: &mut Draft,
    ) {
        // The answer to a question that was asked before the replay went on is late.
        let replay = self.state.replays.get(&id);
        let Some(replay) = replay.filter(|replay| replay.next == from).cloned() else { return };

        // An event may go to thousands of endpoints: what one step makes is bounded in deliveries.
        let most = most_of_a_slice(replay.rate);
        let (mut next, mut made) = (next, 0);
        for event in events {
            if made >= most {
                next = event.at;
                break;
            }
            // Retention may have dropped it since it was read, or relocated it: one that stands
            // elsewhere is met there, or is among those that are left.
            if self.state.stands_at(event.seq) == Some(event.at) {
                made += self.replay_event(now, &replay, event.seq, &event.fan_out, draft);
            }
        }

        let is_behind = next > replay.end && !replay.left.is_empty();
        let left_from = is_behind.then_some(0);
        self.replay_goes_on(now, &replay, (next, left_from), made, draft);
    }

    /// Makes the deliveries of relocated events that were read.
    pub(in crate::queue) fn left_scanned(
        &mut self,
        now: Now,
        id: u64,
        events: &[ScannedLeft],
        draft: &mut Draft,
    ) {
        let Some(replay) = self.state.replays.get(&id).cloned() else { return };
        // Late, likewise.
        let first = events.first().map(|event| event.seq);
        if replay.next <= replay.end || first != replay.left.min() {
            return;
        }

        let most = most_of_a_slice(replay.rate);
        let (mut left_from, mut made) = (0, 0);
        for event in events {
            let stands_at = self.state.stands_at(event.seq);
            // One that was relocated once more is read once more.
            if made >= most || stands_at.is_some_and(|at| at != event.at) {
                left_from = event.seq;
                break;
            }
            left_from = event.seq + 1;
            if let (Some(_), Some(fan_out)) = (stands_at, &event.fan_out) {
                made += self.replay_event(now, &replay, event.seq, fan_out, draft);
            }
        }
        self.replay_goes_on(now, &replay, (replay.next, Some(left_from)), made, draft);
    }

    /// Remembers how far a replay has come with a slice, of which so many deliveries were made.
    fn replay_goes_on(
        &mut self,
        now: Now,
        replay: &Replay,
        (next, left_from): (Seq, Option<Seq>),
        made: usize,
        draft: &mut Draft,
    ) {
        let id = replay.id;
        self.resumed.replays.remove(&id);
        let pause_ms = replay.rate.map_or(0, |rate| made as u64 * 1000 / u64::from(rate.max(1)));
        let due_at = now.wall_ms.saturating_add(pause_ms);
        let record = Record::ReplayAdvanced { replay: id, next, due_at, pause_ms, left_from };
        self.remember(record, draft);

        if self.state.replays.contains_key(&id) {
            self.replay_due.insert(id, Some(now.mono_ms + pause_ms));
        } else {
            self.replay_due.remove(&id);
        }
    }

    /// Makes the deliveries of an event that went to these endpoints; how many.
    fn replay_event(
        &mut self,
        now: Now,
        replay: &Replay,
        event: Seq,
        fan_out: &[EndpointId],
        draft: &mut Draft,
    ) -> usize {
        let one = replay.to.as_slice();
        let to = if replay.filter.to.is_some() { one } else { fan_out };
        let to: Vec<EndpointId> = to.iter().copied().filter(|id| self.state.lives(*id)).collect();
        to.iter().for_each(|endpoint| self.replay_one(now, event, *endpoint, draft));
        to.len()
    }

    /// Makes one delivery of an event.
    fn replay_one(&mut self, now: Now, event: Seq, endpoint: EndpointId, draft: &mut Draft) {
        let position = self.remember(
            Record::Replayed { event, endpoint, at: now.wall_ms, ran_ms: self.ran_ms },
            draft,
        );

        let delivery = DeliveryId { seq: position, endpoint };
        let (attempts, last, key, born) = (0, 0, None, self.ran_ms);
        // The source of its event shows when that is read.
        let source = 0;
        let waiting =
            WaitingDelivery { delivery, position, event, attempts, last, key, born, source };
        self.recent.push_single(StreamEntry::new(waiting, None));
        self.stream_grew(endpoint, position);
    }
}

/// How many events one slice of a replay reads, and after how many deliveries it ends: those of a
/// second at its rate, if it has one.
fn most_of_a_slice(rate: Option<u32>) -> usize {
    rate.map_or(limits::SLICE, |rate| (rate as usize).clamp(1, limits::SLICE))
}

#[cfg(test)]
mod tests;
