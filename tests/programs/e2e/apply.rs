//! Sources and endpoints as files: applied, compared, exported, pruned, renamed, and applied at the
//! start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::support::ctl::{built, finish, program};
use super::support::{Daemon, Done, Home, Receiver, SOON, Step, until};
use super::{open_source, text};

const SYSTEM: [&str; 2] = ["--config", "/etc/hookbox/hookbox.toml"];

/// A source and an endpoint on loopback.
fn site(url: &str) -> String {
    format!(
        "[source.in]\nmax_body = \"2MiB\"\n\n[endpoint.app]\nurl = \"{url}\"\nfrom = [\"in\"]\n\
         allow_private = true\nretry_base = \"50ms\"\nretry_max = \"400ms\"\njitter = 0\n"
    )
}

fn apply(daemon: &Daemon, file: &str, more: &[&str]) -> Value {
    let mut args = vec!["apply", file];
    args.extend(more);
    daemon.json(&args)
}

fn changes(applied: &Value) -> usize {
    applied["changes"].as_array().map_or(usize::MAX, Vec::len)
}

fn run(daemon: &Daemon, args: &[&str]) -> Done {
    daemon.ctl().run(args)
}

#[test]
fn what_is_exported_is_the_same_when_it_is_applied() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "shop");
    let secret = home.write("secret", "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ");
    daemon.json(&["source", "create", "gh", "--verify", "github", "--secret-file", &secret]);
    daemon.json(&["bin", "create", "b"]);
    daemon.json(&[
        "endpoint",
        "create",
        "app",
        "--url",
        "https://app.example/x?token=CANARY",
        "--from",
        "shop",
        "--header",
        "Authorization: Bearer CANARY",
        "--body",
        "{{ body }}\n'x'",
    ]);

    for format in ["toml", "json"] {
        let exported = run(&daemon, &["export", "--format", format]).expect(0).stdout;
        assert!(!exported.contains("CANARY") && !exported.contains("Q0FOQVJZ"), "{exported}");
        assert!(exported.contains("gh") && !exported.contains("bin"), "{exported}");
        let again = run(&daemon, &["export", "--format", format]).expect(0).stdout;
        assert_eq!(exported, again, "always in the same order");

        let file = home.write(&format!("site.{format}"), &exported);
        run(&daemon, &["diff", "-f", &file]).expect(0);
        let applied = apply(&daemon, &file, &[]);
        assert_eq!((changes(&applied), &applied["unchanged"]), (0, &Value::from(3)), "{applied}");
        let piped = daemon
            .ctl()
            .run_with_input(&["apply", "-", "--format", format, "--dry-run"], exported.as_bytes());
        assert!(piped.expect(0).stdout.contains("3 unchanged"));
    }
}

