//! Replay: old events delivered anew, by filter, in bounded slices.

use super::support::{Daemon, Home, Receiver, SOON};
use super::{open_source, quick_endpoint};

fn with_delivered(daemon: &Daemon, receiver: &Receiver, count: usize) -> Vec<String> {
    daemon.json(&["source", "create", "in", "--verify", "none", "--type-header", "x-type"]);
    quick_endpoint(daemon, "app", &receiver.url("/hook"), &[]);
    let kinds = ["push", "issues"];
    let send =
        |n: usize| daemon.accept("/in/in", &[("x-type", kinds[n % 2])], format!("{n}").as_bytes());
    let ids = (0..count).map(send).collect();
    daemon.await_count("delivered", count as u64);
    ids
}

#[test]
fn a_dry_run_counts_and_does_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_delivered(&daemon, &receiver, 6);
    let dry = daemon.json(&["replay", "--source", "in", "--type", "push", "--dry-run"]);
    assert_eq!(
        (dry["matched"].as_u64(), dry["queued"].as_u64(), dry["dry_run"].as_bool()),
        (Some(3), Some(0), Some(true))
    );
    assert_eq!(receiver.count("/hook"), 6);
    assert_eq!(daemon.json(&["status"])["deliveries"]["delivered"], 6);
}

#[test]
fn a_replay_makes_new_deliveries_with_the_old_ids() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let ids = with_delivered(&daemon, &receiver, 6);
    let real = daemon.json(&["replay", "--source", "in", "--type", "push"]);
    assert_eq!((real["matched"].as_u64(), real["dry_run"].as_bool()), (Some(3), Some(false)));
    daemon.await_count("delivered", 9);
    let seen = receiver.seen("/hook");
    for (n, id) in ids.iter().enumerate() {
        let times = seen.iter().filter(|s| s.id() == id).count();
        assert_eq!(times, if n % 2 == 0 { 2 } else { 1 }, "event {n}");
    }
    let of_first = daemon.lines(&["delivery", "list", "--event", &ids[0]]);
    assert_eq!(of_first.len(), 2, "history is not rewritten: {of_first:?}");
}

#[test]
fn one_event_goes_to_another_endpoint() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let ids = with_delivered(&daemon, &receiver, 3);
    quick_endpoint(&daemon, "late", &receiver.url("/late"), &[]);
    daemon.json(&["replay", "--event", &ids[1], "--to", "late"]);
    let seen = receiver.wait("/late", 1, SOON);
    assert_eq!((seen[0].id(), seen[0].body.as_slice()), (ids[1].as_str(), b"1".as_slice()));
    daemon.await_count("delivered", 4);
    assert_eq!(receiver.count("/hook"), 3);
}

#[test]
fn more_than_a_slice_is_replayed_whole_also_over_a_crash() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    let mut client = daemon.client();
    let count = 700;
    for n in 0..count {
        assert_eq!(
            client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer").status,
            202
        );
    }

    quick_endpoint(&daemon, "late", &receiver.url("/late"), &[]);
    daemon.json(&["replay", "--source", "in", "--to", "late", "--rate", "400/s"]);
    receiver.wait("/late", 100, SOON);

    daemon.kill();
    let daemon = home.start();
    daemon.await_count("delivered", count);

    let seen = receiver.seen("/late");
    let mut ids: Vec<&str> = seen.iter().map(super::support::Seen::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, count);
    assert!(daemon.json(&["log", "verify"])["ok"] == true);
}

#[test]
fn the_rate_of_a_replay_is_kept() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_delivered(&daemon, &receiver, 30);
    daemon.json(&["replay", "--source", "in", "--rate", "10/s"]);
    receiver.wait("/hook", 60, SOON);
    daemon.await_count("delivered", 60);
    let again = daemon.attempts("app").split_off(30);
    assert!(again[29] >= again[0] + 1500, "30 deliveries at 10/s: {again:?}");
}

#[test]
fn times_bound_a_replay() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_delivered(&daemon, &receiver, 2);
    let none = daemon.json(&["replay", "--until", "2001-01-01T00:00:00Z", "--dry-run"]);
    assert_eq!(none["matched"], 0);
    let all = daemon.json(&["replay", "--since", "2001-01-01T00:00:00Z", "--dry-run"]);
    assert_eq!(all["matched"], 2);
}

#[test]
fn a_replay_that_was_stopped_queues_no_more() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    with_delivered(&daemon, &receiver, 60);

    // One a second, so that there is a minute to stop it.
    let started = daemon.done(&["replay", "--source", "in", "--rate", "1/s"]);
    assert!(started.stdout.contains("Queuing 60 deliveries at 1/s"), "{}", started.stdout);
    let listed = daemon.lines(&["replay", "--list"]);
    let number = listed[0]["id"].to_string();

    let stopped = daemon.done(&["replay", "--stop", &number]);
    assert!(stopped.stdout.contains(&format!("Stopped replay {number}.")), "{}", stopped.stdout);
    assert!(daemon.lines(&["replay", "--list"]).is_empty());

    // It is gone, also after a start.
    let again = daemon.ctl().run(&["replay", "--stop", &number]).expect(1);
    assert!(again.stderr.contains("`hookboxctl replay --list`"), "{}", again.stderr);
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();
    assert!(daemon.lines(&["replay", "--list"]).is_empty());
    let delivered = daemon.json(&["status"])["deliveries"]["delivered"].as_u64();
    assert!(delivered < Some(120), "not all of them were made: {delivered:?}");
}
