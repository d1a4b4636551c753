//! The max age of a delivery.

use std::collections::BTreeMap;

use hookbox::model::{Batch, BatchFormat, Endpoint, Order, Rate, RetryPolicy, Seq};
use hookbox::queue::{HoldEndpoint, ReleaseEndpoint};

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
