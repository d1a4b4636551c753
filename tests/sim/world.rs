//! The world around the queue: a clock, receivers, an operator, and the checker that watches them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{
    AttemptReport, DeliveryId, DeliveryState, Endpoint, Event, EventId, Now, Order, Outcome, RequestHead, RetryPolicy,
    Seq, Source,
};
use hookbox::queue::{Accepted, Action, CarriedEvent, Command, Input, NewEvent, Query, Queue, Reply, Revive};
use hookbox::record::{DeadLetter, Next, Record, ReplayFilter};
use hookbox::scheduler::{Core, Released, refill, scan};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::store::{Disk, Fate};

const SAFETY_STEPS: usize = 300;
const LIVENESS_STEPS: usize = 60_000;

/// What a run saw.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub acknowledged: u64,
    pub duplicates: u64,
    pub attempts: u64,
    pub delivered: u64,
    pub dead: u64,
    pub crashes: u64,
    pub dropped_segments: u64,
    pub replays: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.attempts += other.attempts;
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.crashes += other.crashes;
        self.dropped_segments += other.dropped_segments;
        self.replays += other.replays;
    }
}

/// How a receiver behaves.
#[derive(Clone, Copy, Debug)]
enum Temper {
    Good,
    Slow,
    Flaky,
    Dead,
    Gone,
    AsksForTime,
    Refuses,
}

struct World {
    rng: StdRng,
    now: Now,
    disk: Disk,
    tempers: HashMap<u32, Temper>,
    /// What will be reported to the queue, by time; the number keeps the order of equal times.
    agenda: BTreeMap<(u64, u64), Input>,
    agenda_next: u64,
    faults: bool,
    checker: Checker,
    totals: Totals,
}

/// What must hold, remembered apart from the queue.
#[derive(Default)]
struct Checker {
    acknowledged: BTreeMap<Seq, EventId>,
    in_flight: BTreeMap<DeliveryId, u32>,
    answered_2xx: BTreeSet<DeliveryId>,
    /// The earliest time of the next attempt, by the virtual monotonic clock of this process's life.
    not_before: HashMap<DeliveryId, u64>,
}

/// Runs one seed.
pub fn run(seed: u64) -> Totals {
    let mut rng = StdRng::seed_from_u64(seed);
    let roll_at = rng.random_range(20..200);
    let start = Now { mono_ms: 0, wall_ms: rng.random_range(0..2_000_000_000_000) };
    let mut world = World {
        rng,
        now: start,
        disk: Disk::new(roll_at),
        tempers: HashMap::new(),
        agenda: BTreeMap::new(),
        agenda_next: 0,
        faults: true,
        checker: Checker::default(),
        totals: Totals::default(),
    };
    world.first_life();
    while !world.life() {}
    world.totals.clone()
}

impl World {
    /// The log begins, with sources and endpoints.
    fn first_life(&mut self) {
        let mut queue = Queue::new(self.disk.fold(), self.rng.random(), self.now);
        let begun = queue.begin(self.now, "sim");
        let mut core = Core { queue, store: &mut self.disk };
        hookbox::scheduler::Store::commit(&mut core.store, &begun.records).expect("the first commit");
        let mut inputs = Vec::new();
        for name in ["a", "b"] {
            inputs.push(Input::Command(Command::CreateSource(Box::new(Source::new(name, "none")))));
        }
        let tempers = [
            Temper::Good,
            Temper::Slow,
            Temper::Flaky,
            Temper::Dead,
            Temper::Gone,
            Temper::AsksForTime,
            Temper::Refuses,
        ];
        let count = self.rng.random_range(1..6u32);
        for n in 1..=count {
            self.tempers.insert(n, tempers[self.rng.random_range(0..tempers.len())]);
            let retry = RetryPolicy {
                base_ms: self.rng.random_range(1..5000),
                factor: self.rng.random_range(1.0..4.0),
                max_ms: 60_000,
                jitter: self.rng.random_range(0.0..1.0),
                max_age_ms: self.rng.random_range(60_000..3_600_000),
                max_attempts: self.rng.random_bool(0.3).then(|| self.rng.random_range(1..6)),
            };
            let order = if self.rng.random_bool(0.2) { Order::Strict } else { Order::None };
            let from = if self.rng.random_bool(0.3) { vec!["a".to_owned()] } else { Vec::new() };
            let concurrency = self.rng.random_range(1..20);
            let endpoint =
                Endpoint { retry, order, from, concurrency, ..Endpoint::new(format!("e{n}"), "http://example.com/") };
            inputs.push(Input::Command(Command::CreateEndpoint(Box::new(endpoint))));
        }
        let released = core.step(self.now, inputs, true).expect("nothing fails yet");
        assert!(released.replies.iter().all(|reply| !matches!(reply, Reply::Refused(_))), "{:?}", released.replies);
    }

