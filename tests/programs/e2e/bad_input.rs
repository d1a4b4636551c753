//! Bad input anywhere gets one clear line; nothing panics and nothing is lost.

use super::open_source;
use super::support::{Daemon, Home, SOON, until};

/// The command is refused with one of the codes, in one line that is not a panic.
#[track_caller]
fn refused(daemon: &Daemon, args: &[&str]) {
    let done = daemon.ctl().run(args);
    assert!(
        matches!(done.code, Some(1 | 64)),
        "{args:?}: {:?}\n{}{}",
        done.code,
        done.stdout,
        done.stderr
    );
    assert!(!done.stderr.contains("panicked"), "{args:?}: {}", done.stderr);
    assert!(!done.stderr.trim().is_empty(), "{args:?} is refused without a word");
    if done.code == Some(1) {
        assert_eq!(done.stderr.trim_end().lines().count(), 1, "{args:?}: {}", done.stderr);
    }
}

#[test]
fn the_ctl_says_what_is_wrong() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let url = "http://127.0.0.1:9/";
    let cases: [&[&str]; 34] = [
        &["source", "create", "", "--verify", "none"],
        &["source", "create", "white space", "--verify", "none"],
        &["source", "create", "../up", "--verify", "none"],
        &["source", "create", &"n".repeat(65), "--verify", "none"],
        &["source", "create", "x", "--verify", "no-such-scheme"],
        &["source", "create", "x", "--verify", "github"],
        &["source", "create", "x", "--verify", "none", "--allow", "10.0.0.0/99"],
        &["source", "create", "x", "--verify", "none", "--allow", "everyone"],
        &["source", "create", "x", "--verify", "none", "--max-body", "99999999999999999999"],
        &["source", "create", "x", "--verify", "none", "--max-body", "1G"],
        &["source", "create", "x", "--verify", "none", "--dedupe-window", "3 parsecs"],
        &["source", "create", "x", "--verify", "none", "--type-field", "not/a/pointer"],
        &["source", "create", "x", "--verify", "none", "--secret-file", "/nonexistent/file"],
        &["endpoint", "create", "x", "--url", "not a url"],
        &["endpoint", "create", "x", "--url", "ftp://127.0.0.1/"],
        &["endpoint", "create", "x", "--url", "http://"],
        &["endpoint", "create", "x", "--url", "http://127.0.0.1:99999/"],
        &["endpoint", "create", "x", "--url", "http://a\r\nb/"],
        &["endpoint", "create", "x", "--url", url, "--where", "@.body.["],
        &["endpoint", "create", "x", "--url", url, "--jitter", "7"],
        &["endpoint", "create", "x", "--url", url, "--jitter", "NaN"],
        &["endpoint", "create", "x", "--url", url, "--retry-factor", "0.1"],
        &["endpoint", "create", "x", "--url", url, "--retry-base", "-1s"],
        &["endpoint", "create", "x", "--url", url, "--timeout", "0s"],
        &["endpoint", "create", "x", "--url", url, "--concurrency", "0"],
        &["endpoint", "create", "x", "--url", url, "--rate", "fast"],
        &["endpoint", "create", "x", "--url", url, "--from", "no-such-source"],
        &["endpoint", "create", "x", "--url", url, "--max-attempts", "0"],
        &["event", "show", "evt_garbage"],
        &["delivery", "show", "dlv_zzz"],
        &["delivery", "list", "--state", "sleepy"],
        &["event", "list", "--since", "the other day"],
        &["event", "send", "--source", "nobody", "--data", "x"],
        &["replay", "--event", "evt_00000000000g0000000000000g", "--to", "nobody"],
    ];
    for args in cases {
        refused(&daemon, args);
    }

    assert!(daemon.lines(&["endpoint", "list"]).is_empty());
    assert_eq!(daemon.lines(&["source", "list"]).len(), 1);
    daemon.accept("/in/in", &[], b"still here");
    assert!(!daemon.log_text().contains("panicked"), "{}", daemon.log_text());
}

