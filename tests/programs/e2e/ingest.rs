//! Events come in: what is accepted, how its type and identity are found, and what is refused with
//! which words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::support::{Home, Receiver, SOON, payloads, sha256, signature, until};
use super::{open_source, quick_endpoint, text};

#[test]
fn real_github_payloads_come_in_signed_and_go_out_bit_for_bit() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    daemon.json(&[
        "source",
        "create",
        "gh",
        "--verify",
        "github",
        "--secret",
        "It's a Secret to Everybody",
    ]);
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);

    let mut client = daemon.client();
    let mut wanted = Vec::new();
    for (n, payload) in payloads::github().into_iter().enumerate() {
        let signed = signature::github("It's a Secret to Everybody", &payload.body);
        let guid = format!("guid-{n}");
        let headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", payload.event.as_str()),
            ("X-GitHub-Delivery", guid.as_str()),
            ("X-Hub-Signature-256", signed.as_str()),
        ];

        let answer = client.post("/in/gh", &headers, &payload.body).expect("an answer");
        assert_eq!(answer.status, 202, "payload {n}: {}", String::from_utf8_lossy(&answer.body));
        let id = text(&answer.json(), "id").to_owned();
        assert!(id.starts_with("evt_"), "{id}");
        assert_eq!(answer.header("webhook-id"), Some(id.as_str()));
        wanted.push((id, payload));
    }

    let seen = receiver.wait("/hook", wanted.len(), SOON);
    for (id, payload) in &wanted {
        let request =
            seen.iter().find(|s| s.id() == id).unwrap_or_else(|| panic!("{id} was not delivered"));
        assert_eq!(request.sha256, sha256(&payload.body), "{id} came out other than it went in");
        assert_eq!(request.header("hookbox-type"), Some(payload.event.as_str()));
        assert_eq!(
            request.header("x-github-event"),
            Some(payload.event.as_str()),
            "a preset forwards headers"
        );
    }

    daemon.await_count("delivered", wanted.len() as u64);
    let shown = daemon.json(&["event", "show", &wanted[7].0]);
    assert_eq!(text(&shown, "type"), wanted[7].1.event);
    assert_eq!(STANDARD.decode(text(&shown, "body_base64")).expect("base64"), wanted[7].1.body);
}

#[test]
fn a_wrong_signature_is_401_and_leaves_no_event() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "gh", "--verify", "github", "--secret", "right"]);

    let body = b"{\"zen\":\"Speak like a human.\"}";
    let good = signature::github("right", body);
    let cases: [(&str, Vec<(&str, String)>); 6] = [
        ("missing", vec![]),
        ("of another secret", vec![("X-Hub-Signature-256", signature::github("wrong", body))]),
        ("of another body", vec![("X-Hub-Signature-256", signature::github("right", b"{}"))]),
        ("cut short", vec![("X-Hub-Signature-256", good[..good.len() - 2].to_owned())]),
        ("not hex", vec![("X-Hub-Signature-256", "sha256=zz".to_owned())]),
        ("empty", vec![("X-Hub-Signature-256", String::new())]),
    ];

    let mut answers = Vec::new();
    for (what, headers) in &cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = daemon.post("/in/gh", &headers, body);
        assert_eq!(answer.status, 401, "a signature {what}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "a signature {what}"
        );
        answers.push(answer.body);
    }

    assert!(answers.windows(2).all(|w| w[0] == w[1]), "the answer tells which part was wrong");
    assert_eq!(daemon.json(&["status"])["events"], 0);
    daemon.accept("/in/gh", &[("X-Hub-Signature-256", &good)], body);
}

#[test]
fn standard_webhooks_come_in_with_their_id_and_old_ones_do_not() {
    let home = Home::new();
    let daemon = home.start();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    daemon.json(&["source", "create", "sw", "--verify", "standard-webhooks", "--secret", secret]);

    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let body = b"{\"type\":\"contact.created\"}";
    let send = |id: &str, at: u64| {
        let at = at.to_string();
        let signed = signature::standard(secret, id, &at, body);
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signed.as_str()),
        ];
        daemon.post("/in/sw", &headers, body)
    };

    let first = send("msg_1", now);
    assert_eq!(first.status, 202, "{}", String::from_utf8_lossy(&first.body));
    assert_eq!(send("msg_2", now - 3600).status, 401, "an hour old");
    let again = send("msg_1", now);
    assert_eq!((again.status, again.json()["duplicate"].as_bool()), (202, Some(true)));
    assert_eq!(again.json()["id"], first.json()["id"]);
}

