//! Records that are missing while a state is folded.
//!
//! They leave gaps: a record after them may be about a delivery, a batch or an endpoint that is not
//! known. [`State::fill_in`] adds what such a record implies. No position in a stream counts as
//! taken up that no record names, so that a delivery is attempted once too often rather than not at
//! all.
//!
//! What is done about lost records later: see `losses`.

use roaring::RoaringTreemap;

use super::endpoint_state::EndpointState;
use super::state::State;
use crate::model::{DeliveryId, EndpointId, Seq};
use crate::record::{Consequence, DeadLetter, DeliveryFact, Record};

impl State {
    /// Ends the fold: from now on every record follows from what is known.
    pub(super) fn fold_is_over(&mut self) {
        self.unfolded = RoaringTreemap::new();
        // Keys that were forgotten while records were folded have been reported before.
        self.dedupe.take_forgetful();
        for endpoint in self.endpoints.values_mut() {
            endpoint.remembered_mut().keeps_low = false;
        }
    }

    /// Adds what a record after missing ones implies.
    pub(super) fn fill_in(&mut self, record: &Record) {
        if let Record::EventAccepted { event, fan_out, .. } = record {
            self.next_source = self.next_source.max(event.source.saturating_add(1));
            let newest = fan_out.iter().copied().max().unwrap_or(0);
            self.next_endpoint = self.next_endpoint.max(newest.saturating_add(1));
        }

        for (delivery, fact) in record.delivery_facts() {
            self.must_exist(delivery);
            match fact {
                DeliveryFact::Attempted(attempt) if *attempt.next == Consequence::Ended => {}
                DeliveryFact::Attempted(_) | DeliveryFact::Batched => self.must_be_alive(delivery),
                DeliveryFact::WasDead(dead) => self.must_be_dead(dead),

                // The fold does what follows from these.
                DeliveryFact::Cancelled { .. }
                | DeliveryFact::Retried { .. }
                | DeliveryFact::Superseded { .. }
                | DeliveryFact::Relocated
                | DeliveryFact::Died(_) => {}
            }
        }
    }

    /// A record is about this delivery: it was made, even if the record that made it is missing.
    fn must_exist(&mut self, delivery: DeliveryId) {
        let is_missing = self.unfolded.contains(delivery.seq);
        let Some(endpoint) = self.endpoints.get_mut(&delivery.endpoint) else { return };
        let endpoint = endpoint.remembered_mut();

        let key = delivery.seq;
        if is_missing
            && endpoint.deleted.is_none()
            && !endpoint.knows(key)
            && !endpoint.taken_up(key)
        {
            endpoint.undone += 1;
        }
        endpoint.take_up(Some(key), 0);
    }

    /// An attempt was made for it: if it had ended before, the operator asked for it again.
    fn must_be_alive(&mut self, delivery: DeliveryId) {
        let Some(endpoint) = self.endpoints.get_mut(&delivery.endpoint) else { return };
        let endpoint = endpoint.remembered_mut();

        let had_ended =
            endpoint.dead.remove(delivery.seq) | endpoint.cancelled.remove(delivery.seq);
        endpoint.undone += u64::from(had_ended);
    }

    /// A record holds its dead letter: it had died, even if the record of its death is missing.
    fn must_be_dead(&mut self, dead: &DeadLetter) {
        let Some(endpoint) = self.endpoints.get_mut(&dead.delivery.endpoint) else { return };
        let endpoint = endpoint.remembered_mut();

        let key = dead.delivery.seq;
        if endpoint.dead.insert(key) {
            endpoint.undone = endpoint.undone.saturating_sub(1);
            endpoint.retrying.remove(&key);
            endpoint.revived.remove(key);
            if dead.event != key {
                endpoint.replayed_dead.insert(key, dead.event);
            }
        }
    }

    /// Nothing waits among these records any more, except at the positions that are `kept`.
    pub(super) fn records_lost(&mut self, first: Seq, last: Seq, kept: &[(EndpointId, Seq)]) {
        self.lost.insert_range(first..=last);
        // Other records hold their dead letters by now.
        self.dead_letter_seqs.remove_range(first..=last);
        for (id, endpoint) in &mut self.endpoints {
            let kept_here = kept.iter().filter(|(of, _)| of == id).map(|(_, at)| *at);
            endpoint.remembered_mut().lose_positions(first, last, &kept_here.collect());
        }
    }
}

impl EndpointState {
    /// Whether anything is remembered of this delivery besides its position in the stream.
    fn knows(&self, key: Seq) -> bool {
        self.retrying.contains_key(&key)
            || self.dead.contains(key)
            || self.cancelled.contains(key)
            || self.revived.contains(key)
    }

    /// Nothing waits at these positions any more, except at those that are kept.
    fn lose_positions(&mut self, first: Seq, last: Seq, kept: &RoaringTreemap) {
        if self.low >= last {
            return;
        }
        if kept.is_empty() && first <= self.low + 1 && !self.keeps_low {
            return self.take_up(None, last);
        }

        self.ahead.insert_range(first.max(self.low + 1)..=last);
        self.ahead -= kept;
    }

    /// Whether there are positions among these records that have not been taken up.
    pub(super) fn may_wait_among(&self, records: &RoaringTreemap) -> bool {
        let mut open = records - &self.ahead;
        open.remove_range(..=self.low);
        !open.is_empty()
    }
}

#[cfg(test)]
mod tests;
