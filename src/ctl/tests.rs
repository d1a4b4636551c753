use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::args::{Cli, Command, EndpointCommand};
use super::client::{Client, encode, find_socket, path};
use super::configure::param;
use super::{CtlError, run, usage, usage_line};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("hookboxctl").chain(line.split(' ').filter(|w| !w.is_empty())))
}

/// A daemon that gives one canned answer and keeps what it was asked.
fn canned(folder: &Path, answer: &str) -> (PathBuf, std::thread::JoinHandle<String>) {
    let socket = folder.join("admin.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let answer = answer.to_owned();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut asked = Vec::new();
        let mut part = [0; 4096];
        loop {
            let n = stream.read(&mut part).expect("readable");
            asked.extend_from_slice(&part[..n]);
            let text = String::from_utf8_lossy(&asked).into_owned();
            let length =
                text.to_lowercase().split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next()?.parse().ok());
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if n == 0 || body.is_some_and(|b| b >= length.unwrap_or(0)) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).expect("writable");
        String::from_utf8(asked).expect("text")
    });
    (socket, thread)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Runs a command line against a canned answer; gives how it ended and what was asked.
fn against(line: &str, answer: &str) -> (Result<(), CtlError>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (socket, thread) = canned(folder.path(), answer);
    let cli = parse(&format!("--socket {} --json {line}", socket.display())).expect(line);
    (run(&cli), thread.join().expect("answered"))
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_interface_is_there() {
    for line in [
        "status",
        "source create github --verify github --secret s --set a=b --set c=d --public-url https://x/ --token --allow 10.0.0.0/8 --max-body 1MiB --dedupe-window 3d",
        "source create a --generate-secret",
        "source create a --public-key-file f --type-header x --type-field /a --id-header y --id-field /b",
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
        "endpoint create a --url http://x/ --from s --types p* --generate-secret --retry-base 1s --retry-factor 2 --retry-max 1h --jitter 0.2 --max-age 3d --max-attempts 5 --timeout 15s --concurrency 4 --rate 10/s --order strict --allow-private",
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
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).map(|_| ()).expect_err("refused"));
    }
}

#[test]
fn bad_arguments_are_usage_errors_in_one_line() {
    for (line, expected) in [
        ("source create", "<NAME>"),
        ("source create a --secret x --generate-secret", "cannot be used with"),
        ("source create a --allow 10.0.0.0/99", "192.0.2.0/24"),
        ("source create a --max-body lots", "1MiB"),
        ("endpoint create a", "--url"),
        ("endpoint create a --url http://x/ --jitter 2", "from 0 to 1"),
        ("endpoint create a --url http://x/ --rate fast", "10/s"),
        ("endpoint create a --url http://x/ --retry-base soon", "500ms"),
        ("event send --source a", "--data"),
        ("event send --source a --data x -", "cannot be used with"),
        ("event list --limit 0", "--limit"),
        ("delivery retry", "<IDS>"),
        ("replay --list --all", "cannot be used with"),
        ("sorce list", "source"),
    ] {
        let error = parse(line).map(|_| ()).expect_err(line);
        assert_eq!(usage(&error), 64, "{line}");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let said = usage_line(&error.to_string(), &words);
        assert!(said.contains(expected) && !said.contains('\n') && said.contains("--help"), "{line}: {said}");
    }
}

#[test]
fn usage_errors_name_the_help_of_their_command() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let said = usage_line("error: bad\n\n  tip: good\n\nUsage: x\n", &words("--json source ls --limit"));
    assert_eq!(said, "bad; good: see `hookboxctl source list --help`");
    assert!(usage_line("error: bad", &words("bogus")).ends_with("`hookboxctl --help`"));
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
    assert_eq!(usage(&parse("").map(|_| ()).expect_err("nothing asked")), 64);
}

#[test]
fn every_option_has_a_help_text() {
    fn check(command: &clap::Command) {
        for arg in command.get_arguments().filter(|a| !a.is_positional()) {
            let plain = ["url", "source"].contains(&arg.get_id().as_str());
            assert!(arg.get_help().is_some() || plain, "{} {}", command.get_name(), arg.get_id());
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
    let local = folder.path().join("admin.sock");
    let variable = Some(PathBuf::from("/from/env"));
    assert_eq!(find_socket(Some(Path::new("/given")), variable.clone(), &local), Path::new("/given"));
    assert_eq!(find_socket(None, variable, &local), Path::new("/from/env"));
    assert_eq!(find_socket(None, None, &local), Path::new("/run/hookbox/admin.sock"));
    std::fs::write(&local, "").expect("made");
    assert_eq!(find_socket(None, Some(PathBuf::new()), &local), local);
}

#[test]
fn no_daemon_is_69_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none.sock");
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).expect("a socket"));
    for socket in [nowhere, stale] {
        let client = Client::new(Some(&socket)).expect("made");
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
    let (ended, _) =
        against("event list", &answer("200 OK", "{\"id\":\"a\"}\n{\"problem\":{\"detail\":\"damaged\"}}\n"));
    assert_eq!(ended.expect_err("a problem").to_string(), "damaged");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"a\"}\n";
    assert_eq!(against("event list", cut).0.expect_err("cut").exit_code(), 69);
    let (ended, _) = against("status", &answer("200 OK", "<html>\n"));
    assert_eq!(ended.expect_err("no JSON").exit_code(), 1);
}

