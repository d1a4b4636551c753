//! The first half hour: what somebody who begins gets wrong, and what the programs say of it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::support::{Daemon, Home};
use super::{open_source, text};

/// What a command that is wrong says.
#[track_caller]
fn refused(daemon: &Daemon, args: &[&str], code: i32) -> String {
    let done = daemon.ctl().run(args).expect(code);
    assert_eq!(done.stderr.lines().count(), 1, "{args:?}: {}", done.stderr);
    done.stderr
}

#[test]
fn wrong_values_are_usage_errors_that_name_their_option() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let wrong_time: [&[&str]; 5] = [
        &["dlq", "retry", "--since", "foo"],
        &["replay", "--since", "yesterday"],
        &["event", "list", "--since", "foo"],
        &["delivery", "list", "--since", "foo"],
        &["stats", "--since", "foo"],
    ];
    for args in wrong_time {
        let said = refused(&daemon, args, 64);
        assert!(said.contains("'since' (--since): ") && said.contains("2h"), "{args:?}: {said}");
    }

    for (args, cure) in [
        (&["event", "list", "--limit", "abc"][..], "must be a whole number from 1"),
        (&["stats", "--step", "soon"], "'step' (--step): 'soon' is not a duration"),
        (
            &["endpoint", "create", "a", "--url", "localhost:3000/hook"],
            "write http://localhost:3000/",
        ),
        (&["endpoint", "create", "a", "--url", "http://x/", "--rate", "fast"], "must be a rate"),
        (
            &["endpoint", "create", "a", "--url", "exec:/bin/true"],
            "(start hookboxd with --config FILE)",
        ),
        (&["endpoint", "create", "a", "--url", "pull:", "--where", "type == \"push\""], "@.type"),
    ] {
        let said = refused(&daemon, args, 64);
        assert!(said.contains(cure), "{args:?}: {said}");
    }

    // Numbers are seconds.
    let figures = daemon.json(&["stats", "--since", "1h", "--step", "60"]);
    assert_eq!(figures["step_ms"], 60_000, "{figures}");

    let data = home.data().to_string_lossy().into_owned();
    let said = refused(&daemon, &["log", "verify", "--data", &data], 1);
    assert!(said.contains("or leave out --data"), "{said}");
}

#[test]
fn options_that_the_daemon_does_not_have_are_one_line() {
    let home = Home::new();
    let said = home.run_daemon(&["--verbose"]).expect(64).stderr;
    assert!(said.starts_with("hookboxd: unexpected argument '--verbose'"), "{said}");
    assert!(said.trim_end().ends_with("see `hookboxd --help`") && said.lines().count() == 1);
}

#[test]
fn a_data_folder_that_others_can_change_is_warned_of() {
    let warning = "others can change the data folder";
    let home = Home::new();
    std::fs::create_dir(home.data()).expect("a folder");
    std::fs::set_permissions(home.data(), PermissionsExt::from_mode(0o777)).expect("its mode");
    let daemon = home.start();
    let found = daemon.log_text().matches(warning).count();
    assert_eq!(found, 1, "{}", daemon.log_text());

    let closed = Home::new();
    let daemon = closed.start();
    assert!(!daemon.log_text().contains(warning), "{}", daemon.log_text());
}

#[test]
fn a_source_that_accepts_everybody_is_warned_of_once() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.ctl().run(&["source", "create", "open"]).expect(0).stdout;
    assert!(made.contains("Warning: it accepts requests from anybody"), "{made}");
    assert_eq!(daemon.json(&["source", "show", "open"])["warnings"], Value::Null);

    let secret = home.write("secret", "0123456789abcdef0123456789abcdef");
    for closed in [
        &["--token"][..],
        &["--allow", "127.0.0.1"],
        &["--verify", "github", "--secret-file", &secret],
    ] {
        let name = closed[0].trim_start_matches('-');
        let made = daemon.json(&[&["source", "create", name][..], closed].concat());
        assert_eq!(made["warnings"], Value::Null, "{made}");
    }
}

#[test]
fn a_duplicate_in_the_tail_names_the_event_that_it_repeats_and_its_source() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    let send = ["event", "send", "--source", "in", "--id", "key", "--data", "1"];
    let first = text(&daemon.json(&send), "id").to_owned();
    assert_eq!(daemon.json(&send)["duplicate"], true);

    let tail = daemon.lines(&["tail"]);
    let duplicate = tail.iter().find(|line| line["what"] == "duplicate").expect("it is there");
    assert_eq!((text(duplicate, "id"), text(duplicate, "source")), (first.as_str(), "in"));
    daemon.json(&["event", "show", text(duplicate, "id")]);
    let screen = daemon.ctl().run(&["tail"]).expect(0).stdout;
    assert!(screen.contains(&format!("in    in  duplicate of {first}")), "{screen}");

    // Of a source alone there are its own, also of those that come while somebody watches.
    open_source(&daemon, "other");
    let of = |source: &str| {
        let tail = daemon.lines(&["tail", "--source", source]);
        tail.iter().map(|line| text(line, "what").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((of("in"), of("other")), (vec!["event".into(), "duplicate".into()], vec![]));
    let mut following = daemon.ctl().spawn(&["--json", "tail", "-f", "--source", "in"]);
    let mut lines = BufReader::new(following.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("readable");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(
        (next()["what"].clone(), next()["what"].clone()),
        ("event".into(), "duplicate".into())
    );
    let elsewhere = ["event", "send", "--source", "other", "--id", "key", "--data", "1"];
    for send in [&elsewhere, &elsewhere, &send] {
        daemon.json(send);
    }
    let live = next();
    assert_eq!((text(&live, "what"), text(&live, "source")), ("duplicate", "in"), "{live}");
    let _ = following.kill();
    let _ = following.wait();
}

#[test]
fn a_secret_is_made_only_where_requests_are_signed() {
    let home = Home::new();
    let daemon = home.start();
    let url = ["https://app.example/a", "https://app.example/b"];
    let made = daemon.json(&["endpoint", "create", "jobs", "--url", "pull:"]);
    assert_eq!((&made["secret"], &made["secrets"]), (&Value::Null, &json!([])), "{made}");

    // It is made, and shown, once requests are.
    let signs = daemon.json(&["endpoint", "update", "jobs", "--url", url[0]]);
    assert!(text(&signs, "secret").starts_with("whsec_"), "{signs}");
    let moved = daemon.json(&["endpoint", "update", "jobs", "--url", url[1]]);
    assert_eq!(moved["secret"], Value::Null, "{moved}");

    let file = |url: &str| home.write("e.toml", &format!("[endpoint.filed]\nurl = '{url}'\n"));
    let secret = |url: &str| daemon.json(&["apply", &file(url)])["changes"][0]["secret"].clone();
    assert_eq!(secret("pull:"), Value::Null);
    assert!(secret(url[0]).as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    assert_eq!(secret(url[1]), Value::Null);
}
