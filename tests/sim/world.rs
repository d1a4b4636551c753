//! The world around the queue: a clock, receivers, an operator, and the checker that watches them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{
    AttemptReport, Batch, BatchFormat, BatchId, CatchUp, CatchUpMode, DeliveryId, DeliveryState, Endpoint, Event,
    EventId, Fault, HeadOfLine, Now, Order, Outcome, Rate, RequestHead, ResponseHead, RetryPolicy, Seq, Source,
};
use hookbox::queue::{Accepted, Action, Carriage, Command, Input, NewEvent, Query, Queue, Reply, Revive};
use hookbox::record::{DeadLetter, Next, Record, ReplayFilter};
use hookbox::scheduler::carry::slice;
use hookbox::scheduler::{Core, Records, Released, Retiring, Wanted, complete, load_batch, refill, refill_back, scan};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::store::{Disk, Fate};

/// An attempt may leave so much later than it was decided on, because its event is read first.
const READ_MS: u64 = 30;
/// What the consumers of a pull endpoint hold and wait for at most.
const MOST_CONSUMED: usize = 10;
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
    pub carried_events: u64,
    pub carried_places: u64,
    pub replays: u64,
    pub batches: u64,
    pub halved: u64,
    pub superseded: u64,
    pub spared: u64,
    pub parked: u64,
    pub held: u64,
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
        self.carried_events += other.carried_events;
        self.carried_places += other.carried_places;
        self.replays += other.replays;
        self.batches += other.batches;
        self.halved += other.halved;
        self.superseded += other.superseded;
        self.spared += other.spared;
        self.parked += other.parked;
        self.held += other.held;
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
    /// Takes no more than so many events at once (413).
    Small,
    /// Refuses whatever holds a poisoned event (422).
    Picky,
    /// Takes only some of a batch.
    Partial,
    /// Says hold and drop.
    Steers,
}

const TEMPERS: [Temper; 11] = [
    Temper::Good,
    Temper::Slow,
    Temper::Flaky,
    Temper::Dead,
    Temper::Gone,
    Temper::AsksForTime,
    Temper::Refuses,
    Temper::Small,
    Temper::Picky,
    Temper::Partial,
    Temper::Steers,
];

/// What an answer comes to: the outcome, its status, which events were not taken, and how long it took.
struct Answer {
    outcome: Outcome,
    status: Option<u16>,
    failed: Vec<EventId>,
    within_ms: u64,
    fault: Option<Fault>,
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
    /// The uplink is away until then, by the monotonic clock.
    uplink_away_until: u64,
    checker: Checker,
    totals: Totals,
    /// The segment that retention is at.
    retiring: Option<Retiring>,
}

/// What must hold, remembered apart from the queue.
#[derive(Default)]
struct Checker {
    acknowledged: BTreeMap<Seq, EventId>,
    in_flight: BTreeMap<DeliveryId, u32>,
    answered_2xx: BTreeSet<DeliveryId>,
    /// Deliveries that have to end, by what the log says up to record `told`, whatever retention drops of it.
    owed: BTreeSet<DeliveryId>,
    told: Seq,
    /// The earliest time of the next attempt, by the virtual monotonic clock of this process's life.
    not_before: HashMap<DeliveryId, u64>,
    batches_in_flight: BTreeMap<BatchId, Vec<DeliveryId>>,
    /// What each batch holds, at every attempt and in every life.
    members: BTreeMap<BatchId, Vec<EventId>>,
    /// Deliveries of endpoints that keep an order which have not ended, by endpoint and lane.
    lanes: BTreeMap<(u32, String), BTreeSet<Seq>>,
    lane_of: HashMap<DeliveryId, String>,
    /// Those that the operator asked for again stand outside the order.
    revived: BTreeSet<DeliveryId>,
    /// When attempts were started, of endpoints with a rate, in this life.
    started: HashMap<u32, Vec<u64>>,
    /// The last record that was released, or was found in the log after a crash.
    seen: Seq,
}

