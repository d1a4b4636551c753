//! In: what becomes of the messages of a stream.

use async_nats::jetstream::consumer::pull;
use base64::Engine;

use crate::bridge::{Bridge, METRICS, configuration, run};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Daemon, Home, SOON, until};

pub fn route(via: &str) -> String {
    format!(
        "[[in]]\nstream = \"JOBS\"\nconsumer = \"boxes\"\nsource = \"jobs\"\nvia = \"{via}\"\n\
         [in.create]\nack_wait = \"2s\"\n"
    )
}

/// A box with a source `jobs`, which also listens on a Unix socket.
pub fn a_box(home: &mut Home, more: &[&str]) -> Daemon {
    home.args.push("--listen".to_owned());
    home.args.push(format!("unix:{}", home.path().join("in.sock").display()));
    let daemon = home.start();
    daemon.json(&[&["source", "create", "jobs", "--verify", "none"][..], more].concat());
    daemon
}

/// Waits until the consumer has nothing left.
pub fn await_taken(js: &Js) {
    until("a consumer that is done", SOON, || (js.open("JOBS", "boxes")? == 0).then_some(()));
}

#[test]
fn a_message_becomes_an_event_bit_for_bit() {
    for via in ["admin", "ingress"] {
        let Some(server) = NatsServer::start() else { return };
        let js = Js::connect(&server.url());
        js.stream("JOBS", &["jobs.>"], |_| {});
        let mut home = Home::new();
        let daemon = a_box(&mut home, &[]);
        let headers = [
            ("Nats-Msg-Id", "job-1"),
            ("Hookbox-Type", "order%2Epaid"),
            ("Content-Type", "application/x-own"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        js.publish("jobs.a", &headers, b"\0\xff\r\n");
        js.publish("jobs.b", &[], b"");

        let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route(via)));
        await_taken(&js);
        let events = daemon.lines(&["event", "list", "--source", "jobs"]);
        assert_eq!(events.len(), 2, "{via}: {events:?}");
        let shown = |kind: &str| {
            let found = events.iter().find(|event| event["type"] == kind);
            let id = found.unwrap_or_else(|| panic!("{kind}: {events:?}"))["id"].clone();
            daemon.json(&["event", "show", id.as_str().expect("an id")])
        };
        let paid = shown("order%2Epaid");
        assert_eq!(paid["body_base64"], "AP8NCg==", "{via}");
        assert_eq!(paid["headers"]["content-type"], "application/x-own", "{via}");
        assert_eq!(paid["headers"]["traceparent"], headers[3].1, "{via}");
        assert_eq!(paid["headers"]["nats-sequence"], "1", "{via}");
        assert_eq!(shown("jobs.b")["body_base64"], "", "{via}");
        assert_eq!(bridge.terminate().code(), Some(0));
    }
}

#[test]
fn a_message_that_comes_again_is_the_same_event() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    // A stream that recognizes nothing itself.
    js.stream("JOBS", &["jobs.>"], |config| {
        config.duplicate_window = std::time::Duration::from_millis(100);
    });
    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route("admin")));

    for _ in 0..3 {
        js.publish("jobs.a", &[("Nats-Msg-Id", "job-1")], b"same");
        let since = std::time::Instant::now();
        until("the end of the window", SOON, || {
            (since.elapsed() > std::time::Duration::from_millis(400)).then_some(())
        });
    }
    assert_eq!(js.count("JOBS"), 3);
    await_taken(&js);
    let events = daemon.lines(&["event", "list", "--source", "jobs"]);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["duplicates"], 2, "{events:?}");
    drop(bridge);
}

/// A stream that is made anew counts from 1: its messages are others, though their places are not.
#[test]
fn the_messages_of_a_stream_that_was_made_anew_are_new() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    for round in 0..2 {
        js.stream("JOBS", &["jobs.>"], |_| {});
        let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route("admin")));
        for number in 0..3 {
            // The same bodies: others would be stored in spite of the key of an earlier event.
            let sequence = js.publish("jobs.a", &[], format!("{number}").as_bytes());
            assert_eq!(sequence, number + 1);
        }
        await_taken(&js);
        let events = daemon.lines(&["event", "list", "--source", "jobs"]);
        assert_eq!(events.len(), 3 * (round + 1), "{events:?}");
        assert_eq!(bridge.terminate().code(), Some(0));
        js.runtime.block_on(js.context.delete_stream("JOBS")).expect("deleted");
    }
}

/// A consumer may allow less than the bridge would ask for.
#[test]
fn a_consumer_is_asked_for_no_more_than_it_allows() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let settings = pull::Config {
        durable_name: Some("boxes".to_owned()),
        max_batch: 10,
        max_expires: std::time::Duration::from_secs(1),
        ..pull::Config::default()
    };
    js.runtime.block_on(async {
        let stream = js.context.get_stream("JOBS").await.expect("the stream");
        stream.create_consumer(settings).await.expect("a consumer");
    });

    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route("admin")));
    for number in 0..30 {
        js.publish("jobs.a", &[], format!("{number}").as_bytes());
    }
    await_taken(&js);
    assert_eq!(daemon.lines(&["event", "list", "--source", "jobs"]).len(), 30);
    assert!(!bridge.log_text().contains("cannot be asked"), "{}", bridge.log_text());
}

