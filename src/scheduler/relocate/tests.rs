use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::{Records, RetirementStep, Retiring, slice};
use crate::model::{
    CatchUp, CatchUpMode, DeliveryId, Endpoint, Now, Order, Outcome, Seq, Source, limits,
};
use crate::queue::matcher::Steps;
use crate::queue::testing::{new_event, report};
use crate::queue::{
    Accept, Action, AliveQuery, AttemptOrder, CreateEndpoint, CreateSource, HoldEndpoint, Input,
    Queue, QueueRequest, Refusal, ReleaseEndpoint, RelocationSlice, State,
};
use crate::record::{Record, Sieve};
use crate::scheduler::read_log::{ReadLog, Walk, event_of};
use crate::scheduler::reads::read;

const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_800_000_000_000 };

/// A queue, and the log of what it decided.
struct RecordedQueue {
    queue: Queue,
    log: BTreeMap<Seq, Record>,
    /// The events that were accepted, in their order, with their keys.
    accepted: Vec<(Seq, u64)>,
    /// How many keys there are.
    keys: u64,
}

impl Records for &RecordedQueue {
    type Error = Infallible;

    fn read(&self, seq: Seq) -> Result<Option<Record>, Infallible> {
        Ok(self.log.get(&seq).cloned())
    }

    fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), Infallible> {
        slice(self.log.range(from..).map(|(seq, record)| Ok((*seq, record.clone()))), (from, last))
    }
}

impl RecordedQueue {
    fn ask<R: QueueRequest>(&mut self, request: R) -> Result<R::Answer, Refusal> {
        let first = self.queue.state().next_seq;
        let decision = self.queue.handle(NOW, request);
        self.log.extend((first..).zip(decision.records));
        decision.answer
    }

    fn last(&self) -> Seq {
        self.queue.state().next_seq - 1
    }

    /// A queue with these endpoints, which are on hold.
    fn held(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let (queue, log) = (Queue::new(State::new(), 1, NOW), BTreeMap::new());
        let mut world = Self { queue, log, accepted: Vec::new(), keys: 7 };
        world.ask(CreateSource(Box::new(Source::new("in", "none")))).expect("done");
        for endpoint in endpoints {
            let name = endpoint.name.clone();
            world.ask(CreateEndpoint(Box::new(endpoint))).expect("done");
            world.ask(HoldEndpoint { name }).expect("done");
        }
        world
    }

    /// Accepts so many events, each of one of the keys in turn.
    fn accept(&mut self, count: u64) {
        let keys = self.keys;
        for first in (0..count).step_by(limits::SLICE) {
            let source = Arc::clone(self.queue.state().sources.values().next().expect("there"));
            let body = |n: u64| format!(r#"{{"k":{}}}"#, n % keys).into();
            let event = |n: u64| new_event(Arc::clone(&source), Vec::new(), body(n));

            let some = first..count.min(first + limits::SLICE as u64);
            let matcher = self.queue.matcher();
            let matched = some
                .clone()
                .map(|n| matcher.matched(event(n), &mut Steps::new(limits::FILTER_STEPS)))
                .collect();
            let accepted = self.ask(Accept(matched)).expect("accepted");
            let of = some.map(|n| n % keys);
            self.accepted.extend(accepted.into_iter().map(|event| event.id.seq).zip(of));
        }
    }

    /// Retention relocates what lives in a segment, and drops it. Says how often the queue was
    /// asked what that is, and in how many slices it was relocated.
    fn retire(&mut self, first: Seq, last: Seq) -> (usize, usize) {
        let mut retiring = Retiring::new(first, last, [0; 32]);
        let (mut asked, mut slices) = (0, 0);
        loop {
            if retiring.is_to_be_asked() {
                asked += 1;
                let alive = self.queue.ask(NOW, &AliveQuery { first, last }).expect("it is known");
                retiring.see(alive);
            }

            let Ok(step) = retiring.next_step(&&*self, &mut Some);
            match step.expect("it can be read") {
                RetirementStep::Relocate(slice) => {
                    slices += 1;
                    self.ask(slice).expect("it is relocated");
                }
                RetirementStep::Drop(segment) => {
                    self.ask(segment).expect("it goes");
                    self.log.retain(|seq, _| *seq < first || last < *seq);
                    return (asked, slices);
                }
            }
        }
    }

    /// Another process goes on with what is remembered.
    fn restart(&mut self) {
        let checkpoint = self.queue.state().checkpoint();
        let state = State::from_checkpoint(&checkpoint).expect("it reads back");
        assert!(state == *self.queue.state(), "the checkpoint says something else");
        self.queue = Queue::new(state, 1, NOW);
    }

    /// Delivers what goes out, up to so many; the events in the order of their attempts.
    fn deliver(&mut self, most: usize) -> Vec<(u32, Seq)> {
        let mut delivered = Vec::new();
        let mut now = NOW;
        for _ in 0..100_000 {
            now.mono_ms += 1;
            let first = self.queue.state().next_seq;
            let decision = self.queue.run(now);
            self.log.extend((first..).zip(decision.records));
            let mut actions = decision.actions;
            if actions.is_empty() || delivered.len() >= most {
                break;
            }

            while let Some(action) = actions.pop() {
                let input = match action {
                    Action::Read(order) => read(order, &*self),
                    Action::Attempt(AttemptOrder::One { delivery, event, .. }) => {
                        delivered.push((delivery.endpoint, event.id.seq));
                        delivered_now(delivery)
                    }
                    _ => continue,
                };
                let first = self.queue.state().next_seq;
                let decision = self.queue.handle(now, input);
                self.log.extend((first..).zip(decision.records));
                actions.extend(decision.actions);
            }
        }
        delivered
    }
}

/// The receiver has taken it.
fn delivered_now(delivery: DeliveryId) -> Input {
    Input::Finished { delivery, report: report(NOW, Outcome::Delivered) }
}

impl ReadLog for RecordedQueue {
    fn first(&self) -> Seq {
        self.log.keys().next().copied().unwrap_or(1)
    }

