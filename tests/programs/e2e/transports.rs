//! Transport settings: templates, commands, proxies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Signal;

use super::support::{Daemon, Home, Receiver, SOON, until};
use super::{delivery_in, open_source, quick_endpoint, text};

#[test]
fn templates_make_what_is_sent_and_a_test_shows_it_first() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "shop");
    chat(&home, &daemon, &receiver);
    let order = home.write("order.json", r#"{"who":"a/b","sum":12}"#);

    a_dry_run_shows_the_request(&home, &daemon, &order);
    assert_eq!(receiver.all().len(), 0, "nothing is sent by a dry run");

    what_is_sent_follows_the_templates(&daemon, &receiver, &order);
    what_nothing_can_be_made_of_dies_at_once(&home, &daemon);
}

/// An endpoint whose requests are made by templates.
fn chat(home: &Home, daemon: &Daemon, receiver: &Receiver) {
    let template =
        home.write("chat.json", "{\"text\": {{ (body.who ~ ' paid ' ~ body.sum) | tojson }}}\n");
    let more = [
        "--method",
        "put",
        "--path",
        "/rooms/{{ body.who }}",
        "--header",
        "X-Type: {{ type }}",
        "--header",
        "Authorization: Bearer hunter2",
        "--body-file",
        &template,
        "--where",
        "@.body.sum > 10",
        "--types",
        "order.*",
    ];

    let made = quick_endpoint(daemon, "chat", &receiver.url("/v1"), &more);
    assert!(!made.to_string().contains("hunter2"), "{made}");
}

fn a_dry_run_shows_the_request(home: &Home, daemon: &Daemon, order: &str) {
    let dry = |file: &str| {
        let test = ["endpoint", "test", "chat", "--file", file];
        daemon.json(&[&test[..], &["--type", "order.paid", "--dry-run"]].concat())
    };

    let test = dry(order);
    assert_eq!(
        (test["matches"].as_bool(), test["dry_run"].as_bool()),
        (Some(true), Some(true)),
        "{test}"
    );
    assert_eq!(text(&test, "method"), "PUT");
    assert!(text(&test, "url").ends_with("/v1/rooms/a%2Fb"), "{test}");
    assert_eq!(
        (text(&test["headers"], "x-type"), text(&test["headers"], "authorization")),
        ("order.paid", "…")
    );

    let refused = dry(&home.write("small.json", r#"{"who":"c","sum":2}"#));
    assert!(text(&refused, "why_not").contains("--where"), "{refused}");
}

fn what_is_sent_follows_the_templates(daemon: &Daemon, receiver: &Receiver, order: &str) {
    let send = ["event", "send", "--source", "shop", "--type", "order.paid", "--file", order];
    let id = daemon.done(&send);
    let seen = receiver.wait("/v1/rooms/a%2Fb", 1, SOON).remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.body.as_slice()),
        ("PUT", br#"{"text": "a/b paid 12"}"#.as_slice())
    );
    assert_eq!(
        (seen.header("x-type"), seen.header("authorization")),
        (Some("order.paid"), Some("Bearer hunter2"))
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));

    assert!(!id.stdout.contains("hunter2"));
    let delivery = delivery_in(daemon, "chat", "delivered");
    let shown = daemon.json(&["delivery", "show", text(&delivery, "id")]);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");

    // The same event once more, under its own id.
    let event = text(&shown, "event").to_owned();
    let sent = daemon.json(&["endpoint", "test", "chat", "--event", &event]);
    assert_eq!((text(&sent, "outcome"), sent["status"].as_u64()), ("delivered", Some(200)));
    assert_eq!(receiver.wait("/v1/rooms/a%2Fb", 2, SOON)[1].id(), event);
}

