//! An attempt for a batch has ended: what follows?

use super::outcome::{BatchOutcome, MemberOutcome, Prospects};
use crate::model::{AttemptReport, BatchId, DeliveryId, EndpointId, EventId, Now, Outcome, Seq};
use crate::queue::attempts::attempt_retry::{AttemptRetry, AttemptWeight, RetryProgress};
use crate::queue::endpoint::{BatchInFlight, MemberInFlight};
use crate::queue::{Draft, Queue};
use crate::record::{BatchFinished, Consequence, DeadLetter, MemberFinished, NONE_TAKEN, Record};

impl Queue {
    /// Takes the report of an attempt for a batch. `failed`: the receiver took all events but
    /// these.
    pub(in crate::queue) fn batch_finished(
        &mut self,
        now: Now,
        id: EndpointId,
        batch: BatchId,
        mut report: AttemptReport,
        failed: &[EventId],
        draft: &mut Draft,
    ) {
        // The endpoint may have been deleted meanwhile.
        let Some(batch) = self.take_batch_out_of_flight(id, batch) else { return };

        // An attempt of which nothing was taken is a failure, whatever its status.
        let success = MemberOutcome::of_success(&batch, &report, failed);
        if matches!(success, Some(MemberOutcome::Partly { any_taken: false, .. })) {
            report.outcome = Outcome::Retryable { after_ms: None };
            report.error.get_or_insert_with(|| NONE_TAKEN.to_owned());
        }

        let uncounted = self.classify_link(id, &report, now, draft);
        let failing_ms = self.measure_failing_ms(id, &report, uncounted, now);

        // What follows for the batch as a whole, and for each of its members.
        let draw = rand::Rng::random::<f64>(&mut self.rng);
        let weight = AttemptWeight { uncounted, failing_ms };
        let retry = AttemptRetry::new(&self.state.endpoint(id).settings, &report, weight, draw);
        let outcome = self.batch_outcome(id, &batch, &report, success, &retry);
        let members = batch.members.iter().map(|member| MemberFinished {
            delivery: member.delivery,
            event: member.event,
            number: member.attempts + 1,
            prev: member.last,
            next: outcome.for_member(now, member, self.progress(id, member), &retry, &report),
        });
        let members: Vec<MemberFinished> = members.collect();

        // One record holds the attempt and all that follows from it. Where the operator has ended
        // all of its deliveries meanwhile, nothing does.
        let health = self.learn(now, id, &report, uncounted);
        let held = members.iter().find_map(|member| member.next.holds()).cloned();
        if batch.members.iter().any(|member| !member.ended) {
            let finished = BatchFinished {
                endpoint: id,
                batch: batch.id,
                number: batch.attempts + 1,
                report: report.clone(),
                members,
                next: outcome.batch,
                uncounted,
                failing_ms,
                ran_ms: self.ran_ms,
                restraint: self.state.endpoint(id).restraint_now(now),
            };
            self.note_batch_delivered(id, &batch, &finished);
            self.remember_finished(now, &batch, finished, draft);
        }

        self.apply_health(now, id, &report, health, held.as_ref(), draft);
        self.resume(id, now, &batch, draft);
    }

    fn note_batch_delivered(
        &mut self,
        id: EndpointId,
        batch: &BatchInFlight,
        finished: &BatchFinished,
    ) {
        for (member, end) in batch.members.iter().zip(&finished.members) {
            if end.next == Consequence::Delivered {
                self.note_delivered(id, member.born);
            }
        }
    }

    /// Takes a batch whose attempt has ended out of flight, and gives its slot back. `None` when
    /// its endpoint was deleted.
    pub(super) fn take_batch_out_of_flight(
        &mut self,
        id: EndpointId,
        batch: BatchId,
    ) -> Option<BatchInFlight> {
        let batch = self.state.find_mut(id)?.finish_batch(batch)?;
        self.vacate(batch.slot);
        Some(batch)
    }

    /// How much a member has been tried, this attempt included.
    fn progress(&self, id: EndpointId, member: &MemberInFlight) -> RetryProgress {
        let age_ms = self.state.endpoint(id).age_ms(member.born, self.ran_ms);
        RetryProgress { attempts: member.attempts + 1, age_ms }
    }

