//! The admin socket: the ctl's objects, tables, pages and exit codes, `tail`, and access to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::support::{Ctl, Daemon, Home, Receiver, SOON, Step, until};
use super::{delivery_in, open_source, quick_endpoint, text};

/// One request over the admin socket, as `curl --unix-socket` makes it.
fn over_socket(daemon: &Daemon, request: &str) -> String {
    let mut stream = UnixStream::connect(&daemon.socket).expect("the admin socket");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn objects_have_the_fields_that_scripts_rely_on() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let source = daemon.json(&["source", "create", "in", "--verify", "none"]);
    assert_eq!(
        (text(&source, "name"), text(&source, "path"), text(&source, "verify")),
        ("in", "/in/in", "none")
    );
    assert!(text(&source, "url").ends_with("/in/in"), "{source}");

    let endpoint =
        quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--from", "in", "--types", "*"]);
    assert_eq!((text(&endpoint, "name"), text(&endpoint, "state")), ("app", "active"));
    assert_eq!(text(&endpoint, "url"), receiver.url("/hook"));
    assert_eq!(
        (&endpoint["from"], &endpoint["types"]),
        (&serde_json::json!(["in"]), &serde_json::json!(["*"]))
    );

    let id = daemon.accept("/in/in", &[("X-One", "1")], b"12345");
    let delivery = delivery_in(&daemon, "app", "delivered");
    for field in ["id", "event", "endpoint", "state", "attempts", "due_at"] {
        assert!(delivery.get(field).is_some(), "no '{field}' in {delivery}");
    }

    let event = daemon.json(&["event", "list"]);
    assert_eq!((text(&event, "id"), text(&event, "source")), (id.as_str(), "in"));
    assert_eq!((event["size"].as_u64(), event["duplicates"].as_u64()), (Some(5), Some(0)));
    assert!(event["type"].is_string() && text(&event, "received_at").ends_with('Z'));
    assert!(event.get("body_base64").is_none(), "lists leave bodies out");

    let shown = daemon.json(&["event", "show", &id]);
    assert_eq!(text(&shown, "body_base64"), "MTIzNDU=");
    assert!(shown["headers"].to_string().to_lowercase().contains("x-one"), "{shown}");

    status_has_its_fields(&daemon.json(&["status"]));
    let verified = daemon.json(&["log", "verify"]);
    assert_eq!((&verified["ok"], verified["first"].as_u64()), (&Value::Bool(true), Some(1)));
    assert_eq!(verified["last"], verified["records"], "no gap: {verified}");
    assert_eq!(
        (verified["segments"].as_u64(), &verified["problems"]),
        (Some(1), &serde_json::json!([]))
    );
    assert!(!daemon.lines(&["log", "stat"]).is_empty());
}

fn status_has_its_fields(status: &Value) {
    assert_eq!(status["events"], 1);
    for state in ["pending", "in_flight", "delivered", "dead", "held"] {
        assert_eq!(
            status["deliveries"][state],
            u64::from(state == "delivered"),
            "{state}: {status}"
        );
    }
    for field in ["segments", "bytes", "quota_bytes"] {
        assert!(status["log"][field].is_u64(), "log.{field}: {status}");
    }
    assert!(status["uptime_s"].is_u64());
    assert_eq!(text(status, "version"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn people_get_tables_and_sentences() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);
    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 1);

    let commands: [&[&str]; 7] = [
        &["status"],
        &["source", "list"],
        &["endpoint", "list"],
        &["event", "list"],
        &["delivery", "list"],
        &["log", "stat"],
        &["log", "verify"],
    ];
    for args in commands {
        let shown = daemon.done(args).stdout;
        assert!(!shown.trim().is_empty(), "{args:?} says nothing");
        assert!(!shown.trim_start().starts_with('{'), "{args:?} speaks JSON to people: {shown}");
    }

    let table = daemon.done(&["endpoint", "list"]).stdout;
    assert!(table.contains("app") && table.contains("active"), "{table}");
}

