//! Events go out: to whom, with which headers, over which transports, and never where they must
//! not.

use super::support::{Home, Receiver, SOON, Step, keeps_rate, until, wall_now_ms};
use super::{delivery_in, open_source, quick_endpoint, text};

#[test]
fn each_endpoint_gets_what_its_filters_let_through() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "a");
    daemon.json(&["source", "create", "b", "--verify", "none", "--type-header", "x-type"]);
    quick_endpoint(&daemon, "all", &receiver.url("/all"), &[]);
    quick_endpoint(&daemon, "only-a", &receiver.url("/a"), &["--from", "a"]);
    quick_endpoint(
        &daemon,
        "globs",
        &receiver.url("/globs"),
        &["--types", "pull_*", "--types", "push"],
    );
    quick_endpoint(
        &daemon,
        "where",
        &receiver.url("/where"),
        &["--where", "@.body.action == 'opened'"],
    );

    daemon.accept("/in/a", &[], b"{\"action\":\"opened\"}");
    daemon.accept("/in/b", &[("x-type", "push")], b"{\"action\":\"closed\"}");
    daemon.accept("/in/b", &[("x-type", "pull_request")], b"not json");
    daemon.accept("/in/b", &[("x-type", "issues")], b"{\"action\":\"opened\"}");
    daemon.await_count("delivered", 4 + 1 + 2 + 2);
    let counts = ["/all", "/a", "/globs", "/where"].map(|p| receiver.count(p));
    assert_eq!(counts, [4, 1, 2, 2]);
}

#[test]
fn an_attempt_has_the_standard_headers_and_the_same_id_each_time() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Status(500)]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--generate-secret"]);

    let sent =
        [("Content-Type", "text/x-odd"), ("X-Own", "secret-ish"), ("Connection", "keep-alive")];
    let before = wall_now_ms() / 1000;
    let id = daemon.accept("/in/in", &sent, b"body");
    let seen = receiver.wait("/hook", 2, SOON);
    let after = wall_now_ms() / 1000;

    for (n, request) in seen.iter().enumerate() {
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, b"body");
        assert_eq!(request.id(), id);
        assert_eq!(request.header("content-type"), Some("text/x-odd"));
        assert_eq!(request.header("hookbox-source"), Some("in"));
        assert_eq!(request.header("hookbox-attempt"), Some((n + 1).to_string().as_str()));
        assert_eq!(request.header("content-length"), Some("4"));
        assert_eq!(request.header("x-own"), None, "headers of home-made senders stay here");

        let at: u64 =
            request.header("webhook-timestamp").and_then(|t| t.parse().ok()).expect("unix seconds");
        assert!(
            (before..=after).contains(&at),
            "webhook-timestamp is {at}, not from {before} to {after}"
        );
    }
}

#[test]
fn forwarded_headers_leave_hop_by_hop_ones_behind() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/"), &["--forward-headers"]);
    let sent = [
        ("X-Own", "kept"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("webhook-id", "theirs"),
    ];
    let id = daemon.accept("/in/in", &sent, b"body");
    let seen = receiver.wait("/", 1, SOON).remove(0);
    assert_eq!(seen.header("x-own"), Some("kept"));
    assert_eq!(seen.header("x-hop"), None);
    assert_eq!(seen.header("te"), None);
    let ids: Vec<_> = seen.headers.iter().filter(|(n, _)| n == "webhook-id").collect();
    assert_eq!((ids.len(), seen.id()), (1, id.as_str()), "our own id, and only that");
}

#[test]
fn a_unix_socket_is_an_endpoint() {
    let home = Home::new();
    let daemon = home.start();
    let socket = home.path().join("app.sock");
    let receiver = Receiver::start_unix(&socket);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "local", &format!("unix:{}:/hook?x=1", socket.display()), &[]);
    let id = daemon.accept("/in/in", &[], b"to a local application");
    let seen = receiver.wait("/hook?x=1", 1, SOON);
    assert_eq!(
        (seen[0].id(), seen[0].body.as_slice()),
        (id.as_str(), b"to a local application".as_slice())
    );
}

