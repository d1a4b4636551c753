//! Events that leave one log and come into another: exports and imports.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::e2e::{open_source, quick_endpoint, text};
use crate::support::sizes::{are_not_optimized, require};
use crate::support::{Daemon, Home, Receiver, SOON, Step, until};

/// A file into which a daemon exports its events, and what it exports.
struct Exported {
    _home: Home,
    path: String,
    /// The same events as CloudEvents.
    clouds: String,
}

impl Exported {
    fn of(home: Home, daemon: &Daemon) -> Self {
        let path = home.path().join("events.ndjson").display().to_string();
        daemon.done(&["log", "export", "--output", &path]);
        let clouds = daemon.done(&["log", "export", "--format", "cloudevents"]).stdout;
        Self { _home: home, path, clouds }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("reads")
    }

    /// The first event, as a CloudEvent.
    fn cloud(&self) -> Value {
        first_line(&self.clouds)
    }
}

fn first_line(lines: &str) -> Value {
    serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON")
}

/// Imports these lines; what it says when they are refused.
fn refused_lines(daemon: &Daemon, lines: &str) -> String {
    daemon.ctl().run_with_input(&["log", "import", "-"], lines.as_bytes()).expect(1).stderr
}

#[test]
fn exported_events_come_in_elsewhere_without_being_delivered_again() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/late", Step::Status(503));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&daemon, "late", &receiver.url("/late"), &["--retry-base", "1h"]);
    let headers = [("Content-Type", "x/odd"), ("X-One", "1"), ("Idempotency-Key", "key")];
    let id = daemon.accept("/in/in", &headers, b"\x00\xffbytes");
    daemon.json(&["event", "send", "--source", "in", "--type", "b", "--data", "{\"n\":1}"]);
    daemon.await_count("delivered", 2);

    let exported = Exported::of(home, &daemon);
    assert_eq!(fs::metadata(&exported.path).expect("made").permissions().mode() & 0o777, 0o600);
    let only = daemon.done(&["log", "export", "--type", "b"]).stdout;
    assert_eq!(only.lines().count(), 1);
    let cloud = exported.cloud();
    assert_eq!(
        (&cloud["specversion"], &cloud["id"], &cloud["source"]),
        (&json!("1.0"), &json!(id), &json!("/in/in"))
    );
    assert_eq!((&cloud["hookboxdue"], &cloud["hookboxended"]), (&json!("late"), &json!("app")));

    let other = Home::new();
    let fresh = other.start();
    comes_in_once(&fresh, &exported, &receiver);
    delivers_what_was_due(&fresh, &receiver, &id);

    // It survives a restart, and an export of the copy is that of the first one.
    assert_eq!(fresh.terminate().code(), Some(0));
    let fresh = other.start();
    assert_eq!(text(&fresh.json(&["event", "show", &id]), "first_id"), id);
    let ids = |text: &str| -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].clone();
        text.lines().map(parse).collect()
    };
    let again = fresh.done(&["log", "export"]).stdout;
    assert_eq!(ids(&again), ids(&exported.text()));
    assert!(fresh.json(&["log", "verify"])["ok"] == true);
    daemon.kill();
}

/// The events are imported where their endpoints are, and only once, also as CloudEvents.
fn comes_in_once(fresh: &Daemon, exported: &Exported, receiver: &Receiver) {
    open_source(fresh, "in");
    let refused = fresh.ctl().run(&["log", "import", &exported.path]).expect(1);
    assert!(refused.stderr.contains("endpoint 'late', which is not here"), "{}", refused.stderr);

    quick_endpoint(fresh, "app", &receiver.url("/app"), &[]);
    quick_endpoint(fresh, "late", &receiver.url("/late"), &[]);
    receiver.always("/late", Step::Status(200));
    let done = fresh.json(&["log", "import", &exported.path]);
    assert_eq!((&done["imported"], &done["skipped"]), (&json!(2), &json!(0)));

    let again = fresh.json(&["log", "import", &exported.path]);
    assert_eq!((&again["imported"], &again["skipped"]), (&json!(0), &json!(2)));
    let from_clouds = fresh
        .ctl()
        .run_with_input(&["--json", "log", "import", "-"], exported.clouds.as_bytes())
        .expect(0);
    assert!(from_clouds.stdout.contains("\"skipped\":2"), "{}", from_clouds.stdout);
}

/// What waited where it was exported is delivered, under its first id, and nothing else is.
fn delivers_what_was_due(fresh: &Daemon, receiver: &Receiver, id: &str) {
    fresh.await_count("delivered", 2);
    let seen = until("both at the late one", SOON, || {
        let good: Vec<_> =
            receiver.seen("/late").into_iter().filter(|seen| seen.answered == 200).collect();
        (good.len() == 2).then_some(good)
    });
    let first =
        seen.iter().find(|seen| seen.id() == id).expect("under the id it was accepted with");
    assert_eq!(
        (first.body.as_slice(), first.header("content-type")),
        (&b"\x00\xffbytes"[..], Some("x/odd"))
    );
    assert_eq!(receiver.seen("/app").len(), 2, "nothing twice");

    let shown = fresh.json(&["event", "show", id]);
    assert_eq!((text(&shown, "first_id"), &shown["headers"]["x-one"]), (id, &json!("1")));
    let key = [("Idempotency-Key", "key")];
    assert_eq!(fresh.post("/in/in", &key, b"\x00\xffbytes").json()["duplicate"], true);
}

