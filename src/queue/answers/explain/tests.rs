use super::{Explanation, WaitReason};
use crate::model::{
    AttemptFault, AttemptReport, Batch, BatchFormat, DeliveryId, DeliveryState, Endpoint,
    HeadOfLine, HoldReason, Now, Order, Outcome, Rate, RetryPolicy, limits,
};
use crate::queue::testing::{START, TestQueue, answered, report};
use crate::queue::{EndpointsQuery, ExplainQuery, HoldEndpoint, Input, StatusQuery};

impl TestQueue {
    /// Accepts an event. Returns its delivery to the first endpoint.
    fn deliver(&mut self, body: &str) -> DeliveryId {
        DeliveryId { seq: self.accept(body.to_owned()).seq, endpoint: 1 }
    }

    /// Ends an attempt: answered with this status, or failed by this fault.
    fn end_attempt(
        &mut self,
        delivery: DeliveryId,
        outcome: Outcome,
        fault: Option<AttemptFault>,
        status: u16,
    ) {
        let report = match fault {
            None => answered(self.now, outcome, status),
            fault => AttemptReport { fault, ..report(self.now, outcome) },
        };
        self.finish(delivery, report);
    }

    fn fail(&mut self, delivery: DeliveryId) {
        self.end_attempt(delivery, Outcome::Retryable { after_ms: None }, None, 500);
    }

    fn why(&self, delivery: DeliveryId) -> Explanation {
        self.queue.ask(self.now, &ExplainQuery { delivery, key: None, source: Some(1) })
    }

    #[track_caller]
    fn first_reason(&self, delivery: DeliveryId) -> WaitReason {
        self.why(delivery).reasons.into_iter().next().expect("a reason")
    }
}

fn endpoint() -> Endpoint {
    let retry = RetryPolicy {
        base_ms: 10_000,
        jitter: 0.0,
        max_attempts: Some(7),
        ..RetryPolicy::default()
    };
    Endpoint { retry, allow_private: true, ..Endpoint::new("app", "http://app.example/") }
}

#[test]
fn under_way_then_due_and_then_over() {
    let mut world = TestQueue::new([endpoint()]);
    let one = world.deliver("{}");
    assert_eq!(
        world.first_reason(one),
        WaitReason::UnderWay { number: 1, batch: None, members: 1 }
    );

    world.fail(one);
    world.pass(4_000);
    let due_at = world.now.wall_ms + 6_000;
    let gives_up_in_ms = 3 * 86_400_000 - 4_000;
    let explained = world.why(one);
    assert_eq!(
        explained.reasons,
        [WaitReason::Retry { number: 2, due_at, most: Some(7), gives_up_in_ms }]
    );
    assert_eq!((explained.attempts, explained.state), (1, DeliveryState::Pending));
    assert!(explained.last.is_some());

    world.pass(6_000);
    world.end_attempt(one, Outcome::Delivered, None, 200);
    assert_eq!((world.why(one).state, world.why(one).reasons), (DeliveryState::Delivered, vec![]));
}

#[test]
fn holds_say_who_and_since_when() {
    let mut world = TestQueue::new([endpoint()]);
    let one = world.deliver("{}");
    world.end_attempt(one, Outcome::Gone, None, 410);
    let since = START.wall_ms + 1;
    assert_eq!(world.first_reason(one), WaitReason::Hold { reason: HoldReason::Gone, since });
    assert_eq!(world.why(one).state, DeliveryState::Held);

    let mut world = TestQueue::new([endpoint()]);
    world.input(HoldEndpoint { name: "app".into() });
    let one = world.deliver("{}");
    assert_eq!(
        world.first_reason(one),
        WaitReason::Hold { reason: HoldReason::Operator, since: START.wall_ms }
    );
}

