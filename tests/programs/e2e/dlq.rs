//! Dead letters: how they come to be, are listed, brought back, and put away.

use super::support::{Daemon, Home, Receiver, SOON, Step};
use super::{open_source, quick_endpoint, text};

/// `count` dead letters of endpoint `app`, whose receiver is well again afterwards.
fn with_dead(daemon: &Daemon, receiver: &Receiver, count: usize) {
    receiver.script("/hook", std::iter::repeat_n(Step::Status(500), count * 2));
    open_source(daemon, "in");
    quick_endpoint(daemon, "app", &receiver.url("/hook"), &["--max-attempts", "2"]);
    for n in 0..count {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("dead", count as u64);
}

#[test]
fn dead_letters_of_a_deleted_endpoint_are_spoken_of_and_a_retry_of_them_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 2);

    let deleted = daemon.done(&["endpoint", "delete", "app"]).stdout;
    assert!(deleted.contains("2 dead letters stay and cannot be retried any more"), "{deleted}");
    let retried = daemon.ctl().run(&["dlq", "retry", "--endpoint", "app"]).expect(1);
    assert!(retried.stdout.contains("Retried: 0 of 2"), "{}", retried.stdout);
    daemon.ctl().run(&["dlq", "retry", "--endpoint", "app", "--dry-run"]).expect(0);
}

#[test]
fn the_log_says_of_a_dead_letter_when_it_died_and_in_which_trace() {
    let mut home = Home::new();
    home.args.extend(["--log-format".to_owned(), "json".to_owned()]);
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Status(500)]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--max-attempts", "1"]);

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    daemon.accept("/in/in", &[("traceparent", &parent)], b"{}");
    daemon.await_log("given up");

    let log = daemon.log_text();
    let line = log.lines().find(|line| line.contains("given up")).expect("the line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let dead = daemon.json(&["dlq", "list"]);
    assert_eq!(line["died_at"], dead["died_at"], "{line}");
    assert_eq!(line["trace_id"], trace, "{line}");
}

#[test]
fn a_dead_letter_is_retried_and_delivered() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 1);
    let dead = daemon.json(&["dlq", "list"]);
    assert_eq!(text(&dead, "state"), "dead");
    assert_eq!(dead["attempts"], 2);
    assert!(!text(&dead, "reason").is_empty());
    let id = text(&dead, "id").to_owned();
    let shown = daemon.json(&["dlq", "show", &id]);
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(2));
    let retried = daemon.json(&["dlq", "retry", &id]);
    assert_eq!((retried["matched"].as_u64(), retried["queued"].as_u64()), (Some(1), Some(1)));
    daemon.await_count("delivered", 1);
    assert!(daemon.lines(&["dlq", "list"]).is_empty());
    let seen = receiver.seen("/hook");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|s| s.id() == seen[0].id()), "the id stays the same");
    assert_eq!(daemon.json(&["delivery", "show", &id])["attempts"], 3);
}

#[test]
fn those_of_a_deleted_endpoint_are_named_with_what_can_be_done() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 2);
    let troubled = daemon.lines(&["endpoint", "list", "--state", "troubled"]);
    assert_eq!(text(&troubled[0], "name"), "app");
    daemon.json(&["endpoint", "delete", "app"]);
    assert!(daemon.lines(&["endpoint", "list", "--state", "troubled"]).is_empty());

    let status = daemon.json(&["status"]);
    let deleted = &status["deleted_with_dead"][0];
    assert_eq!((text(deleted, "endpoint"), &deleted["dead"]), ("app", &2.into()), "{status}");
    assert_eq!(status["deliveries"]["dead_of_deleted"], 2);
    let check = daemon.ctl().run(&["status", "--check"]).expect(1).stdout;
    assert!(check.contains("hookboxctl dlq discard --endpoint app"), "{check}");
    let metrics = daemon.done(&["metrics"]).stdout;
    assert!(metrics.contains("hookbox_dead_letters{endpoint=\"\"} 2\n"), "{metrics}");

    // What explains one recommends nothing that is refused.
    let dead = &daemon.lines(&["dlq", "list", "--endpoint", "app"])[0];
    let why = daemon.done(&["delivery", "explain", text(dead, "id")]).stdout;
    let replay = format!("hookboxctl replay --event {} --to ENDPOINT", text(dead, "event"));
    assert!(why.contains(&replay) && !why.contains("dlq retry"), "{why}");
    let none = daemon.done(&["dlq", "list", "--endpoint", "app", "--type", "*x"]).stdout;
    assert_eq!(none, "No dead letters match.\n");

    daemon.json(&["dlq", "discard", "--endpoint", "app"]);
    assert_eq!(daemon.json(&["status"])["deleted_with_dead"], serde_json::json!([]));
    daemon.ctl().run(&["status", "--check"]).expect(0);
}

