//! The attempt of one delivery has ended: what follows?

use super::attempt_retry::{AttemptRetry, AttemptWeight, RetryProgress};
use crate::model::{
    AttemptFault, AttemptReport, DeliveryId, DeliveryState, EndpointId, HoldReason, Now, Outcome,
    Seq, limits,
};
use crate::queue::endpoint::ActiveDelivery;
use crate::queue::reports::{DROPPED, refusal_reason};
use crate::queue::{Draft, Queue};
use crate::record::{AttemptFinished, Consequence, DeadLetter, Record};

impl Queue {
    /// Takes the report of an attempt. Returns false when it has no consequence, because the
    /// delivery was cancelled or its endpoint deleted meanwhile.
    pub(in crate::queue) fn finished(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        report: AttemptReport,
        draft: &mut Draft,
    ) -> bool {
        let id = delivery.endpoint;
        // The endpoint may have been deleted meanwhile.
        let Some(job) = self.take_out_of_flight(delivery) else { return false };

        // What the report says about the link comes first: an attempt that the link is to blame for
        // does not count, neither for the delivery nor for the endpoint.
        let uncounted = self.classify_link(id, &report, now, draft);
        let failing_ms = self.measure_failing_ms(id, &report, uncounted, now);
        let weight = AttemptWeight { uncounted, failing_ms };
        let next = self.consequence(now, &job, &report, weight);
        // The breaker learns before the record is made, which holds what it has learned.
        let health = self.learn(now, id, &report, uncounted);

        // One record holds the attempt and all that follows from it. The delivery is out of flight
        // by now, so that `low` may go past its position.
        let endpoint = self.state.endpoint(id);
        let attempt = AttemptFinished {
            delivery,
            event: job.event,
            number: job.attempts + 1,
            report: report.clone(),
            next: next.clone(),
            prev: job.last,
            position: job.position,
            low: endpoint.low_for_record(self.state.next_seq),
            key: job.lane,
            uncounted,
            failing_ms,
            born: job.born,
            ran_ms: self.ran_ms,
            restraint: endpoint.restraint_now(now),
            source: if next.waits() { job.source } else { 0 },
        };
        let seq = self.remember(Record::AttemptFinished(Box::new(attempt)), draft);
        let held = next.holds().cloned();
        if next == Consequence::Delivered {
            self.note_delivered(id, job.born);
        }

        // A delivery that goes on waiting stands in its lane again before the lane is freed, so
        // that none behind it goes first. Its entry among the retries is the record's work.
        self.wait_on(now, &job, &next);
        self.notify_end(now, &job, &report, next, seq, draft);

        // What a newer delivery has made superfluous leaves the lane first, so that what is freed
        // then is still to be sent.
        self.leave_stale(id, [delivery.seq], now, draft);
        self.free(id, job.lane, now);

        self.apply_health(now, id, &report, health, held.as_ref(), draft);
        self.wake(id);
        !job.ended
    }

    /// One was delivered that was accepted at `born`, by the run clock.
    pub(in crate::queue) fn note_delivered(&mut self, endpoint: EndpointId, born: u64) {
        // Nobody takes them in a simulation.
        if self.delivered_after.len() < limits::DELIVERED_NOTED {
            self.delivered_after.push((endpoint, self.ran_ms.saturating_sub(born)));
        }
    }

    /// How long after their acceptance deliveries were made since this was last asked, in
    /// milliseconds, and to which endpoint.
    pub fn take_delivered_after(&mut self) -> Vec<(EndpointId, u64)> {
        std::mem::take(&mut self.delivered_after)
    }

    /// Takes the delivery of an attempt that has ended out of flight, and gives its slot back.
    /// `None` when its endpoint was deleted.
    pub(in crate::queue) fn take_out_of_flight(
        &mut self,
        delivery: DeliveryId,
    ) -> Option<ActiveDelivery> {
        let job = self.state.find_mut(delivery.endpoint)?.finish_attempt(delivery.seq)?;
        self.vacate(job.slot);
        Some(job)
    }

    /// Lets the next delivery of a lane go on.
    pub(in crate::queue) fn free(&mut self, id: EndpointId, lane: Option<u64>, now: Now) {
        self.state.endpoint_mut(id).free_lane(lane, now.mono_ms);
    }

