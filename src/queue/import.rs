//! Events that were accepted before, by another log, or by this one in a part of it that is lost: they come in with the
//! id that their receivers know, and only what had not been delivered is delivered.

use std::sync::Arc;

use super::input::{ImportedEvent, Reply};
use super::{Draft, Queue};
use crate::model::{EventId, Now};
use crate::record::Record;

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
            let fan_out: Vec<_> = imported.deliver_to.into_iter().filter(|id| self.state.lives(*id)).collect();
            self.take_in(Arc::new(event), imported.dedupe, fan_out, draft);
            let record = Record::EventImported { event: seq, identity: imported.identity, at: now.wall_ms };
            self.remember(record, draft);
            count += 1;
        }
        Reply::Done { count }
    }

    /// The record of the event that was imported with this fingerprint of its first id.
    pub(super) fn imported(&self, identity: u64) -> Option<crate::model::Seq> {
        self.state.dedupe.find(identity, 0)
    }
}
