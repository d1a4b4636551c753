//! Replays, in the queue's test world.

use crate::model::{Endpoint, EventId, Seq, limits};
use crate::queue::testing::TestQueue;
use crate::queue::{
    Action, ApplySettings, DeleteEndpoint, EndedReplaysQuery, ExpectedSettings, HealthEvent, Input,
    ReadOrder, Refusal, ReplaysQuery, ScannedEvent, ScannedLeft, StartReplay, State, StopReplay,
};
use crate::record::{Record, Replay, ReplayFilter};

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
    let mut started = |member| world.queue.handle(now, by(member)).answer.map(|replay| replay.id);
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

    let fan_out: Vec<u32> = (1..=200).collect();
    let scanned = |at, seq| ScannedEvent { at, seq, fan_out: fan_out.clone() };
    let found = vec![
        scanned(events[0].seq, events[0].seq),
        scanned(events[2].seq, events[2].seq),
        scanned(events[3].seq, events[3].seq),
    ];
    world.input(Input::Scanned { replay: id, from: 1, events: found, next: end + 1 });

    let made = world.records.iter().filter(|r| matches!(r, Record::Replayed { .. })).count();
    let bounded = limits::SLICE..=limits::SLICE + 200;
    assert!(bounded.contains(&made), "{made} deliveries");
    let left = world.queue.ask(world.now, &ReplaysQuery);
    assert_eq!(left[0].next, events[3].seq, "it goes on at the record that it did not take");
}

/// The deliveries that replays have made: events and endpoints.
fn made(world: &TestQueue) -> Vec<(Seq, u32)> {
    let made = world.records.iter().filter_map(|record| match record {
        Record::Replayed { event, endpoint, .. } => Some((*event, *endpoint)),
        _ => None,
    });
    made.collect()
}

fn at_its_own(event: &EventId) -> ScannedEvent {
    ScannedEvent { at: event.seq, seq: event.seq, fan_out: vec![1] }
}

/// The relocated events that the replay wants to be read, each with its record.
fn wanted(world: &mut TestQueue) -> Vec<(Seq, Seq)> {
    let orders = world.actions.drain(..).rev().find_map(|action| match action {
        Action::Read(ReadOrder::ReplayLeft { events, .. }) => Some(events),
        _ => None,
    });
    orders.expect("it reads what is left")
}

fn read_left(seq: Seq, at: Seq) -> ScannedLeft {
    ScannedLeft { at, seq, fan_out: Some(vec![1]) }
}

#[test]
fn what_retention_relocates_before_its_turn_is_delivered_at_last_and_once() {
    let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
    let [first, second, third] = [(); 3].map(|()| world.accept("{}"));
    let end = world.queue.state().next_seq - 1;
    let request = StartReplay { rate: Some(1), ..start(ReplayFilter::default(), end) };
    let id = world.input(request).id;

    // The first was delivered before it is relocated, and the second was not.
    let events = vec![at_its_own(&first)];
    world.input(Input::Scanned { replay: id, from: 1, events, next: first.seq + 1 });
    world.relocate(first);
    world.relocate(second);
    let events = vec![at_its_own(&second), at_its_own(&third)];
    world.input(Input::Scanned { replay: id, from: first.seq + 1, events, next: end + 1 });
    assert_eq!(made(&world), [(first.seq, 1), (third.seq, 1)]);

    // Over a restart, too.
    let mut state = State::new();
    for (seq, record) in (1..).zip(&world.records) {
        state.apply(seq, record).expect("it follows");
    }
    let again = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
    let left: Vec<Seq> = again.replays[&id].left.iter().collect();
    assert_eq!((left, &again.replays), (vec![second.seq], &world.queue.state().replays));

    // It is relocated once more while it is read.
    world.pass(10_000);
    let [(seq, at)] = wanted(&mut world)[..] else { panic!("one is left") };
    assert_eq!((seq, Some(at)), (second.seq, world.queue.state().stands_at(second.seq)));
    world.relocate(second);
    world.input(Input::LeftScanned { replay: id, events: vec![read_left(seq, at)] });
    assert_eq!(made(&world).len(), 2);

    let [(seq, at)] = wanted(&mut world)[..] else { panic!("one is left") };
    let read = || Input::LeftScanned { replay: id, events: vec![read_left(seq, at)] };
    world.input(read());
    assert_eq!(made(&world)[2..], [(second.seq, 1)]);
    assert!(world.queue.ask(world.now, &ReplaysQuery).is_empty(), "it is over");
    world.input(read());
    assert_eq!(made(&world).len(), 3, "the answer comes once more, and too late");
}

