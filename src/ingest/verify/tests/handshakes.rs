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

#[test]
fn senders_that_ask_first_are_answered_and_make_no_event() {
    use crate::ingest::verify::{answers, methods};
    let get = |source: &crate::model::Source, query: &str| {
        ask(source, "GET", &format!("{URL}?{query}"), &[], b"")
    };

    for scheme in ["none", "apikey", "hmac"] {
        let secret = if scheme == "none" { "" } else { "s" };
        let head = source(scheme, secret, json!({"handshake": "head"}));
        assert_eq!(handshake(ask(&head, "HEAD", URL, &[], b"")).status, 200, "{scheme}");
        assert_eq!(methods(&head), "POST, HEAD");
        assert!(answers(&head, "HEAD") && answers(&head, "POST") && !answers(&head, "GET"));
        assert!(!answers(&source(scheme, secret, json!({})), "HEAD"), "{scheme}");
        let plain = source(scheme, secret, json!({"handshake": "get"}));
        assert_eq!(handshake(get(&plain, "x=1")).status, 200, "{scheme}");

        let meta = source(scheme, secret, json!({"handshake": "meta", "verify_token": "t"}));
        let asked = "hub.mode=subscribe&hub.verify_token=t&hub.challenge=11%3Cb%3E";
        let answer = handshake(get(&meta, asked));
        assert_eq!(answer.body, b"11<b>");
        let header = |name: &str| answer.headers.iter().find(|(n, _)| n == name);
        assert_eq!(header("content-type").unwrap().1, "text/plain; charset=utf-8");
        assert!(header("x-content-type-options").is_some());
        for (wrong, kind) in [
            ("hub.mode=subscribe&hub.verify_token=u&hub.challenge=1", "mismatch"),
            ("hub.mode=unsubscribe&hub.verify_token=t&hub.challenge=1", "malformed"),
            ("hub.mode=subscribe&hub.challenge=1", "missing"),
            ("", "missing"),
        ] {
            assert_eq!(refused(get(&meta, wrong)).0, kind, "{scheme} {wrong}");
        }
        let long =
            format!("hub.mode=subscribe&hub.verify_token=t&hub.challenge={}", "1".repeat(600));
        assert_eq!(refused(get(&meta, &long)).0, "malformed");
    }
}

#[test]
fn a_signed_handshake_signs_nothing_that_could_be_an_event() {
    let x = json!({
        "handshake": "crc", "header": "x-twitter-webhooks-signature", "prefix": "sha256=",
        "encoding": "base64",
    });
    let x = source("hmac", "secret", x);
    let ask_for = |token: &str| ask(&x, "GET", &format!("{URL}?crc_token={token}"), &[], b"");
    let token = "MWE1MTA2-_9/+Q==";
    let answer = handshake(ask_for(&token.replace('+', "%2B")));
    let signature = base64(HashFunction::Sha256, b"secret", token.as_bytes());
    let expected = json!({"response_token": format!("sha256={signature}")});
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap(), expected);

    // Neither does it sign an event, nor does it take what it signed for one.
    for body in ["%7B%7D", "%5B1%5D", "a%20b", "%22a%22", ""] {
        assert_eq!(refused(ask_for(body)).0, "malformed", "{body}");
    }
    let signature = format!("sha256={signature}");
    let header = ("x-twitter-webhooks-signature", signature.as_str());
    assert_eq!(refused(post(&x, &[header], token.as_bytes())).0, "malformed");
    let event = base64(HashFunction::Sha256, b"secret", b"{}");
    let signature = format!("sha256={event}");
    proven(post(&x, &[("x-twitter-webhooks-signature", &signature)], b"{}"));
}

