//! Deliveries are gathered, and become a batch.

use crate::model::{BatchId, DeliveryId, EndpointId, Now, Seq, limits};
use crate::queue::action::{Action, ReadOrder};
use crate::queue::endpoint::{ActiveDelivery, BatchInFlight, MemberInFlight, SlotKind};
use crate::queue::input::Loaded;
use crate::queue::reports::event_unreadable;
use crate::queue::{Draft, Queue};
use crate::record::{BatchMember, Record};

impl Queue {
    /// Takes the deliveries that are due out of prefetch and timers, to become a batch.
    pub(in crate::queue) fn gather(
        &mut self,
        id: EndpointId,
        slot: SlotKind,
        now: Now,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint_mut(id);
        let batch = endpoint.settings.batch.expect("batches are gathered where they are wanted");
        let (jobs, freed) = endpoint.take_for_batch(batch, now.mono_ms);
        self.prefetched_bytes -= freed;
        self.gathered(id, jobs, slot, now, draft);
    }

    /// Takes a delivery that the operator asked for out of the timers, to become a batch of its
    /// own: whatever keeps the others back does not keep it back.
    pub(in crate::queue) fn gather_one(
        &mut self,
        id: EndpointId,
        delivery: Seq,
        slot: SlotKind,
        now: Now,
        draft: &mut Draft,
    ) {
        let job = self.state.endpoint_mut(id).take_waiting(delivery);
        self.gathered(id, vec![job], slot, now, draft);
    }

    /// Forms a batch of these, once their events are in memory.
    fn gathered(
        &mut self,
        id: EndpointId,
        jobs: Vec<ActiveDelivery>,
        slot: SlotKind,
        now: Now,
        draft: &mut Draft,
    ) {
        assert!(!jobs.is_empty(), "endpoint {id} gathers a batch of nothing");
        let missing = jobs.iter().filter(|job| job.loaded.is_none()).map(|job| job.event);
        let missing: Vec<Seq> = missing.collect();

        self.state.endpoint_mut(id).start_gathering(jobs, slot);
        self.occupy(slot);
        if missing.is_empty() {
            return self.form(id, now, draft);
        }

        let events = self.records_of(missing);
        let max_bytes = self.max_batch_bytes(id);
        draft.actions.push(Action::Read(ReadOrder::Batch {
            endpoint: id,
            batch: None,
            events,
            max_bytes,
        }));
    }

    /// The records that hold these events now.
    pub(super) fn records_of(&self, events: Vec<Seq>) -> Vec<Seq> {
        let record_of = |event: Seq| self.state.moved.get(&event).copied().unwrap_or(event);
        events.into_iter().map(record_of).collect()
    }

    /// The bytes that a batch of this endpoint may have. Its settings may have changed since the
    /// batch was gathered.
    fn max_batch_bytes(&self, id: EndpointId) -> u64 {
        let batch = self.state.endpoint(id).settings.batch;
        batch.map_or(limits::BATCH_OUT_BYTES, |batch| batch.max_bytes)
    }

    /// Events of a batch were read: of one that is being gathered, or of one that is sent again.
    pub(in crate::queue) fn batch_loaded(
        &mut self,
        now: Now,
        id: EndpointId,
        batch: Option<BatchId>,
        events: Vec<Loaded>,
        draft: &mut Draft,
    ) {
        // The endpoint may have been deleted while the log was read.
        if self.state.find(id).is_none() {
            return;
        }

        match batch {
            Some(batch) => self.send_again(now, id, batch, events, draft),
            None => {
                self.keep_loaded(now, id, events, draft);
                self.form(id, now, draft);
            }
        }
    }

    /// Gives the events that were read to the deliveries that are being gathered. Deliveries whose
    /// events are not in the log any more end.
    fn keep_loaded(&mut self, now: Now, id: EndpointId, events: Vec<Loaded>, draft: &mut Draft) {
        let gathering = self.state.endpoint_mut(id).gathering_mut();
        let missing = gathering.iter_mut().filter(|job| job.loaded.is_none());

        let mut gone = Vec::new();
        for (job, event) in missing.zip(events) {
            match event {
                Loaded::Event(event) => job.loaded = Some(event),
                Loaded::Gone => gone.push(job.delivery),
                Loaded::NotRead => {}
            }
        }
        self.end_unreadable(now, id, &gone, draft);
    }

