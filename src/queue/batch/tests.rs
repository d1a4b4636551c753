use crate::model::{
    AttemptReport, Batch, BatchFormat, BatchId, DeliveryId, Endpoint, EventId, HeadOfLine, Header,
    HoldReason, Now, Order, Outcome, limits,
};
use crate::queue::testing::{TestQueue, answered, report};
use crate::queue::{
    DeliveriesQuery, EndpointsQuery, HoldEndpoint, Input, ReleaseEndpoint, StatusQuery,
    UpdateEndpoint,
};

/// An endpoint that takes batches.
fn endpoint(max_events: u32, format: BatchFormat) -> Endpoint {
    let batch = Batch { max_events, max_bytes: 1 << 20, max_wait_ms: 1_000, format };
    let mut endpoint =
        Endpoint { batch: Some(batch), ..Endpoint::new("app", "http://127.0.0.1:1/") };
    (endpoint.retry.base_ms, endpoint.retry.jitter) = (1_000, 0.0);
    endpoint
}

impl TestQueue {
    /// Accepts an event that has passed so many daemons.
    fn accept_after(&mut self, hops: &str) -> EventId {
        self.accept_with(vec![Header::new("hookbox-hops", hops.to_owned())], "{}")
    }

    /// Ends the attempt for the batch that was sent last.
    fn end_batch(&mut self, outcome: Outcome, status: u16, failed: Vec<EventId>) {
        self.finish_batch(answered(self.now, outcome, status), failed);
    }

    /// The events of the batches that were sent.
    fn sent_ids(&self) -> Vec<Vec<EventId>> {
        self.batches.iter().map(|batch| batch.events.clone()).collect()
    }
}

#[test]
fn a_looping_event_does_not_end_the_others() {
    let mut world = TestQueue::new([endpoint(4, BatchFormat::Json)]);
    let victims = [world.accept_after("0"), world.accept_after("1")];
    let looping = world.accept_after("8");
    let more = [world.accept_after("1"), world.accept_after("7"), world.accept_after("1")];
    world.pass(1_000);
    // It is kept, and goes nowhere; the others go with those that have passed as many daemons.
    let sent: Vec<EventId> = world.sent_ids().into_iter().flatten().collect();
    assert!(!sent.contains(&looping) && sent.contains(&victims[0]), "{sent:?}");

    for _ in 0..4 {
        world.end_batch(Outcome::Delivered, 200, Vec::new());
        world.pass(1_000);
    }
    assert_eq!(
        world.sent_ids(),
        [vec![victims[0]], vec![victims[1], more[0]], vec![more[1]], vec![more[2]]],
        "in their order, and none above the others"
    );

    let state = world.queue.state();
    assert_eq!(
        (
            state.endpoints[&1].dead.len(),
            state.endpoints[&1].undone + state.endpoints[&1].delivered
        ),
        (0, 5)
    );
    assert_eq!(state.counts.events, 6);
}

#[test]
fn an_unwanted_event_among_several_is_sent_alone_in_the_end() {
    for drop in [true, false] {
        let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
        let ids = [world.accept_after("0"), world.accept_after("0")];
        assert_eq!(world.sent_ids(), [ids.to_vec()]);

        if drop {
            world.end_batch(Outcome::Drop, 400, Vec::new());
        } else {
            world.end_batch(Outcome::Retryable { after_ms: None }, 413, Vec::new());
        }
        assert_eq!(
            world.queue.state().endpoints[&1].dead.len(),
            0,
            "both are not given up for one"
        );

        world.pass(999);
        assert_eq!(world.batches.len(), 1, "the halves are given their time, too");

        world.pass(1);
        let alone: Vec<Vec<EventId>> = world.sent_ids().split_off(1);
        assert!(!alone.is_empty() && alone.iter().all(|ids| ids.len() == 1), "{alone:?}");
    }
}

/// Has every batch that is sent within a minute answered: refused with 400 where `refuses` says so.
fn answer_for_a_minute(world: &mut TestQueue, refuses: impl Fn(&[EventId]) -> bool) {
    report_for_a_minute(world, |events, now| match refuses(events) {
        true => answered(now, Outcome::Retryable { after_ms: None }, 400),
        false => answered(now, Outcome::Delivered, 200),
    });
}