#[test]
fn malformed_http_is_refused_and_logged_nowhere() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let long_header =
        format!("POST /in/in HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(400_000));
    let many = format!(
        "POST /in/in HTTP/1.1\r\nHost: h\r\n{}Content-Length: 0\r\n\r\n",
        "A: b\r\n".repeat(150)
    );

    let messages: [&[u8]; 11] = [
        b"garbage\r\n\r\n",
        b"POST /in/in HTTP/9.9\r\n\r\n",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \
         chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nBad Header: x\r\nContent-Length: 0\r\n\r\n",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST\t/in/in\tHTTP/1.1\r\n\r\n",
        long_header.as_bytes(),
        many.as_bytes(),
    ];

    for (n, message) in messages.iter().enumerate() {
        let mut client = daemon.client();
        let sent = client.send_raw(message);
        match client.read_response() {
            Ok(answer) => {
                assert!((400..500).contains(&answer.status), "message {n}: {}", answer.status)
            }
            // A connection that is closed before the whole of it was read is an answer as well.
            Err(error) => {
                assert!(
                    sent.is_err() || error.kind() != std::io::ErrorKind::WouldBlock,
                    "message {n}: {error}"
                )
            }
        }
    }

    assert_eq!(daemon.json(&["status"])["events"], 0);
    daemon.accept("/in/in", &[], b"still here");
}

#[test]
fn both_lengths_never_smuggle_a_second_request() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut client = daemon.client();
    let inner = "POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nsmuggled";
    let outer = format!(
        "POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: \
         chunked\r\n\r\n0\r\n\r\n{inner}"
    );
    client.send_raw(outer.as_bytes()).expect("sent");
    let _ = client.read_response();
    let mut bodies = daemon.lines(&["event", "list"]).into_iter().map(|e| e["size"].as_u64());
    assert!(bodies.all(|size| size == Some(0) || size == Some(8)), "part of a head became a body");
}

/// A refusal names the limit that was passed, and what to use instead.
#[test]
fn refusals_name_what_was_passed() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.done(&["endpoint", "create", "jobs", "--url", "pull:"]);
    let long = "x".repeat(300);
    for (args, words) in [
        (&["source", "create", ""][..], "is empty: give a name or an id"),
        (&["event", "show", ""], "is empty: give a name or an id"),
        (&["endpoint", "update", "jobs", "--where", ""], "'--where <EXPR>': is empty"),
        (
            &["event", "send", "--source", "in", "--type", "t\u{1b}", "--data", "x"],
            "control character",
        ),
        (&["event", "send", "--source", "in", "--type", &long, "--data", "x"], "at most 256"),
        (&["bin", "create", "--ttl", "0s"], "from 1s to 366d"),
        (&["endpoint", "update", "jobs", "--lease", "0s"], "from 1ms to 12h"),
        (&["endpoint", "test", "jobs"], "hookboxctl consume jobs"),
        (
            &["endpoint", "create", "a", "--url", "http://a.example/", "--where", "@.bdy.x == 1"],
            "an event has no 'bdy'",
        ),
        (
            &["endpoint", "create", "a", "--url", "http://a.example/", "--lease", "10s"],
            "--url pull:",
        ),
        (
            &["endpoint", "create", "a", "--url", "http://a.example/", "--header", "x: a\r\nb: c"],
            "line break",
        ),
        (&["source", "create", "a", "--verify", "mtls", "--set", "any=true"], "tls:// address"),
        (&["replay", "--all", "--rate", "100/m"], "write 1/s or 2/s"),
    ] {
        let done = daemon.ctl().run(args);
        let output = &done.stderr;
        assert!(done.code == Some(64) && output.contains(words), "{args:?}: {output}");
    }

    let shown = daemon.done(&["endpoint", "show", "jobs", "--all"]).stdout;
    let none =
        |field: &str| shown.lines().any(|line| line.starts_with(field) && line.ends_with("none"));
    assert!(none("header ") && none("arg "), "{shown}");
    for nothing in [&b""[..], b"{\"what\":\"bogus\"}\n"] {
        let output = daemon.ctl().run_with_input(&["log", "import", "-"], nothing).expect(1).stderr;
        assert!(output.contains("no events found"), "{output}");
    }
}

/// With all places on the admin socket taken, the next caller is refused in words.
#[test]
fn a_full_admin_socket_says_that_it_is_full() {
    let home = Home::new();
    let daemon = home.start();
    let socket = home.data().join("admin.sock");
    let connect = |_| std::os::unix::net::UnixStream::connect(&socket).expect("a connection");
    // Idle connections are closed after half a minute, which may pass before the next caller comes.
    let output = until("the socket to be full", SOON, || {
        let _idle: Vec<_> = (0..70).map(connect).collect();
        Some(daemon.ctl().run(&["status"])).filter(|output| output.code != Some(0))
    });
    assert!(output.stderr.contains("admin connections"), "{}", output.stderr);
    until("places", SOON, || (daemon.ctl().run(&["status"]).code == Some(0)).then_some(()));
}
