mod bodies;
mod certificate;
mod fitting;
mod screens;
mod tail;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::args::{Cli, CtlCommand, EndpointCommand, strict};
use super::client::{AdminClient, encode, find_socket, path};
use super::commands::run;
use super::error::CtlError;
use super::settings::json_in;
use super::usage;
use crate::api::{DeadLettersBody, SendEventBody};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(
        std::iter::once("hookboxctl").chain(line.split(' ').filter(|w| !w.is_empty())),
    )
}

#[test]
fn names_and_ids_are_not_empty() {
    let parse = |words: &[&str]| {
        let words = std::iter::once("hookboxctl").chain(words.iter().copied());
        strict(Cli::command()).try_get_matches_from(words)
    };
    for words in [
        &["event", "show", ""][..],
        &["source", "show", ""],
        &["endpoint", "delete", ""],
        &["endpoint", "create", "", "--url", "pull:"],
        &["delivery", "retry", "dlv_1", ""],
        &["bin", "delete", ""],
        &["dlq", "discard", ""],
    ] {
        assert!(parse(words).is_err(), "{words:?}");
    }
    assert!(parse(&["event", "show", "evt_1"]).is_ok());
    assert!(parse(&["event", "send", "--source", "in", "-"]).is_ok());
    assert!(parse(&["event", "send", "--source", "in", "x"]).is_err(), "only stdin stands there");
}

/// A daemon that gives one canned answer and keeps what it was asked.
fn canned(folder: &Path, answer: &str) -> (PathBuf, std::thread::JoinHandle<String>) {
    let socket = folder.join("admin.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let answer = answer.to_owned();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let asked = request_of(&mut stream);
        stream.write_all(answer.as_bytes()).expect("writable");
        asked
    });
    (socket, thread)
}

/// One request, whole.
fn request_of(stream: &mut UnixStream) -> String {
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = stream.read(&mut part).expect("readable");
        asked.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&asked).into_owned();
        let length = text
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|t| t.split("\r\n").next()?.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.is_some_and(|b| b >= length.unwrap_or(0)) {
            return String::from_utf8(asked).expect("text");
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Runs a command line against a canned answer; gives how it ended and what was asked.
fn against(line: &str, answer: &str) -> (Result<(), CtlError>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, thread) = canned(folder.path(), answer);
    let cli = parse(&format!("--socket {} --json {line}", socket.display())).expect(line);
    (run(&cli), thread.join().expect("answered"))
}

/// More ids than a request takes; 300 of them are two requests.
#[test]
fn dead_letters_are_named_slice_by_slice() {
    for verb in ["retry", "discard"] {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("admin.sock")).expect("a socket");
        let daemon = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().expect("a caller");
                let request = request_of(&mut stream);
                let body = request.split_once("\r\n\r\n").expect("a body").1;
                let body: DeadLettersBody = serde_json::from_str(body).expect("JSON");
                let count = body.ids.expect("ids").len();
                let done = json!({
                    "matched": count, "queued": count, "discarded": count, "dry_run": false,
                });
                let answer = answer("200 OK", &done.to_string());
                stream.write_all(answer.as_bytes()).expect("writable");
                asked.push((request.lines().next().unwrap_or_default().to_owned(), count));
            }
            asked
        });

        let id = |seq| crate::model::DeliveryId { seq, endpoint: 1 }.to_string();
        let ids: Vec<String> = (1..=300).map(id).collect();
        let socket = folder.path().join("admin.sock");
        let line = format!("--socket {} --json dlq {verb} {}", socket.display(), ids.join(" "));
        run(&parse(&line).expect("it is well-formed")).expect("done");
        let asked = daemon.join().expect("asked twice");
        let target = format!("POST /v1/dlq/{verb} HTTP/1.1");
        assert_eq!(asked, [(target.clone(), 150), (target, 150)]);
    }
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_interface_is_there() {
    let lines = [
        "status",
        "source create github --verify github --secret s --set a=b --set c=d",
        "source create a --public-url https://x/ --token --allow 10.0.0.0/8 --max-body 1MiB",
        "source create a --dedupe-window 3d",
        "source create a --generate-secret",
        "source create a --public-key-file f --type-header x --type-field /a",
        "source create a --id-header y --id-field /b",
        "source list",
        "source ls",
        "source show a",
        "source update a --reset allow",
        "source delete a",
        "source rm a",
        "source rotate-secret a --now",
        "source check a --request f --at 1700000000",
        "bin create",
        "bin create x --ttl 1h",
        "bin list",
        "bin delete x",
        "bin delete x --yes",
        "endpoint create a --url http://x/ --from s --types p* --generate-secret",
        "endpoint create a --url http://x/ --retry-base 1s --retry-factor 2 --retry-max 1h",
        "endpoint create a --url http://x/ --jitter 0.2 --max-age 3d --max-attempts 5",
        "endpoint create a --url http://x/ --timeout 15s --concurrency 4 --rate 10/s",
        "endpoint create a --url http://x/ --order strict --allow-private",
        "endpoint list",
        "endpoint show a",
        "endpoint update a --timeout 3s",
        "endpoint rotate-secret a",
        "endpoint hold a",
        "endpoint release a",
        "endpoint test a",
        "endpoint rm a",
        "event list --source a --type b* --since 1h --until 2026-01-01 --limit 3 --after evt_x",
        "event show evt_x",
        "event send --source a --type t --id k --data x",
        "event send --source a --file x",
        "event send --source a -",
        "delivery list --state dead --endpoint e --event evt_x",
        "delivery show dlv_x",
        "delivery retry dlv_x dlv_y",
        "delivery cancel dlv_x",
        "dlq list --endpoint e",
        "dlq show dlv_x",
        "dlq retry --endpoint e --dry-run",
        "dlq discard dlv_x",
        "replay --since 1h --until 1m --source s --type t --to e --rate 5/s --dry-run",
        "replay --event evt_x",
        "replay --list",
        "tail -f --source s",
        "tail --endpoint e -n 0",
        "log stat",
        "log verify",
        "demo",
        "status --json --socket /x",
    ];

    for line in lines {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).map(|_| ()).expect_err("refused"));
    }
}

