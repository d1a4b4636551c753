//! Filters, whatever a sender sends: nobody waits for them, nothing is lost in silence.

use super::support::sizes::{are_not_optimized, require};
use super::support::{Home, Receiver, SOON, until};
use super::{open_source, quick_endpoint, text};

const COSTLY: &str = "search(@.body.text,'[A-Za-z0-9+/]{16,40}==')";

#[test]
fn what_is_too_expensive_is_reported_and_keeps_nobody_waiting() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "mallory");
    open_source(&daemon, "victim");
    for n in 0..12 {
        quick_endpoint(
            &daemon,
            &format!("costly{n}"),
            &receiver.url("/costly"),
            &["--from", "mallory", "--where", COSTLY],
        );
    }
    quick_endpoint(
        &daemon,
        "plain",
        &receiver.url("/plain"),
        &["--where", "@.headers['X-Kind'] == 'k'"],
    );
    let own = ["--from", "hookbox", "--types", "hookbox.endpoint.filter_*"];
    quick_endpoint(&daemon, "mail", &receiver.url("/mail"), &own);
    let body = format!(r#"{{"text":"{}"}}"#, "a".repeat((1 << 20) - 20));
    let sent = daemon.accept(
        "/in/mallory",
        &[("x-kind", "k"), ("content-type", "application/json")],
        body.as_bytes(),
    );
    daemon.accept("/in/victim", &[("x-kind", "k")], b"{}");
    receiver.wait("/plain", 2, SOON);

    let shown = daemon.json(&["endpoint", "show", "costly3"]);
    assert_eq!(
        (shown["filter_too_expensive"].as_u64(), text(&shown, "filter_too_expensive_event")),
        (Some(1), &*sent)
    );
    let event = daemon.json(&["event", "show", &sent]);
    assert_eq!(event["filter_too_expensive"].as_array().map(Vec::len), Some(12), "{event}");
    let notice = receiver.wait("/mail", 12, SOON).remove(0);
    assert_eq!(notice.header("hookbox-type"), Some("hookbox.endpoint.filter_too_expensive"));
    assert!(String::from_utf8_lossy(&notice.body).contains(&sent), "the message names the event");
    assert_eq!(receiver.seen("/costly").len(), 0);

    // It can be brought all the same, and a start knows of it.
    daemon.done(&["replay", "--event", &sent, "--to", "costly3"]);
    receiver.wait("/costly", 1, SOON);
    daemon.kill();
    let daemon = home.start();
    let shown = daemon.json(&["endpoint", "show", "costly3"]);
    assert_eq!(shown["filter_too_expensive"].as_u64(), Some(1));
    let test = daemon.json(&["endpoint", "test", "costly3", "--event", &sent, "--dry-run"]);
    assert!(text(&test, "why_not").contains("too expensive"), "{test}");
}

/// Of the programs without optimization, of which a larger one would ask too much.
#[test]
fn a_body_of_many_small_values_takes_little_memory() {
    takes_little_memory(8 << 20, 150);
}

#[test]
#[ignore = "needs optimized programs (just damage)"]
fn the_largest_of_all_takes_little_memory() {
    require(are_not_optimized());
    takes_little_memory(32 << 20, 400);
}

/// A tree of the values would take thirty times what the body has.
fn takes_little_memory(largest: usize, at_most_mib: u64) {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&["source", "create", "large", "--verify", "none", "--max-body", "32MiB"]);
    quick_endpoint(&daemon, "first", &receiver.url("/first"), &["--where", "@.body.kind == 'a'"]);
    quick_endpoint(&daemon, "never", &receiver.url("/never"), &["--where", "@.body.missing"]);
    quick_endpoint(
        &daemon,
        "keyed",
        &receiver.url("/keyed"),
        &["--order", "key", "--order-key", "/kind"],
    );

    daemon.accept("/in/large", &[], br#"{"kind":"a"}"#);
    receiver.wait("/first", 1, SOON);
    let send = |size: usize| {
        let zeros = "0,".repeat((size - 64) / 2);
        daemon.accept("/in/large", &[], format!(r#"{{"kind":"a","list":[{zeros}0]}}"#).as_bytes());
    };

    send(4 << 20);
    receiver.wait("/first", 2, SOON);
    receiver.wait("/keyed", 2, SOON);
    send(largest);

    let shown = daemon.json(&["endpoint", "show", "never"]);
    assert_eq!(
        shown["filter_too_expensive"].as_u64(),
        Some(2),
        "what lies behind the first MiB cannot be decided"
    );

    // The body itself, the commit made of it, and what is sent.
    let peak = daemon.proc_number("status", "VmHWM");
    assert!(peak < at_most_mib << 10, "{peak} KiB");
}

#[test]
fn what_is_odd_in_one_field_hides_no_other() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let make = [
        "source",
        "create",
        "in",
        "--verify",
        "none",
        "--type-field",
        "/type",
        "--id-field",
        "/id",
    ];
    daemon.json(&make);

    let settings = [
        "--where",
        "@.body.id > 8202522731445525541",
        "--types",
        "t.*",
        "--body",
        "{{ body.id | tojson }}",
    ];
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &settings);

    let json = [("content-type", "application/json")];
    for body in [
        &b"\xef\xbb\xbf{\"type\":\"t.a\",\"id\":8202522731445525542}"[..],
        br#"{"x":"\ud83d","type":"t.b","id":8202522731445525543}"#,
        b"{\"x\":\"\xff\",\"type\":\"t.c\",\"id\":18446744073709551616}",
    ] {
        daemon.accept("/in/in", &json, body);
        // One that came again is no other.
        daemon.accept("/in/in", &json, body);
    }
    daemon.accept("/in/in", &json, br#"{"type":"t.d","id":8202522731445525541}"#);

    let mut bodies: Vec<String> = receiver
        .wait("/app", 3, SOON)
        .iter()
        .map(|seen| String::from_utf8_lossy(&seen.body).into_owned())
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["18446744073709551616", "8202522731445525542", "8202522731445525543"]);
    assert_eq!(daemon.json(&["source", "show", "in"])["unreadable_bodies"].as_u64(), Some(0));

    daemon.accept("/in/in", &json, b"{\"type\":\"t.e\",");
    daemon.accept("/in/in", &[("content-type", "text/plain")], b"{\"type\":\"t.e\",");
    until("it is counted", SOON, || {
        (daemon.asked("/v1/sources/in")["unreadable_bodies"].as_u64() == Some(1)).then_some(())
    });
    assert_eq!(receiver.seen("/app").len(), 3);
}

#[test]
fn what_is_no_filter_is_refused_and_the_daemon_lives() {
    let home = Home::new();
    let daemon = home.start();
    let ctl = daemon.ctl();

    let nested = format!("@.b=='\\\\' && @.b{}{}", "[?@.b".repeat(20), "]".repeat(20));
    for wrong in
        ["@.a, *", &nested, "@.a == 'x\ny'", "@.body..id == 1", "match(@.type, '[')", "@.a == "]
    {
        let args =
            ["endpoint", "create", "app", "--url", "https://app.example.com/", "--where", wrong];
        let done = ctl.try_json(&args);
        assert_ne!(done.code, Some(0), "{wrong}");
        assert!(
            done.stderr.contains("--where") || done.stdout.contains("--where"),
            "{wrong}: {}",
            done.stderr
        );
    }

    assert_eq!(daemon.lines(&["endpoint", "list"]).len(), 0);
    quick_endpoint(
        &daemon,
        "app",
        "http://127.0.0.1:9/",
        &["--where", "@.body..id &&\n\t@.body.items[?@.price > 10]"],
    );
}
