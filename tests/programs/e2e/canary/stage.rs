//! A daemon with secrets of every kind in its settings, and with traffic that has some, too.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::stands_nowhere;
use crate::e2e::text;
use crate::e2e::trust::open_home;
use crate::support::http::{read_body, read_head};
use crate::support::{Daemon, Home, Receiver, SOON, until};

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

                    let mut output = format!("Cannot {}\n", head.first);
                    for (name, value) in &head.headers {
                        let _ = writeln!(output, "{name}={value}");
                    }
                    output.push_str(&String::from_utf8_lossy(&body));

                    let target = head.first.split(' ').nth(1).unwrap_or("/");
                    let answer = format!(
                        "HTTP/1.1 404 Not Found\r\nlocation: {target}\r\nx-token: \
                         CANARY-answer\r\nset-cookie: a=CANARY\r\ncontent-length: {}\r\n\r\n\
                         {output}",
                        output.len()
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

pub(super) struct Stage {
    pub(super) home: Home,
    pub(super) daemon: Daemon,
    pub(super) notices: Receiver,
    /// What the ctl wrote.
    pub(super) answers: String,
}

/// A daemon with secrets of every kind in its settings, and with traffic that has some, too. Its
/// log is in this format.
pub(super) fn stage(log_format: &str) -> Stage {
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
    /// Runs the ctl as root, and keeps its output.
    #[track_caller]
    fn make(&mut self, args: &[&str]) {
        let done = self.daemon.ctl().run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
        self.answers.push_str(&done.stdout);
        self.answers.push_str(&done.stderr);
    }

    fn sources(&mut self) {
        let secret = self.home.write("secret", INBOUND);
        let key = URL_SAFE_NO_PAD.encode("CANARY-jwks-0123456789-0123456789");
        let keys = json!({"keys": [{"kty": "oct", "alg": "HS256", "k": key}]});
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
        let signing = format!("whsec_{}", STANDARD.encode("CANARY-signing-0123456789"));
        let secret = self.home.write("signing", &signing);

        for (name, url, more) in endpoints_with_secrets(echo) {
            let mut args = vec!["endpoint", "create", &name, "--url", &url];
            args.extend(["--max-attempts", "1", "--from", "open"]);
            args.extend(["--allow-private", "--secret-file", &secret]);
            args.extend(more.iter().map(String::as_str));
            self.make(&args);
        }

        let url = self.notices.url("/notices");
        let create = ["endpoint", "create", "notices", "--url", &url, "--allow-private"];
        self.make(&[&create[..], &["--from", "hookbox"]].concat());
    }

    /// What is refused because something is wrong with it is not quoted, where it may be a secret.
    fn mistakes(&mut self) {
        let key = self.home.write("wrong-key.pem", "CANARY-client-key, which is not a key\n");
        let oct = json!({"keys": [{"kty": "oct", "k": "CANARY !! no base64"}]}).to_string();
        let oct = format!("jwks=@{}", self.home.write("wrong-keys.json", &oct));

        let new_endpoint = ["endpoint", "create", "x", "--allow-private", "--url"];
        for url in
            ["http://user:CANARY-userinfo@127.0.0.1:9/", "nonsense://127.0.0.1:9/?key=CANARY-query"]
        {
            self.is_a_mistake(&[&new_endpoint[..], &[url]].concat());
        }
        let more: [&[&str]; 6] = [
            &["--body", "{% set s = secret %}{{ s('env:BOT') }}"],
            &["--body", "{{ secret('env' ~ ':KEY') }}"],
            &["--proxy", "http://user:CANARY-proxy@127.0.0.1:no"],
            &["--header", "No Name: CANARY-header"],
            &["--secret", "whsec_CANARY!no-base64"],
            &["--client-cert", &key, "--client-key", &key],
        ];
        for more in more {
            self.is_a_mistake(&[&new_endpoint[..], &["https://127.0.0.1:9/"], more].concat());
        }

        let new_source = ["source", "create", "x", "--verify"];
        let more: [&[&str]; 3] = [
            &["standard-webhooks", "--secret", "whsec_CANARY!no-base64"],
            &["jwt", "--set", &oct, "--set", "issuer=me", "--set", "audience=us"],
            &["no-such-scheme", "--secret", "CANARY-of-nothing"],
        ];
        for more in more {
            self.is_a_mistake(&[&new_source[..], more].concat());
        }
    }

    fn is_a_mistake(&self, args: &[&str]) {
        let done = self.daemon.ctl().run(args);
        assert!(done.code != Some(0), "{args:?} is a mistake: {}", done.stdout);
        let output = format!("{}\n{}", done.stdout, done.stderr);
        stands_nowhere("CANARY", &format!("what {args:?} says"), &output);
    }

    /// The path of the source with a token.
    pub(super) fn hidden(&self) -> String {
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
        let query = "access_token=CANARY-7&k%65y=CANARY-8&api%5Fkey=CANARY-9\
                     &Client-Secret=CANARY-a&signature=CANARY-b";

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
            let counted = &self.daemon.asked("/v1/status")["deliveries"];
            (counted["pending"] == 0 && counted["in_flight"] == 0).then_some(())
        });
        // The notice about the dead letters.
        self.notices.wait("/notices", 1, SOON);
    }

    /// Everything that can be asked, by the API's own list: (what, the ctl's words).
    pub(super) fn questions(&self) -> Vec<Vec<String>> {
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
            "headers": {
                "authorization": "Bearer CANARY-s", "x-hub-signature-256": "sha256=CANARY",
                "x-partner": "CANARY-t",
            },
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
                    ask(&["endpoint", "test", text(&row, "name"), "--dry-run", "--file", &above]);
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

/// Endpoints with a secret in each place that takes one: name, URL, more options.
fn endpoints_with_secrets(echo: SocketAddr) -> Vec<(String, String, Vec<String>)> {
    let base = format!("http://{echo}");
    let mut all = Vec::new();
    let mut endpoint = |name: &str, url: &str, more: &[&str]| {
        let more: Vec<String> = more.iter().map(|arg| (*arg).to_owned()).collect();
        all.push((name.to_owned(), url.to_owned(), more));
    };

    endpoint(
        "url",
        &format!("{base}/hook/OWNERS-path-1?page=1&k%65y=OWNERS-query&sig=OWNERS-sig"),
        &[],
    );
    for (n, spelling) in SPELLINGS.iter().enumerate() {
        let path = format!("/bot{spelling}/{{{{ body.chat }}}}?q={spelling}");
        let (header, body) =
            (format!("X-Note: {spelling}"), format!("{{\"note\": \"{spelling}\"}}"));
        endpoint(&format!("path-{n}"), &base, &["--path", &path]);
        endpoint(&format!("header-{n}"), &base, &["--header", &header]);
        endpoint(&format!("body-{n}"), &base, &["--body", &body]);
    }
    endpoint("broken", &base, &["--path", "/{{ secret('env:BOT') | int }}"]);
    endpoint("absent", &base, &["--path", "/{{ secret('env:BOT') }}/{{ body.none }}"]);

    let path = "/x/OWNERS-path-4/{{ body.chat | safe }}";
    endpoint("leaving", &base, &["--path", path]);

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

    let body = "{{ secret('env:BOT') }} and {{ secret('env:KEY') | upper }}";
    endpoint(
        "command",
        "exec:/bin/cat",
        &["--arg", "-", "--arg", "/nowhere/OWNERS-argument", "--body", body],
    );
    all
}

/// Templates that read a secret.
const SPELLINGS: [&str; 7] = [
    "{{ secret(\"env:BOT\") }}",
    "{{ secret ('env:BOT') }}",
    "{% set s = secret('env:BOT') %}{{ s | urlencode }}",
    "{{ secret('env:BOT') | upper }}",
    "{{ secret('env:BOT')[6:] }}",
    "{{ ('x' ~ secret('env:BOT')) | lower }}",
    "{% set all = [secret('env:KEY')] %}{{ all | first }}",
];
