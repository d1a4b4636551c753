//! The recipes of `docs/guide/notify.md`: each command is taken from the page and run as it stands
//! there, with a stand-in in the place of the service.

use std::process::Stdio;

use serde_json::{Value, json};

use super::support::ctl::{built, finish, program};
use super::support::{Daemon, Home, Receiver, SOON, Seen, Step, until};
use super::{open_source, quick_endpoint, text};

const PAGE: &str = include_str!("../../../docs/guide/notify.md");

/// The command of the page that makes this endpoint.
fn recipe(name: &str) -> String {
    let begin = format!("hookboxctl endpoint create {name} ");
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let found: Vec<&str> = blocks.filter(|block| block.starts_with(&begin)).collect();
    assert_eq!(found.len(), 1, "one recipe for {name}");
    found[0].to_owned()
}

/// Runs a command of the page in a shell, as somebody who has pasted it.
#[track_caller]
fn paste(home: &Home, daemon: &Daemon, command: &str) {
    let bin = home.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let _ = std::os::unix::fs::symlink(built("hookboxctl"), bin.join("hookboxctl"));
    let mut shell = program("sh");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    shell.args(["-c", command]).env("PATH", path).env("HOOKBOX_SOCKET", &daemon.ctl().socket);
    shell.stdin(Stdio::null());
    finish(shell, None).expect(0);
}

/// The same for a service on the net: its URL is that of the stand-in.
#[track_caller]
fn paste_for(home: &Home, daemon: &Daemon, name: &str, url: &str, receiver: &Receiver) {
    let command = recipe(name);
    let (service, path) = url.split_at(url[8..].find('/').expect("a path") + 8);
    assert!(command.contains(url), "{url} in {command}");
    let here = receiver.url("");
    let here = here.trim_end_matches('/');
    let command = command.replace(&format!("{service}{path}"), &format!("{here}{path}"));
    paste(home, daemon, &format!("{command} --allow-private"));
}

/// Has an endpoint lag and catch up.
fn trouble(daemon: &Daemon, receiver: &Receiver, notices: impl Fn() -> usize) {
    open_source(daemon, "in");
    receiver.always("/app", Step::Status(500));
    let url = receiver.url("/app");
    quick_endpoint(daemon, "app", &url, &["--warn-after", "1s", "--from", "in"]);
    daemon.accept("/in/in", &[], b"1");
    until("the first notices", SOON, || (notices() > 0).then_some(()));
    receiver.always("/app", Step::Status(200));
}

#[test]
fn the_services_of_the_page_get_what_they_ask_for() {
    let mut home = Home::new();
    home.environment.push(("PAGER_KEY".into(), "R0UT1NG".into()));
    let receiver = Receiver::start();
    let daemon = home.start();
    let services = [
        ("ntfy", "https://ntfy.sh/my-hookbox-7f3a"),
        ("slack", "https://hooks.slack.com/services/T0000/B0000/XXXX"),
        ("pager", "https://events.pagerduty.com/v2/enqueue"),
    ];
    for (name, url) in services {
        paste_for(&home, &daemon, name, url, &receiver);
    }
    let path = |n: usize| services[n].1[8..].find('/').map(|at| &services[n].1[at + 8..]);
    let [ntfy, slack, pager] = [path(0), path(1), path(2)].map(|path| path.expect("a path"));
    trouble(&daemon, &receiver, || receiver.count(pager));
    for path in [ntfy, slack, pager] {
        until(&format!("two notices at {path}"), SOON, || {
            (receiver.count(path) >= 2).then_some(())
        });
    }

    let of = |path: &str, kind: &str| -> Seen {
        let seen = receiver.seen(path);
        let found = seen.iter().find(|seen| seen.header("hookbox-type") == Some(kind));
        found.unwrap_or_else(|| panic!("no {kind} at {path}")).clone()
    };
    let lagging = of(ntfy, "hookbox.endpoint.lagging");
    assert_eq!(lagging.header("title"), Some("hookbox.endpoint.lagging"));
    assert_eq!(
        (lagging.header("tags"), lagging.header("priority")),
        (Some("warning"), Some("default"))
    );
    assert!(lagging.body.starts_with(b"app: {"), "{}", String::from_utf8_lossy(&lagging.body));
    let over = of(ntfy, "hookbox.endpoint.caught_up");
    assert_eq!(over.header("tags"), Some("tada"));

    let body = |seen: Seen| -> Value { serde_json::from_slice(&seen.body).expect("JSON") };
    let said = body(of(slack, "hookbox.endpoint.lagging"));
    let alarm = text(&said, "text");
    assert!(alarm.starts_with("*hookbox.endpoint.lagging* app\nanswered 500"), "{alarm}");
    let over = body(of(slack, "hookbox.endpoint.caught_up"));
    assert_eq!(over, json!({"text": "*hookbox.endpoint.caught_up* app"}));

    let opened = body(of(pager, "hookbox.endpoint.lagging"));
    let closed = body(of(pager, "hookbox.endpoint.caught_up"));
    assert_eq!(
        (text(&opened, "event_action"), text(&closed, "event_action")),
        ("trigger", "resolve")
    );
    assert_eq!(opened["dedup_key"], closed["dedup_key"]);
    assert_eq!(text(&opened, "routing_key"), "R0UT1NG");
    let summary = text(&opened["payload"], "summary");
    assert!(summary.starts_with("hookbox.endpoint.lagging app answered 500"), "{summary}");
    assert_eq!(closed["payload"]["custom_details"]["delivered"], 1);
}

#[test]
fn mail_is_a_whole_message_for_sendmail() {
    let mut home = Home::new();
    let sent = home.path().join("sent");
    std::fs::create_dir(&sent).expect("a folder");
    // A stand-in for sendmail, which keeps each message in a file.
    let keep = format!("{}/$HOOKBOX_ID", sent.display());
    let text =
        format!("[ \"$*\" = '-t -oi' ] || exit 64\ncat > {keep}.part && mv {keep}.part {keep}");
    let (_folder, sendmail) = super::transports::script(&mut home, &text);
    let receiver = Receiver::start();
    let daemon = home.start();
    paste(&home, &daemon, &recipe("mail").replace("/usr/sbin/sendmail", &sendmail));

    let mails = || -> Vec<String> {
        let files = std::fs::read_dir(&sent).expect("readable").filter_map(Result::ok);
        let whole = files.filter(|file| !file.file_name().to_string_lossy().ends_with(".part"));
        whole.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    };
    trouble(&daemon, &receiver, || mails().len());
    let mail = until("the second mail", SOON, || {
        mails().into_iter().find(|mail| mail.contains("caught_up"))
    });
    let (head, body) = mail.split_once("\n\n").expect("head and body");
    assert!(head.starts_with("To: ops@example.com\n"), "{mail}");
    assert!(head.contains("\nSubject: hookbox: hookbox.endpoint.caught_up app\n"), "{mail}");
    assert!(body.contains("\"delivered\":1"), "{mail}");
}