#[test]
fn loopback_is_never_dialled_without_leave() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    let port = receiver.addr.port();
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0.0.0.0:{port}/"),
    ];

    let mut made = Vec::new();
    for (n, url) in urls.iter().enumerate() {
        let name = format!("e{n}");
        let args = [
            "endpoint",
            "create",
            &name,
            "--url",
            url,
            "--retry-base",
            "50ms",
            "--max-attempts",
            "2",
        ];
        let done = daemon.ctl().try_json(&args);
        match done.code {
            Some(0) => made.push(name),
            code => assert_eq!(code, Some(64), "{url}: {}", done.stderr),
        }
    }

    daemon.accept("/in/in", &[], b"x");
    for name in &made {
        let delivery = delivery_in(&daemon, name, "dead");
        let shown = daemon.json(&["delivery", "show", text(&delivery, "id")]);
        let error = shown["history"][0]["error"].as_str().unwrap_or_default().to_owned();
        assert!(
            error.contains("allow-private") || error.contains("not allowed"),
            "{name}: '{error}'"
        );
    }

    assert_eq!(receiver.connections(), 0, "an address that is refused was dialled");
}

#[test]
fn redirects_are_not_followed() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let to = vec![("Location".to_owned(), receiver.url("/other"))];
    receiver.script("/hook", [301, 302, 307, 308].map(|s| Step::Reply(s, to.clone(), Vec::new())));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);
    daemon.accept("/in/in", &[], b"x");
    receiver.wait("/hook", 5, SOON);
    daemon.await_count("delivered", 1);
    assert_eq!(receiver.count("/other"), 0);
}

#[test]
fn an_endless_response_is_cut_off() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Endless]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--timeout", "2s"]);
    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 1);
    assert!(daemon.proc_number("status", "VmRSS") < 200 << 10);
}

#[test]
fn concurrency_is_a_window() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", Step::Gate);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--concurrency", "3"]);
    let mut client = daemon.client();
    for n in 0..12 {
        client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer");
    }
    receiver.wait("/hook", 3, SOON);
    daemon.await_count("in_flight", 3);
    assert_eq!(receiver.count("/hook"), 3, "only the window is under way");
    receiver.open_gate();
    daemon.await_count("delivered", 12);
    assert!(receiver.busiest() <= 3, "{} at a time", receiver.busiest());
}

#[test]
fn strict_order_holds_over_failures() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script(
        "/hook",
        [Step::Status(200), Step::Status(500), Step::Status(503), Step::Status(200)],
    );
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--order", "strict"]);

    let mut client = daemon.client();
    for n in 0..10 {
        assert_eq!(
            client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer").status,
            202
        );
    }

    daemon.await_count("delivered", 10);
    let seen = receiver.seen("/hook");
    let bodies: Vec<String> =
        seen.iter().map(|s| String::from_utf8_lossy(&s.body).into_owned()).collect();
    assert_eq!(bodies, ["0", "1", "1", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(receiver.busiest(), 1);
}

#[test]
fn a_dead_and_a_slow_endpoint_do_not_slow_the_others() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/slow", Step::Hang);
    receiver.always("/dead", Step::Status(500));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "slow", &receiver.url("/slow"), &["--timeout", "5m"]);
    quick_endpoint(&daemon, "dead", &receiver.url("/dead"), &[]);
    quick_endpoint(&daemon, "good", &receiver.url("/good"), &[]);

    let mut client = daemon.client();
    for n in 0..500 {
        client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer");
    }
    until("all at the good endpoint", SOON, || (receiver.count("/good") == 500).then_some(()));

    // All of them came before the first that hangs had ended.
    let slow = daemon.json(&["endpoint", "show", "slow"]);
    assert_eq!(
        (&slow["requests_failed"], &slow["requests_succeeded"]),
        (&0.into(), &0.into()),
        "{slow}"
    );
    assert!(receiver.count("/slow") <= 16, "the slow one has its window and no more");
}

#[test]
fn deliveries_survive_a_kill_while_they_are_under_way() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Hang, Step::Hang, Step::Hang]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--concurrency", "3"]);
    let ids: Vec<String> =
        (0..20).map(|n| daemon.accept("/in/in", &[], format!("{n}").as_bytes())).collect();
    receiver.wait("/hook", 3, SOON);
    daemon.kill();
    let daemon = home.start();
    daemon.await_count("delivered", 20);
    let seen = receiver.seen("/hook");
    for id in &ids {
        assert!(seen.iter().any(|s| s.id() == id && s.answered == 200), "{id} was not delivered");
    }
}

#[test]
fn a_rate_is_kept() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--rate", "10/s"]);
    // All of them are there before the first goes.
    daemon.done(&["endpoint", "hold", "app"]);
    let mut client = daemon.client();
    for n in 0..40 {
        client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer");
    }
    daemon.done(&["endpoint", "release", "app"]);
    daemon.await_count("delivered", 40);
    keeps_rate(&daemon.attempts("app"), 10.0, 20.0);
}