#[test]
fn a_full_window_and_the_line_before_it() {
    let mut world = TestQueue::new([Endpoint { concurrency: 1, ..endpoint() }]);
    let (_, second, third) = (world.deliver("1"), world.deliver("2"), world.deliver("3"));
    let full = WaitReason::Window { in_flight: 1, width: 1, most: 1 };
    assert_eq!(world.why(second).reasons, vec![full.clone()]);
    assert_eq!(world.why(third).reasons, [full, WaitReason::InLine { before: 1 }]);
}

#[test]
fn a_strict_lane_waits_for_its_head_and_parks() {
    let order = Endpoint {
        order: Order::Strict,
        head_of_line: HeadOfLine::Park { after: 2 },
        ..endpoint()
    };
    let mut world = TestQueue::new([order]);
    let (head, next) = (world.deliver("1"), world.deliver("2"));
    assert_eq!(
        world.first_reason(next),
        WaitReason::Behind { head, under_way: true, attempts: 0, due_at: None }
    );

    world.fail(head);
    let due_at = Some(world.now.wall_ms + 10_000);
    assert_eq!(
        world.first_reason(next),
        WaitReason::Behind { head, under_way: false, attempts: 1, due_at }
    );

    world.pass(10_000);
    world.fail(head);
    assert!(matches!(
        world.first_reason(next),
        WaitReason::Parked { itself: false, attempts: 2, .. }
    ));
    assert!(matches!(
        world.first_reason(head),
        WaitReason::Parked { itself: true, head: parked, .. } if parked == head
    ));
}

