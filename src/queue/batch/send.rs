//! A batch is sent, and sent again.

use std::sync::Arc;

use crate::model::{BatchId, DeliveryId, EndpointId, Event, Now, Seq};
use crate::queue::action::{Action, AttemptOrder, ReadOrder};
use crate::queue::endpoint::SlotKind;
use crate::queue::input::Loaded;
use crate::queue::{Draft, Queue};
use crate::record::LOST;

impl Queue {
    /// Sends a batch that waited again, once its events have been read.
    pub(in crate::queue) fn start_batch(
        &mut self,
        id: EndpointId,
        batch: BatchId,
        slot: SlotKind,
        draft: &mut Draft,
    ) {
        self.state.endpoint_mut(id).start_batch(batch, slot);
        self.slots.take(slot);
        self.read_members(id, batch, draft);
    }

    /// Reads the events of a batch in flight.
    fn read_members(&mut self, id: EndpointId, batch: BatchId, draft: &mut Draft) {
        let in_flight = self.state.endpoint(id).batch_in_flight(batch);
        let members = in_flight.map(|in_flight| in_flight.members.clone()).unwrap_or_default();
        let events: Vec<Seq> = members.iter().map(|member| self.record_of(member.event)).collect();

        if let Some(in_flight) = self.state.endpoint_mut(id).batch_in_flight_mut(batch) {
            in_flight.reading = true;
            let members = in_flight.members.iter_mut();
            members.zip(&events).for_each(|(member, at)| member.read_at = Some(*at));
        }
        draft.actions.push(Action::Read(ReadOrder::Batch {
            endpoint: id,
            batch: Some(batch),
            events,
            max_bytes: u64::MAX,
        }));
    }

    /// Whether events of this batch that were not found were relocated since they were asked for.
    fn are_elsewhere(&self, id: EndpointId, batch: BatchId, events: &[Loaded]) -> bool {
        let in_flight = self.state.endpoint(id).batch_in_flight(batch);
        let members = in_flight.into_iter().flat_map(|in_flight| &in_flight.members);
        members.zip(events).any(|(member, event)| {
            matches!(event, Loaded::Gone)
                && self.stands_elsewhere(member.event, member.read_at).is_some()
        })
    }

    /// The events of a batch that is sent again were read.
    pub(super) fn send_again(
        &mut self,
        now: Now,
        id: EndpointId,
        batch: BatchId,
        events: Vec<Loaded>,
        draft: &mut Draft,
    ) {
        if self.are_elsewhere(id, batch, &events) {
            return self.read_members(id, batch, draft);
        }

        // A batch in flight does not start again before its attempt has ended.
        let in_flight = self.state.endpoint_mut(id).batch_in_flight_mut(batch);
        let in_flight = in_flight.expect("the events of a batch are read while it is in flight");
        assert!(in_flight.reading, "the events of batch {batch} were read twice");
        in_flight.reading = false;

        let mut read: Vec<Arc<Event>> = Vec::with_capacity(events.len());
        let mut lost = Vec::new();
        for (member, event) in in_flight.members.iter_mut().zip(events) {
            match event {
                Loaded::Event(event) => {
                    (member.event_id, member.own) = (Some(event.webhook_id()), event.is_own());
                    read.push(event);
                }
                Loaded::Gone | Loaded::NotRead => lost.push(member.delivery),
            }
        }
        if lost.is_empty() {
            return self.ready_batches.push((id, batch, read));
        }

        // Without them it is another batch. It is sent as such, under another id.
        let batch = self.take_batch_out_of_flight(id, batch).expect("its events were just read");
        for member in batch.members.iter().filter(|member| !member.ended) {
            if lost.contains(&member.delivery) {
                let delivery = DeliveryId { seq: member.delivery, endpoint: id };
                self.die(now, delivery, member.event, LOST, draft);
            }
        }
        self.resume(id, now, &batch, draft);
    }

    /// Sends the batches whose events were read.
    pub(in crate::queue) fn send_ready(&mut self, now: Now, draft: &mut Draft) {
        for (id, batch, events) in std::mem::take(&mut self.ready_batches) {
            // The endpoint may have been deleted since the events were read.
            let Some(endpoint) = self.state.find(id) else { continue };
            let in_flight = endpoint.batch_in_flight(batch).expect("it was read to be sent");

            // Without a member that the operator ended meanwhile it is another batch. It is sent as
            // such, under another id.
            if in_flight.id != batch {
                let ended = self.take_batch_out_of_flight(id, batch).expect("it is in flight");
                self.resume(id, now, &ended, draft);
                continue;
            }

            // The format is that of the first attempt, because the id is the same.
            let settings = endpoint.settings.clone();
            let current = settings.batch.map(|batch| batch.format);
            let format = in_flight.format.or(current).unwrap_or_default();
            let number = in_flight.attempts + 1;
            draft.actions.push(Action::Attempt(AttemptOrder::Batch {
                endpoint: settings,
                batch,
                number,
                events,
                format,
            }));
        }
    }
}
