//! What an endpoint remembers of the positions in its stream: which have been taken up, which are
//! held by other records than their own, and which events they need.

use super::endpoint_state::EndpointState;
use crate::model::Seq;
use crate::queue::stream::order::NO_VALUE;
use crate::queue::stream::stream_entry::StreamEntry;
use crate::record::WaitingDelivery;

impl EndpointState {
    /// Whether this position of the stream has been taken up.
    #[must_use]
    pub fn taken_up(&self, position: Seq) -> bool {
        (position <= self.low || self.ahead.contains(position)) && !self.kept.contains(position)
    }

    /// Whether something may wait in the stream before this position.
    #[must_use]
    pub(in crate::queue) fn may_wait_before(&self, position: Seq) -> bool {
        self.kept.first().is_some_and(|first| first < position)
            || (self.low + 1 < position && self.in_stream() > 0)
    }

    /// Whether what was the latest of a key is still to be known when the record of its position is
    /// dropped: an older one of its key may wait, and must not follow it. `at` is the record that
    /// says something of the position.
    #[must_use]
    pub(in crate::queue) fn keeps_key(&self, at: Seq, entry: &WaitingDelivery) -> bool {
        let (delivery, position) = (entry.delivery.seq, entry.position);
        let is_here = self.kept.block_record_of(position).unwrap_or(position) == at;
        let was_asked_for = StreamEntry::new(entry.clone(), None).was_asked_for();
        let has_key = entry.key.is_some_and(|key| key != NO_VALUE) && !was_asked_for;
        let has_ended = self.cancelled.contains(delivery) || self.dead.contains(delivery);
        self.is_latest() && is_here && has_key && !has_ended && self.may_wait_before(position)
    }

    /// The record that holds this position.
    #[must_use]
    pub fn record_of_position(&self, position: Seq) -> Seq {
        self.kept.record_of(position).unwrap_or(position)
    }

    /// The stream has a new entry at `position` that needs an older event.
    pub(in crate::queue) fn needs_event(&mut self, event: Seq, position: Seq) {
        let all_read = self.low >= self.needs_until && self.kept.is_empty();
        if all_read {
            self.needed_events.clear();
        }
        self.needed_events.insert(event);
        self.needs_from = if all_read { event } else { self.needs_from.min(event) };
        self.needs_until = if all_read { position } else { self.needs_until.max(position) };
    }

    /// A delivery ended by record `seq` without an attempt. Where it waited in the stream is not
    /// known here: if it is asked for again, it does not wait there.
    pub(in crate::queue) fn leave_stream(&mut self, seq: Seq, delivery: Seq) {
        if self.revived.remove(delivery) {
            self.waits_at.insert(delivery, seq);
        }
    }

    /// A delivery waits in the stream at this position, which is not its own number.
    pub(in crate::queue) fn wait_in_stream(&mut self, delivery: Seq, position: Seq) {
        self.stream_end = position;
        self.revived.insert(delivery);
        if let Some(at) = self.waits_at.get_mut(&delivery) {
            *at = position;
        }
    }

    /// Whether a delivery waits at this position, which is not its own number, unless that has been
    /// taken up.
    #[must_use]
    pub fn is_revived_at(&self, delivery: Seq, position: Seq) -> bool {
        self.revived.contains(delivery)
            && self.waits_at.get(&delivery).is_none_or(|at| *at == position)
    }

    /// Positions of the stream that nothing waits at any more: this one, and all up to `low`.
    pub(in crate::queue) fn take_up(&mut self, position: Option<Seq>, low: Seq) {
        if !self.keeps_low {
            self.kept.take_up_to(low);
            self.raise_low(low);
        }
        if let Some(position) = position {
            self.kept.take_up(position);
            if position > self.low {
                self.ahead.insert(position);
            }
        }
    }

    /// No record up to `low` is a position of the stream any more.
    pub(in crate::queue) fn raise_low(&mut self, low: Seq) {
        if low > self.low {
            self.low = low;
            self.ahead.remove_range(..=low);
        }
        // What is kept is read again though it lies before `low`.
        if self.kept.is_empty() {
            let low = self.low;
            self.waits_at.retain(|_, position| *position > low);
        }
    }

    /// Record `record` says from now on what there is at these positions, which are in ascending
    /// order.
    pub(in crate::queue) fn keep_positions(&mut self, waiting: &[&WaitingDelivery], record: Seq) {
        let (Some(first), Some(last)) = (waiting.first(), waiting.last()) else { return };
        let span = (first.position, last.position);
        // The others are there for their keys.
        let waits = |waiting: &&WaitingDelivery| !self.taken_up(waiting.position);
        let waiting: Vec<&WaitingDelivery> = waiting.iter().copied().filter(waits).collect();
        let positions: Vec<Seq> = waiting.iter().map(|waiting| waiting.position).collect();
        self.kept.keep(span, &positions, record);
        for WaitingDelivery { delivery, position, event, .. } in waiting {
            if delivery.seq == *event {
                self.revived.insert(delivery.seq);
            } else {
                self.needs_event(*event, *position);
            }
        }
    }

    /// Whether the delivery of an entry waits at its position in the stream.
    #[must_use]
    pub fn stands_in_stream(&self, entry: &StreamEntry) -> bool {
        let delivery = entry.delivery.seq;
        let revived = entry.position != delivery;
        !(self.taken_up(entry.position)
            || self.cancelled.contains(delivery)
            || (revived && !self.is_revived_at(delivery, entry.position)))
    }
}