#[test]
fn a_key_lane_is_found_by_its_key() {
    let mut world = TestQueue::new([Endpoint {
        order: Order::Key,
        order_key: Some("/k".into()),
        ..endpoint()
    }]);
    let (head, next, other) =
        (world.deliver(r#"{"k":1}"#), world.deliver(r#"{"k":1}"#), world.deliver(r#"{"k":2}"#));
    world.fail(head);
    assert!(matches!(world.first_reason(other), WaitReason::UnderWay { .. }), "another lane");

    let key = world.queue.state().endpoints[&1].retrying[&head.seq].key;
    let answer = world.queue.ask(world.now, &ExplainQuery { delivery: next, key, source: None });
    assert!(
        matches!(answer.reasons[0], WaitReason::Behind { head: h, .. } if h == head),
        "{answer:?}"
    );
}

#[test]
fn an_open_breaker_says_when_it_probes() {
    let retry =
        RetryPolicy { base_ms: 1_000, max_ms: 1_000, jitter: 0.0, ..RetryPolicy::default() };
    let mut world = TestQueue::new([Endpoint { retry, ..endpoint() }]);
    let one = world.deliver("{}");
    for _ in 0..11 {
        world.fail(one);
        world.pass(1_000);
    }
    let reasons = world.why(one).reasons;
    assert!(matches!(reasons[0], WaitReason::UnderWay { .. }), "the probe itself: {reasons:?}");

    world.fail(one);
    let other = world.deliver("2");
    let since = world.now.wall_ms - 1_000;
    let probe_at = world.now.wall_ms + 1_000;
    assert_eq!(world.first_reason(other), WaitReason::Breaker { since, probe_at, failures: 12 });
}

#[test]
fn a_pause_and_a_rate_say_when_it_goes_on() {
    let rate = Rate { count: 1, per_ms: 60_000 };
    let mut world = TestQueue::new([Endpoint { rate: Some(rate), ..endpoint() }]);
    let (one, two) = (world.deliver("1"), world.deliver("2"));
    let next_at = world.now.wall_ms + 60_000;
    assert_eq!(world.first_reason(two), WaitReason::Rate { rate, next_at });

    world.end_attempt(one, Outcome::Retryable { after_ms: Some(90_000) }, None, 503);
    assert_eq!(world.first_reason(two), WaitReason::Paused { until: world.now.wall_ms + 90_000 });
}

#[test]
fn offline_is_the_reason_for_those_behind_the_link() {
    let mut world = TestQueue::new([endpoint()]);
    let far = crate::queue::link::Locality::Far("app.example".into());
    world.queue.state.endpoint_mut(1).set_locality(far);
    let one = world.deliver("{}");
    world.end_attempt(one, Outcome::Retryable { after_ms: None }, Some(AttemptFault::NoRoute), 0);
    let (since, probe_at) = (world.now.wall_ms, world.now.wall_ms + limits::LINK_GAP_MS);
    assert_eq!(world.first_reason(one), WaitReason::Offline { since, probe_at });

    let status = world.queue.ask(world.now, &StatusQuery);
    assert_eq!((status.offline, status.away), (Some((since, probe_at)), 1));
}

#[test]
fn a_clock_of_1970_keeps_what_is_signed() {
    let mut world = TestQueue::at(Now { mono_ms: 1_000, wall_ms: 5_000 }, [endpoint()]);
    let one = world.deliver("{}");
    assert_eq!(world.first_reason(one), WaitReason::Clock { until: 5_000 + limits::CLOCK_WAIT_MS });
}

#[test]
fn batches_gather_go_out_and_wait_together() {
    let batch =
        Batch { max_events: 2, max_bytes: 1_000, max_wait_ms: 5_000, format: BatchFormat::Json };
    let mut world = TestQueue::new([Endpoint { batch: Some(batch), ..endpoint() }]);
    let one = world.deliver("1");
    let closes_at = world.now.wall_ms + 5_000;
    assert_eq!(world.first_reason(one), WaitReason::Gathering { max_events: 2, closes_at });

    let two = world.deliver("2");
    let WaitReason::UnderWay { number: 1, batch: Some(id), members: 2 } = world.first_reason(two)
    else {
        panic!("{:?}", world.why(two))
    };
    world.finish_batch(report(world.now, Outcome::Retryable { after_ms: None }), Vec::new());
    let due_at = Some(world.now.wall_ms + 10_000);
    assert_eq!(
        world.first_reason(one),
        WaitReason::InBatch { batch: id, members: 2, number: 2, due_at }
    );
}

#[test]
fn a_pull_endpoint_waits_for_a_consumer() {
    let mut world = TestQueue::new([Endpoint { url: "pull:".into(), ..endpoint() }]);
    let one = world.deliver("1");
    assert_eq!(world.first_reason(one), WaitReason::NoConsumer);

    world.input(Input::Wanted { endpoint: 1, total: 1 });
    assert!(matches!(world.first_reason(one), WaitReason::UnderWay { .. }));
}

#[test]
fn a_backlog_on_the_disk_says_how_much_is_before_it() {
    let mut world = TestQueue::new([Endpoint { concurrency: 1, ..endpoint() }]);
    let all: Vec<DeliveryId> =
        (0..limits::PREFETCH + 10).map(|n| world.deliver(&n.to_string())).collect();
    let last = *all.last().expect("some");
    let reasons = world.why(last).reasons;
    let Some(WaitReason::OnDisk { before_at_most }) = reasons.last() else { panic!("{reasons:?}") };
    let before = all.len() as u64 - 1;
    assert!((before - 1..=before).contains(before_at_most), "{before_at_most} of {before}");
}

#[test]
fn the_activity_of_an_endpoint_has_its_counts() {
    let mut world = TestQueue::new([Endpoint { order: Order::Strict, ..endpoint() }]);
    let (one, two) = (world.deliver("1"), world.deliver("2"));
    world.fail(one);
    world.pass(10_000);
    world.end_attempt(one, Outcome::Delivered, None, 200);
    let views = world.queue.ask(world.now, &EndpointsQuery);
    let flow = &views[0].flow;
    assert_eq!((flow.succeeded, flow.failed, flow.oldest), (1, 1, Some(two.seq)));
    assert_eq!((flow.lanes, flow.parked, flow.breaker), (1, 0, None));
}
