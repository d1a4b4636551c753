//! The world around the queue: a clock, receivers, an operator, and the checker that watches them.

mod attempts;
mod backlog;
mod checker;
mod ends;
mod lanes;
mod listed;
mod operator;
mod partial;
mod policy;
mod receivers;
mod release;
mod settings;
mod totals;
mod witness;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use hookbox::model::{Endpoint, Now, Seq, Source};
use hookbox::queue::{
    CreateEndpoint, CreateSource, DeleteEndpoint, Input, Queue, ReadOrder, ReleaseEndpoint, Revive,
};
use hookbox::record::Record;
use hookbox::scheduler::{Core, Envelope, Retiring, Store, read, read_streams};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::requests::{Sent, answer};
use super::restraint::Restraints;
use super::store::{Disk, Fate};
use backlog::Backlog;
use checker::Checker;
use receivers::{TEMPERS, Temper};
pub use totals::Totals;
use witness::Witnesses;

/// An attempt may leave so much later than it was decided on, because its event is read first.
const READ_MS: u64 = 30;
/// The same in a world with slow reads.
const SLOW_READ_MS: u64 = 500;
/// What the consumers of a pull endpoint hold and wait for at most.
const MOST_CONSUMED: usize = 10;
/// The records of a segment where there are many endpoints.
const CROWDED_ROLL_AT: usize = 2_000;
const SAFETY_STEPS: usize = 500;
/// How often something comes in, in a life.
const BUSY: [f64; 4] = [1.0, 1.0, 0.3, 0.05];
const LIVENESS_STEPS: usize = 60_000;

/// How a life ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LifeEnd {
    AtRest,
    Crashed,
    OutOfSteps,
}

struct World {
    rng: StdRng,
    now: Now,
    disk: Disk,
    tempers: BTreeMap<u32, Temper>,
    /// What will be reported to the queue, by time; the number keeps the order of equal times.
    agenda: BTreeMap<(u64, u64), Planned>,
    agenda_next: u64,
    /// How long reads of the log take at most. Where they are slow, retention drops segments
    /// meanwhile.
    read_ms: u64,
    /// How often something comes in: where that is rare, more time passes between two steps.
    busy: f64,
    /// How many endpoints hang together.
    crowd: usize,
    faults: bool,
    /// The uplink is away until then, by the monotonic clock.
    uplink_away_until: u64,
    checker: Checker,
    totals: Totals,
    /// The segment that retention is at.
    retiring: Option<Retiring>,
    /// A dead letter that the operator read in the log before.
    dead_letter: Option<Revive>,
    restraints: Restraints,
    backlog: Backlog,
    witnesses: Witnesses,
    /// Signed deliveries waited for a clock that can be believed, after the last step.
    waited_for_clock: bool,
    /// Of what was decided, and when.
    trace: DefaultHasher,
}

/// Runs one seed.
pub fn run(seed: u64) -> Totals {
    let mut rng = StdRng::seed_from_u64(seed);
    let roll_at = rng.random_range(20..200);
    // While the clock cannot be believed nothing signed goes out, so most worlds begin with a sane
    // one.
    let wall = if rng.random_bool(0.8) {
        1_800_000_000_000..1_900_000_000_000
    } else {
        0..2_000_000_000_000
    };

    let read_ms = if rng.random_bool(0.2) { SLOW_READ_MS } else { READ_MS };
    let start = Now { mono_ms: 0, wall_ms: rng.random_range(wall) };
    let shared_pace = rng.random_bool(0.25).then(|| settings::rate(&mut rng));
    let mut world = World {
        rng,
        now: start,
        disk: Disk::new(roll_at),
        tempers: BTreeMap::new(),
        agenda: BTreeMap::new(),
        agenda_next: 0,
        read_ms,
        busy: 1.0,
        crowd: 0,
        faults: true,
        uplink_away_until: 0,
        checker: Checker::default(),
        totals: Totals::default(),
        retiring: None,
        dead_letter: None,
        restraints: Restraints::new(read_ms),
        backlog: Backlog::new(shared_pace, read_ms),
        witnesses: Witnesses::default(),
        waited_for_clock: false,
        trace: DefaultHasher::new(),
    };

    world.first_life();
    while !world.life() {}
    world.totals.too_old = world.restraints.too_old;
    world.totals.paused_over_crashes = world.restraints.paused_over_crashes;
    world.totals.witnessed = world.witnesses.seen;
    world.totals.trace = world.trace.finish();
    world.totals.clone()
}

