//! Secrets of every kind are put everywhere where one can be, and then looked for in everything
//! that can be read: they stand nowhere but where they must.
//!
//! `CANARY` stands in what nobody is ever shown again. `OWNERS` stands in settings that root and
//! the daemon's own user wrote and read again, and that members of the socket's group are not
//! shown.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::support::http::{read_body, read_head};
use super::support::sizes::{not_root, require};
use super::support::{Daemon, Home, Receiver, SOON, files_with, until};
use super::text;
use super::trust::{ctl_as_nobody, open_home};

const BOT: &str = "12345:CANARY-bot/+ &token";
const KEY: &str = "CANARY-key-0123456789";
const INBOUND: &str = "CANARY-inbound-0123456789";

/// Repeats every request in its answer, which fails.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");

    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a second descriptor"));
                while let Ok(Some(head)) = read_head(&mut reader) {
                    let body = read_body(&mut reader, &head, true).unwrap_or_default();

                    let mut said = format!("Cannot {}\n", head.first);
                    for (name, value) in &head.headers {
                        let _ = writeln!(said, "{name}={value}");
                    }
                    said.push_str(&String::from_utf8_lossy(&body));

                    let target = head.first.split(' ').nth(1).unwrap_or("/");
                    let answer = format!(
                        "HTTP/1.1 404 Not Found\r\nlocation: {target}\r\nx-token: \
                         CANARY-answer\r\nset-cookie: a=CANARY\r\ncontent-length: {}\r\n\r\n{said}",
                        said.len()
                    );
                    let mut stream = &stream;
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });

    addr
}

