//! Pull endpoints: consumers lease, acknowledge, reject; what they leave goes to others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::admin::Admin;
use super::support::daemon::signal;
use super::support::{Daemon, Home, SOON, until};
use super::{open_source, text};

/// No lease of these tests runs out of itself, however long the test is put off.
const HOUR: u64 = 3_600_000;

fn make(daemon: &Daemon, settings: &[&str]) {
    open_source(daemon, "in");
    daemon.json(&[&["endpoint", "create", "jobs", "--url", "pull:"], settings].concat());
}

fn post(daemon: &Daemon, path: &str, body: &Value) -> (u16, Value) {
    let mut admin = Admin::connect(&daemon.ctl().socket).expect("the socket");
    admin.post(path, body).expect("an answer")
}

fn lease(daemon: &Daemon, max: u64, wait_ms: u64, lease_ms: u64) -> Vec<Value> {
    let ask = json!({"max": max, "wait": format!("{wait_ms}ms"), "lease": format!("{lease_ms}ms")});
    let (status, answer) = post(daemon, "/v1/endpoints/jobs/lease", &ask);
    assert_eq!(status, 200, "{answer}");
    answer["leases"].as_array().expect("a list").clone()
}

/// Asks until there is something.
fn lease_one(daemon: &Daemon) -> Value {
    until("a delivery to lend", SOON, || lease(daemon, 1, 20_000, HOUR).pop())
}

fn settle(daemon: &Daemon, lease: &Value, verb: &str, body: &Value) -> u16 {
    post(daemon, &format!("/v1/leases/{}/{verb}", text(lease, "lease")), body).0
}

#[test]
fn consumers_share_events_and_each_is_done_once() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &[]);
    let sent: Vec<String> =
        (0..100).map(|n| daemon.accept("/in/in", &[], format!("{n}").as_bytes())).collect();

    let done = AtomicUsize::new(0);
    let taken: Vec<String> = std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    until("all to be taken", SOON, || {
                        for one in lease(&daemon, 7, 500, HOUR) {
                            assert_eq!(settle(&daemon, &one, "ack", &json!({})), 200);
                            mine.push(text(&one, "event").to_owned());
                            done.fetch_add(1, Ordering::AcqRel);
                        }
                        (done.load(Ordering::Acquire) >= sent.len()).then_some(())
                    });
                    mine
                })
            })
            .collect();
        consumers.into_iter().flat_map(|consumer| consumer.join().expect("it ends")).collect()
    });

    let mut counted: BTreeMap<&String, usize> = BTreeMap::new();
    taken.iter().for_each(|id| *counted.entry(id).or_default() += 1);
    assert_eq!((counted.len(), taken.len()), (sent.len(), sent.len()), "each once");
    daemon.await_count("delivered", 100);
}

#[test]
fn what_is_left_goes_to_others_and_a_late_word_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &["--retry-base", "50ms", "--jitter", "0"]);

    let event = daemon.accept("/in/in", &[("content-type", "text/plain")], b"hello");
    let first = lease_one(&daemon);
    assert_eq!((text(&first, "event"), &first["attempt"]), (event.as_str(), &json!(1)));
    assert_eq!(text(&first["headers"], "content-type"), "text/plain");
    assert!(lease(&daemon, 1, 0, 200).is_empty(), "it is lent already");

    // Nobody says anything more: it runs out and comes again.
    assert_eq!(settle(&daemon, &first, "extend", &json!({"lease": "1s"})), 200);
    let second = lease_one(&daemon);
    assert_eq!((text(&second, "event"), &second["attempt"]), (event.as_str(), &json!(2)));

    for (verb, body) in
        [("ack", json!({})), ("reject", json!({})), ("extend", json!({"lease": "1s"}))]
    {
        assert_eq!(settle(&daemon, &first, verb, &body), 409, "{verb}");
    }

    assert_eq!(settle(&daemon, &second, "extend", &json!({"lease": "1h"})), 200);
    let before = Instant::now();
    assert_eq!(
        settle(&daemon, &second, "reject", &json!({"after": "300ms", "reason": "not today"})),
        200
    );

    let third = lease_one(&daemon);
    assert!(before.elapsed() >= Duration::from_millis(300), "it came back before its time");
    assert_eq!(settle(&daemon, &third, "reject", &json!({"dead": true, "reason": "never"})), 200);
    daemon.await_count("dead", 1);
    assert!(text(&daemon.json(&["dlq", "list"]), "reason").contains("never"));

    let shown = daemon.json(&["delivery", "show", text(&third, "delivery")]);
    let errors: Vec<&str> = shown["history"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|attempt| text(attempt, "error"))
        .collect();
    assert!(
        errors[0].contains("ran out") && errors[1] == "not today" && errors[2] == "never",
        "{errors:?}"
    );
}

