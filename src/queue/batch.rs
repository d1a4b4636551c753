//! Batches: which deliveries go out together, and what an attempt for them means for each.
//!
//! A batch closes by the number of its events, by their bytes, or when the oldest has waited long enough. Its members
//! are remembered before it goes out, so that it is the same batch, under the same id, at every attempt. Each delivery
//! keeps its own count, history and fate. A receiver may take all but some (`failed`): these go on alone, and join other
//! batches. A batch that is refused for what is in it (400, 413, 422), or that is given up although its receiver answers,
//! is split in halves, until what it was refused for stands alone and dies alone.

use std::sync::Arc;

use super::flow::{FlyingBatch, Job, Member, Slot, Work};
use super::input::{Action, Loaded};
use super::{Draft, Queue};
use crate::model::backoff::{self, Verdict};
use crate::model::{
    AttemptReport, BatchId, DeliveryId, EndpointId, Event, EventId, HoldReason, Now, Outcome, Seq, limits,
};
use crate::record::{
    BatchFinished, BatchMember, BatchNext, DeadLetter, MemberFinished, NONE_TAKEN, Next, OTHERS_TAKEN, Record,
};

impl Queue {
    /// Takes what is due out of window and timers, to become a batch once it has been read.
    pub(super) fn gather(&mut self, id: EndpointId, slot: Slot, now: Now, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let Some(batch) = lane.endpoint.batch else { return };
        let mut jobs: Vec<Job> = Vec::new();
        let most = batch.max_events as usize;
        let due = flow.timers.iter().take_while(|((due, _), _)| *due <= now.mono_ms);
        let ones = due.filter_map(|((_, work), since)| match work {
            Work::One(key) => Some((*key, *since)),
            Work::Batch(_) => None,
        });
        for (key, since) in ones.take(most).collect::<Vec<_>>() {
            jobs.extend(flow.waiting_job(lane, key, since));
        }
        let mut bytes = 0;
        while flow.may_begin(lane)
            && jobs.len() < most
            && bytes < batch.max_bytes
            && let Some(at) = flow.next_fresh()
            && let Some((mut job, freed)) = flow.take_out(at)
        {
            self.window_bytes -= freed;
            bytes += job.size;
            job.since = flow.age_clock(now.mono_ms);
            jobs.push(job);
        }
        if jobs.is_empty() {
            return;
        }
        for job in &mut jobs {
            job.slot = slot;
            flow.lanes.fly(job.key);
        }
        let missing: Vec<Seq> = jobs.iter().filter(|job| job.loaded.is_none()).map(|job| job.event).collect();
        flow.gathering = jobs;
        self.occupy(slot);
        if missing.is_empty() {
            return self.form(id, now, draft);
        }
        let events = missing.into_iter().map(|event| self.state.moved.get(&event).copied().unwrap_or(event)).collect();
        draft.actions.push(Action::LoadBatch { endpoint: id, batch: None, events, max_bytes: batch.max_bytes });
    }