#[test]
fn a_duplicate_gets_the_first_id_also_after_a_crash() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let first = daemon.post("/in/in", &[("Idempotency-Key", "order-17")], b"one");
    let id = text(&first.json(), "id").to_owned();
    assert!(first.json().get("duplicate").is_none_or(|d| d == false));

    let second = daemon.post("/in/in", &[("Idempotency-Key", "order-17")], b"one");
    assert_eq!(second.status, 202);
    assert_eq!(second.json()["id"], id.as_str());
    assert_eq!(second.json()["duplicate"], true);

    daemon.kill();
    let daemon = home.start();
    let third = daemon.post("/in/in", &[("Idempotency-Key", "order-17")], b"one");
    assert_eq!(
        (third.json()["id"].as_str(), third.json()["duplicate"].as_bool()),
        (Some(id.as_str()), Some(true))
    );
    assert_eq!(daemon.json(&["status"])["events"], 1);

    let shown = daemon.json(&["event", "show", &id]);
    assert_eq!(shown["duplicates"], 2);
    assert_eq!(STANDARD.decode(text(&shown, "body_base64")).expect("base64"), b"one");
}

#[test]
fn the_same_key_from_many_at_once_is_one_event() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let threads: Vec<_> = (0..16)
        .map(|_| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                let send = |_| {
                    client
                        .post("/in/in", &[("webhook-id", "same")], b"x")
                        .expect("an answer")
                        .json()
                };
                (0..20)
                    .map(send)
                    .map(|v| v["id"].as_str().expect("an id").to_owned())
                    .collect::<Vec<_>>()
            })
        })
        .collect();

    let mut ids: Vec<String> =
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(daemon.json(&["status"])["events"], 1);
}

#[test]
fn type_and_key_come_from_headers_fields_and_cloudevents() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "plain");
    daemon.json(&[
        "source",
        "create",
        "byhead",
        "--verify",
        "none",
        "--type-header",
        "X-Kind",
        "--id-header",
        "X-Id",
    ]);
    daemon.json(&[
        "source",
        "create",
        "byfield",
        "--verify",
        "none",
        "--type-field",
        "/a/kind",
        "--id-field",
        "/n",
    ]);
    let kind_of = |id: &str| text(&daemon.json(&["event", "show", id]), "type").to_owned();

    let id = daemon.accept("/in/byhead", &[("X-Kind", "paid"), ("X-Id", "1")], b"{}");
    assert_eq!(kind_of(&id), "paid");
    assert_eq!(daemon.post("/in/byhead", &[("X-Id", "1")], b"{}").json()["duplicate"], true);

    let id = daemon.accept("/in/byfield", &[], br#"{"a":{"kind":"moved"},"n":42}"#);
    assert_eq!(kind_of(&id), "moved");
    assert_eq!(
        daemon.post("/in/byfield", &[], br#"{"a":{"kind":"moved"},"n":42}"#).json()["duplicate"],
        true
    );
    assert!(
        daemon.post("/in/byfield", &[], br#"{"n":42}"#).json().get("duplicate").is_none(),
        "it says something else"
    );

    let binary = [
        ("ce-type", "com.example.sent"),
        ("ce-id", "A-1"),
        ("ce-source", "/x"),
        ("ce-specversion", "1.0"),
    ];
    let id = daemon.accept("/in/plain", &binary, b"{}");
    assert_eq!(kind_of(&id), "com.example.sent");
    assert_eq!(daemon.post("/in/plain", &binary, b"{}").json()["duplicate"], true);

    let whole = br#"{"specversion":"1.0","type":"com.example.structured","source":"/y","id":"B-2","data":{}}"#;
    let id = daemon.accept("/in/plain", &[("Content-Type", "application/cloudevents+json")], whole);
    assert_eq!(kind_of(&id), "com.example.structured");
}

#[test]
fn bodies_are_opaque() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &[]);

    let all_bytes: Vec<u8> = (0..=255).collect();
    let deep = [vec![b'['; 50_000], vec![b']'; 50_000]].concat();
    let sizes = [0, 1, 16_383, 16_384, 16_385, 131_072, 1 << 20];
    let mut bodies =
        vec![all_bytes, deep, b"{\"n\":1e999999}".to_vec(), b"\xff\xfe not utf-8".to_vec()];
    bodies.extend(sizes.iter().map(|&n| vec![b'z'; n]));

    let headers =
        [("Content-Type", "application/x-thing; charset=none"), ("Content-Encoding", "gzip")];
    let ids: Vec<String> = bodies.iter().map(|b| daemon.accept("/in/in", &headers, b)).collect();
    let seen = receiver.wait("/", bodies.len(), SOON);
    for (id, body) in ids.iter().zip(&bodies) {
        let request = seen.iter().find(|s| s.id() == id).expect("delivered");
        assert_eq!(request.sha256, sha256(body), "a body of {} bytes", body.len());
        assert_eq!(request.header("content-type"), Some("application/x-thing; charset=none"));
    }

    let blobs =
        walk(&home.data()).into_iter().filter(|p| p.components().any(|c| c.as_os_str() == "blobs"));
    assert_eq!(blobs.filter(|p| p.is_file()).count(), 0, "sled made blob files");
}

