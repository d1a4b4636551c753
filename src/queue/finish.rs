//! An attempt has ended: what follows?

use std::sync::Arc;

use super::attempted::said;
use super::breaker;
use super::flow::{Job, Work};
use super::input::Action;
use super::link;
use super::notice::OWN_SOURCE;
use super::{Draft, Queue};
use crate::model::backoff::{self, Verdict};
use crate::model::{
    AttemptReport, DeliveryId, DeliveryState, EndpointId, Event, Fault, HeadOfLine, HoldReason, Now, Outcome,
    RequestHead, Seq,
};
use crate::record::{AttemptFinished, DeadLetter, Next, Record};

/// Why a delivery died that its receiver did not want.
pub(super) const DROPPED: &str = "the receiver asked for it to be dropped (webhook-delivery: drop)";

impl Queue {
    /// Takes the report of an attempt. One for an endpoint that was deleted meanwhile has no consequence.
    pub(super) fn finished(&mut self, now: Now, delivery: DeliveryId, report: AttemptReport, draft: &mut Draft) {
        let id = delivery.endpoint;
        let Some(job) = self.land(delivery) else { return };
        if !self.state.lanes.contains_key(&id) {
            return;
        }
        let spared = self.judge_way(id, &report, now, draft);
        let failing_ms = self.failing_ms(id, &report, spared, now);
        let next = self.consequence(now, &job, &report, spared, failing_ms);
        let low = self.flows.get(&id).map_or(0, |flow| flow.low(self.state.next_seq));
        let attempt = AttemptFinished {
            delivery,
            event: job.event,
            number: job.attempts + 1,
            report: report.clone(),
            next: next.clone(),
            prev: job.last,
            position: job.position,
            low,
            key: job.key,
            spared,
            failing_ms,
        };
        let seq = self.remember(Record::AttemptFinished(Box::new(attempt)), draft);
        if let Some(flow) = self.flows.get_mut(&id) {
            let since = flow.age_clock(now.mono_ms);
            match &next {
                Next::Retry { delay_ms, .. } => {
                    flow.wait_in_lane(job.key, delivery.seq, now.mono_ms + delay_ms, since);
                }
                Next::Held { .. } => flow.wait_in_lane(job.key, delivery.seq, now.mono_ms, since),
                Next::Parked { .. } => flow.lanes.wait(job.key, delivery.seq, true),
                Next::Delivered | Next::Dead { .. } | Next::Ended => {}
            }
        }
        match next {
            Next::Dead { reason } => {
                let (event, attempts, died_at) = (job.event, job.attempts + 1, report.started_at + report.duration_ms);
                let dead = DeadLetter { delivery, event, attempts, died_at, reason, last: seq };
                self.tell_dead(now, &dead, job.own);
            }
            Next::Parked { reason } => self.tell_parked(now, delivery, &reason, draft),
            _ => {}
        }
        self.free(id, job.key, now);
        self.learn(now, id, &report, spared, draft);
        self.wake(id);
    }

    /// A delivery that waits dies without another attempt.
    pub(super) fn die(&mut self, now: Now, delivery: DeliveryId, event: Seq, reason: &str, draft: &mut Draft) {
        let Some(lane) = self.state.lanes.get(&delivery.endpoint) else { return };
        let Some(waiting) = lane.retrying.get(&delivery.seq).copied() else { return };
        let (attempts, last) = (waiting.attempts, waiting.last);
        let dead = DeadLetter { delivery, event, attempts, died_at: now.wall_ms, reason: reason.to_owned(), last };
        let key = lane.key_of(waiting.key);
        self.remember(Record::Died { dead: dead.clone() }, draft);
        if let Some(flow) = self.flows.get_mut(&delivery.endpoint) {
            flow.forget_timer(Work::One(delivery.seq));
            flow.lanes.wait_no_more(key, delivery.seq);
        }
        // What it was about is not known here: one who subscribes to the daemon's own events makes no more of them.
        let own =
            self.state.lanes.get(&delivery.endpoint).is_some_and(|l| l.endpoint.from.iter().any(|f| f == OWN_SOURCE));
        self.tell_dead(now, &dead, own);
        self.free(delivery.endpoint, key, now);
    }