    /// One life of the process, from start to crash. Returns whether the world came to rest.
    fn life(&mut self) -> bool {
        let mut disk = std::mem::replace(&mut self.disk, Disk::new(1));
        disk.fate = Fate::Durable;
        // The box may have been off for a while, and its wall clock may say anything.
        self.now = Now { mono_ms: 0, wall_ms: self.jumped_wall() };
        self.agenda.clear();
        self.checker.in_flight.clear();
        self.checker.not_before.clear();
        // The process may have died between the commit that drops a segment and its removal.
        while let Some((first, last)) = disk.oldest_sealed()
            && last < disk.fold().first_seq
        {
            disk.drop_segment(first);
        }
        let queue = Queue::new(disk.fold(), self.rng.random(), self.now);
        let mut core = Core { queue, store: &mut disk };
        let steps = if self.faults { SAFETY_STEPS } else { LIVENESS_STEPS };
        let mut at_rest = false;
        let mut crashed = false;
        for step in 0..steps {
            if !self.faults && self.is_at_rest(&core) {
                at_rest = true;
                break;
            }
            let inputs = self.next_inputs(&core);
            if self.faults && self.rng.random_bool(0.005) {
                core.store.fate = if self.rng.random_bool(0.5) { Fate::DiesBefore } else { Fate::DiesAfter };
            }
            let sent = inputs.clone();
            match core.step(self.now, inputs, true) {
                Ok(released) => self.release(&mut core, &sent, released),
                Err(_died) => {
                    crashed = true;
                    break;
                }
            }
            if step % 37 == 0 {
                assert_eq!(&core.store.fold(), core.queue.state(), "refolding the durable log gives another state");
            }
        }
        self.disk = disk;
        self.check_durable();
        if at_rest {
            self.check_ends();
            return true;
        }
        assert!(self.faults, "not everything ended within {LIVENESS_STEPS} steps without faults");
        self.totals.crashes += u64::from(crashed);
        if !crashed || self.totals.crashes >= 4 {
            self.faults = false;
            self.tempers.values_mut().for_each(|temper| *temper = Temper::Good);
        }
        false
    }

