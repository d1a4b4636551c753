//! What comes in is shown and forwarded to an application on this machine, also from another one by
//! the system's ssh.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::support::ctl::{built, finish, program};
use super::support::daemon::signal;
use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, text};

/// A running `hookboxctl --json listen`, ended with the test.
struct Listening {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listening {
    fn start(daemon: &Daemon, args: &[&str]) -> Self {
        let mut child = daemon.ctl().spawn(&[&["--json", "listen"][..], args].concat());
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// The same, and waits until it has its endpoint.
    fn begin(daemon: &Daemon, args: &[&str]) -> Self {
        let listening = Self::start(daemon, args);
        await_endpoint(daemon);
        listening
    }

    /// The next event that it has dealt with.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        signal(self.child.id(), Signal::INT);
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A daemon with these sources, and nobody who listens yet.
fn with_sources(home: &Home, sources: &[&str]) -> Daemon {
    let daemon = home.start();
    sources.iter().for_each(|source| open_source(&daemon, source));
    daemon
}

fn endpoints(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.lines(&["endpoint", "list"]);
    listed.iter().map(|endpoint| text(endpoint, "name").to_owned()).collect()
}

/// Waits until somebody listens.
fn await_endpoint(daemon: &Daemon) {
    until("its endpoint", SOON, || (!endpoints(daemon).is_empty()).then_some(()));
}

#[test]
fn a_closed_terminal_takes_the_endpoint_away_too() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let mut listening = Listening::start(&daemon, &["--source", "in"]);
    await_endpoint(&daemon);
    signal(listening.child.id(), Signal::HUP);
    if hangup_is_ignored() {
        // Under `nohup`, these tests as well, it is meant to go on.
        return listening.interrupt();
    }
    listening.child.wait().expect("it ends");
    assert!(endpoints(&daemon).is_empty());
}

fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(ignored.trim(), 16).expect("a number") & 1 == 1
}

#[test]
fn events_are_forwarded_signed_and_the_endpoint_goes_with_the_command() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = with_sources(&home, &["in", "other"]);
    let secret = home.write("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    receiver.script("/hook", [Step::Status(500)]);
    let url = receiver.url("/hook");
    let args = ["--source", "in", "--forward", &url, "--secret-file", &secret];
    let mut listening = Listening::begin(&daemon, &args);

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    daemon.accept("/in/other", &[], b"0");
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("authorization", "Bearer hunter2"),
        ("traceparent", parent),
    ];
    let id = daemon.accept("/in/in", &headers, b"{\"n\":1}");

    // What the application refuses is tried again.
    let refused = listening.next();
    assert_eq!((text(&refused, "event"), &refused["status"]), (id.as_str(), &500.into()));
    let taken = listening.next();
    assert_eq!((&taken["status"], &taken["attempt"]), (&200.into(), &2.into()), "{taken}");
    let seen = receiver.wait("/hook", 2, SOON);
    assert_eq!((seen[1].id(), &seen[1].body[..]), (id.as_str(), &b"{\"n\":1}"[..]));
    assert_eq!(seen[1].header("x-github-event"), Some("push"));
    assert_eq!(seen[1].header("hookbox-source"), Some("in"));
    assert_eq!(seen[1].header("authorization"), None);
    let seconds = seen[1].header("webhook-timestamp").expect("a time");
    let expected = super::support::signature::standard(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        &id,
        seconds,
        b"{\"n\":1}",
    );
    assert_eq!(seen[1].header("webhook-signature"), Some(expected.as_str()));
    let spans: Vec<&str> = seen.iter().filter_map(|seen| seen.header("traceparent")).collect();
    assert!(
        spans[0] != spans[1] && spans.iter().all(|span| span[..36] == parent[..36]),
        "{spans:?}"
    );

    listening.interrupt();
    assert_eq!(endpoints(&daemon), Vec::<String>::new());
}

