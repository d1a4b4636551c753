//! Every provider comes in, proven: the vectors through `hookboxctl source check`, and posts,
//! handshakes, batches and bins over the ingress.

mod batches;
mod bins;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::support::daemon::Daemon;
use super::support::{Home, hex, signature};
use super::text;

/// The scheme that a vector file is for.
fn scheme(provider: &str) -> &str {
    match provider {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    }
}

fn cases() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the vectors").map(|e| e.expect("entry").path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|e| e == "json") && !path.ends_with("ambiguous.json")
    });
    files.sort();
    let read = |path| -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
    };
    files.iter().flat_map(read).collect()
}

/// Makes the source of a vector as an operator would, with files for what is long.
fn create(home: &Home, daemon: &Daemon, name: &str, case: &Value) {
    let mut args: Vec<String> =
        ["source", "create", name, "--verify", scheme(text(case, "provider"))]
            .map(Into::into)
            .into();
    if let Some(secret) = case["secret"].as_str() {
        args.extend(["--secret-file".into(), home.write("secret", secret)]);
    }
    if let Some(key) = case["public_key"].as_str() {
        args.extend(["--public-key-file".into(), home.write("key", key)]);
    }
    for (n, (key, value)) in case["params"].as_object().into_iter().flatten().enumerate() {
        let file = home.write(&format!("param{n}.json"), &value.to_string());
        args.extend(["--set".into(), format!("{key}=@{file}")]);
    }
    daemon.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

/// What of a vector's `expected_response` does not stand in the answer.
fn differs(expected: &Value, response: &Value) -> Vec<String> {
    let body = STANDARD.decode(text(response, "body_base64")).expect("base64");
    let body = String::from_utf8_lossy(&body).into_owned();
    let header = |name: &str| {
        let headers = response["headers"].as_object().expect("headers");
        headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .and_then(|(_, v)| v.as_str())
            .map(str::to_owned)
    };
    let pairs = |wanted: &Value| wanted.as_object().cloned().unwrap_or_default();
    let is_there = |name: &str, value: &Value| {
        header(name).is_some_and(|it| it.contains(value.as_str().expect("text")))
    };

    let mut wrong = Vec::new();
    for (key, wanted) in expected.as_object().expect("expected_response") {
        let holds = match key.as_str() {
            "status" => *wanted == response["status"],
            "body" => wanted.as_str() == Some(&body),
            "body_contains" => body.contains(wanted.as_str().expect("text")),
            "body_json" => serde_json::from_str::<Value>(&body).ok().as_ref() == Some(wanted),
            "content_type" => is_there("content-type", wanted),
            "headers" | "headers_contain" => {
                pairs(wanted).iter().all(|(name, value)| is_there(name, value))
            }
            "headers_absent" => wanted
                .as_array()
                .expect("names")
                .iter()
                .all(|n| header(n.as_str().expect("text")).is_none()),
            other => panic!("expected_response has an unknown key {other}"),
        };

        if !holds {
            wrong.push(format!("{key} {wanted} in {response}"));
        }
    }
    wrong
}

#[test]
fn every_vector_comes_out_right_through_source_check() {
    let home = Home::new();
    let daemon = home.start();
    let mut wrong = Vec::new();
    let cases = cases();
    for (n, case) in cases.iter().enumerate() {
        let what = format!("{}/{}", text(case, "provider"), text(case, "name"));
        let name = format!("v{n}");
        create(&home, &daemon, &name, case);

        let mut request =
            json!({"method": case["method"], "url": case["url"], "headers": case["headers"]});
        request["body_base64"] = case["body_b64"].clone();
        let file = home.write("request.json", &request.to_string());
        let at = case["now"].to_string();
        let check = ["source", "check", &name, "--request", &file, "--at", &at];
        let done = daemon.ctl().try_json(&check);
        let output: Value = serde_json::from_str(&done.stdout).expect("one object");
        done.expect(i32::from(output["accepted"] != true));

        if output["accepted"] != Value::Bool(case["expected"] == "accept") {
            wrong.push(format!("{what}: {} is wanted, got {output}", case["expected"]));
        }
        if output["accepted"] == false && text(&output, "reason").is_empty() {
            wrong.push(format!("{what}: refused without a reason"));
        }
        if let Some(expected) = case.get("expected_response") {
            wrong.extend(
                differs(expected, &output["response"]).into_iter().map(|d| format!("{what}: {d}")),
            );
        }
    }

    assert!(cases.len() >= 236, "only {} cases were found", cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(daemon.json(&["status"])["events"], 0, "a check leaves no event");
    assert_eq!(daemon.json(&["status"])["refused"], json!({}), "a check counts no refusal");
}

type Headers<'h> = &'h [(&'h str, &'h str)];

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().to_string()
}

fn sha256(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &parts.concat())
        .as_ref()
        .to_vec()
}

fn source(daemon: &Daemon, name: &str, more: &[&str]) {
    daemon.json(&[&["source", "create", name, "--verify", name], more].concat());
}

