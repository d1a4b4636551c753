//! What a proof is worth: for whom it was made, what it covers, and what comes again under it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use super::support::daemon::Daemon;
use super::support::{Home, Receiver, SOON, hex, signature};
use super::{quick_endpoint, text};

fn sha1(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, signed.as_bytes()).as_ref())
}

fn sha256(secret: &str, signed: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed).as_ref())
}

#[test]
fn a_source_that_anybodys_proofs_fit_takes_nothing_in() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.done(&["source", "create", "calls", "--verify", "twilio", "--secret", "s"]);
    assert!(
        made.stdout.contains("Warning:") && made.stdout.contains("--public-url"),
        "{}",
        made.stdout
    );
    let shown = daemon.json(&["source", "show", "calls"]);
    assert!(
        shown["warnings"][0].as_str().is_some_and(|why| why.contains("answered 503")),
        "{shown}"
    );

    let url = "https://hooks.example.com/in/calls?tenant=7";
    let post = |url: &str, secret: &str| {
        let signed = sha1(secret, &format!("{url}CallSidC"));
        let headers = [
            ("X-Twilio-Signature", signed.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        daemon.post(
            "/in/calls?tenant=7",
            &[&headers[..], &[("I-Twilio-Idempotency-Token", url)]].concat(),
            b"CallSid=C",
        )
    };
    let own = format!("{}/in/calls?tenant=7", text(&shown, "url").trim_end_matches("/in/calls"));
    let refused = post(&own, "s");
    assert_eq!(
        (refused.status, refused.header("retry-after").is_some()),
        (503, true),
        "the sender is to try again"
    );
    assert_eq!(post(&own, "wrong").status, 401);
    assert!(
        text(&daemon.json(&["source", "show", "calls"]), "last_refusal")
            .contains("signature does not match")
    );

    // What was captured can be checked meanwhile, under the URL that it was signed for.
    let headers = json!({"X-Twilio-Signature": sha1("s", &format!("{url}CallSidC")),
        "Content-Type": "application/x-www-form-urlencoded"});
    let body = STANDARD.encode("CallSid=C");
    let request = json!({"method": "POST", "url": url, "headers": headers, "body_base64": body});
    let file = home.write("request.json", &request.to_string());
    let checked = daemon.json(&["source", "check", "calls", "--request", &file]);
    assert_eq!(checked["accepted"], true);
    assert!(text(&checked, "reason").contains("--public-url"), "{checked}");

    daemon.json(&[
        "source",
        "update",
        "calls",
        "--public-url",
        "https://hooks.example.com/in/calls",
    ]);
    assert!(daemon.json(&["source", "show", "calls"]).get("warnings").is_none());
    assert_eq!(post(&own, "s").status, 401, "signed for another host");
    assert_eq!(post(url, "s").status, 200);

    // Back again, it does not fall behind what it had reached.
    daemon.json(&["source", "update", "calls", "--reset", "public_url"]);
    assert_eq!(post(&own, "s").status, 503);
}

#[test]
fn tokens_need_an_issuer_or_an_audience() {
    let home = Home::new();
    let daemon = home.start();

    let create = [
        "source",
        "create",
        "a",
        "--verify",
        "jwt",
        "--secret",
        "0123456789abcdef0123456789abcdef",
    ];

    let refused = daemon.ctl().run(&create).expect(64);
    assert!(refused.stderr.contains("--set issuer"), "{}", refused.stderr);
    daemon.json(&[&create[..], &["--set", "audience=me"]].concat());
    let refused = daemon.ctl().run(&["source", "update", "a", "--reset", "set"]).expect(64);
    assert!(refused.stderr.contains("--set issuer"), "{}", refused.stderr);

    let made = daemon.done(&["source", "create", "news", "--verify", "sns"]);
    assert!(made.stdout.contains("--set topics"), "{}", made.stdout);
    assert!(made.stdout.contains("--set certs=fetch"), "{}", made.stdout);
    let create = ["source", "create", "news2", "--verify", "sns", "--set", "certs=fetch"];
    let made = daemon.json(&[&create[..], &["--set", "topics=arn:aws:sns:x:1:t"]].concat());
    assert!(made.get("warnings").is_none(), "{made}");
}

fn counted(daemon: &Daemon, name: &str) -> u64 {
    daemon.json(&["status"])[name].as_u64().expect("a number")
}

#[test]
fn replays_under_other_ids_take_no_genuine_event() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "own", "--verify", "hmac", "--secret", "s"]);
    let post = |id: &str, body: &[u8]| {
        let signed = sha256("s", body);
        daemon.post("/in/own", &[("X-Signature", &signed), ("webhook-id", id)], body).json()
    };
    let first = post("1000", b"captured");
    for id in ["1001", "1002", "1003"] {
        let again = post(id, b"captured");
        assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)), "{id}");
    }
    let genuine = post("1001", b"genuine");
    assert!(genuine.get("duplicate").is_none(), "{genuine}");
    assert_eq!(daemon.lines(&["event", "list"]).len(), 2);
    assert_eq!(counted(&daemon, "dedupe_conflicts"), 0);
}