#[test]
fn with_keep_it_goes_on_where_it_was() {
    let home = Home::new();
    let daemon = with_sources(&home, &["in"]);
    let mut listening = Listening::begin(&daemon, &["--keep"]);
    daemon.accept("/in/in", &[], b"1");
    assert_eq!(listening.next()["size"], 1);
    listening.interrupt();
    assert_eq!(endpoints(&daemon).len(), 1);

    let id = daemon.accept("/in/in", &[], b"22");
    let mut listening = Listening::start(&daemon, &["--keep"]);
    assert_eq!(text(&listening.next(), "event"), id);

    // Another run takes nothing from it, nor from a third one, and deletes its own endpoint alone.
    let mut second = Listening::start(&daemon, &[]);
    let mut third = Listening::start(&daemon, &[]);
    until("an endpoint each", SOON, || (endpoints(&daemon).len() == 3).then_some(()));
    let id = daemon.accept("/in/in", &[], b"333");
    for each in [&mut listening, &mut second, &mut third] {
        assert_eq!(text(&each.next(), "event"), id);
    }
    second.interrupt();
    third.interrupt();
    let kept = endpoints(&daemon);
    assert_eq!(kept.len(), 1);
    listening.interrupt();
    assert_eq!(endpoints(&daemon), kept);
    daemon.json(&["endpoint", "delete", &kept[0]]);

    // One that somebody else has made stays, and one that is no pull endpoint is left alone.
    daemon.json(&["endpoint", "create", "jobs", "--url", "pull:"]);
    daemon.accept("/in/in", &[], b"3");
    let shown = daemon.ctl().run(&["listen", "--name", "jobs", "--max", "1"]).expect(0);
    assert!(shown.stdout.contains(" from in  [evt_"), "{}", shown.stdout);
    daemon.json(&["endpoint", "create", "app", "--url", "http://127.0.0.1:9/", "--allow-private"]);
    let refused = daemon.ctl().run(&["listen", "--name", "app"]).expect(1);
    assert!(refused.stderr.contains("choose another --name"), "{}", refused.stderr);
    assert_eq!(endpoints(&daemon), ["app", "jobs"]);
    let refused = daemon.ctl().run(&["listen", "--forward", "ftp://example.com/"]).expect(64);
    assert!(refused.stderr.contains("http://localhost:3000/hook"), "{}", refused.stderr);
}

#[test]
fn what_is_forwarded_to_the_same_daemon_does_not_go_round_for_ever() {
    let home = Home::new();
    let daemon = with_sources(&home, &["in"]);
    let url = format!("http://{}/in/in", daemon.addr);
    let mut listening = Listening::begin(&daemon, &["--source", "in", "--forward", &url]);

    let first = daemon.accept("/in/in", &[("hookbox-hops", "5")], b"round");
    assert_eq!(text(&listening.next(), "event"), first);
    // The third time it has passed eight, and is kept without a delivery.
    daemon.await_log("an event has passed too many hookbox daemons");
    let passed = daemon.lines(&["event", "list", "--source", "in"]);
    let hops = |event: &Value| {
        let shown = daemon.json(&["event", "show", text(event, "id")]);
        text(&shown["headers"], "hookbox-hops").to_owned()
    };
    assert_eq!(passed.iter().map(hops).collect::<Vec<_>>(), ["8", "7", "6", "5"]);
    listening.interrupt();
}

#[test]
fn what_is_asked_for_has_an_endpoint_of_its_own_that_stays() {
    let home = Home::new();
    let daemon = with_sources(&home, &["a", "b"]);
    let mut of_a = Listening::start(&daemon, &["--keep", "--source", "a"]);
    let mut of_b = Listening::start(&daemon, &["--keep", "--source", "b"]);
    until("an endpoint each", SOON, || (endpoints(&daemon).len() == 2).then_some(()));

    // Neither gets what the other one asked for, however long they run beside each other.
    let ids = |source: &str| -> Vec<String> {
        let post = |_| daemon.accept(&format!("/in/{source}"), &[], source.as_bytes());
        (0..3).map(post).collect()
    };
    let (a, b) = (ids("a"), ids("b"));
    for (listening, expected) in [(&mut of_a, a), (&mut of_b, b)] {
        let seen: Vec<String> =
            expected.iter().map(|_| text(&listening.next(), "event").to_owned()).collect();
        assert_eq!(seen, expected);
    }
    of_a.interrupt();
    of_b.interrupt();
    assert_eq!(endpoints(&daemon).len(), 2);
}