#[test]
fn files_are_named_with_and_without_their_option() {
    for line in [
        "apply a.toml b.json --dry-run --prune --set site --force",
        "apply -f a.toml -f - --format json",
        "diff -f a.toml",
        "export --set site --format json",
        "version",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).map(|_| ()).expect_err("refused"));
    }
    for line in ["apply", "diff --set site", "apply a.toml --prune"] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn bad_arguments_are_usage_errors_in_one_line() {
    for (line, expected) in [
        ("source create", "<NAME>"),
        ("source create a --secret x --generate-secret", "cannot be used with"),
        ("source create a --allow 10.0.0.0/99", "192.0.2.0/24"),
        ("source create a --max-body lots", "512KiB"),
        ("endpoint create a", "--url"),
        ("endpoint create a --url http://x/ --jitter 2", "from 0 to 1"),
        ("endpoint create a --url http://x/ --rate fast", "10/s"),
        ("endpoint create a --url http://x/ --retry-base soon", "500ms"),
        ("event send --source a", "--data"),
        ("event send --source a --data x -", "cannot be used with"),
        ("event list --limit 0", "must be a whole number from 1"),
        ("event list --limit abc", "must be a whole number from 1"),
        ("endpoint create a --url http://x/ --rate fast", "must be a rate such as"),
        ("consume a --lease soon", "500ms"),
        ("replay --list --all", "cannot be used with"),
        ("sorce list", "source"),
    ] {
        let error = parse(line).map(|_| ()).expect_err(line);
        assert_eq!(usage::report(&error), 64, "{line}");

        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let summary = usage::line(&error.to_string(), &words);
        assert!(
            summary.contains(expected) && !summary.contains('\n') && summary.contains("--help"),
            "{line}: {summary}"
        );
    }
}

#[test]
fn usage_errors_name_the_help_of_their_command() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let text =
        usage::line("error: bad\n\n  tip: good\n\nUsage: x\n", &words("--json source ls --limit"));
    assert_eq!(text, "bad; good: see `hookboxctl source list --help`");
    assert!(usage::line("error: bad", &words("bogus")).ends_with("`hookboxctl --help`"));
}

#[test]
fn help_is_no_error_and_teaches() {
    for line in ["--help", "--version", "source create --help", "replay --help"] {
        let asked = parse(line).map(|_| ()).expect_err("help");
        assert!(!asked.use_stderr(), "{line}");
    }
    let help = parse("--help").map(|_| ()).expect_err("help").to_string();
    for word in ["hookboxctl source create github", "HOOKBOX_SOCKET", "69", "--json", "dlq"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert_eq!(usage::report(&parse("").map(|_| ()).expect_err("nothing asked")), 64);
}

#[test]
fn every_argument_has_a_help_text() {
    fn check(command: &clap::Command) {
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
        }
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            check(sub);
        }
    }
    check(&Cli::command());
}

#[test]
fn the_socket_is_searched_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let system = folder.path().join("admin.sock");
    let variable = Some(PathBuf::from("/from/env"));
    assert_eq!(
        find_socket(Some(Path::new("/given")), variable.clone(), &system),
        Path::new("/given")
    );
    assert_eq!(find_socket(None, variable, &system), Path::new("/from/env"));
    assert_eq!(find_socket(None, None, &system), Path::new("./hookbox-data/admin.sock"));
    std::fs::write(&system, "").expect("made");
    assert_eq!(find_socket(None, Some(PathBuf::new()), &system), system);
}

#[test]
fn no_daemon_is_69_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none.sock");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).expect("a socket"));
    for socket in [nowhere, stale] {
        let client = AdminClient::new(Some(&socket)).expect("made");
        let failure = client.get("/v1/status").expect_err("nobody there");
        assert_eq!(failure.exit_code(), 69);
        assert!(failure.to_string().contains("hookboxd"), "{failure}");
    }
}