/// Where a marker stands in a text, in any case, also within what is base64 in it.
fn found(said: &str, marker: &str) -> Option<String> {
    let marker = marker.to_lowercase();
    let near = |text: &str| {
        let lower = text.to_lowercase();
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
    near(said)
        .or_else(|| said.split(|c| !is_base64(c)).filter(|word| word.len() >= 8).find_map(packed))
}

#[track_caller]
fn stands_nowhere(marker: &str, place: &str, said: &str) {
    if let Some(near) = found(said, marker) {
        panic!("{marker} stands in {place}: …{near}…");
    }
}

struct Stage {
    home: Home,
    daemon: Daemon,
    notices: Receiver,
    answers: String,
}

/// A daemon with secrets of every kind in its settings, and with traffic that has some, too. Its
/// log is in this format.
fn stage(log_format: &str) -> Stage {
    let (mut home, socket) = open_home();
    let config = home.write(
        "hookbox.toml",
        "[logging]\nlevel = \"debug\"\n[exec]\nallow = [\"/bin/cat\"]\n[outbound]\n\
         proxy = \"http://user:CANARY-proxy@127.0.0.1:9\"\nno_proxy = [\"*\"]\n",
    );
    home.args.extend([
        "--config".to_owned(),
        config,
        "--log-format".to_owned(),
        log_format.to_owned(),
    ]);
    home.environment
        .extend([("BOT".to_owned(), BOT.to_owned()), ("KEY".to_owned(), KEY.to_owned())]);

    let mut daemon = home.start();
    daemon.socket = socket;
    let notices = Receiver::start();

    let mut stage = Stage { home, daemon, notices, answers: String::new() };
    stage.sources();
    stage.endpoints(echo());
    stage.mistakes();
    stage.traffic();
    stage
}

impl Stage {
    /// Runs the ctl as root, and keeps what it said.
    #[track_caller]
    fn make(&mut self, args: &[&str]) {
        let done = self.daemon.ctl().run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
        self.answers.push_str(&done.stdout);
        self.answers.push_str(&done.stderr);
    }

    fn sources(&mut self) {
        let secret = self.home.write("secret", INBOUND);
        let keys = json!({"keys": [{"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode("CANARY-jwks-0123456789-0123456789")}]});
        let keys = format!("jwks=@{}", self.home.write("keys.json", &keys.to_string()));

        self.make(&["source", "create", "github", "--verify", "github", "--secret-file", &secret]);
        self.make(&["source", "create", "by-name", "--verify", "github", "--secret", "env:KEY"]);
        let key = [
            "--verify",
            "apikey",
            "--set",
            "in=header",
            "--set",
            "name=X-Partner",
            "--secret-file",
            &secret,
        ];
        self.make(&[&["source", "create", "partner"], &key[..]].concat());

        let query = [
            "--verify",
            "apikey",
            "--set",
            "in=query",
            "--set",
            "name=partner",
            "--secret-file",
            &secret,
        ];
        self.make(&[&["source", "create", "query"], &query[..]].concat());

        self.make(&[
            "source",
            "create",
            "jwt",
            "--verify",
            "jwt",
            "--set",
            &keys,
            "--set",
            "issuer=me",
            "--set",
            "audience=us",
        ]);

        self.make(&["source", "create", "open", "--verify", "none"]);
        self.make(&["source", "create", "hidden", "--verify", "none", "--token"]);
    }

    fn endpoints(&mut self, echo: SocketAddr) {
        let secret = self
            .home
            .write("signing", &format!("whsec_{}", STANDARD.encode("CANARY-signing-0123456789")));
        let base = format!("http://{echo}");
        let mut all: Vec<(String, String, Vec<String>)> = Vec::new();
        let mut endpoint = |name: &str, url: &str, more: &[&str]| {
            all.push((
                name.to_owned(),
                url.to_owned(),
                more.iter().map(|arg| (*arg).to_owned()).collect(),
            ));
        };
        endpoint(
            "url",
            &format!("{base}/hook/OWNERS-path-1?page=1&k%65y=OWNERS-query&sig=OWNERS-sig"),
            &[],
        );
        let spellings = [
            "{{ secret(\"env:BOT\") }}",
            "{{ secret ('env:BOT') }}",
            "{% set s = secret %}{{ s('env:BOT') }}",
            "{% set s = secret('env:BOT') %}{{ s | urlencode }}",
            "{{ secret('env:BOT') | upper }}",
            "{{ secret('env:BOT')[6:] }}",
            "{{ ('x' ~ secret('env:BOT')) | lower }}",
            "{{ secret('env' ~ ':KEY') }}",
        ];
        for (n, spelling) in spellings.iter().enumerate() {
            let path = format!("/bot{spelling}/{{{{ body.chat }}}}?q={spelling}");
            let (header, body) =
                (format!("X-Note: {spelling}"), format!("{{\"note\": \"{spelling}\"}}"));
            endpoint(&format!("path-{n}"), &base, &["--path", &path]);
            endpoint(&format!("header-{n}"), &base, &["--header", &header]);
            endpoint(&format!("body-{n}"), &base, &["--body", &body]);
        }
        endpoint("broken", &base, &["--path", "/{{ secret('env:BOT') | int }}"]);
        endpoint("absent", &base, &["--path", "/{{ secret('env:BOT') }}/{{ body.none }}"]);
        let headers = [
            "--header",
            "Authorization: Bearer CANARY-literal-1",
            "--header",
            "X-Plain: OWNERS-header",
        ];
        let others = ["--path", "/x/OWNERS-path-2", "--body", "{\"k\": \"OWNERS-body-3\"}"];
        endpoint("literal", &base, &[&headers[..], &others].concat());
        let proxy = format!("http://user:CANARY-proxy-password@{echo}");
        endpoint("proxied", "http://127.0.0.1:9/x", &["--proxy", &proxy]);
        let command = "exec:/bin/cat";
        let body = "{{ secret('env:BOT') }} and {{ secret('env:KEY') | upper }}";
        endpoint(
            "command",
            command,
            &["--arg", "-", "--arg", "/nowhere/OWNERS-argument", "--body", body],
        );
        for (name, url, more) in &all {
            let mut args = vec![
                "endpoint",
                "create",
                name,
                "--url",
                url,
                "--max-attempts",
                "1",
                "--from",
                "open",
            ];
            args.extend(["--allow-private", "--secret-file", &secret]);
            args.extend(more.iter().map(String::as_str));
            self.make(&args);
        }
        let url = self.notices.url("/notices");
        self.make(&[
            "endpoint",
            "create",
            "notices",
            "--url",
            &url,
            "--allow-private",
            "--from",
            "hookbox",
        ]);
    }

    /// What is refused because something is wrong with it is not quoted, where it may be a secret.
    fn mistakes(&mut self) {
        let key = self.home.write("wrong-key.pem", "CANARY-client-key, which is no key\n");
        let oct = json!({"keys": [{"kty": "oct", "k": "CANARY !! no base64"}]}).to_string();
        let oct = format!("jwks=@{}", self.home.write("wrong-keys.json", &oct));
        let to = ["--url", "http://127.0.0.1:9/", "--allow-private"];
        let wrong: [&[&str]; 9] = [
            &[
                "endpoint",
                "create",
                "x",
                "--allow-private",
                "--url",
                "http://user:CANARY-userinfo@127.0.0.1:9/",
            ],
            &[
                "endpoint",
                "create",
                "x",
                "--allow-private",
                "--url",
                "nonsense://127.0.0.1:9/?key=CANARY-query",
            ],
            &[
                &["endpoint", "create", "x"][..],
                &to,
                &["--proxy", "http://user:CANARY-proxy@127.0.0.1:no"],
            ]
            .concat(),
            &[&["endpoint", "create", "x"][..], &to, &["--header", "No Name: CANARY-header"]]
                .concat(),
            &[&["endpoint", "create", "x"][..], &to, &["--secret", "whsec_CANARY!no-base64"]]
                .concat(),
            &[
                &["endpoint", "create", "x"][..],
                &to,
                &["--client-cert", &key, "--client-key", &key],
            ]
            .concat(),
            &[
                "source",
                "create",
                "x",
                "--verify",
                "standard-webhooks",
                "--secret",
                "whsec_CANARY!no-base64",
            ],
            &[
                "source",
                "create",
                "x",
                "--verify",
                "jwt",
                "--set",
                &oct,
                "--set",
                "issuer=me",
                "--set",
                "audience=us",
            ],
            &[
                "source",
                "create",
                "x",
                "--verify",
                "no-such-scheme",
                "--secret",
                "CANARY-of-nothing",
            ],
        ];
        for args in wrong {
            let done = self.daemon.ctl().run(args);
            assert!(done.code != Some(0), "{args:?} is a mistake: {}", done.stdout);
            let said = format!("{}\n{}", done.stdout, done.stderr);
            stands_nowhere("CANARY", &format!("what {args:?} says"), &said);
        }
    }

    /// The path of the source with a token.
    fn hidden(&self) -> String {
        let shown = self.daemon.json(&["source", "show", "hidden"]);
        text(&shown, "path").to_owned()
    }

    fn traffic(&mut self) {
        let headers = [
            ("authorization", "Bearer CANARY-1"),
            ("cookie", "a=CANARY-2"),
            ("x-auth-token", "CANARY-3"),
            ("x-api-key", "CANARY-4"),
            ("x-access-token", "CANARY-5"),
            ("x-functions-key", "CANARY-6"),
            ("content-type", "application/json"),
        ];
        let query = "access_token=CANARY-7&k%65y=CANARY-8&api%5Fkey=CANARY-9&Client-Secret=CANARY-a&signature=CANARY-b";

        for chat in ["room", ".."] {
            let body = json!({ "chat": chat }).to_string();
            self.daemon.accept(&format!("/in/open?{query}"), &headers, body.as_bytes());
        }

        self.daemon.accept(
            "/in/partner",
            &[&headers[..], &[("x-partner", INBOUND)]].concat(),
            b"{}",
        );
        self.daemon.accept(&format!("/in/query?partner={INBOUND}"), &headers, b"{}");

        let hidden = self.hidden();
        self.daemon.accept(&hidden, &headers, b"{}");
        for wrong in [format!("{hidden}?{query}"), format!("{hidden}/more"), format!("{hidden}%00")]
        {
            let answer =
                self.daemon.client().request("PUT", &wrong, &headers, b"{}").expect("an answer");
            assert!(answer.status >= 400, "{answer:?}");
            self.answers.push_str(&String::from_utf8_lossy(&answer.body));
        }

        // Whether it counts as the same parameter is not the question here.
        self.daemon.post(
            &format!("/in/query?partner={INBOUND}&p%61rtner={INBOUND}"),
            &headers,
            b"{}",
        );

        for source in ["github", "by-name", "jwt", "partner", "nothing"] {
            let wrong = [
                ("x-hub-signature-256", "sha256=00"),
                ("authorization", "Bearer CANARY-c"),
                ("x-partner", "CANARY-d"),
            ];
            let refused = self.daemon.post(&format!("/in/{source}?{query}"), &wrong, b"{}");
            assert!(refused.status >= 400);
            self.answers.push_str(&String::from_utf8_lossy(&refused.body));
        }

        until("all of it to end", SOON, || {
            let counted = &self.daemon.json(&["status"])["deliveries"];
            (counted["pending"] == 0 && counted["in_flight"] == 0).then_some(())
        });
        // What was told of the dead letters.
        self.notices.wait("/notices", 1, SOON);
    }

    /// Everything that can be asked, by the API's own list: (what, the ctl's words).
    fn questions(&self) -> Vec<Vec<String>> {
        let room = self.home.write("room.json", "{\"chat\":\"room\"}");
        let above = self.home.write("above.json", "{\"chat\":\"..\"}");
        let mut all: Vec<Vec<String>> = Vec::new();
        let mut ask = |args: &[&str]| all.push(args.iter().map(|arg| (*arg).to_owned()).collect());

        for plain in [
            "status",
            "source list",
            "endpoint list",
            "event list --limit 1000",
            "delivery list --limit 1000",
            "dlq list --limit 1000",
            "tail --limit 1000",
            "log stat",
            "log verify",
            "log head",
        ] {
            ask(&plain.split(' ').collect::<Vec<_>>());
        }

        let request = json!({
            "method": "POST", "url": "http://h.example/in/x?access_token=CANARY-q&partner=CANARY-r",
            "headers": {"authorization": "Bearer \
                                          CANARY-s", "x-hub-signature-256": "sha256=CANARY", "x-partner": "CANARY-t"},
            "body_base64": "e30=",
        });
        let request = self.home.write("request.json", &request.to_string());
        for row in self.daemon.lines(&["source", "list"]) {
            ask(&["source", "check", text(&row, "name"), "--request", &request]);
        }

        for list in ["source", "endpoint"] {
            for row in self.daemon.lines(&[list, "list"]) {
                ask(&[list, "show", text(&row, "name")]);
                if list == "endpoint" && row["name"] != "notices" {
                    ask(&["endpoint", "test", text(&row, "name"), "--dry-run", "--file", &room]);
                    ask(&["endpoint", "test", text(&row, "name"), "--file", &above]);
                }
            }
        }

        for row in self.daemon.lines(&["event", "list", "--limit", "1000"]) {
            ask(&["event", "show", text(&row, "id")]);
        }
        for row in self.daemon.lines(&["delivery", "list", "--limit", "1000"]) {
            ask(&["delivery", "show", text(&row, "id")]);
            ask(&["delivery", "explain", text(&row, "id")]);
        }
        for row in self.daemon.lines(&["dlq", "list", "--limit", "1000"]) {
            ask(&["dlq", "show", text(&row, "id")]);
        }
        all
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
        let (_, said) = super::support::admin::Admin::connect(&stage.daemon.socket)
            .expect("raw")
            .get(path)
            .expect("said");
        stands_nowhere("CANARY", path, &said.to_string());
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
        let said = format!("{}\n{}", done.stdout, done.stderr);
        for marker in ["CANARY", "OWNERS", &token] {
            stands_nowhere(marker, &format!("{words:?} for a member of the group"), &said);
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
