//! What comes in, and what the operator and retention do.

use std::sync::Arc;

use bytes::Bytes;
use hookbox::model::{DeliveryId, Endpoint, Seq, Source};
use hookbox::queue::{
    AliveQuery, CancelDeliveries, CreateEndpoint, DeleteEndpoint, DiscardDeadLetters, HoldEndpoint,
    Input, NewEvent, ReleaseEndpoint, RelocationSlice, RetryDeliveries, Revive, StartReplay,
    UpdateEndpoint,
};
use hookbox::record::{DeadLetter, Record, ReplayFilter};
use hookbox::scheduler::{Core, Records, Retiring, slice};
use rand::Rng;

use super::{MOST_CONSUMED, World, witness};
use crate::sim::requests::{Sent, matched};
use crate::sim::store::Disk;

/// The operator makes no more endpoints that are looked at than so many.
const MOST_WITNESSES: usize = 2;

impl World {
    /// Consumers come and go.
    pub(super) fn consumers(&mut self, core: &Core<&mut Disk>) -> Vec<Sent> {
        let pulls = core
            .queue
            .state()
            .living()
            .filter(|endpoint| endpoint.settings.is_leased())
            .map(|endpoint| endpoint.settings.id);
        let pulls: Vec<u32> = pulls.collect();
        let mut inputs = Vec::new();
        for endpoint in pulls {
            let total =
                if self.faults { self.rng.random_range(0..=MOST_CONSUMED) } else { MOST_CONSUMED };
            if self.rng.random_bool(0.2) {
                inputs.push(Sent::report(Input::Wanted { endpoint, total }));
            }
        }
        inputs
    }

    pub(super) fn new_event(&mut self, core: &Core<&mut Disk>) -> Sent {
        let sources: Vec<Arc<Source>> = core.queue.state().sources.values().cloned().collect();
        // A crowd gets little, and hangs on it.
        let most = sources.len() - usize::from(!self.rng.random_bool(0.05));
        let source = sources[self.rng.random_range(0..most)].clone();
        let dedupe = self.rng.random_bool(0.5).then(|| self.rng.random_range(0..200));
        let size = match self.rng.random_range(0..1_000) {
            0..3 => 200_000,
            3..20 => 25_000,
            _ => self.rng.random_range(0..300),
        };

        let event = NewEvent {
            source,
            kind: "sim.event".to_owned(),
            dedupe_key: dedupe.map(|key: u64| key.to_string()),
            dedupe,
            beside: Default::default(),
            request_line: "POST /in/a".to_owned(),
            remote: "sim".to_owned(),
            headers: Vec::new(),
            body: self.body(size),
        };
        Sent::accept(matched(&core.queue, event))
    }

    /// JSON with a key, most of the time; some of it poisoned.
    pub(super) fn body(&mut self, size: usize) -> Bytes {
        let key = self.rng.random_range(0..6);
        let poison = if self.rng.random_bool(0.02) { "poison" } else { "fine" };
        let padding = "x".repeat(size);
        match self.rng.random_range(0..10) {
            0 => Bytes::from(padding),
            _ => Bytes::from(format!("{{\"k\":{key},\"is\":\"{poison}\",\"pad\":\"{padding}\"}}")),
        }
    }

