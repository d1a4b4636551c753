//! What restrains deliveries holds over a restart.

use std::collections::BTreeSet;

use hookbox::model::{
    AttemptFault, Batch, BatchFormat, CatchUp, Endpoint, Order, RetryPolicy, Seq,
};
use hookbox::queue::{CreateEndpoint, HoldEndpoint, ReleaseEndpoint, StartReplay};
use hookbox::record::ReplayFilter;

use super::{endpoint, per_second, to};
use crate::sim::script::{Says, Script};

/// With and without an order, single and batched: what an attempt remembers is the same.
fn of_each_kind(app: &Endpoint) -> Vec<(&'static str, Endpoint)> {
    let batch =
        Batch { max_events: 20, max_bytes: 1 << 20, max_wait_ms: 5, format: BatchFormat::Json };
    let keyed = Endpoint { order: Order::Key, order_key: Some("/n".into()), ..app.clone() };
    let batched = |app: Endpoint| Endpoint { batch: Some(batch), ..app };
    let strict = Endpoint { order: Order::Strict, ..app.clone() };
    vec![
        ("single", app.clone()),
        ("strict", strict.clone()),
        ("key", keyed.clone()),
        ("batch", batched(app.clone())),
        ("strict batch", batched(strict)),
        ("key batch", batched(keyed)),
    ]
}

#[test]
fn a_pause_holds_over_a_restart() {
    for (kind, app) in of_each_kind(&endpoint("app")) {
        let mut first = true;
        let mut script = Script::new([app], None, move |_, _, _| {
            if std::mem::take(&mut first) { Says::asks_for(503, 60_000) } else { Says::ok() }
        });
        let waits = [script.accept("{}")];
        script.run_for(10_000);
        let waits = [waits[0], script.accept("{}")];
        script.restart(5_000);
        script.run_for(40_000);
        assert_eq!(script.seen.len(), 1, "{kind}: {:?}", script.seen);
        script.run_for(10_000);
        let taken: BTreeSet<Seq> =
            script.seen[1..].iter().flat_map(|seen| seen.events.clone()).collect();
        assert_eq!(taken, BTreeSet::from(waits), "{kind}: {:?}", script.seen);
    }
}

#[test]
fn an_open_breaker_holds_over_a_restart() {
    let retry =
        RetryPolicy { base_ms: 1_000, max_ms: 600_000, jitter: 0.0, ..RetryPolicy::default() };
    let app = Endpoint { retry, concurrency: 4, ..endpoint("app") };
    for (kind, app) in of_each_kind(&app) {
        let mut script = Script::new([app], None, |_, _, _| Says::fails(500));
        for n in 0..200 {
            script.accept(format!("{{\"n\":{n}}}"));
            script.run_for(500);
        }
        for _ in 0..20 {
            let before = script.seen.len();
            script.restart(100);
            script.run_for(500);
            let made = script.seen.len() - before;
            assert!(made <= 1, "{kind}: {made} requests at a start");
        }
    }
}

#[test]
fn a_replay_keeps_its_pace_over_restarts() {
    let mut script = Script::new([endpoint("app")], None, |_, _, _| Says::ok());
    for n in 0..200 {
        script.accept(format!("{n}"));
        script.run_for(10);
    }
    let (end, filter) = (script.queue().state().next_seq - 1, ReplayFilter::default());
    script.command(StartReplay { filter, rate: Some(10), next: 1, end, member: None });
    script.run_for(100);
    let before = script.queue().state().counts.attempts;
    for _ in 0..20 {
        script.restart(50);
        script.run_for(100);
    }
    let made = script.queue().state().counts.attempts - before;
    assert!(made <= 50, "{made} in 3 s at 10 a second");
}

#[test]
fn being_offline_is_known_after_a_restart() {
    let mut script = Script::new([endpoint("a"), endpoint("b")], None, |_, _, _| Says {
        fault: Some(AttemptFault::Unreachable),
        status: None,
        within_ms: 1_000,
        ..Says::fails(0)
    });
    script.accept("{}");
    script.run_for(30_000);
    assert!(script.queue().is_offline());

    let burnt = |script: &Script| -> u32 {
        let endpoints = script.queue().state().endpoints.values();
        endpoints
            .flat_map(|endpoint| endpoint.retrying.values().map(|waiting| waiting.attempts))
            .sum()
    };
    let before = burnt(&script);

    for _ in 0..5 {
        script.restart(100);
        script.run_for(60_000);
    }
    assert_eq!(burnt(&script), before, "attempts that count");
}

