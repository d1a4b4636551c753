//! A log of many segments: rolled, listed over, verified, and dropped by retention without losing
//! what lives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::support::rng::Rng;
use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint, text};

/// A home whose segments are small, with more lines of configuration.
fn small_segments(more: &str) -> Home {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", &format!("[log]\nsegment_size = \"1MiB\"\n{more}"));
    home.args.extend(["--config".to_owned(), path]);
    home
}

/// A body that does not compress.
fn noise(rng: &mut Rng, size: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(size).collect()
}

fn segments(daemon: &Daemon) -> u64 {
    daemon.json(&["status"])["log"]["segments"].as_u64().expect("a number")
}

#[test]
fn many_segments_are_one_log() {
    let home = small_segments("");
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &[]);

    let mut rng = Rng::new(7);
    let mut client = daemon.client();
    let mut sent = Vec::new();
    for _ in 0..120 {
        let body = noise(&mut rng, 50_000);
        let answer = client
            .post("/in/in", &[("Idempotency-Key", &format!("k{}", sent.len()))], &body)
            .expect("an answer");
        sent.push((text(&answer.json(), "id").to_owned(), body));
    }

    daemon.await_count("delivered", 120);
    assert!(segments(&daemon) >= 4, "{} segments", segments(&daemon));
    daemon.kill();
    let daemon = home.start();

    for n in [0, 60, 119] {
        let shown = daemon.json(&["event", "show", &sent[n].0]);
        assert!(
            STANDARD.decode(text(&shown, "body_base64")).is_ok_and(|b| b == sent[n].1),
            "event {n}"
        );
    }

    let listed = daemon.lines(&["event", "list", "--limit", "1000"]);
    assert!(listed.iter().map(|e| text(e, "id")).eq(sent.iter().rev().map(|(id, _)| id.as_str())));
    assert_eq!(
        daemon.post("/in/in", &[("Idempotency-Key", "k0")], &sent[0].1).json()["id"],
        sent[0].0.as_str()
    );

    let verified = daemon.json(&["log", "verify"]);
    assert_eq!(
        (&verified["ok"], &verified["last"]),
        (&true.into(), &verified["records"]),
        "{verified}"
    );

    daemon.json(&["replay", "--event", &sent[0].0]);
    until("the oldest event once more", SOON, || {
        (receiver.seen("/").iter().filter(|s| s.id() == sent[0].0).count() == 2).then_some(())
    });
}

/// A home that forgets what was delivered after a second, and endpoints `other` and `dying` for
/// source `early`.
fn forgetful() -> (Home, Daemon, Receiver) {
    let home = small_segments("[retention]\ndelivered = \"1s\"\ndead = \"1h\"\n");
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "early");
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "other", &receiver.url("/other"), &["--from", "early"]);
    quick_endpoint(
        &daemon,
        "dying",
        &receiver.url("/dying"),
        &["--from", "early", "--max-attempts", "1"],
    );
    (home, daemon, receiver)
}

/// Posts until the first of the posted events is gone with its segment.
fn outlive_a_segment(daemon: &Daemon) {
    let mut rng = Rng::new(8);
    let mut client = daemon.client();
    let mut first = String::new();
    until("the first segment to be dropped", SOON * 2, || {
        let answer = client.post("/in/in", &[], &noise(&mut rng, 100_000)).expect("an answer");
        if first.is_empty() {
            first = text(&answer.json(), "id").to_owned();
        }
        daemon.has_not(&format!("/v1/events/{first}")).then_some(())
    });
}

