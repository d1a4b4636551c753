//! Dead letters: where the log holds them, and how they end.
//!
//! The state knows the records that hold dead letters, and not which holds which. Whoever wants one
//! to be discarded or attempted again has read it, and names the record. Retention may have
//! relocated it meanwhile: then the record is no longer known, and the caller has to look again.

use super::commands::DeliveriesChanged;
use crate::model::{DeliveryId, DeliveryState, Now, Seq};
use crate::queue::decision::Refusal;
use crate::queue::input::Revive;
use crate::queue::stream::relocation::SegmentRange;
use crate::queue::{Draft, Queue};
use crate::record::{DeadLetter, Record};

/// Why a dead letter is neither discarded nor attempted again: whoever asks has to look again.
pub(in crate::queue) const MOVED: &str = "was moved within the log while it was looked for";

impl Queue {
    pub(in crate::queue) fn discard(
        &mut self,
        now: Now,
        deliveries: &[Revive],
        draft: &mut Draft,
    ) -> Result<DeliveriesChanged, Refusal> {
        let mut stale = Vec::new();
        let id = |revive: &Revive| revive.delivery;
        let discarded = self.each(deliveries, id, |queue, revive, state| {
            let is_held = queue.holds_dead_letter(revive);
            if state != DeliveryState::Dead {
                // It was read at a record that is known to hold a dead letter, and holds none.
                stale.extend(revive.dead_letter_seq.filter(|_| is_held));
                return Err("is not a dead letter: use `hookboxctl delivery cancel`");
            }
            if !is_held {
                return Err(MOVED);
            }

            let Revive { delivery, dead_letter_seq, .. } = *revive;
            let at = now.wall_ms;
            queue.remember(Record::DeliveryCancelled { delivery, at, dead_letter_seq }, draft);
            Ok(())
        });
        self.forget_dead_letters(stale, draft);
        discarded
    }

    /// Whether the record at which a dead letter was read is still the one that holds it. Retention
    /// may have relocated it meanwhile, and it may have died another time.
    pub(in crate::queue) fn holds_dead_letter(&self, revive: &Revive) -> bool {
        revive.dead_letter_seq.is_some_and(|seq| self.state.dead_letter_seqs.contains(seq))
    }

    /// Records dead letters again, or discards them when they have expired. Where records were lost
    /// there may be some of deliveries that are dead no more: these are forgotten.
    pub(in crate::queue) fn relocate_dead_letters(
        &mut self,
        now: Now,
        range: SegmentRange,
        dead: Vec<(Seq, DeadLetter)>,
        expired: Vec<(Seq, DeliveryId)>,
        draft: &mut Draft,
    ) {
        let is_here =
            |queue: &Self, seq| queue.state.dead_letter_seqs.contains(seq) && range.holds(seq);
        let mut stale = Vec::new();

        for (dead_letter_seq, dead) in dead {
            if !is_here(self, dead_letter_seq) {
                continue;
            }
            if self.is_dead(dead.delivery) {
                self.remember(Record::DeadLetterRecorded { dead, dead_letter_seq }, draft);
            } else {
                stale.push(dead_letter_seq);
            }
        }

        for (seq, delivery) in expired {
            if !is_here(self, seq) {
                continue;
            }
            if self.is_dead(delivery) {
                let (at, dead_letter_seq) = (now.wall_ms, Some(seq));
                let record = Record::DeliveryCancelled { delivery, at, dead_letter_seq };
                self.remember(record, draft);
            } else {
                stale.push(seq);
            }
        }
        self.forget_dead_letters(stale, draft);
    }

    /// Remembers that nobody looks for dead letters at these records any more.
    pub(in crate::queue) fn forget_dead_letters(&mut self, stale: Vec<Seq>, draft: &mut Draft) {
        if !stale.is_empty() {
            self.remember(Record::DeadLettersForgotten { dead_letter_seqs: stale }, draft);
        }
    }

    /// Whether the delivery has died, and was neither asked for again nor discarded.
    fn is_dead(&self, delivery: DeliveryId) -> bool {
        let endpoint = self.state.endpoints.get(&delivery.endpoint);
        endpoint.is_some_and(|endpoint| endpoint.dead.contains(delivery.seq))
    }
}

#[cfg(test)]
impl Queue {
    /// As after the loss of the record that says otherwise.
    fn know_dead_letter_at(&mut self, seq: Seq) {
        self.state.dead_letter_seqs.insert(seq);
    }
}

#[cfg(test)]
mod tests;
