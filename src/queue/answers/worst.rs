//! The endpoints that need somebody most, for `status`: found in one pass over all of them, of
//! which only those that are shown are looked at closely.

use super::snapshot::{EndpointSnapshot, WorstEndpoints};
use crate::model::{DeliveryId, EndpointId, HoldReason, Now, WallMs};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::request::Query;

/// The worst endpoints, up to a limit.
#[derive(Clone, Debug)]
pub struct WorstQuery {
    pub limit: usize,
}

impl Query for WorstQuery {
    type Answer = WorstEndpoints;

    fn answer(&self, queue: &Queue, now: Now) -> WorstEndpoints {
        let facts = queue.state.living().filter_map(TroubleFacts::of).collect();
        let (worst, counts) = worst(facts, self.limit);
        let found = worst.iter().filter_map(|id| queue.state.endpoints.get(id));
        let shown = found.map(|endpoint| queue.troubled_view(now, endpoint)).collect();
        WorstEndpoints { endpoints: shown, troubled: counts.0, urgent: counts.1 }
    }
}

/// What is wrong with an endpoint, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// It is on hold, and not by the operator: nothing is delivered until somebody releases it.
    GaveUp,
    /// An ordered lane waits for the operator.
    LaneParked,
    /// Its breaker is open.
    BreakerOpen,
    /// Its oldest delivery is older than the operator wants.
    Lagging,
    /// It has dead letters.
    DeadLetters,
    /// The link to it is down.
    LinkDown,
    /// Deliveries fail and are tried again, and nothing has succeeded since.
    Retrying,
    /// Its breaker is open and nothing waits: whether it answers again is found out with the next
    /// event.
    Idle,
    /// The operator holds it.
    HeldByOperator,
}

impl Trouble {
    /// Whether somebody has to do something, or to know.
    fn is_urgent(self) -> bool {
        self < Self::Retrying
    }
}

/// What the order of the worst endpoints depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TroubleFacts {
    trouble: Trouble,
    /// Since when, as far as it is known.
    since: Option<WallMs>,
    /// Deliveries that have not ended, and dead letters.
    concerned: u64,
    id: EndpointId,
}

impl TroubleFacts {
    /// `None`: nothing is wrong with it.
    fn of(endpoint: &EndpointQueue) -> Option<Self> {
        let open = endpoint.breaker().open;
        let has_parked = || endpoint.lanes().count().1 > 0;
        let (trouble, since) = match &endpoint.hold {
            Some((HoldReason::Operator, at)) => (Trouble::HeldByOperator, Some(*at)),
            Some((_, at)) => (Trouble::GaveUp, Some(*at)),
            None if has_parked() => (Trouble::LaneParked, parked_since(endpoint)),
            None if endpoint.is_away() => (Trouble::LinkDown, None),
            None if open.is_some() && endpoint.undone > 0 => {
                (Trouble::BreakerOpen, failing_since(endpoint))
            }
            None if endpoint.lagging.is_some() => (Trouble::Lagging, endpoint.lagging_since()),
            None if !endpoint.dead.is_empty() => (Trouble::DeadLetters, None),
            None if endpoint.breaker().failures_in_row > 0 && endpoint.undone > 0 => {
                (Trouble::Retrying, failing_since(endpoint))
            }
            None if open.is_some() => (Trouble::Idle, failing_since(endpoint)),
            None => return None,
        };

        let concerned = endpoint.undone + endpoint.dead.len();
        Some(Self { trouble, since, concerned, id: endpoint.settings.id })
    }

    /// The worst trouble first; then what has lasted longest, what concerns most deliveries, and
    /// what was made first.
    fn rank(&self) -> (Trouble, WallMs, std::cmp::Reverse<u64>, EndpointId) {
        let since = self.since.unwrap_or(WallMs::MAX);
        (self.trouble, since, std::cmp::Reverse(self.concerned), self.id)
    }
}

/// Since when something has been wrong with it, as far as that is known.
pub(in crate::queue) fn troubled_since(endpoint: &EndpointQueue) -> Option<WallMs> {
    TroubleFacts::of(endpoint)?.since
}

/// When the first of its lanes was parked that are: its head has not been due since.
fn parked_since(endpoint: &EndpointQueue) -> Option<WallMs> {
    let parked = endpoint.retrying.values().filter(|waiting| waiting.parked);
    parked.map(|waiting| waiting.due_at).min()
}

/// When its failures in a row began; where only its breaker is known, when that opened.
fn failing_since(endpoint: &EndpointQueue) -> Option<WallMs> {
    let since = endpoint.restraint.as_ref().map(|restraint| restraint.failing_since);
    let open = endpoint.breaker().open.map(|open| open.since);
    since.filter(|since| *since > 0).or(open)
}

/// The worst of these, in order, at most `limit`; how many there are, and how many of them are
/// urgent.
fn worst(mut all: Vec<TroubleFacts>, limit: usize) -> (Vec<EndpointId>, (usize, usize)) {
    let urgent = all.iter().filter(|facts| facts.trouble.is_urgent()).count();
    let counts = (all.len(), urgent);
    if limit < all.len() {
        all.select_nth_unstable_by_key(limit, TroubleFacts::rank);
        all.truncate(limit);
    }
    all.sort_unstable_by_key(TroubleFacts::rank);
    (all.iter().map(|facts| facts.id).collect(), counts)
}

