//! Events that were accepted before, by another log, or by this one in a part of it that is lost: they come in with the
//! id that their receivers know, and only what had not been delivered is delivered. A dead letter is one here as well.

use std::sync::Arc;

use super::input::{ImportedDead, ImportedEvent, Reply};
use super::{Draft, Queue};
use crate::model::{DeliveryId, EventId, Now};
use crate::record::{DeadLetter, Record};

impl Queue {
    /// Takes in those that have not been taken in before; how many these are.
    pub(super) fn import(&mut self, now: Now, events: Vec<ImportedEvent>, draft: &mut Draft) -> Reply {
        let mut count = 0;
        for imported in events {
            if self.imported(imported.identity).is_some() {
                continue;
            }
            let seq = self.state.next_seq;
            let mut event = imported.event;
            event.id = EventId { seq, tag: self.tag_of(seq) };
            let waiting: Vec<_> = imported.deliver_to.into_iter().filter(|id| self.state.lives(*id)).collect();
            let dead: Vec<_> = imported.dead.into_iter().filter(|dead| self.state.lives(dead.endpoint)).collect();
            let dead_at: Vec<_> = dead.iter().map(|dead| dead.endpoint).collect();
            self.take_in(Arc::new(event), imported.dedupe, waiting, &dead_at, draft);
            let record = Record::EventImported { event: seq, identity: imported.identity, at: now.wall_ms };
            self.remember(record, draft);
            for ImportedDead { endpoint, attempts, died_at, reason } in dead {
                let delivery = DeliveryId { seq, endpoint };
                let dead = DeadLetter { delivery, event: seq, attempts, died_at, reason, last: 0 };
                self.remember(Record::Died { dead }, draft);
            }
            count += 1;
        }
        Reply::Done { count }
    }

    /// The record of the event that was imported with this fingerprint of its first id.
    pub(super) fn imported(&self, identity: u64) -> Option<crate::model::Seq> {
        self.state.dedupe.find(identity, 0)
    }
}
