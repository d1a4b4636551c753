//! Records that are missing while a state is folded.
//!
//! They leave gaps: a record after them may be about a delivery, a batch or an endpoint that is not
//! known. Three rules hold while there are gaps (`State::unfolded`), until the fold is over:
//!
//! * **What a record implies is added before it is folded** ([`State::fill_in`]): that its delivery
//!   was made, that what was attempted had not ended.
//! * **What is unknown is left out, the rest is folded** ([`State::apply`]): no record is folded
//!   half because one of the endpoints that it names is unknown.
//! * **No position in a stream counts as taken up that no record names** (`keeps_low`), so that a
//!   delivery is attempted once too often rather than not at all.
//!
//! What is done about lost records later: see `losses`.

use roaring::RoaringTreemap;

use super::state::{State, StateError, impossible};
use crate::model::{DeliveryId, EndpointId, Seq};
use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::stream::relocation::SegmentRange;
use crate::record::{Consequence, DeadLetter, DeliveryFact, Record};

impl State {
    /// Ends the fold: from now on every record follows from what is known.
    pub(in crate::queue) fn fold_is_over(&mut self) {
        self.unfolded = RoaringTreemap::new();
        // Keys that were forgotten while records were folded have been reported before.
        self.dedupe.take_forgetful();
        for endpoint in self.endpoints.values_mut() {
            endpoint.remembered_mut().keeps_low = false;
        }
    }

    /// Adds what a record after missing ones implies.
    pub(in crate::queue) fn fill_in(&mut self, record: &Record) {
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

    /// The endpoint that a record names among others; `None` when a missing record made it.
    pub(in crate::queue) fn remembered_if_known(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
    ) -> Result<Option<&mut EndpointState>, StateError> {
        if !self.unfolded.is_empty() && !self.endpoints.contains_key(&endpoint) {
            return Ok(None);
        }
        self.remembered(seq, endpoint).map(Some)
    }

    /// Record `seq` ends a delivery of this endpoint: it has not ended before, unless the record
    /// that revived it is missing.
    pub(in crate::queue) fn count_end(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
    ) -> Result<&mut EndpointState, StateError> {
        let may_be_uncounted = !self.unfolded.is_empty();
        let endpoint = self.remembered(seq, endpoint)?;
        match endpoint.undone.checked_sub(1) {
            Some(undone) => endpoint.undone = undone,
            None if may_be_uncounted => {}
            None => return Err(impossible(seq, "it ends what had ended")),
        }
        Ok(endpoint)
    }

    /// A record is about this delivery: it was made, even if the record that made it is missing.
    fn must_exist(&mut self, delivery: DeliveryId) {
        let DeliveryId { seq: delivery, endpoint } = delivery;
        let is_missing = self.unfolded.contains(delivery);
        let Some(endpoint) = self.changing(endpoint) else { return };

        let is_new = !endpoint.knows(delivery) && !endpoint.taken_up(delivery);
        if is_missing && is_new && endpoint.deleted.is_none() {
            endpoint.undone += 1;
        }
        endpoint.take_up(Some(delivery), 0);
    }

    /// An attempt was made for it: if it had ended before, the operator asked for it again.
    fn must_be_alive(&mut self, delivery: DeliveryId) {
        let Some(endpoint) = self.changing(delivery.endpoint) else { return };

        let had_ended =
            endpoint.dead.remove(delivery.seq) | endpoint.cancelled.remove(delivery.seq);
        endpoint.undone += u64::from(had_ended);
    }

    /// A record holds its dead letter: it had died, even if the record of its death is missing.
    fn must_be_dead(&mut self, dead: &DeadLetter) {
        let seq = self.next_seq - 1;
        let Some(endpoint) = self.changing(dead.delivery.endpoint) else { return };

        let delivery = dead.delivery.seq;
        if endpoint.dead.insert(delivery) {
            endpoint.undone = endpoint.undone.saturating_sub(1);
            endpoint.retrying.remove(&delivery);
            endpoint.leave_stream(seq, delivery);
            if dead.event != delivery {
                endpoint.replayed_dead.insert(delivery, dead.event);
            }
        }
    }

    /// Nothing waits among these records any more, except at the positions that are `kept`.
    pub(in crate::queue) fn records_lost(
        &mut self,
        first: Seq,
        last: Seq,
        kept: &[(EndpointId, Seq)],
    ) {
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
    fn knows(&self, delivery: Seq) -> bool {
        self.retrying.contains_key(&delivery)
            || self.dead.contains(delivery)
            || self.cancelled.contains(delivery)
            || self.revived.contains(delivery)
    }

    /// Nothing waits at these positions any more, except at those that are kept.
    fn lose_positions(&mut self, first: Seq, last: Seq, kept: &RoaringTreemap) {
        self.kept.forget_records(SegmentRange { first, last }, kept);
        if self.low >= last {
            return;
        }
        if kept.is_empty() && first <= self.low + 1 && !self.keeps_low {
            return self.raise_low(last);
        }

        self.ahead.insert_range(first.max(self.low + 1)..=last);
        self.ahead -= kept;
    }

    /// Whether there are positions among these records that have not been taken up.
    pub(in crate::queue) fn may_wait_among(&self, records: &RoaringTreemap) -> bool {
        let mut open = records - &self.ahead;
        open.remove_range(..=self.low);
        let mut kept = self.kept.records();
        !open.is_empty() || kept.any(|record| records.contains(record))
    }
}

#[cfg(test)]
mod tests;
