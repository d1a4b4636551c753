//! Secrets of every kind are put everywhere where one can be, and then looked for in everything
//! that can be read: they stand nowhere but where they must.
//!
//! `CANARY` stands in what nobody is ever shown again. `OWNERS` stands in settings that root and
//! the daemon's own user wrote and read again, and that members of the socket's group are not
//! shown.

mod stage;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::support::files_with;
use super::support::sizes::{not_root, require};
use super::text;
use super::trust::ctl_as_nobody;
use stage::{Stage, stage};

/// Where a marker stands in a text, in any case, also within what is base64 in it.
fn found(text: &str, marker: &str) -> Option<String> {
    let marker = marker.to_lowercase();
    let near = |part: &str| {
        let lower = part.to_lowercase();
        lower.find(&marker).map(|at| {
            let from = lower[..at].char_indices().rev().nth(60).map_or(0, |(at, _)| at);
            lower[from..].chars().take(160).collect::<String>()
        })
    };
    let packed = |word: &str| {
        let bytes = STANDARD
            .decode(word)
            .or_else(|_| URL_SAFE_NO_PAD.decode(word.trim_end_matches('=')))
            .ok()?;
        near(&String::from_utf8_lossy(&bytes))
    };
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/-_=".contains(c);
    near(text)
        .or_else(|| text.split(|c| !is_base64(c)).filter(|word| word.len() >= 8).find_map(packed))
}

#[track_caller]
fn stands_nowhere(marker: &str, place: &str, text: &str) {
    if let Some(near) = found(text, marker) {
        panic!("{marker} stands in {place}: …{near}…");
    }
}

#[test]
fn secrets_stand_nowhere_but_where_they_must() {
    let stage = stage("json");
    let token = stage.hidden().rsplit('/').next().expect("a token").to_owned();
    stands_nowhere(&token, "the daemon's log", &stage.daemon.log_text());
    stands_nowhere("CANARY", "what `create` and refusals say", &stage.answers);

    for question in stage.questions() {
        let words: Vec<&str> = question.iter().map(String::as_str).collect();
        for json in [false, true] {
            let done = if json {
                stage.daemon.ctl().try_json(&words)
            } else {
                stage.daemon.ctl().run(&words)
            };
            stands_nowhere(
                "CANARY",
                &format!("{words:?}"),
                &format!("{}\n{}", done.stdout, done.stderr),
            );
        }
    }

    for path in ["/v1/status", "/v1/log", "/v1/replays"] {
        let (_, output) = super::support::admin::Admin::connect(&stage.daemon.socket)
            .expect("raw")
            .get(path)
            .expect("an answer");
        stands_nowhere("CANARY", path, &output.to_string());
    }

    let metrics = raw(&stage.daemon.socket, "/metrics");
    assert!(metrics.contains("hookbox_"), "{metrics}");
    for marker in ["CANARY", "OWNERS"] {
        stands_nowhere(marker, "/metrics", &metrics);
        stands_nowhere(marker, "the daemon's log", &stage.daemon.log_text());
        for notice in stage.notices.all() {
            stands_nowhere(marker, "a notice", &String::from_utf8_lossy(&notice.body));
        }
    }

    let exported = stage.daemon.ctl().run(&["log", "export"]).expect(0);
    stands_nowhere("CANARY", "an export", &exported.stdout);
    stands_nowhere(&token, "an export", &exported.stdout);
    let backup = stage.home.path().join("backup");
    let made =
        stage.daemon.ctl().run(&["log", "backup", backup.to_str().expect("a path")]).expect(0);
    stands_nowhere("CANARY", "what a backup says", &format!("{}\n{}", made.stdout, made.stderr));

    let Stage { home, daemon, .. } = stage;
    assert_eq!(daemon.terminate().code(), Some(0));
    // What was looked up never reaches the log; what was given is there, for its owner alone.
    for secret in
        ["CANARY-bot", "CANARY-key", "CANARY-1", "CANARY-7", "CANARY-answer", "CANARY-proxy@"]
    {
        assert_eq!(files_with(&home.data(), secret.as_bytes()), [] as [PathBuf; 0], "{secret}");
        assert_eq!(
            files_with(&backup, secret.as_bytes()),
            [] as [PathBuf; 0],
            "{secret} in a backup"
        );
    }

    // The log and its copy hold what was given, so they are for the owner alone.
    for folder in [home.data(), backup] {
        for_the_owner_alone(&folder);
    }

    let segment = home.data().join("log/seg-00000000000000000001").display().to_string();
    let salvaged = home.ctl().run(&["log", "salvage", &segment]);
    stands_nowhere("CANARY", "what was salvaged", &salvaged.stdout);
}