impl World {
    /// The log begins, with sources and endpoints.
    fn first_life(&mut self) {
        let first = self.first_endpoints();
        self.crowd = first.iter().filter(|endpoint| witness::is_of_crowd(endpoint)).count();
        if self.crowd > 0 {
            // Each segment begins with all of them.
            self.disk = Disk::new(CROWDED_ROLL_AT);
        }
        let mut queue = Queue::new(self.disk.fold(), self.rng.random(), self.now);
        queue.set_pace(self.backlog.shared);
        let begun = queue.begin(self.now, "sim");
        let mut core = Core { queue, store: &mut self.disk };
        core.store.commit(&begun.records).expect("the first commit");

        let mut envelopes = Vec::new();
        let (mut sources, mut endpoints) = (Vec::new(), Vec::new());
        for name in ["a", "b", witness::CROWD] {
            let create = CreateSource(Box::new(Source::new(name, "none")));
            let (envelope, made) = Envelope::ask(create, None);
            envelopes.push(envelope);
            sources.push(made);
        }
        for endpoint in first {
            let (envelope, made) = Envelope::ask(CreateEndpoint(Box::new(endpoint)), None);
            envelopes.push(envelope);
            endpoints.push(made);
        }

        let mut released = core.step(self.now, envelopes, true).expect("nothing fails yet");
        released.send_answers();
        core.roll_when_due(self.now.wall_ms).expect("only commits fail");
        for made in sources {
            answer(made).expect("a source");
        }
        for made in endpoints {
            let made = answer(made).expect("an endpoint");
            self.checker.set_concurrency(made.id, made.concurrency, 0);
        }
    }

    /// Some with settings and tempers drawn at random, a witness, and sometimes a crowd. Their ids
    /// are their numbers.
    fn first_endpoints(&mut self) -> Vec<Endpoint> {
        let (mut endpoints, count) = (Vec::new(), self.rng.random_range(1..6u32));
        for n in 1..=count {
            let endpoint = settings::endpoint(&mut self.rng, n);
            let is_partial = endpoint.batch.is_some() && self.rng.random_bool(0.2);
            let drawn = TEMPERS[self.rng.random_range(0..TEMPERS.len())];
            self.tempers.insert(n, if is_partial { Temper::Partial } else { drawn });
            endpoints.push(endpoint);
        }

        let hanging = witness::crowd(&mut self.rng);
        if !hanging.is_empty() || self.backlog.shared.is_some() || self.rng.random_bool(0.3) {
            endpoints.push(witness::endpoint(count + 1));
        }
        let next = u32::try_from(endpoints.len()).expect("few") + 1;
        for (id, hanging) in (next..).zip(hanging) {
            self.tempers.insert(id, Temper::Hangs);
            endpoints.push(hanging);
        }
        endpoints
    }

    /// One life of the process, from start to crash. Returns whether the world came to rest.
    fn life(&mut self) -> bool {
        let mut disk = self.begin_life();
        let mut queue = Queue::new(disk.fold(), self.rng.random(), self.now);
        // In the end there is no hurry, and no pace either.
        self.backlog.shared = self.backlog.shared.filter(|_| self.faults);
        queue.set_pace(self.backlog.shared);
        let mut core = Core { queue, store: &mut disk };
        self.restraints.begin_life(core.queue.state(), self.now.wall_ms);
        self.backlog.begin_life(core.queue.state(), self.now.wall_ms, &self.restraints);
        self.witnesses.begin_life(core.queue.state(), &self.restraints);
        for endpoint in core.queue.state().living() {
            let settings = &endpoint.settings;
            self.checker.set_concurrency(settings.id, settings.concurrency, 0);
        }
        // What was durable when the process died, and nobody knew of.
        let unheard: Vec<(Seq, Record)> = core.store.forward(self.checker.seen + 1).collect();
        for (seq, record) in unheard {
            self.follow_lanes(&core, seq, &record);
        }

        let end = self.steps(&mut core);
        self.totals.virtual_ms += if self.faults { self.now.mono_ms } else { 0 };

        let state = disk.fold();
        let unheard: Vec<_> = disk.forward(self.checker.seen + 1).collect();
        for (seq, record) in unheard {
            self.restraints.record(&state, self.now, seq, &record);
        }
        self.checker.read_news(&disk);
        self.disk = disk;
        self.check_durable();

        if end == LifeEnd::AtRest {
            self.check_ends();
            return true;
        }
        assert!(
            self.faults,
            "not everything ended within {LIVENESS_STEPS} steps without faults: {}",
            self.left_behind().unwrap_or_default()
        );
        self.totals.crashes += u64::from(end == LifeEnd::Crashed);
        if end == LifeEnd::OutOfSteps || self.totals.crashes >= 4 {
            self.faults = false;
            self.tempers.values_mut().for_each(|temper| *temper = Temper::Good);
        }
        false
    }