    fn jumped_wall(&mut self) -> u64 {
        match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.now.wall_ms.saturating_sub(self.rng.random_range(0..100_000_000_000)),
            2 => self.now.wall_ms + self.rng.random_range(0..1_000_000_000_000),
            _ => self.now.wall_ms + self.rng.random_range(0..10_000),
        }
    }

    /// Goes on to the next thing that happens, and says what it is.
    fn next_inputs(&mut self, core: &Core<&mut Disk>) -> Vec<Input> {
        let mut inputs = Vec::new();
        let due = core.queue.next_wake(self.now);
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let idle = if self.faults { self.rng.random_range(0..2000) } else { 60_000 };
        let target = [due, next, Some(self.now.mono_ms + idle)].into_iter().flatten().min().unwrap_or(0);
        let target = target.max(self.now.mono_ms);
        self.now.wall_ms += target - self.now.mono_ms;
        self.now.mono_ms = target;
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= target
            && inputs.len() < 64
        {
            inputs.push(entry.remove());
        }
        if self.faults && self.rng.random_bool(0.01) {
            self.now.wall_ms = self.jumped_wall();
        }
        if self.faults {
            for _ in 0..self.rng.random_range(0..4) {
                inputs.push(self.new_event(core));
            }
            if self.rng.random_bool(0.2) {
                inputs.extend(self.meddle(core));
            }
        } else {
            let held = core.queue.state().lanes.values().filter(|lane| lane.hold.is_some());
            let release = |name: &str| Input::Command(Command::ReleaseEndpoint { name: name.to_owned() });
            inputs.extend(held.map(|lane| release(&lane.endpoint.name)));
        }
        inputs
    }

    fn new_event(&mut self, core: &Core<&mut Disk>) -> Input {
        let sources: Vec<Arc<Source>> = core.queue.state().sources.values().cloned().collect();
        let source = sources[self.rng.random_range(0..sources.len())].clone();
        let dedupe = self.rng.random_bool(0.5).then(|| self.rng.random_range(0..200));
        let size = if self.rng.random_bool(0.02) { 200_000 } else { self.rng.random_range(0..300) };
        Input::Accept(vec![NewEvent {
            source,
            kind: "sim.event".to_owned(),
            dedupe_key: dedupe.map(|key: u64| key.to_string()),
            dedupe,
            request_line: "POST /in/a".to_owned(),
            remote: "sim".to_owned(),
            headers: Vec::new(),
            body: Bytes::from(vec![b'x'; size]),
        }])
    }

    /// The operator does something.
    fn meddle(&mut self, core: &Core<&mut Disk>) -> Option<Input> {
        let state = core.queue.state();
        let lanes: Vec<u32> = state.lanes.keys().copied().collect();
        let id = *lanes.get(self.rng.random_range(0..lanes.len().max(1)))?;
        let lane = &state.lanes[&id];
        let name = lane.endpoint.name.clone();
        let some_seq = self.rng.random_range(1..state.next_seq);
        Some(match self.rng.random_range(0..33) {
            32 if lanes.len() > 1 => Input::Command(Command::DeleteEndpoint { name }),
            n if n % 8 == 0 => Input::Command(Command::HoldEndpoint { name }),
            n if n % 8 < 3 => Input::Command(Command::ReleaseEndpoint { name }),
            n if n % 8 == 3 => {
                let key = self.known_delivery(core, some_seq, id)?;
                Input::Command(Command::Cancel { deliveries: vec![key] })
            }
            n if n % 8 == 4 => {
                let revive = self.some_grave(core)?;
                Input::Command(Command::Retry { deliveries: vec![revive] })
            }
            n if n % 8 == 5 => {
                let revive = self.some_grave(core)?;
                Input::Command(Command::Discard { deliveries: vec![revive] })
            }
            n if n % 8 == 6 => {
                let to = self.rng.random_bool(0.5).then_some(name);
                self.totals.replays += 1;
                Input::Command(Command::StartReplay {
                    filter: ReplayFilter { to, ..ReplayFilter::default() },
                    rate: self.rng.random_bool(0.5).then_some(50),
                    next: some_seq,
                    end: (some_seq + 30).min(core.store.last()),
                })
            }
            _ => return self.retire(core),
        })
    }

    /// A delivery of endpoint `id` that the log knows, near `seq`.
    fn known_delivery(&self, core: &Core<&mut Disk>, seq: Seq, id: u32) -> Option<DeliveryId> {
        core.store.forward(seq).take(50).find_map(|(seq, record)| match record {
            Record::EventAccepted { fan_out, .. } if fan_out.contains(&id) => Some(DeliveryId { seq, endpoint: id }),
            _ => None,
        })
    }

    fn some_grave(&mut self, core: &Core<&mut Disk>) -> Option<Revive> {
        let graves = &core.queue.state().graves;
        if graves.is_empty() {
            return None;
        }
        let grave = graves.select(self.rng.random_range(0..graves.len()))?;
        let dead = dead_letter(grave, core.store.read(grave)?)?;
        let DeadLetter { delivery, event, attempts, last, .. } = dead;
        Some(Revive { delivery, event, attempts, last, grave: Some(grave) })
    }

    /// Retention wants to drop the oldest segment, as the real one does it.
    fn retire(&mut self, core: &Core<&mut Disk>) -> Option<Input> {
        let (first, last) = core.store.oldest_sealed()?;
        let Reply::Alive(Some(alive)) = core.queue.ask(self.now, &Query::Alive { first, last }) else { return None };
        let carried = alive.events.iter().filter_map(|at| match core.store.read(*at)? {
            Record::EventAccepted { event, fan_out, .. } | Record::EventCarried { event, fan_out, .. } => {
                Some(CarriedEvent { seq: event.id.seq, event, fan_out })
            }
            _ => None,
        });
        let alive_events: Vec<CarriedEvent> = carried.collect();
        let dead =
            alive.graves.iter().filter_map(|grave| Some((*grave, dead_letter(*grave, core.store.read(*grave)?)?)));
        let (kept, gone): (Vec<_>, Vec<_>) = dead.partition(|_| self.rng.random_bool(0.7));
        let expired = gone.into_iter().map(|(_, dead)| dead.delivery).collect();
        Some(Input::Retire { first, last, head: [0; 32], alive: alive_events, dead: kept, expired })
    }

    /// Looks at what was released, and plans what comes of it.
    fn release(&mut self, core: &mut Core<&mut Disk>, sent: &[Input], released: Released) {
        for (input, reply) in sent.iter().zip(&released.replies) {
            self.see_reply(core, input, reply);
        }
        for (seq, record) in (released.first..).zip(&released.records) {
            self.see_record(seq, record);
        }
        for action in released.actions {
            self.perform(core, action);
        }
    }

    fn see_reply(&mut self, core: &Core<&mut Disk>, input: &Input, reply: &Reply) {
        if let (Input::Accept(_), Reply::Accepted(accepted)) = (input, reply) {
            for Accepted { id, duplicate } in accepted {
                self.totals.duplicates += u64::from(*duplicate);
                self.totals.acknowledged += u64::from(!duplicate);
                if !duplicate {
                    assert!(core.store.read(id.seq).is_some(), "{id} was answered but is not durable");
                    self.checker.acknowledged.insert(id.seq, *id);
                }
            }
        }
    }

    fn see_record(&mut self, _seq: Seq, record: &Record) {
        match record {
            Record::AttemptFinished(attempt) => {
                let delivery = attempt.delivery;
                match attempt.next {
                    Next::Retry { delay_ms, .. } => {
                        self.checker.not_before.insert(delivery, self.now.mono_ms + delay_ms);
                    }
                    Next::Dead { .. } => self.totals.dead += 1,
                    _ => {
                        self.checker.not_before.remove(&delivery);
                    }
                }
            }
            Record::DeliveryRetried { delivery, .. } => {
                self.checker.not_before.remove(delivery);
            }
            Record::EndpointReleased { endpoint, .. } => {
                self.checker.not_before.retain(|delivery, _| delivery.endpoint != *endpoint);
            }
            Record::DeliveriesCarried { waiting } => {
                for carried in waiting {
                    self.checker.not_before.remove(&carried.delivery);
                }
            }
            Record::SegmentDropped { .. } => self.totals.dropped_segments += 1,
            _ => {}
        }
    }

    fn perform(&mut self, core: &mut Core<&mut Disk>, action: Action) {
        match action {
            Action::Attempt { delivery, number, endpoint, event } => {
                self.attempt(core, delivery, number, &endpoint, &event)
            }
            Action::Load { delivery, event } => {
                let stands_at = event;
                let event = match core.store.read(event) {
                    Some(Record::EventAccepted { event, .. } | Record::EventCarried { event, .. }) => Some(event),
                    _ => None,
                };
                let gone = "waits for an event that is not in the log any more";
                assert!(event.is_some(), "{delivery} {gone}, in record {stands_at}");
                self.plan(5, Input::Loaded { delivery, event });
            }
            Action::Refill { endpoint, from, max_entries, max_bytes } => {
                let range = (from, core.store.last());
                let (entries, next) = refill(core.store.forward(from), range, endpoint, max_entries, max_bytes);
                self.plan(20, Input::Refilled { endpoint, from, entries, next });
            }
            Action::Scan { replay, filter, from, end, max } => {
                let first = core.store.first();
                let (events, next) = scan(core.store.forward(from), &filter, first, (from, end), max);
                self.plan(20, Input::Scanned { replay, from, events, next });
            }
            Action::Publish => {}
            Action::DropSegment { first, .. } => core.store.drop_segment(first),
        }
    }

    fn plan(&mut self, within_ms: u64, input: Input) {
        let at = self.now.mono_ms + self.rng.random_range(0..=within_ms);
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), input);
    }

    /// A receiver gets a request.
    fn attempt(
        &mut self,
        core: &Core<&mut Disk>,
        delivery: DeliveryId,
        number: u32,
        endpoint: &Endpoint,
        event: &Arc<Event>,
    ) {
        self.totals.attempts += 1;
        let lane = core.queue.state().lanes.get(&delivery.endpoint).expect("an attempt for an endpoint that exists");
        let state = lane.state_of(delivery.seq);
        let waits = matches!(state, DeliveryState::Pending | DeliveryState::Held);
        assert!(waits, "{delivery} is attempted although it is {state:?}");
        assert!(core.store.read(delivery.seq).is_some() || delivery.seq < core.queue.state().first_seq);
        if let Some(not_before) = self.checker.not_before.get(&delivery) {
            assert!(self.now.mono_ms >= *not_before, "{delivery} is attempted before its delay is over");
        }
        self.land();
        let clash = self.checker.in_flight.insert(delivery, number);
        assert!(clash.is_none(), "{delivery} is attempted twice at a time");
        let flying = self.checker.in_flight.keys().filter(|d| d.endpoint == delivery.endpoint).count();
        assert!(flying <= endpoint.concurrency as usize, "{flying} in flight, {} are allowed", endpoint.concurrency);
        if endpoint.order == Order::Strict {
            assert_eq!(flying, 1, "a strict endpoint gets one at a time");
        }
        let (outcome, within_ms) = self.behave(delivery.endpoint);
        if outcome == Outcome::Delivered {
            self.checker.answered_2xx.insert(delivery);
        }
        let report = AttemptReport {
            started_at: self.now.wall_ms,
            duration_ms: 1,
            connect_ms: None,
            outcome,
            request: RequestHead::default(),
            response: None,
            error: Some(format!("event {} said so", event.id.seq)),
        };
        let at = self.now.mono_ms + within_ms;
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), Input::Finished { delivery, report });
    }

    /// Attempts whose report has gone into the queue are not in flight any more.
    fn land(&mut self) {
        let reported: BTreeSet<DeliveryId> = self
            .agenda
            .values()
            .filter_map(|input| if let Input::Finished { delivery, .. } = input { Some(*delivery) } else { None })
            .collect();
        self.checker.in_flight.retain(|delivery, _| reported.contains(delivery));
    }

    fn behave(&mut self, endpoint: u32) -> (Outcome, u64) {
        let retry = Outcome::Retryable { after_ms: None };
        let rng = &mut self.rng;
        match self.tempers.get(&endpoint).copied().unwrap_or(Temper::Good) {
            Temper::Good => (Outcome::Delivered, rng.random_range(1..50)),
            Temper::Slow => (Outcome::Delivered, rng.random_range(1000..15_000)),
            Temper::Flaky if rng.random_bool(0.5) => (Outcome::Delivered, rng.random_range(1..500)),
            Temper::Flaky => (retry, rng.random_range(1..500)),
            Temper::Dead => (retry, 15_000),
            Temper::Gone if rng.random_bool(0.05) => (Outcome::Gone, 10),
            Temper::Gone => (Outcome::Delivered, 10),
            Temper::AsksForTime if rng.random_bool(0.5) => (Outcome::Delivered, 10),
            Temper::AsksForTime => (Outcome::Retryable { after_ms: Some(rng.random_range(0..100_000)) }, 10),
            Temper::Refuses if rng.random_bool(0.3) => (Outcome::Refused, 10),
            Temper::Refuses => (Outcome::Delivered, 10),
        }
    }

    fn is_at_rest(&self, core: &Core<&mut Disk>) -> bool {
        let status = core.queue.status();
        status.pending == 0 && status.held == 0 && status.replays == 0
    }

    /// Everything that was answered 202 is in the log, or was dropped by retention after it had ended.
    fn check_durable(&self) {
        let state = self.disk.fold();
        for (seq, id) in &self.checker.acknowledged {
            if *seq < self.disk.first() {
                continue;
            }
            match self.disk.read(*seq) {
                Some(Record::EventAccepted { event, .. }) => assert_eq!(event.id, *id),
                other => panic!("{id} was answered 202, and record {seq} is {other:?}"),
            }
        }
        self.disk.check_prefixes();
        let checkpointed = hookbox::queue::State::from_checkpoint(&state.checkpoint()).expect("reads back");
        assert_eq!(checkpointed, state, "a checkpoint gives another state");
    }

    /// What the log says of a delivery, for messages.
    fn story(&self, delivery: DeliveryId) -> String {
        let told = self.disk.forward(1).filter(|(_, record)| speaks_of(record, delivery));
        told.map(|(at, record)| format!("\n  {at}: {record:?}")).collect()
    }

    /// At rest: every delivery of every event has ended, and those that are called delivered were answered 2xx.
    fn check_ends(&mut self) {
        let state = self.disk.fold();
        for (seq, record) in self.disk.forward(state.first_seq) {
            let endpoints = match record {
                Record::EventAccepted { fan_out, .. } => fan_out,
                Record::Replayed { endpoint, .. } => vec![endpoint],
                _ => continue,
            };
            for endpoint in endpoints {
                let delivery = DeliveryId { seq, endpoint };
                let Some(lane) = state.lanes.get(&endpoint) else { continue };
                match lane.state_of(seq) {
                    DeliveryState::Delivered => {
                        self.totals.delivered += 1;
                        let answered = self.checker.answered_2xx.contains(&delivery);
                        assert!(
                            answered,
                            "{delivery} is called delivered, but nobody answered 2xx: {}",
                            self.story(delivery)
                        );
                    }
                    DeliveryState::Dead | DeliveryState::Cancelled => {}
                    other => panic!("{delivery} is {other:?} at rest: {}", self.story(delivery)),
                }
            }
        }
    }
}

fn dead_letter(grave: Seq, record: Record) -> Option<DeadLetter> {
    match record {
        Record::DeadCarried { dead, .. } => Some(dead),
        Record::AttemptFinished(attempt) => {
            let Next::Dead { reason } = attempt.next else { return None };
            Some(DeadLetter {
                delivery: attempt.delivery,
                event: attempt.event,
                attempts: attempt.number,
                died_at: 0,
                reason,
                last: grave,
            })
        }
        _ => None,
    }
}

/// Whether a record concerns a delivery, for messages.
fn speaks_of(record: &Record, delivery: DeliveryId) -> bool {
    match record {
        Record::EventAccepted { event, .. } => event.id.seq == delivery.seq,
        Record::AttemptFinished(attempt) => attempt.delivery == delivery,
        Record::DeliveryCancelled { delivery: other, .. } | Record::DeliveryRetried { delivery: other, .. } => {
            *other == delivery
        }
        Record::DeliveriesCarried { waiting } => waiting.iter().any(|carried| carried.delivery == delivery),
        _ => false,
    }
}