    /// Events of a batch were read: of one that is being gathered, or of one that goes out again.
    pub(super) fn batch_loaded(
        &mut self,
        now: Now,
        id: EndpointId,
        batch: Option<BatchId>,
        events: Vec<Loaded>,
        draft: &mut Draft,
    ) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        match batch {
            Some(batch) => self.send_again(now, id, batch, events, draft),
            None => {
                let mut events = events.into_iter();
                let mut gone = Vec::new();
                for job in flow.gathering.iter_mut().filter(|job| job.loaded.is_none()) {
                    match events.next() {
                        Some(Loaded::Event(event)) => job.loaded = Some(event),
                        Some(Loaded::Gone) => gone.push(job.delivery),
                        Some(Loaded::NotRead) | None => {}
                    }
                }
                self.bury_gone(now, id, &gone, draft);
                self.form(id, now, draft);
            }
        }
    }

    /// Deliveries whose events are not in the log any more end here.
    fn bury_gone(&mut self, now: Now, id: EndpointId, gone: &[DeliveryId], draft: &mut Draft) {
        let mut place = None;
        for delivery in gone {
            let Some(flow) = self.flows.get_mut(&id) else { return };
            let Some(at) = flow.gathering.iter().position(|job| job.delivery == *delivery) else { continue };
            let job = flow.gathering.remove(at);
            // It takes a place of its own for a moment, because that is given back when it lands.
            let slot = job.slot;
            place = Some(slot);
            flow.in_flight.insert(delivery.seq, job);
            self.occupy(slot);
            self.finished(now, *delivery, super::finish::event_is_gone(now), draft);
        }
        if let (Some(slot), true) = (place, self.flows.get(&id).is_some_and(|flow| flow.gathering.is_empty())) {
            self.vacate(slot);
        }
    }

    /// Closes the batch that was gathered: as much of it as fits is remembered and sent, the rest waits on.
    fn form(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let most = lane.endpoint.batch.map_or(limits::BATCH_OUT_BYTES, |batch| batch.max_bytes);
        let mut jobs = std::mem::take(&mut flow.gathering);
        let Some(slot) = jobs.first().map(|job| job.slot) else { return };
        let (mut bytes, mut fits) = (0, 0);
        for job in &jobs {
            let Some(event) = &job.loaded else { break };
            bytes += event.body.len() as u64;
            if fits > 0 && bytes > most {
                break;
            }
            fits += 1;
        }
        let rest = jobs.split_off(fits);
        for job in rest.into_iter().rev() {
            flow.lanes.land(job.key);
            match job.position {
                Some(_) => flow.put_back(job),
                None => flow.wait_in_lane(job.key, job.delivery.seq, now.mono_ms, job.since),
            }
        }
        // Those that the operator has ended meanwhile have no part in it.
        let (ended, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.ended);
        for job in &ended {
            flow.settle(job);
            flow.lanes.land(job.key);
        }
        if jobs.is_empty() {
            self.vacate(slot);
            return self.wake(id);
        }
        self.remember_batch(id, now, jobs, slot, draft);
        for job in ended {
            self.free(id, job.key, now);
        }
    }

    fn remember_batch(&mut self, id: EndpointId, now: Now, jobs: Vec<Job>, slot: Slot, draft: &mut Draft) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let clock = flow.age_clock(now.mono_ms);
        let age = |job: &Job| job.age_ms + clock.saturating_sub(job.since);
        let members = jobs.iter().map(|job| BatchMember {
            delivery: job.delivery.seq,
            event: job.event,
            position: job.position,
            attempts: job.attempts,
            last: job.last,
            key: job.key,
            age_ms: age(job),
        });
        let members: Vec<BatchMember> = members.collect();
        jobs.iter().for_each(|job| flow.settle(job));
        let low = flow.low(self.state.next_seq);
        let age_ms = members.iter().map(|member| member.age_ms).max().unwrap_or(0);
        let seq = self.remember(Record::BatchFormed { endpoint: id, members, low }, draft);
        let batch = BatchId { seq, part: 0 };
        let members = jobs.iter().map(|job| Member {
            delivery: job.delivery.seq,
            event: job.event,
            event_id: job.loaded.as_ref().map(|event| event.webhook_id()),
            attempts: job.attempts,
            last: job.last,
            key: job.key,
            ended: false,
            own: job.loaded.as_ref().is_some_and(|event| event.is_own()),
        });
        let flying = FlyingBatch {
            id: batch,
            members: members.collect(),
            attempts: 0,
            age_ms,
            since: clock,
            slot,
            halved: false,
            reading: false,
        };
        let events = jobs.into_iter().filter_map(|job| job.loaded).collect();
        let Some(flow) = self.flows.get_mut(&id) else { return };
        for member in &flying.members {
            flow.lanes.wait(member.key, member.delivery, false);
        }
        flow.batches.insert(batch, flying);
        self.ready_batches.push((id, batch, events));
    }

    /// A batch that waited goes out again, once its events have been read.
    pub(super) fn start_batch(&mut self, id: EndpointId, batch: BatchId, since: u64, slot: Slot, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let Some(waiting) = lane.batches.get(&batch) else { return };
        let mut members = Vec::with_capacity(waiting.members.len());
        for key in &waiting.members {
            let Some(entry) = lane.retrying.get(key) else { continue };
            let lane_key = lane.key_of(entry.key);
            flow.lanes.fly(lane_key);
            members.push(Member {
                delivery: *key,
                event: entry.event,
                event_id: None,
                attempts: entry.attempts,
                last: entry.last,
                key: lane_key,
                ended: false,
                own: false,
            });
        }
        let events = members.iter().map(|m| self.state.moved.get(&m.event).copied().unwrap_or(m.event)).collect();
        let (attempts, age_ms, halved) = (waiting.attempts, waiting.age_ms, waiting.halved);
        let flying = FlyingBatch { id: batch, members, attempts, age_ms, since, slot, halved, reading: true };
        flow.batches.insert(batch, flying);
        self.occupy(slot);
        draft.actions.push(Action::LoadBatch { endpoint: id, batch: Some(batch), events, max_bytes: u64::MAX });
    }

    fn send_again(&mut self, now: Now, id: EndpointId, batch: BatchId, events: Vec<Loaded>, draft: &mut Draft) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let Some(flying) = flow.batches.get_mut(&batch).filter(|flying| flying.reading) else { return };
        flying.reading = false;
        let mut read: Vec<Arc<Event>> = Vec::with_capacity(events.len());
        let mut lost = Vec::new();
        for (member, event) in flying.members.iter_mut().zip(events) {
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
        // Its content is not what it was: what is left of it is another batch, and goes out as such.
        let Some(flying) = self.ground(id, batch) else { return };
        for delivery in &lost {
            let at = DeliveryId { seq: *delivery, endpoint: id };
            if let Some(member) = flying.members.iter().find(|member| member.delivery == *delivery && !member.ended) {
                self.die(now, at, member.event, "its event cannot be read from the log", draft);
            }
        }
        self.resume(id, now, &flying);
    }

    /// Sends the batches whose events are at hand. One that lost a member to the operator meanwhile is another batch by now,
    /// and goes out as such.
    pub(super) fn send_ready(&mut self, now: Now, draft: &mut Draft) {
        for (id, batch, events) in std::mem::take(&mut self.ready_batches) {
            let (Some(flow), Some(lane)) = (self.flows.get(&id), self.state.lanes.get(&id)) else { continue };
            let Some(flying) = flow.batches.get(&batch) else { continue };
            if flying.id == batch {
                let (number, endpoint) = (flying.attempts + 1, lane.endpoint.clone());
                draft.actions.push(Action::AttemptBatch { endpoint, batch, number, events });
            } else if let Some(flying) = self.ground(id, batch) {
                self.resume(id, now, &flying);
            }
        }
    }

    /// An attempt for a batch has ended.
    pub(super) fn batch_finished(
        &mut self,
        now: Now,
        id: EndpointId,
        batch: BatchId,
        report: AttemptReport,
        failed: &[EventId],
        draft: &mut Draft,
    ) {
        let Some(flying) = self.ground(id, batch) else { return };
        let Some(lane) = self.state.lanes.get(&id) else { return };
        let policy = lane.endpoint.retry.clone();
        let spared = self.judge_way(id, &report, now, draft);
        let failing_ms = self.failing_ms(id, &report, spared, now);
        let clock = self.flows.get(&id).map_or(0, |flow| flow.age_clock(now.mono_ms));
        let age_ms = flying.age_ms + clock.saturating_sub(flying.since);
        let draw = rand::Rng::random::<f64>(&mut self.rng);
        let decide = |attempts: u32| {
            // What is not counted is no reason to give up.
            let attempts = if spared { 1 } else { attempts };
            backoff::decide(&policy, attempts, age_ms, super::finish::asked_for(&report), draw)
        };
        let answers = self.flows.get(&id).is_some_and(|flow| flow.breaker.open.is_none());
        let fate = Fate::of(&flying, &report, failed, answers, &decide);
        let fate = self.or_hold(id, fate, failing_ms);
        let retry = |delay_ms: u64| Next::Retry { due_at: now.wall_ms.saturating_add(delay_ms), delay_ms, age_ms };
        let members = flying.members.iter().map(|member| MemberFinished {
            delivery: member.delivery,
            event: member.event,
            number: member.attempts + 1,
            prev: member.last,
            next: if member.ended { Next::Ended } else { fate.next(member, &decide, &retry) },
        });
        let members: Vec<MemberFinished> = members.collect();
        if flying.members.iter().any(|member| !member.ended) {
            let dead: Vec<DeadLetter> = members.iter().filter_map(|m| dead_letter(id, m, &report)).collect();
            let record = BatchFinished {
                endpoint: id,
                batch: flying.id,
                number: flying.attempts + 1,
                report: report.clone(),
                members,
                next: fate.batch.clone(),
                spared,
                failing_ms,
            };
            let seq = self.remember(Record::BatchFinished(Box::new(record)), draft);
            for mut letter in dead {
                letter.last = seq;
                let own = flying.members.iter().any(|m| m.delivery == letter.delivery.seq && m.own);
                self.remember(Record::DeadCarried { dead: letter.clone(), grave: 0 }, draft);
                self.tell_dead(now, &letter, own);
            }
        }
        self.learn(now, id, &report, spared, draft);
        self.resume(id, now, &flying);
    }

    /// Takes a batch out of flight.
    fn ground(&mut self, id: EndpointId, batch: BatchId) -> Option<FlyingBatch> {
        let flow = self.flows.get_mut(&id)?;
        let flying = flow.batches.remove(&batch)?;
        for member in &flying.members {
            flow.lanes.land(member.key);
            flow.lanes.wait_no_more(member.key, member.delivery);
        }
        let slot = flying.slot;
        self.vacate(slot);
        Some(flying)
    }

    /// Gives what waits of an ended batch its lanes and timers again.
    fn resume(&mut self, id: EndpointId, now: Now, flying: &FlyingBatch) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let since = flow.age_clock(now.mono_ms);
        let mut batches = std::collections::BTreeSet::new();
        for Member { delivery, key, .. } in &flying.members {
            let Some(waiting) = lane.retrying.get(delivery) else { continue };
            match waiting.batch {
                Some(batch) => {
                    flow.lanes.wait(*key, *delivery, waiting.parked);
                    batches.insert(batch);
                }
                None => flow.wait_in_lane(*key, *delivery, now.mono_ms + waiting.delay_ms, since),
            }
        }
        for batch in batches {
            let delay_ms = lane.batches.get(&batch).map_or(0, |batch| batch.delay_ms);
            flow.wait_turn(lane, Work::Batch(batch), now.mono_ms + delay_ms, since);
        }
        let keys: std::collections::BTreeSet<u64> = flying.members.iter().filter_map(|member| member.key).collect();
        for key in keys {
            flow.free_lane(lane, Some(key), now.mono_ms);
        }
        self.wake(id);
    }
}