impl Checker {
    /// What the log says now, also that which a dying process did not live to see.
    fn hear(&mut self, disk: &Disk) {
        let news: Vec<(Seq, Record)> = disk.forward(self.told + 1).collect();
        for (seq, record) in news {
            self.told = seq;
            match record {
                Record::EventAccepted { fan_out, .. } => {
                    self.owed.extend(fan_out.into_iter().map(|endpoint| DeliveryId { seq, endpoint }));
                }
                Record::Replayed { endpoint, .. } => {
                    self.owed.insert(DeliveryId { seq, endpoint });
                }
                Record::DeliveryRetried { delivery, .. } => {
                    self.owed.insert(delivery);
                }
                Record::DeliveryCancelled { delivery, .. } => {
                    self.owed.remove(&delivery);
                }
                Record::EndpointDeleted { endpoint, .. } => self.owed.retain(|delivery| delivery.endpoint != endpoint),
                Record::Died { dead } => {
                    self.owed.remove(&dead.delivery);
                }
                Record::Superseded { endpoint, deliveries, .. } => {
                    for seq in deliveries {
                        self.owed.remove(&DeliveryId { seq, endpoint });
                    }
                }
                record => {
                    for attempt in record.attempts() {
                        if matches!(attempt.next, Next::Delivered | Next::Dead { .. }) {
                            self.owed.remove(&attempt.delivery);
                        }
                    }
                }
            }
        }
    }
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
        uplink_away_until: 0,
        checker: Checker::default(),
        totals: Totals::default(),
        retiring: None,
    };
    world.first_life();
    while !world.life() {}
    world.totals.clone()
}

