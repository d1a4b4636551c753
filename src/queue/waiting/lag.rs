//! An early warning: the operator hears when the oldest delivery that waits at an endpoint is older
//! than its `warn_after`, long before anything is given up, and once more when nothing that old
//! waits any more. Both are remembered, so that each is said once over restarts.
//!
//! An endpoint is looked at when something of it has changed, and at the time at which its oldest
//! delivery becomes too old; in between nothing wakes the daemon. Age is that of `aging`: it stands
//! while the endpoint is on hold or waits for the link, of which there are notices of their own.

use crate::model::{EndpointId, Now, limits};
use crate::queue::action::HealthEvent;
use crate::queue::endpoint::OldestWaiting;
use crate::queue::{Draft, Queue};
use crate::record::Record;

/// What is to be said of an endpoint's lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LagChange {
    /// Nothing, before this time or until something changes.
    None { look_again_at: Option<u64> },
    /// Its oldest delivery has become this old.
    Lags { age_ms: u64 },
    /// Nothing that old waits any more.
    CaughtUp,
}

impl Queue {
    /// Something of the endpoint has changed.
    pub(in crate::queue) fn plan_lag(&mut self, id: EndpointId, now: Now) {
        let at = match self.lag_change(id, now) {
            LagChange::None { look_again_at } => look_again_at,
            LagChange::Lags { .. } | LagChange::CaughtUp => Some(now.mono_ms),
        };
        self.lags_due.set(id, at);
    }

    /// Says what has changed, of a bounded number of endpoints; the others have their turn at once.
    pub(in crate::queue) fn run_lags(&mut self, now: Now, draft: &mut Draft) {
        for _ in 0..limits::LAG_SLICE {
            let Some(id) = self.lags_due.pop_due(now.mono_ms) else { return };
            match self.lag_change(id, now) {
                LagChange::None { .. } => {}
                LagChange::Lags { age_ms } => self.lags(id, age_ms, now, draft),
                LagChange::CaughtUp => self.has_caught_up(id, now, draft),
            }
            self.plan_lag(id, now);
        }
    }

    fn lag_change(&mut self, id: EndpointId, now: Now) -> LagChange {
        let nothing = LagChange::None { look_again_at: None };
        let ran_ms = self.ran_ms;
        let Some(endpoint) = self.state.find_mut(id) else { return nothing };
        let is_lagging = endpoint.lagging.is_some();
        let warn_ms = match (endpoint.settings.warn_after_ms, is_lagging) {
            (Some(warn_ms), _) => warn_ms,
            (None, true) => return LagChange::CaughtUp,
            (None, false) => return nothing,
        };
        if endpoint.age_pauses.is_paused() {
            return nothing;
        }

        match endpoint.oldest_waiting() {
            OldestWaiting::Unknown => nothing,
            OldestWaiting::Since(born) => {
                let age_ms = endpoint.age_ms(born, ran_ms);
                let left_ms = warn_ms.saturating_sub(age_ms);
                match (is_lagging, left_ms) {
                    (false, 0) => LagChange::Lags { age_ms },
                    (false, left_ms) => {
                        LagChange::None { look_again_at: Some(now.mono_ms + left_ms) }
                    }
                    (true, 0) => nothing,
                    (true, _) => self.caught_up_but_for_attempts(id, warn_ms),
                }
            }
            OldestWaiting::Nothing if is_lagging => self.caught_up_but_for_attempts(id, warn_ms),
            OldestWaiting::Nothing => nothing,
        }
    }

    /// What is being attempted may come back to those that wait, as old as it is.
    fn caught_up_but_for_attempts(&self, id: EndpointId, warn_ms: u64) -> LagChange {
        let endpoint = self.state.endpoint(id);
        let is_old = |born: u64| endpoint.age_ms(born, self.ran_ms) >= warn_ms;
        match endpoint.attempted_since().is_some_and(is_old) {
            true => LagChange::None { look_again_at: None },
            false => LagChange::CaughtUp,
        }
    }

    fn lags(&mut self, id: EndpointId, age_ms: u64, now: Now, draft: &mut Draft) {
        let since = now.wall_ms.saturating_sub(age_ms);
        let record =
            Record::EndpointLagged { endpoint: id, at: now.wall_ms, since, ran_ms: self.ran_ms };
        self.remember(record, draft);
        self.report_change(id, HealthEvent::Lagging { age_ms }, draft);
        self.notify_lagging(now, id, age_ms, draft);
    }