#[test]
fn a_consumer_that_waits_is_served_at_once_and_a_crash_loses_nothing() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &["--order", "strict"]);

    // One that is not called waits for all of its minute, each time; one that is, for some
    // milliseconds. The system may let a process wait for as long, but not three times in a row.
    let wait_ms = 60_000;
    let called = (0..3).any(|_| {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (Instant::now(), lease(&daemon, 5, wait_ms, HOUR)));
            daemon.json(&["status"]);
            daemon.accept("/in/in", &[], b"called");
            let (begun, leases) = waiting.join().expect("it ends");
            let took = begun.elapsed();
            // Nothing comes to one whose time was over before there was something.
            for one in leases.into_iter().chain(lease(&daemon, 5, 0, HOUR)) {
                assert_eq!(settle(&daemon, &one, "ack", &json!({})), 200);
            }
            took < Duration::from_millis(wait_ms)
        })
    });
    assert!(called, "no consumer was served before its time was over");
    let done = daemon.json(&["status"])["events"].as_u64().expect("a number");
    daemon.await_count("delivered", done);

    daemon.accept("/in/in", &[], b"0");
    lease_one(&daemon);
    let second = daemon.accept("/in/in", &[], b"1");
    assert!(lease(&daemon, 5, 50, HOUR).is_empty(), "in one lane the second waits for the first");

    daemon.kill();
    let daemon = home.start();
    let again = lease_one(&daemon);
    assert_eq!(settle(&daemon, &again, "ack", &json!({})), 200);
    let next = lease_one(&daemon);
    assert_eq!(text(&next, "event"), second);
    assert_eq!(settle(&daemon, &next, "ack", &json!({})), 200);
    daemon.await_count("delivered", done + 2);
}

#[test]
fn the_ctl_consumes_with_a_command() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &["--retry-base", "50ms", "--lease", "1h"]);

    let text = home.write(
        "handle.txt",
        "#!/bin/sh\nread -r said\necho \"$HOOKBOX_TYPE $said\" >> \"$1\"\nexit \"$said\"\n",
    );
    let script = home.program(&text, "handle");
    let written = home.path().join("written");

    for code in ["0", "100", "0"] {
        daemon.accept("/in/in", &[], format!("{code}\n").as_bytes());
    }
    let written = written.to_str().expect("text");
    daemon.done(&["consume", "jobs", "--max", "3", "--exec", &script, written]);
    daemon.await_count("delivered", 2);
    daemon.await_count("dead", 1);
    assert_eq!(std::fs::read_to_string(written).expect("it was written").lines().count(), 3);

    daemon.accept("/in/in", &[], b"x");
    daemon.accept("/in/in", &[], b"y");
    let lines = daemon.lines(&["consume", "jobs", "--batch", "2", "--max", "2"]);
    assert_eq!(lines.len(), 2);
    daemon.await_count("delivered", 4);
    let none = daemon.lines(&["consume", "jobs", "--once", "--wait", "10ms"]);
    assert!(none.is_empty());
}

