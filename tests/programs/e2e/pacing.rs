//! At the receiver's pace: batches, order, rates, steering, and what a crash leaves of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::support::{Daemon, Home, Receiver, SOON, Seen, Step, keeps_rate, until};
use super::{open_source, quick_endpoint, text};

fn send(daemon: &Daemon, range: std::ops::Range<u32>) -> Vec<String> {
    range
        .map(|n| {
            daemon.accept("/in/in", &[("content-type", "application/json")], body(n).as_bytes())
        })
        .collect()
}

fn body(n: u32) -> String {
    format!("{{\"n\":{n},\"device\":{{\"id\":\"d{}\"}}}}", n % 3)
}

/// The events of a batch in the order they stand in it.
fn elements(seen: &Seen) -> Vec<Value> {
    serde_json::from_slice(&seen.body).expect("a JSON array")
}

fn ids(seen: &Seen) -> Vec<String> {
    elements(seen).iter().map(|element| text(element, "id").to_owned()).collect()
}

#[test]
fn one_request_sends_many_events_under_one_id() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.script("/hook", [Step::Status(500), Step::Status(500)]);
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--batch-max-events", "10", "--batch-max-wait", "1h"],
    );

    let sent = send(&daemon, 0..10);
    daemon.await_count("delivered", 10);
    let seen = receiver.seen("/hook");
    assert_eq!(seen.len(), 3);
    assert!(seen[0].id().starts_with("bat_"));

    for attempt in &seen {
        assert_eq!(
            (attempt.id(), &attempt.body),
            (seen[0].id(), &seen[0].body),
            "the same batch each time"
        );
        assert_eq!(ids(attempt), sent);
    }
    assert_eq!(elements(&seen[0])[7]["data"]["n"], 7);

    // Each keeps its own history.
    let deliveries = daemon.lines(&["delivery", "list", "--event", &sent[4]]);
    let shown = daemon.json(&["delivery", "show", text(&deliveries[0], "id")]);
    let history = shown["history"].as_array().expect("a list");
    assert_eq!(history.len(), 3);
    assert_eq!(text(&history[2], "batch"), seen[0].id());
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
}

#[test]
fn a_batch_closes_by_its_bytes_and_by_its_age() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let by_bytes = ["--batch-max-bytes", "84", "--batch-max-wait", "1h"];
    quick_endpoint(&daemon, "bytes", &receiver.url("/bytes"), &by_bytes);
    let by_age =
        ["--batch-max-events", "50", "--batch-max-wait", "300ms", "--batch-format", "ndjson"];
    quick_endpoint(&daemon, "age", &receiver.url("/age"), &by_age);
    send(&daemon, 0..9);
    for batch in receiver.wait("/bytes", 3, SOON) {
        let bytes: usize =
            elements(&batch).iter().map(|element| element["data"].to_string().len()).sum();
        assert!(bytes <= 84 && elements(&batch).len() <= 3, "{bytes}");
    }
    let aged = receiver.wait("/age", 1, SOON);
    assert_eq!(aged[0].header("content-type"), Some("application/x-ndjson"));
    daemon.await_count("delivered", 18);
}

#[test]
fn a_batch_that_a_crash_interrupts_is_the_same_batch() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/hook", Step::Status(503));
    let settings = ["--batch-max-events", "5", "--batch-max-wait", "1h"];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &settings);
    let sent = send(&daemon, 0..5);
    let first = receiver.wait("/hook", 2, SOON).remove(0);
    daemon.kill();
    let daemon = home.start();
    receiver.always("/hook", Step::Status(200));
    daemon.await_count("delivered", 5);
    let last = receiver.seen("/hook").pop().expect("it came again");
    assert_eq!((last.id(), &last.body), (first.id(), &first.body));
    assert_eq!(ids(&last), sent);
}