/// What waits is counted while the box takes nothing, too.
#[test]
fn the_lag_is_known_while_the_box_is_away() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let mut home = Home::new();
    let daemon = a_box(&mut home, &[]);
    let routes = format!("{METRICS}{}", route("admin"));
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &routes));

    daemon.kill();
    for number in 0..20 {
        js.publish("jobs.a", &[], format!("{number}").as_bytes());
    }
    let waits = |wanted| {
        until("the lag", SOON, || {
            (bridge.metric("hookbox_nats_in_waiting")? == wanted).then_some(())
        });
    };
    waits(20);
    let _daemon = home.start();
    await_taken(&js);
    waits(0);
}

const FROM: &str = "message 1 of JOBS, jobs.large";

#[test]
fn what_the_source_refuses_is_given_up_with_a_reason_and_the_others_go_on() {
    for via in ["admin", "ingress"] {
        let Some(server) = NatsServer::start() else { return };
        let js = Js::connect(&server.url());
        js.stream("JOBS", &["jobs.>"], |_| {});
        let mut home = Home::new();
        let daemon = a_box(&mut home, &["--max-body", "100"]);
        daemon.json(&["endpoint", "create", "watch", "--url", "pull:", "--from", "hookbox"]);
        let advisory = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.boxes";
        let mut advisories = js.subscribe(advisory);
        let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route(via)));
        bridge.await_log("larger ones are given up");
        js.publish("jobs.large", &[], &[b'x'; 101]);
        js.publish("jobs.small", &[], &[b'x'; 100]);
        await_taken(&js);
        bridge.await_log("hookbox refuses a message, which is given up");
        assert!(bridge.log_text().contains("413"), "{via}: {}", bridge.log_text());
        let events = daemon.lines(&["event", "list", "--source", "jobs"]);
        assert_eq!(events.len(), 1, "{via}: {events:?}");
        assert_eq!(js.count("JOBS"), 2, "what is given up stays in the stream");

        // The server says so, with the reason, and so does hookbox.
        let said = js.next(&mut advisories);
        assert_eq!(said["stream_seq"], 1, "{via}: {said}");
        assert!(said["reason"].to_string().contains("413"), "{via}: {said}");
        let notice = until("a notice", SOON, || {
            let notices = daemon.lines(&["event", "list", "--source", "hookbox"]);
            let found = notices.iter().find(|one| one["type"] == "hookbox.source.given_up")?;
            Some(daemon.json(&["event", "show", found["id"].as_str().expect("an id")]))
        });
        let body = notice["body_base64"].as_str().expect("a body");
        let body = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let data = &body["data"];
        assert_eq!((&data["source"], &data["from"]), (&"jobs".into(), &FROM.into()), "{body}");
        assert!(data["last_reason"].to_string().contains("413"), "{via}: {body}");
    }
}

#[test]
fn a_box_that_does_not_accept_postpones_and_loses_nothing() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let mut home = Home::new();
    // What comes faster is answered 429.
    let daemon = a_box(&mut home, &["--rate", "20/s"]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route("ingress")));
    for number in 0..60 {
        js.publish("jobs.a", &[], format!("{number}").as_bytes());
    }
    bridge.await_log("hookbox does not take a message now");
    await_taken(&js);
    assert_eq!(daemon.lines(&["event", "list", "--limit", "1000"]).len(), 60);

    // A daemon that is away.
    daemon.kill();
    for number in 60..80 {
        js.publish("jobs.a", &[], format!("{number}").as_bytes());
    }
    bridge.await_log("no daemon answers at");
    let daemon = home.start();
    await_taken(&js);
    assert_eq!(daemon.lines(&["event", "list", "--limit", "1000"]).len(), 80);
    assert_eq!(bridge.terminate().code(), Some(0));
}

/// What is stored is not known from another answer: its sender would send it again.
#[test]
fn an_answer_that_is_no_202_acknowledges_nothing() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("JOBS", &["jobs.>"], |_| {});
    let mut home = Home::new();
    let daemon = a_box(&mut home, &["--answer", "200"]);
    let config = configuration(&home, "box-1", &server.url(), &route("ingress"));
    let said = run(&["--config", &config, "--create"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    assert!(said.stderr.contains("source jobs answers 200: only 202 says"), "{said:?}");

    // The same, while it runs.
    daemon.json(&["source", "update", "jobs", "--reset", "answer"]);
    let bridge = Bridge::start(&config);
    daemon.json(&["source", "update", "jobs", "--answer", "200"]);
    js.publish("jobs.a", &[], b"{}");
    bridge.await_log("only 202 says that an event is stored");
    assert_eq!(js.open("JOBS", "boxes"), Some(1));

    // It says something about the box, so that it is no reason to give up the message. The body of
    // the answer is the source's own.
    let own = ["--answer", "202", "--answer-body", "[accepted]"];
    daemon.json(&[&["source", "update", "jobs"][..], &own].concat());
    await_taken(&js);
    assert_eq!(daemon.lines(&["event", "list", "--source", "jobs"]).len(), 1);
    assert_eq!(bridge.terminate().code(), Some(0));
}