    /// The operator does something.
    pub(super) fn meddle(&mut self, core: &Core<&mut Disk>) -> Option<Sent> {
        let state = core.queue.state();
        // Nobody touches those that are looked at, and those that hang.
        let by_chance =
            |settings: &Endpoint| !witness::is_one(settings) && !witness::is_of_crowd(settings);
        let endpoints = state.endpoints.values().map(|endpoint| &endpoint.settings);
        let endpoints: Vec<u32> =
            endpoints.filter(|settings| by_chance(settings)).map(|settings| settings.id).collect();
        let id = *endpoints.get(self.rng.random_range(0..endpoints.len().max(1)))?;
        let endpoint = &state.endpoints[&id];
        let name = endpoint.settings.name.clone();

        let some_seq = self.rng.random_range(1..state.next_seq);

        Some(match self.rng.random_range(0..35) {
            34 if state.endpoints.len() - endpoints.len() < self.crowd + MOST_WITNESSES => {
                let n = u32::try_from(state.endpoints.len()).expect("few") + 1;
                Sent::command(CreateEndpoint(Box::new(witness::endpoint(n))))
            }
            32 if endpoints.len() > 1 => Sent::command(DeleteEndpoint { name }),
            33 => Sent::command(UpdateEndpoint(Box::new(self.resettled(&endpoint.settings)))),
            n if n % 8 == 0 => Sent::command(HoldEndpoint { name }),
            n if n % 8 < 3 => Sent::command(ReleaseEndpoint { name }),
            n if n % 8 == 3 => {
                let key = self.known_delivery(core, some_seq, id)?;
                Sent::command(CancelDeliveries { deliveries: vec![key] })
            }
            n if n % 8 == 4 => {
                let revive = self.some_dead_letter(core)?;
                Sent::command(RetryDeliveries { deliveries: vec![revive] })
            }
            n if n % 8 == 5 => {
                let revive = self.some_dead_letter(core)?;
                Sent::command(DiscardDeadLetters { deliveries: vec![revive] })
            }
            n if n % 8 == 6 => {
                let to = self.rng.random_bool(0.5).then_some(name);
                self.totals.replays += 1;
                Sent::command(StartReplay {
                    filter: ReplayFilter { to, ..ReplayFilter::default() },
                    rate: self.rng.random_bool(0.5).then_some(50),
                    next: some_seq,
                    end: (some_seq + 30).min(core.store.last()),
                    member: None,
                })
            }
            _ => return self.retire(core),
        })
    }

    /// A delivery of endpoint `id` that the log knows, near `seq`.
    pub(super) fn known_delivery(
        &self,
        core: &Core<&mut Disk>,
        seq: Seq,
        id: u32,
    ) -> Option<DeliveryId> {
        core.store.forward(seq).take(50).find_map(|(seq, record)| match record {
            Record::EventAccepted { fan_out, .. } if fan_out.contains(&id) => {
                Some(DeliveryId { seq, endpoint: id })
            }
            _ => None,
        })
    }

    /// A dead letter that was read just now, or a while ago.
    fn some_dead_letter(&mut self, core: &Core<&mut Disk>) -> Option<Revive> {
        let read_now = self.read_dead_letter(core);
        let read_before = std::mem::replace(&mut self.dead_letter, read_now);
        read_before.filter(|_| self.rng.random_bool(0.5)).or(read_now)
    }

    fn read_dead_letter(&mut self, core: &Core<&mut Disk>) -> Option<Revive> {
        let dead_letter_seqs = &core.queue.state().dead_letter_seqs;
        if dead_letter_seqs.is_empty() {
            return None;
        }
        let dead_letter_seq =
            dead_letter_seqs.select(self.rng.random_range(0..dead_letter_seqs.len()))?;
        let dead = core.store.read(dead_letter_seq)?.dead_letter(dead_letter_seq)?;
        let DeadLetter { delivery, event, attempts, last, .. } = dead;
        Some(Revive { delivery, event, attempts, last, dead_letter_seq: Some(dead_letter_seq) })
    }

    /// Retention takes its next step with the oldest segment, as the real one does it.
    pub(super) fn retire(&mut self, core: &Core<&mut Disk>) -> Option<Sent> {
        let (first, last) = core.store.oldest_sealed()?;
        let mut retiring = match self.retiring.take().filter(|retiring| retiring.first == first) {
            Some(retiring) => retiring,
            None => Retiring::new(first, last, [0; 32]),
        };
        if retiring.is_to_be_asked() {
            retiring.see(core.queue.ask(self.now, &AliveQuery { first, last })?);
        }
        let records = Slices { disk: core.store, most: self.rng.random_range(1..60) };
        let rng = &mut self.rng;
        let mut keep = |dead| rng.random_bool(0.7).then_some(dead);
        let step = retiring.next_step(&records, &mut keep).expect("everything can be read");
        self.retiring = Some(retiring);
        step.map(Sent::retire)
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

    fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), Self::Error> {
        slice(self.disk.forward(from).map(Ok), (from, last.min(from + self.most)))
    }
}