#[test]
fn a_receiver_may_take_all_but_some() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/hook", Step::Gate);
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--batch-max-events", "4", "--batch-max-wait", "1h"],
    );

    let sent = send(&daemon, 0..4);
    let refused = format!("{{\"failed\":[\"{}\",\"{}\"]}}", sent[1], sent[2]);
    receiver.wait("/hook", 1, SOON);

    // The four are one batch however long it took to send them; what is left of them goes by its
    // age.
    daemon.done(&["endpoint", "update", "app", "--batch-max-wait", "200ms"]);
    receiver.always("/hook", Step::Status(200));
    receiver.script("/hook", [Step::Reply(200, Vec::new(), refused.into_bytes())]);
    receiver.open_gate();
    daemon.await_count("delivered", 4);

    let seen = receiver.seen("/hook");
    assert_eq!(seen.len(), 2);
    let (first, again) = (&seen[0], &seen[1]);
    assert_eq!((ids(first), ids(again)), (sent.clone(), vec![sent[1].clone(), sent[2].clone()]));
    assert_ne!(again.id(), first.id(), "another batch has another id");
}

/// An event that the receiver names in `failed` was not taken, whatever the status of the answer.
#[test]
fn what_a_receiver_leaves_out_is_not_shown_as_delivered() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/hook", Step::Gate);
    let settings = ["--batch-max-events", "2", "--batch-max-wait", "1h", "--max-attempts", "1"];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &settings);

    let show = |event: &str| {
        let id = text(&daemon.lines(&["delivery", "list", "--event", event])[0], "id").to_owned();
        (daemon.json(&["delivery", "show", &id]), id)
    };

    for (round, (taken, word)) in
        [(0, "accepted none"), (1, "accepted others")].into_iter().enumerate()
    {
        let sent = send(&daemon, 0..2);
        receiver.wait("/hook", round + 1, SOON);
        let failed: Vec<&str> = sent[taken..].iter().map(String::as_str).collect();
        let answer = serde_json::json!({ "failed": failed }).to_string();
        receiver.always("/hook", Step::Reply(200, Vec::new(), answer.into_bytes()));
        receiver.open_gate();
        daemon.await_count("dead", [2, 3][round]);

        let (shown, id) = show(&sent[1]);
        let row = &shown["history"][0];
        assert_eq!((text(row, "outcome"), &row["status"]), ("retryable", &200.into()));
        assert!(text(row, "error").contains(word), "{row}");

        // What died says why, here as well as among the dead letters.
        assert!(
            text(&shown, "reason").contains("1 of 1 attempts failed")
                && text(&shown, "reason").contains(word)
        );
        assert_eq!(shown["reason"], daemon.json(&["dlq", "show", &id])["reason"]);

        // The stream says the same of it.
        let stream = daemon.lines(&["tail", "--endpoint", "app"]);
        let line = stream.iter().find(|line| line["delivery"] == id.as_str()).expect("its attempt");
        for field in ["outcome", "status", "error", "next", "next_at", "reason"] {
            assert_eq!(line.get(field), row.get(field), "{field}: {line}");
        }
        let screen = daemon.ctl().run(&["tail", "--endpoint", "app"]).expect(0).stdout;
        let screen_line = screen.lines().find(|line| line.contains(&id)).expect("its attempt");
        assert!(screen_line.ends_with("given up (dead)"), "{screen_line}");
        assert_eq!(show(&sent[0]).0["state"], ["dead", "delivered"][taken]);

        receiver.close_gate();
        receiver.always("/hook", Step::Gate);
    }
}

/// Halving a batch makes more attempts than the policy has: the reason says so.
#[test]
fn a_split_batch_that_dies_counts_truly() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/hook", Step::Status(500));
    let settings = ["--batch-max-events", "4", "--batch-max-wait", "1h", "--max-attempts", "1"];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &settings);
    send(&daemon, 0..4);
    daemon.await_count("dead", 4);
    for dead in daemon.lines(&["dlq", "list"]) {
        let reason = text(&dead, "reason");
        assert!(
            reason.starts_with("3 attempts failed, 2 more than the 1 of the policy"),
            "{reason}"
        );
    }
}

