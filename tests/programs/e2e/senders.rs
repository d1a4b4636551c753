//! What senders insist on: an answer, a handshake, a form; and what an operator sees of those that
//! are refused.

use super::support::{Home, Receiver, SOON, signature};
use super::{open_source, quick_endpoint, text};

#[test]
fn a_sender_gets_the_answer_and_the_handshake_that_it_insists_on() {
    let home = Home::new();
    let daemon = home.start();
    let answer = ["--answer", "200", "--answer-body", "[accepted]", "--answer-type", "text/plain"];
    let handshake = ["--set", "handshake=meta", "--set", "verify_token=mine"];
    let create = ["source", "create", "meta", "--verify", "none"];
    let made = daemon.json(&[&create[..], &answer[..], &handshake[..]].concat());
    assert_eq!((&made["answer"], &made["set"]["verify_token"]), (&200.into(), &"(hidden)".into()));

    let mut client = daemon.client();
    let asked = "/in/meta?hub.mode=subscribe&hub.verify_token=mine&hub.challenge=1158201444";
    let given = client.request("GET", asked, &[], b"").expect("an answer");
    assert_eq!((given.status, given.body.as_slice()), (200, &b"1158201444"[..]));
    let wrong = asked.replace("mine", "yours");
    assert_eq!(client.request("GET", &wrong, &[], b"").expect("an answer").status, 401);

    let given = client.post("/in/meta", &[], b"{}").expect("an answer");
    assert_eq!((given.status, given.body.as_slice()), (200, &b"[accepted]"[..]));
    assert_eq!(given.header("content-type"), Some("text/plain"));
    assert_eq!(daemon.lines(&["event", "list"]).len(), 1, "a handshake leaves no event");

    daemon.json(&[
        "source",
        "update",
        "meta",
        "--reset",
        "answer",
        "--reset",
        "answer-body",
        "--reset",
        "answer-type",
    ]);
    assert_eq!(client.post("/in/meta", &[], b"{}").expect("an answer").status, 202);
    let refused =
        daemon.ctl().run(&["source", "update", "meta", "--answer", "204", "--answer-body", "x"]);
    assert!(refused.expect(64).stderr.contains("an answer 204 has no body"));
}

#[test]
fn the_body_of_a_form_goes_out_and_decides_the_type() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    daemon.json(&[
        "source",
        "create",
        "form",
        "--verify",
        "none",
        "--body-from",
        "form:payload",
        "--type-field",
        "/action",
    ]);
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);

    let form = [("content-type", "application/x-www-form-urlencoded"), ("content-digest", "x")];
    let body = b"a=1&payload=%7B%22action%22%3A%22opened%22%7D";
    daemon.accept("/in/form", &form, body);
    let seen = receiver.wait("/app", 1, SOON);
    assert_eq!(seen[0].body, b"{\"action\":\"opened\"}");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    assert_eq!(seen[0].header("hookbox-type"), Some("opened"));
    assert_eq!(seen[0].header("content-digest"), None);
}

#[test]
fn a_bin_takes_every_path_below_its_own() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "plain");
    let bin = daemon.json(&["bin", "create"]);
    let path = text(&bin, "path");
    let mut client = daemon.client();
    for below in ["", "/", "/api/v1/orders%2F7?x=1"] {
        let target = format!("{path}{below}");
        assert_eq!(client.post(&target, &[], b"1").expect("an answer").status, 200, "{target}");
    }
    assert_eq!(client.post("/in/plain/below", &[], b"1").expect("an answer").status, 404);

    let events = daemon.lines(&["event", "list"]);
    let shown = daemon.json(&["event", "show", text(&events[0], "id")]);
    let line = text(&shown, "request_line");
    let name = text(&bin, "name");
    assert_eq!(line, format!("POST /in/{name}/api/v1/orders%2F7?x=1"));
    assert_eq!(events.len(), 3);
}

