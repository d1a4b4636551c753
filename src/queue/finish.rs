//! An attempt has ended: what follows?

use std::sync::Arc;

use super::backoff::{self, Verdict};
use super::flow::Job;
use super::input::Action;
use super::state::said;
use super::{Draft, Queue};
use crate::model::{AttemptReport, DeliveryId, Event, HoldReason, Now, Outcome, RequestHead, RetryPolicy};
use crate::record::{AttemptFinished, Next, Record};

impl Queue {
    /// Takes the report of an attempt. One for an endpoint that was deleted meanwhile has no consequence.
    pub(super) fn finished(&mut self, now: Now, delivery: DeliveryId, report: AttemptReport, draft: &mut Draft) {
        let Some(job) = self.land(delivery) else { return };
        let Some(lane) = self.state.lanes.get(&delivery.endpoint) else { return };
        let retry = lane.endpoint.retry.clone();
        let concurrency = lane.endpoint.concurrency;
        let succeeded = report.outcome == Outcome::Delivered;
        let next = self.consequence(&retry, now, &job, &report);
        let low = self.flows.get(&delivery.endpoint).map_or(0, |flow| flow.low(self.state.next_seq));
        let wait = match &next {
            Next::Retry { delay_ms, .. } => Some(*delay_ms),
            Next::Held { .. } => Some(0),
            Next::Delivered | Next::Dead { .. } | Next::Ended => None,
        };
        let holds = matches!(next, Next::Held { .. });
        let attempt = AttemptFinished {
            delivery,
            event: job.event,
            number: job.attempts + 1,
            report,
            next,
            prev: job.last,
            position: job.position,
            low,
        };
        self.remember(Record::AttemptFinished(Box::new(attempt)), draft);
        if let Some(flow) = self.flows.get_mut(&delivery.endpoint) {
            flow.learn(succeeded, concurrency);
            if let Some(delay_ms) = wait {
                flow.wait(delivery.seq, now.mono_ms + delay_ms, now.mono_ms);
            }
            if holds || flow.is_failing() {
                self.window_bytes -= flow.drop_bodies();
            }
        }
        self.wake(delivery.endpoint);
    }

    /// The event of an attempt was read from the log.
    pub(super) fn loaded(&mut self, now: Now, delivery: DeliveryId, event: Option<Arc<Event>>, draft: &mut Draft) {
        let Some(job) = self.flows.get(&delivery.endpoint).and_then(|flow| flow.in_flight.get(&delivery.seq)) else {
            return;
        };
        // It may have been carried forward between the order to read it and the reading.
        if event.is_none()
            && let Some(event) = self.state.stands_at(job.event).filter(|at| job.read_at != Some(*at))
        {
            if let Some(job) = self.flows.get_mut(&delivery.endpoint).and_then(|f| f.in_flight.get_mut(&delivery.seq)) {
                job.read_at = Some(event);
            }
            draft.actions.push(Action::Load { delivery, event });
            return;
        }
        match event {
            Some(event) => self.ready.push((delivery, event)),
            None => self.finished(now, delivery, event_is_gone(now), draft),
        }
    }

    /// Starts the attempts whose events were read; those that the operator has ended meanwhile land at once.
    pub(super) fn run_ready(&mut self, actions: &mut Vec<Action>) {
        for (delivery, event) in std::mem::take(&mut self.ready) {
            let job = self.flows.get(&delivery.endpoint).and_then(|flow| flow.in_flight.get(&delivery.seq));
            let (Some(job), Some(lane)) = (job, self.state.lanes.get(&delivery.endpoint)) else { continue };
            if job.ended {
                self.land(delivery);
                self.wake(delivery.endpoint);
                continue;
            }
            let (number, endpoint) = (job.attempts + 1, lane.endpoint.clone());
            actions.push(Action::Attempt { delivery, number, endpoint, event });
        }
    }

    /// Takes a job out of flight.
    fn land(&mut self, delivery: DeliveryId) -> Option<Job> {
        let flow = self.flows.get_mut(&delivery.endpoint)?;
        let job = flow.in_flight.remove(&delivery.seq)?;
        flow.settle(&job);
        self.in_flight -= 1;
        if job.failing {
            self.in_flight_failing -= 1;
            let parked = std::mem::take(&mut self.parked);
            parked.into_iter().for_each(|id| self.wake(id));
        }
        Some(job)
    }

    fn consequence(&mut self, policy: &RetryPolicy, now: Now, job: &Job, report: &AttemptReport) -> Next {
        if job.ended {
            return Next::Ended;
        }
        let after_ms = match &report.outcome {
            Outcome::Delivered => return Next::Delivered,
            Outcome::Gone => return Next::Held { reason: HoldReason::Gone },
            Outcome::Refused => {
                let reason = report.error.clone().unwrap_or_else(|| "refused before it was sent".to_owned());
                return Next::Dead { reason };
            }
            Outcome::Retryable { after_ms } => *after_ms,
        };
        let age_ms = job.age_ms + now.mono_ms.saturating_sub(job.since_mono);
        let draw = rand::Rng::random::<f64>(&mut self.rng);
        match backoff::decide(policy, job.attempts + 1, age_ms, after_ms, draw) {
            Verdict::RetryIn { delay_ms } => {
                Next::Retry { due_at: now.wall_ms.saturating_add(delay_ms), delay_ms, age_ms }
            }
            Verdict::GiveUp { reason } => Next::Dead { reason: format!("{reason}; the last: {}", said(report)) },
        }
    }
}

/// The report of an attempt that could not be made, because its event is not in the log any more.
fn event_is_gone(now: Now) -> AttemptReport {
    AttemptReport {
        started_at: now.wall_ms,
        duration_ms: 0,
        connect_ms: None,
        outcome: Outcome::Refused,
        request: RequestHead::default(),
        response: None,
        error: Some("its event cannot be read from the log: see `hookboxctl log verify`".to_owned()),
        command: None,
    }
}
