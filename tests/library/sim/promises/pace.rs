//! Paces, probes, and what the operator hurries.

use hookbox::model::{
    Batch, BatchFormat, CatchUp, CatchUpMode, DeliveryId, Endpoint, Order, RetryPolicy, Seq,
};
use hookbox::queue::{HoldEndpoint, ReleaseEndpoint, RetryDeliveries, Revive, UpdateEndpoint};

use super::{endpoint, per_second, to};
use crate::sim::script::{Says, Script};

#[test]
fn a_shared_pace_is_shared_and_new_events_do_not_count() {
    let mut script = Script::new(
        [endpoint("a"), endpoint("b"), endpoint("c")],
        Some(per_second(20)),
        |_, _, _| Says::ok(),
    );

    for name in ["a", "b", "c"] {
        script.command(HoldEndpoint { name: name.into() });
    }
    for n in 0..100 {
        script.accept(format!("{n}"));
    }
    for name in ["a", "b", "c"] {
        script.command(ReleaseEndpoint { name: name.into() });
    }

    for _ in 0..100 {
        script.accept("{}");
        script.run_for(40);
    }

    let got: Vec<usize> =
        ["a", "b", "c"].iter().map(|name| to(&script.seen, name).count()).collect();
    let (least, most) = (got.iter().min().expect("three"), got.iter().max().expect("three"));
    assert!(*least >= 20 && most - least <= 2, "{got:?} in 4 s at 20 a second");
    assert!(got.iter().sum::<usize>() <= 4 * 20 + 1, "{got:?}");

    for _ in 0..600 {
        script.accept("{}");
        script.run_for(40);
    }
    assert_eq!(script.queue().status(script.now).catching_up, 0, "25 a second came in meanwhile");
}

#[test]
fn an_endpoints_own_pace_below_its_traffic_ends() {
    let rate = Some(per_second(10));
    let app = Endpoint { catch_up: CatchUp { rate, ..CatchUp::default() }, ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, _| Says::ok());
    script.command(HoldEndpoint { name: "app".into() });
    for n in 0..50 {
        script.accept(format!("{n}"));
    }
    script.command(ReleaseEndpoint { name: "app".into() });
    for _ in 0..200 {
        script.accept("{}");
        script.run_for(40);
    }
    script.run_for(1_000);
    assert_eq!(script.queue().status(script.now).catching_up, 0);
    assert_eq!(to(&script.seen, "app").count(), 250);
}

#[test]
fn fewer_attempts_at_a_time_count_from_the_next_one_on() {
    let app = Endpoint { concurrency: 12, ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, now| Says {
        within_ms: if now < 10_000 { 50 } else { 5_000 },
        ..Says::ok()
    });
    for n in 0..300 {
        script.accept(format!("{n}"));
        script.run_for(10);
    }
    script.run_for(10_000);
    let before = script.seen.len();
    script.command(UpdateEndpoint(Box::new(Endpoint { concurrency: 2, ..endpoint("app") })));
    for n in 0..20 {
        script.accept(format!("{n}"));
    }
    script.run_for(1_000);
    assert_eq!(script.seen.len() - before, 2, "at a time");
}

#[test]
fn probes_obey_the_longest_retry() {
    let retry = RetryPolicy { base_ms: 100, max_ms: 200, jitter: 0.0, ..RetryPolicy::default() };
    let mut script =
        Script::new([Endpoint { retry, ..endpoint("app") }], None, |_, _, _| Says::fails(500));
    script.accept("{}");
    script.run_for(30_000);
    let before = script.seen.len();
    script.run_for(10_000);
    assert!(script.seen.len() - before >= 45, "{} in 10 s", script.seen.len() - before);
}

#[test]
fn what_cannot_be_hurried_is_not_said_to_be() {
    let mut script =
        Script::new([Endpoint { order: Order::Strict, ..endpoint("app") }], None, |_, _, _| {
            Says::asks_for(500, 3_600_000)
        });
    script.accept("{}");
    let behind = script.accept("{}");
    script.run_for(1_000);
    let delivery = DeliveryId { seq: behind, endpoint: 1 };
    let revive = Revive { delivery, event: behind, attempts: 0, last: 0, dead_letter_seq: None };
    let reply = script.tell(RetryDeliveries { deliveries: vec![revive] });
    assert!(reply.is_err(), "{reply:?}");
}

/// Of an endpoint with batches, what the operator asks for in spite of a pause goes alone: the
/// pause keeps the others.
#[test]
fn what_is_asked_for_in_spite_of_a_pause_takes_no_others_along() {
    let batch = Some(Batch {
        max_events: 3,
        max_bytes: 1 << 20,
        max_wait_ms: 0,
        format: BatchFormat::Json,
    });

    let catch_up = CatchUp { mode: CatchUpMode::Newest, ..CatchUp::default() };
    let mut requests = 0;
    let app = Endpoint { batch, catch_up, concurrency: 1, ..endpoint("app") };
    let mut script = Script::new([app], None, move |_, events, _| {
        requests += 1;
        let failed = events.iter().map(|event| event.id).collect();
        match requests {
            1 => Says { failed, ..Says::ok() },
            2 => Says::asks_for(503, 3_600_000),
            _ => Says::ok(),
        }
    });

    let all: Vec<Seq> = (0..12).map(|n| script.accept(format!("{n}"))).collect();
    script.run_for(20_000);
    let (before, first) = (script.seen.len(), script.seen[0].events[0]);
    assert!(before == 2 && all.contains(&first));

    let waiting =
        script.queue().state().endpoints[&1].retrying.get(&first).copied().expect("it failed");
    let delivery = DeliveryId { seq: first, endpoint: 1 };
    let revive = Revive {
        delivery,
        event: first,
        attempts: waiting.attempts,
        last: waiting.last,
        dead_letter_seq: None,
    };
    script.command(RetryDeliveries { deliveries: vec![revive] });
    script.run_for(10_000);

    let got: Vec<Vec<Seq>> = script.seen[before..].iter().map(|seen| seen.events.clone()).collect();
    assert_eq!(got, [vec![first]]);
}