    fn last(&self) -> Seq {
        self.log.keys().next_back().copied().unwrap_or(0)
    }

    fn event(&self, seq: Seq) -> Option<Arc<crate::model::Event>> {
        event_of(self.log.get(&seq)?)
    }

    fn forward<T>(&self, from: Seq, _: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        take(&mut self.log.range(from..).map(|(seq, record)| (*seq, Some(record.clone()))))
    }

    fn backward<T>(&self, before: Seq, _: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        let records = self.log.range(..before).rev();
        take(&mut records.map(|(seq, record)| (*seq, Some(record.clone()))))
    }
}

fn ordered(order: Order) -> Endpoint {
    let order_key = (order == Order::Key).then(|| "/k".to_owned());
    Endpoint { order, order_key, ..Endpoint::new("app", "http://a.example/") }
}

/// An endpoint that keeps an order and is on hold for weeks keeps no segment, whatever waits for
/// it: the oldest ones go, those among them to which it was relocated before, and the order holds
/// when it is released.
#[test]
fn a_long_backlog_in_order_keeps_no_segment_and_its_order() {
    for order in [Order::Strict, Order::Key, Order::None] {
        let mut world = RecordedQueue::held([ordered(order)]);
        let (first_half, second_half) = (5_000, 3_193);
        world.accept(first_half);
        let rolled = world.last();
        world.accept(second_half);
        let rolled_again = world.last();

        world.retire(1, rolled);
        let third = world.last();
        world.retire(rolled + 1, rolled_again);
        world.accept(10);
        world.restart();
        // What was relocated first is relocated once more, behind what was relocated then.
        world.retire(rolled_again + 1, third);
        let state = world.queue.state();
        assert_eq!((state.first_seq, state.endpoints[&1].undone), (third + 1, 8_203));
        assert!(state.endpoints[&1].retrying.is_empty(), "it waits where it did");

        world.restart();
        world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
        let delivered = world.deliver(usize::MAX);
        assert_eq!(delivered.len(), 8_203, "{order:?}");
        let key_of: BTreeMap<Seq, u64> = world.accepted.iter().copied().collect();
        let lane_of = |seq: Seq| match order {
            Order::Key => key_of[&seq],
            Order::Strict | Order::None => 0,
        };
        let mut last: BTreeMap<u64, Seq> = BTreeMap::new();
        for (_, seq) in &delivered {
            let before = last.insert(lane_of(*seq), *seq).unwrap_or(0);
            assert!(order == Order::None || before < *seq, "{seq} after {before}, {order:?}");
        }

        let all: BTreeMap<Seq, u64> =
            delivered.iter().map(|(_, seq)| (*seq, key_of[seq])).collect();
        assert_eq!(all, key_of, "each once");
        assert!(world.queue.state().endpoints[&1].kept.is_empty());
    }
}

/// Where only the latest of each key counts, the latest of each is delivered, and nothing after it.
#[test]
fn a_long_backlog_of_which_only_the_latest_counts_keeps_no_segment() {
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
    let endpoint = Endpoint { catch_up, ..Endpoint::new("app", "http://a.example/") };
    let mut world = RecordedQueue::held([endpoint]);
    world.accept(9_000);
    let rolled = world.last();
    world.accept(3);
    let rolled_again = world.last();
    world.retire(1, rolled);
    world.retire(rolled + 1, rolled_again);
    assert_eq!(world.queue.state().first_seq, rolled_again + 1);

    world.restart();
    world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
    let delivered = world.deliver(usize::MAX);
    let mut latest: Vec<Seq> = (0..7)
        .filter_map(|key| world.accepted.iter().rev().find(|(_, of)| *of == key))
        .map(|(seq, _)| *seq)
        .collect();
    let mut delivered: Vec<Seq> = delivered.into_iter().map(|(_, seq)| seq).collect();
    latest.sort_unstable();
    delivered.sort_unstable();
    assert_eq!(delivered, latest);
    assert_eq!(world.queue.state().endpoints[&1].undone, 0, "the others were superseded");
}

/// What was delivered of a backlog of which only the latest counts is known when its segment is
/// gone, and when what says so is relocated again: no old value follows it.
#[test]
fn the_latest_that_was_delivered_is_known_without_its_segment() {
    let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
    let endpoint = Endpoint { catch_up, ..Endpoint::new("app", "http://a.example/") };
    let mut world = RecordedQueue::held([endpoint]);
    world.keys = 1_500;
    world.accept(3_000);
    let rolled = world.last();

    // The newest go first: old values of what is delivered now have not been read yet.
    world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
    let mut delivered = world.deliver(100);
    assert!(delivered.len() < 1_000, "{}", delivered.len());
    world.restart();
    world.ask(HoldEndpoint { name: "app".into() }).expect("held");
    world.retire(1, rolled);
    let rolled_again = world.last();
    world.restart();
    world.retire(rolled + 1, rolled_again);

    world.restart();
    world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
    delivered.extend(world.deliver(usize::MAX));
    let key_of: BTreeMap<Seq, u64> = world.accepted.iter().copied().collect();
    let mut last: BTreeMap<u64, Seq> = BTreeMap::new();
    for (_, seq) in delivered {
        let before = last.insert(key_of[&seq], seq).unwrap_or(0);
        assert!(before < seq, "{seq} follows {before}");
    }
    assert_eq!(last.len(), 1_500, "the latest of each key");
    assert_eq!(world.queue.state().endpoints[&1].undone, 0, "the others were superseded");
}

/// More than a quarter of a million events wait for one endpoint.
#[test]
fn any_backlog_without_an_order_is_relocated_and_in_few_questions() {
    let mut world = RecordedQueue::held([ordered(Order::None)]);
    let count = 262_145;
    world.accept(count);
    let rolled = world.last();
    let (asked, slices) = world.retire(1, rolled);
    assert!(slices > 250 && asked <= 4, "asked {asked} times for {slices} slices");
    let state = world.queue.state();
    assert_eq!((state.first_seq, state.moved.len()), (rolled + 1, count));

    world.restart();
    world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
    let delivered = world.deliver(1_000);
    let first: Vec<Seq> = delivered.iter().map(|(_, seq)| *seq).take(4).collect();
    assert!(world.accepted[..4].iter().all(|(seq, _)| first.contains(seq)), "the oldest first");
}

/// How often the queue is asked what lives in a segment does not depend on how much that is.
#[test]
fn the_work_of_a_retirement_grows_as_what_lives() {
    let of = |count| {
        let mut world = RecordedQueue::held([ordered(Order::Strict)]);
        world.accept(count);
        // They stand where they were relocated to, and are read by their records.
        let rolled = world.last();
        world.retire(1, rolled);
        let again = world.last();
        world.retire(rolled + 1, again)
    };
    let ((asked, slices), (asked_twice, slices_twice)) = (of(5_000), of(10_000));
    assert_eq!(asked, asked_twice);
    assert!(slices_twice <= 2 * slices + 2, "{slices} and {slices_twice} slices");
}

/// What was ordered to be read may be relocated and dropped before it is read: it is read again
/// from where it stands then, whether its position had a record of its own or was kept by another
/// one.
#[test]
fn what_is_dropped_before_it_was_read_is_read_again() {
    for kept in [false, true] {
        let mut world = RecordedQueue::held([ordered(Order::Strict)]);
        world.accept(300);
        let mut range = (1, world.last());
        if kept {
            world.retire(range.0, range.1);
            range = (range.1 + 1, world.last());
        }

        world.restart();
        world.ask(ReleaseEndpoint { name: "app".into() }).expect("released");
        let late = world.queue.run(NOW).actions;
        assert!(late.iter().any(|action| matches!(action, Action::Read(_))), "{late:?}");
        world.retire(range.0, range.1);
        for action in late {
            let Action::Read(order) = action else { continue };
            let input = read(order, &world);
            world.ask(input).expect("it is taken");
        }

        let delivered: Vec<Seq> = world.deliver(usize::MAX).iter().map(|(_, seq)| *seq).collect();
        let accepted: Vec<Seq> = world.accepted.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(delivered, accepted, "kept: {kept}");
    }
}
