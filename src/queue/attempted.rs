//! What the state learns from attempts: of one delivery, or of a batch of them.

use super::lane::{Batch, Lane, Retrying};
use super::state::{State, StateError, impossible};
use crate::model::{AttemptReport, BatchId, EndpointId, Fault, Outcome, Seq};
use crate::record::{AttemptFinished, BatchFinished, BatchMember, BatchNext, DeadLetter, MemberFinished, Next};

impl State {
    pub(super) fn attempt_finished(&mut self, seq: Seq, attempt: &AttemptFinished) -> Result<(), StateError> {
        self.attempted(&attempt.report);
        let lane = self.lane(seq, attempt.delivery.endpoint)?;
        lane.take_up(attempt.position, attempt.low);
        lane.heard(&attempt.report, attempt.failing_ms);
        let key = attempt.delivery.seq;
        let waiting = Retrying {
            key: attempt.key,
            age_ms: lane.retrying.get(&key).map_or(0, |waiting| waiting.age_ms),
            ..Retrying::due(attempt.event, attempt.number - u32::from(attempt.spared), seq, 0)
        };
        lane.leave_batch(seq, key);
        let ended = lane.follow(key, &attempt.next, waiting, &attempt.report);
        if matches!(ended, Some(End::Dead)) {
            self.graves.insert(seq);
        }
        self.end(seq, attempt.delivery.endpoint, key, attempt.event, ended)
    }

    /// Counts an attempt, and keeps the time of it.
    fn attempted(&mut self, report: &AttemptReport) {
        // What no consumer came for was not attempted.
        if report.fault != Some(Fault::NotTaken) {
            self.counts.attempts += 1;
            self.counts.failed_attempts += u64::from(report.outcome != Outcome::Delivered);
        }
        self.last_wall = report.started_at;
    }

    pub(super) fn batch_formed(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        members: &[BatchMember],
        low: Seq,
    ) -> Result<(), StateError> {
        let lane = self.lane(seq, endpoint)?;
        let batch = BatchId { seq, part: 0 };
        for member in members {
            lane.take_up(member.position, 0);
            lane.revived.remove(member.delivery);
            let waiting = Retrying {
                key: member.key,
                age_ms: member.age_ms,
                batch: Some(batch),
                ..Retrying::due(member.event, member.attempts, member.last, 0)
            };
            lane.retrying.insert(member.delivery, waiting);
        }
        lane.take_up(None, low);
        let age_ms = members.iter().map(|member| member.age_ms).max().unwrap_or(0);
        let members = members.iter().map(|member| member.delivery).collect();
        lane.batches.insert(batch, Batch { members, attempts: 0, due_at: 0, delay_ms: 0, age_ms, halved: false });
        Ok(())
    }

    pub(super) fn batch_finished(&mut self, seq: Seq, finished: &BatchFinished) -> Result<(), StateError> {
        self.attempted(&finished.report);
        let lane = self.lane(seq, finished.endpoint)?;
        lane.heard(&finished.report, finished.failing_ms);
        let mut batch = lane.batches.remove(&finished.batch).ok_or_else(|| impossible(seq, "its batch is unknown"))?;
        let mut waiting = Vec::new();
        for member in &finished.members {
            if let Some(ended) = self.member_finished(seq, finished, member)? {
                waiting.push(ended);
            }
        }
        batch.attempts = finished.number - u32::from(finished.spared);
        // Its members all wait for the same time.
        let lane = self.lane(seq, finished.endpoint)?;
        if let Some(first) = waiting.first().and_then(|key| lane.retrying.get(key)) {
            (batch.due_at, batch.delay_ms, batch.age_ms) = (first.due_at, first.delay_ms, first.age_ms);
        }
        match finished.next {
            BatchNext::Over => {}
            BatchNext::Again => lane.regroup(finished.batch, Batch { members: waiting, ..batch }),
            BatchNext::Split { first } => {
                let behind = waiting.split_off((first as usize).min(waiting.len()));
                for (part, members) in (0..).zip([waiting, behind]) {
                    lane.regroup(BatchId { seq, part }, Batch { members, halved: true, ..batch.clone() });
                }
            }
        }
        Ok(())
    }