fn what_nothing_can_be_made_of_dies_at_once(home: &Home, daemon: &Daemon) {
    let broken = home.write("broken.json", r#"{"sum":12}"#);
    let ctl = daemon.ctl();
    for dry in [&["--dry-run"][..], &[]] {
        let args = [&["endpoint", "test", "chat", "--file", &broken][..], dry].concat();
        let done = ctl.try_json(&args);
        assert_eq!(done.code, Some(1), "{}", done.stdout);
        assert!(done.stdout.contains("default('')"), "{}", done.stdout);
    }

    daemon.done(&["event", "send", "--source", "shop", "--type", "order.odd", "--file", &broken]);
    let order = home.write("odd.json", r#"{"sum":13}"#);
    daemon.done(&["event", "send", "--source", "shop", "--type", "order.odd", "--file", &order]);
    let dead = delivery_in(daemon, "chat", "dead");
    assert_eq!(dead["attempts"].as_u64(), Some(1), "trying again would not help: {dead}");
}

/// A long chain of operators is a deep recursion where it is compiled: it is refused before, and
/// the daemon lives.
#[test]
fn no_template_kills_the_daemon() {
    let home = Home::new();
    let daemon = home.start();
    let chains = ["+1", "~1", "*1", "()", " or 1"]
        .map(|part| format!("{{{{ 1{} }}}}", part.repeat(16_000 / part.len())));
    // Nothing but long: these are compiled.
    let long = ["|int", ".a", "[1]"].map(|part| format!("{{{{ body{} }}}}", part.repeat(1000)));
    let brackets =
        format!("{{%set a=1%}}{}{{{{a|tojson}}}}", "{%set a=[[[[[[[[a]]]]]]]]%}".repeat(500));

    for template in chains.iter().chain(&long).chain([&brackets]) {
        let header = format!("X-a: {template}");
        for (option, value) in [("--body", template), ("--path", template), ("--header", &header)] {
            let url = [
                "endpoint",
                "create",
                "app",
                "--url",
                "http://127.0.0.1:1/",
                "--allow-private",
                option,
                value,
            ];

            let done = daemon.ctl().run(&url);
            if long.contains(template) {
                done.expect(0);
                daemon.done(&["endpoint", "delete", "app"]);
            } else {
                let output = done.expect(64).stderr;
                assert!(
                    output.contains("operators, at most 256") || output.contains("1024 brackets"),
                    "{output}"
                );
            }
        }

        let exec = ["endpoint", "create", "app", "--url", "exec:/bin/true", "--body", template];
        assert_eq!(daemon.json(&["status"])["endpoints"], 0, "it lives");
        daemon.ctl().run(&exec).expect(64);
    }
}

#[test]
fn mistakes_in_templates_are_found_before_there_is_an_event() {
    let home = Home::new();
    let daemon = home.start();

    for (option, value, word) in [
        ("--body", "{{ body.x", "line 1"),
        ("--body", "{{ bodi.x }}", "'bodi'"),
        ("--body", "{{ body.x | nosuch }}", "unknown filter"),
        ("--header", "webhook-id: 1", "set by hookbox"),
        ("--header", "no colon", "Name: value"),
        ("--method", "TRACE", "POST, PUT"),
        ("--header", "X-Key: {{ secret('env:NO_SUCH_NAME_HERE') }}", "NO_SUCH_NAME_HERE"),
        ("--proxy", "socks5://user:hunter2@p:1", "http://"),
        ("--client-cert", "/no/such.pem", "give both"),
        ("--arg", "-x", "exec:"),
        ("--where", "match(@.type, '[')", "regular expression"),
    ] {
        let done = daemon.ctl().try_json(&[
            "endpoint",
            "create",
            "e",
            "--url",
            "https://example.com/",
            option,
            value,
        ]);

        assert!(matches!(done.code, Some(1 | 64)), "{option} {value}: {}", done.stdout);
        assert!(
            done.stderr.contains(word) && !done.stderr.contains("hunter2"),
            "{option} {value}: {}",
            done.stderr
        );
    }
}

/// A command in a folder of its own that nobody else can write to (temporary folders lie where
/// everybody can), and a daemon that may run it.
pub(super) fn script(home: &mut Home, text: &str) -> (tempfile::TempDir, String) {
    let place = std::env::var("HOME").ok().filter(|place| is_safe(Path::new(place)));
    let place =
        place.expect("a home folder that others cannot change: commands run from nowhere else");
    let hooks = tempfile::tempdir_in(place).expect("a temporary folder");
    let text = home.write("alert.txt", &format!("#!/bin/sh\n{text}\n"));
    let path = home.program(&text, &hooks.path().join("alert").display().to_string());
    let config = home
        .write("hookbox.toml", &format!("[exec]\nallow = [\"{}/*\"]\n", hooks.path().display()));
    home.args.extend(["--config".to_owned(), config]);
    (hooks, path)
}

fn is_safe(place: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let mut above = place.ancestors().map(|folder| folder.metadata());
    above.all(|meta| {
        meta.is_ok_and(|meta| [0, own].contains(&meta.uid()) && meta.mode() & 0o022 == 0)
    })
}

#[test]
fn a_command_takes_deliveries_and_its_exit_code_decides() {
    let mut home = Home::new();
    let out = home.path().join("out").display().to_string();
    let text_of = format!(
        "body=$(cat)\necho \"$HOOKBOX_TYPE|$1|$2|$body\" >> {out}\ncase $HOOKBOX_TYPE in\nagain) \
         [ $HOOKBOX_ATTEMPT -ge 2 ] || {{ echo not yet; exit 75; }};;\nnever) echo no such device \
         >&2; exit 100;;\nesac"
    );
    let (_hooks, path) = script(&mut home, &text_of);

    let daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none", "--type-header", "x-type"]);
    let url = format!("exec:{path}");
    daemon.json(&[
        "endpoint",
        "create",
        "mail",
        "--url",
        &url,
        "--arg",
        "--subject",
        "--arg",
        "a b",
        "--retry-base",
        "50ms",
        "--jitter",
        "0",
        "--order",
        "strict",
    ]);

    for kind in ["fine", "again", "never"] {
        daemon.accept("/in/in", &[("x-type", kind)], kind.as_bytes());
    }
    daemon.await_count("delivered", 2);
    let dead = delivery_in(&daemon, "mail", "dead");

    let output = std::fs::read_to_string(home.path().join("out")).expect("it ran");
    let line = |kind: &str| format!("{kind}|--subject|a b|{kind}");
    assert_eq!(
        output.lines().collect::<Vec<_>>(),
        [line("fine"), line("again"), line("again"), line("never")]
    );

    let shown = daemon.json(&["delivery", "show", text(&dead, "id")]);
    let attempt = &shown["history"][0];
    assert_eq!(
        (attempt["exit"].as_i64(), attempt["output"].as_str()),
        (Some(100), Some("no such device\n")),
        "{shown}"
    );
    assert!(text(attempt, "error").contains("exit 100"), "{shown}");

    let test = daemon.json(&["endpoint", "test", "mail"]);
    assert_eq!((text(&test, "outcome"), test["exit"].as_i64()), ("delivered", Some(0)), "{test}");
    let test = daemon.json(&["endpoint", "test", "mail", "--dry-run"]);
    assert!(text(&test, "url").ends_with("alert \"--subject\" \"a b\""), "{test}");
}

#[test]
fn commands_are_off_until_the_configuration_allows_them() {
    let mut home = Home::new();
    let (_hooks, path) = script(&mut home, "exit 0");
    let config = home.path().join("hookbox.toml");
    let allowing = std::fs::read_to_string(&config).expect("it was written");
    std::fs::write(&config, "").expect("our own file");

    let daemon = home.start();
    let url = format!("exec:{path}");
    let create = [
        "endpoint",
        "create",
        "mail",
        "--url",
        &url,
        "--retry-base",
        "50ms",
        "--retry-max",
        "100ms",
    ];

    let refused = daemon.ctl().try_json(&create);
    assert!(refused.code == Some(64) && refused.stderr.contains("[exec]"), "{}", refused.stderr);

    std::fs::write(&config, &allowing).expect("our own file");
    daemon.signal(Signal::HUP);
    until("the endpoint is allowed", SOON, || {
        (daemon.ctl().try_json(&create).code == Some(0)).then_some(())
    });

    // Taken away again: nothing runs, nothing is lost.
    std::fs::write(&config, "").expect("our own file");
    daemon.signal(Signal::HUP);
    until("the command is not allowed", SOON, || {
        daemon.ctl().try_json(&["endpoint", "test", "mail"]).stdout.contains("[exec]").then_some(())
    });

    open_source(&daemon, "in");
    daemon.accept("/in/in", &[], b"x");
    until("two attempts that ran nothing", SOON, || {
        daemon.rows("/v1/deliveries?endpoint=mail")[0]["attempts"].as_u64().filter(|n| *n >= 2)
    });

    std::fs::write(&config, &allowing).expect("our own file");
    daemon.signal(Signal::HUP);
    daemon.await_count("delivered", 1);
}

/// A proxy for plain HTTP that keeps the first line of what it is asked and answers 204.
fn proxy() -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let _ = serve(stream, &sender);
        }
    });
    (address, asked)
}