#[test]
fn a_dry_run_says_field_by_field_what_apply_then_does_at_once() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    let file = home.write("site.toml", &site(&receiver.url("/a")));

    let before = text(&daemon.json(&["log", "head"]), "hash").to_owned();
    let dry = run(&daemon, &["apply", &file, "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("create source in\n    max_body"), "{dry}");
    assert!(dry.contains("create endpoint app") && dry.contains("this was a dry run"), "{dry}");
    assert!(!dry.contains("whsec_"), "{dry}");
    run(&daemon, &["diff", &file]).expect(1);
    assert_eq!(text(&daemon.json(&["log", "head"]), "hash"), before, "nothing was remembered");

    let applied = apply(&daemon, &file, &[]);
    assert_eq!(changes(&applied), 2, "{applied}");
    assert!(text(&applied["changes"][1], "secret").starts_with("whsec_"), "{applied}");
    daemon.accept("/in/in", &[], b"1");
    receiver.wait("/a", 1, SOON);
    assert_eq!(changes(&apply(&daemon, &file, &[])), 0);
    assert_eq!(run(&daemon, &["diff", &file]).expect(0).stdout, "");

    // What was changed beside the files is seen, and changed back.
    daemon.json(&["endpoint", "update", "app", "--rate", "5/s"]);
    let diff = run(&daemon, &["diff", &file]).expect(1).stdout;
    assert!(diff.contains("change endpoint app\n    rate  5/s -> (default)"), "{diff}");
    assert_eq!(changes(&apply(&daemon, &file, &[])), 1);
    assert_eq!(daemon.json(&["endpoint", "show", "app"])["rate"], Value::Null);
}

#[test]
fn what_is_refused_leaves_everything_as_it_was() {
    let home = Home::new();
    let daemon = home.start();
    let good = home.write("good.toml", &site("http://127.0.0.1:9/a"));
    apply(&daemon, &good, &["--set", "site"]);
    let before = run(&daemon, &["export"]).expect(0).stdout;
    let head = text(&daemon.json(&["log", "head"]), "hash").to_owned();

    // One entry is wrong, each in another place: where it is read, planned, checked, decided.
    for (number, (wrong, why, code)) in [
        ("[endpoint.x]\nurl = 'pull:'\nratee = '1/s'\n", "x.toml:8: endpoint.x: unknown", 64),
        ("[source.x]\nsecret = 'hunter2'\n", "x.toml:7: source.x: 'secret'", 64),
        ("[endpoint.x]\nurl = 'pull:'\nburst = 3\n", "x.toml:8: endpoint.x: 'burst'", 64),
        ("[source.hookbox]\n", "x.toml:6: source.hookbox: is built in", 64),
        ("[endpoint.x]\nmax_age = 2026-01-01\n", "x.toml:7: endpoint.x: 'max_age': 2026", 64),
        ("[endpoint.x]\nfrom = ['in']\n", "x.toml:6: endpoint.x: 'url' (--url): is missing", 64),
        (
            "[endpoint.x]\nurl = 'http://127.0.0.1:9/'\n",
            "x.toml:6: endpoint.x: 127.0.0.1 is a loopback address: add `allow_private = true`",
            64,
        ),
        ("[source.x]\nverify = 'github'\n", "`secret = \"file:/…\"` (--secret-file)", 64),
        ("[source.x]\nverify = 'no-such'\n", "source.x: ", 64),
        ("[source.x]\nverify = 'github'\nsecret = 'env:NO_SUCH'\n", "NO_SUCH", 64),
        ("[endpoint.x]\nurl = 'pull:'\nwhere = '@.body.x ==='\n", "endpoint.x: ", 64),
        ("[endpoint.x]\nurl = 'pull:'\nfrom = ['nobody']\n", "x.toml:8: endpoint.x: 'from'", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let added = "[source.more]\n\n[source.in]\nmax_body = '3MiB'\n\n".to_owned() + wrong;
        let file = home.write(&format!("{number}x.toml"), &added);
        let refused = run(&daemon, &["apply", &file]);
        assert!(refused.stderr.contains(why), "{wrong}: {refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
        let refused = refused.expect(code);
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        run(&daemon, &["diff", &file]).expect(2);
    }

    // In JSON, too, what the daemon refuses is named with the line of its entry.
    let json =
        "{\"endpoint\": {\n  \"y\": {\"url\": \"pull:\"},\n  \"x\": {\"from\": [\"in\"]}\n}}";
    let refused = run(&daemon, &["apply", &home.write("x.json", json)]).expect(64).stderr;
    assert!(refused.contains("x.json:3: endpoint.x: 'url' (--url): is missing"), "{refused}");

    let twice = home.write("twice.toml", "[source.in]\n");
    let refused = run(&daemon, &["apply", &good, "-f", &twice]).expect(64).stderr;
    assert!(refused.contains("twice.toml:1: source.in is in "), "{refused}");
    assert!(refused.contains("good.toml:1, too"), "{refused}");
    let taken = run(&daemon, &["apply", &good, "--set", "other"]).expect(1).stderr;
    assert!(taken.contains("belongs to the set 'site'"), "{taken}");
    run(&daemon, &["apply", &good, "--prune"]).expect(64);
    // Wrong options are no difference either: 2, as diff(1) has it.
    for wrong in [&["diff"][..], &["diff", &good, "--prune"], &["diff", "--no-such", &good]] {
        let refused = run(&daemon, wrong).expect(2);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("diff --help"), "{refused:?}");
    }

    assert_eq!(run(&daemon, &["export"]).expect(0).stdout, before);
    assert_eq!(text(&daemon.json(&["log", "head"]), "hash"), head, "nothing was remembered");
}

#[test]
fn a_rename_keeps_the_backlog_and_the_dead_letters() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/a", Step::Status(503));
    let first = site(&receiver.url("/a")) + "max_attempts = 1\n";
    apply(&daemon, &home.write("site.toml", &first), &["--set", "site"]);
    daemon.accept("/in/in", &[], b"dies");
    daemon.await_count("dead", 1);
    daemon.done(&["endpoint", "hold", "app"]);
    daemon.accept("/in/in", &[], b"waits");
    daemon.await_count("held", 1);

    let second = site(&receiver.url("/b"))
        .replace("[source.in]", "[source.hooks]\nprevious_name = 'in'")
        .replace("[endpoint.app]", "[endpoint.web]\nprevious_name = 'app'")
        .replace("[\"in\"]", "[\"hooks\"]");
    let file = home.write("site.toml", &second);
    let renamed = run(&daemon, &["apply", &file, "--set", "site", "--prune"]).expect(0).stdout;
    assert!(renamed.contains("rename endpoint web (was app)"), "{renamed}");
    assert!(renamed.contains("post to /in/hooks from now on"), "{renamed}");
    assert_eq!(changes(&apply(&daemon, &file, &["--set", "site", "--prune"])), 0);

    assert_eq!(daemon.lines(&["dlq", "list", "--endpoint", "web"]).len(), 1);
    assert_eq!(
        daemon.lines(&["delivery", "list", "--endpoint", "web", "--state", "held"]).len(),
        1
    );
    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.post("/in/in", &[], b"x").status, 404);
    daemon.accept("/in/hooks", &[], b"new");
    daemon.done(&["endpoint", "release", "web"]);
    daemon.done(&["dlq", "retry", "--endpoint", "web"]);
    let mut bodies: Vec<Vec<u8>> =
        receiver.wait("/b", 3, SOON).into_iter().map(|seen| seen.body.to_vec()).collect();
    bodies.sort();
    assert_eq!(bodies, [b"dies".to_vec(), b"new".to_vec(), b"waits".to_vec()]);
}