/// The dead letter of this event.
fn dead_letter(daemon: &Daemon, event: &str) -> Value {
    daemon.lines(&["dlq", "list", "--event", event]).pop().expect("it is dead")
}

/// A dead letter is not delivered by an import, nor forgotten: it is a dead letter again, with its
/// last words.
#[test]
fn dead_letters_are_exported_and_come_in_as_such() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    receiver.always("/app", Step::Status(503));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &["--max-attempts", "1"]);
    let sent: Vec<String> =
        (0..3).map(|n| daemon.accept("/in/in", &[], format!("{n}").as_bytes())).collect();
    daemon.await_count("dead", 3);
    daemon.json(&["dlq", "discard", text(&dead_letter(&daemon, &sent[2]), "id")]);
    let first = dead_letter(&daemon, &sent[0]);

    let exported = Exported::of(home, &daemon);
    let cloud = exported.cloud();
    assert_eq!((&cloud["hookboxdead"], &cloud["hookboxended"]), (&json!("app"), &json!("")));
    daemon.kill();
    receiver.always("/app", Step::Status(200));
    let before = receiver.count("/app");

    let other = Home::new();
    let fresh = other.start();
    open_source(&fresh, "in");
    let refused = fresh.ctl().run(&["log", "import", &exported.path]).expect(1);
    assert!(
        refused.stderr.contains("is a dead letter of endpoint 'app', which is not here"),
        "{}",
        refused.stderr
    );
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    refuses_odd_dead_letters(&fresh, &exported);

    // What waits behind them is delivered, after a restart, and they are not.
    fresh.json(&["endpoint", "hold", "app"]);
    let behind = fresh.accept("/in/in", &[], b"behind");
    assert_eq!(fresh.terminate().code(), Some(0));
    let fresh = other.start();
    fresh.json(&["endpoint", "release", "app"]);
    assert_eq!(receiver.wait("/app", before + 1, SOON).pop().expect("it came").id(), behind);
    assert_eq!(fresh.lines(&["dlq", "list"]).len(), 2);

    let shown = dead_letter(&fresh, &sent[0]);
    for field in ["attempts", "died_at", "reason"] {
        assert_eq!(shown[field], first[field], "{field}");
    }
    fresh.json(&["dlq", "retry", text(&shown, "id")]);
    receiver.wait("/app", before + 2, SOON);
    assert_eq!(
        receiver.seen("/app").pop().expect("it came").id(),
        sent[0],
        "under the id that it had"
    );
    until("one to be left", SOON, || (fresh.lines(&["dlq", "list"]).len() == 1).then_some(()));

    // What is there already needs no endpoint.
    fresh.json(&["endpoint", "delete", "app"]);
    assert_eq!(fresh.json(&["log", "import", &exported.path])["skipped"], 3);

    dead_letters_come_in_as_cloud_events(&exported, &receiver, &sent[0]);
}

/// Imports the dead letters, between lines that are refused.
fn refuses_odd_dead_letters(fresh: &Daemon, exported: &Exported) {
    let mut twice = first_line(&exported.text());
    twice["deliveries"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"endpoint": "app", "state": "pending"}));
    let output = refused_lines(fresh, &twice.to_string());
    assert!(output.contains("names an endpoint twice"), "{output}");
    assert_eq!(fresh.json(&["log", "import", &exported.path])["imported"], 3);

    let zombie = twice.to_string().replace("\"pending\"", "\"zombie\"");
    let output = refused_lines(fresh, &zombie);
    assert!(output.contains("'zombie' is not a state of a delivery"), "{output}");

    let listed = exported.clouds.replace("\"hookboxdead\":\"app\"", "\"hookboxdead\":[\"app\"]");
    let output = refused_lines(fresh, &listed);
    assert!(output.contains("line 1: hookboxdead must be a string"), "{output}");
}

/// A CloudEvent has no place for the last words.
fn dead_letters_come_in_as_cloud_events(exported: &Exported, receiver: &Receiver, dead: &str) {
    let before = receiver.count("/app");
    let third = Home::new();
    let fresh = third.start();
    open_source(&fresh, "in");
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);

    let clouds = exported.clouds.as_bytes();
    fresh.ctl().run_with_input(&["log", "import", "-"], clouds).expect(0);
    fresh.await_count("dead", 2);
    assert!(text(&dead_letter(&fresh, dead), "reason").contains("where it was imported from"));

    let behind = fresh.accept("/in/in", &[], b"behind");
    assert_eq!(receiver.wait("/app", before + 1, SOON).pop().expect("it came").id(), behind);
}