#[test]
fn a_verification_that_finds_something_is_1() {
    let report =
        |ok: bool| answer("200 OK", &format!("{{\"progress\":{{}}}}\n{}\n", json!({"ok": ok, "problems": []})));
    assert!(against("log verify", &report(true)).0.is_ok());
    assert_eq!(against("log verify", &report(false)).0.expect_err("not ok").exit_code(), 1);
}

fn body_of(asked: &str) -> Value {
    serde_json::from_str(asked.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

#[test]
fn what_is_asked_for_is_what_was_said() {
    let ok = answer("200 OK", "{\"id\":\"evt_1\"}\n");
    let (_, asked) =
        against("source create s --verify apikey --set in=header --set leeway_s=5 --token --max-body 1k", &ok);
    assert_eq!(
        body_of(&asked),
        json!({"name": "s", "verify": "apikey", "params": {"in": "header", "leeway_s": 5}, "token": true, "max_body": 1024})
    );
    let (_, asked) =
        against("endpoint create e --url http://x/ --retry-max 1h --order strict --forward-headers=false", &ok);
    assert_eq!(
        body_of(&asked),
        json!({"name": "e", "url": "http://x/", "retry_max_ms": 3_600_000, "order": "strict", "forward_headers": false})
    );
    let (_, asked) = against("event send --source s --type t --id k --data hello", &ok);
    assert_eq!(body_of(&asked), json!({"source": "s", "data_base64": "aGVsbG8=", "type": "t", "id": "k"}));
    let (_, asked) = against("dlq retry --endpoint e --dry-run", &ok);
    assert_eq!(body_of(&asked), json!({"endpoint": "e", "all": false, "dry_run": true}));
    let (_, asked) = against("delivery list --state held --type a/b* --limit 7", &ok);
    assert!(asked.starts_with("GET /v1/deliveries?type=a%2Fb%2A&state=held&limit=7 "), "{asked}");
}

#[test]
fn sweeping_without_saying_what_is_refused_before_asking() {
    let nobody = tempfile::tempdir().expect("a folder");
    let socket = nobody.path().join("none.sock");
    for line in
        ["dlq retry", "dlq discard", "replay", "dlq retry dlv_x --all", "endpoint update a", "replay --all --source s"]
    {
        let cli = parse(&format!("--socket {} {line}", socket.display())).expect(line);
        assert_eq!(run(&cli).expect_err(line).exit_code(), 64, "{line}");
    }
}

#[test]
fn settings_of_schemes_keep_their_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, "{\"keys\":[]}").expect("written");
    for (text, expected) in [
        ("a=b=c".to_owned(), json!("b=c")),
        ("a=12".to_owned(), json!("12")),
        ("leeway_s=12".to_owned(), json!(12)),
        ("a=true".to_owned(), json!(true)),
        ("a=[\"RS256\"]".to_owned(), json!(["RS256"])),
        ("a=".to_owned(), json!("")),
        (format!("a=@{}", file.display()), json!({"keys": []})),
    ] {
        assert_eq!(param(&text).expect(&text).1, expected, "{text}");
    }
    assert!(param("novalue").is_err() && param("=x").is_err() && param("a=@/no/such").is_err());
}

#[test]
fn paths_are_encoded() {
    assert_eq!(encode("a b/é"), "a%20b%2F%C3%A9");
    assert_eq!(path("/v1/x", &[("a", None), ("b", Some("1&2".into()))]), "/v1/x?b=1%262");
}

#[test]
fn an_update_leaves_what_is_not_named() {
    let cli = parse("endpoint update e --timeout 3s").expect("parsed");
    let Command::Endpoint(EndpointCommand::Update { settings, .. }) = cli.command else { panic!("an update") };
    assert!(settings.retry_base.is_none() && settings.allow_private.is_none() && settings.types.is_empty());
}

#[test]
fn people_get_sentences() {
    let status = json!({
        "events": 3, "duplicates": 1, "sources": 1, "endpoints": 2, "attempts": 9, "failed_attempts": 4,
        "deliveries": {"pending": 2, "in_flight": 0, "delivered": 1, "dead": 0, "held": 0, "retrying": 1},
        "log": {"segments": 1, "bytes": 2048, "quota_bytes": 4096}, "uptime_s": 61, "version": "0.1.0",
        "accepting": true, "listen": ["127.0.0.1:8420"], "refused": {"mismatch": 2},
    });
    let screen = super::show::screen(&status);
    for part in ["up 1m", "3 events", "2 mismatch", "2 pending (1 for a retry)", "2.0 KiB of 4.0 KiB left"] {
        assert!(screen.contains(part), "{part} in {screen}");
    }
    let made = super::show::made("source", &json!({"name": "g", "url": "http://x/in/g", "secret": "whsec_1"}));
    assert!(made.contains("post to http://x/in/g") && made.contains("shown this once: whsec_1"), "{made}");
    let line = super::lists::tail_line(&json!({
        "what": "attempt", "at": "2026-11-23T13:20:00.123Z", "endpoint": "app", "number": 2, "outcome": "retryable",
        "status": 503, "duration_ms": 12, "delivery": "dlv_1", "next_at": "2026-11-23T13:20:04.000Z",
    }));
    assert_eq!(line, "13:20:00.123  out   app  retryable  503  12ms  attempt 2  dlv_1  again at 13:20:04");
}