#[test]
fn prune_deletes_what_the_set_lost_and_nothing_that_waits() {
    let home = Home::new();
    let daemon = home.start();
    let file = home.write("site.toml", &site("http://127.0.0.1:9/a"));
    apply(&daemon, &file, &["--set", "site"]);
    daemon.json(&["endpoint", "create", "mine", "--url", "pull:"]);
    daemon.done(&["endpoint", "hold", "app"]);
    daemon.accept("/in/in", &[], b"waits");
    daemon.accept("/in/in", &[], b"waits, too");
    daemon.await_count("held", 2);
    assert!(text(&daemon.json(&["endpoint", "show", "app"]), "applied_set") == "site");

    let less = home.write("less.toml", "[source.in]\nmax_body = \"2MiB\"\n");
    let pruned = ["apply", less.as_str(), "--set", "site", "--prune"];
    let refused = run(&daemon, &pruned).expect(1).stderr;
    assert!(refused.contains("endpoint.app: 2 of its deliveries have not ended"), "{refused}");
    assert_eq!(daemon.lines(&["endpoint", "list"]).len(), 2, "nothing was deleted");

    let dry = run(&daemon, &[&pruned[..], &["--force", "--dry-run"]].concat()).expect(0).stdout;
    assert!(dry.contains("delete endpoint app") && dry.contains("2 deliveries cancelled"), "{dry}");
    let forced = daemon.json(&[&pruned[..], &["--force"]].concat());
    assert_eq!(forced["cancelled"], 2, "{forced}");
    let left: Vec<Value> = daemon.lines(&["endpoint", "list"]);
    assert_eq!((left.len(), text(&left[0], "name")), (1, "mine"));
    let exported = run(&daemon, &["export", "--set", "site"]).expect(0).stdout;
    assert!(exported.contains("[source.in]") && !exported.contains("mine"), "{exported}");
}