/// Has every batch that is sent within a minute end so.
fn report_for_a_minute(world: &mut TestQueue, ends: impl Fn(&[EventId], Now) -> AttemptReport) {
    let mut ended = 0;
    for _ in 0..60 {
        while ended < world.batches.len() {
            let (batch, events) = (world.batches[ended].id, world.batches[ended].events.clone());
            let report = ends(&events, world.now);
            world.input(Input::BatchFinished { endpoint: 1, batch, report, failed: Vec::new() });
            ended += 1;
        }
        world.pass(1_000);
    }
}

#[test]
fn a_receiver_that_refuses_everything_for_a_while_kills_no_event() {
    let mut world = TestQueue::new([endpoint(4, BatchFormat::Json)]);
    let ids: Vec<EventId> = (0..4).map(|_| world.accept_after("0")).collect();
    answer_for_a_minute(&mut world, |_| true);
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.undone), (0, 4), "the receiver is to blame, not the events");

    // It is well again: all are delivered, and one that is refused alone is to blame itself.
    world.batches.clear();
    let bad = ids[2];
    for _ in 0..10 {
        answer_for_a_minute(&mut world, |events| events == [bad]);
        world.batches.clear();
    }
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.delivered, app.undone), (1, 3, 0));
}

#[test]
fn one_that_is_refused_alone_is_given_up_once_others_were_taken() {
    let mut world = TestQueue::new([endpoint(4, BatchFormat::Json)]);
    let ids: Vec<EventId> = (0..4).map(|_| world.accept_after("0")).collect();
    answer_for_a_minute(&mut world, |events| events.contains(&ids[1]));
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.delivered, app.undone), (1, 3, 0));
}

#[test]
fn an_event_on_which_the_receiver_breaks_ends_no_others() {
    let retryable = Outcome::Retryable { after_ms: None };
    // Where attempts have no limit, what it breaks on waits on alone.
    let cases = [(true, Some(4)), (false, Some(4)), (true, None), (false, None)];
    for (closes, max_attempts) in cases {
        let mut app = endpoint(8, BatchFormat::Json);
        app.retry.max_attempts = max_attempts;
        let mut world = TestQueue::new([app]);
        let ids: Vec<EventId> = (0..8).map(|_| world.accept_after("0")).collect();

        for _ in 0..10 {
            report_for_a_minute(&mut world, |events, now| match events.contains(&ids[2]) {
                true if closes => {
                    AttemptReport { connect_ms: Some(1), ..report(now, retryable.clone()) }
                }
                true => answered(now, retryable.clone(), 500),
                false => answered(now, Outcome::Delivered, 200),
            });
            world.batches.clear();
        }

        let app = &world.queue.state().endpoints[&1];
        let dead = u64::from(max_attempts.is_some());
        let ends = (app.dead.len(), app.delivered, app.undone);
        assert_eq!(ends, (dead, 7, 1 - dead), "closes: {closes}, {max_attempts:?}");
    }
}

#[test]
fn a_receiver_that_is_away_or_busy_gets_its_batches_whole() {
    let retryable = Outcome::Retryable { after_ms: None };
    for status in [Some(503), Some(429), None] {
        let mut world = TestQueue::new([endpoint(8, BatchFormat::Json)]);
        let ids: Vec<EventId> = (0..8).map(|_| world.accept_after("0")).collect();
        report_for_a_minute(&mut world, |_, now| match status {
            Some(status) => answered(now, retryable.clone(), status),
            None => report(now, retryable.clone()),
        });
        let sent = world.sent_ids();
        assert!(sent.len() > 4 && sent.iter().all(|events| *events == ids), "{status:?}: {sent:?}");
    }
}

