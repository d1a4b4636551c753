//! Out: what a stream gets, and what becomes of what it refuses.

use crate::bridge::{Bridge, configuration};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Daemon, Home, SOON, until};

pub const ROUTE: &str = "[[out]]\nendpoint = \"stream\"\nstream = \"HOOKS\"\nlease = \"5s\"\n\
                         ack_timeout = \"2s\"\npublish_timeout = \"10s\"\n";

/// A box with a source `app` and the endpoint that the bridge leases from.
pub fn a_box(home: &Home, more: &[&str]) -> Daemon {
    let daemon = home.start();
    daemon.json(&["source", "create", "app", "--verify", "none", "--type-header", "x-type"]);
    let policy = ["--retry-base", "50ms", "--retry-max", "1s", "--jitter", "0"];
    let base = ["endpoint", "create", "stream", "--url", "pull:"];
    daemon.json(&[&base[..], &policy[..], more].concat());
    daemon
}

/// Waits until so many deliveries are leased.
pub fn await_leased(daemon: &Daemon, wanted: u64) {
    until(&format!("{wanted} leases"), SOON, || {
        (daemon.asked("/v1/status")["leased"].as_u64() == Some(wanted)).then_some(())
    });
}

#[test]
fn an_event_arrives_bit_for_bit_with_what_it_is() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);

    let bodies: [&[u8]; 4] = [b"", b"\0\xff\r\n\r\n", b"{\"a\": 1}", "ä".as_bytes()];
    let types = ["order.paid", "a.*.>", "", "ä b"];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut ids = Vec::new();
    for (body, kind) in bodies.iter().zip(types) {
        let headers = [
            ("x-type", kind),
            ("content-type", "application/x-own; a=1"),
            ("traceparent", trace),
            ("tracestate", "v=1"),
        ];
        ids.push(daemon.accept("/in/app", &headers, body));
    }

    let bridge = Bridge::start(&configuration(&home, "box.1", &server.url(), ROUTE));
    js.await_count("HOOKS", 4);
    daemon.await_count("delivered", 4);
    let stored = js.all("HOOKS");
    for (number, id) in ids.iter().enumerate() {
        let found = stored.iter().find(|one| one.id() == id).expect("its message");
        assert_eq!(found.body, bodies[number], "{id}");
        assert_eq!(found.header("Content-Type"), "application/x-own; a=1");
        assert_eq!(found.header("traceparent"), trace);
        assert_eq!(found.header("tracestate"), "v=1");
        assert_eq!((found.header("Hookbox-Source"), found.header("Hookbox-Box")), ("app", "box.1"));
        assert_eq!(found.header("Hookbox-Type"), types[number]);
        assert!(found.header("Hookbox-Time").ends_with('Z'));
    }
    let subjects: Vec<&str> = stored.iter().map(|one| one.subject.as_str()).collect();
    for subject in
        ["hooks.box%2E1.app.order%2Epaid", "hooks.box%2E1.app.a%2E%2A%2E%3E", "hooks.box%2E1.app.%"]
    {
        assert!(subjects.contains(&subject), "{subject} in {subjects:?}");
    }
    assert_eq!(bridge.terminate().code(), Some(0));
}

#[test]
fn what_is_too_large_is_a_dead_letter_and_the_others_go_on() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |config| config.max_message_size = 4096);
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    bridge.await_log("becomes a dead letter; raise max_msg_size");

    // Larger than the stream takes, and than the server takes.
    let large = daemon.accept("/in/app", &[], &vec![b'x'; 8192]);
    let larger = daemon.accept("/in/app", &[], &vec![b'x'; 1 << 20]);
    let small = daemon.accept("/in/app", &[], b"small");
    daemon.await_count("dead", 2);
    js.await_count("HOOKS", 1);
    assert_eq!(js.all("HOOKS")[0].id(), small);

    for row in daemon.lines(&["dlq", "list"]) {
        let event = row["event"].as_str().expect("an id");
        assert!(event == large || event == larger, "{row}");
        let shown = row.to_string();
        assert!(shown.contains("too large for the"), "{shown}");
        assert_eq!(row["attempts"], 1, "{row}");
    }
    bridge.await_log("a delivery becomes a dead letter");
}

#[test]
fn a_full_stream_refuses_and_what_it_refused_follows() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    let full = |config: &mut async_nats::jetstream::stream::Config| {
        config.max_messages = 3;
        config.discard = async_nats::jetstream::stream::DiscardPolicy::New;
    };
    js.stream("HOOKS", &["hooks.>"], full);
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));

    for number in 0..6 {
        daemon.accept("/in/app", &[], format!("{number}").as_bytes());
    }
    js.await_count("HOOKS", 3);
    bridge.await_log("a delivery was not published");
    assert!(bridge.log_text().contains("maximum messages exceeded"), "{}", bridge.log_text());

    js.update("HOOKS", |config| config.max_messages = 100);
    js.await_count("HOOKS", 6);
    daemon.await_count("delivered", 6);
    let status = daemon.json(&["status"]);
    assert_eq!(status["deliveries"]["dead"], 0, "{status}");
}