    /// Forgets what died with the last process, and takes the disk as it left it.
    fn begin_life(&mut self) -> Disk {
        let mut disk = std::mem::replace(&mut self.disk, Disk::new(1));
        disk.fate = Fate::Durable;
        disk.lose_pending();
        // The box may have been off for a while, and its wall clock may say anything.
        self.now = Now { mono_ms: 0, wall_ms: self.jumped_wall() };
        self.busy = BUSY[self.rng.random_range(0..BUSY.len())];
        self.agenda.clear();
        self.checker.in_flight.clear();
        self.checker.not_before.clear();
        self.retiring = None;
        self.checker.batches_in_flight.clear();
        self.checker.started.clear();
        self.checker.concurrency.clear();
        self.uplink_away_until = 0;

        // The process may have died between the commit that drops a segment and its removal.
        while let Some((first, last)) = disk.oldest_sealed()
            && last < disk.fold().first_seq
        {
            disk.drop_segment(first);
        }
        disk
    }

    /// Steps until the process dies, everything is at rest, or it was enough.
    fn steps(&mut self, core: &mut Core<&mut Disk>) -> LifeEnd {
        let steps = if self.faults { SAFETY_STEPS } else { LIVENESS_STEPS };
        for step in 0..steps {
            if !self.faults && self.is_at_rest(core) {
                return LifeEnd::AtRest;
            }

            let sent = self.next_requests(core);
            if self.faults && self.rng.random_bool(0.003) {
                core.store.fate =
                    if self.rng.random_bool(0.5) { Fate::DiesBefore } else { Fate::DiesAfter };
            }
            let (envelopes, watched) =
                sent.into_iter().map(|sent| (sent.envelope, sent.watched)).unzip();
            match core.step(self.now, envelopes, true) {
                Ok(released) => self.release(core, watched, released),
                Err(_died) => return LifeEnd::Crashed,
            }
            core.roll_when_due(self.now.wall_ms).expect("only commits fail");

            if !self.faults && step + 1 == LIVENESS_STEPS {
                println!("stuck at {:?}: {:#?}", self.now, core.queue.stuck());
            }
            self.excuse_what_waits_for_the_clock(core);
            if step % 5 == 0 {
                self.look_for_what_waits(core);
            }
            if step % 37 == 0 {
                let refolded = core.store.fold();
                assert_eq!(&refolded, core.queue.state(), "refolding gives another state");
                core.queue.assert_counts();
                self.check_dead_letters(core);
                self.check_candidates(core);
                assert_eq!(core.queue.state().counts.lost, 0, "the log has every event");
            }
        }
        LifeEnd::OutOfSteps
    }

    fn excuse_what_waits_for_the_clock(&mut self, core: &Core<&mut Disk>) {
        let waits = core.queue.waits_for_clock();
        if waits || self.waited_for_clock {
            self.backlog.excuse();
            self.witnesses.excuse(self.now);
        }
        self.waited_for_clock = waits;
    }

    /// Nothing waits for too long.
    fn look_for_what_waits(&mut self, core: &Core<&mut Disk>) {
        self.restraints.tick(&core.queue, self.now);

        // Behind a backlog that keeps to a pace everything waits.
        if self.backlog.shared.is_none() {
            self.witnesses.tick(self.now, || core.queue.stuck());
        }
        let living = core.queue.state().living().count();
        self.backlog.tick(self.now, living, || core.queue.stuck());
    }

    fn jumped_wall(&mut self) -> u64 {
        match self.rng.random_range(0..12) {
            0 => 0,
            1 => self.now.wall_ms.saturating_sub(self.rng.random_range(0..100_000_000_000)),
            2 => self.now.wall_ms + self.rng.random_range(0..1_000_000_000_000),
            _ => self.now.wall_ms + self.rng.random_range(0..10_000),
        }
    }

