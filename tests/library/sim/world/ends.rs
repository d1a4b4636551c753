//! How a run ends: everything durable, everything ended.

use std::collections::BTreeSet;

use hookbox::model::{DeliveryId, DeliveryState};
use hookbox::record::Record;
use hookbox::scheduler::Core;

use super::World;
use crate::sim::store::Disk;

impl World {
    pub(super) fn is_at_rest(&self, core: &Core<&mut Disk>) -> bool {
        let status = core.queue.status(self.now);
        status.pending == 0 && status.held == 0 && status.replays == 0
    }

    /// Everything that was answered 202 is in the log, or was dropped by retention after it had
    /// ended.
    pub(super) fn check_durable(&self) {
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
        let checkpointed =
            hookbox::queue::State::from_checkpoint(&state.checkpoint()).expect("reads back");
        assert_eq!(checkpointed, state, "a checkpoint gives another state");
    }

    /// Each dead letter is held by one record, and the state knows which records these are.
    pub(super) fn check_dead_letters(&self, core: &Core<&mut Disk>) {
        let state = core.queue.state();
        let all = state.endpoints.iter().flat_map(|(endpoint, lane)| {
            lane.dead.iter().map(|seq| DeliveryId { seq, endpoint: *endpoint })
        });
        let mut dead: BTreeSet<DeliveryId> = all.collect();

        for seq in state.dead_letter_seqs.iter() {
            let held = core.store.read(seq).and_then(|record| record.dead_letter(seq));
            let delivery = held.map(|letter| letter.delivery);
            let is_its_only = delivery.is_some_and(|delivery| dead.remove(&delivery));
            assert!(
                is_its_only,
                "record {seq} is said to hold a dead letter: {delivery:?}, which is no dead letter \
                 or is held by another one, too: {}",
                delivery.map(|delivery| story(core.store, delivery)).unwrap_or_default()
            );
        }
        let lost = dead.first().map(|delivery| story(core.store, *delivery));
        assert!(lost.is_none(), "no record holds {dead:?}: {}", lost.unwrap_or_default());
    }

    /// What the log says of a delivery, for messages.
    fn story(&self, delivery: DeliveryId) -> String {
        story(&self.disk, delivery)
    }

    /// The first delivery that was to end and did not, for messages, and the record that says its
    /// position was taken up.
    pub(super) fn left_behind(&self) -> Option<String> {
        let delivery = self.checker.owed.first()?;
        let passed = self.disk.passed_over(*delivery);
        Some(format!(
            "{} in all, the first is {delivery}: {}\npassed over: {passed:.2000}",
            self.checker.owed.len(),
            self.story(*delivery)
        ))
    }

    /// At rest: every delivery of every event has ended, and those that are called delivered were
    /// taken.
    pub(super) fn check_ends(&mut self) {
        let state = self.disk.fold();
        if let Some((newest, last)) = self.restraints.stale() {
            let both = format!("{}\n-- after it {last}: {}", self.story(newest), self.story(last));
            panic!("{newest} was seen, and an old value of its key after it: {both}");
        }

        let forgotten = self.checker.owed.first();
        if let Some(delivery) = forgotten {
            panic!(
                "{delivery} never ended, and nobody speaks of it any more: {}",
                self.story(*delivery)
            );
        }

        for (seq, record) in self.disk.forward(state.first_seq) {
            let endpoints = match record {
                Record::EventAccepted { fan_out, .. } => fan_out,
                Record::Replayed { endpoint, .. } => vec![endpoint],
                _ => continue,
            };
            for endpoint in endpoints {
                let delivery = DeliveryId { seq, endpoint };
                let Some(endpoint) = state.endpoints.get(&endpoint) else { continue };
                match endpoint.state_of(seq) {
                    DeliveryState::Delivered => {
                        self.totals.delivered += 1;
                        let taken = self.checker.taken.contains(&delivery);
                        assert!(
                            taken,
                            "{delivery} is called delivered: its receiver never took it: {}",
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

pub(super) fn story(disk: &Disk, delivery: DeliveryId) -> String {
    let records = disk.all().filter(|(_, record)| speaks_of(record, delivery));
    records.map(|(at, record)| format!("\n  {at}: {:.600}", format!("{record:?}"))).collect()
}

/// Whether a record concerns a delivery, for messages.
fn speaks_of(record: &Record, delivery: DeliveryId) -> bool {
    record.held_event().is_some_and(|held| held.event.id.seq == delivery.seq)
        || record.delivery_facts().iter().any(|(other, _)| *other == delivery)
}