fn serve(mut stream: TcpStream, sender: &std::sync::mpsc::Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let _ = sender.send(head);
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
}

#[test]
fn a_proxy_of_the_daemon_or_of_an_endpoint_is_used_for_what_leaves() {
    let (common, at_common) = proxy();
    let (own, at_own) = proxy();
    let mut home = Home::new();
    let text = format!(
        "[outbound]\nproxy = \"http://all:hunter2@{common}\"\nno_proxy = [\"127.0.0.0/8\"]\n"
    );
    let config = home.write("hookbox.toml", &text);
    home.args.extend(["--config".to_owned(), config]);

    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    daemon.json(&["endpoint", "create", "far", "--url", "http://far.example.com/a"]);

    let own = format!("http://me:hunter2@{own}");
    let made = daemon.json(&[
        "endpoint",
        "create",
        "own",
        "--url",
        "http://far.example.com/b",
        "--proxy",
        &own,
    ]);
    assert!(!made.to_string().contains("hunter2"), "{made}");
    quick_endpoint(&daemon, "near", &receiver.url("/c"), &["--bind", "127.0.0.3"]);

    let refused = daemon.ctl().try_json(&[
        "endpoint",
        "create",
        "x",
        "--url",
        "http://10.0.0.1/",
        "--proxy",
        &own,
    ]);
    assert_eq!(refused.code, Some(64), "what is named outright is guarded behind a proxy, too");

    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 3);
    let asked = at_common.recv_timeout(SOON).expect("one request");
    assert!(asked.starts_with("POST http://far.example.com/a HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic "), "{asked}");
    let asked = at_own.recv_timeout(SOON).expect("one request");
    assert!(asked.starts_with("POST http://far.example.com/b HTTP/1.1\r\n"), "{asked}");
    assert_eq!(receiver.count("/c"), 1);
    assert!(!daemon.log_text().contains("hunter2"));

    for list in [&["endpoint", "list"][..], &["delivery", "list"]] {
        let rows = daemon.lines(list);
        assert!(!format!("{rows:?}").contains("hunter2"), "{rows:?}");
    }
}