#[test]
fn at_the_head_of_a_lane_it_waits_or_is_skipped_as_the_endpoint_says() {
    let after_ten_minutes = |head_of_line| {
        let order = Order::Strict;
        let strict = Endpoint { order, head_of_line, ..endpoint(4, BatchFormat::Json) };
        let mut world = TestQueue::new([strict]);
        let ids: Vec<EventId> = (0..4).map(|_| world.accept_after("0")).collect();
        for _ in 0..10 {
            answer_for_a_minute(&mut world, |events| events.contains(&ids[0]));
            world.batches.clear();
        }
        let app = &world.queue.state().endpoints[&1];
        (app.dead.len(), app.delivered, app.undone)
    };
    assert_eq!(after_ten_minutes(HeadOfLine::Skip { after: 8 }), (1, 3, 0));
    assert_eq!(after_ten_minutes(HeadOfLine::Block), (0, 0, 4), "until its policy gives it up");
}

#[test]
fn a_receiver_that_refuses_everything_for_a_while_kills_no_event_in_order() {
    for head_of_line in [HeadOfLine::Block, HeadOfLine::Skip { after: 20 }] {
        let order = Order::Strict;
        let strict = Endpoint { order, head_of_line, ..endpoint(4, BatchFormat::Json) };
        let mut world = TestQueue::new([strict]);
        for _ in 0..4 {
            world.accept_after("0");
        }
        answer_for_a_minute(&mut world, |_| true);
        let app = &world.queue.state().endpoints[&1];
        assert_eq!((app.dead.len(), app.undone), (0, 4), "{head_of_line:?}");
    }
}

#[test]
fn a_batch_of_one_that_is_too_large_is_tried_again_first() {
    let mut world = TestQueue::new([endpoint(1, BatchFormat::Json)]);
    world.accept_after("0");
    world.end_batch(Outcome::Delivered, 200, Vec::new());

    world.accept_after("0");
    world.end_batch(Outcome::Retryable { after_ms: None }, 413, Vec::new());
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.undone), (0, 1), "whatever it took before");

    world.pass(1_000);
    world.end_batch(Outcome::Retryable { after_ms: None }, 413, Vec::new());
    assert_eq!(world.queue.state().endpoints[&1].undone, 1, "nothing else was taken since");
}

#[test]
fn an_answer_that_fails_all_is_a_failure() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    let ids = [world.accept_after("0"), world.accept_after("0")];
    world.end_batch(Outcome::Delivered, 200, ids.to_vec());
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.succeeded, app.failed, app.delivered, app.undone), (0, 1, 0, 2));
    assert!(app.last_error.as_deref().is_some_and(|error| error.contains("none of its batch")));

    let views = world.queue.ask(world.now, &EndpointsQuery);
    assert_eq!(views[0].flow.failures_in_row, 1);

    // Where a part is taken, the attempt is a success of the endpoint.
    world.pass(2_000);
    world.end_batch(Outcome::Delivered, 200, vec![ids[1]]);
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.succeeded, app.failed, app.delivered, app.undone), (1, 1, 1, 1));
}

#[test]
fn an_endpoint_that_takes_nothing_for_days_is_held_whatever_it_answers() {
    let mut world =
        TestQueue::new([Endpoint { hold_after_ms: 3_000, ..endpoint(1, BatchFormat::Json) }]);
    let id = world.accept_after("0");
    for _ in 0..6 {
        world.end_batch(Outcome::Delivered, 200, vec![id]);
        world.pass(4_000);
    }
    assert_eq!(
        world.queue.state().endpoints[&1].hold.as_ref().map(|(reason, _)| reason),
        Some(&HoldReason::Failing)
    );
}

#[test]
fn silence_is_no_failure() {
    let mut world =
        TestQueue::new([Endpoint { hold_after_ms: 10_000, ..endpoint(1, BatchFormat::Json) }]);
    for _ in 0..5 {
        world.accept_after("0");
        world.end_batch(Outcome::Refused, 0, Vec::new());
        // Nothing is left to send.
        world.pass(60_000);
    }
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.failing_ms, &app.hold), (5, 0, &None));

    // What waits for another attempt is something to send.
    world.accept_after("0");
    for _ in 0..4 {
        world.end_batch(Outcome::Retryable { after_ms: None }, 500, Vec::new());
        world.pass(20_000);
    }
    assert!(world.queue.state().endpoints[&1].hold.is_some());
}