#[test]
fn whoever_asks_gets_what_is_due_and_nothing_fails_of_itself() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &["--lease", "1h"]);
    let body = vec![b'x'; 20_000];
    (0..60).for_each(|_| drop(daemon.accept("/in/in", &[], &body)));

    // After a start nothing is at hand: what is due has to be read first.
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();

    let mut taken = 0;
    while taken < 60 {
        let leases = lease(&daemon, 7, 0, HOUR);
        assert!(!leases.is_empty(), "{} are due", 60 - taken);
        taken += leases.len();
        leases.iter().for_each(|one| assert_eq!(settle(&daemon, one, "ack", &json!({})), 200));
    }
    assert!(lease(&daemon, 7, 0, HOUR).is_empty());

    // One after the other, as many at once as there are, while others come in.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..300).for_each(|n| drop(daemon.accept("/in/in", &[], format!("{n}").as_bytes())))
        });
        let lines = daemon.lines(&["consume", "jobs", "--batch", "50", "--max", "300"]);
        assert_eq!(lines.len(), 300);
    });
    daemon.await_count("delivered", 360);

    let shown = daemon.json(&["endpoint", "show", "jobs"]);
    assert_eq!(
        (&shown["requests_succeeded"], &shown["requests_failed"]),
        (&json!(360), &json!(0)),
        "{shown}"
    );
    assert_eq!(daemon.json(&["status"])["failed_attempts"], json!(0));
}

#[test]
fn a_consumer_outlives_the_daemon_and_checks_its_command_first() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &[]);
    daemon.accept("/in/in", &[], b"one");
    let refused = daemon.ctl().run(&["consume", "jobs", "--once", "--exec", "./nothing"]);
    assert_eq!(refused.code, Some(64), "{}", refused.stderr);
    assert!(refused.stderr.contains("'./nothing' cannot be run"), "{}", refused.stderr);
    let ctl = daemon.ctl();
    let lines = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| ctl.lines(&["consume", "jobs", "--max", "2"]));
        daemon.await_count("delivered", 1);
        assert_eq!(daemon.terminate().code(), Some(0));
        let again = home.start();
        again.accept("/in/in", &[], b"two");
        let lines = consumer.join().expect("it ends");
        again.await_count("delivered", 2);
        lines
    });
    assert_eq!(lines.len(), 2);
}

/// Who is ended passes that on to its command, and leaves nothing behind.
#[test]
fn a_consumer_that_is_ended_leaves_no_command_and_no_lease() {
    let home = Home::new();
    let daemon = home.start();
    make(&daemon, &["--retry-base", "1h", "--lease", "12h"]);
    let pid_file = home.path().join("pid");
    let shown = pid_file.display().to_string();
    // The first one ends by the signal, the second takes its time and says what became of it.
    let sudden = home.write("sudden.txt", "#!/bin/sh\necho $$ > \"$1\"\nexec sleep 10000\n");
    let orderly = "#!/bin/sh\ntrap 'kill $!; exit 0' TERM\nsleep 10000 &\necho $$ > \"$1\"\nwait\n";
    let orderly = home.write("orderly.txt", orderly);

    for (script, name) in [(sudden, "sudden"), (orderly, "orderly")] {
        let script = home.program(&script, name);
        let _ = std::fs::remove_file(&pid_file);
        daemon.accept("/in/in", &[], b"{}");
        let args = ["consume", "jobs", "--exec", &script, &shown];
        let mut consumer = daemon.ctl().spawn(&args);
        let command: u32 = until("the command's number", SOON, || {
            std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
        });

        signal(consumer.id(), Signal::TERM);
        assert_eq!(consumer.wait().expect("it ends").code(), Some(0), "{name}");
        assert!(!std::path::Path::new(&format!("/proc/{command}")).exists(), "{name} runs on");
        // Its event was rejected, or acknowledged: nobody has to wait for the lease to expire.
        let status = daemon.json(&["status"]);
        let counted = (&status["failed_attempts"], &status["leased"]);
        assert_eq!(counted, (&json!(1), &json!(0)), "{name}");
    }
    daemon.await_count("delivered", 1);

    // One that only waits for events ends at once.
    let mut idle = daemon.ctl().spawn(&["consume", "jobs", "--wait", "1m"]);
    until("a consumer that waits", SOON, || {
        std::fs::read_to_string(format!("/proc/{}/task/{}/comm", idle.id(), idle.id())).ok()?;
        let tasks = std::fs::read_dir(format!("/proc/{}/task", idle.id())).ok()?;
        (tasks.count() > 1).then_some(())
    });
    signal(idle.id(), Signal::TERM);
    assert_eq!(idle.wait().expect("it ends").code(), Some(0));
}