#[test]
fn lists_page_newest_first_without_gaps_or_repeats() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    open_source(&daemon, "other");

    let mut client = daemon.client();
    let mut ids = Vec::new();
    for n in 0..130 {
        let path = if n % 10 == 0 { "/in/other" } else { "/in/in" };
        let answer = client.post(path, &[], format!("{n}").as_bytes()).expect("an answer");
        ids.push(text(&answer.json(), "id").to_owned());
    }
    ids.reverse();
    assert_eq!(daemon.lines(&["event", "list"]).len(), 50, "the default page");

    let mut found: Vec<String> = Vec::new();
    loop {
        let mut args = vec!["event", "list", "--limit", "40"];
        if let Some(last) = found.last() {
            args.extend(["--after", last.as_str()]);
        }
        let page = daemon.lines(&args);
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(|e| text(e, "id").to_owned()));
    }
    assert_eq!(found, ids);

    let all = daemon.lines(&["event", "list", "--limit", "100000"]);
    assert_eq!(all.len(), 130, "a limit may be more than a page of the daemon");
    assert_eq!(daemon.lines(&["event", "list", "--source", "other", "--limit", "100"]).len(), 13);
    assert!(daemon.lines(&["event", "list", "--until", "2001-01-01T00:00:00Z"]).is_empty());
    assert_eq!(
        daemon.lines(&["event", "list", "--since", "2001-01-01T00:00:00Z", "--limit", "7"]).len(),
        7
    );
}

#[test]
fn lists_of_names_are_paged_as_lists_of_ids_are() {
    let home = Home::new();
    let daemon = home.start();
    for n in 0..5 {
        open_source(&daemon, &format!("s{n}"));
        daemon.done(&["bin", "create", &format!("b{n}")]);
        quick_endpoint(&daemon, &format!("e{n}"), "http://127.0.0.1:9/", &[]);
    }

    let bins = || vec!["b4", "b3", "b2", "b1", "b0"];
    for (what, wanted) in [
        ("bin", bins()),
        ("endpoint", vec!["e4", "e3", "e2", "e1", "e0"]),
        ("source", vec!["b4", "s4", "b3", "s3", "b2", "s2", "b1", "s1", "b0", "s0"]),
    ] {
        let mut found: Vec<String> = Vec::new();
        loop {
            let mut args = vec![what, "list", "--limit", "2"];
            if let Some(last) = found.last() {
                args.extend(["--after", last.as_str()]);
            }
            let page = daemon.lines(&args);
            assert!(page.len() <= 2, "{what}: {page:?}");
            if page.is_empty() {
                break;
            }
            found.extend(page.iter().map(|row| text(row, "name").to_owned()));
        }
        assert_eq!(found, wanted, "{what}");
    }

    let refused = daemon.ctl().run(&["bin", "list", "--after", "nobody"]).expect(64);
    assert!(refused.stderr.contains("'nobody'"), "{}", refused.stderr);
}

#[test]
fn one_event_is_listed_and_small_numbers_are_no_times() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let ids: Vec<String> = (0..3).map(|_| daemon.accept("/in/in", &[], b"x")).collect();
    for event in [&ids[1][..], &ids[1][..24]] {
        let listed = daemon.lines(&["event", "list", "--event", event]);
        assert_eq!((listed.len(), text(&listed[0], "id")), (1, ids[1].as_str()), "{event}");
    }
    for command in [&["event", "list"][..], &["dlq", "retry"], &["replay", "--dry-run"], &["stats"]]
    {
        let refused = daemon.ctl().run(&[command, &["--since", "30"]].concat()).expect(64);
        assert!(refused.stderr.contains("write 30m for 30 minutes ago"), "{}", refused.stderr);
    }
}

#[test]
fn the_built_in_source_is_followed_and_nobody_elses() {
    let home = Home::new();
    let daemon = home.start();
    daemon.done(&["tail", "--source", "hookbox"]);
    let sent = daemon.ctl().run(&["event", "send", "--source", "hookbox", "--data", "x"]).expect(1);
    assert!(sent.stderr.contains("made by the daemon alone"), "{}", sent.stderr);
    let deleted = daemon.ctl().run(&["source", "delete", "hookbox"]).expect(1);
    assert!(deleted.stderr.contains("cannot be deleted"), "{}", deleted.stderr);
    let missing = daemon.ctl().run(&["tail", "--source", "hookbux"]).expect(1);
    assert!(missing.stderr.contains("hookbux"), "{}", missing.stderr);
}