    /// Behind an open breaker nothing is tried, but what is too old is given up all the same.
    pub(super) fn expire(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let due = self.flows.get(&id).and_then(|flow| flow.expires_at).is_some_and(|at| at <= now.mono_ms);
        // What is held does not expire.
        if !due || self.state.lanes.get(&id).is_none_or(|lane| lane.hold.is_some()) {
            return;
        }
        let (mut old, mut next) = (Vec::new(), None::<u64>);
        if let (Some(flow), Some(lane)) = (self.flows.get(&id), self.state.lanes.get(&id)) {
            let clock = flow.age_clock(now.mono_ms);
            let max_age_ms = lane.endpoint.retry.max_age_ms;
            for ((_, work), since) in &flow.timers {
                let Work::One(key) = work else { continue };
                let Some(waiting) = lane.retrying.get(key) else { continue };
                let age_ms = waiting.age_ms + clock.saturating_sub(*since);
                if age_ms >= max_age_ms {
                    old.push((*key, waiting.event));
                } else {
                    let at = now.mono_ms + (max_age_ms - age_ms);
                    next = Some(next.map_or(at, |other| other.min(at)));
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.expires_at = flow.breaker.open.and(next);
        }
        for (seq, event) in old {
            let delivery = DeliveryId { seq, endpoint: id };
            self.die(now, delivery, event, "older than its max age, behind an open breaker", draft);
        }
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
    pub(super) fn run_ready(&mut self, now: Now, draft: &mut Draft) {
        for (delivery, event) in std::mem::take(&mut self.ready) {
            let job = self.flows.get_mut(&delivery.endpoint).and_then(|flow| flow.in_flight.get_mut(&delivery.seq));
            let (Some(job), Some(lane)) = (job, self.state.lanes.get(&delivery.endpoint)) else { continue };
            if job.ended {
                let key = job.key;
                self.land(delivery);
                self.free(delivery.endpoint, key, now);
                self.wake(delivery.endpoint);
                continue;
            }
            job.own = event.is_own();
            let (number, endpoint) = (job.attempts + 1, lane.endpoint.clone());
            draft.actions.push(Action::Attempt { delivery, number, endpoint, event });
        }
    }

    /// Takes a job out of flight.
    fn land(&mut self, delivery: DeliveryId) -> Option<Job> {
        let flow = self.flows.get_mut(&delivery.endpoint)?;
        let job = flow.in_flight.remove(&delivery.seq)?;
        flow.settle(&job);
        flow.lanes.land(job.key);
        self.vacate(job.slot);
        Some(job)
    }

    /// The next delivery of a lane may go on.
    pub(super) fn free(&mut self, id: EndpointId, key: Option<u64>, now: Now) {
        if let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) {
            flow.free_lane(lane, key, now.mono_ms);
        }
    }

    fn consequence(&mut self, now: Now, job: &Job, report: &AttemptReport, spared: bool, failing_ms: u64) -> Next {
        if job.ended {
            return Next::Ended;
        }
        let after_ms = match &report.outcome {
            Outcome::Delivered => return Next::Delivered,
            Outcome::Gone => return Next::Held { reason: HoldReason::Gone },
            Outcome::Hold => return Next::Held { reason: HoldReason::Receiver },
            Outcome::Drop => return Next::Dead { reason: DROPPED.to_owned() },
            Outcome::Refused => return Next::Dead { reason: why_refused(report) },
            Outcome::Retryable { after_ms } => *after_ms,
        };
        let draw = rand::Rng::random::<f64>(&mut self.rng);
        let id = job.delivery.endpoint;
        let (Some(lane), Some(flow)) = (self.state.lanes.get(&id), self.flows.get(&id)) else { return Next::Ended };
        let age_ms = job.age_ms + flow.age_clock(now.mono_ms).saturating_sub(job.since);
        let retry = |delay_ms: u64| Next::Retry { due_at: now.wall_ms.saturating_add(delay_ms), delay_ms, age_ms };
        if report.fault == Some(Fault::NotTaken) {
            return retry(0);
        }
        if !spared && failing_ms >= lane.endpoint.hold_after_ms {
            return Next::Held { reason: HoldReason::Failing };
        }
        let attempts = if spared { job.attempts.max(1) } else { job.attempts + 1 };
        let mut policy = lane.endpoint.retry.clone();
        if spared {
            (policy.max_attempts, policy.max_age_ms) = (None, u64::MAX);
        }
        let verdict = backoff::decide(&policy, attempts, age_ms, after_ms, draw);
        let head = lane.endpoint.head_of_line;
        match (verdict, head, job.key.filter(|_| !spared)) {
            (_, HeadOfLine::Park { after }, Some(_)) if attempts >= after => {
                Next::Parked { reason: format!("{attempts} attempts failed, and its lane waits for you") }
            }
            (Verdict::RetryIn { .. }, HeadOfLine::Skip { after }, Some(_)) if attempts >= after => {
                let reason = format!("{attempts} attempts failed, and its lane goes on without it");
                Next::Dead { reason: last_words(&reason, report) }
            }
            (Verdict::RetryIn { delay_ms }, ..) => retry(delay_ms),
            (Verdict::GiveUp { reason }, ..) => Next::Dead { reason: last_words(&reason, report) },
        }
    }

    /// Whether the link is to blame, so that the attempt does not count.
    pub(super) fn judge_way(&mut self, id: EndpointId, report: &AttemptReport, now: Now, draft: &mut Draft) -> bool {
        if report.fault == Some(Fault::NotTaken) {
            return true;
        }
        let Some(place) = self.flows.get(&id).map(|flow| flow.place.clone()) else { return false };
        // What was refused before it was sent tells nothing of the way.
        if report.outcome == Outcome::Refused {
            return false;
        }
        match self.link.learn(id, &place, link::Said::by(report, now.mono_ms), now.mono_ms) {
            link::Turn::None => {}
            link::Turn::WentOffline => self.tell_offline(now, draft),
            link::Turn::CameBack => self.came_back(now, draft),
        }
        let away = report.fault.is_some() && self.link.keeps_back(id);
        if self.link.offline.is_some() {
            for id in &self.link.away {
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.go_away(now.mono_ms);
                }
            }
        }
        away
    }

    /// The link is back: everybody's clock goes on, and what waited is caught up with.
    fn came_back(&mut self, now: Now, draft: &mut Draft) {
        self.tell_online(now, draft);
        let back: Vec<EndpointId> = self.flows.iter().filter(|(_, f)| f.is_away()).map(|(id, _)| *id).collect();
        for id in back {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.come_back(now.mono_ms);
            }
            self.catch_up(id, now);
        }
    }