#[test]
fn too_large_is_413_announced_or_not() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "small", "--verify", "none", "--max-body", "1000"]);
    daemon.accept("/in/small", &[], &[b'x'; 1000]);
    let answer = daemon.post("/in/small", &[], &[b'x'; 1001]);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let mut client = daemon.client();
    let head = "POST /in/small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "y".repeat(1024));
    client.send_raw(format!("{head}{chunk}0\r\n\r\n").as_bytes()).expect("sent");
    assert_eq!(client.read_response().expect("an answer").status, 413);
    let mut client = daemon.client();
    client
        .send_raw(b"POST /in/small HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n")
        .expect("sent");
    assert_eq!(client.read_response().expect("an answer without the body").status, 413);
    assert_eq!(daemon.json(&["status"])["events"], 1);
}

#[test]
fn a_preset_takes_what_its_provider_sends_at_most() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["source", "create", "gh", "--verify", "github", "--secret", "s"]);
    assert_eq!(made["max_body"], "32MiB");
    let body = format!("{{\"commits\":\"{}\"}}", "x".repeat(2_000_000));
    let signed = signature::github("s", body.as_bytes());
    daemon.accept(
        "/in/gh",
        &[("X-GitHub-Event", "push"), ("X-Hub-Signature-256", &signed)],
        body.as_bytes(),
    );

    // A limit that somebody chose stays, whatever the scheme; one that nobody chose goes with it.
    assert_eq!(daemon.json(&["source", "update", "gh", "--max-body", "2MiB"])["max_body"], "2MiB");
    assert_eq!(
        daemon.json(&["source", "update", "gh", "--reset", "max_body"])["max_body"],
        "32MiB"
    );
    let open = daemon.json(&["source", "create", "open", "--verify", "none"]);
    assert_eq!(open["max_body"], "1MiB");
}

#[test]
fn wrong_places_and_methods_have_their_status() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.json(&["source", "create", "far", "--verify", "none", "--allow", "10.0.0.0/8"]);

    let mut client = daemon.client();
    let mut status = |method: &str, path: &str| {
        let answer = client.request(method, path, &[], b"").expect("an answer");
        if answer.status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{method} {path}"
            );
            assert_eq!(answer.json()["status"], answer.status, "{method} {path}");
        }
        answer.status
    };

    assert_eq!(status("POST", "/in/nobody"), 404);
    assert_eq!(status("POST", "/elsewhere"), 404);
    assert_eq!(status("POST", "/"), 404);
    assert_eq!(status("PUT", "/in/in"), 405);
    assert_eq!(status("DELETE", "/in/in"), 405);
    assert_eq!(status("POST", "/in/far"), 403);
    assert!(matches!(status("POST", "/in/..%2fin"), 400 | 404));
    assert!(matches!(status("POST", "/in/%00"), 400 | 404));
    assert_eq!(status("GET", "/healthz"), 200);
    assert_eq!(status("GET", "/readyz"), 200);
    assert_eq!(status("POST", "/in/in"), 202);

    let long = format!("/in/{}", "x".repeat(9000));
    assert_eq!(daemon.post(&long, &[], b"").status, 414);
    assert_eq!(daemon.json(&["status"])["events"], 1);
}

#[test]
fn only_who_has_the_token_may_post() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["source", "create", "hidden", "--verify", "none", "--token"]);
    let path = text(&made, "path").to_owned();
    assert!(path.starts_with("/in/") && path.len() > 20, "{path}");
    assert_eq!(daemon.post("/in/hidden", &[], b"x").status, 404);
    daemon.accept(&path, &[], b"x");
}

#[test]
fn an_event_can_be_sent_by_hand() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &[]);
    let send = ["event", "send", "--source", "in", "--type", "test.ping", "--id", "k1"];
    let sent = daemon.json(&[&send[..], &["--data", "{\"a\":1}"]].concat());
    let seen = receiver.wait("/", 1, SOON);
    assert_eq!(seen[0].id(), text(&sent, "id"));
    assert_eq!(seen[0].body, b"{\"a\":1}");
    assert_eq!(seen[0].header("hookbox-type"), Some("test.ping"));
    let again = daemon.json(&[&send[..], &["--data", "{\"a\":1}"]].concat());
    assert_eq!(again["duplicate"], true);
    let done = daemon
        .ctl()
        .run_with_input(&["--json", "event", "send", "--source", "in", "-"], b"from stdin");
    done.expect(0);
    assert_eq!(receiver.wait("/", 2, SOON)[1].body, b"from stdin");
}

#[test]
fn nothing_of_a_request_is_accepted_before_it_is_whole() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut client = daemon.client();
    client
        .send_raw(b"POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        .expect("sent");
    drop(client);
    daemon.accept("/in/in", &[], b"whole");
    until("the half request to be gone", SOON, || {
        (daemon.asked("/v1/status")["events"] == 1).then_some(())
    });
    assert_eq!(daemon.lines(&["event", "list"]).len(), 1);
}

/// Every file and folder below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}