#[test]
fn a_receiver_that_refuses_everything_for_a_while_loses_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    // The receiver refuses all for a while: the events are halved until each stands alone, and
    // none of them is to blame.
    receiver.always("/hook", Step::Status(422));
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--batch-max-events", "8", "--batch-max-wait", "1h"],
    );
    send(&daemon, 0..8);
    until("each to stand alone", SOON, || {
        let alone = receiver.seen("/hook").iter().filter(|seen| elements(seen).len() == 1).count();
        (alone >= 8).then_some(())
    });
    let sizes: Vec<usize> = receiver.seen("/hook").iter().map(|r| elements(r).len()).collect();
    assert_eq!(sizes[0], 8);
    assert_eq!(sizes.iter().filter(|size| **size > 1).count(), 7, "halved three times: {sizes:?}");
    assert_eq!(daemon.lines(&["dlq", "list"]).len(), 0);

    receiver.always("/hook", Step::Status(200));
    daemon.await_count("delivered", 8);
}

#[test]
fn a_poisoned_event_is_found_and_dies_alone() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    // Both, the one, the other, and the one again: by then the other was taken.
    receiver.script("/hook", [422, 422, 200, 422].map(Step::Status));
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--batch-max-events", "2", "--batch-max-wait", "1h"],
    );
    send(&daemon, 0..2);
    daemon.await_count("dead", 1);
    daemon.await_count("delivered", 1);
    let dead = daemon.lines(&["dlq", "list"]).remove(0);
    assert!(text(&dead, "reason").contains("refuses it alone"), "{dead}");

    // And back again, alone as it is.
    daemon.json(&["dlq", "retry", "--all"]);
    daemon.await_count("delivered", 2);
}

#[test]
fn a_strict_lane_waits_for_its_head() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.script("/hook", [500, 200, 500, 500].map(Step::Status));
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--order", "strict"]);
    let sent = send(&daemon, 0..8);
    daemon.await_count("delivered", 8);
    let taken: Vec<String> =
        taken(&receiver).iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(taken, sent);
}

fn taken(receiver: &Receiver) -> Vec<Seen> {
    receiver.seen("/hook").into_iter().filter(|request| request.answered == 200).collect()
}

#[test]
fn a_lane_for_each_key_keeps_its_order_over_failures_and_a_crash() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let flaky = (0..60).map(|n| Step::Status(if n % 3 == 0 { 500 } else { 200 }));
    receiver.script("/hook", flaky);
    let settings = [
        "--order",
        "key",
        "--order-key",
        "/device/id",
        "--retry-base",
        "20ms",
        "--retry-max",
        "50ms",
    ];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &settings);

    send(&daemon, 0..30);
    receiver.wait("/hook", 10, SOON);
    daemon.kill();
    let daemon = home.start();
    send(&daemon, 30..60);
    daemon.await_count("delivered", 60);

    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for request in taken(&receiver) {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        lanes
            .entry(text(&body["device"], "id").to_owned())
            .or_default()
            .push(body["n"].as_u64().expect("a number"));
    }
    assert_eq!(lanes.len(), 3);

    for (lane, mut numbers) in lanes {
        // What was in flight at the crash may have come twice.
        numbers.dedup();
        assert!(numbers.is_sorted(), "{lane}: {numbers:?}");
    }
}

#[test]
fn a_failing_head_is_skipped_or_parked_as_asked() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    for (name, policy) in [("skips", "skip"), ("parks", "park")] {
        receiver.script(&format!("/{name}"), [Step::Status(500), Step::Status(500)]);
        let settings = ["--order", "strict", "--head-of-line", policy, "--head-attempts", "2"];
        quick_endpoint(&daemon, name, &receiver.url(&format!("/{name}")), &settings);
    }

    let sent = send(&daemon, 0..3);
    receiver.wait("/skips", 4, SOON);
    daemon.await_count("dead", 1);

    let head =
        daemon.lines(&["delivery", "list", "--event", &sent[0], "--endpoint", "parks"]).remove(0);
    assert_eq!(receiver.count("/parks"), 2, "the lane waits");
    let why = daemon.json(&["delivery", "explain", text(&head, "id")]);
    assert!(why["summary"].as_str().is_some_and(|output| output.contains("parked")), "{why}");

    daemon.done(&["delivery", "retry", text(&head, "id")]);
    let seen = receiver.wait("/parks", 5, SOON);
    let last: Vec<&str> = seen[2..].iter().map(Seen::id).collect();
    assert_eq!(last, sent);
}