/// Of the programs without optimization; a busy machine takes longer for the commit of a larger one
/// than the watchdog allows.
#[test]
fn a_large_body_comes_in_from_an_export() {
    comes_in_from_an_export(6 << 20);
}

#[test]
#[ignore = "needs optimized programs (just damage)"]
fn the_largest_of_all_comes_in_from_an_export() {
    require(are_not_optimized());
    comes_in_from_an_export(32 << 20);
}

fn comes_in_from_an_export(size: usize) {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--max-body", &size.to_string()]);
    let mut body = vec![0; size];
    body.chunks_mut(8).zip(0u64..).for_each(|(chunk, n)| chunk.copy_from_slice(&n.to_le_bytes()));
    daemon.accept("/in/in", &[], b"one that fills the slice before it");
    let id = daemon.accept("/in/in", &[], &body);

    let file = home.path().join("events.ndjson");
    let path = file.to_str().expect("a path");
    daemon.done(&["log", "export", "--output", path]);

    let other = Home::new();
    let fresh = other.start();
    assert_eq!(fresh.json(&["log", "import", path])["imported"], 2);
    quick_endpoint(&fresh, "app", &receiver.url("/app"), &[]);
    fresh.json(&["replay", "--event", &id, "--to", "app"]);
    let came = receiver.wait("/app", 1, SOON).pop().expect("it came");
    assert_eq!((came.id(), came.body == body), (id.as_str(), true));

    let larger = json!({
        "what": "event", "id": "evt_large", "source": "in", "body_base64": "A".repeat(53 << 20),
    });
    let refused = fresh
        .ctl()
        .run_with_input(&["log", "import", "-"], larger.to_string().as_bytes())
        .expect(1);
    assert!(
        refused.stderr.contains("line 1 has 53 MiB, and a daemon takes 44 MiB"),
        "{}",
        refused.stderr
    );
}

/// The lines are those of the file, and what came in before the one that is refused is reported.
#[test]
fn an_import_that_breaks_off_says_where_and_after_what() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let event = |n: usize| {
        json!({
            "what": "event", "id": format!("evt_00000000000g3kq1v8b2m4{n:03}0"), "source": "in",
            "type": "t", "headers": [], "received_at": "2026-11-01T10:00:00Z", "body_base64": "",
            "deliveries": [],
        })
        .to_string()
    };
    let import = |lines: &[String]| refused_lines(&daemon, &lines.join("\n"));

    // Two lines that are not events, one of them empty, lie before them.
    let mut lines: Vec<String> =
        vec![json!({"what": "record", "kind": "x"}).to_string(), String::new()];
    lines.extend((0..300).map(event));
    lines.push("{bad".to_owned());
    let output = import(&lines);
    assert!(
        output.contains("after 256 events, which were imported: line 303 is not JSON"),
        "{output}"
    );
    lines[302] = event(300).replace("\"headers\":[]", "\"headers\":5");
    let output = import(&lines);
    assert!(output.contains("nothing was imported: line 303:"), "{output}");
    lines[302] = event(300).replace("\"type\":\"t\"", "\"type\":9");
    lines.insert(2, event(301));
    let output = import(&lines);
    assert!(output.contains("after 1 event, which was imported: line 304:"), "{output}");

    let cloud = json!({
        "specversion": "1.0", "id": "c", "source": "/in/in", "type": "t",
        "time": "2026-11-01T10:00:00Z", "data_base64": "aGk=",
    });
    for (attribute, value) in [
        ("specversion", json!("0.3")),
        ("source", json!(7)),
        ("type", Value::Null),
        ("data_base64", json!(5)),
    ] {
        let mut odd = cloud.clone();
        odd[attribute] = value;
        let output = import(&[odd.to_string()]);
        assert!(
            output.contains(&format!("nothing was imported: line 1: {attribute} must be")),
            "{output}"
        );
    }
    let mut both = cloud;
    both["data"] = json!("hi");
    assert!(import(&[both.to_string()]).contains("exclude each other"));
}

/// An id names an event together with its content, wherever the first one came in.
#[test]
fn an_imported_event_takes_no_other_ones_place() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let key = [("Idempotency-Key", "key")];
    daemon.accept("/in/in", &key, b"first");
    daemon.accept("/in/in", &key, b"second");
    let exported = Exported::of(home, &daemon);
    daemon.kill();

    let other = Home::new();
    let fresh = other.start();
    open_source(&fresh, "in");
    assert_eq!(fresh.json(&["log", "import", &exported.path])["imported"], 2);
    let duplicate = |body: &[u8]| {
        let answer = fresh.post("/in/in", &key, body);
        assert_eq!(answer.status, 202);
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer["duplicate"] == true
    };
    assert!(duplicate(b"first") && duplicate(b"second"), "a repetition");
    assert!(!duplicate(b"third"), "another body");
    assert!(duplicate(b"third"));
}