#[test]
fn a_backlog_found_at_a_start_keeps_to_the_pace() {
    let rate = Some(per_second(10));
    let app = Endpoint { catch_up: CatchUp { rate, ..CatchUp::default() }, ..endpoint("app") };
    let mut script =
        Script::new([app], None, |_, _, _| Says { within_ms: 10_000_000, ..Says::hangs() });
    for n in 0..300 {
        script.accept(format!("{n}"));
    }
    script.restart(0);
    script.seen.clear();
    script.run_for(10);
    for _ in 0..10 {
        script.restart(0);
        script.run_for(300);
    }
    assert!(script.seen.len() <= 31, "{} in 3 s at 10 a second", script.seen.len());
}

#[test]
fn a_start_gives_no_token_anew_for_a_backlog() {
    let rate = Some(per_second(10));
    let app = Endpoint { catch_up: CatchUp { rate, ..CatchUp::default() }, ..endpoint("app") };
    let mut script = Script::new([app], None, |_, _, _| Says::ok());
    script.command(HoldEndpoint { name: "app".into() });
    for n in 0..300 {
        script.accept(format!("{n}"));
    }
    script.command(ReleaseEndpoint { name: "app".into() });
    script.run_for(100);
    script.seen.clear();
    for _ in 0..20 {
        script.restart(0);
        script.run_for(150);
    }
    assert!(script.seen.len() <= 31, "{} in 3 s at 10 a second", script.seen.len());
}

#[test]
fn hanging_endpoints_at_a_start_do_not_delay_good_ones() {
    for (hanging, restarts) in
        [(40, true), (150, false), (150, true), (256, false), (256, true), (350, false)]
    {
        let names =
            (0..hanging).map(|n| format!("hang{n}")).chain((0..5).map(|n| format!("good{n}")));
        let mut script = Script::new(names.map(|name| endpoint(&name)), None, |endpoint, _, _| {
            if endpoint.name.starts_with("good") { Says::ok() } else { Says::hangs() }
        });

        for n in 0..20 {
            script.accept(format!("{n}"));
        }
        if restarts {
            script.restart(0);
            script.seen.clear();
        }

        script.run_for(2_000);
        for n in 0..5 {
            let got = to(&script.seen, &format!("good{n}")).count();
            assert!(got >= 20, "beside {hanging}: good{n} got {got} in 2 s");
        }

        script.run_for(60_000);
        script.command(CreateEndpoint(Box::new(endpoint("good9"))));
        let at = script.now.mono_ms;
        script.accept("{}");
        script.run_for(1_000);
        let first = to(&script.seen, "good9").next().map(|seen| seen.at - at);
        assert!(first.is_some_and(|after| after <= 10), "beside {hanging}: {first:?}");
    }
}

/// However many there are: those that took something before the start have slots that the others
/// do not get.
#[test]
fn endpoints_that_took_something_before_a_start_wait_for_none_that_hang() {
    let names = (0..600).map(|n| format!("hang{n}")).chain((0..5).map(|n| format!("good{n}")));
    let mut script = Script::new(names.map(|name| endpoint(&name)), None, |endpoint, _, _| {
        if endpoint.name.starts_with("good") { Says::ok() } else { Says::hangs() }
    });
    (0..600).for_each(|n| script.command(HoldEndpoint { name: format!("hang{n}") }));
    script.accept("{}");
    script.run_for(1_000);
    (0..600).for_each(|n| script.command(ReleaseEndpoint { name: format!("hang{n}") }));
    for n in 0..20 {
        script.accept(format!("{n}"));
    }
    script.restart(0);
    script.seen.clear();
    script.run_for(2_000);
    for n in 0..5 {
        let got = to(&script.seen, &format!("good{n}")).count();
        assert!(got >= 20, "good{n} got {got} in 2 s");
    }
}
