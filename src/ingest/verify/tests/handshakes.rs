//! Handshakes, and the answers that providers insist on.

use serde_json::json;

use super::{NOW, URL, ask, base64, handshake, post, proven, refused, source};
use crate::ingest::verify::crypto::HashFunction;

#[test]
fn handshakes_answer_what_the_provider_wants() {
    for scheme in ["intercom", "mandrill"] {
        assert_eq!(
            handshake(ask(&source(scheme, "s", json!({})), "HEAD", URL, &[], b"")).status,
            200
        );
        assert_eq!(
            refused(ask(&source(scheme, "s", json!({})), "GET", URL, &[], b"")).0,
            "missing"
        );
    }

    let okta = source("okta", "s", json!({}));
    let challenge = ("x-okta-verification-challenge", "abc");
    assert_eq!(
        handshake(ask(&okta, "GET", URL, &[challenge, ("authorization", "s")], b"")).body,
        br#"{"verification":"abc"}"#
    );
    assert_eq!(refused(ask(&okta, "GET", URL, &[challenge], b"")).0, "missing");

    let mailchimp = source("mailchimp", "s", json!({}));
    assert_eq!(handshake(ask(&mailchimp, "GET", &format!("{URL}?secret=s"), &[], b"")).status, 200);
    assert_eq!(refused(ask(&mailchimp, "GET", URL, &[], b"")).0, "missing");
}

#[test]
fn braintree_answers_its_challenge_and_cannot_be_used_to_forge() {
    let braintree = source(
        "braintree",
        "integration_private_key",
        json!({"public_key": "integration_public_key"}),
    );
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let answer =
        handshake(ask(&braintree, "GET", &format!("{URL}?bt_challenge={challenge}"), &[], b""));
    let proof = String::from_utf8(answer.body).unwrap();
    // The value of Braintree's own test.
    assert_eq!(proof, "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4");
    let body = format!("bt_signature={}&bt_payload={challenge}", proof.replace('|', "%7C"));
    assert_eq!(
        refused(post(&braintree, &[], body.as_bytes())),
        ("malformed", "bt_payload is not XML".to_owned())
    );
}

#[test]
fn mandrills_test_key_opens_nothing_but_an_empty_batch() {
    let mandrill = source("mandrill", "real", json!({}));
    let sign = |key: &[u8], events: &str| {
        base64(HashFunction::Sha1, key, format!("{URL}mandrill_events{events}").as_bytes())
    };
    let empty = sign(b"test-webhook", "[]");
    assert_eq!(
        handshake(post(&mandrill, &[("x-mandrill-signature", &empty)], b"mandrill_events=[]"))
            .status,
        200
    );
    let full = sign(b"test-webhook", "[{}]");
    assert_eq!(
        refused(post(&mandrill, &[("x-mandrill-signature", &full)], b"mandrill_events=[{}]")).0,
        "mismatch"
    );
}

#[test]
fn cloudevents_consent_is_for_the_origins_that_were_named() {
    let asked = [("webhook-request-origin", "Emitter.example"), ("webhook-request-rate", "1000")];

    let open = source("cloudevents", "t", json!({"allowed_origins": "*"}));
    let answer = handshake(ask(&open, "OPTIONS", URL, &asked, b""));
    assert!(answer.headers.contains(&("webhook-allowed-rate".into(), "*".into())));

    let listed = source(
        "cloudevents",
        "t",
        json!({"allowed_origins": ["emitter.example"], "allowed_rate": 120}),
    );
    let answer = handshake(ask(&listed, "OPTIONS", URL, &asked, b""));
    assert!(answer.headers.contains(&("webhook-allowed-rate".into(), "120".into())));

    let other = source("cloudevents", "t", json!({"allowed_origins": ["other.example"]}));
    assert_eq!(refused(ask(&other, "OPTIONS", URL, &asked, b"")).0, "not-allowed");
    assert_eq!(
        refused(ask(&source("cloudevents", "t", json!({})), "OPTIONS", URL, &asked, b"")).0,
        "not-allowed"
    );

    let both = ask(
        &listed,
        "POST",
        &format!("{URL}?access_token=t"),
        &[("authorization", "Bearer t")],
        b"",
    );
    assert_eq!(refused(both).0, "duplicate");
}

#[test]
fn discord_is_answered_by_what_it_sends() {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut discord = source("discord", "", json!({}));
    discord.public_key = Some(data_encoding::HEXLOWER.encode(pair.public_key().as_ref()));
    let send = |body: &str| {
        let signature =
            data_encoding::HEXLOWER.encode(pair.sign(format!("{NOW}{body}").as_bytes()).as_ref());
        post(
            &discord,
            &[("x-signature-ed25519", &signature), ("x-signature-timestamp", &NOW.to_string())],
            body.as_bytes(),
        )
    };
    assert_eq!(handshake(send(r#"{"type":0}"#)).status, 204);
    assert_eq!(handshake(send(r#"{"type":1,"id":"i"}"#)).body, br#"{"type":1}"#);
    let event = proven(send(r#"{"type":1,"event":{"type":"E"}}"#));
    assert_eq!((event.kind.as_deref(), event.answer.unwrap().status), (Some("E"), 204));
    assert_eq!(proven(send(r#"{"type":2,"id":"i"}"#)).answer.unwrap().body, br#"{"type":5}"#);
}