#[test]
fn lists_reach_over_a_restart() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let old = daemon.accept("/in/in", &[], b"old");
    daemon.kill();
    let daemon = home.start();
    let new = daemon.accept("/in/in", &[], b"new");
    let listed: Vec<String> =
        daemon.lines(&["event", "list"]).iter().map(|e| text(e, "id").to_owned()).collect();
    assert_eq!(listed, [new, old]);
}

#[test]
fn exit_codes_tell_what_happened() {
    let home = Home::new();
    let daemon = home.start();
    daemon.ctl().run(&["status"]).expect(0);
    for args in
        [&["source", "show", "nobody"][..], &["event", "show", "evt_00000000000g0000000000000g"]]
    {
        let done = daemon.ctl().run(args).expect(1);
        assert_eq!(done.stderr.trim_end().lines().count(), 1, "one line: {}", done.stderr);
        assert!(done.stdout.is_empty());
    }
    open_source(&daemon, "in");
    daemon.ctl().run(&["source", "create", "in", "--verify", "none"]).expect(1);
    daemon.ctl().run(&["no-such-command"]).expect(64);
    daemon.ctl().run(&["event", "list", "--limit", "many"]).expect(64);
    daemon.ctl().run(&["--help"]).expect(0);
    let nowhere = Ctl::new(&home.path().join("nowhere.sock")).run(&["status"]).expect(69);
    assert!(nowhere.stderr.contains("nowhere.sock"), "{}", nowhere.stderr);
}

#[test]
fn tail_follows_what_passes() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Status(500)]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);

    let mut tail = daemon.ctl().spawn(&["--json", "tail", "-f"]);
    let lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let (sender, found) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });

    // It follows from some moment on, which nobody knows: events are sent until one is seen.
    let mut ids = Vec::new();
    let mut seen: Vec<Value> = Vec::new();
    until("an event and a delivery in the tail", SOON, || {
        if ids.len() < 40 {
            ids.push(daemon.accept("/in/in", &[], b"x"));
        }
        seen.extend(
            found
                .try_iter()
                .map(|l| serde_json::from_str(&l).unwrap_or_else(|e| panic!("{e}: {l}"))),
        );
        let text = seen.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        (ids.iter().any(|id| text.contains(id))
            && text.contains("delivered")
            && text.contains("app"))
        .then_some(())
    });

    let _ = tail.kill();
    let _ = tail.wait();
}

#[test]
fn delivery_lists_filter_as_a_person_would_try() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/bad", Step::Status(500));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "good", &receiver.url("/good"), &[]);
    quick_endpoint(&daemon, "bad", &receiver.url("/bad"), &["--max-attempts", "1"]);

    let ids: Vec<String> =
        (0..4).map(|n| daemon.accept("/in/in", &[], format!("{n}").as_bytes())).collect();
    daemon.await_count("dead", 4);
    daemon.await_count("delivered", 4);

    let count = |args: &[&str]| daemon.lines(&[&["delivery", "list"][..], args].concat()).len();
    assert_eq!(count(&[]), 8);
    assert_eq!(count(&["--state", "dead"]), 4);
    assert_eq!(count(&["--state", "delivered", "--endpoint", "good"]), 4);
    assert_eq!(count(&["--endpoint", "good", "--state", "dead"]), 0);
    assert_eq!(count(&["--event", &ids[2]]), 2);

    let first = daemon.lines(&["delivery", "list", "--limit", "3"]);
    let rest = daemon.lines(&["delivery", "list", "--after", text(&first[2], "id")]);
    assert_eq!((first.len(), rest.len()), (3, 5));
}

