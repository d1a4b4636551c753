use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{EventIdentity, digest, fingerprint, of_element, of_request};
use crate::ingest::verify::{Proven, Signed, SplitEvent};
use crate::model::{Header, Source, limits};

fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| Header::new(*name, value.to_string())).collect()
}

fn facts(source: &Source, pairs: &[(&str, &str)], body: &str) -> (String, Option<String>) {
    let EventIdentity { kind, dedupe_key, .. } =
        of_request(source, &headers(pairs), body.as_bytes(), &Proven::default());
    (kind, dedupe_key)
}

#[test]
fn settings_beat_the_preset_and_the_preset_beats_what_is_common() {
    let mut source = Source::new("a", "none");
    let all = headers(&[("x-type", "mine"), ("x-id", "1"), ("ce-type", "ce"), ("webhook-id", "w")]);
    let preset = |source: &Source, headers: &[Header]| {
        let found = Proven {
            kind: Some("preset".into()),
            dedupe_key: Some("p".into()),
            ..Proven::default()
        };
        let EventIdentity { kind, dedupe_key, .. } =
            of_request(source, headers, br#"{"t":"field","i":5}"#, &found);
        (kind, dedupe_key)
    };

    let found = |kind: &str, key: &str| (kind.to_owned(), Some(key.to_owned()));
    assert_eq!(preset(&source, &all), found("preset", "p"));

    (source.type_field, source.id_field) = (Some("/t".into()), Some("/i".into()));
    assert_eq!(preset(&source, &all), found("field", "5"));

    (source.type_header, source.id_header) = (Some("X-Type".into()), Some("X-Id".into()));
    assert_eq!(preset(&source, &all), found("mine", "1"));
    // What the settings name is not there: the next one counts.
    (source.type_field, source.id_field) = (None, Some("/nope".into()));
    assert_eq!(preset(&source, &[]), found("preset", "p"));
}

#[test]
fn what_is_common_is_found_in_order() {
    let source = Source::new("a", "none");

    assert_eq!(facts(&source, &[], "x"), (String::new(), None));
    assert_eq!(
        facts(&source, &[("webhook-id", "w"), ("idempotency-key", "i")], "").1.as_deref(),
        Some("w")
    );
    assert_eq!(
        facts(&source, &[("webhook-id", ""), ("idempotency-key", "\"a\\\"b\"")], "").1.as_deref(),
        Some("a\"b")
    );
    assert_eq!(facts(&source, &[("idempotency-key", "plain")], "").1.as_deref(), Some("plain"));
    assert_eq!(facts(&source, &[("idempotency-key", "\"\"")], "").1, None);

    let binary = [("ce-type", "com.x"), ("ce-source", "/s"), ("ce-id", "7")];
    assert_eq!(facts(&source, &binary, "{}"), ("com.x".into(), Some("/s 7".into())));
    assert_eq!(facts(&source, &[("ce-id", "7")], "{}").1, None);
    assert_eq!(
        facts(&source, &[("x-github-event", "push"), ("x-github-delivery", "1")], ""),
        (String::new(), None)
    );
}

#[test]
fn keys_that_are_not_utf_8_differ_as_their_bytes_do() {
    let mut source = Source::new("a", "none");
    source.id_header = Some("X-Order".into());
    let element = SplitEvent {
        kind: None,
        dedupe_key: None,
        body: Bytes::from_static(b"{}"),
        content_type: String::new(),
    };

    for name in ["x-order", "webhook-id", "idempotency-key", "ce-id"] {
        let with = |value: &[u8]| {
            let mut all = headers(&[("ce-source", "/s")]);
            all.push(Header::new(name, value.to_vec()));
            let whole = of_request(&source, &all, b"{}", &Proven::default());
            (whole.dedupe_key.expect("a key"), of_element(&source, &all, &element, 0).dedupe_key)
        };
        let (one, two) = (with(b"M\xfcller-1"), with(b"M\xf6ller-1"));
        assert_ne!(one.0, two.0, "{name}");
        assert_eq!(with(b"M\xfcller-1"), one, "{name}");
        assert!(one.0.contains("M\u{fffd}ller-1"), "{one:?}");
        if name != "ce-id" {
            assert_ne!(one.1, two.1, "{name}");
        }
        // What is UTF-8 is the key itself, as it stands in logs.
        assert!(with("Müller-1".as_bytes()).0.ends_with("Müller-1"));
    }
}

/// CloudEvents HTTP binding 1.0, 3.1.3.2.
#[test]
fn attributes_in_headers_are_decoded_once() {
    let source = Source::new("a", "none");
    let of = |kind: &str, id: &str| {
        facts(&source, &[("ce-type", kind), ("ce-source", "/s"), ("ce-id", id)], "{}")
    };
    assert_eq!(of("com.example.%E2%82%AC", "7"), ("com.example.€".into(), Some("/s 7".into())));
    assert_eq!(of("a%2520b", "%37").0, "a%20b", "once");
    assert_eq!(of("a%2520b", "%37").1.as_deref(), Some("/s 7"));
    assert_eq!(of("\"a \\\"b\\\" c\"", "7").0, "a \"b\" c", "as a quoted string");
    for raw in ["100%", "%zz", "%E2%82", "%"] {
        assert_eq!(of(raw, "7").0, raw, "what cannot be decoded stays");
    }
    assert_eq!(of("%0A", "7").0, "\u{fffd}");
}

#[test]
fn a_structured_cloud_event_is_read_from_its_body() {
    let source = Source::new("a", "none");
    let body = r#"{"specversion":"1.0","type":"com.x","source":"/s","id":"7","data":{}}"#;
    let found = ("com.x".to_owned(), Some("/s 7".to_owned()));
    for content_type in
        ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"]
    {
        assert_eq!(facts(&source, &[("content-type", content_type)], body), found);
    }
    for content_type in [
        "application/json",
        "application/cloudevents-batch+json",
        "application/cloudevents+jsonx",
        "",
    ] {
        assert_eq!(facts(&source, &[("content-type", content_type)], body), (String::new(), None));
    }

    let of_body =
        |body: &str| facts(&source, &[("content-type", "application/cloudevents+json")], body);
    assert_eq!(of_body("{"), (String::new(), None));
    assert_eq!(of_body(&format!("\u{feff}{body}")), found);
    assert_eq!(of_body(&body.replace("\"data\":{}", r#""data":"\ud83d""#)), found);
}

#[test]
fn types_and_keys_are_bounded() {
    let source = Source::new("a", "none");
    let (kind, _) = facts(&source, &[("ce-type", &"é".repeat(limits::TYPE_LEN + 1))], "");
    assert_eq!(kind, "é".repeat(limits::TYPE_LEN));
    let fits = "é".repeat(limits::DEDUPE_KEY_LEN);
    assert_eq!(facts(&source, &[("webhook-id", &fits)], "").1, Some(fits.clone()));
    let long = format!("{fits}é");
    let expected: String =
        Sha256::digest(long.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(facts(&source, &[("webhook-id", &long)], "").1, Some(expected));
    let mut with_field = Source::new("a", "none");
    with_field.type_field = Some("/t".into());
    assert_eq!(facts(&with_field, &[], r#"{"t":"a\r\nb"}"#).0, "a\u{fffd}\u{fffd}b");
}

#[test]
fn elements_of_a_batch_are_never_each_others_repetition() {
    let mut source = Source::new("a", "sendgrid");
    let element = |key: Option<&str>, body: &'static str| SplitEvent {
        kind: Some("open".into()),
        dedupe_key: key.map(Into::into),
        body: Bytes::from_static(body.as_bytes()),
        content_type: "application/json".into(),
    };
    let of_all = headers(&[("webhook-id", "w")]);
    let key = |source: &Source, element: &SplitEvent, index| {
        of_element(source, &of_all, element, index).dedupe_key
    };

    assert_eq!(key(&source, &element(None, "{}"), 0).as_deref(), Some("w#0"));
    assert_eq!(key(&source, &element(None, "{}"), 1).as_deref(), Some("w#1"));
    assert_eq!(key(&source, &element(Some("e"), "{}"), 1).as_deref(), Some("e"));

    source.id_field = Some("/i".into());
    assert_eq!(key(&source, &element(Some("e"), r#"{"i":"own"}"#), 1).as_deref(), Some("own"));
    assert_eq!(
        of_element(&source, &[], &element(None, "{}"), 0),
        EventIdentity { kind: "open".into(), ..EventIdentity::default() }
    );
}

/// Of a proof that covers the body.
#[test]
fn ids_that_nobody_signed_are_no_keys() {
    let source = Source::new("a", "hmac");
    let facts = |signed: Signed, pairs: &[(&str, &str)], body: &str| {
        let proven = Proven { signed: Some(signed), ..Proven::default() };
        of_request(&source, &headers(pairs), body.as_bytes(), &proven)
    };
    let ids: [&[(&str, &str)]; 4] = [
        &[],
        &[("webhook-id", "1001")],
        &[("idempotency-key", "1002")],
        &[("ce-source", "/s"), ("ce-id", "1003")],
    ];
    for pairs in ids {
        let found = facts(Signed::Body, pairs, "x");
        assert_eq!((found.dedupe_key, found.also), (Some(digest(b"x")), None), "{pairs:?}");
    }

    // Signed anew for each attempt: the same id and the same content are a repetition, one of
    // them alone is none.
    let signed = |text: &str| Signed::Digest(text.to_owned());
    let first = facts(signed("s1"), ids[1], "x");
    assert_eq!(first.dedupe_key.as_deref(), Some("s1"));
    assert_eq!(facts(signed("s2"), ids[1], "x").also, first.also);
    assert_ne!(facts(signed("s2"), ids[1], "y").also, first.also);
    assert_ne!(facts(signed("s2"), ids[2], "x").also, first.also);
    assert_eq!(facts(signed("s2"), ids[0], "x").also, None);

    // What the operator names is theirs to know.
    let mut named = source.clone();
    named.id_header = Some("x-id".into());
    let proven = Proven { signed: Some(Signed::Body), ..Proven::default() };
    let found = of_request(&named, &headers(&[("x-id", "7"), ("webhook-id", "8")]), b"x", &proven);
    assert_eq!((found.dedupe_key.as_deref(), found.also), (Some("7"), None));
    assert_eq!(found.content, Some(digest(b"x")));
}

#[test]
fn a_key_has_its_content_beside_it_and_nothing_has_none() {
    let source = Source::new("a", "none");
    let of = |pairs: &[(&str, &str)], proven: &Proven| {
        of_request(&source, &headers(pairs), b"x", proven)
    };
    assert_eq!(of(&[("webhook-id", "w")], &Proven::default()).content, Some(digest(b"x")));
    assert_eq!(of(&[], &Proven::default()).content, None);
    let counted =
        Proven { content: Some("c".into()), dedupe_key: Some("k".into()), ..Proven::default() };
    assert_eq!(of(&[], &counted).content.as_deref(), Some("c"));
    let alone = Proven { signed: Some(Signed::Alone { digest: "s".into(), for_s: 60 }), ..counted };
    let found = of(&[], &alone);
    assert_eq!((found.also.as_deref(), found.also_for_ms), (Some("s"), 60_000));
    assert_eq!(found.fingerprints(1, 2).1.also_for_ms, 60_000);
}

#[test]
fn fingerprints_tell_sources_salts_and_keys_apart() {
    let mut text = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0];
    text.extend_from_slice(b"key");
    let digest: [u8; 32] = Sha256::digest(&text).into();
    let expected = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"));
    assert_eq!(fingerprint(1, 2, "key"), expected);
    assert_ne!(fingerprint(2, 2, "key"), expected);
    assert_ne!(fingerprint(1, 3, "key"), expected);
    assert_ne!(fingerprint(1, 2, "kez"), expected);
}
