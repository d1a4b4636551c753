//! Ask it why: the reasons of a waiting delivery, how it ended, and what a policy would do.

use serde_json::Value;

use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{delivery_in, open_source, quick_endpoint, text};

fn why(daemon: &Daemon, delivery: &Value) -> Value {
    daemon.json(&["delivery", "explain", text(delivery, "id")])
}

/// Waits until the first reason is of this kind, and gives it.
#[track_caller]
fn because(daemon: &Daemon, delivery: &Value, kind: &str) -> Value {
    until(&format!("the reason {kind}"), SOON, || {
        let reason = why(daemon, delivery)["reasons"][0].clone();
        (reason["kind"] == *kind).then_some(reason)
    })
}

fn newest(daemon: &Daemon, endpoint: &str) -> Value {
    daemon
        .lines(&["delivery", "list", "--endpoint", endpoint])
        .into_iter()
        .next()
        .expect("a delivery")
}

#[test]
fn a_retry_a_hold_and_the_end_are_explained() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.script("/app", [Step::Status(500)]);
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/app"),
        &["--retry-base", "1h", "--max-attempts", "2"],
    );

    let event = daemon.accept("/in/in", &[], b"x");
    let one = newest(&daemon, "app");
    let retry = because(&daemon, &one, "retry");
    assert_eq!((&retry["number"], &retry["max_attempts"]), (&2.into(), &2.into()));
    let explained = why(&daemon, &one);
    assert_eq!((text(&explained, "event"), text(&explained, "state")), (event.as_str(), "pending"));
    assert_eq!(
        explained["reasons"].as_array().and_then(|r| r.last()).map(|r| text(r, "error")),
        Some("answered 500")
    );

    let shown = daemon.done(&["delivery", "explain", text(&one, "id")]).stdout;
    assert!(
        shown.contains("is pending, after 1 attempt.")
            && shown.contains("- Attempt 2 of 2 is due in"),
        "{shown}"
    );

    daemon.done(&["endpoint", "hold", "app"]);
    assert!(
        text(&because(&daemon, &one, "hold"), "text").contains("hookboxctl endpoint release app")
    );
    daemon.done(&["endpoint", "release", "app"]);
    let delivered = because(&daemon, &one, "delivered");
    assert_eq!(delivered["number"], 2);
    assert_eq!(why(&daemon, &one)["attempts"], 2);
    let shown = daemon.done(&["delivery", "explain", text(&one, "id")]).stdout;
    assert!(shown.contains("is delivered, after 2 attempts."), "{shown}");

    // A receiver that answers 401 may have another secret.
    receiver.always("/app", Step::Status(401));
    daemon.accept("/in/in", &[], b"z");
    let refused = newest(&daemon, "app");
    because(&daemon, &refused, "retry");
    let shown = why(&daemon, &refused).to_string();
    assert!(shown.contains("`hookboxctl endpoint rotate-secret app`"), "{shown}");
    daemon.done(&["endpoint", "rotate-secret", "app"]);
    let shown = why(&daemon, &refused).to_string();
    assert!(shown.contains("the old one signs as well until"), "{shown}");
    daemon.done(&["delivery", "cancel", text(&refused, "id")]);

    // One that dies, and one that is cancelled.
    receiver.always("/app", Step::Status(500));
    daemon.done(&["endpoint", "update", "app", "--max-attempts", "1"]);
    daemon.accept("/in/in", &[], b"y");
    let two = delivery_in(&daemon, "app", "dead");
    assert!(text(&because(&daemon, &two, "dead"), "text").contains("hookboxctl dlq retry dlv_"));
    assert_eq!(why(&daemon, &two)["attempts"], 1);

    daemon.done(&["endpoint", "hold", "app"]);
    daemon.accept("/in/in", &[], b"z");
    let three = newest(&daemon, "app");
    daemon.done(&["delivery", "cancel", text(&three, "id")]);
    because(&daemon, &three, "cancelled");
    daemon.ctl().run(&["delivery", "explain", "dlv_000000000000000000000"]).expect(64);
}

#[test]
fn lanes_rates_and_batches_say_what_they_wait_for() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    receiver.always("/fails", Step::Status(500));
    let keyed =
        ["--order", "key", "--order-key", "/k", "--head-of-line", "park", "--head-attempts", "2"];
    quick_endpoint(&daemon, "keyed", &receiver.url("/fails"), &keyed);
    quick_endpoint(&daemon, "slow", &receiver.url("/ok"), &["--rate", "1/h"]);
    let batched = ["--batch-max-events", "10", "--batch-max-wait", "1h"];
    quick_endpoint(&daemon, "batched", &receiver.url("/ok"), &batched);

    let head = daemon.accept("/in/in", &[], br#"{"k":1,"n":1}"#);
    daemon.accept("/in/in", &[], br#"{"k":1,"n":2}"#);
    let parked = because(&daemon, &newest(&daemon, "keyed"), "parked");
    assert_eq!((text(&parked, "event"), &parked["itself"]), (head.as_str(), &false.into()));
    // It is not read from the disk before the head has ended.
    let all = daemon.done(&["delivery", "explain", text(&newest(&daemon, "keyed"), "id")]).stdout;
    assert!(all.contains("parked behind") && !all.contains("disk"), "{all}");
    let shown = daemon.json(&["endpoint", "show", "keyed"]);
    assert_eq!((text(&shown, "condition"), &shown["parked_lanes"]), ("parked", &1.into()));

    let rate = because(&daemon, &newest(&daemon, "slow"), "rate");
    assert_eq!(text(&rate, "rate"), "1/h");
    let open = because(&daemon, &newest(&daemon, "batched"), "gathering");
    assert_eq!(open["max_events"], 10);

    // What it says helps: with its head out of the way, the lane goes on.
    daemon.done(&["delivery", "cancel", text(&parked, "head")]);
    until("the lane goes on", SOON, || (receiver.count("/fails") > 2).then_some(()));
}

#[test]
fn an_endpoint_shows_how_it_fares() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.script("/app", [Step::Status(500)]);
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 1);
    let shown = daemon.json(&["endpoint", "show", "app"]);
    assert_eq!((&shown["requests_succeeded"], &shown["requests_failed"]), (&1.into(), &1.into()));
    assert_eq!((&shown["success_ratio"], &shown["lag_ms"]), (&0.5.into(), &0.into()));
    assert!(shown["window"].as_u64().is_some_and(|width| width >= 1));
    assert_eq!(text(&shown, "condition"), "active");
    let listed = daemon.done(&["endpoint", "list"]).stdout;
    assert!(listed.contains("STATE") && listed.contains("active"), "{listed}");
    daemon.ctl().run(&["endpoint", "list", "--state", "tired"]).expect(64);
}

#[test]
fn a_policy_is_simulated_without_a_daemon() {
    let home = Home::new();
    let ctl = home.ctl();
    let outage = ctl.json(&["simulate", "--outage", "6h"]);
    assert_eq!(text(&outage, "end"), "delivered");
    assert!(outage["after_outage_ms"].as_u64().is_some_and(|ms| ms <= 3_600_000), "{outage}");
    let text_of =
        ctl.run(&["simulate", "--max-attempts", "3", "--retry-base", "2s"]).expect(0).stdout;
    assert!(
        text_of.contains("ATTEMPT")
            && text_of.contains("Given up after 6s: 3 of 3 attempts failed"),
        "{text_of}"
    );
    ctl.run(&["simulate", "--retry-base", "2h"]).expect(64);
}