#[test]
fn a_connection_that_is_lost_is_reported_and_made_again() {
    let home = Home::new();
    let daemon = with_sources(&home, &["in"]);
    let (ssh, path) = stand_in_for_ssh(&home);
    let mut command = program(&built("hookboxctl"));
    command.arg("--socket").arg(format!("ssh://me@box{}", daemon.ctl().socket.display()));
    command.args(["--json", "listen", "--keep"]).env("PATH", path);
    command.env("XDG_RUNTIME_DIR", home.path());
    let mut child = command.spawn().expect("it starts");
    let mut notes = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut note = || notes.next().expect("a line").expect("text");
    assert!(note().contains("Listening to all sources"));
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut listening = Listening { child, lines };
    let given = |what: &str| std::fs::read_to_string(format!("{ssh}.{what}")).expect("readable");
    assert!(!given("args").contains("BatchMode"));

    // The daemon and ssh go; another daemon comes, and another ssh, which may ask for nothing.
    await_endpoint(&daemon);
    signal(given("pid").trim().parse().expect("a number"), Signal::KILL);
    daemon.kill();
    assert!(note().contains("the connection was lost; connecting again"));
    let daemon = home.start();
    while note() != "hookboxctl: connected again" {}
    assert!(given("args").contains("BatchMode=yes"));
    let id = daemon.accept("/in/in", &[], b"1");
    assert_eq!(text(&listening.next(), "event"), id);
    listening.interrupt();
}

/// A stand-in for ssh that knows one host, and reaches its socket by a link.
const SSH: &str = r#"#!/bin/sh
printf '%s\n' "$@" > "$0.args"
echo $$ > "$0.pid"
while [ $# -gt 0 ]; do
    case "$1" in
        -L) link=$2; shift ;;
        --) host=$2; command=$3; break ;;
    esac
    shift
done
[ "$host" = me@box ] || { echo "ssh: cannot resolve $host" >&2; exit 255; }
echo "Welcome to box"
ln -s "${link#*:}" "${link%%:*}" && exec "$command"
"#;

/// The stand-in, as a program, and the path on which it is found.
fn stand_in_for_ssh(home: &Home) -> (String, String) {
    let script = home.write("ssh.sh", SSH);
    let ssh = home.program(&script, "bin/ssh");
    (ssh, format!("{}:/usr/bin:/bin", home.path().join("bin").display()))
}

#[test]
fn every_command_reaches_another_machine_by_ssh() {
    let home = Home::new();
    let daemon = with_sources(&home, &["in"]);
    let (ssh, path) = stand_in_for_ssh(&home);
    let by_ssh = |host: &str, args: &[&str]| {
        let mut command = program(&built("hookboxctl"));
        let socket = format!("ssh://{host}:2222{}", daemon.ctl().socket.display());
        command.arg("--socket").arg(socket).args(args).env("PATH", &path);
        command.env("XDG_RUNTIME_DIR", home.path());
        command.stdin(Stdio::null());
        finish(command, None)
    };

    let shown = by_ssh("me@box", &["--json", "source", "list"]).expect(0);
    assert!(shown.stdout.contains("\"name\":\"in\""), "{}", shown.stdout);
    let given = std::fs::read_to_string(format!("{ssh}.args")).expect("its arguments");
    let given: Vec<&str> = given.lines().collect();
    let ends = ["--", "me@box", "cat"];
    assert_eq!(&given[given.len() - 3..], ends, "{given:?}");
    assert!(given.windows(2).any(|pair| pair == ["-p", "2222"]), "{given:?}");
    assert!(given.contains(&"ExitOnForwardFailure=yes"), "{given:?}");

    // Nothing is left of it: neither the folder nor the process, which has ended with its input.
    let left = std::fs::read_dir(home.path()).expect("readable").filter_map(Result::ok);
    let left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into()).collect();
    assert!(!left.iter().any(|name| name.starts_with("hookboxctl-")), "{left:?}");

    let failed = by_ssh("me@elsewhere", &["status"]).expect(69);
    assert!(failed.stderr.contains("cannot resolve me@elsewhere"), "{}", failed.stderr);
    assert!(failed.stderr.contains("cannot reach "), "{}", failed.stderr);
    let refused = by_ssh("-oProxyCommand=touch", &["status"]).expect(64);
    assert!(refused.stderr.contains("names no host"), "{}", refused.stderr);
    // What needs no daemon needs no way to one.
    by_ssh("me@elsewhere", &["source", "schemes"]).expect(0);
}
