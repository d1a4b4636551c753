//! Deliveries are gathered, and become a batch.

use super::size::BatchSize;
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
        let jobs = endpoint.take_for_batch(batch, now.mono_ms);
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
        let is_complete = jobs.iter().all(|job| job.loaded.is_some());

        self.state.endpoint_mut(id).start_gathering(jobs, slot);
        self.slots.take(slot);
        if is_complete {
            self.form(id, now, draft);
        } else {
            self.read_missing(id, draft);
        }
    }

    /// Reads the events that are missing of those that are being gathered.
    fn read_missing(&mut self, id: EndpointId, draft: &mut Draft) {
        let gathering = self.state.endpoint(id).gathering();
        let missing = gathering.iter().filter(|job| job.loaded.is_none());
        let events: Vec<Seq> = missing.map(|job| self.record_of(job.event)).collect();

        let gathering = self.state.endpoint_mut(id).gathering_mut();
        let missing = gathering.iter_mut().filter(|job| job.loaded.is_none());
        missing.zip(&events).for_each(|(job, at)| job.read_at = Some(*at));

        let max_bytes = self.max_batch_bytes(id);
        draft.actions.push(Action::Read(ReadOrder::Batch {
            endpoint: id,
            batch: None,
            events,
            max_bytes,
        }));
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
            // Some may have been relocated since they were asked for: they are read where they are.
            None if self.keep_loaded(now, id, events, draft) => self.read_missing(id, draft),
            None => self.form(id, now, draft),
        }
    }

    /// Gives the events that were read to the deliveries that are being gathered. Deliveries whose
    /// events are not in the log any more end. Says whether some stand elsewhere in it.
    fn keep_loaded(
        &mut self,
        now: Now,
        id: EndpointId,
        events: Vec<Loaded>,
        draft: &mut Draft,
    ) -> bool {
        let gathering = self.state.endpoint_mut(id).gathering_mut();
        let missing = gathering.iter_mut().filter(|job| job.loaded.is_none());

        let mut not_found = Vec::new();
        for (job, event) in missing.zip(events) {
            match event {
                Loaded::Event(event) => {
                    job.source = event.source;
                    job.loaded = Some(event);
                }
                Loaded::Gone => not_found.push((job.delivery, job.event, job.read_at)),
                Loaded::NotRead => {}
            }
        }

        let asked = not_found.len();
        not_found.retain(|(_, event, read_at)| self.stands_elsewhere(*event, *read_at).is_none());
        let are_elsewhere = not_found.len() < asked;
        let gone: Vec<DeliveryId> = not_found.into_iter().map(|(delivery, ..)| delivery).collect();
        self.end_unreadable(now, id, &gone, draft);
        are_elsewhere
    }

    /// Ends deliveries that are being gathered and whose events are not in the log any more.
    fn end_unreadable(&mut self, now: Now, id: EndpointId, gone: &[DeliveryId], draft: &mut Draft) {
        let mut slot = None;
        for delivery in gone {
            let single = self.state.endpoint_mut(id).single_out(delivery.seq);
            let single = single.expect("its event was read for the batch that is being gathered");
            // It takes a slot of its own for a moment, because an attempt that ends gives one back.
            self.slots.take(single);
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

        // Nor have those whose sources have their share of the retries by now.
        let left =
            jobs.extract_if(.., |job| job.position.is_some() && endpoint.leaves_out(job.source));
        let left: Vec<ActiveDelivery> = left.collect();
        for job in &left {
            endpoint.release_lane(job);
            endpoint.leave_in_stream(job);
        }

        let rest = jobs.split_off(fitting(&jobs, max_bytes));
        rest.into_iter().rev().for_each(|job| endpoint.give_back(job, now.mono_ms));

        if jobs.is_empty() {
            self.vacate(slot);
        } else {
            self.remember_batch(id, jobs, slot, draft);
        }
        // While it was gathered no other batch could begin.
        self.wake(id);

        for job in ended.into_iter().chain(left) {
            self.free(id, job.lane, now);
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
        jobs.iter().for_each(|job| endpoint.release_position(job));

        let low = endpoint.low_for_record(next_seq);
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
            halved_at: 0,
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
        key: job.lane,
        age_ms: 0,
        born: job.born,
        source: job.source,
    }
}

fn member_in_flight(job: &ActiveDelivery) -> MemberInFlight {
    MemberInFlight {
        delivery: job.delivery.seq,
        event: job.event,
        event_id: job.loaded.as_ref().map(|event| event.webhook_id()),
        read_at: job.read_at,
        attempts: job.attempts,
        last: job.last,
        lane: job.lane,
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

    let mut size = BatchSize::default();
    let fits = loaded.enumerate().take_while(|(at, event)| {
        size.add(event);
        *at == 0 || (!size.exceeds(max_bytes) && hops == Some(event.hops()))
    });
    fits.count()
}