#[test]
fn retention_drops_what_ended_and_keeps_dead_letters() {
    let (home, daemon, receiver) = forgetful();
    receiver.script("/dying", [Step::Status(500)]);

    let id = daemon.accept("/in/early", &[], b"must not be dropped");
    daemon.await_count("dead", 1);
    daemon.await_count("delivered", 1);
    outlive_a_segment(&daemon);

    daemon.kill();
    let daemon = home.start();
    assert_eq!(
        text(&daemon.json(&["event", "show", &id]), "body_base64"),
        STANDARD.encode(b"must not be dropped")
    );

    let dead = daemon.json(&["dlq", "list"]);
    daemon.json(&["dlq", "retry", text(&dead, "id")]);
    let seen = receiver.wait("/dying", 2, SOON);
    assert_eq!(
        (seen[1].id(), seen[1].body.as_slice()),
        (id.as_str(), b"must not be dropped".as_slice())
    );

    let verified = daemon.json(&["log", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn retention_relocates_what_waits_for_a_retry() {
    let (home, daemon, receiver) = forgetful();
    receiver.script(
        "/other",
        [Step::Reply(503, vec![("Retry-After".to_owned(), "3600".to_owned())], Vec::new())],
    );
    let id = daemon.accept("/in/early", &[], b"must not be dropped");
    daemon.await_count("delivered", 1);
    outlive_a_segment(&daemon);
    daemon.kill();
    let daemon = home.start();
    let waiting = daemon.json(&["delivery", "list", "--endpoint", "other"]);
    daemon.done(&["delivery", "retry", text(&waiting, "id")]);
    let seen = receiver.wait("/other", 2, SOON);
    assert_eq!(
        (seen[1].id(), seen[1].body.as_slice()),
        (id.as_str(), b"must not be dropped".as_slice())
    );
}

#[test]
fn retention_relocates_what_is_held() {
    let (home, daemon, receiver) = forgetful();
    daemon.done(&["endpoint", "hold", "other"]);
    let id = daemon.accept("/in/early", &[], b"must not be dropped");
    daemon.await_count("held", 1);
    outlive_a_segment(&daemon);
    daemon.kill();
    let daemon = home.start();
    daemon.await_count("held", 1);
    daemon.done(&["endpoint", "release", "other"]);
    let seen = receiver.wait("/other", 1, SOON);
    assert_eq!(
        (seen[0].id(), seen[0].body.as_slice()),
        (id.as_str(), b"must not be dropped".as_slice())
    );
}

#[test]
fn retention_relocates_a_backlog_that_was_never_attempted() {
    let (home, daemon, receiver) = forgetful();
    daemon.done(&["endpoint", "hold", "other"]);

    // More than an endpoint's window, so that most of them only stand in the stream.
    let mut client = daemon.client();
    let mut waiting = Vec::new();
    for n in 0..700 {
        let answer =
            client.post("/in/early", &[], format!("event {n}").as_bytes()).expect("an answer");
        waiting.push(text(&answer.json(), "id").to_owned());
    }

    daemon.await_count("held", 700);
    outlive_a_segment(&daemon);
    let stat = daemon.json(&["log", "stat"]);
    assert!(stat["first"].as_u64() > Some(701), "one old event keeps its segment: {stat}");

    daemon.kill();
    let daemon = home.start();
    daemon.await_count("held", 700);
    daemon.done(&["endpoint", "release", "other"]);
    receiver.wait("/other", 700, SOON * 2);
    daemon.await_count("held", 0);

    let seen = receiver.seen("/other");
    for (n, id) in waiting.iter().enumerate() {
        let body = format!("event {n}").into_bytes();
        assert!(seen.iter().any(|s| s.id() == id && s.body == body), "{id} is missing");
    }
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
}

/// Posts bodies that do not compress; their number.
fn post_noise(daemon: &Daemon, source: &str, count: u64, size: usize) {
    let mut rng = Rng::new(9);
    let mut client = daemon.client();
    for _ in 0..count {
        let answer =
            client.post(&format!("/in/{source}"), &[], &noise(&mut rng, size)).expect("an answer");
        assert_eq!(answer.status, 202);
    }
}

#[test]
fn retention_goes_by_count_as_well() {
    let home = small_segments("[retention]\ndelivered_events = 100\ndead_events = 20\n");
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/dying", Step::Status(500));
    open_source(&daemon, "in");
    open_source(&daemon, "bad");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &["--from", "in"]);
    quick_endpoint(
        &daemon,
        "dying",
        &receiver.url("/dying"),
        &["--from", "bad", "--max-attempts", "1"],
    );

    post_noise(&daemon, "bad", 60, 100);
    daemon.await_count("dead", 20);
    let (mut rng, mut client) = (Rng::new(10), daemon.client());
    until("old events to go", SOON * 2, || {
        assert_eq!(
            client.post("/in/in", &[], &noise(&mut rng, 60_000)).expect("an answer").status,
            202
        );
        (daemon.asked("/v1/log")["first"].as_u64() > Some(1)).then_some(())
    });

    let kept = daemon.lines(&["event", "list", "--source", "in", "--limit", "1000"]).len();
    assert!(kept >= 100, "{kept} events are kept, 100 are asked for");
    let dead = until("the newest dead letters, and no others", SOON, || {
        let counted = daemon.asked("/v1/status")["deliveries"].clone();
        let dead = daemon.rows("/v1/dlq?limit=1000");
        (dead.len() == 20 && counted["pending"] == 0 && counted["in_flight"] == 0).then_some(dead)
    });
    daemon.json(&["event", "show", text(&dead[19], "event")]);
}

#[test]
fn retention_goes_by_bytes_as_well() {
    let home = small_segments("[retention]\ndelivered_bytes = \"6MiB\"\ndead_bytes = \"100KiB\"\n");
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/dying", Step::Status(500));
    open_source(&daemon, "in");
    open_source(&daemon, "bad");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &["--from", "in"]);
    quick_endpoint(
        &daemon,
        "dying",
        &receiver.url("/dying"),
        &["--from", "bad", "--max-attempts", "1"],
    );

    post_noise(&daemon, "bad", 30, 10_000);
    daemon.await_count("dead", 30);
    post_noise(&daemon, "in", 300, 50_000);
    until("old segments to go", SOON * 3, || {
        let stat = daemon.asked("/v1/log");
        // Six MiB, the oldest that is kept, and the one that is written to.
        (stat["bytes"].as_u64() < Some(12 << 20)).then_some(())
    });

    until("dead letters to go", SOON * 5, || {
        let dead = daemon.asked("/v1/status")["deliveries"]["dead"].as_u64()?;
        (0 < dead && dead <= 10).then_some(())
    });
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
}

/// A state that is too large to be written when a segment is begun is written afterwards, and also
/// when nothing comes any more.
#[test]
fn a_large_state_is_written_down_behind_the_roll() {
    const ENDPOINTS: usize = 12;
    let home = small_segments("");
    let daemon = home.start();
    open_source(&daemon, "in");
    open_source(&daemon, "unused");
    let mut rng = Rng::new(12);
    for n in 0..ENDPOINTS {
        let noise: String = (0..900).map(|_| format!("{:016x}", rng.next())).collect();
        let (name, body) = (format!("large{n}"), format!("{{{{ id }}}} {noise}"));
        quick_endpoint(
            &daemon,
            &name,
            "http://127.0.0.1:9/",
            &["--from", "unused", "--body", &body],
        );
    }

    let checkpoint = |daemon: &Daemon| {
        daemon.json(&["status"])["log"]["checkpoint_bytes"].as_u64().expect("a number")
    };
    assert_eq!(checkpoint(&daemon), 0);
    post_noise(&daemon, "in", 30, 60_000);
    assert!(segments(&daemon) >= 2);
    let bytes = until("the checkpoint to be complete", SOON, || {
        Some(checkpoint(&daemon)).filter(|bytes| *bytes > 0)
    });
    assert!(bytes > 150_000, "{bytes}");

    daemon.kill();
    let daemon = home.start();
    assert_eq!(checkpoint(&daemon), bytes);
    let listed = daemon.lines(&["endpoint", "list", "--limit", "1000"]);
    assert_eq!(listed.len(), ENDPOINTS);
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
}

/// A roll creates a segment, which takes long on a slow disk: here it never ends.
#[test]
fn nobody_waits_for_a_roll_whose_event_is_durable() {
    let mut home = small_segments("");
    let daemon = home.start();
    open_source(&daemon, "in");
    assert_eq!(daemon.terminate().code(), Some(0));

    home.environment.push(("HOOKBOX_FAIL_AT".to_owned(), "roll.begun!hang".to_owned()));
    let daemon = home.start();
    let (mut rng, mut client) = (Rng::new(11), daemon.client());
    let mut sent = Vec::new();
    // Until the daemon gets no further: only what comes after the roll has begun is not answered.
    while let Ok(answer) = client.post("/in/in", &[], &noise(&mut rng, 60_000)) {
        assert_eq!(answer.status, 202);
        sent.push(text(&answer.json(), "id").to_owned());
    }
    daemon.await_log("a write to the log has not returned for 10 s: the disk does not answer");
    drop(daemon);

    home.environment.clear();
    let daemon = home.start();
    let listed = daemon.lines(&["event", "list", "--limit", "1000"]);
    let kept: Vec<_> = listed.iter().rev().map(|event| text(event, "id").to_owned()).collect();
    assert_eq!(kept, sent, "each event that is in the log was answered");
}
