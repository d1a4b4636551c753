//! Key material that stands elsewhere than in the log: the environment, credentials, an issuer's
//! key set.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::support::http::read_head;
use super::support::{Daemon, Home, Receiver, SOON, signature, until};

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Posts an event that is signed as GitHub signs; the status of the answer.
fn post(daemon: &Daemon, name: &str, secret: &str) -> u16 {
    let signed = signature::github(secret, b"{}");
    daemon.post(&format!("/in/{name}"), &[("X-Hub-Signature-256", &signed)], b"{}").status
}

#[test]
fn secrets_stand_in_the_environment_or_in_credentials() {
    let mut home = Home::new();
    home.write("hook", "from-a-credential\n");
    let folder = home.path().to_string_lossy().into_owned();
    home.environment = vec![
        ("HOOK_SECRET".to_owned(), "from-the-environment".to_owned()),
        ("CREDENTIALS_DIRECTORY".to_owned(), folder),
        ("SIGNING".to_owned(), SIGNING.to_owned()),
    ];
    let daemon = home.start();
    daemon.json(&["source", "create", "env", "--verify", "github", "--secret", "env:HOOK_SECRET"]);
    daemon.json(&["source", "create", "cred", "--verify", "github", "--secret", "cred:hook"]);

    let receiver = Receiver::start();
    let url = receiver.url("/");
    let create = ["endpoint", "create", "app", "--url", &url, "--allow-private", "--secret"];
    daemon.json(&[&create[..], &["env:SIGNING"]].concat());
    references_that_cannot_be_used_are_refused(&daemon, &url);

    assert_eq!(post(&daemon, "env", "from-the-environment"), 202);
    assert_eq!(post(&daemon, "cred", "from-a-credential"), 202);
    let seen = receiver.wait("/", 2, SOON);
    assert!(signature::signed_with(&seen[0], SIGNING), "signed with what the environment says");
    assert_eq!(post(&daemon, "env", "env:HOOK_SECRET"), 401, "the reference is not the secret");

    let before = daemon.log_text().len();
    home.write("hook", "rotated");
    daemon.signal(rustix::process::Signal::HUP);
    until("the credential to be reloaded", SOON, || {
        (daemon.log_text()[before..].contains("was reloaded")
            && post(&daemon, "cred", "rotated") == 202)
            .then_some(())
    });
    assert_eq!(post(&daemon, "cred", "from-a-credential"), 401);
    let output = daemon.log_text();
    assert!(daemon.terminate().success());

    home.environment.remove(0);
    let output = output + &without_it_nothing_is_proven(&home);
    for secret in ["from-the-environment", "from-a-credential", "rotated", SIGNING] {
        assert!(!output.contains(secret), "{secret} stands in the process log");
        let found = super::support::files_with(&home.data(), secret.as_bytes());
        assert!(found.is_empty(), "{secret} stands in {found:?}");
    }
}

#[test]
fn a_secret_in_a_file_is_read_again_on_hangup() {
    let home = Home::new();
    let file = home.write("secret", "one\n");
    let daemon = home.start();
    let reference = format!("file:{file}");
    daemon.json(&["source", "create", "a", "--verify", "github", "--secret", &reference]);
    assert_eq!(post(&daemon, "a", "one"), 202);

    home.write("secret", "two\n");
    assert_eq!(post(&daemon, "a", "two"), 401, "what was read is kept");
    daemon.signal(rustix::process::Signal::HUP);
    until("the file to be read again", SOON, || (post(&daemon, "a", "two") == 202).then_some(()));
    assert_eq!(post(&daemon, "a", "one"), 401);

    // One that cannot be read any more stays as it was, and the log says why.
    let before = daemon.log_text().len();
    std::fs::remove_file(&file).expect("it was there");
    daemon.signal(rustix::process::Signal::HUP);
    until("the file to be missed", SOON, || {
        assert_eq!(post(&daemon, "a", "two"), 202, "what was read last stays");
        daemon.log_text()[before..].contains(&file).then_some(())
    });
    assert_eq!(post(&daemon, "a", "one"), 401);

    // Nobody has to say that it is back.
    home.write("secret", "three\n");
    until("the file to be found", SOON, || (post(&daemon, "a", "three") == 202).then_some(()));

    for wrong in ["file:secret", "file:/", "file:/no/such/file", "file:/dev/zero"] {
        let create = ["source", "create", "no", "--verify", "github", "--secret", wrong];
        let refused = daemon.ctl().run(&create).expect(64).stderr;
        assert!(refused.contains(&wrong[5..]), "{refused}");
    }
    assert!(super::support::files_with(&home.data(), b"two").is_empty(), "it is not stored");
}