#[test]
fn live_posts_are_proven_answered_and_described() {
    let home = Home::new();
    let daemon = home.start();
    let secret = ["--secret", "s3cret"];
    source(&daemon, "stripe", &["--secret", "whsec_s3cret"]);
    source(&daemon, "slack", &secret);
    source(&daemon, "shopify", &secret);
    // By itself it takes five seconds, as its provider asks, and this machine may let them pass.
    source(&daemon, "paddle", &["--secret", "s3cret", "--set", "tolerance_s=600"]);
    source(&daemon, "apikey", &["--secret", "s3cret", "--set", "in=header", "--set", "name=X-Key"]);
    source(&daemon, "gitlab", &["--secret", "s3cret", "--set", "mode=secret_token"]);

    let body = concat!(
        r#"{"id":"evt_1","type":"invoice.paid","event_id":"Ev1","event_type":"paid","#,
        r#""event":{"type":"message"}}"#
    )
    .as_bytes();
    let at = now();
    let stripe =
        format!("t={at},v1={}", hex(&sha256("whsec_s3cret", &[at.as_bytes(), b".", body])));
    let slack = format!("v0={}", hex(&sha256("s3cret", &[b"v0:", at.as_bytes(), b":", body])));
    let shopify = STANDARD.encode(sha256("s3cret", &[body]));
    let paddle = format!("ts={at};h1={}", hex(&sha256("s3cret", &[at.as_bytes(), b":", body])));

    let shop = [
        ("X-Shopify-Hmac-Sha256", shopify.as_str()),
        ("X-Shopify-Topic", "orders/create"),
        ("X-Shopify-Shop-Domain", "a.example"),
        ("X-Shopify-API-Version", "2026-01"),
        ("X-Shopify-Webhook-Id", "w1"),
        ("X-Shopify-Event-Id", "e1"),
    ];
    let slack_headers =
        [("X-Slack-Signature", slack.as_str()), ("X-Slack-Request-Timestamp", at.as_str())];
    let gitlab = [("X-Gitlab-Token", "s3cret"), ("X-Gitlab-Event", "Push Hook")];
    let posts: [(&str, Headers, u16, &str); 6] = [
        ("stripe", &[("Stripe-Signature", &stripe)], 202, "invoice.paid"),
        ("slack", &slack_headers, 200, "message"),
        ("shopify", &shop, 200, "orders/create"),
        ("paddle", &[("Paddle-Signature", &paddle)], 200, "paid"),
        ("apikey", &[("X-Key", "s3cret")], 202, ""),
        ("gitlab", &gitlab, 202, "Push Hook"),
    ];
    for (name, headers, wanted, kind) in posts {
        let answer = daemon.post(&format!("/in/{name}"), headers, body);
        assert_eq!(answer.status, wanted, "{name}: {}", String::from_utf8_lossy(&answer.body));
        let event = daemon.lines(&["event", "list", "--source", name]).remove(0);
        assert_eq!(event["type"], kind, "{name}");
        what_lacks_the_proof_is_refused(&daemon, name, headers, body);
    }
    assert!(!daemon.log_text().contains("s3cret"), "a secret stands in the log");
}

/// Without the headers, and with another body where the proof covers it.
fn what_lacks_the_proof_is_refused(daemon: &Daemon, name: &str, headers: Headers, body: &[u8]) {
    let path = format!("/in/{name}");
    let refused = daemon.post(&path, &[], body);
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (401, Some("application/problem+json")),
        "{name}"
    );

    let changed = daemon.post(&path, headers, b"{}");
    let covers_the_body = !matches!(name, "apikey" | "gitlab");
    assert_eq!(
        changed.status == 401,
        covers_the_body,
        "{name} with another body: {}",
        changed.status
    );
}