#[test]
fn a_rate_holds_over_a_restart() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--rate", "10/s", "--burst", "3"]);
    send(&daemon, 0..40);
    receiver.wait("/hook", 6, SOON);
    daemon.kill();
    let daemon = home.start();
    daemon.await_count("delivered", 40);
    keeps_rate(&daemon.attempts("app"), 10.0, 16.0);
}

#[test]
fn receivers_steer() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let says = |word: &str| {
        Step::Reply(503, vec![("webhook-delivery".to_owned(), word.to_owned())], Vec::new())
    };

    receiver.script("/drops", [says("drop")]);
    receiver.script("/holds", [says("hold")]);
    receiver.script(
        "/later",
        [Step::Reply(404, vec![("Retry-After".to_owned(), "1".to_owned())], Vec::new())],
    );
    for name in ["drops", "holds", "later"] {
        quick_endpoint(&daemon, name, &receiver.url(&format!("/{name}")), &[]);
    }

    send(&daemon, 0..1);
    daemon.await_count("dead", 1);
    daemon.await_count("held", 1);
    assert_eq!(daemon.json(&["endpoint", "show", "holds"])["held_reason"], "receiver");

    let seen = receiver.wait("/later", 2, SOON);
    assert!(
        seen[1].at - seen[0].at >= Duration::from_millis(995),
        "Retry-After counts on a 404, too"
    );
    assert_eq!(receiver.count("/drops"), 1);
}

#[test]
fn days_of_failure_put_an_endpoint_on_hold() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    receiver.always("/hook", Step::Status(500));
    let settings = ["--hold-after", "1s", "--retry-base", "100ms", "--retry-max", "200ms"];
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &settings);
    send(&daemon, 0..1);
    daemon.await_count("held", 1);
    assert_eq!(daemon.json(&["endpoint", "show", "app"])["held_reason"], "failing");
    receiver.always("/hook", Step::Status(200));
    daemon.done(&["endpoint", "release", "app"]);
    daemon.await_count("delivered", 1);
}

#[test]
fn a_backlog_is_worked_off_as_asked() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let one = ["--concurrency", "1"];
    quick_endpoint(
        &daemon,
        "newest",
        &receiver.url("/newest"),
        &[&one[..], &["--catch-up", "newest"]].concat(),
    );
    let latest = ["--catch-up", "latest", "--catch-up-key", "/device/id"];
    quick_endpoint(&daemon, "latest", &receiver.url("/latest"), &[&one[..], &latest[..]].concat());

    for name in ["newest", "latest"] {
        daemon.done(&["endpoint", "hold", name]);
    }
    let sent = send(&daemon, 0..12);
    for name in ["newest", "latest"] {
        daemon.done(&["endpoint", "release", name]);
    }

    let newest: Vec<String> =
        receiver.wait("/newest", 12, SOON).iter().map(|seen| seen.id().to_owned()).collect();
    assert!(newest.iter().eq(sent.iter().rev()), "{newest:?}");

    daemon.await_count("delivered", 15);
    let mut kept: Vec<String> =
        receiver.seen("/latest").iter().map(|seen| seen.id().to_owned()).collect();
    kept.sort();
    assert_eq!(kept, sent[9..], "one for each of three keys, the latest");

    let older =
        daemon.lines(&["delivery", "list", "--event", &sent[0], "--endpoint", "latest"]).remove(0);
    assert_eq!(older["state"], "cancelled");
}