#[test]
fn a_replay_that_has_relocated_events_left_can_be_stopped() {
    let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
    let event = world.accept("{}");
    let end = world.queue.state().next_seq - 1;
    let id = world.input(start(ReplayFilter::default(), end)).id;
    world.relocate(event);
    world.input(Input::Scanned { replay: id, from: 1, events: Vec::new(), next: end + 1 });
    assert_eq!(wanted(&mut world).len(), 1);

    world.input(StopReplay { id });
    assert!(world.queue.ask(world.now, &ReplaysQuery).is_empty());
}

/// An event that was relocated before the replay began is met at its copy alone, however long its
/// own record is there.
#[test]
fn an_event_that_stands_twice_in_the_log_is_delivered_once() {
    let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
    let event = world.accept("{}");
    world.relocate(event);
    let at = world.queue.state().stands_at(event.seq).expect("it is there");
    let end = world.queue.state().next_seq - 1;
    let id = world.input(start(ReplayFilter::default(), end)).id;

    let events = vec![at_its_own(&event), ScannedEvent { at, ..at_its_own(&event) }];
    world.input(Input::Scanned { replay: id, from: 1, events, next: end + 1 });
    assert_eq!(made(&world), [(event.seq, 1)]);
}

#[test]
fn a_replay_follows_its_endpoint_when_it_is_renamed_and_ends_when_it_is_deleted() {
    let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
    let [first, second] = [(); 2].map(|()| world.accept("{}"));
    let (id, _) = replaying(&mut world);
    // As an earlier version remembers it.
    let started = world.records.iter().find_map(|record| match record {
        Record::ReplayStarted { replay } => Some(replay.clone()),
        _ => None,
    });
    let named = Replay { to: None, ..started.expect("it was started") };
    let mut state = world.queue.state().clone();
    let record = Record::ReplayStarted { replay: Replay { id: 77, ..named } };
    state.apply(state.next_seq, &record).expect("it follows");
    assert_eq!(state.replays[&77].to, Some(1));

    let settings = world.queue.state().endpoints[&1].settings.clone();
    let sources = world.queue.state().sources.values().cloned().collect();
    let expected = ExpectedSettings { sources, endpoints: vec![settings.clone()] };
    let renamed = Endpoint { name: "new".into(), ..(*settings).clone() };
    world.input(ApplySettings { expected, endpoints: vec![renamed], ..ApplySettings::default() });
    let events = vec![at_its_own(&first)];
    world.input(Input::Scanned { replay: id, from: 1, events, next: first.seq + 1 });
    assert_eq!(made(&world), [(first.seq, 1)]);

    world.actions.clear();
    world.input(DeleteEndpoint { name: "new".into() });
    let is_end = |action: &Action| match action {
        Action::Report(report) => matches!(report.what, HealthEvent::ReplayEnded { replay, .. }
            if replay == id && report.endpoint.name == "new"),
        _ => false,
    };
    assert!(world.actions.iter().any(is_end), "{:?}", world.actions);
    assert!(world.queue.ask(world.now, &ReplaysQuery).is_empty());
    let ended = world.queue.ask(world.now, &EndedReplaysQuery);
    assert_eq!((ended.len(), ended[0].0.id, ended[0].1.name.as_str()), (1, id, "new"));

    let events = vec![at_its_own(&second)];
    world.input(Input::Scanned { replay: id, from: first.seq + 1, events, next: 99 });
    assert_eq!(made(&world).len(), 1, "it is over");
}