#[test]
fn a_batch_has_the_same_format_at_every_attempt() {
    let mut world = TestQueue::new([endpoint(1, BatchFormat::Json)]);
    world.accept_after("0");
    world.end_batch(Outcome::Retryable { after_ms: None }, 500, Vec::new());
    world.input(UpdateEndpoint(Box::new(endpoint(1, BatchFormat::Ndjson))));
    world.pass(5_000);
    world.accept_after("0");
    let sent: Vec<(BatchId, BatchFormat)> =
        world.batches.iter().map(|batch| (batch.id, batch.format)).collect();
    let (first, last) = (sent[0].0, sent[2].0);
    let (json, ndjson) = (BatchFormat::Json, BatchFormat::Ndjson);
    assert_eq!(sent, [(first, json), (first, json), (last, ndjson)]);
}

#[test]
fn one_that_has_been_tried_for_long_does_not_end_the_others() {
    let mut tried = endpoint(2, BatchFormat::Json);
    tried.retry.max_attempts = Some(3);
    let mut world = TestQueue::new([tried]);
    let old = world.accept_after("0");
    world.pass(1_000);
    // It fails twice alone, named in `failed`, so that it goes on alone and may join others.
    for wait in [2_000, 10_000] {
        world.end_batch(Outcome::Delivered, 200, vec![old]);
        world.pass(if wait == 2_000 { wait } else { 0 });
        world.pass(1_000);
    }
    let young = world.accept_after("0");
    world.pass(10_000);
    assert_eq!(world.sent_ids().pop(), Some(vec![old, young]));

    // No answer: the old one has had all its attempts.
    let reset = AttemptReport {
        error: Some("the connection was reset".into()),
        ..report(world.now, Outcome::Retryable { after_ms: None })
    };
    world.finish_batch(reset, Vec::new());
    let app = &world.queue.state().endpoints[&1];
    assert!(app.dead.contains(old.seq) && !app.dead.contains(young.seq), "{:?}", app.dead);
    assert_eq!(app.retrying.get(&young.seq).map(|waiting| waiting.attempts), Some(1));
}

#[test]
fn a_batch_is_as_old_as_its_youngest_and_too_old_for_halves() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    let mut short = endpoint(2, BatchFormat::Json);
    short.retry.max_age_ms = 5_000;
    world.input(UpdateEndpoint(Box::new(short)));
    let old = world.accept_after("0");
    world.pass(900);
    let young = world.accept_after("0");
    assert_eq!(world.sent_ids(), [vec![old, young]]);

    // The old one's time is over, the young one's is not.
    world.pass(4_500);
    world.end_batch(Outcome::Retryable { after_ms: None }, 500, Vec::new());
    let app = &world.queue.state().endpoints[&1];
    assert!(app.retrying.contains_key(&young.seq) && !app.dead.contains(young.seq), "{app:?}");

    // The time of both is over: there is none left for halves of it.
    world.pass(600);
    let sent = world.batches.len();
    assert_eq!(sent, 2, "it went out once more");

    world.end_batch(Outcome::Retryable { after_ms: None }, 500, Vec::new());
    world.pass(10_000);
    let app = &world.queue.state().endpoints[&1];
    assert_eq!((app.dead.len(), app.undone, world.batches.len()), (2, 0, sent));
}

#[test]
fn another_batch_begins_while_one_is_under_way() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    world.accept("{}");
    world.accept("{}");
    world.end_batch(Outcome::Delivered, 200, Vec::new());
    world.input(HoldEndpoint { name: "app".into() });
    let events: Vec<EventId> = (0..6).map(|_| world.accept("{}")).collect();

    // Their events are read for each batch, and nothing can be begun meanwhile. After the first
    // batch its window has a width of two.
    world.input(ReleaseEndpoint { name: "app".into() });
    world.end_batch(Outcome::Delivered, 200, Vec::new());
    let sent: Vec<EventId> = world.sent_ids().into_iter().skip(1).flatten().collect();
    assert_eq!(sent, events, "two batches at a time, with no time passed");
}

