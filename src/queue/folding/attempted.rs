//! How the state changes by attempts, of one delivery or of a batch, and by the ends of deliveries.

use super::state::{State, StateError, impossible};
use crate::model::{AttemptFault, AttemptReport, BatchFormat, BatchId, EndpointId, Outcome, Seq};
use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::remembered::meanwhile::Meanwhile;
use crate::queue::remembered::waiting::{Retrying, WaitingBatch};
use crate::queue::reports::{error_summary, has_decided};
use crate::record::{
    AttemptFinished, BatchConsequence, BatchFinished, BatchMember, Consequence, DeadLetter, LOST,
    MemberFinished,
};

/// The position of a delivery in its lane, where that is not its own number: the position in the
/// stream that it was taken from, by this record or by one before.
fn position_in_lane(
    delivery: Seq,
    position: Option<Seq>,
    before: Option<&Retrying>,
) -> Option<Seq> {
    match position {
        Some(position) => Retrying::position_if_moved(delivery, position),
        None => before.and_then(|waiting| waiting.position),
    }
}

impl State {
    pub(in crate::queue) fn attempt_finished(
        &mut self,
        seq: Seq,
        attempt: &AttemptFinished,
    ) -> Result<(), StateError> {
        self.count_attempt(&attempt.report);

        let ran_ms = self.ran_ms;
        let endpoint = self.remembered(seq, attempt.delivery.endpoint)?;
        endpoint.take_up(attempt.position, attempt.low);
        endpoint.begin_to_fail(&attempt.report);
        endpoint.count_result(seq, &attempt.report, attempt.failing_ms);
        endpoint.set_restraint(attempt.restraint.as_deref(), has_decided(&attempt.report));

        // The entry of the delivery, if it goes on waiting.
        let delivery = attempt.delivery.seq;
        let before = endpoint.retrying.get(&delivery);
        let waiting = Retrying {
            key: attempt.key,
            age_ms: before.map_or(0, |waiting| waiting.age_ms),
            born: attempt.born,
            // At a position that retention moved it has not been attempted before.
            asked: before.is_some_and(|waiting| waiting.asked)
                || (attempt.number > 1 && endpoint.revived.contains(delivery)),
            position: position_in_lane(delivery, attempt.position, before),
            source: attempt.source,
            ..Retrying::due(attempt.event, attempt.number - u32::from(attempt.uncounted), seq, 0)
        };
        endpoint.leave_batch(seq, delivery);
        let ended =
            endpoint.apply_consequence(delivery, &attempt.next, waiting, &attempt.report, ran_ms);

        if matches!(ended, Some(DeliveryEnd::Dead)) {
            self.dead_letter_seqs.insert(seq);
        }
        if matches!(&attempt.next, Consequence::Dead { reason } if reason == LOST) {
            self.counts.lost += 1;
        }
        self.end_delivery(seq, attempt.delivery.endpoint, delivery, attempt.event, ended)
    }

    /// Counts an attempt.
    fn count_attempt(&mut self, report: &AttemptReport) {
        // A delivery that no consumer came for was not attempted.
        if report.fault != Some(AttemptFault::NotTaken) {
            self.counts.attempts += 1;
            self.counts.failed_attempts += u64::from(report.outcome != Outcome::Delivered);
        }
        self.last_wall = report.started_at;
    }

    pub(in crate::queue) fn batch_formed(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        members: &[BatchMember],
        low: Seq,
        format: Option<BatchFormat>,
    ) -> Result<(), StateError> {
        let endpoint = self.remembered(seq, endpoint)?;
        let batch = BatchId { seq, part: 0 };
        for member in members {
            endpoint.take_up(member.position, 0);

            // The operator may have asked for it again.
            let revived = endpoint.revived.remove(member.delivery) && member.attempts > 0;
            let before = endpoint.retrying.get(&member.delivery);
            let asked = revived || before.is_some_and(|waiting| waiting.asked);

            let waiting = Retrying {
                key: member.key,
                age_ms: if member.born > 0 { 0 } else { member.age_ms },
                batch: Some(batch),
                born: member.born,
                asked,
                position: position_in_lane(member.delivery, member.position, before),
                source: member.source,
                ..Retrying::due(member.event, member.attempts, member.last, 0)
            };
            endpoint.retrying.insert(member.delivery, waiting);
        }
        endpoint.take_up(None, low);

        let members = members.iter().map(|member| member.delivery).collect();
        let formed = WaitingBatch {
            members,
            attempts: 0,
            due_at: 0,
            delay_ms: 0,
            age_ms: 0,
            halved: false,
            format,
            halved_at: 0,
        };
        endpoint.batches.insert(batch, formed);
        Ok(())
    }