    fn has_caught_up(&mut self, id: EndpointId, now: Now, draft: &mut Draft) {
        let endpoint = self.state.endpoint(id);
        let meanwhile = endpoint.lagging.map(|lagging| lagging.summary(endpoint.counts(), now));
        let is_watched = endpoint.settings.warn_after_ms.is_some();

        let record =
            Record::EndpointCaughtUp { endpoint: id, at: now.wall_ms, ran_ms: self.ran_ms };
        self.remember(record, draft);
        // Where the operator has stopped asking, nothing has been caught up.
        if let Some(meanwhile) = meanwhile.filter(|_| is_watched) {
            self.report_change(id, HealthEvent::CaughtUp, draft);
            self.notify_caught_up(now, id, meanwhile, draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::model::{DeliveryId, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, answered};
    use crate::queue::{Queue, State};
    use crate::record::Record;

    const WARN_MS: u64 = 60_000;

    fn watched() -> Endpoint {
        let mut endpoint = Endpoint::new("app", "http://app.example/");
        endpoint.warn_after_ms = Some(WARN_MS);
        (endpoint.retry.base_ms, endpoint.retry.max_ms) = (600_000, 3_600_000);
        endpoint.retry.jitter = 0.0;
        endpoint.from = vec!["in".into()];
        endpoint
    }

    fn world() -> TestQueue {
        let watcher = Endpoint { from: vec!["hookbox".into()], ..Endpoint::new("mail", "pull:") };
        TestQueue::new([watched(), watcher])
    }

    fn fail(world: &mut TestQueue) {
        let report = answered(world.now, Outcome::Retryable { after_ms: None }, 500);
        let last = *world.attempts.last().expect("an attempt");
        world.finish(last, report);
    }

    /// The notices of a kind, as they are notified.
    fn notified(world: &TestQueue, kind: &str) -> Vec<Value> {
        let events = world.records.iter().filter_map(|record| match record {
            Record::EventAccepted { event, .. } if event.kind == kind => Some(&event.body),
            _ => None,
        });
        events
            .map(|body| serde_json::from_slice::<Value>(body).expect("JSON")["data"].take())
            .collect()
    }

    /// The same log after a restart.
    fn restart(world: &mut TestQueue) {
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it folds");
        }
        world.queue = Queue::new(state, 2, world.now);
        world.run();
    }

    #[test]
    fn it_is_said_once_over_restarts_and_again_when_it_is_over() {
        let mut world = world();
        world.accept("1");
        fail(&mut world);
        world.pass(WARN_MS - 1);
        assert!(notified(&world, "hookbox.endpoint.lagging").is_empty());
        assert_eq!(world.queue.next_wake(world.now), Some(world.now.mono_ms + 1), "it sleeps on");

        world.pass(1);
        let lagging = notified(&world, "hookbox.endpoint.lagging");
        assert_eq!(lagging.len(), 1);
        assert_eq!((&lagging[0]["endpoint"], &lagging[0]["waiting"]), (&"app".into(), &1.into()));
        assert_eq!(lagging[0]["oldest_age"], "1m");
        assert_eq!(lagging[0]["last_error"], "answered 500");

        // Whoever looks sees it as well, before the notice has led anybody to the box.
        let since = world.now.wall_ms;
        let troubled = |world: &mut TestQueue| {
            let found = world.queue.ask(world.now, &crate::queue::WorstQuery { limit: 5 });
            let since = found.endpoints.first().and_then(|(shown, _)| shown.lagging_since);
            (found.urgent, since)
        };
        assert_eq!(troubled(&mut world), (1, Some(since)));

        restart(&mut world);
        assert_eq!(troubled(&mut world), (1, Some(since)), "over a restart");
        for _ in 0..3 {
            world.pass(100_000);
        }
        assert_eq!(notified(&world, "hookbox.endpoint.lagging").len(), 1);

        // The retry is under way: it may come back as old as it is.
        world.pass(400_000);
        assert!(notified(&world, "hookbox.endpoint.caught_up").is_empty());
        fail(&mut world);
        world.pass(1_000);
        assert!(notified(&world, "hookbox.endpoint.caught_up").is_empty());

        world.pass(3_600_000);
        let last = *world.attempts.last().expect("an attempt");
        let report = answered(world.now, Outcome::Delivered, 200);
        world.finish(last, report);
        let over = notified(&world, "hookbox.endpoint.caught_up");
        assert_eq!(over.len(), 1);
        assert_eq!(troubled(&mut world), (0, None));
        assert_eq!(
            (&over[0]["delivered"], &over[0]["failed_attempts"], &over[0]["dead"]),
            (&1.into(), &1.into(), &0.into()),
            "{}",
            over[0]
        );
        restart(&mut world);
        world.pass(1_000_000);
        assert_eq!(notified(&world, "hookbox.endpoint.caught_up").len(), 1);
        assert_eq!(notified(&world, "hookbox.endpoint.lagging").len(), 1);
    }

    #[test]
    fn nobody_who_did_not_ask_is_looked_at_and_nobody_who_stops_asking_is_notified() {
        let mut world = world();
        let mut quiet = watched();
        quiet.warn_after_ms = None;
        world.accept("1");
        fail(&mut world);
        world.pass(WARN_MS);
        assert_eq!(notified(&world, "hookbox.endpoint.lagging").len(), 1);

        quiet.id = 1;
        world.input(crate::queue::UpdateEndpoint(Box::new(quiet)));
        assert_eq!(world.queue.state().endpoint(1).lagging, None);
        assert!(notified(&world, "hookbox.endpoint.caught_up").is_empty());
        world.pass(10 * WARN_MS);
        assert_eq!(notified(&world, "hookbox.endpoint.lagging").len(), 1);
    }

    #[test]
    fn time_on_hold_does_not_count() {
        let mut world = world();
        world.accept("1");
        fail(&mut world);
        let name = "app".to_owned();
        world.input(crate::queue::HoldEndpoint { name: name.clone() });
        world.pass(10 * WARN_MS);
        assert!(notified(&world, "hookbox.endpoint.lagging").is_empty());

        world.input(crate::queue::ReleaseEndpoint { name });
        fail(&mut world);
        world.pass(WARN_MS - 1_000);
        assert!(notified(&world, "hookbox.endpoint.lagging").is_empty());
        world.pass(1_000);
        assert_eq!(notified(&world, "hookbox.endpoint.lagging").len(), 1);
    }

    #[test]
    fn an_endpoint_that_recovers_says_what_it_went_through() {
        for is_released in [false, true] {
            recovers(is_released);
        }
    }

    /// An attempt that is under way, or begins soon.
    fn attempt_under_way(world: &mut TestQueue) -> DeliveryId {
        for _ in 0..1_000 {
            let app = &world.queue.state().endpoints[&1];
            let mut all = world.attempts.iter().rev();
            if let Some(found) = all.find(|delivery| app.is_in_flight(delivery.seq)) {
                return *found;
            }
            world.pass(1_000);
        }
        panic!("nothing is attempted any more");
    }

    /// Its receiver comes back, by itself, or after the operator has released the endpoint.
    fn recovers(is_released: bool) {
        let mut world = world();
        for n in 0..40 {
            world.accept(format!("{n}"));
        }
        let began = world.now.wall_ms;
        let mut ended = 0;
        while notified(&world, "hookbox.endpoint.failing").is_empty() {
            let report = answered(world.now, Outcome::Refused, 500);
            let delivery = world.attempts[ended];
            let report = match ended {
                0 => report,
                _ => answered(world.now, Outcome::Retryable { after_ms: None }, 500),
            };
            world.finish(delivery, report);
            ended += 1;
            world.pass(1_000);
        }
        restart(&mut world);
        if is_released {
            let name = "app".into();
            world.input(crate::queue::ReleaseEndpoint { name });
            // Whoever releases it need not be right at once.
            let delivery = attempt_under_way(&mut world);
            let report = answered(world.now, Outcome::Retryable { after_ms: None }, 500);
            world.finish(delivery, report);
            ended += 1;
        }
        world.pass(600_000);

        let probe = attempt_under_way(&mut world);
        let report = answered(world.now, Outcome::Delivered, 200);
        world.finish(probe, report);
        let recovered = notified(&world, "hookbox.endpoint.recovered");
        assert_eq!(recovered.len(), 1);
        let said = &recovered[0];
        assert_eq!(said["since"], crate::model::time::rfc3339(began), "{said}");
        assert_eq!(said["lasted_ms"], world.now.wall_ms - began);
        assert_eq!(said["failed_attempts"], ended, "{said}");
        assert_eq!((&said["delivered"], &said["waiting"]), (&1.into(), &38.into()), "{said}");
    }
}