#[test]
fn the_daemons_log_in_text_shows_no_secret_either() {
    let stage = stage("text");
    let token = stage.hidden().rsplit('/').next().expect("a token").to_owned();
    // What makes requests says most.
    let asks_most = |question: &&Vec<String>| {
        question.get(1).is_some_and(|word| word == "test" || word == "check")
    };
    for question in stage.questions().iter().filter(asks_most) {
        let words: Vec<&str> = question.iter().map(String::as_str).collect();
        let _ = stage.daemon.ctl().run(&words);
    }
    let log = stage.daemon.log_text();
    assert!(log.contains(" ready ") && log.contains("refused"), "{log}");
    for marker in ["CANARY", "OWNERS", &token] {
        stands_nowhere(marker, "the daemon's log in text", &log);
    }
}

/// Others cannot enter the folder, whatever the modes in it are.
fn for_the_owner_alone(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::symlink_metadata(folder).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "{} is for others, too", folder.display());
}

#[test]
#[ignore = "needs root"]
fn members_of_the_group_are_shown_no_secrets_of_the_owner() {
    require(not_root());
    let stage = stage("json");
    let token = stage.hidden().rsplit('/').next().expect("a token").to_owned();

    for question in stage.questions() {
        let mut words: Vec<&str> = vec!["--json"];
        words.extend(question.iter().map(String::as_str));
        let done = ctl_as_nobody(&stage.home, &stage.daemon.socket, &words);
        let output = format!("{}\n{}", done.stdout, done.stderr);
        for marker in ["CANARY", "OWNERS", &token] {
            stands_nowhere(marker, &format!("{words:?} for a member of the group"), &output);
        }
    }

    // Root reads again what root wrote, or it could not be changed.
    let shown: Value = stage.daemon.json(&["endpoint", "show", "url"]);
    assert!(text(&shown, "url").contains("OWNERS-path-1"), "{shown}");

    for forbidden in
        [&["log", "export"][..], &["source", "create", "x"], &["endpoint", "rotate-secret", "url"]]
    {
        let done = ctl_as_nobody(&stage.home, &stage.daemon.socket, forbidden);
        assert!(
            done.code == Some(1) && done.stderr.contains("root"),
            "{forbidden:?}: {}",
            done.stderr
        );
    }
}

/// An answer as it comes.
fn raw(socket: &Path, path: &str) -> String {
    use std::io::Read as _;
    let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

/// A bundle goes to somebody else: it holds not even what the owner may see.
#[test]
fn a_bundle_for_support_holds_no_secrets_urls_or_bodies() {
    let stage = stage("json");
    let token = stage.hidden().rsplit('/').next().expect("a token").to_owned();
    let config = stage.home.write(
        "shown.toml",
        "[outbound]\nproxy = \"http://me:CANARY-proxy@proxy.example.com:3128\"\n",
    );
    let file = stage.home.path().join("support.tar.gz").display().to_string();

    let said = stage.daemon.ctl().run(&["support", &file, "--config", &config]).expect(0);
    assert!(said.stdout.contains("status.json"), "{}", said.stdout);
    stage.daemon.ctl().run(&["support", &file]).expect(1);
    let read = std::process::Command::new("tar").args(["-xzOf", &file]).output().expect("tar runs");
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    for part in [
        "hookboxctl ",
        "hookbox_events_total",
        "\"condition\"",
        "\"ok\":true",
        "***@proxy",
        "\"step_ms\"",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }

    for marker in ["CANARY", "OWNERS", &token, "http://127.0.0.1", "body_base64"] {
        stands_nowhere(marker, "a bundle for support", &text);
    }
    let mode = std::fs::metadata(&file).expect("it is there").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}