    pub(in crate::queue) fn batch_finished(
        &mut self,
        seq: Seq,
        finished: &BatchFinished,
    ) -> Result<(), StateError> {
        self.count_attempt(&finished.report);

        // After missing records its batch may be unknown.
        let is_known = self.unfolded.is_empty();
        let endpoint = self.remembered(seq, finished.endpoint)?;
        endpoint.begin_to_fail(&finished.report);
        endpoint.count_result(seq, &finished.report, finished.failing_ms);
        endpoint.set_restraint(finished.restraint.as_deref(), has_decided(&finished.report));
        let mut batch = match endpoint.batches.remove(&finished.batch) {
            Some(batch) => batch,
            None if is_known => return Err(impossible(seq, "its batch is unknown")),
            None => WaitingBatch::default(),
        };

        let mut waiting = Vec::new();
        for member in &finished.members {
            if let Some(delivery) = self.member_finished(seq, finished, member)? {
                waiting.push(delivery);
            }
        }

        // All members wait for the same time.
        batch.attempts = finished.number - u32::from(finished.uncounted);
        let endpoint = self.remembered(seq, finished.endpoint)?;
        if let Some(first) = waiting.first().and_then(|delivery| endpoint.retrying.get(delivery)) {
            (batch.due_at, batch.delay_ms) = (first.due_at, first.delay_ms);
        }

        match finished.next {
            BatchConsequence::Over => {}
            BatchConsequence::Again => {
                endpoint.regroup(finished.batch, WaitingBatch { members: waiting, ..batch })
            }
            BatchConsequence::Split { first } => {
                let behind = waiting.split_off((first as usize).min(waiting.len()));
                let halved_at = if batch.halved { batch.halved_at } else { seq };
                for (part, members) in (0..).zip([waiting, behind]) {
                    endpoint.regroup(
                        BatchId { seq, part },
                        WaitingBatch { members, halved: true, halved_at, ..batch.clone() },
                    );
                }
            }
        }
        Ok(())
    }

    /// Applies what follows for one delivery of a batch. Returns the delivery when it goes on
    /// waiting.
    fn member_finished(
        &mut self,
        seq: Seq,
        finished: &BatchFinished,
        member: &MemberFinished,
    ) -> Result<Option<Seq>, StateError> {
        let ran_ms = self.ran_ms;
        let endpoint = self.remembered(seq, finished.endpoint)?;
        let before = endpoint.retrying.get(&member.delivery).copied();
        let waiting = Retrying {
            key: before.and_then(|waiting| waiting.key),
            age_ms: before.map_or(0, |waiting| waiting.age_ms),
            // After missing records it may be unknown until now. It counts as new then.
            born: before.map_or(ran_ms, |waiting| waiting.born),
            asked: before.is_some_and(|waiting| waiting.asked),
            position: before.and_then(|waiting| waiting.position),
            source: before.map_or(0, |waiting| waiting.source),
            ..Retrying::due(member.event, member.number - u32::from(finished.uncounted), seq, 0)
        };
        if let Some(before) = endpoint.retrying.get_mut(&member.delivery) {
            before.batch = None;
        }

        let ended = endpoint.apply_consequence(
            member.delivery,
            &member.next,
            waiting,
            &finished.report,
            ran_ms,
        );
        self.end_delivery(seq, finished.endpoint, member.delivery, member.event, ended)?;

        let waits =
            self.remembered(seq, finished.endpoint)?.retrying.contains_key(&member.delivery);
        Ok(waits.then_some(member.delivery))
    }

    /// A delivery that waited is given up without another attempt, or one is imported that had
    /// died.
    pub(in crate::queue) fn died(&mut self, seq: Seq, dead: &DeadLetter) -> Result<(), StateError> {
        let endpoint = self.remembered(seq, dead.delivery.endpoint)?;
        endpoint.leave_batch(seq, dead.delivery.seq);
        endpoint.retrying.remove(&dead.delivery.seq);
        endpoint.leave_stream(seq, dead.delivery.seq);
        endpoint.take_up(Some(dead.delivery.seq), 0);

        self.dead_letter_seqs.insert(seq);
        self.counts.lost += u64::from(dead.reason == LOST);
        self.end_delivery(
            seq,
            dead.delivery.endpoint,
            dead.delivery.seq,
            dead.event,
            Some(DeliveryEnd::Dead),
        )
    }

