//! The world around the queue: a clock, receivers, an operator, and the checker that watches them.

mod attempts;
mod checker;
mod ends;
mod lanes;
mod operator;
mod receivers;
mod release;
mod settings;
mod totals;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use hookbox::model::{Now, Seq, Source};
use hookbox::queue::{
    CreateEndpoint, CreateSource, Input, Queue, ReadOrder, ReleaseEndpoint, Revive,
};
use hookbox::record::Record;
use hookbox::scheduler::{Core, Envelope, Retiring, Store, read};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::requests::{Sent, answer};
use super::restraint::Restraints;
use super::store::{Disk, Fate};
use checker::Checker;
use receivers::{TEMPERS, Temper};
pub use totals::Totals;

/// An attempt may leave so much later than it was decided on, because its event is read first.
const READ_MS: u64 = 30;
/// The same in a world with slow reads.
const SLOW_READ_MS: u64 = 500;
/// What the consumers of a pull endpoint hold and wait for at most.
const MOST_CONSUMED: usize = 10;
const SAFETY_STEPS: usize = 300;
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
    let mut world = World {
        rng,
        now: start,
        disk: Disk::new(roll_at),
        tempers: BTreeMap::new(),
        agenda: BTreeMap::new(),
        agenda_next: 0,
        read_ms,
        faults: true,
        uplink_away_until: 0,
        checker: Checker::default(),
        totals: Totals::default(),
        retiring: None,
        dead_letter: None,
        restraints: Restraints::new(read_ms),
        trace: DefaultHasher::new(),
    };

    world.first_life();
    while !world.life() {}
    world.totals.too_old = world.restraints.too_old;
    world.totals.paused_over_crashes = world.restraints.paused_over_crashes;
    world.totals.trace = world.trace.finish();
    world.totals.clone()
}

impl World {
    /// The log begins, with sources and endpoints.
    fn first_life(&mut self) {
        let mut queue = Queue::new(self.disk.fold(), self.rng.random(), self.now);
        let begun = queue.begin(self.now, "sim");
        let mut core = Core { queue, store: &mut self.disk };
        core.store.commit(&begun.records).expect("the first commit");

        let mut envelopes = Vec::new();
        let (mut sources, mut endpoints) = (Vec::new(), Vec::new());
        for name in ["a", "b"] {
            let create = CreateSource(Box::new(Source::new(name, "none")));
            let (envelope, made) = Envelope::ask(create, None);
            envelopes.push(envelope);
            sources.push(made);
        }
        let count = self.rng.random_range(1..6u32);
        for n in 1..=count {
            self.tempers.insert(n, TEMPERS[self.rng.random_range(0..TEMPERS.len())]);
            let create = CreateEndpoint(Box::new(settings::endpoint(&mut self.rng, n)));
            let (envelope, made) = Envelope::ask(create, None);
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
            answer(made).expect("an endpoint");
        }
    }

    /// One life of the process, from start to crash. Returns whether the world came to rest.
    fn life(&mut self) -> bool {
        let mut disk = self.begin_life();
        let queue = Queue::new(disk.fold(), self.rng.random(), self.now);
        let mut core = Core { queue, store: &mut disk };
        self.restraints.begin_life(core.queue.state(), self.now.wall_ms);
        // What was durable when the process died, and nobody knew of.
        let unheard: Vec<(Seq, Record)> = core.store.forward(self.checker.seen + 1).collect();
        for (seq, record) in unheard {
            self.follow_lanes(&core, seq, &record);
        }

        let end = self.steps(&mut core);

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
            if self.faults && self.rng.random_bool(0.005) {
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
            if step % 5 == 0 {
                self.restraints.tick(&core.queue, self.now);
            }
            if step % 37 == 0 {
                let refolded = core.store.fold();
                assert_eq!(&refolded, core.queue.state(), "refolding gives another state");
                core.queue.assert_counts();
                self.check_dead_letters(core);
                assert_eq!(core.queue.state().counts.lost, 0, "the log has every event");
            }
        }
        LifeEnd::OutOfSteps
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
            requests.push(Sent::report(entry.remove().input(core)));
        }

        if self.faults && self.rng.random_bool(0.01) {
            self.now.wall_ms = self.jumped_wall();
        }

        if self.faults {
            for _ in 0..self.rng.random_range(0..4) {
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

impl Planned {
    fn input(self, core: &Core<&mut Disk>) -> Input {
        match self {
            Self::Report(input) => input,
            Self::Read(order) => read(order, &*core.store),
        }
    }
}
