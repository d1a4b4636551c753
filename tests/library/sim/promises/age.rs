//! The max age of a delivery.

use std::collections::BTreeMap;

use hookbox::model::{
    AttemptFault, Batch, BatchFormat, DeliveryId, Endpoint, Order, Rate, RetryPolicy, Seq,
};
use hookbox::queue::{HoldEndpoint, ReleaseEndpoint, RetryDeliveries, Revive, UpdateEndpoint};

use super::endpoint;
use crate::sim::script::{Says, Script};

/// Behind a breaker, a pause, a rate, a strict lane, a batch that is being gathered, and on the
/// disk.
#[test]
fn max_age_ends_what_waits_whatever_it_waits_for() {
    let retry = RetryPolicy { max_age_ms: 14_000, ..endpoint("app").retry };
    let app = || Endpoint { retry: retry.clone(), ..endpoint("app") };
    let slow = Rate { count: 1, per_ms: 3_600_000 };
    let gathers = Batch {
        max_events: 1_000,
        max_bytes: 1 << 20,
        max_wait_ms: 3_600_000,
        format: BatchFormat::Json,
    };

    let kinds: Vec<(&str, Endpoint, Says)> = vec![
        ("breaker", app(), Says::fails(500)),
        ("pause", app(), Says::asks_for(503, 3_600_000)),
        ("rate", Endpoint { rate: Some(slow), ..app() }, Says::fails(500)),
        ("strict", Endpoint { order: Order::Strict, ..app() }, Says::asks_for(500, 3_600_000)),
        (
            "key",
            Endpoint { order: Order::Key, order_key: Some("/k".into()), ..app() },
            Says::asks_for(500, 3_600_000),
        ),
        ("gathering", Endpoint { batch: Some(gathers), ..app() }, Says::fails(500)),
        (
            "batch",
            Endpoint { batch: Some(Batch { max_wait_ms: 5, ..gathers }), ..app() },
            Says::asks_for(500, 3_600_000),
        ),
    ];

    for (kind, endpoint, says) in kinds {
        for backlog in [0, 2_000] {
            let says = says.clone();
            let mut script = Script::new([endpoint.clone()], None, move |_, _, _| says.clone());
            let mut accepted: BTreeMap<Seq, u64> = BTreeMap::new();
            for _ in 0..backlog {
                accepted.insert(script.accept("{\"k\":1}"), 0);
            }

            for n in 0..20 {
                accepted.insert(script.accept(format!("{{\"k\":{}}}", n % 2)), script.now.mono_ms);
                script.run_for(500);
            }

            for _ in 0..40 {
                script.run_for(500);
                let endpoint = &script.queue().state().endpoints[&1];
                for (seq, at) in &accepted {
                    let (ended, age) = (endpoint.dead.contains(*seq), script.now.mono_ms - at);
                    assert!(
                        ended || age <= 15_000,
                        "{kind}: {seq} is {age} ms old: {:?}",
                        endpoint.state_of(*seq)
                    );
                    assert!(!ended || age >= 14_000, "{kind}: {seq} ended at {age} ms");
                }
            }

            let requests = script.seen.len();
            assert!(backlog > 0 || requests < 100, "{kind}: {requests} requests");
            assert_eq!(script.queue().status(script.now).pending, 0, "{kind}");
        }
    }
}

/// An attempt that does not count is no reason to wait on.
#[test]
fn max_age_ends_what_comes_back_with_its_batch_too_old() {
    let retry = RetryPolicy { max_age_ms: 20_000, ..endpoint("app").retry };
    let batch =
        Batch { max_events: 100, max_bytes: 1 << 20, max_wait_ms: 5, format: BatchFormat::Json };
    let app = Endpoint { retry, batch: Some(batch), ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, _| Says {
        within_ms: 25_000,
        fault: Some(AttemptFault::NotTaken),
        ..Says::asks_for(503, 3_600_000)
    });
    let all: Vec<Seq> = (0..5).map(|_| script.accept("{}")).collect();
    script.run_for(27_000);
    assert_eq!((script.seen.len(), &script.seen[0].events), (1, &all));
    let dead = &script.queue().state().endpoints[&1].dead;
    assert!(all.iter().all(|seq| dead.contains(*seq)), "they are 27 s old, of 20: {dead:?}");
}