#[test]
fn handshakes_are_answered_and_leave_nothing() {
    let home = Home::new();
    let daemon = home.start();
    let secret = ["--secret", "s3cret"];
    for name in ["okta", "intercom", "mandrill", "mailchimp", "slack"] {
        source(&daemon, name, &secret);
    }
    source(
        &daemon,
        "cloudevents",
        &["--secret", "s3cret", "--set", "allowed_origins=events.example"],
    );
    source(&daemon, "braintree", &["--secret", "private", "--set", "public_key=public"]);
    source(&daemon, "github", &secret);

    let okta = [("Authorization", "s3cret"), ("X-Okta-Verification-Challenge", "ch4")];
    let (status, body, _) = ask(&daemon, "GET", "/in/okta", &okta);
    assert_eq!(
        (status, serde_json::from_slice::<Value>(&body).expect("JSON")),
        (200, json!({"verification": "ch4"}))
    );
    assert_eq!(ask(&daemon, "GET", "/in/okta", &okta[1..]).0, 401, "a challenge without the key");

    assert_eq!(ask(&daemon, "HEAD", "/in/intercom", &[]).0, 200);
    assert_eq!(ask(&daemon, "HEAD", "/in/mandrill", &[]).0, 200);
    assert_eq!(ask(&daemon, "GET", "/in/mailchimp?secret=s3cret", &[]).0, 200);
    assert_eq!(ask(&daemon, "GET", "/in/mailchimp?secret=other", &[]).0, 401);

    let asks_for = |origin| [("WebHook-Request-Origin", origin)];
    let consent = ask(&daemon, "OPTIONS", "/in/cloudevents", &asks_for("events.example"));
    assert!(consent.2.contains("webhook-allowed-origin: events.example"), "{consent:?}");
    let withheld = ask(&daemon, "OPTIONS", "/in/cloudevents", &asks_for("evil.example"));
    assert!(!withheld.2.contains("webhook-allowed-origin"), "{withheld:?}");

    let challenge = "/in/braintree?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53";
    let (status, body, _) = ask(&daemon, "GET", challenge, &[]);
    assert!(
        status == 200 && body.starts_with(b"public|"),
        "{status} {}",
        String::from_utf8_lossy(&body)
    );
    slack_has_its_challenge_back(&daemon);

    for (method, path) in [
        ("GET", "/in/github"),
        ("PUT", "/in/okta"),
        ("GET", "/in/intercom"),
        ("OPTIONS", "/in/slack"),
    ] {
        let (status, _, headers) = ask(&daemon, method, path, &[]);
        assert!(
            status == 405 && headers.contains("allow: POST"),
            "{method} {path}: {status} {headers}"
        );
    }

    assert_eq!(daemon.json(&["status"])["events"], 0, "a handshake is not an event");
}

/// The answer to a request without a body: its status, its body and its headers.
fn ask(daemon: &Daemon, method: &str, path: &str, headers: Headers) -> (u16, Vec<u8>, String) {
    let mut client = daemon.client();
    let head = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n");
    client.send_raw(request.as_bytes()).expect("sent");

    if method == "HEAD" {
        let mut all = String::new();
        client.read_all(&mut all);
        return (all.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0), Vec::new(), all);
    }
    let answer = client.read_response().expect("an answer");
    let headers = answer.headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
    (answer.status, answer.body, headers)
}

fn slack_has_its_challenge_back(daemon: &Daemon) {
    let (at, challenge) = (now(), br#"{"type":"url_verification","challenge":"3eZbrw1a"}"#);
    let signed =
        format!("v0={}", hex(&sha256("s3cret", &[b"v0:", at.as_bytes(), b":", challenge])));
    let slack =
        [("X-Slack-Signature", signed.as_str()), ("X-Slack-Request-Timestamp", at.as_str())];
    let answer = daemon.post("/in/slack", &slack, challenge);
    assert!(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains("3eZbrw1a"));
}

#[test]
fn the_operator_learns_why_and_the_sender_nothing() {
    let home = Home::new();
    let daemon = home.start();
    source(&daemon, "github", &["--secret", "one"]);
    daemon.json(&["source", "rotate-secret", "github", "--secret", "two"]);
    assert!(daemon.json(&["source", "show", "github"]).get("refused").is_none());
    source(&daemon, "stripe", &["--secret", "whsec_s3cret"]);

    let wrong = signature::github("three", b"{}");
    let mut answers: Vec<Vec<u8>> = Vec::new();
    answers.push(daemon.post("/in/github", &[("X-Hub-Signature-256", &wrong)], b"{}").body);
    let shown = daemon.json(&["source", "show", "github"]);
    assert_eq!(shown["refused"], json!({"mismatch": 1}));
    assert!(text(&shown, "last_refusal").contains("either of 2 secrets"), "{shown}");

    answers.push(daemon.post("/in/github", &[], b"{}").body);
    answers.push(daemon.post("/in/github", &[("X-Hub-Signature-256", "sha1=00")], b"{}").body);
    let shown = daemon.json(&["source", "show", "github"]);
    assert_eq!(shown["refused"], json!({"malformed": 1, "mismatch": 1, "missing": 1}));

    let old = (now().parse::<u64>().expect("a time") - 412).to_string();
    let stale =
        format!("t={old},v1={}", hex(&sha256("whsec_s3cret", &[old.as_bytes(), b".", b"{}"])));
    answers.push(daemon.post("/in/stripe", &[("Stripe-Signature", &stale)], b"{}").body);
    let shown = daemon.json(&["source", "show", "stripe"]);
    assert_eq!(shown["refused"], json!({"stale": 1}));
    assert!(text(&shown, "last_refusal").contains("s old, at most 300"), "{shown}");
    daemon.await_log("s old, at most 300");

    assert!(answers.windows(2).all(|w| w[0] == w[1]), "the answers tell the cases apart");
    let status = daemon.json(&["status"]);
    assert_eq!((&status["events"], &status["refused"]["mismatch"]), (&json!(0), &json!(1)));
    let people = daemon.done(&["source", "show", "stripe"]).stdout;
    assert!(people.contains("last_refusal"), "{people}");
}