/// What an attempt means for a batch and for its members.
struct Fate {
    batch: BatchNext,
    each: Each,
}

enum Each {
    Delivered,
    /// All but these are delivered; these are tried again after a while, or are dead.
    Partly {
        failed: Vec<EventId>,
        any_taken: bool,
    },
    Retry {
        delay_ms: u64,
    },
    Dead {
        reason: String,
    },
    Held(HoldReason),
}

impl Fate {
    fn of(
        flying: &FlyingBatch,
        report: &AttemptReport,
        failed: &[EventId],
        answers: bool,
        decide: &impl Fn(u32) -> Verdict,
    ) -> Self {
        let over = |each| Self { batch: BatchNext::Over, each };
        let living = flying.members.iter().filter(|member| !member.ended).count();
        let attempts = flying.members.iter().map(|member| member.attempts + 1).max().unwrap_or(1);
        let halves = |delay_ms| {
            let first = u32::try_from(living.div_ceil(2)).unwrap_or(u32::MAX);
            Self { batch: BatchNext::Split { first }, each: Each::Retry { delay_ms } }
        };
        let status = report.response.as_ref().map(|response| response.status);
        let blames_content = matches!(status, Some(400 | 413 | 422));
        match &report.outcome {
            Outcome::Delivered if failed.is_empty() => over(Each::Delivered),
            Outcome::Delivered => {
                let is_taken = |m: &Member| !m.ended && !m.event_id.is_some_and(|id| failed.contains(&id));
                over(Each::Partly { failed: failed.to_vec(), any_taken: flying.members.iter().any(is_taken) })
            }
            Outcome::Gone => Self { batch: BatchNext::Again, each: Each::Held(HoldReason::Gone) },
            Outcome::Hold => Self { batch: BatchNext::Again, each: Each::Held(HoldReason::Receiver) },
            Outcome::Drop => over(Each::Dead { reason: super::finish::DROPPED.to_owned() }),
            Outcome::Refused => over(Each::Dead { reason: super::finish::why_refused(report) }),
            Outcome::Retryable { .. } if blames_content && living > 1 => halves(0),
            Outcome::Retryable { .. } if blames_content && (flying.halved || status == Some(413)) => over(Each::Dead {
                reason: format!("the receiver refuses it alone: {}", super::attempted::said(report)),
            }),
            Outcome::Retryable { .. } => match decide(attempts) {
                Verdict::RetryIn { delay_ms } => Self { batch: BatchNext::Again, each: Each::Retry { delay_ms } },
                // Perhaps one of them is to blame: each half gets a last attempt of its own.
                Verdict::GiveUp { .. } if living > 1 && status.is_some() && answers => halves(0),
                Verdict::GiveUp { reason } => over(Each::Dead { reason: super::finish::last_words(&reason, report) }),
            },
        }
    }