#[test]
fn what_is_in_flight_does_not_wait_for_a_retry() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    let counts = |world: &TestQueue| {
        let status = world.queue.ask(world.now, &StatusQuery);
        let app = &world.queue.ask(world.now, &EndpointsQuery)[0];
        assert_eq!(app.retrying, status.retrying, "the endpoint and all of them");
        (status.pending, status.in_flight, status.retrying)
    };

    world.accept("{}");
    world.accept("{}");
    assert_eq!(counts(&world), (2, 1, 0), "its first attempt");
    world.end_batch(Outcome::Retryable { after_ms: None }, 503, Vec::new());
    assert_eq!(counts(&world), (2, 0, 2));
    world.pass(2_000);
    assert_eq!(counts(&world), (2, 1, 0), "its second attempt");
}

#[test]
fn what_waits_for_an_open_batch_is_due_when_that_closes() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    let seq = world.accept("{}").seq;
    let closes_at = |world: &TestQueue| {
        let query = DeliveriesQuery(vec![DeliveryId { seq, endpoint: 1 }]);
        world.queue.ask(world.now, &query)[0].batch_closes_at
    };

    assert_eq!(closes_at(&world), Some(world.now.wall_ms + 1_000));
    world.pass(1_000);
    assert_eq!(closes_at(&world), None, "it is in flight");
    world.end_batch(Outcome::Retryable { after_ms: None }, 503, Vec::new());
    assert_eq!(closes_at(&world), None, "its own batch waits, which is as it was");
}

#[test]
fn a_batch_finds_events_that_were_relocated_while_it_was_read() {
    let mut world = TestQueue::new([endpoint(2, BatchFormat::Json)]);
    world.input(HoldEndpoint { name: "app".into() });
    let events = [world.accept("{}"), world.accept("{}")];

    // The first is relocated after it was asked for, and its old record is dropped.
    world.relocate_at_next_read(events[0]);
    world.input(ReleaseEndpoint { name: "app".into() });
    assert_eq!(world.sent_ids(), [events.to_vec()]);

    // The same when the batch is sent again.
    world.relocate_at_next_read(events[1]);
    world.end_batch(Outcome::Retryable { after_ms: None }, 503, Vec::new());
    world.pass(2_000);
    assert_eq!(world.sent_ids(), [events.to_vec(), events.to_vec()]);
    assert_eq!(world.queue.state().endpoints[&1].dead.len(), 0);
}

#[test]
fn a_batch_endpoint_that_fails_for_too_long_is_held_before_its_deliveries_are_given_up() {
    let mut endpoint = endpoint(2, BatchFormat::Json);
    (endpoint.hold_after_ms, endpoint.retry.max_attempts) = (5_000, Some(2));
    let mut world = TestQueue::new([endpoint]);
    world.accept("{}");
    world.accept("{}");

    world.pass(1_000);
    world.end_batch(Outcome::Retryable { after_ms: None }, 503, Vec::new());
    world.pass(6_000);
    world.end_batch(Outcome::Retryable { after_ms: None }, 503, Vec::new());
    let endpoint = &world.queue.state().endpoints[&1];
    assert!(matches!(endpoint.hold, Some((HoldReason::Failing, _))), "{:?}", endpoint.hold);
    assert_eq!(endpoint.dead.len(), 0, "they wait");
}

#[test]
fn headers_count_in_a_batch_whose_bodies_are_empty() {
    let mut world = TestQueue::new([endpoint(64, BatchFormat::Json)]);
    let large = || vec![Header::new("x-a", "x".repeat(58 << 10))];
    let ids: Vec<EventId> = (0..64).map(|_| world.accept_with(large(), "")).collect();
    (0..8).for_each(|_| world.pass(1_000));

    let sent = world.sent_ids();
    let fits = usize::try_from(limits::BATCH_OUT_MEMORY).expect("a size") / (58 << 10);
    assert!(sent.iter().all(|batch| batch.len() <= fits), "{fits} fit into one");
    assert_eq!(sent.concat(), ids, "and all were sent, in their order");
}