fn write_below(home: &Home, path: &str, text: &str) {
    let file = home.path().join(path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(file, text).expect("written");
}

/// A home whose daemon takes the system's configuration, below the home.
fn system_home() -> Home {
    let mut home = Home::with(&SYSTEM);
    let root = home.path().display().to_string();
    home.environment.push(("HOOKBOX_ROOT".to_owned(), root));
    let socket = home.data().join("admin.sock").display().to_string();
    home.args.extend(["--admin-socket".to_owned(), socket]);
    home
}

fn check(home: &Home) -> Done {
    let mut command = program(&built("hookboxd"));
    command.args(SYSTEM).arg("--check").current_dir(home.path());
    command.env("HOOKBOX_ROOT", home.path());
    finish(command, None)
}

#[test]
fn files_of_the_system_are_applied_at_the_start_and_drift_is_reported() {
    let home = system_home();
    write_below(&home, "usr/lib/hookbox/apply.d/10-box.toml", &site("http://127.0.0.1:9/vendor"));
    write_below(
        &home,
        "etc/hookbox/apply.d/20-mine.json",
        "{\"endpoint\":{\"p\":{\"url\":\"pull:\"}}}",
    );
    check(&home).expect(0);
    let daemon = home.start();
    daemon.accept("/in/in", &[], b"there from the first request on");
    let applied = daemon.json(&["status"])["applied"].clone();
    assert_eq!(applied["changed"], 3, "{applied}");
    assert_eq!(applied["files"].as_array().map(Vec::len), Some(2), "{applied}");
    assert_eq!(applied["drift"], Value::Array(Vec::new()), "{applied}");

    daemon.json(&["endpoint", "update", "app", "--retry-base", "60ms"]);
    daemon.done(&["endpoint", "delete", "p"]);
    let status = run(&daemon, &["status"]).expect(0).stdout;
    assert!(status.contains("applied    2 files at the start, 3 changed"), "{status}");
    assert!(
        status.contains("drift      endpoint app (retry_base), endpoint p (not there)"),
        "{status}"
    );
    let check = run(&daemon, &["status", "--check"]).expect(1).stdout;
    let said = "not as the files of apply.d say: endpoint app (retry_base) and 1 more: see \
                `hookboxctl diff /";
    assert!(check.contains(said) && check.contains(" --set apply.d --prune --force`"), "{check}");

    // The administrator's file replaces the vendor's of the same name as a whole.
    let mine = "[source.in]\nmax_body = \"2MiB\"\n[endpoint.p]\nurl = \"pull:\"\nlease = \"1m\"\n";
    write_below(&home, "etc/hookbox/apply.d/10-box.toml", mine);
    fs::remove_file(home.path().join("etc/hookbox/apply.d/20-mine.json")).expect("there");
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();
    assert_eq!(daemon.json(&["endpoint", "show", "p"])["lease"], "1m");
    let drift = daemon.json(&["status"])["applied"]["drift"].to_string();
    assert_eq!(drift, "[\"endpoint app (in no file any more)\"]");
}

#[test]
fn secrets_in_files_that_are_not_there_are_noted_by_a_check() {
    let home = system_home();
    let secret = home.write("secret", "whsec_c2VjcmV0IG9mIGEgdGVzdCBhbmQgb2Ygbm90aGluZw==\n");
    let text = format!(
        "[source.here]\nverify = \"github\"\nsecret = \"file:{secret}\"\n\n\
         [source.gone]\nverify = \"github\"\nsecret = \"file:{secret}-gone\"\n\n\
         [endpoint.out]\nurl = \"pull:\"\nsecret = \"file:{secret}-gone\"\n"
    );
    write_below(&home, "etc/hookbox/apply.d/10.toml", &text);
    let masked = home.path().join("etc/hookbox/apply.d/20.toml");
    std::os::unix::fs::symlink("/dev/null", &masked).expect("a link");

    let notes = check(&home).expect(0).stderr;
    for said in ["10.toml:7: source.gone: secret: ", "10.toml:11: endpoint.out: secret: "] {
        assert!(notes.contains(said), "{notes}");
    }
    assert!(notes.contains("cannot be read from") && !notes.contains("source.here"), "{notes}");

    let daemon = home.start();
    let files = daemon.json(&["status"])["applied"]["files"].clone();
    assert_eq!(files.as_array().map(Vec::len), Some(1), "{files}");
}

#[test]
fn a_broken_file_of_the_system_is_reported_and_the_daemon_serves() {
    let home = system_home();
    write_below(&home, "etc/hookbox/apply.d/10.toml", "[source.in]\n");
    assert_eq!(home.start().terminate().code(), Some(0));

    write_below(&home, "etc/hookbox/apply.d/20.toml", "[source.more]\n\n[endpoint.app]\nurl = 5\n");
    let refused = check(&home).expect(78).stderr;
    assert!(refused.contains("etc/hookbox/apply.d/20.toml:4: endpoint.app: 'url'"), "{refused}");

    let daemon = home.start();
    daemon.accept("/in/in", &[], b"still served");
    let status = run(&daemon, &["status"]).expect(0).stdout;
    assert!(status.contains("NOTHING of 2 files at the start"), "{status}");
    assert!(status.contains("20.toml:4"), "{status}");
    assert_eq!(daemon.lines(&["source", "list"]).len(), 1, "all of it or nothing");
    daemon.await_log("apply.d: nothing was applied");
    assert_eq!(daemon.terminate().code(), Some(0));

    // Well written, and impossible.
    write_below(&home, "etc/hookbox/apply.d/20.toml", "[endpoint.app]\nurl = \"ftp://a\"\n");
    let status = run(&home.start(), &["status"]).expect(0).stdout;
    assert!(status.contains("drift      1 entry that cannot be applied"), "{status}");
}

/// Nobody names these files, so that they count only where nobody else can have put them there, and
/// where reading them has an end.
#[test]
fn a_file_of_the_system_that_others_can_change_or_that_is_none_is_not_applied() {
    let home = system_home();
    let file = home.path().join("etc/hookbox/apply.d/10.toml");
    let elsewhere = home.path().join("elsewhere.toml");
    let text = "[source.in]\n";
    let write = |file: &Path, mode| {
        fs::write(file, text).expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("its own");
    };
    write_below(&home, "etc/hookbox/apply.d/00.json", "{}");

    for (kind, why) in [
        ("open", "it can be changed by others"),
        ("link", "it can be changed by others"),
        ("pipe", "it is not a file"),
    ] {
        let _ = fs::remove_file(&file);
        match kind {
            "open" => write(&file, 0o666),
            "link" => {
                write(&elsewhere, 0o666);
                std::os::unix::fs::symlink(&elsewhere, &file).expect("a link");
            }
            _ => {
                let made = std::process::Command::new("mkfifo").arg(&file).status();
                assert!(made.expect("mkfifo runs").success());
            }
        }

        let refused = check(&home).expect(78).stderr;
        assert!(refused.contains("apply.d/10.toml") && refused.contains(why), "{kind}: {refused}");
        let daemon = home.start();
        let status = run(&daemon, &["status"]).expect(0).stdout;
        assert!(status.contains("NOTHING of 2 files at the start"), "{kind}: {status}");
        assert!(daemon.lines(&["source", "list"]).is_empty(), "{kind}: it was applied");
        daemon.await_log("apply.d: nothing was applied");
        assert_eq!(daemon.terminate().code(), Some(0));
    }

    fs::remove_file(&file).expect("there");
    write(&file, 0o644);
    check(&home).expect(0);
    assert_eq!(home.start().lines(&["source", "list"]).len(), 1);
}

/// What is wrong in a file is logged, and settings are not.
#[test]
fn the_log_quotes_no_setting_of_a_file_that_may_hold_a_secret() {
    let home = system_home();
    let endpoint = |settings: &str| format!("[endpoint.a]\n{settings}\n");
    let sent = |setting: &str| endpoint(&format!("url = \"http://a.example/\"\n{setting}"));
    let command = |setting: &str| endpoint(&format!("url = \"exec:/bin/true\"\n{setting}"));

    for text in [
        sent("header = \"Authorization: Bearer CANARY-1\""),
        sent("header = [\"Authorization Bearer CANARY-1\"]"),
        sent("header = [\"Bearer CANARY-1: x\"]"),
        sent("header = [\"X: {{ CANARY_1 | nofilter }}\"]"),
        sent("proxy = [\"http://u:CANARY-1@proxy.example:1\"]"),
        sent("proxy = \"ftp://u:CANARY-1@proxy.example:1\""),
        sent("secret = [\"CANARY-1\"]"),
        sent("body = [\"CANARY-1\"]"),
        sent("path = { a = \"CANARY-1\" }"),
        command("arg = \"--token=CANARY-1\""),
        endpoint("url = \"a.example/CANARY-1\""),
        endpoint("url = \"http://a.example:CANARY-1/\""),
        endpoint("url = \"http://CANARY-1@a.example/\""),
        endpoint("url = [\"http://a.example/CANARY-1\"]"),
        "[source.a]\npublic_url = \"CANARY-1\"\n".to_owned(),
        "[source.a]\npublic_key = [\"CANARY-1\"]\n".to_owned(),
        "[source.a]\nverify = \"apikey\"\nset = \"CANARY-1\"\n".to_owned(),
        "[source.a]\nverify = \"apikey\"\nset = { in = \"CANARY-1\" }\n".to_owned(),
    ] {
        write_below(&home, "etc/hookbox/apply.d/10.toml", &text);
        let daemon = home.start();
        daemon.await_log("apply.d: nothing was applied");
        let log = daemon.log_text();
        assert!(!log.contains("CANARY"), "{text}{log}");
        assert!(
            log.contains("10.toml") && (log.contains("endpoint.a") || log.contains("source.a"))
        );
        assert_eq!(daemon.terminate().code(), Some(0));
    }
}

#[test]
fn both_programs_say_what_they_are() {
    let home = Home::new();
    let daemon = home.start();
    let both = daemon.json(&["version"]);
    for program in ["hookboxctl", "hookboxd"] {
        assert_eq!(text(&both[program], "version"), env!("CARGO_PKG_VERSION"), "{both}");
        assert!(both[program]["log_format"].is_u64() && both[program]["commit"].is_string());
    }
    let shown = run(&daemon, &["version"]).expect(0).stdout;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("log format"), "{shown}");
    for program in ["hookboxctl", "hookboxd"] {
        let commit = text(&both[program], "commit");
        let expected = format!("{program} {} (commit {commit})\n", env!("CARGO_PKG_VERSION"));
        let mut command = super::support::ctl::program(&built(program));
        command.arg("--version");
        assert_eq!(finish(command, None).expect(0).stdout, expected);
    }

    let ctl = daemon.ctl();
    daemon.kill();
    let alone = ctl.run(&["version"]).expect(0).stdout;
    assert!(alone.contains("hookboxctl  ") && alone.contains("hookboxd    not reached"), "{alone}");
    until("the socket is nobody's", SOON, || {
        (ctl.json(&["version"])["hookboxd"] == Value::Null).then_some(())
    });
    assert!(Path::new(&home.data()).exists());
}
