//! Endpoints that always take what they get, with ordinary settings, which no operator touches:
//! whatever becomes of the others, nothing keeps theirs. In some worlds they stand beside a crowd
//! of endpoints that hang, from before a start or when they are made.

use std::collections::BTreeMap;

use hookbox::model::{DeliveryId, Endpoint, Now};
use hookbox::queue::State;
use hookbox::record::Record;
use rand::Rng;
use rand::rngs::StdRng;

use crate::sim::restraint::Restraints;

/// How long a delivery to one waits at most: many may come at a time.
const LATE_MS: u64 = 5_000;
/// The name of a crowd's source, and how their names and those of witnesses begin.
pub(super) const CROWD: &str = "crowd";
const WITNESS: &str = "good";

/// A witness, on this machine, so that it needs no link.
pub(super) fn endpoint(n: u32) -> Endpoint {
    Endpoint::new(format!("{WITNESS}{n}"), format!("http://127.0.0.1:{n}/"))
}

/// Sometimes many that hang, whatever they get of a source of their own.
pub(super) fn crowd(rng: &mut StdRng) -> Vec<Endpoint> {
    let count = if rng.random_bool(0.05) { rng.random_range(130..200) } else { 0 };
    let hangs = |n| Endpoint {
        from: vec![CROWD.to_owned()],
        ..Endpoint::new(format!("{CROWD}{n}"), format!("http://hangs{n}.example/"))
    };
    (0..count).map(hangs).collect()
}

pub(super) fn is_one(endpoint: &Endpoint) -> bool {
    endpoint.name.starts_with(WITNESS)
}

pub(super) fn is_of_crowd(endpoint: &Endpoint) -> bool {
    endpoint.name.starts_with(CROWD)
}

/// What waits at witnesses.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// Since when, in this life.
    waiting: BTreeMap<DeliveryId, u64>,
    pub seen: u64,
}

impl Witnesses {
    pub fn begin_life(&mut self, state: &State, restraints: &Restraints) {
        let witnesses = state.living().filter(|endpoint| is_one(&endpoint.settings));
        let waiting = witnesses.flat_map(|endpoint| restraints.waiting(endpoint.settings.id));
        self.waiting = waiting.map(|delivery| (delivery, 0)).collect();
    }

    pub fn record(&mut self, state: &State, now: Now, seq: u64, record: &Record) {
        let endpoints = match record {
            Record::EventAccepted { fan_out, .. } => fan_out.as_slice(),
            Record::Replayed { endpoint, .. } => std::slice::from_ref(endpoint),
            _ => return,
        };
        for endpoint in endpoints {
            let found = state.endpoints.get(endpoint);
            if found.is_some_and(|endpoint| is_one(&endpoint.settings)) {
                self.waiting.insert(DeliveryId { seq, endpoint: *endpoint }, now.mono_ms);
            }
        }
    }

    pub fn attempt(&mut self, delivery: DeliveryId) {
        self.seen += u64::from(self.waiting.remove(&delivery).is_some());
    }

    /// What they wait for is nobody's fault: a clock that can be believed.
    pub fn excuse(&mut self, now: Now) {
        self.waiting.values_mut().for_each(|since| *since = now.mono_ms);
    }

    pub fn tick(&self, now: Now, stuck: impl Fn() -> Vec<String>) {
        for (delivery, since) in &self.waiting {
            let waited = now.mono_ms - since;
            assert!(
                waited <= LATE_MS,
                "{delivery} has waited for {waited} ms although nothing keeps it: {:?}",
                stuck()
            );
        }
    }
}