#[test]
fn the_clock_of_max_age_stands_on_hold_and_runs_on_over_restarts() {
    let retry = RetryPolicy { max_age_ms: 20_000, ..endpoint("app").retry };
    let app = Endpoint { retry, ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, _| Says::asks_for(503, 3_600_000));
    script.accept("{}");
    let waits = script.accept("{}");
    script.run_for(5_000);
    script.command(HoldEndpoint { name: "app".into() });
    script.run_for(100_000);
    script.restart(1_000);
    script.run_for(100_000);
    script.command(ReleaseEndpoint { name: "app".into() });
    let dead = |script: &Script| script.queue().state().endpoints[&1].dead.contains(waits);
    script.run_for(7_000);
    script.restart(500_000);
    script.run_for(5_000);
    assert!(!dead(&script), "it is 17 s old");
    script.run_for(5_000);
    assert!(dead(&script), "it is 22 s old");
}

/// What died and was asked for again is as old as that, whatever waited under its name before.
#[test]
fn what_is_asked_for_again_begins_a_life_of_its_own() {
    let retry = RetryPolicy { max_age_ms: 20_000, max_attempts: Some(2), ..endpoint("app").retry };
    let app = |rate: Option<Rate>| Endpoint {
        order: Order::Key,
        order_key: Some("/k".into()),
        retry: retry.clone(),
        rate,
        ..endpoint("app")
    };
    let mut script = Script::new([app(None)], None, |_, _, _| Says::fails(500));
    let seq = script.accept("{\"k\":1}");
    script.run_for(10_000);

    // In the stream, and read from there, it waits for the rate.
    script.command(UpdateEndpoint(Box::new(app(Some(Rate { count: 1, per_ms: 3_600_000 })))));
    script.accept("{\"k\":2}");
    script.run_for(10);
    let dead = script.queue().state().dead_letter_seqs.min().expect("two attempts have failed");
    let revive = Revive {
        delivery: DeliveryId { seq, endpoint: 1 },
        event: seq,
        attempts: 2,
        last: dead,
        dead_letter_seq: Some(dead),
    };
    script.command(RetryDeliveries { deliveries: vec![revive] });

    let is_dead = |script: &Script| script.queue().state().endpoints[&1].dead.contains(seq);
    script.run_for(19_000);
    assert!(!is_dead(&script), "it was asked for again 19 s ago");
    script.run_for(3_000);
    assert!(is_dead(&script), "it was asked for again 22 s ago");
}

/// What died in the stream and was asked for again twice does not wait where it waited before.
#[test]
fn what_is_asked_for_again_does_not_wait_where_it_died() {
    let retry = RetryPolicy { max_age_ms: 20_000, ..endpoint("app").retry };
    let app = Endpoint { order: Order::Strict, retry, ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, _| Says::asks_for(503, 3_600_000));
    script.accept("{}");
    let seq = script.accept("{}");
    let delivery = DeliveryId { seq, endpoint: 1 };
    let ask_again = |script: &mut Script, dead_letter_seq: Seq| {
        let (event, attempts, last) = (seq, 0, 0);
        let revive =
            Revive { delivery, event, attempts, last, dead_letter_seq: Some(dead_letter_seq) };
        script.command(RetryDeliveries { deliveries: vec![revive] });
    };

    for _ in 0..2 {
        script.run_for(25_000);
        let state = script.queue().state();
        assert!(state.endpoints[&1].dead.contains(seq), "it died of its age, in the stream");
        let dead_letter_seq = state.dead_letter_seqs.max().expect("of the last that died");
        ask_again(&mut script, dead_letter_seq);
    }

    script.restart(0);
    script.run_for(15_000);
    let is_dead = |script: &Script| script.queue().state().endpoints[&1].dead.contains(seq);
    assert!(!is_dead(&script), "it was asked for again 15 s ago");
    script.run_for(10_000);
    assert!(is_dead(&script), "it was asked for again 25 s ago");
}