    /// Counts the end of a delivery. The caller says which record holds it when it is dead.
    fn end_delivery(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        delivery: Seq,
        event: Seq,
        ended: Option<DeliveryEnd>,
    ) -> Result<(), StateError> {
        let Some(end) = ended else { return Ok(()) };

        let endpoint = self.count_end(seq, endpoint)?;
        match end {
            DeliveryEnd::Delivered => endpoint.delivered += 1,
            DeliveryEnd::Dead => {
                endpoint.died += 1;
                endpoint.dead.insert(delivery);
                if event != delivery {
                    endpoint.replayed_dead.insert(delivery, event);
                }
            }
        }
        Ok(())
    }

    pub(in crate::queue) fn superseded(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        deliveries: &[Seq],
        low: Seq,
    ) -> Result<(), StateError> {
        for delivery in deliveries {
            let endpoint = self.count_end(seq, endpoint)?;
            endpoint.leave_batch(seq, *delivery);
            endpoint.retrying.remove(delivery);
            endpoint.leave_stream(seq, *delivery);
            endpoint.take_up(Some(*delivery), 0);
            endpoint.cancelled.insert(*delivery);
        }
        self.remembered(seq, endpoint)?.take_up(None, low);
        self.counts.cancelled += deliveries.len() as u64;
        Ok(())
    }
}

/// How a delivery ended.
enum DeliveryEnd {
    Delivered,
    Dead,
}

impl EndpointState {
    /// Keeps how it was before the first failure of a run.
    fn begin_to_fail(&mut self, report: &AttemptReport) {
        let is_first = self.failing_from.is_none() && !has_decided(report);
        if is_first && report.fault != Some(AttemptFault::NotTaken) {
            self.failing_from = Some(Meanwhile::since(report.started_at, self.counts()));
        }
    }

    /// Counts an attempt of the endpoint, and keeps its result.
    fn count_result(&mut self, seq: Seq, report: &AttemptReport, failing_ms: u64) {
        if report.fault == Some(AttemptFault::NotTaken) {
            return;
        }

        self.last_attempt_at = report.started_at;
        self.failing_ms = failing_ms;
        if report.outcome == Outcome::Delivered {
            self.last_success_at = Some(report.started_at + report.duration_ms);
            self.last_taken = seq;
            self.succeeded += 1;
        } else {
            self.last_error = Some(error_summary(report));
            self.last_words = report.words();
            self.last_failure = seq;
            self.failed += 1;
        }
    }

    /// Applies what follows for a delivery. `waiting` is its entry, without a delay, if it goes on
    /// waiting.
    fn apply_consequence(
        &mut self,
        delivery: Seq,
        next: &Consequence,
        waiting: Retrying,
        report: &AttemptReport,
        ran_ms: u64,
    ) -> Option<DeliveryEnd> {
        let ended_at = report.started_at + report.duration_ms;
        match next {
            Consequence::Ended => return None,
            Consequence::Retry { due_at, delay_ms, age_ms } => {
                let age_ms = if waiting.born > 0 { 0 } else { *age_ms };
                let times = Retrying { due_at: *due_at, delay_ms: *delay_ms, age_ms, ..waiting };
                self.retrying.insert(delivery, times);
            }
            Consequence::Held { reason } => {
                self.put_on_hold(reason, ended_at, ran_ms);
                self.retrying.insert(delivery, Retrying { due_at: ended_at, ..waiting });
            }
            Consequence::Parked { .. } => {
                self.retrying
                    .insert(delivery, Retrying { due_at: ended_at, parked: true, ..waiting });
            }
            Consequence::Delivered | Consequence::Dead { .. } => {
                self.retrying.remove(&delivery);
            }
        }
        self.revived.remove(delivery);

        match next {
            Consequence::Delivered => Some(DeliveryEnd::Delivered),
            Consequence::Dead { .. } => Some(DeliveryEnd::Dead),
            Consequence::Ended
            | Consequence::Retry { .. }
            | Consequence::Held { .. }
            | Consequence::Parked { .. } => None,
        }
    }

    /// Lets the members of a batch go on together, under this id.
    fn regroup(&mut self, id: BatchId, batch: WaitingBatch) {
        for member in &batch.members {
            if let Some(waiting) = self.retrying.get_mut(member) {
                waiting.batch = Some(id);
            }
        }
        if !batch.members.is_empty() {
            self.batches.insert(id, batch);
        }
    }
}