#[test]
fn refused_requests_are_kept_where_it_is_asked_for_and_checked_again() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&[
        "source",
        "create",
        "gh",
        "--verify",
        "github",
        "--secret",
        "wrong",
        "--keep-refused",
        "2",
    ]);
    let body = b"{\"zen\":\"x\"}";
    let signed = signature::github("right", body);
    let mut client = daemon.client();
    for n in 0..3 {
        let n = n.to_string();
        let headers = [
            ("x-hub-signature-256", signed.as_str()),
            ("x-github-event", "ping"),
            ("authorization", "Bearer hunter2"),
            ("x-n", n.as_str()),
        ];
        let answer = client.post("/in/gh?token=hunter2", &headers, body).expect("an answer");
        assert_eq!(answer.status, 401);
    }

    let kept = daemon.lines(&["source", "refused", "gh"]);
    let numbers: Vec<&str> = kept.iter().map(|one| text(&one["headers"], "x-n")).collect();
    assert_eq!(numbers, ["2", "1"], "the last two, the newest first");
    assert_eq!((text(&kept[0], "kind"), text(&kept[0], "method")), ("mismatch", "POST"));
    assert!(!kept[0].to_string().contains("hunter2"), "{}", kept[0]);
    let table = daemon.done(&["source", "refused", "gh"]).stdout;
    assert!(table.contains("does not match"), "{table}");

    // The right secret, and what would have been.
    let number = kept[0]["number"].to_string();
    let check = ["source", "check", "gh", "--refused", &number];
    let refused = daemon.ctl().run(&check).expect(1).stdout;
    assert!(refused.starts_with("It would be refused: "), "{refused}");
    daemon.json(&["source", "update", "gh", "--secret", "right"]);
    let checked = daemon.json(&check);
    assert_eq!((&checked["accepted"], text(&checked, "type")), (&true.into(), "ping"));
    let gone = daemon.ctl().run(&["source", "check", "gh", "--refused", "99"]).expect(1);
    assert!(gone.stderr.contains("keeps no refused request 99"), "{}", gone.stderr);

    // A request as it goes over the wire.
    let raw = format!("POST /in/gh HTTP/1.1\nHost: h\nX-Hub-Signature-256: {signed}\n\n");
    let file = home.write("request", &(raw + std::str::from_utf8(body).expect("text")));
    assert_eq!(daemon.json(&["source", "check", "gh", "--request", &file])["accepted"], true);
}

#[test]
fn a_type_that_no_event_has_is_an_error_that_names_the_one_that_was_meant() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.json(&["event", "send", "--source", "in", "--type", "invoice.paid", "--data", "1"]);
    for list in ["event", "delivery", "dlq"] {
        let done = daemon.ctl().run(&[list, "list", "--type", "invoice.payd"]).expect(1);
        assert!(done.stderr.contains("did you mean 'invoice.paid'?"), "{}", done.stderr);
        daemon.ctl().run(&[list, "list", "--type", "invoice.pai?"]).expect(0);
        daemon.ctl().run(&[list, "list", "--type", "invoice.paid"]).expect(0);
    }
    let replay = ["replay", "--type", "invoice.payd", "--dry-run"];
    assert!(daemon.ctl().run(&replay).expect(1).stderr.contains("did you mean"));

    // One that somebody waits for is no mistake.
    daemon.json(&["endpoint", "create", "app", "--url", "pull:", "--types", "order.sent"]);
    daemon.ctl().run(&["event", "list", "--type", "order.sent"]).expect(0);
}

#[test]
fn schemes_are_explained_without_a_daemon_and_secrets_of_providers_are_not_made_up() {
    let home = Home::new();
    let ctl = home.ctl();
    let list = ctl.lines(&["source", "schemes"]);
    assert!(list.iter().any(|scheme| scheme["name"] == "github") && list.len() > 20);
    let shown = ctl.run(&["source", "schemes", "hmac"]).expect(0).stdout;
    for part in ["timestamp_unit", "--public-url", "example\n  hookboxctl source create app"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for change in ["create", "update"] {
        let listed = ctl.run(&["source", change, "x", "--verify", "help"]).expect(0).stdout;
        assert!(listed.starts_with("SCHEME ") && listed.contains("standard-webhooks"), "{listed}");
    }
    assert!(ctl.run(&["source", "schemes", "gitub"]).expect(1).stderr.contains("'github'"));

    let daemon = home.start();
    let made = ["source", "create", "pay", "--verify", "stripe", "--generate-secret"];
    let refused = daemon.ctl().run(&made).expect(64);
    assert!(refused.stderr.contains("creates the secret"), "{}", refused.stderr);
    // What an editor leaves around a secret is no part of it.
    let file = home.write("secret", "\u{feff} s3cret \r\n");
    let create = ["source", "create", "gh", "--verify", "github", "--secret-file", &file];
    let done = daemon.ctl().run(&create).expect(0);
    assert!(done.stderr.contains("byte order mark"), "{}", done.stderr);
    let signed = signature::github("s3cret", b"{}");
    let headers = [("x-hub-signature-256", signed.as_str())];
    assert_eq!(daemon.client().post("/in/gh", &headers, b"{}").expect("an answer").status, 202);
}
