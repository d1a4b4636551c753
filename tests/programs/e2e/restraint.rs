//! What restrains deliveries: pauses and breakers over restarts, max age whatever a delivery waits
//! for, and true words about what is held or cancelled.

use serde_json::{Value, json};

use super::support::admin::Admin;
use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{delivery_in, open_source, quick_endpoint, text};

fn asks_for_an_hour() -> Step {
    Step::Reply(503, vec![("Retry-After".to_owned(), "3600".to_owned())], Vec::new())
}

fn post(daemon: &Daemon, path: &str, body: &Value) -> (u16, Value) {
    let mut admin = Admin::connect(&daemon.ctl().socket).expect("the socket");
    admin.post(path, body).expect("an answer")
}

#[test]
fn a_pause_holds_over_a_kill() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", asks_for_an_hour());
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--concurrency", "1"]);
    daemon.accept("/in/in", &[], b"1");

    let paused = |daemon: &Daemon| {
        let shown = daemon.json(&["endpoint", "show", "app"]);
        shown["paused_until"].as_str().map(str::to_owned)
    };
    let before = until("a pause", SOON, || paused(&daemon));

    daemon.kill();
    let daemon = home.start();
    assert!(paused(&daemon).is_some(), "it was paused until {before}");

    daemon.accept("/in/in", &[], b"2");
    let waits = delivery_in(&daemon, "app", "pending");
    let explained = daemon.json(&["delivery", "explain", text(&waits, "id")]);
    assert_eq!(explained["reasons"][0]["kind"], "paused", "{explained}");
    assert_eq!(receiver.count("/hook"), 1);
}

#[test]
fn max_age_ends_what_waits_behind_a_pause_and_behind_a_rate() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", asks_for_an_hour());
    open_source(&daemon, "in");
    quick_endpoint(
        &daemon,
        "paused",
        &receiver.url("/hook"),
        &["--max-age", "2s", "--concurrency", "1"],
    );
    quick_endpoint(&daemon, "slow", &receiver.url("/slow"), &["--max-age", "2s", "--rate", "1/h"]);

    for n in 0..20 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("pending", 0);
    daemon.await_count("dead", 39);
    assert_eq!((receiver.count("/hook"), receiver.count("/slow")), (1, 1));

    let dead = daemon.lines(&["dlq", "list", "--endpoint", "slow"]);
    assert!(dead.iter().all(|dead| text(dead, "reason").contains("max age")), "{dead:?}");
    assert!(dead.iter().all(|dead| dead["attempts"] == 0), "{dead:?}");
}

#[test]
fn what_is_held_promises_no_attempt() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", Step::Status(500));
    open_source(&daemon, "in");
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--retry-base", "1h", "--retry-max", "1h"],
    );

    daemon.accept("/in/in", &[], b"1");
    receiver.wait("/hook", 1, SOON);
    daemon.done(&["endpoint", "hold", "app"]);
    let held = delivery_in(&daemon, "app", "held");
    assert_eq!(held["due_at"], Value::Null, "{held}");

    let explained = daemon.json(&["delivery", "explain", text(&held, "id")]);
    let kinds: Vec<&str> =
        explained["reasons"].as_array().expect("a list").iter().map(|r| text(r, "kind")).collect();
    assert!(kinds.iter().all(|kind| ["hold", "last_error"].contains(kind)), "{explained}");
}

#[test]
fn what_a_consumer_says_of_a_cancelled_delivery_is_a_conflict() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.json(&["endpoint", "create", "jobs", "--url", "pull:"]);
    daemon.accept("/in/in", &[], b"1");
    daemon.accept("/in/in", &[], b"2");

    let ask = json!({"max": 2, "wait": "5s", "lease": "1m"});
    let mut leases: Vec<Value> = Vec::new();
    while leases.len() < 2 {
        let (status, answer) = post(&daemon, "/v1/endpoints/jobs/lease", &ask);
        assert_eq!(status, 200, "{answer}");
        leases.extend(answer["leases"].as_array().expect("a list").clone());
    }

    daemon.done(&["delivery", "cancel", text(&leases[0], "delivery")]);
    let (status, answer) =
        post(&daemon, &format!("/v1/leases/{}/ack", text(&leases[0], "lease")), &json!({}));
    assert_eq!(status, 409, "{answer}");
    assert!(text(&answer, "detail").contains("cancelled"), "{answer}");

    daemon.done(&["endpoint", "delete", "jobs"]);
    let (status, answer) =
        post(&daemon, &format!("/v1/leases/{}/ack", text(&leases[1], "lease")), &json!({}));
    assert_eq!(status, 409, "{answer}");
}

#[test]
fn a_retry_behind_a_parked_head_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", Step::Status(500));
    open_source(&daemon, "in");
    let order = ["--order", "strict", "--head-of-line", "park", "--head-attempts", "1"];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &order);

    daemon.accept("/in/in", &[], b"head");
    until("a parked lane", SOON, || {
        (daemon.asked("/v1/endpoints/app")["parked_lanes"].as_u64() == Some(1)).then_some(())
    });

    daemon.accept("/in/in", &[], b"behind");
    let behind = until("both", SOON, || {
        let all = daemon.rows("/v1/deliveries?endpoint=app");
        (all.len() == 2).then(|| text(&all[0], "id").to_owned())
    });

    let refused = daemon.ctl().run(&["delivery", "retry", &behind]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("parked"), "{refused:?}");
}