    /// What follows for the delivery.
    fn consequence(
        &mut self,
        now: Now,
        job: &ActiveDelivery,
        report: &AttemptReport,
        weight: AttemptWeight,
    ) -> Consequence {
        if job.ended {
            return Consequence::Ended;
        }
        match &report.outcome {
            Outcome::Delivered => return Consequence::Delivered,
            Outcome::Gone => return Consequence::Held { reason: HoldReason::Gone },
            Outcome::Hold => return Consequence::Held { reason: HoldReason::Receiver },
            Outcome::Drop => return Consequence::Dead { reason: DROPPED.to_owned() },
            Outcome::Refused => return Consequence::Dead { reason: refusal_reason(report) },
            Outcome::Retryable { .. } => {}
        }

        let draw = rand::Rng::random::<f64>(&mut self.rng);
        let endpoint = self.state.endpoint(job.delivery.endpoint);
        let age_ms = endpoint.age_ms(job.born, self.ran_ms);
        // No consumer came for it, so it was not attempted at all.
        if report.fault == Some(AttemptFault::NotTaken) {
            return Consequence::retry(now, 0, age_ms);
        }

        let retry = AttemptRetry::new(&endpoint.settings, report, weight, draw);
        if retry.holds {
            return Consequence::Held { reason: HoldReason::Failing };
        }
        let progress = RetryProgress { attempts: job.attempts + 1, age_ms };
        retry.verdict(progress, job.lane.is_some()).after(now, age_ms, report)
    }

    /// Gives a delivery that goes on waiting its lane and its timer again.
    fn wait_on(&mut self, now: Now, job: &ActiveDelivery, next: &Consequence) {
        let seq = job.delivery.seq;
        let endpoint = self.state.endpoint_mut(job.delivery.endpoint);
        match next {
            Consequence::Retry { delay_ms, .. } => {
                endpoint.wait_in_lane(job.lane, seq, job.born, now.mono_ms + delay_ms);
            }
            Consequence::Held { .. } => {
                endpoint.wait_in_lane(job.lane, seq, job.born, now.mono_ms);
            }
            Consequence::Parked { .. } => endpoint.park(job.lane, seq),
            Consequence::Delivered | Consequence::Dead { .. } | Consequence::Ended => {}
        }
    }

    /// Notifies the operator of a delivery that died or was parked by record `seq`.
    fn notify_end(
        &mut self,
        now: Now,
        job: &ActiveDelivery,
        report: &AttemptReport,
        next: Consequence,
        seq: Seq,
        draft: &mut Draft,
    ) {
        match next {
            Consequence::Dead { reason } => {
                let dead = DeadLetter {
                    delivery: job.delivery,
                    event: job.event,
                    attempts: job.attempts + 1,
                    died_at: report.started_at + report.duration_ms,
                    reason,
                    last: seq,
                    kept_since: None,
                };
                self.notify_dead(now, &dead, Some(&report.request), job.own, draft);
            }
            Consequence::Parked { reason } => {
                self.notify_parked(now, job.delivery, &reason, draft);
            }

            // The others are not worth a notice.
            Consequence::Delivered
            | Consequence::Retry { .. }
            | Consequence::Held { .. }
            | Consequence::Ended => {}
        }
    }

    /// The state of a delivery, its attempt in flight included.
    pub(in crate::queue) fn delivery_state(&self, delivery: DeliveryId) -> DeliveryState {
        let endpoint = self.state.endpoints.get(&delivery.endpoint);
        let state =
            endpoint.map_or(DeliveryState::Cancelled, |endpoint| endpoint.state_of(delivery.seq));
        match (state, self.is_in_flight(delivery)) {
            (DeliveryState::Pending | DeliveryState::Held, true) => DeliveryState::InFlight,
            (state, _) => state,
        }
    }

    pub(in crate::queue) fn is_in_flight(&self, delivery: DeliveryId) -> bool {
        let endpoint = self.state.find(delivery.endpoint);
        endpoint.is_some_and(|endpoint| endpoint.is_in_flight(delivery.seq))
    }
}
