//! The backlog that a start finds: it keeps to its endpoint's pace and to the one that all share,
//! each has its turn at that, and where the newest go first they do so over a restart, too.
//!
//! Looked at are deliveries that had not been attempted when the process began, or were due for a
//! retry then: whatever else waits may go when there is nothing left to catch up with.

use std::collections::{BTreeMap, BTreeSet};

use hookbox::model::{
    CatchUpMode, DeliveryId, Endpoint, EndpointId, Now, Order, Rate, Seq, limits,
};
use hookbox::queue::State;

use crate::sim::restraint::Restraints;

/// So many tokens a witness may be behind, and so long may it take until all stand in line.
const TURNS_LATE: u64 = 3;
const LINED_UP_MS: u64 = 1_000;

/// One endpoint's.
#[derive(Debug)]
struct Found {
    fresh: BTreeSet<Seq>,
    /// What waited for a retry and was due.
    due: BTreeSet<Seq>,
    made: u64,
    /// Attempts of anything that was there at the start: retention has moved some of it before.
    turns: u64,
    pace: Option<Pace>,
    /// When these were attempted first, where the newest go first.
    newest_first: Option<Vec<(u64, Seq)>>,
    is_witness: bool,
}

/// A rate, and whether a token was used before the start.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rate: Rate,
    is_used: bool,
}

impl Pace {
    fn new(rate: Rate, is_used: bool) -> Self {
        Self { rate, is_used }
    }

    fn step_us(self) -> u64 {
        (self.rate.per_ms * 1000 / u64::from(self.rate.count)).max(1)
    }

    /// How many may be made within so long after the start. After a token that was used the next
    /// one comes a step later; where steps are long, the time until then is remembered.
    fn most(self, ms: u64) -> u64 {
        let is_slow = self.step_us() >= limits::SLOW_RATE_STEP_MS * 1000;
        u64::from(!self.is_used || is_slow) + ms * 1000 / self.step_us()
    }
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    found: BTreeMap<EndpointId, Found>,
    /// The pace that all share.
    pub shared: Option<Rate>,
    pace: Option<Pace>,
    made: u64,
    /// What is accepted from here on has come in since the start.
    next_seq: Seq,
    /// The most endpoints that there were at a time: those that are deleted had their turns.
    most_living: usize,
    /// Something kept all of them back for a while.
    is_excused: bool,
    read_ms: u64,
}

impl Backlog {
    pub fn new(shared: Option<Rate>, read_ms: u64) -> Self {
        Self { shared, read_ms, ..Self::default() }
    }

    /// What a start has found.
    pub fn begin_life(&mut self, state: &State, wall_ms: u64, restraints: &Restraints) {
        let used = |at: Option<u64>| at.is_some_and(|at| at > 0);
        let last_at = state.living().map(|endpoint| endpoint.last_attempt_at).max();
        self.pace = self.shared.map(|rate| Pace::new(rate, used(last_at)));
        (self.made, self.is_excused, self.next_seq) = (0, false, state.next_seq);
        self.most_living = state.living().count();
        self.found.clear();

        let ready = state.living().filter(|endpoint| {
            let settings = &endpoint.settings;
            endpoint.hold.is_none() && !settings.is_leased() && settings.batch.is_none()
        });
        for endpoint in ready {
            let settings = &endpoint.settings;
            let waiting = restraints.waiting(settings.id).map(|delivery| delivery.seq);
            let fresh = waiting.filter(|seq| !endpoint.retrying.contains_key(seq)).collect();
            // What the operator asked for goes before everything else.
            let was_due = endpoint.retrying.iter().filter(|(_, waiting)| {
                let is_over = waiting.due_at <= wall_ms || waiting.delay_ms == 0;
                is_over && waiting.batch.is_none() && !waiting.asked
            });
            let due = was_due.map(|(seq, _)| *seq).collect();
            let is_used = used(Some(endpoint.last_attempt_at));
            let newest_first =
                settings.order == Order::None && settings.catch_up.mode == CatchUpMode::Newest;
            let found = Found {
                fresh,
                due,
                made: 0,
                turns: 0,
                pace: settings.catch_up.rate.map(|rate| Pace::new(rate, is_used)),
                newest_first: newest_first.then(Vec::new),
                is_witness: super::witness::is_one(settings),
            };
            self.found.insert(settings.id, found);
        }
    }

    /// Its settings have changed: what goes first may be another one.
    pub fn settings_changed(&mut self, endpoint: EndpointId) {
        if let Some(found) = self.found.get_mut(&endpoint) {
            found.newest_first = None;
        }
    }

    /// The operator asked for one that waits for a retry: it goes before everything else.
    pub fn urged(&mut self, delivery: DeliveryId) {
        if let Some(found) = self.found.get_mut(&delivery.endpoint) {
            found.due.remove(&delivery.seq);
        }
    }

    /// Retention has moved one: it comes in at the end.
    pub fn moved(&mut self, delivery: DeliveryId) {
        if let Some(found) = self.found.get_mut(&delivery.endpoint) {
            found.fresh.remove(&delivery.seq);
        }
    }

    pub fn attempt(&mut self, now: Now, endpoint: &Endpoint, delivery: DeliveryId) {
        let Some(found) = self.found.get_mut(&delivery.endpoint) else { return };
        found.turns += u64::from(delivery.seq < self.next_seq);
        if !found.fresh.remove(&delivery.seq) && !found.due.remove(&delivery.seq) {
            return;
        }
        found.made += 1;
        self.made += 1;
        let ms = now.mono_ms;

        let paces = [(found.pace, found.made, "its own"), (self.pace, self.made, "the shared")];
        for (pace, made, whose) in paces {
            let most = pace.map_or(u64::MAX, |pace| pace.most(ms));
            assert!(
                made <= most,
                "{made} of the backlog that the start found within {ms} ms: {whose} pace {pace:?} \
                 allows {most}: {endpoint:?}"
            );
        }

        if let Some(first) = &mut found.newest_first {
            let older =
                first.iter().find(|(at, seq)| *seq < delivery.seq && at + self.read_ms < ms);
            assert!(
                older.is_none(),
                "{delivery}, a newer one of its backlog, goes after {older:?}: {endpoint:?}"
            );
            first.push((ms, delivery.seq));
        }
    }

    /// Whoever could go at any time has as many turns at the shared pace as the others. `living`:
    /// how many endpoints there are.
    pub fn tick(&mut self, now: Now, living: usize, stuck: impl Fn() -> Vec<String>) {
        self.most_living = self.most_living.max(living);
        let living = self.most_living;
        let Some(pace) = self.pace.filter(|_| !self.is_excused) else { return };
        let tokens = now.mono_ms.saturating_sub(LINED_UP_MS) * 1000 / pace.step_us();
        for found in self.found.values().filter(|found| found.is_witness) {
            let turns = (tokens / living.max(1) as u64).saturating_sub(TURNS_LATE);
            assert!(
                found.fresh.is_empty() || found.turns >= turns,
                "a witness has had {} tokens of the shared pace {pace:?} within {} ms, beside \
                 {living} endpoints, and {} wait: {:?}",
                found.turns,
                now.mono_ms,
                found.fresh.len(),
                stuck()
            );
        }
    }

    /// The wall clock could not be believed: who is late by it has not lost a turn.
    pub fn excuse(&mut self) {
        self.is_excused = true;
    }
}