/// On a lane they wait for each other, so the order in which they are brought back is that in which
/// they arrive.
#[test]
fn dead_letters_of_a_lane_come_back_in_their_order() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    // Every other one is taken, so that the breaker stays closed.
    receiver.script("/hook", (0..20).map(|n| Step::Status(if n % 2 == 0 { 500 } else { 200 })));
    quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--order", "strict", "--max-attempts", "1"],
    );

    for n in 0..20 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("dead", 10);
    daemon.await_count("delivered", 10);

    let ids: Vec<String> =
        daemon.lines(&["dlq", "list"]).iter().map(|d| text(d, "id").into()).collect();
    let come_back = || -> Vec<u64> {
        let seen = receiver.seen("/hook").into_iter().skip(20);
        seen.map(|s| String::from_utf8_lossy(&s.body).parse().expect("a number")).collect()
    };

    daemon.json(&["dlq", "retry", &ids[0], &ids[2], &ids[1]]);
    daemon.await_count("delivered", 13);
    assert_eq!(come_back(), [14, 16, 18], "named ones");
    daemon.json(&["dlq", "retry", "--endpoint", "app"]);
    daemon.await_count("delivered", 20);
    assert_eq!(come_back()[3..], [0, 2, 4, 6, 8, 10, 12], "all of them");
}

#[test]
fn a_filter_brings_back_all_of_an_endpoint_after_a_dry_run() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 7);
    let dry = daemon.json(&["dlq", "retry", "--endpoint", "app", "--dry-run"]);
    assert_eq!(
        (dry["matched"].as_u64(), dry["queued"].as_u64(), dry["dry_run"].as_bool()),
        (Some(7), Some(0), Some(true))
    );
    assert_eq!(receiver.count("/hook"), 14);
    let real = daemon.json(&["dlq", "retry", "--endpoint", "app"]);
    assert_eq!(
        (real["matched"].as_u64(), real["queued"].as_u64(), real["dry_run"].as_bool()),
        (Some(7), Some(7), Some(false))
    );
    daemon.await_count("delivered", 7);
    daemon.await_count("dead", 0);
}

#[test]
fn dead_letters_survive_a_crash_and_a_discard_is_for_good() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 3);
    daemon.kill();
    let daemon = home.start();
    let dead = daemon.lines(&["dlq", "list"]);
    assert_eq!(dead.len(), 3);
    daemon.done(&["dlq", "discard", text(&dead[1], "id")]);
    assert_eq!(daemon.lines(&["dlq", "list"]).len(), 2);
    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.lines(&["dlq", "list"]).len(), 2);
    daemon.await_count("dead", 2);
    assert_eq!(receiver.wait("/hook", 6, SOON).len(), 6, "nothing was attempted again");
}

#[test]
fn the_list_pages() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_dead(&daemon, &receiver, 5);
    let first = daemon.lines(&["dlq", "list", "--limit", "2"]);
    assert_eq!(first.len(), 2);
    let rest = daemon.lines(&["dlq", "list", "--limit", "50", "--after", text(&first[1], "id")]);
    assert_eq!(rest.len(), 3);
    let mut ids: Vec<&str> = first.iter().chain(&rest).map(|d| text(d, "id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}