    fn next(&self, member: &Member, decide: &impl Fn(u32) -> Verdict, retry: &impl Fn(u64) -> Next) -> Next {
        match &self.each {
            Each::Delivered => Next::Delivered,
            Each::Partly { failed, .. } if !member.event_id.is_some_and(|id| failed.contains(&id)) => Next::Delivered,
            Each::Partly { any_taken, .. } => match decide(member.attempts + 1) {
                Verdict::RetryIn { delay_ms } => retry(delay_ms),
                Verdict::GiveUp { reason } => {
                    let last = if *any_taken { OTHERS_TAKEN } else { NONE_TAKEN };
                    Next::Dead { reason: format!("{reason}; the last: {last}") }
                }
            },
            Each::Retry { delay_ms } => retry(*delay_ms),
            Each::Dead { reason } => Next::Dead { reason: reason.clone() },
            Each::Held(reason) => Next::Held { reason: reason.clone() },
        }
    }
}

impl Queue {
    /// Puts the endpoint on hold instead, when it has done nothing but fail for too long.
    fn or_hold(&self, id: EndpointId, fate: Fate, failing_ms: u64) -> Fate {
        let after = self.state.lanes.get(&id).map_or(u64::MAX, |lane| lane.endpoint.hold_after_ms);
        match (&fate.batch, &fate.each) {
            (BatchNext::Again, Each::Retry { .. }) if failing_ms >= after => {
                Fate { batch: BatchNext::Again, each: Each::Held(HoldReason::Failing) }
            }
            _ => fate,
        }
    }
}

fn dead_letter(endpoint: EndpointId, member: &MemberFinished, report: &AttemptReport) -> Option<DeadLetter> {
    let Next::Dead { reason } = &member.next else { return None };
    Some(DeadLetter {
        delivery: DeliveryId { seq: member.delivery, endpoint },
        event: member.event,
        attempts: member.number,
        died_at: report.started_at + report.duration_ms,
        reason: reason.clone(),
        last: 0,
    })
}
