//! What attempts show about the health of an endpoint's receiver: its window, its breaker, and
//! holds.

use crate::model::{AttemptFault, AttemptReport, EndpointId, HoldReason, Now};
use crate::queue::action::HealthEvent;
use crate::queue::endpoint::breaker::BreakerChange;
use crate::queue::remembered::meanwhile::Meanwhile;
use crate::queue::reports::{error_with_words, has_decided, requested_pause_ms};
use crate::queue::{Draft, Queue};

/// What an attempt showed about the receiver.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue) struct HealthChange {
    breaker: BreakerChange,
    /// Whether it showed anything.
    counts: bool,
    /// Since when its breaker was open before it.
    was_failing: Option<Meanwhile>,
}

impl Queue {
    /// How long all attempts of the endpoint have failed, this one included.
    pub(in crate::queue) fn measure_failing_ms(
        &mut self,
        id: EndpointId,
        report: &AttemptReport,
        uncounted: bool,
        now: Now,
    ) -> u64 {
        let succeeded = has_decided(report);
        let uncounted = uncounted || was_not_made(report);
        self.state.endpoint_mut(id).measure_failing_ms(succeeded, uncounted, now.mono_ms)
    }

    /// Lets the endpoint's window and breaker learn from an attempt, before its record is written,
    /// which holds what they learned.
    pub(in crate::queue) fn learn(
        &mut self,
        now: Now,
        id: EndpointId,
        report: &AttemptReport,
        uncounted: bool,
    ) -> HealthChange {
        let endpoint = self.state.endpoint_mut(id);
        let succeeded = has_decided(report);
        let shows_nothing = uncounted || was_not_made(report) || endpoint.settings.is_leased();
        if !succeeded && shows_nothing {
            let breaker = BreakerChange::None;
            return HealthChange { breaker, counts: false, was_failing: None };
        }

        // Only a receiver that is busy (429, 503) may ask for a pause.
        let status = report.response.as_ref().map(|response| response.status);
        let pause_ms = requested_pause_ms(report).filter(|_| matches!(status, Some(429 | 503)));
        let was_failing = endpoint.failing;
        let is_over = !endpoint.waits_for_release();
        let breaker = match endpoint.learn(succeeded, pause_ms, now) {
            BreakerChange::Closed | BreakerChange::None if !is_over => BreakerChange::None,
            // The operator had lifted the breaker, or the hold, before this first success.
            BreakerChange::None if succeeded && was_failing.is_some() => BreakerChange::Closed,
            change => change,
        };
        HealthChange { breaker, counts: true, was_failing }
    }

    /// Does what follows from the change, once the record of the attempt is written. `held`: that
    /// record put the endpoint on hold.
    pub(in crate::queue) fn apply_health(
        &mut self,
        now: Now,
        id: EndpointId,
        report: &AttemptReport,
        change: HealthChange,
        held: Option<&HoldReason>,
        draft: &mut Draft,
    ) {
        if !change.counts {
            return;
        }

        let endpoint = self.state.endpoint_mut(id);
        if !endpoint.keeps_events() {
            endpoint.drop_bodies();
        }

        match change.breaker {
            BreakerChange::None => {}
            BreakerChange::Opened => {
                let error = error_with_words(report);
                self.notify_failing(now, id, &error, draft);
                self.report_change(id, HealthEvent::Failing { error }, draft);
            }
            BreakerChange::Closed => {
                self.report_change(id, HealthEvent::Recovered, draft);
                let endpoint = self.state.endpoint(id);
                let was_failing = change.was_failing.unwrap_or_default();
                let meanwhile = was_failing.summary(endpoint.counts(), now);
                self.notify_recovered(now, id, meanwhile, draft);
                self.catch_up(id);
            }
        }

        if let Some(reason) = held {
            let error = error_with_words(report);
            let what = HealthEvent::Held { reason: reason.clone(), error };
            self.report_change(id, what, draft);
            self.notify_held(now, id, reason, &error_with_words(report), draft);
        }
    }
}

