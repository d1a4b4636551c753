//! Attempts begin and end: of one delivery, or of a batch.

use std::collections::BTreeSet;

use super::delivery::{ActiveDelivery, BatchInFlight, MemberInFlight, SlotKind, TimerKey};
use super::endpoint_queue::EndpointQueue;
use crate::model::{BatchId, Seq};

impl EndpointQueue {
    /// Whether an attempt for this delivery is under way or being prepared.
    #[must_use]
    pub fn is_in_flight(&self, delivery: Seq) -> bool {
        let runtime = &self.runtime;
        runtime.in_flight.contains_key(&delivery)
            || runtime.gathered.contains(&delivery)
            || runtime.members_in_flight.contains(&delivery)
    }

    /// Attempts under way or being prepared.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let runtime = &self.runtime;
        let gathering = usize::from(!runtime.gathering.is_empty());
        runtime.in_flight.len() + runtime.batches_in_flight.len() + gathering
    }

    /// Of what is remembered as waiting for a retry, what is under way or being prepared: second
    /// attempts, and the members of batches, also at their first.
    #[must_use]
    pub fn retries_under_way(&self) -> usize {
        let runtime = &self.runtime;
        let alone = runtime.in_flight.keys().chain(&runtime.gathered);
        let alone = alone.filter(|delivery| self.retrying.contains_key(delivery)).count();
        alone + runtime.members_in_flight.len()
    }

    /// Whether anything of it is under way or would go out by itself, sooner or later: not what
    /// waits behind a parked head.
    #[must_use]
    pub fn has_something_to_send(&self) -> bool {
        let prefetch = self.prefetch();
        let is_on_its_way = self.under_way() > 0 || !self.runtime.timers.is_empty();
        is_on_its_way
            || prefetch.is_reading()
            || self.next_fresh().is_some()
            || (prefetch.unread().is_some() && self.may_prefetch())
    }

    /// The slots that its attempts take.
    pub fn slots_taken(&self) -> impl Iterator<Item = SlotKind> + '_ {
        let ones = self.runtime.in_flight.values().map(|job| job.slot);
        let batches = self.runtime.batches_in_flight.values().map(|batch| batch.slot);
        ones.chain(batches).chain(self.runtime.gathering.first().map(|job| job.slot))
    }

    /// An attempt of this delivery begins.
    pub fn start_attempt(&mut self, job: ActiveDelivery) {
        self.runtime.lanes.start(job.lane);
        self.runtime.ages.attempt_begins(job.born);
        self.runtime.in_flight.insert(job.delivery.seq, job);
    }

    /// The deliveries under way or being prepared, and the positions of those that were not
    /// attempted before.
    pub fn in_flight_records(&self) -> impl Iterator<Item = Seq> + '_ {
        let members = self.runtime.members_in_flight.iter().copied();
        self.all_in_flight().flat_map(|job| self.records_of(job)).chain(members)
    }

    /// The delivery of an attempt under way.
    #[must_use]
    pub fn in_flight(&self, delivery: Seq) -> Option<&ActiveDelivery> {
        self.runtime.in_flight.get(&delivery)
    }

    #[must_use]
    pub fn in_flight_mut(&mut self, delivery: Seq) -> Option<&mut ActiveDelivery> {
        self.runtime.in_flight.get_mut(&delivery)
    }

    /// All deliveries under way, but for those of batches that have gone out.
    pub fn all_in_flight(&self) -> impl Iterator<Item = &ActiveDelivery> {
        self.runtime.in_flight.values().chain(&self.runtime.gathering)
    }

    /// The attempt of this delivery has ended.
    pub fn finish_attempt(&mut self, delivery: Seq) -> Option<ActiveDelivery> {
        let job = self.runtime.in_flight.remove(&delivery)?;
        self.runtime.ages.attempt_ends(job.born);
        self.release_lane(&job);
        Some(job)
    }

    /// A delivery is under way no more, and its position in the stream is nobody's.
    pub fn release_lane(&mut self, job: &ActiveDelivery) {
        self.runtime.prefetch.release_position(job);
        self.runtime.lanes.finish(job.lane);
    }

    /// These become a batch, once their events are at hand.
    ///
    /// # Panics
    /// When another batch is being gathered: there is one at a time.
    pub fn start_gathering(&mut self, mut jobs: Vec<ActiveDelivery>, slot: SlotKind) {
        assert!(self.runtime.gathering.is_empty(), "two batches are gathered at a time: {self:?}");
        for job in &mut jobs {
            job.slot = slot;
            self.runtime.lanes.start(job.lane);
            self.runtime.ages.attempt_begins(job.born);
        }
        self.runtime.gathered = jobs.iter().map(|job| job.delivery.seq).collect();
        self.runtime.gathering = jobs;
    }

    /// What is being gathered for a batch.
    #[must_use]
    pub fn gathering(&self) -> &[ActiveDelivery] {
        &self.runtime.gathering
    }

    #[must_use]
    pub fn gathering_mut(&mut self) -> &mut [ActiveDelivery] {
        &mut self.runtime.gathering
    }

    /// The batch closes: what was gathered for it.
    pub fn take_gathering(&mut self) -> Vec<ActiveDelivery> {
        self.runtime.gathered.clear();
        let gathered = std::mem::take(&mut self.runtime.gathering);
        gathered.iter().for_each(|job| self.runtime.ages.attempt_ends(job.born));
        gathered
    }

    /// One of those that are being gathered has an end of its own: an attempt that is only for it.
    /// Says whether it was among them, and which slot the batch has.
    pub fn single_out(&mut self, delivery: Seq) -> Option<SlotKind> {
        let gathering = &mut self.runtime.gathering;
        let at = gathering.iter().position(|job| job.delivery.seq == delivery)?;
        let job = gathering.remove(at);
        self.runtime.gathered.remove(&delivery);
        let slot = job.slot;
        self.runtime.in_flight.insert(delivery, job);
        Some(slot)
    }

    /// One that was gathered does not fit into the batch: it waits for the next.
    pub fn give_back(&mut self, job: ActiveDelivery, now_mono: u64) {
        self.runtime.lanes.finish(job.lane);
        // Retention may have let it wait among the retries meanwhile.
        if job.position.is_some() && !self.retrying.contains_key(&job.delivery.seq) {
            return self.put_back(job);
        }
        self.runtime.prefetch.release_position(&job);
        self.wait_in_lane(job.lane, job.delivery.seq, job.born, now_mono);
    }

    /// Those that were gathered are members of a batch from now on, and this is it. They are
    /// remembered as waiting with it.
    pub fn batch_formed(&mut self, batch: BatchInFlight) {
        let Self { remembered, runtime } = self;
        for member in &batch.members {
            let at = remembered.position_in_lane(member.delivery);
            runtime.lanes.wait(member.lane, at, member.delivery, false);
            runtime.ages.attempt_begins(member.born);
        }
        runtime.members_in_flight.extend(living(&batch));
        runtime.batches_in_flight.insert(batch.id, batch);
    }

    /// A batch that waited goes out again, once its events have been read.
    ///
    /// # Panics
    /// When no such batch waits: its timer says that it does.
    pub fn start_batch(&mut self, id: BatchId, slot: SlotKind) {
        let Self { remembered, runtime } = self;
        let Some(waiting) = remembered.batches.get(&id) else {
            panic!("batch {id} of endpoint '{}' has a timer, and does not wait", self.settings.name)
        };

        let mut members = Vec::with_capacity(waiting.members.len());
        for delivery in &waiting.members {
            // Where records were lost a member may have ended without its batch.
            let Some(entry) = remembered.retrying.get(delivery) else { continue };
            let lane = remembered.lane_of_key(entry.key);
            runtime.lanes.start(lane);
            runtime.ages.attempt_begins(entry.born());
            members.push(MemberInFlight {
                delivery: *delivery,
                event: entry.event,
                event_id: None,
                read_at: None,
                attempts: entry.attempts,
                last: entry.last,
                lane,
                born: entry.born(),
                ended: false,
                own: false,
            });
        }

        let batch = BatchInFlight {
            id,
            members,
            attempts: waiting.attempts,
            slot,
            halved: waiting.halved,
            halved_at: waiting.halved_at,
            reading: true,
            format: waiting.format,
        };
        runtime.members_in_flight.extend(living(&batch));
        runtime.batches_in_flight.insert(id, batch);
    }

    /// A batch under way, by the id that its request has.
    #[must_use]
    pub fn batch_in_flight(&self, request: BatchId) -> Option<&BatchInFlight> {
        self.runtime.batches_in_flight.get(&request)
    }

    #[must_use]
    pub fn batch_in_flight_mut(&mut self, request: BatchId) -> Option<&mut BatchInFlight> {
        self.runtime.batches_in_flight.get_mut(&request)
    }

    /// All batches under way.
    pub fn batches_in_flight(&self) -> impl Iterator<Item = &BatchInFlight> {
        self.runtime.batches_in_flight.values()
    }

    /// The attempt for a batch has ended.
    pub fn finish_batch(&mut self, request: BatchId) -> Option<BatchInFlight> {
        let batch = self.runtime.batches_in_flight.remove(&request)?;
        for delivery in living(&batch) {
            self.runtime.members_in_flight.remove(&delivery);
        }
        for member in &batch.members {
            self.runtime.ages.attempt_ends(member.born);
            self.runtime.lanes.finish(member.lane);
            self.runtime.lanes.wait_no_more(member.lane, member.delivery);
        }
        Some(batch)
    }

    /// Gives what waits of an ended batch its lanes and timers again.
    pub fn resume_batch(&mut self, ended: &BatchInFlight, now_mono: u64) {
        let mut batches = BTreeSet::new();
        for MemberInFlight { delivery, lane, .. } in &ended.members {
            // Others of them have ended with it.
            let Some(waiting) = self.retrying.get(delivery).copied() else { continue };
            match waiting.batch {
                Some(batch) => {
                    let at = self.position_in_lane(*delivery);
                    self.runtime.lanes.wait(*lane, at, *delivery, waiting.parked);
                    self.runtime.ages.enter(waiting.born(), *delivery);
                    batches.insert(batch);
                }
                None if waiting.parked => self.park(*lane, *delivery),
                None => {
                    let due = now_mono + waiting.delay_ms;
                    self.wait_in_lane(*lane, *delivery, waiting.born(), due);
                }
            }
        }

        for id in batches {
            let delay_ms = self.batches.get(&id).map_or(0, |batch| batch.delay_ms);
            self.wait_turn(TimerKey::Batch(id), now_mono + delay_ms);
        }

        let lanes: BTreeSet<u64> = ended.members.iter().filter_map(|member| member.lane).collect();
        lanes.into_iter().for_each(|lane| self.free_lane(Some(lane), now_mono));
    }

    /// The operator ended a delivery: an attempt under way for it has no consequence. A batch that
    /// it was in has the id `renamed` from now on.
    pub fn end_in_flight(&mut self, delivery: Seq, renamed: BatchId) {
        let runtime = &mut self.runtime;
        let gathering = runtime.gathering.iter_mut().filter(|job| job.delivery.seq == delivery);
        for job in runtime.in_flight.get_mut(&delivery).into_iter().chain(gathering) {
            job.ended = true;
        }

        for batch in runtime.batches_in_flight.values_mut() {
            let mut living = batch.members.iter_mut().filter(|member| !member.ended);
            if let Some(member) = living.find(|member| member.delivery == delivery) {
                member.ended = true;
                batch.id = renamed;
                runtime.members_in_flight.remove(&delivery);
            }
        }
    }
}

/// The members of a batch that have not ended.
fn living(batch: &BatchInFlight) -> impl Iterator<Item = Seq> {
    batch.members.iter().filter(|member| !member.ended).map(|member| member.delivery)
}
