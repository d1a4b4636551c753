//! Every provider comes in, proven: the vectors through the operator's door, and posts, handshakes
//! and batches over the ingress.

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
        let said = daemon.json(&["source", "check", &name, "--request", &file, "--at", &at]);

        if said["accepted"] != Value::Bool(case["expected"] == "accept") {
            wrong.push(format!("{what}: {} is wanted, got {said}", case["expected"]));
        }
        if said["accepted"] == false && text(&said, "reason").is_empty() {
            wrong.push(format!("{what}: refused without a reason"));
        }
        if let Some(expected) = case.get("expected_response") {
            wrong.extend(
                differs(expected, &said["response"]).into_iter().map(|d| format!("{what}: {d}")),
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

    let body =
        br#"{"id":"evt_1","type":"invoice.paid","event_id":"Ev1","event_type":"paid","event":{"type":"message"}}"#;
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
    let posts: [(&str, Headers, u16, &str); 6] = [
        ("stripe", &[("Stripe-Signature", &stripe)], 202, "invoice.paid"),
        ("slack", &slack_headers, 200, "message"),
        ("shopify", &shop, 200, "orders/create"),
        ("paddle", &[("Paddle-Signature", &paddle)], 200, "paid"),
        ("apikey", &[("X-Key", "s3cret")], 202, ""),
        (
            "gitlab",
            &[("X-Gitlab-Token", "s3cret"), ("X-Gitlab-Event", "Push Hook")],
            202,
            "Push Hook",
        ),
    ];

    for (name, headers, wanted, kind) in posts {
        let path = format!("/in/{name}");
        let answer = daemon.post(&path, headers, body);
        assert_eq!(answer.status, wanted, "{name}: {}", String::from_utf8_lossy(&answer.body));
        let event = daemon.lines(&["event", "list", "--source", name]).remove(0);
        assert_eq!(event["type"], kind, "{name}");

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
    assert!(!daemon.log_text().contains("s3cret"), "a secret stands in the log");
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

    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut client = daemon.client();
        let head = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect::<String>();
        client
            .send_raw(
                format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n")
                    .as_bytes(),
            )
            .expect("sent");
        if method == "HEAD" {
            let mut all = String::new();
            client.read_all(&mut all);
            return (all.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0), Vec::new(), all);
        }
        let answer = client.read_response().expect("an answer");
        let headers = answer.headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
        (answer.status, answer.body, headers)
    };

    let okta = [("Authorization", "s3cret"), ("X-Okta-Verification-Challenge", "ch4")];
    let (status, body, _) = ask("GET", "/in/okta", &okta);
    assert_eq!(
        (status, serde_json::from_slice::<Value>(&body).expect("JSON")),
        (200, json!({"verification": "ch4"}))
    );
    assert_eq!(ask("GET", "/in/okta", &okta[1..]).0, 401, "a challenge without the key");

    assert_eq!(ask("HEAD", "/in/intercom", &[]).0, 200);
    assert_eq!(ask("HEAD", "/in/mandrill", &[]).0, 200);
    assert_eq!(ask("GET", "/in/mailchimp?secret=s3cret", &[]).0, 200);
    assert_eq!(ask("GET", "/in/mailchimp?secret=other", &[]).0, 401);

    let consent =
        ask("OPTIONS", "/in/cloudevents", &[("WebHook-Request-Origin", "events.example")]);
    assert!(consent.2.contains("webhook-allowed-origin: events.example"), "{consent:?}");
    let withheld = ask("OPTIONS", "/in/cloudevents", &[("WebHook-Request-Origin", "evil.example")]);
    assert!(!withheld.2.contains("webhook-allowed-origin"), "{withheld:?}");
    let (status, body, _) =
        ask("GET", "/in/braintree?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", &[]);
    assert!(
        status == 200 && body.starts_with(b"public|"),
        "{status} {}",
        String::from_utf8_lossy(&body)
    );

    let (at, challenge) = (now(), br#"{"type":"url_verification","challenge":"3eZbrw1a"}"#);
    let signed =
        format!("v0={}", hex(&sha256("s3cret", &[b"v0:", at.as_bytes(), b":", challenge])));
    let slack =
        [("X-Slack-Signature", signed.as_str()), ("X-Slack-Request-Timestamp", at.as_str())];
    let answer = daemon.post("/in/slack", &slack, challenge);
    assert!(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains("3eZbrw1a"));

    for (method, path) in [
        ("GET", "/in/github"),
        ("PUT", "/in/okta"),
        ("GET", "/in/intercom"),
        ("OPTIONS", "/in/slack"),
    ] {
        let (status, _, headers) = ask(method, path, &[]);
        assert!(
            status == 405 && headers.contains("allow: POST"),
            "{method} {path}: {status} {headers}"
        );
    }

    assert_eq!(daemon.json(&["status"])["events"], 0, "a handshake is no event");
}

#[test]
fn the_operator_is_told_why_and_the_sender_nothing() {
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

/// A key of a sender that signs as SendGrid does, and its public half as SendGrid shows it.
fn sendgrid_key() -> (ring::signature::EcdsaKeyPair, String) {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = ring::rand::SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random)
        .expect("a key");
    // SubjectPublicKeyInfo: id-ecPublicKey, prime256v1, then the uncompressed point.
    let mut spki =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            .to_vec();
    spki.extend_from_slice(pair.public_key().as_ref());
    (pair, STANDARD.encode(spki))
}

fn sendgrid_headers(
    pair: &ring::signature::EcdsaKeyPair,
    body: &[u8],
) -> [(&'static str, String); 2] {
    let at = now();
    let signed = pair
        .sign(&ring::rand::SystemRandom::new(), &[at.as_bytes(), body].concat())
        .expect("a signature");
    [
        ("X-Twilio-Email-Event-Webhook-Signature", STANDARD.encode(signed.as_ref())),
        ("X-Twilio-Email-Event-Webhook-Timestamp", at),
    ]
}

#[test]
fn a_batch_becomes_an_event_for_each_element() {
    let home = Home::new();
    let daemon = home.start();
    let (pair, public) = sendgrid_key();
    let key = home.write("public", &public);
    daemon.json(&[
        "source",
        "create",
        "mail",
        "--verify",
        "sendgrid",
        "--public-key-file",
        &key,
        "--split",
    ]);
    daemon.json(&["source", "create", "whole", "--verify", "sendgrid", "--public-key-file", &key]);
    let body = b"[{\"event\":\"delivered\",\"sg_event_id\":\"a\"},\r\n{\"event\":\"open\",\"sg_event_id\":\"b\"}]\r\n";
    let signed = sendgrid_headers(&pair, body);
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = daemon.post("/in/mail", &headers, body);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let said = answer.json();
    let ids: Vec<&str> =
        said["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert_eq!((ids.len(), Some(ids[0])), (2, said["id"].as_str()));
    let shown: Vec<Value> = ids.iter().map(|id| daemon.json(&["event", "show", id])).collect();
    assert_eq!((&shown[0]["type"], &shown[1]["type"]), (&json!("delivered"), &json!("open")));
    let first = STANDARD.decode(text(&shown[0], "body_base64")).expect("base64");
    assert_eq!(first, br#"{"event":"delivered","sg_event_id":"a"}"#);
    assert_eq!(shown[0]["headers"]["content-type"], "application/json");

    let again = daemon.post("/in/mail", &headers, body).json();
    assert_eq!((&again["ids"], &again["duplicate"]), (&said["ids"], &json!(true)));
    let next =
        b"[{\"event\":\"open\",\"sg_event_id\":\"b\"},{\"event\":\"click\",\"sg_event_id\":\"c\"}]";
    let signed = sendgrid_headers(&pair, next);
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let partly = daemon.post("/in/mail", &headers, next).json();
    assert_eq!(partly["ids"][0], said["ids"][1], "the element that came before is known");
    assert!(partly.get("duplicate").is_none(), "one of them is new");
    assert_eq!(daemon.json(&["status"])["events"], 3);
    assert_eq!(
        daemon.post("/in/mail", &headers, b"[{\"event\":\"x\"}]").status,
        401,
        "not one of an unproven batch"
    );

    assert!(
        daemon.post("/in/whole", &headers, next).json().get("ids").is_none(),
        "without --split it is one event"
    );
    assert_eq!(daemon.json(&["status"])["events"], 4);
    let many = format!("[{}]", vec!["{}"; 5000].join(","));
    let signed = sendgrid_headers(&pair, many.as_bytes());
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(daemon.post("/in/mail", &headers, many.as_bytes()).status, 413);
    assert_eq!(daemon.json(&["status"])["events"], 4);
}

#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all_after_a_crash() {
    const SIZE: usize = 40;
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "ce", "--verify", "cloudevents", "--secret", "t", "--split"]);
    let addr = daemon.addr;

    let sender = std::thread::spawn(move || {
        let mut client = super::support::Client::connect(addr).expect("connected");
        let headers =
            [("Authorization", "Bearer t"), ("Content-Type", "application/cloudevents-batch+json")];
        for batch in 0.. {
            let one = |n| json!({"specversion": "1.0", "type": format!("b{batch}"), "source": "/s", "id": format!("{batch}-{n}")});
            let body = Value::Array((0..SIZE).map(one).collect()).to_string();
            match client.post("/in/ce", &headers, body.as_bytes()) {
                Ok(answer) if answer.status == 202 => {}
                _ => return batch,
            }
        }
        unreachable!("the daemon is killed")
    });

    super::support::until("some batches", super::support::SOON, || {
        (daemon.json(&["status"])["events"].as_u64() > Some(5 * SIZE as u64)).then_some(())
    });
    daemon.kill();
    let answered: usize = sender.join().expect("no panic");
    let daemon = home.start();

    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for event in daemon.lines(&["event", "list", "--limit", "1000000"]) {
        *counts.entry(text(&event, "type").to_owned()).or_default() += 1;
    }

    assert!(
        (answered..=answered + 1).contains(&counts.len()),
        "{answered} were answered, {} are there",
        counts.len()
    );
    assert!(counts.values().all(|n| *n == SIZE), "a part of a batch is there: {counts:?}");
}

#[test]
fn a_bin_takes_anything_for_a_while() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["bin", "create", "--ttl", "1h"]);
    let (name, path) = (text(&made, "name").to_owned(), text(&made, "path").to_owned());
    assert!(path.starts_with("/in/") && path.len() > 30 && !path.contains(&name), "{path}");
    let mut tail = daemon.ctl().spawn(&["--json", "tail", "-f", "--source", &name]);
    let lines =
        std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().expect("a pipe")));
    let (sender, followed) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It follows from some moment on, which is not told: something is sent until it sees it.
    let seen = super::support::until("tail to see something", super::support::SOON, || {
        daemon.post(&path, &[], b"warm up");
        followed.try_recv().ok()
    });
    assert!(seen.contains(&name), "{seen}");
    let mut client = daemon.client();
    for method in ["GET", "PUT", "PATCH", "DELETE", "POST", "PURGE"] {
        let answer = client
            .request(method, &format!("{path}?q=a&empty"), &[("X-Thing", method)], b"any body")
            .expect("an answer");
        assert_eq!(answer.status, 200, "{method}: {}", String::from_utf8_lossy(&answer.body));
        assert!(String::from_utf8_lossy(&answer.body).contains("Success!"));
    }
    let events = daemon.lines(&["event", "list", "--source", &name, "--limit", "6"]);
    let shown: Vec<Value> =
        events.iter().map(|event| daemon.json(&["event", "show", text(event, "id")])).collect();
    let put = shown
        .iter()
        .find(|event| text(event, "request_line").starts_with("PUT "))
        .expect("the PUT");
    assert_eq!(text(put, "request_line"), format!("PUT /in/{name}?q=a&empty"));
    assert_eq!(put["headers"]["x-thing"], "PUT");
    assert!(text(put, "remote").starts_with("127.0.0.1:"));
    assert_eq!(STANDARD.decode(text(put, "body_base64")).expect("base64"), b"any body");
    let _ = tail.kill();
    let _ = tail.wait();
    assert_eq!(
        daemon.post(&format!("/in/{name}"), &[], b"").status,
        404,
        "only the unguessable path"
    );

    let short = daemon.json(&["bin", "create", "short", "--ttl", "1s"]);
    let path = text(&short, "path").to_owned();
    super::support::until("the bin's end", super::support::SOON, || {
        (daemon.post(&path, &[], b"").status == 404).then_some(())
    });
    super::support::until("the bin to be deleted", super::support::SOON, || {
        daemon.lines(&["bin", "list"]).iter().all(|bin| bin["name"] != "short").then_some(())
    });
}

#[test]
fn a_bin_has_a_small_budget_of_its_own() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["bin", "create"]);
    let path = text(&made, "path").to_owned();
    daemon.json(&["source", "create", "open"]);

    let large = vec![b'x'; 1 << 20];
    let mut client = daemon.client();
    let taken = (0..20)
        .take_while(|_| client.post(&path, &[], &large).expect("an answer").status == 200)
        .count();
    assert_eq!(taken, 15, "16 MiB with what each event takes beside its body");

    let full = daemon.post(&path, &[], &large);
    assert_eq!((full.status, full.header("retry-after")), (429, Some("3600")));
    assert_eq!(daemon.post(&path, &[], b"small").status, 200);
    daemon.accept("/in/open", &[], &large);

    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.post(&path, &[], &large).status, 429, "the budget is remembered");

    let other = daemon.json(&["bin", "create"]);
    let other = text(&other, "path").to_owned();
    assert_eq!(daemon.post(&other, &[], &large).status, 200, "each bin has its own");
    let mut client = daemon.client();
    let taken = (0..1100)
        .take_while(|_| client.post(&other, &[], b"").expect("an answer").status == 200)
        .count();
    assert_eq!(taken, 999);
}