#[test]
fn the_old_secret_of_a_source_is_accepted_for_a_while() {
    let home = Home::new();
    let daemon = home.start();
    let old = home.write("old", "the-first-secret");
    daemon.json(&["source", "create", "a", "--verify", "github", "--secret-file", &old]);

    let new = home.write("new", "the-second-secret");
    let rotate = ["source", "rotate-secret", "a", "--secret-file", &new, "--overlap", "1h"];
    let before = super::support::wall_now_ms();
    let rotated = daemon.json(&rotate);
    let after = super::support::wall_now_ms();

    let ends = super::support::wall_ms(&rotated["secrets"][1]["expires_at"]);
    assert!((before..=after).contains(&(ends - 3_600_000)), "{rotated}");
    assert_eq!(daemon.json(&["source", "show", "a"])["secrets"], rotated["secrets"]);
    let shown = daemon.done(&["source", "show", "a"]).stdout;
    assert!(shown.contains("2 (old: in "), "{shown}");
    assert_eq!(post(&daemon, "a", "the-first-secret"), 202);
    assert_eq!(post(&daemon, "a", "the-second-secret"), 202);

    let third = home.write("third", "the-third-secret");
    let rotate = ["source", "rotate-secret", "a", "--secret-file", &third, "--overlap"];
    daemon.done(&[&rotate[..], &["1s"]].concat());
    until("the end of the old secrets", SOON, || {
        (post(&daemon, "a", "the-second-secret") == 401).then_some(())
    });
    assert_eq!(post(&daemon, "a", "the-first-secret"), 401, "its time was cut, too");
    assert_eq!(post(&daemon, "a", "the-third-secret"), 202);

    daemon.ctl().run(&[&rotate[..], &["1h", "--now"]].concat()).expect(64);
}

/// One that is not a key for signing, and one that is not there.
fn references_that_cannot_be_used_are_refused(daemon: &Daemon, url: &str) {
    let create = ["endpoint", "create", "no", "--url", url, "--allow-private", "--secret"];
    daemon.ctl().run(&[&create[..], &["env:HOOK_SECRET"]].concat()).expect(64);

    let create = ["source", "create", "no", "--verify", "github", "--secret", "env:NO_SUCH"];
    let wrong = daemon.ctl().run(&create).expect(64);
    assert!(wrong.stderr.contains("NO_SUCH"), "{}", wrong.stderr);
}

/// Starts without the variable that a source's secret names; what the daemon logs.
fn without_it_nothing_is_proven(home: &Home) -> String {
    let daemon = home.start();
    let signed = signature::github("from-the-environment", b"{}");
    let refused = daemon.post("/in/env", &[("X-Hub-Signature-256", &signed)], b"{}");
    assert_eq!(refused.status, 503, "it is gone, and the sender is not at fault");
    assert_eq!(refused.header("retry-after"), Some("30"));

    let why = daemon.json(&["source", "show", "env"])["last_refusal"].to_string();
    assert!(why.contains("HOOK_SECRET"), "{why}");
    let output = daemon.log_text();
    assert!(daemon.terminate().success());
    output
}

/// Who signs tokens, and publishes the keys on loopback.
struct Issuer {
    url: String,
    /// What it answers; `None` hangs up.
    answer: Arc<Mutex<Option<String>>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new(None::<String>));
        let of_thread = answer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let _ = read_head(&mut reader);
                let Some(body) = of_thread.lock().expect("an answer").clone() else { continue };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = reader.get_mut().write_all((head + &body).as_bytes());
            }
        });
        Self { url, answer }
    }

    fn publish(&self, keys: &[(&str, &Ed25519KeyPair)]) {
        let key = |(kid, pair): &(&str, &Ed25519KeyPair)| {
            let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": public})
        };
        let keys: Vec<Value> = keys.iter().map(key).collect();
        *self.answer.lock().expect("an answer") = Some(json!({ "keys": keys }).to_string());
    }

    fn go_away(&self) {
        *self.answer.lock().expect("an answer") = None;
    }
}

fn pair() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("a key");
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key")
}

fn bearer(kid: &str, pair: &Ed25519KeyPair) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({"alg": "EdDSA", "kid": kid})),
        part(json!({"iss": "https://issuer.example", "exp": now + 600}))
    );
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref());
    format!("Bearer {signed}.{signature}")
}

#[test]
fn a_key_set_is_fetched_kept_and_survives_the_issuer() {
    let home = Home::new();
    let daemon = home.start();
    let (issuer, one, other) = (Issuer::start(), pair(), pair());
    let set = format!("jwks_url={}", issuer.url);
    let create = [
        "source",
        "create",
        "a",
        "--verify",
        "jwt",
        "--set",
        "issuer=https://issuer.example",
        "--set",
        &set,
    ];
    daemon.ctl().run(&create).expect(64);
    daemon.json(&[&create[..], &["--set", "allow_private=true"]].concat());
    let post = |daemon: &super::Daemon, token: &str| {
        daemon.post("/in/a", &[("Authorization", token)], b"{}")
    };
    let early = post(&daemon, &bearer("one", &one));
    assert_eq!(
        (early.status, early.header("retry-after")),
        (503, Some("30")),
        "no keys yet: try again"
    );
    daemon.json(&["source", "delete", "a"]);

    issuer.publish(&[("one", &one)]);
    let url = issuer.url.replace("/keys", "/keys2");
    let set = format!("jwks_url={url}");
    let create = [&create[..8], &[&set, "--set", "allow_private=true"]].concat();
    daemon.json(&create);
    until("the key set", SOON, || {
        (post(&daemon, &bearer("one", &one)).status == 202).then_some(())
    });
    issuer.go_away();
    assert_eq!(post(&daemon, &bearer("one", &one)).status, 202, "the issuer may be away");
    assert_eq!(
        post(&daemon, &bearer("other", &other)).status,
        401,
        "a key that it never published"
    );
    assert_eq!(post(&daemon, &bearer("one", &other)).status, 401, "another key of that name");
    daemon.kill();
    let daemon = home.start();
    assert_eq!(post(&daemon, &bearer("one", &one)).status, 202, "also after a restart");
    let shown = daemon.json(&["source", "show", "a"]);
    assert_eq!(shown["set"].get("jwks"), None, "what was fetched is not a setting");
}