    fn batch_outcome(
        &self,
        id: EndpointId,
        batch: &BatchInFlight,
        report: &AttemptReport,
        success: Option<MemberOutcome>,
        retry: &AttemptRetry,
    ) -> BatchOutcome {
        let endpoint = self.state.endpoint(id);
        let living = batch.members.iter().filter(|member| !member.ended);
        let progress = living.map(|member| self.progress(id, member));
        let together = progress.reduce(RetryProgress::together).unwrap_or_default();

        // Where nothing is taken, halves would not be taken either.
        let halves_may_succeed =
            !retry.holds && !retry.is_too_old(together) && endpoint.breaker().open.is_none();
        let outcome = match success {
            Some(each) => BatchOutcome::of_success(each),
            None => {
                let taken = endpoint.last_taken;
                let takes_others = taken > refused_since(batch) && taken > endpoint.last_failure;
                let prospects = Prospects { halves_may_succeed, takes_others };
                BatchOutcome::of_failure(batch, report, retry, together, prospects)
            }
        };

        if retry.holds { outcome.or_hold() } else { outcome }
    }

    /// Remembers an attempt for a batch, and each of its members that died; notifies of these, and
    /// of those that were parked.
    fn remember_finished(
        &mut self,
        now: Now,
        batch: &BatchInFlight,
        finished: BatchFinished,
        draft: &mut Draft,
    ) {
        let dead: Vec<DeadLetter> =
            finished.members.iter().filter_map(|member| dead_letter(&finished, member)).collect();
        let parked: Vec<(DeliveryId, String)> =
            finished.members.iter().filter_map(|member| parked(&finished, member)).collect();
        let request = (!dead.is_empty()).then(|| finished.report.request.clone());
        let seq = self.remember(Record::BatchFinished(Box::new(finished)), draft);

        for dead in dead {
            let dead = DeadLetter { last: seq, ..dead };
            let record = Record::DeadLetterRecorded { dead: dead.clone(), dead_letter_seq: 0 };
            self.remember(record, draft);

            let of_member = batch.members.iter().find(|m| m.delivery == dead.delivery.seq);
            let own = of_member.is_some_and(|member| member.own);
            self.notify_dead(now, &dead, request.as_ref(), own, draft);
        }
        for (delivery, reason) in parked {
            self.notify_parked(now, delivery, &reason, draft);
        }
    }

    /// Gives the deliveries of an ended batch that go on waiting their lanes and timers again.
    pub(super) fn resume(
        &mut self,
        id: EndpointId,
        now: Now,
        batch: &BatchInFlight,
        draft: &mut Draft,
    ) {
        self.state.endpoint_mut(id).resume_batch(batch, now.mono_ms);
        self.leave_overtaken(id, &batch.members, now, draft);
        self.leave_stale(id, batch.members.iter().map(|member| member.delivery), now, draft);
        self.wake(id);
    }
}

/// The first attempt that is known to have refused what a batch holds; `Seq::MAX` when this is it.
fn refused_since(batch: &BatchInFlight) -> Seq {
    if batch.halved {
        return batch.halved_at;
    }
    let last = batch.members.iter().map(|member| member.last).max();
    last.filter(|_| batch.attempts > 0).unwrap_or(Seq::MAX)
}

/// The dead letter of a member that died. The record of its last attempt is not known yet.
fn dead_letter(finished: &BatchFinished, member: &MemberFinished) -> Option<DeadLetter> {
    let Consequence::Dead { reason } = &member.next else { return None };
    Some(DeadLetter {
        delivery: DeliveryId { seq: member.delivery, endpoint: finished.endpoint },
        event: member.event,
        attempts: member.number,
        died_at: finished.report.started_at + finished.report.duration_ms,
        reason: reason.clone(),
        last: 0,
        kept_since: None,
    })
}

/// The delivery of a member that was parked, and why.
fn parked(finished: &BatchFinished, member: &MemberFinished) -> Option<(DeliveryId, String)> {
    let Consequence::Parked { reason } = &member.next else { return None };
    Some((DeliveryId { seq: member.delivery, endpoint: finished.endpoint }, reason.clone()))
}