#[test]
fn refusals_are_1_with_the_daemons_words() {
    let body = json!({"status": 404, "detail": "there is no source 'x'"}).to_string();
    let (ended, asked) = against("source show x", &answer("404 Not Found", &body));
    let failure = ended.expect_err("refused");
    assert_eq!((failure.exit_code(), failure.to_string().as_str()), (1, "there is no source 'x'"));
    assert!(asked.starts_with("GET /v1/sources/x HTTP/1.1"), "{asked}");
}

#[test]
fn a_list_that_breaks_off_is_an_error() {
    let (ended, _) = against(
        "event list",
        &answer("200 OK", "{\"id\":\"a\"}\n{\"problem\":{\"detail\":\"damaged\"}}\n"),
    );
    assert_eq!(ended.expect_err("a problem").to_string(), "damaged");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"a\"}\n";
    assert_eq!(against("event list", cut).0.expect_err("cut").exit_code(), 69);
    let (ended, _) = against("status", &answer("200 OK", "<html>\n"));
    assert_eq!(ended.expect_err("no JSON").exit_code(), 1);
}

#[test]
fn a_verification_that_finds_something_is_1() {
    let report = |ok: bool| {
        let progress = json!({"progress": {"segment": 1, "segments": 1, "records": 9}});
        let report = json!({
            "ok": ok, "records": 9, "segments": 1, "first": 1, "last": 9, "head": "00",
            "problems": [],
        });
        answer("200 OK", &format!("{progress}\n{report}\n"))
    };
    assert!(against("log verify", &report(true)).0.is_ok());
    assert_eq!(against("log verify", &report(false)).0.expect_err("not ok").exit_code(), 1);
}

fn body_of(asked: &str) -> Value {
    serde_json::from_str(asked.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

/// A body as the daemon reads it: a field that is null is one that is absent.
fn read<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).expect("a body of the API")
}

#[test]
fn the_request_is_what_the_options_say() {
    let ok = answer("200 OK", "{\"id\":\"evt_1\"}\n");
    let (_, asked) = against(
        "source create s --verify apikey --set in=header --set leeway_s=5 --token --max-body 1k",
        &ok,
    );
    assert_eq!(
        body_of(&asked),
        json!({
            "name": "s", "verify": "apikey", "set": {"in": "header", "leeway_s": 5},
            "token": true, "max_body": "1KiB",
        })
    );

    let (_, asked) = against(
        "endpoint create e --url http://x/ --retry-max 1h --order strict --forward-headers=false",
        &ok,
    );
    assert_eq!(
        body_of(&asked),
        json!({
            "name": "e", "url": "http://x/", "retry_max": "1h", "order": "strict",
            "forward_headers": false,
        })
    );

    let (_, asked) = against("event send --source s --type t --id k --data hello", &ok);
    let given = json!({"source": "s", "data_base64": "aGVsbG8=", "type": "t", "id": "k"});
    assert_eq!(read::<SendEventBody>(body_of(&asked)), read(given));
    let (_, asked) = against("dlq retry --endpoint e --dry-run", &ok);
    let given = json!({"endpoint": "e", "all": false, "dry_run": true});
    assert_eq!(read::<DeadLettersBody>(body_of(&asked)), read(given));
    let (_, asked) = against("delivery list --state held --type a/b* --limit 7", &ok);
    assert!(asked.starts_with("GET /v1/deliveries?type=a%2Fb%2A&state=held&limit=7 "), "{asked}");
}

#[test]
fn sweeping_without_saying_what_is_refused_before_asking() {
    let nobody = tempfile::tempdir().expect("a folder");
    let socket = nobody.path().join("none.sock");
    for line in [
        "dlq retry",
        "dlq discard",
        "replay",
        "dlq retry dlv_x --all",
        "endpoint update a",
        "replay --all --source s",
    ] {
        let cli = parse(&format!("--socket {} {line}", socket.display())).expect(line);
        assert_eq!(run(&cli).expect_err(line).exit_code(), 64, "{line}");
    }
}

#[test]
fn a_setting_of_a_scheme_may_stand_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, "{\"keys\":[]}").expect("written");
    let ok = answer("200 OK", "{}\n");
    let line = format!("source create s --set jwks=@{} --set a=b", file.display());
    let (_, asked) = against(&line, &ok);
    assert_eq!(body_of(&asked)["set"], json!({"jwks": {"keys": []}, "a": "b"}));
    assert!(json_in("jwks", Path::new("/no/such")).is_err());
}

#[test]
fn paths_are_encoded() {
    assert_eq!(encode("a b/é"), "a%20b%2F%C3%A9");
    assert_eq!(path("/v1/x", &[("a", None), ("b", Some("1&2".into()))]), "/v1/x?b=1%262");
}

#[test]
fn an_update_leaves_what_is_not_named() {
    let cli = parse("endpoint update e --timeout 3s").expect("parsed");
    let CtlCommand::Endpoint(EndpointCommand::Update { settings, .. }) = cli.command else {
        panic!("an update")
    };
    assert!(
        settings.spec.retry_base.is_none()
            && settings.spec.allow_private.is_none()
            && settings.spec.types.is_none()
    );
}
