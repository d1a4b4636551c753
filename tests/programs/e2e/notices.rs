//! The daemon's own events: what the operator hears of without asking, once, and never in a circle.

use serde_json::Value;

use super::support::{Daemon, Home, Receiver, SOON, Step, until, wall_ms};
use super::{open_source, quick_endpoint, text};

/// Waits for an own event of a kind, and gives what it says.
#[track_caller]
fn notice(receiver: &Receiver, path: &str, kind: &str) -> Value {
    until(&format!("a message {kind}"), SOON, || messages(receiver, path, kind).into_iter().next())
}

fn messages(receiver: &Receiver, path: &str, kind: &str) -> Vec<Value> {
    let seen = receiver.seen(path);
    let of_kind = seen.iter().filter(|seen| seen.header("hookbox-type") == Some(kind));
    let bodies = of_kind.map(|seen| serde_json::from_slice::<Value>(&seen.body).expect("JSON"));
    bodies
        .inspect(|body| assert_eq!(body["type"], *kind))
        .map(|body| body["data"].clone())
        .collect()
}

fn own_events(daemon: &Daemon) -> Vec<Value> {
    daemon.lines(&["event", "list", "--source", "hookbox", "--limit", "1000"])
}

#[test]
fn an_endpoint_that_lags_is_reported_once_over_a_restart_and_again_when_it_has_caught_up() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    receiver.always("/app", Step::Status(500));
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &["--warn-after", "1s", "--from", "in"]);
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &["--from", "hookbox"]);
    daemon.accept("/in/in", &[], b"1");

    let lagging = notice(&receiver, "/mail", "hookbox.endpoint.lagging");
    assert_eq!((text(&lagging, "endpoint"), &lagging["waiting"]), ("app", &1.into()), "{lagging}");
    assert_eq!(text(&lagging, "last_error"), "answered 500: as the script says");
    daemon.await_log("an endpoint lags");
    drop(daemon);

    let daemon = home.start();
    let failures = receiver.count("/app");
    until("further attempts", SOON, || (receiver.count("/app") > failures + 2).then_some(()));
    receiver.always("/app", Step::Status(200));
    let over = notice(&receiver, "/mail", "hookbox.endpoint.caught_up");
    assert_eq!(
        (&over["delivered"], &over["dead"], &over["waiting"]),
        (&1.into(), &0.into(), &0.into())
    );
    assert!(over["failed_attempts"].as_u64().is_some_and(|n| n > 2), "{over}");
    assert!(over["lasted_ms"].as_u64().is_some_and(|ms| ms >= 1_000), "{over}");
    // What was under way in the kill came twice, under the same id.
    let own = own_events(&daemon);
    let lags = own.iter().filter(|event| event["type"] == "hookbox.endpoint.lagging");
    assert_eq!(lags.count(), 1, "{own:?}");
}

#[test]
fn failing_recovered_and_held_are_notices_for_those_who_ask() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/app", Step::Status(500));
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/app"),
        &["--retry-base", "200ms", "--retry-max", "500ms"],
    );
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &["--from", "hookbox"]);

    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    let failing = notice(&receiver, "/mail", "hookbox.endpoint.failing");
    let (endpoint, error) = (text(&failing, "endpoint"), text(&failing, "last_error"));
    assert_eq!((endpoint, error), ("app", "answered 500: as the script says"));

    let shown = daemon.json(&["endpoint", "show", "app"]);
    assert_eq!(text(&shown, "condition"), "failing");
    assert!(
        shown["breaker_opened_at"].is_string() && shown["next_probe_at"].is_string(),
        "{shown}"
    );
    assert!(shown["lag_ms"].as_u64().is_some_and(|ms| ms > 5_000), "{shown}");

    let status = daemon.json(&["status"]);
    assert_eq!((&status["breakers_open"], &status["link"]["online"]), (&1.into(), &true.into()));
    let failing: Vec<Value> = daemon.lines(&["endpoint", "list", "--state", "failing"]);
    assert_eq!(failing.iter().map(|e| text(e, "name")).collect::<Vec<_>>(), ["app"]);

    // One of them may be a probe that is under way.
    until("a delivery that waits for the breaker", SOON, || {
        let waiting = daemon.rows("/v1/deliveries?endpoint=app&state=pending");
        let path = format!("/v1/deliveries/{}/explain", text(waiting.first()?, "id"));
        let why = daemon.asked(&path);
        (why["reasons"][0]["kind"] == "breaker").then_some(())
    });

    // The receiver is repaired, then it goes for good.
    receiver.always("/app", Step::Status(200));
    let recovered = notice(&receiver, "/mail", "hookbox.endpoint.recovered");
    assert_eq!((text(&recovered, "endpoint"), &recovered["dead"]), ("app", &0.into()));
    let number = |field: &str| recovered[field].as_u64().unwrap_or_default();
    assert!(number("lasted_ms") >= 5_000 && number("failed_attempts") > 5, "{recovered}");
    receiver.always("/app", Step::Status(410));
    daemon.accept("/in/in", &[], b"last");
    assert_eq!(text(&notice(&receiver, "/mail", "hookbox.endpoint.held"), "reason"), "gone");

    assert!(
        receiver.seen("/app").iter().all(|seen| seen.header("hookbox-source") == Some("in")),
        "nobody asked for it"
    );
    assert_eq!(
        messages(&receiver, "/mail", "hookbox.endpoint.failing").len(),
        1,
        "an outage is one message"
    );
}