#[test]
fn the_socket_speaks_http_for_curl() {
    let home = Home::new();
    let daemon = home.start();
    let get = |path: &str| {
        over_socket(
            &daemon,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
    };
    let answer = get("/v1/status");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"deliveries\""), "{answer}");
    assert!(get("/v1/nothing").starts_with("HTTP/1.1 404"));
    let openapi = get("/v1/openapi.json");
    assert!(openapi.starts_with("HTTP/1.1 200") && openapi.contains("\"openapi\""));
    let metrics = get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("# TYPE "), "{metrics}");
}

#[test]
fn garbage_and_slow_callers_do_not_stop_the_door_or_the_ingress() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    for garbage in [
        "\0\0\0\0",
        "GET\r\n\r\n",
        "POST /v1/sources HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: \
         close\r\n\r\n{not json",
    ] {
        let answer = over_socket(&daemon, garbage_with_end(garbage).as_str());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    let slow: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(&daemon.socket).expect("the admin socket");
            stream.write_all(b"GET /v1/sta").expect("sent");
            stream
        })
        .collect();

    daemon.accept("/in/in", &[], b"x");
    daemon.json(&["status"]);
    drop(slow);
}

fn garbage_with_end(text: &str) -> String {
    if text.contains("Content-Length") { text.to_owned() } else { format!("{text}\r\n\r\n") }
}

#[test]
fn sources_and_endpoints_can_be_changed_and_deleted() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.done(&["source", "update", "in", "--max-body", "10"]);
    assert_eq!(daemon.post("/in/in", &[], &[b'x'; 11]).status, 413);
    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.post("/in/in", &[], &[b'x'; 11]).status, 413, "the change is remembered");
    let id = daemon.accept("/in/in", &[], b"x");
    daemon.done(&["source", "delete", "in"]);
    assert_eq!(daemon.post("/in/in", &[], b"x").status, 404);
    assert_eq!(text(&daemon.json(&["event", "show", &id]), "source"), "in", "its events stay");
    assert!(daemon.lines(&["source", "list"]).is_empty());
}

#[test]
fn an_endpoint_can_be_tested() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);
    let done = daemon.ctl().run(&["endpoint", "test", "app"]);
    done.expect(0);
    receiver.wait("/hook", 1, SOON);
}

#[test]
fn an_endpoint_with_batches_is_tested_with_a_batch() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--batch-max-events", "10"]);

    let made = daemon.json(&["endpoint", "test", "app", "--dry-run"]);
    assert_eq!(made["headers"]["hookbox-batch"], "1", "{made}");

    daemon.ctl().run(&["endpoint", "test", "app"]).expect(0);
    let seen = receiver.wait("/hook", 1, SOON).remove(0);
    assert_eq!(seen.header("hookbox-batch"), Some("1"));
    assert!(seen.id().starts_with("bat_"), "{}", seen.id());
    let elements: Vec<Value> = serde_json::from_slice(&seen.body).expect("an array");
    assert_eq!(elements.len(), 1);

    let failed = format!("{{\"failed\":[{}]}}", elements[0]["id"]).into_bytes();
    receiver.script("/hook", [Step::Reply(200, Vec::new(), failed)]);
    let refused = daemon.ctl().run(&["endpoint", "test", "app"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
}

/// A value of JSON takes many times its bytes in memory: what is sent in as data never becomes one.
#[test]
fn a_body_of_many_short_values_takes_little_memory() {
    const BYTES: usize = 8 << 20;
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--max-body", "32MiB"]);
    let data = format!("[0{}]", ",0".repeat(BYTES / 2));
    let body = format!("{{\"source\":\"in\",\"data\":{data}}}");
    let ask = |path: &str, body: &str| {
        let length = body.len();
        let head = "host: x\r\nconnection: close";
        let head = format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n");
        over_socket(&daemon, &(head + body))
    };

    let before = daemon.proc_number("status", "VmHWM");
    let answer = ask("/v1/events", &body);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let checked = format!("{{\"method\":\"POST\",\"url\":\"/\",\"headers\":{{\"a\":{data}}}}}");
    let answer = ask("/v1/sources/in/check", &checked);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let grown_kib = daemon.proc_number("status", "VmHWM") - before;
    let sent_kib = BYTES as u64 / 1024;
    assert!(grown_kib < 16 * sent_kib, "{} times what was sent", grown_kib / sent_kib);
}