    /// What becomes of one delivery of a batch. Returns its key when it waits on.
    fn member_finished(
        &mut self,
        seq: Seq,
        finished: &BatchFinished,
        member: &MemberFinished,
    ) -> Result<Option<Seq>, StateError> {
        let lane = self.lane(seq, finished.endpoint)?;
        let before = lane.retrying.get(&member.delivery).copied();
        let waiting = Retrying {
            key: before.and_then(|waiting| waiting.key),
            age_ms: before.map_or(0, |waiting| waiting.age_ms),
            ..Retrying::due(member.event, member.number - u32::from(finished.spared), seq, 0)
        };
        if let Some(before) = lane.retrying.get_mut(&member.delivery) {
            before.batch = None;
        }
        let ended = lane.follow(member.delivery, &member.next, waiting, &finished.report);
        self.end(seq, finished.endpoint, member.delivery, member.event, ended)?;
        let waits = self.lane(seq, finished.endpoint)?.retrying.contains_key(&member.delivery);
        Ok(waits.then_some(member.delivery))
    }

    /// A delivery that waited is given up without another attempt, or one comes in that had died elsewhere.
    pub(super) fn died(&mut self, seq: Seq, dead: &DeadLetter) -> Result<(), StateError> {
        let lane = self.lane(seq, dead.delivery.endpoint)?;
        lane.leave_batch(seq, dead.delivery.seq);
        lane.retrying.remove(&dead.delivery.seq);
        lane.take_up(Some(dead.delivery.seq), 0);
        self.graves.insert(seq);
        self.end(seq, dead.delivery.endpoint, dead.delivery.seq, dead.event, Some(End::Dead))
    }

    /// Takes note of a delivery's end. Where it stands as a dead letter, its grave, is the caller's to say.
    fn end(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        key: Seq,
        event: Seq,
        ended: Option<End>,
    ) -> Result<(), StateError> {
        let Some(end) = ended else { return Ok(()) };
        let lane = self.lane(seq, endpoint)?;
        lane.undone = lane.undone.checked_sub(1).ok_or_else(|| impossible(seq, "it ends what had ended"))?;
        match end {
            End::Delivered => lane.delivered += 1,
            End::Dead => {
                lane.dead.insert(key);
                if event != key {
                    lane.replayed_dead.insert(key, event);
                }
            }
        }
        Ok(())
    }

    pub(super) fn superseded(
        &mut self,
        seq: Seq,
        endpoint: EndpointId,
        deliveries: &[Seq],
        low: Seq,
    ) -> Result<(), StateError> {
        let lane = self.lane(seq, endpoint)?;
        for delivery in deliveries {
            lane.take_up(Some(*delivery), 0);
            lane.cancelled.insert(*delivery);
            lane.undone = lane.undone.checked_sub(1).ok_or_else(|| impossible(seq, "it ends what had ended"))?;
        }
        lane.take_up(None, low);
        self.counts.cancelled += deliveries.len() as u64;
        Ok(())
    }
}

/// How a delivery ended.
enum End {
    Delivered,
    Dead,
}

impl Lane {
    /// What an attempt tells of the endpoint.
    fn heard(&mut self, report: &AttemptReport, failing_ms: u64) {
        if report.fault == Some(Fault::NotTaken) {
            return;
        }
        self.last_attempt_at = report.started_at;
        self.failing_ms = failing_ms;
        if report.outcome == Outcome::Delivered {
            self.last_success_at = Some(report.started_at + report.duration_ms);
            self.succeeded += 1;
        } else {
            self.last_error = Some(said(report));
            self.failed += 1;
        }
    }

    /// What follows for the delivery. `waiting` is its entry when it goes on, with no delay.
    fn follow(&mut self, key: Seq, next: &Next, waiting: Retrying, report: &AttemptReport) -> Option<End> {
        let ended_at = report.started_at + report.duration_ms;
        match next {
            Next::Ended => return None,
            Next::Retry { due_at, delay_ms, age_ms } => {
                let times = Retrying { due_at: *due_at, delay_ms: *delay_ms, age_ms: *age_ms, ..waiting };
                self.retrying.insert(key, times);
            }
            Next::Held { reason } => {
                self.hold = Some((reason.clone(), ended_at));
                self.retrying.insert(key, Retrying { due_at: ended_at, age_ms: 0, ..waiting });
            }
            Next::Parked { .. } => {
                self.retrying.insert(key, Retrying { due_at: ended_at, age_ms: 0, parked: true, ..waiting });
            }
            Next::Delivered | Next::Dead { .. } => {
                self.retrying.remove(&key);
            }
        }
        self.revived.remove(key);
        match next {
            Next::Delivered => Some(End::Delivered),
            Next::Dead { .. } => Some(End::Dead),
            _ => None,
        }
    }

    /// Lets these go on together under this id.
    fn regroup(&mut self, id: BatchId, batch: Batch) {
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

/// What a failed attempt came to, in a line.
pub(super) fn said(report: &AttemptReport) -> String {
    match (&report.error, &report.response) {
        (Some(error), _) => error.clone(),
        (None, Some(response)) => format!("answered {}", response.status),
        (None, None) => "no answer".to_owned(),
    }
}