#[test]
fn the_same_key_with_another_body_is_kept_counted_and_shown() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "in"]);
    let post = |daemon: &Daemon, body: &[u8]| {
        daemon.post("/in/in", &[("Idempotency-Key", "order-17")], body).json()
    };
    let first = post(&daemon, b"one");
    let other = post(&daemon, b"two");
    assert!(other.get("duplicate").is_none() && other["id"] != first["id"], "{other}");
    assert_eq!(post(&daemon, b"two")["id"], other["id"], "its own repetition");
    assert_eq!(post(&daemon, b"one")["id"], first["id"]);
    let shown = daemon.json(&["event", "show", text(&other, "id")]);
    assert_eq!((&shown["conflicts_with"], &shown["duplicates"]), (&first["id"], &json!(1)));
    assert_eq!(daemon.lines(&["event", "list"])[0]["conflicts_with"], first["id"]);
    assert!(daemon.json(&["event", "show", text(&first, "id")]).get("conflicts_with").is_none());
    assert_eq!(counted(&daemon, "dedupe_conflicts"), 1);

    daemon.kill();
    let daemon = home.start();
    assert_eq!(post(&daemon, b"two")["id"], other["id"], "also after a crash");
    assert_eq!(post(&daemon, b"one")["id"], first["id"]);
    assert_eq!(counted(&daemon, "dedupe_conflicts"), 1);
}

#[test]
fn the_hooks_of_a_guid_are_distinguished() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "gh", "--verify", "github", "--secret", "s"]);
    let signed = signature::github("s", b"{}");
    let post = |hook: &str| {
        let headers = [
            ("X-GitHub-Delivery", "g"),
            ("X-GitHub-Hook-ID", hook),
            ("X-Hub-Signature-256", &signed),
        ];
        daemon.post("/in/gh", &headers, b"{}").json()
    };
    let (one, two) = (post("1"), post("2"));
    assert!(two.get("duplicate").is_none(), "{two}");
    assert_eq!(post("1")["id"], one["id"]);
    assert_eq!(post("2")["id"], two["id"]);
}

#[test]
fn the_query_is_part_of_the_event() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&["source", "create", "in"]);
    daemon.json(&["source", "create", "gh", "--verify", "github", "--secret", "s"]);
    quick_endpoint(&daemon, "plain", &receiver.url("/plain"), &[]);
    quick_endpoint(&daemon, "asked", &receiver.url("/asked?own=1"), &["--forward-query"]);
    let tag = "@.query.tenant == '7' && @.query.tag[1] == 'b c'";
    quick_endpoint(&daemon, "seven", &receiver.url("/seven"), &["--where", tag]);
    quick_endpoint(
        &daemon,
        "eight",
        &receiver.url("/eight"),
        &["--where", "@.query.tenant == '8'"],
    );
    let id = daemon.accept("/in/in?tenant=7&tag=a&tag=b%20c&access_token=hunter2&own=2", &[], b"x");
    receiver.wait("/seven", 1, SOON);
    let shown = daemon.json(&["event", "show", &id]);
    assert_eq!(
        (&shown["query"]["tenant"], &shown["query"]["tag"]),
        (&json!("7"), &json!(["a", "b c"]))
    );
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    receiver.wait("/plain", 1, SOON);
    receiver.wait("/asked?own=1&tenant=7&tag=a&tag=b%20c", 1, SOON);

    daemon.accept("/in/in?tenant=8", &[], b"x");
    receiver.wait("/eight", 1, SOON);
    assert_eq!(receiver.count("/seven"), 1);

    let signed = signature::github("s", b"{}");
    daemon.accept("/in/gh?repo=r", &[("X-Hub-Signature-256", &signed)], b"{}");
    receiver.wait("/plain?repo=r", 1, SOON);
}