    /// Goes on to the next thing that happens, and says what it is.
    fn next_requests(&mut self, core: &Core<&mut Disk>) -> Vec<Sent> {
        let mut requests = Vec::new();
        let due = core.queue.next_wake(self.now);
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let idle = if self.faults { self.rng.random_range(0..2000) } else { 60_000 };
        let target =
            [due, next, Some(self.now.mono_ms + idle)].into_iter().flatten().min().unwrap_or(0);
        let target = target.max(self.now.mono_ms);
        self.now.wall_ms += target - self.now.mono_ms;
        self.now.mono_ms = target;

        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= target
            && requests.len() < 64
        {
            match entry.remove() {
                Planned::Report(input) => {
                    self.reported(&input);
                    requests.push(Sent::report(input));
                }
                Planned::Read(order) => {
                    requests.extend(self.read(order, &*core.store).into_iter().map(Sent::report));
                }
            }
        }

        if self.faults && self.rng.random_bool(0.01) {
            self.now.wall_ms = self.jumped_wall();
        }

        if self.faults {
            let events =
                if self.rng.random_bool(self.busy) { self.rng.random_range(0..4) } else { 0 };
            for _ in 0..events {
                requests.push(self.new_event(core));
            }
            if self.rng.random_bool(0.2) {
                requests.extend(self.meddle(core));
            }
            // Retention hears what became of a step before it takes the next one.
            let retires = requests.iter().any(Sent::is_retirement);
            if !retires && self.rng.random_bool(0.4) {
                requests.extend(self.retire(core));
            }
            if self.rng.random_bool(0.01) {
                self.uplink_away_until = self.now.mono_ms + self.rng.random_range(0..300_000);
            }
        } else {
            self.uplink_away_until = 0;
            let stuck = |endpoint: &&hookbox::queue::EndpointQueue| {
                endpoint.hold.is_some() || endpoint.retrying.values().any(|waiting| waiting.parked)
            };
            let held = core.queue.state().living().filter(stuck);
            let release = |name: &str| Sent::command(ReleaseEndpoint { name: name.to_owned() });
            requests.extend(held.map(|endpoint| release(&endpoint.settings.name)));
            let crowd = core.queue.state().living().map(|endpoint| &endpoint.settings);
            let crowd = crowd.filter(|settings| witness::is_of_crowd(settings)).take(20);
            let delete = |settings: &std::sync::Arc<Endpoint>| DeleteEndpoint {
                name: settings.name.clone(),
            };
            requests.extend(crowd.map(|settings| Sent::command(delete(settings))));
        }

        requests.extend(self.consumers(core));
        requests
    }

    fn plan(&mut self, within_ms: u64, input: Input) {
        let at = self.now.mono_ms + self.rng.random_range(0..=within_ms);
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), Planned::Report(input));
    }

    /// The log is read when others have had their turns: what is asked for may have gone elsewhere.
    fn plan_read(&mut self, within_ms: u64, order: ReadOrder) {
        let within_ms = match &order {
            ReadOrder::Batch { .. } if self.faults && self.read_ms > READ_MS => {
                self.read_ms - READ_MS
            }
            _ => within_ms,
        };
        let at = self.now.mono_ms + self.rng.random_range(0..=within_ms);
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), Planned::Read(order));
    }

    /// Streams that are to be read share one walk over the log, as in the daemon.
    fn read(&mut self, order: ReadOrder, log: &Disk) -> Vec<Input> {
        let first = match order {
            ReadOrder::Stream(first) if first.shares_walks() => first,
            other => return vec![read(other, log)],
        };

        let is_stream = |planned: &Planned| match planned {
            Planned::Read(ReadOrder::Stream(order)) => order.shares_walks(),
            _ => false,
        };
        let shared = self.agenda.extract_if(.., |_, planned| is_stream(planned));
        let others = shared.filter_map(|(_, planned)| match planned {
            Planned::Read(ReadOrder::Stream(order)) => Some(order),
            _ => None,
        });
        read_streams(std::iter::once(first).chain(others).collect(), log)
    }

    fn plan_at(&mut self, within_ms: u64, input: Input) {
        let at = self.now.mono_ms + within_ms;
        self.agenda_next += 1;
        self.agenda.insert((at, self.agenda_next), Planned::Report(input));
    }
}

/// What reaches the queue at a time.
enum Planned {
    Report(Input),
    /// What the log has then.
    Read(ReadOrder),
}