#[test]
fn settings_of_a_handshake_that_cannot_work_are_refused() {
    use crate::ingest::verify::check_settings;
    for (scheme, secret, params, part) in [
        ("hmac", "s", json!({"handshake": "meta"}), "verify_token"),
        ("hmac", "s", json!({"verify_token": "t"}), "handshake=meta"),
        ("hmac", "s", json!({"handshake": "wave"}), "one of none, head"),
        ("none", "", json!({"handshake": "crc"}), "--verify hmac"),
        ("apikey", "s", json!({"handshake": "crc"}), "--verify hmac"),
        (
            "hmac",
            "s",
            json!({"handshake": "crc", "signed": "{id}{body}", "id_header": "x-id"}),
            "the body alone",
        ),
        ("github", "s", json!({"handshake": "get"}), "no settings"),
    ] {
        let why = check_settings(&source(scheme, secret, params.clone())).unwrap_err();
        assert!(why.contains(part), "{params}: {why}");
    }
}

#[test]
fn the_settings_own_answer_is_given_to_events_alone() {
    use crate::model::FixedAnswer;
    let mut github = source("github", "s", json!({}));
    let answer = |status, body: Option<&str>| FixedAnswer {
        status,
        content_type: None,
        body: body.map(str::to_owned),
    };
    let signature = format!("sha256={}", super::hex(HashFunction::Sha256, "s", b"{}"));
    let signed = [("x-hub-signature-256", signature.as_str())];
    github.answer = Some(answer(204, None));
    assert_eq!(proven(post(&github, &signed, b"{}")).answer.unwrap().status, 204);
    github.answer = Some(answer(200, Some("[accepted]")));
    let given = proven(post(&github, &signed, b"{}")).answer.unwrap();
    assert_eq!((given.status, given.body.as_slice()), (200, &b"[accepted]"[..]));
    assert_eq!(refused(post(&github, &[], b"{}")).0, "missing");
}

#[test]
fn a_body_is_taken_out_of_the_field_of_a_form() {
    let mut form = source("none", "", json!({}));
    form.body_field = Some("payload".into());
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let part = |headers: &[(&str, &str)], body: &[u8]| {
        proven(post(&form, headers, body)).part.map(|part| (part.body, part.content_type))
    };
    let json = part(&[kind], b"a=1&payload=%7B%22x%22%3A1%7D").unwrap();
    assert_eq!((&json.0[..], json.1), (&br#"{"x":1}"#[..], "application/json"));
    let text = part(&[kind], b"payload=hello+you").unwrap();
    assert_eq!((&text.0[..], text.1), (&b"hello you"[..], "text/plain; charset=utf-8"));

    // What has no such field, or two of them, or is no form, is kept as it came.
    assert_eq!(part(&[kind], b"a=1"), None);
    assert_eq!(part(&[kind], b"payload=1&payload=2"), None);
    assert_eq!(part(&[("content-type", "application/json")], b"payload=1"), None);
}

#[test]
fn a_signed_time_is_read_as_its_sender_writes_it() {
    let signed = |unit: &str, time: &str| {
        let params = json!({
            "signed": "{timestamp}.{body}", "timestamp_header": "x-time", "timestamp_unit": unit,
        });
        let signature = super::hex(HashFunction::Sha256, "s", format!("{time}.{{}}").as_bytes());
        let headers = [("x-signature", signature.as_str()), ("x-time", time)];
        post(&source("hmac", "s", params), &headers, b"{}")
    };
    proven(signed("s", &NOW.to_string()));
    proven(signed("ms", &format!("{NOW}999")));
    proven(signed("rfc3339", "2026-02-02T02:40:00Z"));
    proven(signed("rfc3339", "2026-02-02T03:40:00.5+01:00"));

    assert_eq!(refused(signed("ms", &format!("{}000", NOW - 301))).0, "stale");
    assert_eq!(refused(signed("ms", &NOW.to_string())).0, "stale", "seconds are long ago");
    assert_eq!(refused(signed("s", &format!("{NOW}000"))).0, "malformed");
    assert_eq!(refused(signed("rfc3339", &NOW.to_string())).0, "malformed");
    for time in ["", "-1", "1e12", "9999999999999999"] {
        assert_ne!(refused(signed("ms", time)).0, "stale", "{time}");
    }
}