/// An endpoint with settings drawn at random.
fn endpoint(rng: &mut StdRng, n: u32) -> Endpoint {
    let retry = RetryPolicy {
        base_ms: rng.random_range(1..5000),
        factor: rng.random_range(1.0..4.0),
        max_ms: 60_000,
        jitter: rng.random_range(0.0..1.0),
        max_age_ms: rng.random_range(60_000..3_600_000),
        max_attempts: rng.random_bool(0.3).then(|| rng.random_range(1..6)),
    };
    let order = match rng.random_range(0..10) {
        0 | 1 => Order::Strict,
        2..=4 => Order::Key,
        _ => Order::None,
    };
    let after = rng.random_range(1..4);
    let head_of_line = match rng.random_range(0..4) {
        0 if order != Order::None => HeadOfLine::Skip { after },
        1 if order != Order::None => HeadOfLine::Park { after },
        _ => HeadOfLine::Block,
    };
    let mode = match (rng.random_range(0..4), order) {
        (0, Order::None) => CatchUpMode::Newest,
        (1, Order::None) => CatchUpMode::Latest,
        _ => CatchUpMode::Oldest,
    };
    let latest_by = (mode == CatchUpMode::Latest).then(|| "/k".to_owned());
    let rate = |rng: &mut StdRng| Rate { count: rng.random_range(1..30), per_ms: rng.random_range(500..20_000) };
    let pull = rng.random_bool(0.1);
    let batch = (!pull && rng.random_bool(0.35)).then(|| Batch {
        max_events: rng.random_range(1..40),
        max_bytes: rng.random_range(1..20_000),
        max_wait_ms: rng.random_range(0..5_000),
        format: BatchFormat::Json,
    });
    let url = match (pull, rng.random_bool(0.3)) {
        (true, _) => "pull:".to_owned(),
        (false, true) => format!("http://127.0.0.1:{n}/"),
        (false, false) => format!("http://host{n}.example/"),
    };
    let limited = rng.random_bool(0.3).then(|| rate(rng));
    Endpoint {
        retry,
        order,
        order_key: (order == Order::Key).then(|| "/k".to_owned()),
        head_of_line,
        batch,
        burst: limited.map(|_| rng.random_range(1..5)),
        rate: limited,
        catch_up: CatchUp { mode, rate: rng.random_bool(0.2).then(|| rate(rng)), key: latest_by },
        hold_after_ms: if rng.random_bool(0.3) { rng.random_range(60_000..600_000) } else { 5 * 86_400_000 },
        from: if rng.random_bool(0.3) { vec!["a".to_owned()] } else { Vec::new() },
        concurrency: rng.random_range(1..20),
        ..Endpoint::new(format!("e{n}"), url)
    }
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
        let count = self.rng.random_range(1..6u32);
        for n in 1..=count {
            self.tempers.insert(n, TEMPERS[self.rng.random_range(0..TEMPERS.len())]);
            inputs.push(Input::Command(Command::CreateEndpoint(Box::new(endpoint(&mut self.rng, n)))));
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
        self.retiring = None;
        self.checker.batches_in_flight.clear();
        self.checker.started.clear();
        self.uplink_away_until = 0;
        // The process may have died between the commit that drops a segment and its removal.
        while let Some((first, last)) = disk.oldest_sealed()
            && last < disk.fold().first_seq
        {
            disk.drop_segment(first);
        }
        let queue = Queue::new(disk.fold(), self.rng.random(), self.now);
        let mut core = Core { queue, store: &mut disk };
        // What was durable when the process died, and nobody heard of.
        let unheard: Vec<(Seq, Record)> = core.store.forward(self.checker.seen + 1).collect();
        for (seq, record) in unheard {
            self.follow_lanes(&core, seq, &record);
        }
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
            if !self.faults && step + 1 == LIVENESS_STEPS {
                println!("stuck at {:?}: {:#?}", self.now, core.queue.stuck());
            }
            if step % 37 == 0 {
                assert_eq!(&core.store.fold(), core.queue.state(), "refolding the durable log gives another state");
            }
        }
        self.checker.hear(&disk);
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
            // Retention hears what became of a step before it takes the next one.
            let retires = inputs.iter().any(|input| matches!(input, Input::Carry { .. } | Input::Retire { .. }));
            if !retires && self.rng.random_bool(0.4) {
                inputs.extend(self.retire(core));
            }
            if self.rng.random_bool(0.01) {
                self.uplink_away_until = self.now.mono_ms + self.rng.random_range(0..300_000);
            }
        } else {
            self.uplink_away_until = 0;
            let stuck = |lane: &&hookbox::queue::state::Lane| {
                lane.hold.is_some() || lane.retrying.values().any(|waiting| waiting.parked)
            };
            let held = core.queue.state().living().filter(stuck);
            let release = |name: &str| Input::Command(Command::ReleaseEndpoint { name: name.to_owned() });
            inputs.extend(held.map(|lane| release(&lane.endpoint.name)));
        }
        inputs.extend(self.consumers(core));
        inputs
    }

    /// Consumers come and go.
    fn consumers(&mut self, core: &Core<&mut Disk>) -> Vec<Input> {
        let pulls = core.queue.state().living().filter(|lane| lane.endpoint.is_pull()).map(|lane| lane.endpoint.id);
        let pulls: Vec<u32> = pulls.collect();
        let mut inputs = Vec::new();
        for endpoint in pulls {
            let total = if self.faults { self.rng.random_range(0..=MOST_CONSUMED) } else { MOST_CONSUMED };
            if self.rng.random_bool(0.2) {
                inputs.push(Input::Wanted { endpoint, total });
            }
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
            body: self.body(size),
        }])
    }

    /// JSON with a key, most of the time; some of it poisoned.
    fn body(&mut self, size: usize) -> Bytes {
        let key = self.rng.random_range(0..6);
        let poison = if self.rng.random_bool(0.02) { "poison" } else { "fine" };
        let padding = "x".repeat(size);
        match self.rng.random_range(0..10) {
            0 => Bytes::from(padding),
            _ => Bytes::from(format!("{{\"k\":{key},\"is\":\"{poison}\",\"pad\":\"{padding}\"}}")),
        }
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
        let dead = core.store.read(grave)?.dead_letter(grave)?;
        let DeadLetter { delivery, event, attempts, last, .. } = dead;
        Some(Revive { delivery, event, attempts, last, grave: Some(grave) })
    }

    /// Retention takes its next step with the oldest segment, as the real one does it.
    fn retire(&mut self, core: &Core<&mut Disk>) -> Option<Input> {
        let (first, last) = core.store.oldest_sealed()?;
        let mut retiring = match self.retiring.take().filter(|retiring| retiring.first == first) {
            Some(retiring) => retiring,
            None => Retiring::new(first, last, [0; 32]),
        };
        let Reply::Alive(Some(alive)) = core.queue.ask(self.now, &Query::Alive { first, last }) else { return None };
        let records = Slices { disk: core.store, most: self.rng.random_range(1..60) };
        let rng = &mut self.rng;
        let mut judge = |dead| rng.random_bool(0.7).then_some(dead);
        let input = retiring.next_input(&alive, &records, &mut judge).expect("everything can be read");
        self.retiring = Some(retiring);
        input
    }

    /// Looks at what was released, and plans what comes of it.
    fn release(&mut self, core: &mut Core<&mut Disk>, sent: &[Input], released: Released) {
        // Before anything is dropped.
        self.checker.hear(core.store);
        for (input, reply) in sent.iter().zip(&released.replies) {
            self.see_reply(core, input, reply);
        }
        for (seq, record) in (released.first..).zip(&released.records) {
            self.see_record(core, seq, record);
        }
        for action in released.actions {
            self.perform(core, action);
        }
    }

    fn see_reply(&mut self, core: &Core<&mut Disk>, input: &Input, reply: &Reply) {
        if matches!((input, reply), (Input::Carry { .. } | Input::Retire { .. }, Reply::Refused(_))) {
            // It begins anew, as the real one does: what was refused was not carried.
            self.retiring = None;
        }
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

    fn see_record(&mut self, core: &Core<&mut Disk>, seq: Seq, record: &Record) {
        self.follow_lanes(core, seq, record);
        for attempt in record.attempts() {
            let delivery = attempt.delivery;
            self.totals.spared += u64::from(attempt.spared);
            match attempt.next {
                Next::Retry { delay_ms, .. } => {
                    self.checker.not_before.insert(delivery, self.now.mono_ms + delay_ms);
                }
                Next::Dead { .. } => self.totals.dead += 1,
                next => {
                    self.totals.parked += u64::from(matches!(next, Next::Parked { .. }));
                    self.totals.held += u64::from(matches!(next, Next::Held { .. }));
                    self.checker.not_before.remove(&delivery);
                }
            }
        }
        match record {
            Record::AttemptFinished(attempt) => self.check_spared(core, &attempt.report, attempt.spared),
            Record::BatchFinished(finished) => {
                self.check_spared(core, &finished.report, finished.spared);
                let halved = matches!(finished.next, hookbox::record::BatchNext::Split { .. });
                self.totals.halved += u64::from(halved);
            }
            Record::Superseded { deliveries, .. } => self.totals.superseded += deliveries.len() as u64,
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
            Record::EventCarried { .. } => self.totals.carried_events += 1,
            Record::PlaceCarried { .. } => self.totals.carried_places += 1,
            _ => {}
        }
    }

    /// What fails on the way while the daemon knows that it is offline burns no attempt.
    fn check_spared(&self, core: &Core<&mut Disk>, report: &AttemptReport, spared: bool) {
        let on_the_way = matches!(report.fault, Some(Fault::Unreachable | Fault::Unclear));
        if on_the_way && core.queue.is_offline() && !spared {
            // The one that told it is the last that counts; from then on the link is to blame.
            assert!(core.queue.offline_since() >= Some(self.now.mono_ms), "an attempt was burnt offline: {report:?}");
        }
    }

    /// Keeps, apart from the queue, who stands in which lane.
    fn follow_lanes(&mut self, core: &Core<&mut Disk>, seq: Seq, record: &Record) {
        self.checker.seen = seq;
        let ended: Vec<DeliveryId> = match record {
            Record::EventAccepted { event, fan_out, .. } => {
                for endpoint in fan_out {
                    self.enter_lane(core, DeliveryId { seq, endpoint: *endpoint }, event);
                }
                return;
            }
            Record::Replayed { event, endpoint, .. } => {
                let event = core.queue.state().stands_at(*event).and_then(|at| event_at(core.store, at));
                if let Some(event) = event {
                    self.enter_lane(core, DeliveryId { seq, endpoint: *endpoint }, &event);
                }
                return;
            }
            Record::DeliveryRetried { delivery, .. } => {
                if !self.checker.lane_of.contains_key(delivery) {
                    self.checker.revived.insert(*delivery);
                }
                return;
            }
            Record::DeliveryCancelled { delivery, .. } => vec![*delivery],
            Record::Died { dead } => vec![dead.delivery],
            Record::Superseded { endpoint, deliveries, .. } => {
                deliveries.iter().map(|seq| DeliveryId { seq: *seq, endpoint: *endpoint }).collect()
            }
            record => {
                let over = |next: &Next| matches!(next, Next::Delivered | Next::Dead { .. });
                record.attempts().filter(|attempt| over(attempt.next)).map(|attempt| attempt.delivery).collect()
            }
        };
        for delivery in ended {
            if let Some(lane) = self.checker.lane_of.remove(&delivery)
                && let Some(waiting) = self.checker.lanes.get_mut(&(delivery.endpoint, lane))
            {
                waiting.remove(&delivery.seq);
            }
        }
    }

    fn enter_lane(&mut self, core: &Core<&mut Disk>, delivery: DeliveryId, event: &Event) {
        let Some(lane) = core.queue.state().lanes.get(&delivery.endpoint) else { return };
        let lane = match lane.endpoint.order {
            Order::None => return,
            Order::Strict => "all".to_owned(),
            Order::Key => {
                let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap_or_default();
                body.pointer("/k").map_or("nothing".to_owned(), ToString::to_string)
            }
        };
        self.checker.lanes.entry((delivery.endpoint, lane.clone())).or_default().insert(delivery.seq);
        self.checker.lane_of.insert(delivery, lane);
    }

    fn perform(&mut self, core: &mut Core<&mut Disk>, action: Action) {
        match action {
            Action::Attempt { delivery, number, endpoint, event } => {
                self.attempt(core, delivery, number, &endpoint, &event)
            }
            Action::AttemptBatch { endpoint, batch, number, events } => {
                self.attempt_batch(core, &endpoint, batch, number, &events);
            }
            Action::Load { delivery, event } => {
                let stands_at = event;
                let event = event_at(core.store, event);
                let gone = "waits for an event that is not in the log any more";
                assert!(event.is_some(), "{delivery} {gone}, in record {stands_at}");
                self.plan(5, Input::Loaded { delivery, event });
            }
            Action::LoadBatch { endpoint, batch, events, max_bytes } => {
                let events = load_batch(&events, max_bytes, |seq| event_at(core.store, seq));
                self.plan(5, Input::BatchLoaded { endpoint, batch, events });
            }
            Action::Refill { endpoint, from, until, max_entries, max_bytes, keys } => {
                let wanted = Wanted { endpoint, max_entries, max_bytes };
                let (mut entries, next) = match until {
                    None => refill(core.store.forward(from), (from, core.store.last()), &wanted),
                    Some(until) => refill_back(core.store.backward(from), (from, until), &wanted),
                };
                complete(&mut entries, &keys, |seq| event_at(core.store, seq));
                self.plan(20, Input::Refilled { endpoint, from, entries, next, keys });
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
        self.check_flight(core, endpoint, &[delivery]);
        let answer = self.behave(endpoint, std::slice::from_ref(event));
        if answer.outcome == Outcome::Delivered {
            self.checker.answered_2xx.insert(delivery);
        }
        let within_ms = answer.within_ms;
        let report = self.report(answer, &format!("event {} said so", event.id.seq));
        self.plan_at(within_ms, Input::Finished { delivery, report });
    }

    /// A receiver gets a batch.
    fn attempt_batch(
        &mut self,
        core: &Core<&mut Disk>,
        endpoint: &Endpoint,
        batch: BatchId,
        _number: u32,
        events: &[Arc<Event>],
    ) {
        self.totals.attempts += 1;
        self.totals.batches += 1;
        let limit = endpoint.batch.expect("only endpoints with batches get one");
        assert!(events.len() <= limit.max_events as usize, "{batch} holds {} events", events.len());
        let bytes: u64 = events.iter().map(|event| event.body.len() as u64).sum();
        assert!(events.len() == 1 || bytes <= limit.max_bytes, "{batch} holds {bytes} bytes");
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        let before = self.checker.members.entry(batch).or_insert_with(|| ids.clone());
        assert_eq!(*before, ids, "{batch} holds something else than at its last attempt");
        let lane = core.queue.state().lanes.get(&endpoint.id).expect("an endpoint that exists");
        let known = lane.batches.get(&batch).expect("a batch that the state knows");
        let members: Vec<DeliveryId> =
            known.members.iter().map(|seq| DeliveryId { seq: *seq, endpoint: endpoint.id }).collect();
        assert_eq!(members.len(), events.len(), "{batch} is sent as it is remembered");
        for delivery in &members {
            if let Some(not_before) = self.checker.not_before.get(delivery) {
                assert!(self.now.mono_ms >= *not_before, "{delivery} is attempted before its delay is over");
            }
        }
        self.land();
        let clash = self.checker.batches_in_flight.insert(batch, members.clone());
        assert!(clash.is_none(), "{batch} is attempted twice at a time");
        self.check_flight(core, endpoint, &members);
        let answer = self.behave(endpoint, events);
        if answer.outcome == Outcome::Delivered {
            let taken = members.iter().zip(&ids).filter(|(_, id)| !answer.failed.contains(id));
            self.checker.answered_2xx.extend(taken.map(|(delivery, _)| *delivery));
        }
        let (within_ms, failed) = (answer.within_ms, answer.failed.clone());
        let report = self.report(answer, "the batch said so");
        self.plan_at(within_ms, Input::BatchFinished { endpoint: endpoint.id, batch, report, failed });
    }

    fn report(&self, answer: Answer, error: &str) -> AttemptReport {
        let response = answer.status.map(|status| ResponseHead { status, headers: Vec::new(), body: Bytes::new() });
        AttemptReport {
            started_at: self.now.wall_ms,
            duration_ms: 1,
            connect_ms: None,
            outcome: answer.outcome,
            request: RequestHead::default(),
            response,
            error: Some(error.to_owned()),
            fault: answer.fault,
            command: None,
        }
    }

    fn plan_at(&mut self, within_ms: u64, input: Input) {
        let at = self.now.mono_ms + within_ms;
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), input);
    }

    /// Concurrency, order and rate, looked at when something leaves.
    fn check_flight(&mut self, core: &Core<&mut Disk>, endpoint: &Endpoint, members: &[DeliveryId]) {
        let id = endpoint.id;
        let singles = self.checker.in_flight.keys().filter(|d| d.endpoint == id).count();
        let batches = self.checker.batches_in_flight.values().filter(|m| m[0].endpoint == id).count();
        let flying = singles + batches;
        if endpoint.is_pull() {
            assert!(flying <= MOST_CONSUMED, "{flying} are lent");
        } else {
            assert!(flying <= endpoint.concurrency as usize, "{flying} in flight, {} allowed", endpoint.concurrency);
        }
        if endpoint.order == Order::Strict {
            let others = self.checker.in_flight.keys().filter(|d| d.endpoint == id);
            let told: String = others.map(|other| story(core.store, *other)).collect();
            assert_eq!(flying, 1, "a strict endpoint gets one at a time: {members:?} {endpoint:?} {told}");
        }
        for delivery in members.iter().filter(|delivery| !self.checker.revived.contains(delivery)) {
            let Some(lane) = self.checker.lane_of.get(delivery) else { continue };
            let waiting = &self.checker.lanes[&(id, lane.clone())];
            let before = waiting.range(..delivery.seq).map(|seq| DeliveryId { seq: *seq, endpoint: id });
            let overtaken: Vec<DeliveryId> = before.filter(|other| !members.contains(other)).collect();
            assert!(
                overtaken.is_empty(),
                "{delivery} overtakes {overtaken:?} in lane {lane} of {:?} {:?}: {}",
                endpoint.order,
                endpoint.batch,
                overtaken
                    .iter()
                    .take(2)
                    .map(|other| {
                        let lane = &core.queue.state().lanes[&other.endpoint];
                        format!(
                            "{other} {:?} revived {} taken up {} {}",
                            lane.state_of(other.seq),
                            lane.revived.contains(other.seq),
                            lane.taken_up(other.seq),
                            story(core.store, *other)
                        )
                    })
                    .collect::<String>()
                    + &format!("\nFLOW {:?}", core.queue.stuck())
            );
        }
        if let Some(rate) = endpoint.rate {
            let started = self.checker.started.entry(id).or_default();
            started.push(self.now.mono_ms);
            let burst = endpoint.burst.unwrap_or(1);
            for (at, from) in started.iter().enumerate() {
                let count = (started.len() - at) as f64;
                let allowed = f64::from(burst)
                    + (self.now.mono_ms - from + READ_MS) as f64 * f64::from(rate.count) / rate.per_ms as f64;
                assert!(count <= allowed + 0.01, "{count} attempts in {} ms", self.now.mono_ms - from);
            }
        }
    }

    /// Attempts whose report has gone into the queue are not in flight any more.
    fn land(&mut self) {
        let reported: BTreeSet<DeliveryId> = self
            .agenda
            .values()
            .filter_map(|input| if let Input::Finished { delivery, .. } = input { Some(*delivery) } else { None })
            .collect();
        self.checker.in_flight.retain(|delivery, _| reported.contains(delivery));
        let batches: BTreeSet<BatchId> = self
            .agenda
            .values()
            .filter_map(|input| if let Input::BatchFinished { batch, .. } = input { Some(*batch) } else { None })
            .collect();
        self.checker.batches_in_flight.retain(|batch, _| batches.contains(batch));
    }

    fn behave(&mut self, endpoint: &Endpoint, events: &[Arc<Event>]) -> Answer {
        if self.now.mono_ms < self.uplink_away_until && endpoint.url.contains(".example") {
            // It finds nobody on the way, or nothing comes on a connection from before.
            let fault = Some(if self.rng.random_bool(0.7) { Fault::Unreachable } else { Fault::Unclear });
            let outcome = Outcome::Retryable { after_ms: None };
            return Answer { outcome, status: None, failed: Vec::new(), within_ms: 1000, fault };
        }
        let temper = self.tempers.get(&endpoint.id).copied().unwrap_or(Temper::Good);
        let poisoned = events.iter().any(|event| event.body.windows(6).any(|w| w == b"poison"));
        let rng = &mut self.rng;
        let retry = |after_ms| Outcome::Retryable { after_ms };
        let (outcome, status, within_ms) = match temper {
            Temper::Good => (Outcome::Delivered, 200, rng.random_range(1..50)),
            Temper::Slow => (Outcome::Delivered, 200, rng.random_range(1000..15_000)),
            Temper::Flaky if rng.random_bool(0.5) => (Outcome::Delivered, 200, rng.random_range(1..500)),
            Temper::Flaky => (retry(None), 500, rng.random_range(1..500)),
            Temper::Dead => (retry(None), 503, 15_000),
            Temper::Gone if rng.random_bool(0.05) => (Outcome::Gone, 410, 10),
            Temper::AsksForTime if rng.random_bool(0.5) => {
                (retry(Some(rng.random_range(0..100_000))), if rng.random_bool(0.5) { 429 } else { 500 }, 10)
            }
            Temper::Refuses if rng.random_bool(0.3) => (Outcome::Refused, 0, 10),
            Temper::Small if events.len() > 3 => (retry(None), 413, 10),
            Temper::Picky if poisoned => (retry(None), 422, 10),
            Temper::Steers if rng.random_bool(0.02) => (Outcome::Hold, 503, 10),
            Temper::Steers if rng.random_bool(0.1) => (Outcome::Drop, 400, 10),
            _ => (Outcome::Delivered, 200, rng.random_range(1..20)),
        };
        let partly = outcome == Outcome::Delivered && matches!(temper, Temper::Partial);
        let failed = events.iter().filter(|_| partly && rng.random_bool(0.2)).map(|event| event.id).collect();
        Answer { outcome, status: (status > 0).then_some(status), failed, within_ms, fault: None }
    }

    fn is_at_rest(&self, core: &Core<&mut Disk>) -> bool {
        let status = core.queue.status(self.now);
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
        story(&self.disk, delivery)
    }

    /// At rest: every delivery of every event has ended, and those that are called delivered were answered 2xx.
    fn check_ends(&mut self) {
        let state = self.disk.fold();
        let forgotten = self.checker.owed.first();
        if let Some(delivery) = forgotten {
            panic!("{delivery} never ended, and nobody speaks of it any more: {}", self.story(*delivery));
        }
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

fn story(disk: &Disk, delivery: DeliveryId) -> String {
    let told = disk.forward(1).filter(|(_, record)| speaks_of(record, delivery));
    told.map(|(at, record)| format!("\n  {at}: {:.600}", format!("{record:?}"))).collect()
}

pub fn event_at(disk: &Disk, seq: Seq) -> Option<Arc<Event>> {
    match disk.read(seq)? {
        Record::EventAccepted { event, .. } | Record::EventCarried { event, .. } => Some(event),
        _ => None,
    }
}

/// A segment is read in slices of a few records, so that much happens between them.
struct Slices<'a> {
    disk: &'a Disk,
    most: u64,
}

impl Records for Slices<'_> {
    type Error = std::convert::Infallible;

    fn read(&self, seq: Seq) -> Result<Option<Record>, Self::Error> {
        Ok(self.disk.read(seq))
    }

    fn slice(&self, from: Seq, last: Seq) -> Result<(Carriage, Seq), Self::Error> {
        slice(self.disk.forward(from).map(Ok), (from, last.min(from + self.most)))
    }
}

/// Whether a record concerns a delivery, for messages.
fn speaks_of(record: &Record, delivery: DeliveryId) -> bool {
    match record {
        Record::EventAccepted { event, .. } => event.id.seq == delivery.seq,
        Record::Superseded { endpoint, deliveries, .. } => {
            *endpoint == delivery.endpoint && deliveries.contains(&delivery.seq)
        }
        Record::BatchFormed { endpoint, members, .. } => {
            *endpoint == delivery.endpoint && members.iter().any(|member| member.delivery == delivery.seq)
        }
        Record::Died { dead } => dead.delivery == delivery,
        Record::DeliveryCancelled { delivery: other, .. } | Record::DeliveryRetried { delivery: other, .. } => {
            *other == delivery
        }
        Record::DeliveriesCarried { waiting } => waiting.iter().any(|carried| carried.delivery == delivery),
        Record::PlaceCarried { waiting } => waiting.delivery == delivery,
        record => record.attempts().any(|attempt| attempt.delivery == delivery),
    }
}