#[test]
fn the_order_of_a_lane_is_that_of_the_stream() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &["--order", "key", "--order-key", "/k"]);
    let mut client = daemon.client();
    for number in 0..60 {
        let body = format!("{{\"k\":{},\"n\":{number}}}", number % 4);
        assert_eq!(client.post("/in/app", &[], body.as_bytes()).expect("sent").status, 202);
    }

    let _bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    js.await_count("HOOKS", 60);
    let mut last = [-1; 4];
    for stored in js.all("HOOKS") {
        let body: serde_json::Value = serde_json::from_slice(&stored.body).expect("JSON");
        let lane = usize::try_from(body["k"].as_u64().expect("a number")).expect("small");
        let number = body["n"].as_i64().expect("a number");
        assert!(number > last[lane], "{number} after {} in lane {lane}", last[lane]);
        last[lane] = number;
    }
}

#[test]
fn a_stream_that_is_slow_gets_no_more_than_is_allowed_and_leases_are_extended() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    for number in 0..20 {
        daemon.accept("/in/app", &[], format!("{number}").as_bytes());
    }
    // Leases of two seconds, and a server that does not answer for longer.
    let route = "[[out]]\nendpoint = \"stream\"\nstream = \"HOOKS\"\nlease = \"2s\"\n\
                 ack_timeout = \"60s\"\npublish_timeout = \"60s\"\nmax_in_flight = 4\n";
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), route));
    js.await_count("HOOKS", 20);
    daemon.await_count("delivered", 20);

    crate::support::daemon::signal(server.pid(), rustix::process::Signal::STOP);
    for number in 0..10 {
        daemon.accept("/in/app", &[], format!("slow {number}").as_bytes());
    }
    await_leased(&daemon, 4);
    // Longer than two leases: the same four are still held, and no attempt of them has ended.
    let since = std::time::Instant::now();
    until("two leases", SOON, || (since.elapsed().as_secs() >= 5).then_some(()));
    let status = daemon.json(&["status"]);
    assert_eq!(status["leased"], 4, "{status}");
    for (id, attempts) in daemon.histories("stream") {
        assert!(attempts.len() <= 1, "{id} was leased again: {attempts:?}");
    }

    crate::support::daemon::signal(server.pid(), rustix::process::Signal::CONT);
    js.await_count("HOOKS", 30);
    daemon.await_count("delivered", 30);
    assert_eq!(bridge.terminate().code(), Some(0));
}

#[test]
fn a_bridge_that_stops_gives_back_what_it_holds() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let route = "[[out]]\nendpoint = \"stream\"\nstream = \"HOOKS\"\nlease = \"1h\"\n\
                 ack_timeout = \"60s\"\npublish_timeout = \"60s\"\n";
    let config = configuration(&home, "box-1", &server.url(), route);
    let bridge = Bridge::start(&config);
    crate::support::daemon::signal(server.pid(), rustix::process::Signal::STOP);
    daemon.accept("/in/app", &[], b"held");
    await_leased(&daemon, 1);
    assert_eq!(bridge.terminate().code(), Some(0));
    crate::support::daemon::signal(server.pid(), rustix::process::Signal::CONT);

    // Its lease was for an hour: another bridge gets it at once only because it was given back.
    let _next = Bridge::start(&config);
    daemon.await_count("delivered", 1);
    assert_eq!(js.all("HOOKS").len(), 1, "the first publish was recognized");
}

/// A lease of which the answer is not read any more would hold its deliveries for an hour.
#[test]
fn a_bridge_that_stops_while_it_leases_leaves_no_lease_behind() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let route = ROUTE.replace("\"5s\"", "\"1h\"");
    let config = configuration(&home, "box-1", &server.url(), &route);
    let mut client = daemon.client();

    for round in 0..8 {
        for number in 0..400 {
            let body = format!("{round} {number}");
            assert_eq!(client.post("/in/app", &[], body.as_bytes()).expect("sent").status, 202);
        }
        let bridge = Bridge::start(&config);
        let some = round * 400 + 40;
        until("some of them", SOON, || {
            let status = daemon.asked("/v1/status");
            (status["deliveries"]["delivered"].as_u64() >= Some(some)).then_some(())
        });
        assert_eq!(bridge.terminate().code(), Some(0));
        let status = daemon.json(&["status"]);
        assert_eq!(status["leased"], 0, "{status}");
        let next = Bridge::start(&config);
        daemon.await_count("delivered", (round + 1) * 400);
        drop(next);
    }
}
