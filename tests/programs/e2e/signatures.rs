//! Signatures of what goes out, checked with another library, and their rotation.

use super::support::{Home, Receiver, SOON, signature};
use super::{open_source, quick_endpoint, text};

#[test]
fn v1_is_the_hmac_of_id_timestamp_and_body() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let made = quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--generate-secret"]);
    let secret = text(&made, "secret").to_owned();
    assert!(secret.starts_with("whsec_"), "a secret for Standard Webhooks");
    daemon.accept("/in/in", &[], b"\x00\xffsigned as bytes");
    let seen = receiver.wait("/hook", 1, SOON);
    assert!(signature::signed_with(&seen[0], &secret), "{:?}", seen[0].headers);
    assert!(!signature::signed_with(&seen[0], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
}

#[test]
fn after_a_rotation_both_secrets_sign() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let file = home.write("old.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--secret-file", &file]);
    let rotated = daemon.json(&["endpoint", "rotate-secret", "app"]);
    let new = text(&rotated, "secret").to_owned();
    daemon.kill();
    let daemon = home.start();
    daemon.accept("/in/in", &[], b"x");
    let seen = receiver.wait("/hook", 1, SOON).remove(0);
    assert!(
        signature::signed_with(&seen, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "the old one for 24 h"
    );
    assert!(signature::signed_with(&seen, &new), "the new one");
    assert_eq!(seen.header("webhook-signature").map(|v| v.split(' ').count()), Some(2));
}

#[test]
fn a_source_takes_both_secrets_after_a_rotation() {
    let home = Home::new();
    let daemon = home.start();
    let made = daemon.json(&["source", "create", "gh", "--verify", "github", "--generate-secret"]);
    let old = text(&made, "secret").to_owned();
    let new = text(&daemon.json(&["source", "rotate-secret", "gh"]), "secret").to_owned();
    assert_ne!(old, new);
    for (secret, wanted) in [(old.as_str(), 202), (new.as_str(), 202), ("another", 401)] {
        let signed = signature::github(secret, b"{}");
        assert_eq!(
            daemon.post("/in/gh", &[("X-Hub-Signature-256", &signed)], b"{}").status,
            wanted
        );
    }
}