    /// Ends deliveries that are being gathered and whose events are not in the log any more.
    fn end_unreadable(&mut self, now: Now, id: EndpointId, gone: &[DeliveryId], draft: &mut Draft) {
        let mut slot = None;
        for delivery in gone {
            let single = self.state.endpoint_mut(id).single_out(delivery.seq);
            let single = single.expect("its event was read for the batch that is being gathered");
            // It takes a slot of its own for a moment, because an attempt that ends gives one back.
            self.occupy(single);
            self.finished(now, *delivery, event_unreadable(now), draft);
            slot = Some(single);
        }

        // A batch of which nothing is left gives its slot back.
        if let Some(slot) = slot
            && self.state.endpoint(id).gathering().is_empty()
        {
            self.vacate(slot);
        }
    }

    /// Closes the batch that was gathered: as much of it as fits is remembered and sent, the rest
    /// goes on waiting.
    fn form(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let max_bytes = self.max_batch_bytes(id);
        let endpoint = self.state.endpoint_mut(id);
        let jobs = endpoint.take_gathering();
        // All of them may have ended when their events were read.
        let Some(slot) = jobs.first().map(|job| job.slot) else { return };

        // Deliveries that the operator has ended meanwhile have no part in it.
        let (ended, mut jobs): (Vec<ActiveDelivery>, Vec<ActiveDelivery>) =
            jobs.into_iter().partition(|job| job.ended);
        ended.iter().for_each(|job| endpoint.release_lane(job));

        let rest = jobs.split_off(fitting(&jobs, max_bytes));
        let freed: usize =
            rest.into_iter().rev().map(|job| endpoint.give_back(job, now.mono_ms)).sum();
        self.prefetched_bytes -= freed;

        if jobs.is_empty() {
            self.vacate(slot);
            self.wake(id);
        } else {
            self.remember_batch(id, jobs, slot, draft);
        }

        for job in ended {
            self.free(id, job.key, now);
        }
    }

    /// Remembers a batch before it is sent.
    fn remember_batch(
        &mut self,
        id: EndpointId,
        jobs: Vec<ActiveDelivery>,
        slot: SlotKind,
        draft: &mut Draft,
    ) {
        // They have left the stream with this record.
        let next_seq = self.state.next_seq;
        let endpoint = self.state.endpoint_mut(id);
        jobs.iter().for_each(|job| endpoint.settle(job));

        let low = endpoint.low(next_seq);
        let format = endpoint.settings.batch.map(|batch| batch.format);
        let members = jobs.iter().map(remembered_member).collect();
        let seq = self.remember(Record::BatchFormed { endpoint: id, members, low, format }, draft);

        let batch = BatchId { seq, part: 0 };
        self.state.endpoint_mut(id).batch_formed(BatchInFlight {
            id: batch,
            members: jobs.iter().map(member_in_flight).collect(),
            attempts: 0,
            slot,
            halved: false,
            reading: false,
            format,
        });

        let events = jobs.into_iter().filter_map(|job| job.loaded).collect();
        self.ready_batches.push((id, batch, events));
    }
}

fn remembered_member(job: &ActiveDelivery) -> BatchMember {
    BatchMember {
        delivery: job.delivery.seq,
        event: job.event,
        position: job.position,
        attempts: job.attempts,
        last: job.last,
        key: job.key,
        age_ms: 0,
        born: job.born,
    }
}

fn member_in_flight(job: &ActiveDelivery) -> MemberInFlight {
    MemberInFlight {
        delivery: job.delivery.seq,
        event: job.event,
        event_id: job.loaded.as_ref().map(|event| event.webhook_id()),
        attempts: job.attempts,
        last: job.last,
        key: job.key,
        born: job.born,
        ended: false,
        own: job.loaded.as_ref().is_some_and(|event| event.is_own()),
    }
}

/// How many of these, from the first one on, fit into one batch: as long as their events are in
/// memory, their bytes fit, and they have passed equally many daemons. A request holds that number
/// once: a larger one would end the others at the next daemon, and a smaller one would keep looping
/// events alive.
fn fitting(jobs: &[ActiveDelivery], max_bytes: u64) -> usize {
    let hops = jobs.first().and_then(|job| job.loaded.as_ref()).map(|event| event.hops());
    let loaded = jobs.iter().map_while(|job| job.loaded.as_ref());

    let mut bytes = 0;
    let fits = loaded.enumerate().take_while(|(at, event)| {
        bytes += event.body.len() as u64;
        *at == 0 || (bytes <= max_bytes && hops == Some(event.hops()))
    });
    fits.count()
}