impl Queue {
    /// An endpoint with the head of a lane that waits for the operator.
    fn troubled_view(
        &self,
        now: Now,
        endpoint: &EndpointQueue,
    ) -> (EndpointSnapshot, Option<DeliveryId>) {
        let parked = endpoint.retrying.iter().find(|(_, waiting)| waiting.parked);
        let id = endpoint.settings.id;
        let head = parked.map(|(seq, _)| DeliveryId { seq: *seq, endpoint: id });
        (self.endpoint_view(now, endpoint), head)
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble, TroubleFacts, WorstQuery, worst};
    use crate::model::{Endpoint, Now, Outcome};
    use crate::queue::testing::{TestQueue, answered};
    use crate::queue::{CancelDeliveries, CreateEndpoint, HoldEndpoint, Queue, State};

    fn facts(id: u32, trouble: Trouble, since: Option<u64>, concerned: u64) -> TroubleFacts {
        TroubleFacts { trouble, since, concerned, id }
    }

    #[test]
    fn the_worst_come_first_and_the_others_are_counted() {
        let all = vec![
            facts(1, Trouble::HeldByOperator, Some(1), 900),
            facts(2, Trouble::DeadLetters, None, 3),
            facts(3, Trouble::BreakerOpen, Some(200), 5),
            facts(4, Trouble::Retrying, Some(1), 900),
            facts(5, Trouble::BreakerOpen, Some(100), 1),
            facts(6, Trouble::DeadLetters, None, 60),
            facts(7, Trouble::GaveUp, Some(999), 0),
            facts(8, Trouble::LaneParked, None, 1),
            facts(9, Trouble::LinkDown, None, 1),
            facts(10, Trouble::DeadLetters, None, 3),
            facts(11, Trouble::Lagging, Some(50), 1),
        ];
        let order = vec![7, 8, 5, 3, 11, 6, 2, 10, 9, 4, 1];
        assert_eq!(worst(all.clone(), 100), (order.clone(), (11, 9)));
        for limit in 0..order.len() {
            let (shown, counts) = worst(all.clone(), limit);
            assert_eq!((shown.as_slice(), counts), (&order[..limit], (11, 9)));
        }
    }

    /// However many endpoints there are, only those that are shown are looked at closely.
    #[test]
    fn a_few_are_named_and_all_are_counted() {
        let now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
        let mut queue = Queue::new(State::new(), 1, now);
        for n in 0..20 {
            let name = format!("e{n}");
            let endpoint = Endpoint::new(name.clone(), "pull:");
            queue.handle(now, CreateEndpoint(Box::new(endpoint))).answer.expect("it is made");
            if n >= 10 {
                queue.handle(now, HoldEndpoint { name }).answer.expect("it is held");
            }
        }

        let found = queue.ask(now, &WorstQuery { limit: 3 });
        let names = found.endpoints.iter().map(|(snapshot, _)| snapshot.endpoint.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["e10", "e11", "e12"]);
        assert_eq!((found.troubled, found.urgent), (10, 0), "what the operator holds needs nobody");
    }

    /// Nobody can do anything about a receiver that is asked again with the next event.
    #[test]
    fn a_breaker_that_waits_for_an_event_is_not_urgent() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://127.0.0.1:1/")]);
        world.accept("{}");
        let delivery = *world.attempts.last().expect("an attempt");
        let mut ended = 0;
        for _ in 0..2_000 {
            if world.attempts.len() > ended {
                ended = world.attempts.len();
                let report = answered(world.now, Outcome::Retryable { after_ms: None }, 500);
                world.finish(delivery, report);
            }
            world.pass(60_000);
        }
        let counts = |world: &TestQueue| {
            let found = world.queue.ask(world.now, &WorstQuery { limit: 1 });
            (found.troubled, found.urgent)
        };
        assert_eq!(counts(&world), (1, 1));
        world.input(CancelDeliveries { deliveries: vec![delivery] });
        assert_eq!(counts(&world), (1, 0));
    }

    /// The breaker opens long after the receiver broke, and its probe waits for something to send.
    #[test]
    fn a_failing_endpoint_is_dated_from_its_first_failure_and_probed_when_something_is_due() {
        let mut endpoint = Endpoint::new("app", "http://127.0.0.1:1/");
        (endpoint.retry.base_ms, endpoint.retry.max_ms) = (3_000, 3_000);
        endpoint.retry.jitter = 0.0;
        let mut world = TestQueue::new([endpoint]);
        world.accept("{}");
        let delivery = *world.attempts.last().expect("an attempt");
        let fail = |world: &mut TestQueue| {
            let report = answered(world.now, Outcome::Retryable { after_ms: None }, 500);
            world.finish(delivery, report);
        };
        let worst = |world: &TestQueue| {
            let found = world.queue.ask(world.now, &WorstQuery { limit: 1 });
            found.endpoints.into_iter().next().expect("it fails").0
        };

        let first = world.now.wall_ms;
        fail(&mut world);
        for _ in 1..10 {
            assert_eq!(worst(&world).troubled_since, Some(first));
            assert_eq!(worst(&world).flow.breaker, None);
            world.pass(3_000);
            fail(&mut world);
        }

        let failing = worst(&world);
        let (opened, probe_at) = failing.flow.breaker.expect("its breaker is open");
        assert_eq!((failing.troubled_since, opened), (Some(first), world.now.wall_ms));
        assert_eq!(probe_at, world.now.wall_ms + 3_000, "the breaker lets one go in a second");
    }

    #[test]
    fn nothing_is_wrong_with_none() {
        assert_eq!(worst(Vec::new(), 5), (Vec::new(), (0, 0)));
    }
}