#[test]
fn two_hundred_dead_letters_are_one_message() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/app", Step::Status(500));
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &["--max-attempts", "1"]);
    quick_endpoint(
        &daemon,
        "mail",
        &receiver.url("/mail"),
        &["--from", "hookbox", "--types", "hookbox.delivery.*"],
    );

    daemon.done(&["endpoint", "hold", "app"]);
    for n in 0..200 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.done(&["endpoint", "release", "app"]);
    daemon.await_count("dead", 200);

    let first = notice(&receiver, "/mail", "hookbox.delivery.dead");
    assert_eq!(text(&first, "endpoint"), "app");
    assert!(text(&first, "reason").contains("1 of 1 attempts failed"), "{first}");
    assert!(first["count"].as_u64().is_some_and(|count| count > 1), "{first}");

    // Those of a minute are one message, however many they are: as many messages as minutes, and no
    // more.
    let own = own_events(&daemon);
    let at = |event: &Value| wall_ms(&event["received_at"]);
    assert!(own.windows(2).all(|pair| at(&pair[0]) >= at(&pair[1]) + 59_000), "{own:?}");
}

#[test]
fn dead_listeners_make_no_circle() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&["source", "create", "first", "--verify", "none"]);
    daemon.json(&["source", "create", "second", "--verify", "none"]);

    for path in ["/app", "/other", "/mail", "/mail2"] {
        receiver.always(path, Step::Status(500));
    }
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/app"),
        &["--max-attempts", "1", "--from", "first"],
    );
    quick_endpoint(
        &daemon,
        "other",
        &receiver.url("/other"),
        &["--max-attempts", "1", "--from", "second"],
    );
    for (name, path) in [("mail", "/mail"), ("mail2", "/mail2")] {
        quick_endpoint(
            &daemon,
            name,
            &receiver.url(path),
            &["--max-attempts", "2", "--from", "hookbox"],
        );
    }

    daemon.accept("/in/first", &[], b"1");
    // The delivery of app, and the message about it at both listeners.
    daemon.await_count("dead", 3);
    daemon.accept("/in/second", &[], b"2");
    daemon.await_count("dead", 6);

    let about: Vec<String> =
        own_events(&daemon).iter().map(|event| text(event, "type").to_owned()).collect();
    assert_eq!(
        about,
        ["hookbox.delivery.dead", "hookbox.delivery.dead"],
        "the deaths of messages are none"
    );
}

#[test]
fn a_source_that_refuses_a_lot_is_reported() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&["source", "create", "gh", "--verify", "github", "--generate-secret"]);
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &["--from", "hookbox"]);
    for _ in 0..25 {
        assert_eq!(daemon.post("/in/gh", &[], b"{}").status, 401);
    }
    let refusing = notice(&receiver, "/mail", "hookbox.source.refusing");
    // The look at them may fall between the 20 that it takes and the last of them.
    let refused = refusing["refused"].as_u64();
    assert!(
        text(&refusing, "source") == "gh" && (Some(20)..=Some(25)).contains(&refused),
        "{refusing}"
    );
    assert!(!text(&refusing, "last_reason").is_empty());
}

#[test]
fn the_built_in_source_is_nobody_elses() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let ctl = daemon.ctl();

    let refused = ctl.run(&["source", "create", "hookbox"]).expect(64);
    assert!(refused.stderr.contains("built in"), "{}", refused.stderr);
    let refused = ctl.run(&["source", "show", "hookbox"]).expect(1);
    assert!(refused.stderr.contains("--from hookbox"), "{}", refused.stderr);
    ctl.run(&["event", "send", "--source", "hookbox", "--data", "{}"]).expect(1);
    assert_eq!(daemon.post("/in/hookbox", &[], b"{}").status, 404);
    assert!(daemon.lines(&["source", "list"]).is_empty());

    // It can be named before and after there is anything to tell.
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &["--from", "hookbox"]);
    daemon.json(&[
        "endpoint",
        "update",
        "mail",
        "--from",
        "hookbox",
        "--types",
        "hookbox.endpoint.*",
    ]);

    open_source(&daemon, "in");
    receiver.script("/app", [Step::Status(410)]);
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    daemon.accept("/in/in", &[], b"x");
    let seen = receiver.wait("/mail", 1, SOON);
    assert_eq!(seen[0].header("hookbox-source"), Some("hookbox"));
    assert!(seen[0].header("webhook-signature").is_some(), "it is signed like any other");
}

#[test]
fn an_event_that_goes_round_in_circles_is_kept_and_reported_and_ends_nobody() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    for source in ["mallory", "victim"] {
        open_source(&daemon, source);
    }
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &["--from", "hookbox"]);
    let both = [
        "--from",
        "mallory",
        "--from",
        "victim",
        "--batch-max-events",
        "7",
        "--batch-max-wait",
        "300ms",
    ];
    quick_endpoint(&daemon, "lake", &receiver.url("/lake"), &both);

    let looping = daemon.accept("/in/mallory", &[("hookbox-hops", "9")], b"1");
    for n in 0..6 {
        daemon.accept("/in/victim", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("delivered", 6 + 1);

    let notice = notice(&receiver, "/mail", "hookbox.event.looping");
    assert_eq!(
        (text(&notice, "event"), text(&notice, "source"), &notice["hops"]),
        (looping.as_str(), "mallory", &9.into())
    );

    let shown = daemon.json(&["event", "show", &looping]);
    assert!(
        text(&shown, "remark").contains("hookbox-hops: 9")
            && shown["deliveries"] == serde_json::json!([]),
        "{shown}"
    );
    assert_eq!(daemon.json(&["status"])["deliveries"]["dead"], 0);

    // Who wants it all the same can have it.
    daemon.json(&["replay", "--event", &looping, "--to", "lake"]);
    daemon.await_count("delivered", 6 + 1 + 1);
}
