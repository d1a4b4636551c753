//! The rotation of inbound secrets, for schemes that use a secret in different ways: the old one is
//! accepted beside the new one, until it is ended.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;

use super::support::{Daemon, Home, hex, signature};

const OLD: &str = "the-first-secret-of-32-characters";
const NEW: &str = "the-other-secret-of-32-characters";

/// How a sender proves itself: the header and its value.
type Proof = fn(secret: &str) -> (&'static str, String);

fn mac(secret: &str, bytes: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, bytes).as_ref().to_vec()
}

fn signed_body(secret: &str) -> (&'static str, String) {
    ("X-Signature", hex(&mac(secret, b"{}")))
}

fn bearer_token(secret: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {secret}"))
}

fn json_web_token(secret: &str) -> (&'static str, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://issuer.example", "exp": now + 600});
    let signed = format!("{}.{}", part(json!({"alg": "HS256"})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(secret, signed.as_bytes()));
    ("Authorization", format!("Bearer {signed}.{signature}"))
}

fn post(daemon: &Daemon, name: &str, (header, value): (&str, String)) -> u16 {
    daemon.post(&format!("/in/{name}"), &[(header, &value)], b"{}").status
}

#[test]
fn every_kind_of_secret_overlaps_with_its_successor() {
    let home = Home::new();
    let daemon = home.start();
    let (old, new) = (home.write("old", OLD), home.write("new", NEW));
    let schemes: [(&str, &[&str], Proof, u16); 3] = [
        ("hmac", &[], signed_body, 202),
        ("jwt", &["--set", "issuer=https://issuer.example"], json_web_token, 202),
        ("bin", &["--set", "mode=custom_token"], bearer_token, 200),
    ];

    for (scheme, more, proof, accepted) in schemes {
        let create = ["source", "create", scheme, "--verify", scheme, "--secret-file", &old];
        daemon.json(&[&create[..], more].concat());
        assert_eq!(post(&daemon, scheme, proof(OLD)), accepted, "{scheme}");
        assert_eq!(post(&daemon, scheme, proof(NEW)), 401, "{scheme}: not yet");

        let rotate = ["source", "rotate-secret", scheme, "--secret-file", &new];
        daemon.json(&rotate);
        assert_eq!(post(&daemon, scheme, proof(OLD)), accepted, "{scheme}: for a while");
        assert_eq!(post(&daemon, scheme, proof(NEW)), accepted, "{scheme}: from now on");
        assert_eq!(post(&daemon, scheme, proof("a-third-secret-of-32-characters-")), 401);

        daemon.json(&[&rotate[..], &["--now"]].concat());
        assert_eq!(post(&daemon, scheme, proof(OLD)), 401, "{scheme}: ended");
        assert_eq!(post(&daemon, scheme, proof(NEW)), accepted, "{scheme}");
    }
}

/// A file for `apply` with a source whose secret is in this credential.
fn site(credential: &str) -> String {
    format!("[source.in]\nverify = \"github\"\nsecret = \"cred:{credential}\"\n")
}

#[test]
fn a_reference_that_is_applied_overlaps_with_the_one_before() {
    let mut home = Home::new();
    home.write("one", OLD);
    home.write("two", NEW);
    let folder = home.path().to_string_lossy().into_owned();
    home.environment.push(("CREDENTIALS_DIRECTORY".to_owned(), folder));
    let daemon = home.start();
    let github = |secret| ("X-Hub-Signature-256", signature::github(secret, b"{}"));

    let file = home.write("site.toml", &site("one"));
    daemon.json(&["apply", &file]);
    home.write("site.toml", &site("two"));
    let applied = daemon.ctl().run(&["apply", &file]).expect(0).stdout;
    assert!(applied.contains("the old secret stays valid for 1d"), "{applied}");
    daemon.ctl().run(&["diff", &file]).expect(0);
    for (secret, status) in [(OLD, 202), (NEW, 202), ("another", 401)] {
        assert_eq!(post(&daemon, "in", github(secret)), status, "{secret}");
    }

    // The old credential is gone after a restart: that ends it, and nothing else.
    assert_eq!(daemon.terminate().code(), Some(0));
    std::fs::remove_file(home.path().join("one")).expect("there");
    let daemon = home.start();
    for (secret, status) in [(OLD, 401), (NEW, 202)] {
        assert_eq!(post(&daemon, "in", github(secret)), status, "{secret}");
    }
    daemon.ctl().run(&["diff", &file]).expect(0);
}
