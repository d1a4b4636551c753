//! Events that were accepted before, by another log, or by a part of this log that is lost. They
//! keep the id that their receivers know, and are delivered only where they had not been delivered.
//! A dead letter stays one.

use std::sync::Arc;

use super::accept::Acceptance;
use super::input::{ImportedDead, ImportedEvent};
use super::remembered::dedupe::DedupeVerdict;
use super::{Draft, Queue};
use crate::model::{DeliveryId, Event, Fingerprints, Now, Seq};
use crate::record::{DeadLetter, Record};

impl Queue {
    /// Imports the events that have not been imported before. Answers how many these are.
    pub(super) fn import(
        &mut self,
        now: Now,
        events: Vec<ImportedEvent>,
        draft: &mut Draft,
    ) -> usize {
        let mut count = 0;
        for imported in events {
            if self.imported(imported.identity).is_none() {
                self.import_one(now, imported, draft);
                count += 1;
            }
        }
        count
    }

    fn import_one(&mut self, now: Now, imported: ImportedEvent, draft: &mut Draft) {
        let ImportedEvent { mut event, dedupe, content, identity, deliver_to, dead } = imported;
        event.id = self.event_id(self.state.next_seq);
        let seq = event.id.seq;

        // Endpoints may have been deleted since the caller looked them up.
        let waiting = deliver_to.into_iter().filter(|id| self.state.lives(*id)).collect();
        let dead: Vec<_> =
            dead.into_iter().filter(|dead| self.state.lives(dead.endpoint)).collect();

        let fingerprints = self.imported_fingerprints(&event, dedupe, content);
        let acceptance = Acceptance {
            event: Arc::new(event),
            dedupe,
            fingerprints,
            waiting,
            ended: dead.iter().map(|dead| dead.endpoint).collect(),
            keys: Vec::new(),
        };
        self.remember_event(acceptance, draft);
        self.remember(Record::EventImported { event: seq, identity, at: now.wall_ms }, draft);

        for ImportedDead { endpoint, attempts, died_at, reason } in dead {
            let delivery = DeliveryId { seq, endpoint };
            let (event, last, kept_since) = (seq, 0, None);
            let dead = DeadLetter { delivery, event, attempts, died_at, reason, last, kept_since };
            self.remember(Record::DeliveryDied { dead }, draft);
        }
    }

    /// What a later event with the key of an imported one is compared with. Of several that have
    /// one key each is known with its content.
    fn imported_fingerprints(
        &self,
        event: &Event,
        dedupe: Option<u64>,
        content: Option<u64>,
    ) -> Fingerprints {
        let beside = Fingerprints { content, ..Fingerprints::default() };
        let conflicts_with = match self.state.dedupe.verdict(event.source, dedupe, &beside, 0) {
            DedupeVerdict::Conflict(first) => Some(self.event_id(first)),
            DedupeVerdict::New | DedupeVerdict::Duplicate(_) => None,
        };
        Fingerprints { conflicts_with, ..beside }
    }

    /// The record of the event that was imported with this fingerprint of its first id.
    pub(super) fn imported(&self, identity: u64) -> Option<Seq> {
        self.state.dedupe.imported(identity)
    }
}