    /// How long the endpoint has done nothing but fail, this attempt included.
    pub(super) fn failing_ms(&mut self, id: EndpointId, report: &AttemptReport, spared: bool, now: Now) -> u64 {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return 0 };
        if report.outcome == Outcome::Delivered {
            flow.failed_at = None;
            return 0;
        }
        if spared {
            return lane.failing_ms;
        }
        let clock = flow.age_clock(now.mono_ms);
        let before = flow.failed_at.replace(clock);
        lane.failing_ms + before.map_or(0, |before| clock.saturating_sub(before))
    }

    /// What the endpoint's window and breaker learn from an attempt.
    pub(super) fn learn(&mut self, now: Now, id: EndpointId, report: &AttemptReport, spared: bool, draft: &mut Draft) {
        let (Some(flow), Some(lane)) = (self.flows.get_mut(&id), self.state.lanes.get(&id)) else { return };
        let succeeded = report.outcome == Outcome::Delivered;
        if !succeeded && (spared || lane.endpoint.is_pull()) {
            return;
        }
        flow.learn(succeeded, lane.endpoint.concurrency);
        let busy = report.response.as_ref().is_some_and(|response| matches!(response.status, 429 | 503));
        if busy && let Some(after_ms) = asked_for(report) {
            flow.paused_until = flow.paused_until.max(now.mono_ms + after_ms);
        }
        let held = lane.hold.clone();
        let turn = flow.breaker.learn(succeeded, now.mono_ms, lane.endpoint.retry.max_ms);
        if flow.breaker.open.is_some() {
            // Looked at anew: what waits has changed.
            flow.expires_at = Some(now.mono_ms);
        }
        if succeeded {
            flow.expires_at = None;
        }
        if held.is_some() || flow.is_failing() {
            self.window_bytes -= flow.drop_bodies();
        }
        match turn {
            breaker::Turn::None => {}
            breaker::Turn::Opened => self.tell_failing(now, id, &said(report), draft),
            breaker::Turn::Closed => {
                self.tell_recovered(now, id, draft);
                self.catch_up(id, now);
            }
        }
        if let Some((reason, at)) = held
            && at == report.started_at + report.duration_ms
        {
            self.tell_held(now, id, &reason, draft);
        }
    }

    /// Where a delivery stands, its attempt under way included.
    pub(super) fn delivery_state(&self, delivery: DeliveryId) -> DeliveryState {
        let lane = self.state.lanes.get(&delivery.endpoint);
        let state = lane.map_or(DeliveryState::Cancelled, |lane| lane.state_of(delivery.seq));
        match (state, self.is_flying(delivery)) {
            (DeliveryState::Pending | DeliveryState::Held, true) => DeliveryState::InFlight,
            (state, _) => state,
        }
    }

    pub(super) fn is_flying(&self, delivery: DeliveryId) -> bool {
        self.flows.get(&delivery.endpoint).is_some_and(|flow| flow.is_flying(delivery.seq))
    }
}

/// How long the receiver asked to be left alone.
pub(super) fn asked_for(report: &AttemptReport) -> Option<u64> {
    match report.outcome {
        Outcome::Retryable { after_ms } => after_ms,
        _ => None,
    }
}

pub(super) fn why_refused(report: &AttemptReport) -> String {
    report.error.clone().unwrap_or_else(|| "refused before it was sent".to_owned())
}

pub(super) fn last_words(reason: &str, report: &AttemptReport) -> String {
    format!("{reason}; the last: {}", said(report))
}

/// The report of an attempt that could not be made, because its event is not in the log any more.
pub(super) fn event_is_gone(now: Now) -> AttemptReport {
    AttemptReport {
        started_at: now.wall_ms,
        duration_ms: 0,
        connect_ms: None,
        outcome: Outcome::Refused,
        request: RequestHead::default(),
        response: None,
        error: Some("its event cannot be read from the log: see `hookboxctl log verify`".to_owned()),
        fault: None,
        command: None,
    }
}