/// Whether nobody was asked because no request could be made of the event: senders of such events
/// must not make a receiver look ill.
fn was_not_made(report: &AttemptReport) -> bool {
    report.fault == Some(AttemptFault::NotMade)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::model::{CommandEnd, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, answered};
    use crate::queue::{Action, EndpointsQuery, HealthEvent, HoldEndpoint, ReleaseEndpoint};
    use crate::record::Record;

    /// The data of each notice of this kind.
    fn notices(world: &TestQueue, kind: &str) -> Vec<Value> {
        let events = world.records.iter().filter_map(|record| match record {
            Record::EventAccepted { event, .. } if event.kind == kind => Some(&event.body),
            _ => None,
        });
        events
            .map(|body| serde_json::from_slice::<Value>(body).expect("JSON")["data"].take())
            .collect()
    }

    fn watched() -> TestQueue {
        let from_in =
            Endpoint { from: vec!["in".into()], ..Endpoint::new("app", "http://127.0.0.1:1/") };
        let watcher = Endpoint { from: vec!["hookbox".into()], ..Endpoint::new("mail", "pull:") };
        TestQueue::new([from_in, watcher])
    }

    /// Ends the last attempt with this status and these words.
    fn end(world: &mut TestQueue, outcome: Outcome, status: u16) {
        let mut report = answered(world.now, outcome, status);
        report.error = None;
        report.response.as_mut().expect("an answer").body = "we have moved".into();
        world.pass(report.duration_ms);
        let last = *world.attempts.last().expect("an attempt");
        world.finish(last, report);
    }

    #[test]
    fn a_hold_ends_with_the_first_success_after_its_release() {
        let mut world = watched();
        world.accept("1");
        world.accept("2");
        end(&mut world, Outcome::Gone, 410);
        let held = notices(&world, "hookbox.endpoint.held");
        assert_eq!(held[0]["last_error"], "answered 410: we have moved");

        // One that was under way then ends nothing.
        let (first, report) = (world.attempts[0], answered(world.now, Outcome::Delivered, 200));
        if world.attempts.len() > 1 {
            world.finish(first, report);
        }
        world.pass(120_000);
        world.input(ReleaseEndpoint { name: "app".into() });
        assert!(notices(&world, "hookbox.endpoint.recovered").is_empty());
        world.pass(1_000);
        end(&mut world, Outcome::Delivered, 200);
        let recovered = notices(&world, "hookbox.endpoint.recovered");
        assert_eq!((recovered.len(), &recovered[0]["endpoint"]), (1, &"app".into()));
        let logged = world.actions.iter().filter(|action| {
            matches!(action, Action::Report(report) if report.what == HealthEvent::Recovered)
        });
        assert_eq!(logged.count(), 1);

        // A hold of the operator is none of the receiver's.
        world.input(HoldEndpoint { name: "app".into() });
        world.pass(120_000);
        world.input(ReleaseEndpoint { name: "app".into() });
        world.accept("3");
        end(&mut world, Outcome::Delivered, 200);
        assert_eq!(notices(&world, "hookbox.endpoint.recovered").len(), 1);
    }

    #[test]
    fn notices_say_what_the_receiver_said() {
        let mut world = watched();
        world.accept("{}");
        let mut ended = 0;
        for _ in 0..2_000 {
            if world.attempts.len() > ended {
                ended = world.attempts.len();
                end(&mut world, Outcome::Retryable { after_ms: None }, 500);
            }
            world.pass(60_000);
        }
        let failing = notices(&world, "hookbox.endpoint.failing");
        assert_eq!(failing[0]["last_error"], "answered 500: we have moved");
    }

    #[test]
    fn a_hold_of_the_operator_is_not_taken_for_one_of_an_attempt_that_ends_then() {
        let holds = |world: &TestQueue| {
            let held = |action: &&Action| match action {
                Action::Report(report) => matches!(report.what, HealthEvent::Held { .. }),
                _ => false,
            };
            world.actions.iter().filter(held).count()
        };
        for (outcome, by_attempt) in
            [(Outcome::Retryable { after_ms: None }, 0), (Outcome::Gone, 1)]
        {
            let mut world = TestQueue::new([Endpoint::new("app", "http://127.0.0.1:1/")]);
            world.accept("{}");

            // It ends in the millisecond in which the operator puts the endpoint on hold.
            let report = answered(world.now, outcome, 410);
            world.pass(report.duration_ms);
            world.input(HoldEndpoint { name: "app".into() });
            let before = holds(&world);
            let delivery = *world.attempts.last().expect("an attempt");
            world.finish(delivery, report);
            assert_eq!(holds(&world) - before, by_attempt);
        }
    }

    #[test]
    fn the_dead_letters_of_the_failures_that_opened_a_breaker_belong_to_what_it_went_through() {
        // Each failure is a dead letter.
        let mut endpoint = Endpoint::new("app", "http://127.0.0.1:1/");
        endpoint.retry.max_attempts = Some(1);
        let mut world = TestQueue::new([endpoint]);
        world.accept("{}");
        let first = world.attempts[0];
        world.finish(first, answered(world.now, Outcome::Delivered, 200));

        let mut ended = 1;
        while world.queue.state().endpoints[&1].failing.is_none() {
            assert!(ended < 100, "its breaker opens");
            world.accept("{}");
            while ended < world.attempts.len() {
                let failed = answered(world.now, Outcome::Retryable { after_ms: None }, 500);
                world.finish(world.attempts[ended], failed);
                ended += 1;
            }
            world.pass(10_000);
        }
        let app = &world.queue.state().endpoints[&1];
        let failing = app.failing.expect("it is failing");
        assert!(app.died > 1 && app.died == app.failed, "{} died", app.died);
        assert_eq!((failing.failed, failing.died, failing.delivered), (0, 0, 1));
    }

    #[test]
    fn whoever_sends_unwanted_events_does_not_make_the_receiver_look_ill() {
        for by_command in [false, true] {
            let mut world = TestQueue::new([Endpoint::new("app", "http://127.0.0.1:1/")]);
            for n in 0..40 {
                world.accept(format!("{n}"));
                let mut report = answered(world.now, Outcome::Drop, 400);
                if by_command {
                    report.outcome = Outcome::Refused;
                    report.response = None;
                    report.command = Some(CommandEnd {
                        exit: Some(100),
                        signal: None,
                        output: bytes::Bytes::new(),
                    });
                }
                let delivery = *world.attempts.last().expect("an attempt");
                world.finish(delivery, report);
                world.pass(1_000);
            }

            let views = world.queue.ask(world.now, &EndpointsQuery);
            assert_eq!(views[0].flow.failures_in_row, 0);
            let app = &world.queue.state().endpoints[&1];
            assert_eq!((app.dead.len(), world.attempts.len()), (40, 40), "each had its attempt");
            assert!(app.restraint.is_none() && app.failing_ms == 0);
        }
    }
}
