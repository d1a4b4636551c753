//! Replays: new deliveries of old events, made in bounded slices. Each slice is remembered, so that
//! a restart goes on where the last one ended.

use super::action::{Action, ReadOrder};
use super::commands::StartReplay;
use super::decision::Refusal;
use super::input::ScannedEvent;
use super::stream_entry::StreamEntry;
use super::{Draft, Queue};
use crate::model::{DeliveryId, EndpointId, Now, Seq, limits};
use crate::record::{Record, Replay, WaitingDelivery};

impl Queue {
    /// Starts a replay.
    pub(super) fn start_replay(
        &mut self,
        now: Now,
        request: StartReplay,
        draft: &mut Draft,
    ) -> Result<Replay, Refusal> {
        let StartReplay { filter, rate, next, end, member } = request;
        if let Some(name) = &filter.to
            && self.endpoint_named(name).is_none()
        {
            return Err(Refusal::NotFound { what: "endpoint", name: name.clone() });
        }
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
    pub(super) fn stop_replay(
        &mut self,
        now: Now,
        id: u64,
        draft: &mut Draft,
    ) -> Result<Replay, Refusal> {
        let replay = self.state.replays.get(&id).cloned();
        let no_replay = || Refusal::NotFound { what: "replay", name: id.to_string() };
        let replay = replay.ok_or_else(no_replay)?;

        // Nothing is left of it behind its end.
        let next = replay.end.saturating_add(1);
        let record = Record::ReplayAdvanced { replay: id, next, due_at: now.wall_ms, pause_ms: 0 };
        self.remember(record, draft);
        self.replay_due.remove(&id);
        Ok(replay)
    }

    /// Asks for the next slice of each replay whose time has come.
    pub(super) fn run_replays(&mut self, now: Now, actions: &mut Vec<Action>) {
        for (id, due) in &mut self.replay_due {
            if due.is_none_or(|due| due > now.mono_ms) {
                continue;
            }
            let Some(replay) = self.state.replays.get(id) else { continue };

            *due = None;
            actions.push(Action::Read(ReadOrder::Replay {
                replay: *id,
                filter: replay.filter.clone(),
                from: replay.next,
                end: replay.end,
                max: most_of_a_slice(replay.rate),
            }));
        }
    }

    /// Makes the deliveries of a slice that was read.
    pub(super) fn scanned(
        &mut self,
        now: Now,
        id: u64,
        from: Seq,
        events: &[ScannedEvent],
        next: Seq,
        draft: &mut Draft,
    ) {
        // The answer to a question that was asked before the replay went on is late.
        let Some(replay) = self.state.replays.get(&id).filter(|replay| replay.next == from) else {
            return;
        };
        let (to, rate) = (replay.filter.to.clone(), replay.rate);
        let to: Option<Vec<EndpointId>> =
            to.map(|name| self.endpoint_named(&name).into_iter().collect());

        // An event may go to thousands of endpoints: what one step makes is bounded in deliveries.
        let most = most_of_a_slice(rate);
        let (mut next, mut made) = (next, 0);
        for event in events {
            if made >= most {
                next = event.at;
                break;
            }
            // Retention may have dropped an event since it was read.
            if self.state.stands_at(event.seq).is_none() {
                continue;
            }
            for endpoint in to.as_ref().unwrap_or(&event.fan_out) {
                if self.state.lives(*endpoint) {
                    self.replay_one(now, event.seq, *endpoint, draft);
                    made += 1;
                }
            }
        }

        self.resumed.replays.remove(&id);
        let pause_ms = rate.map_or(0, |rate| made as u64 * 1000 / u64::from(rate.max(1)));
        let due_at = now.wall_ms.saturating_add(pause_ms);
        self.remember(Record::ReplayAdvanced { replay: id, next, due_at, pause_ms }, draft);

        if self.state.replays.contains_key(&id) {
            self.replay_due.insert(id, Some(now.mono_ms + pause_ms));
        } else {
            self.replay_due.remove(&id);
        }
    }

    /// Makes one delivery of an event.
    fn replay_one(&mut self, now: Now, event: Seq, endpoint: EndpointId, draft: &mut Draft) {
        let position = self.remember(
            Record::Replayed { event, endpoint, at: now.wall_ms, ran_ms: self.ran_ms },
            draft,
        );

        let delivery = DeliveryId { seq: position, endpoint };
        let (attempts, last, key, born) = (0, 0, None, self.ran_ms);
        let waiting = WaitingDelivery { delivery, position, event, attempts, last, key, born };
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
mod tests {
    use crate::model::{Endpoint, EventId, Seq, limits};
    use crate::queue::testing::TestQueue;
    use crate::queue::{
        Action, Input, ReadOrder, Refusal, ReplaysQuery, ScannedEvent, StartReplay, StopReplay,
    };
    use crate::record::{Record, ReplayFilter};

    fn start(filter: ReplayFilter, end: Seq) -> StartReplay {
        StartReplay { filter, rate: None, next: 1, end, member: None }
    }

    #[test]
    fn members_of_the_group_leave_each_other_and_the_owners_some_of_the_replays() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        world.accept("{}");
        let end = world.queue.state().next_seq;
        let by = |member| StartReplay { member, ..start(ReplayFilter::default(), end) };
        let now = world.now;
        let mut started =
            |member| world.queue.handle(now, by(member)).answer.map(|replay| replay.id);
        let mut all = |member| (0..limits::REPLAYS).filter(|_| started(member).is_ok()).count();

        // Each takes as many as it can, one after the other.
        let of_members = limits::REPLAYS - limits::REPLAYS_RESERVED;
        let first = all(Some(1000));
        assert_eq!(first, of_members / 2);
        let second = all(Some(1001));
        assert_eq!(second, (of_members - first) / 2);
        let others: Vec<usize> = (1002..1005).map(|user| all(Some(user))).collect();
        assert!(others.iter().all(|count| *count > 0), "{others:?}");
        assert_eq!(all(Some(1000)), 0);

        let taken = first + second + others.iter().sum::<usize>();
        assert_eq!(all(None), limits::REPLAYS - taken, "owners may have all that is left");
        assert!(matches!(started(None), Err(Refusal::TooMany { limit: limits::REPLAYS, .. })));
        let refused = started(Some(1000)).expect_err("no more").to_string();
        assert!(refused.contains("28 replays of one user"), "{refused}");
    }

    /// A replay to an endpoint, and the read that it has asked for.
    fn replaying(world: &mut TestQueue) -> (u64, Action) {
        let filter = ReplayFilter { to: Some("app".into()), ..ReplayFilter::default() };
        let end = world.queue.state().next_seq;
        let replay = world.input(start(filter, end));
        (replay.id, world.actions.pop().expect("it reads the log"))
    }

    #[test]
    fn a_replay_that_was_stopped_makes_no_more_deliveries() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let event = world.accept("{}");
        let (id, read) = replaying(&mut world);
        assert!(matches!(read, Action::Read(ReadOrder::Replay { replay, .. }) if replay == id));

        assert_eq!(world.input(StopReplay { id }).id, id);
        assert!(world.queue.ask(world.now, &ReplaysQuery).is_empty());

        // What was read for it comes too late.
        let events = vec![ScannedEvent { at: event.seq, seq: event.seq, fan_out: vec![1] }];
        world.input(Input::Scanned { replay: id, from: 1, events, next: 99 });
        assert!(!world.records.iter().any(|record| matches!(record, Record::Replayed { .. })));

        // It is gone.
        let now = world.now;
        assert!(world.queue.handle(now, StopReplay { id }).answer.is_err());
    }

    #[test]
    fn a_step_of_a_replay_is_bounded_in_deliveries_and_goes_on_where_it_stopped() {
        let endpoints = (1..=200).map(|n| Endpoint::new(format!("e{n}"), "pull:"));
        let mut world = TestQueue::new(endpoints);
        let events: Vec<EventId> = (0..4).map(|_| world.accept("{}")).collect();
        let end = world.queue.state().next_seq - 1;
        let filter = ReplayFilter::default();
        let id = world.input(start(filter, end)).id;

        // The second was relocated behind the third.
        let fan_out: Vec<u32> = (1..=200).collect();
        let scanned = |at, seq| ScannedEvent { at, seq, fan_out: fan_out.clone() };
        let found = vec![
            scanned(events[0].seq, events[0].seq),
            scanned(events[2].seq, events[2].seq),
            scanned(events[3].seq, events[1].seq),
        ];
        world.input(Input::Scanned { replay: id, from: 1, events: found, next: end + 1 });

        let made = world.records.iter().filter(|r| matches!(r, Record::Replayed { .. })).count();
        let bounded = limits::SLICE..=limits::SLICE + 200;
        assert!(bounded.contains(&made), "{made} deliveries");
        let left = world.queue.ask(world.now, &ReplaysQuery);
        assert_eq!(left[0].next, events[3].seq, "it goes on at the record that it did not take");
    }
}
