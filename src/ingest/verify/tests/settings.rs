//! The table of schemes, and the check of settings: what is missing, what is too much, what is
//! unknown.

use serde_json::json;

use super::{NOW, base64, hex, post, proven, refused, source, vector_source, vectors};
use crate::ingest::verify::crypto::HashFunction;
use crate::ingest::verify::{SCHEMES, TABLE, answers, check_settings, methods};
use crate::model::Source;

#[test]
fn the_table_names_every_scheme_once() {
    let unique: std::collections::BTreeSet<_> = SCHEMES.iter().collect();
    assert_eq!(unique.len(), TABLE.len());
    assert_eq!(TABLE.len(), 30);
    assert!(TABLE.iter().all(|facts| !facts.header.is_empty() && !facts.checked_with.is_empty()));
}

#[test]
fn a_misspelled_scheme_names_the_one_that_was_meant() {
    let why = |scheme: &str| check_settings(&Source::new("a", scheme)).expect_err(scheme);
    assert!(why("gihtub").contains("did you mean 'github'?"), "{}", why("gihtub"));
    assert!(!why("no-such-provider").contains("did you mean"), "{}", why("no-such-provider"));
}

#[test]
fn what_answers_a_handshake_answers_its_method() {
    for scheme in TABLE {
        assert!(scheme.answers("POST"), "{}", scheme.name);
    }

    let asked =
        [("okta", "GET"), ("mandrill", "HEAD"), ("cloudevents", "OPTIONS"), ("bin", "DELETE")];
    assert!(asked.iter().all(|(scheme, method)| answers(&Source::new("a", *scheme), method)));

    let not = [
        ("github", "GET"),
        ("cloudevents", "PUT"),
        ("okta", "HEAD"),
        ("none", "OPTIONS"),
        ("no-such", "GET"),
    ];
    assert!(!not.iter().any(|(scheme, method)| answers(&Source::new("a", *scheme), method)));
    let methods = |scheme| methods(&Source::new("a", scheme));
    assert_eq!((methods("none"), methods("mailchimp")), ("POST", "POST, GET, HEAD"));

    // Every request that a vector accepts must get as far as its verification.
    for case in vectors().iter().filter(|case| case["expected"] == "accept") {
        let method = case["method"].as_str().expect("a method");
        assert!(answers(&vector_source(case), method), "{} {method}", case["name"]);
    }
}

#[test]
fn an_unknown_scheme_is_refused_and_named() {
    let unknown = source("guthib", "", json!({}));
    assert!(check_settings(&unknown).unwrap_err().contains("github"));
    assert_eq!(refused(post(&unknown, &[], b"")).0, "settings");
}

#[test]
fn missing_and_superfluous_settings_are_reported() {
    for (scheme, secret, params, wanted) in [
        ("github", "", json!({}), "--secret-file"),
        ("github", " ", json!({}), "--secret-file"),
        ("github", "s", json!({"x": 1}), "no settings"),
        ("none", "s", json!({}), "leave --secret"),
        ("stripe", "s", json!({"tolerance_s": "soon"}), "tolerance_s"),
        ("stripe", "s", json!({"tolerance": 5}), "it knows tolerance_s"),
        ("braintree", "s", json!({}), "--set public_key"),
        ("sendgrid", "", json!({}), "--public-key-file"),
        ("standard-webhooks", "", json!({}), "whsec_"),
        ("standard-webhooks", "whsec_!", json!({}), "base64"),
        ("svix", "whsk_AAAA", json!({}), "private key"),
        ("gitlab", "plain", json!({}), "mode=secret_token"),
        ("paypal", "", json!({}), "webhook_id"),
        ("paypal", "", json!({"webhook_id": "w", "certs": {"https://x": "no"}}), "not PEM"),
        ("sns", "", json!({"certs": []}), "object"),
        ("jwt", "", json!({}), "jwks"),
        ("jwt", "", json!({"jwks": {"keys": []}}), "no key"),
        ("jwt", "k", json!({"algorithms": ["none"]}), "none"),
        ("okta", "", json!({"mode": "jwt"}), "--set issuer"),
        ("okta", "", json!({}), "Authorization"),
        ("pubsub", "", json!({"audience": "a"}), "--set email"),
        ("dialogflow", "nocolon", json!({"mode": "basic"}), "user:password"),
        ("apikey", "k", json!({"in": "cookie"}), "one of header"),
        ("apikey", "k", json!({"in": "query"}), "--set name"),
        ("bin", "", json!({"mode": "custom_token"}), "--secret-file"),
        ("bin", "t", json!({}), "custom_token"),
        ("rfc9421", "", json!({}), "--set alg"),
        ("rfc9421", "", json!({"alg": "ed25519"}), "--public-key-file"),
        ("rfc9421", "s", json!({"alg": "hmac-sha256", "secret_encoding": "base64"}), "not base64"),
        ("cloudevents", "s", json!({"allowed_rate": "fast"}), "allowed_rate"),
        ("hmac", "s", json!({"signed": "{timestamp}"}), "{body}"),
        ("hmac", "s", json!({"signed": "{timestamp}.{body}"}), "timestamp_header"),
        ("hmac", "s", json!({"timestamp_header": "x-t"}), "has no effect"),
        ("hmac", "s", json!({"signed": "{body}{what}"}), "{what}"),
        ("hmac", "s", json!({"signed": "{body"}), "without its }"),
        ("gitlab", "t", json!({"mode": "secret_token", "tolerance_s": 5}), "has no effect"),
    ] {
        let error = check_settings(&source(scheme, secret, params.clone())).expect_err(scheme);
        assert!(error.contains(wanted), "{scheme} {params}: {error}");
    }

    for (scheme, key) in [
        ("sendgrid", "x"),
        ("travis", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"),
        ("discord", "abcd"),
    ] {
        let mut source = source(scheme, "", json!({}));
        source.public_key = Some(key.to_owned());
        assert!(check_settings(&source).is_err(), "{scheme}");
    }
}

#[test]
fn an_id_that_touches_its_neighbours_is_refused() {
    let with = |signed: &str, unit: &str| {
        let mut params = json!({"signed": signed, "id_header": "x-id"});
        if signed.contains("{timestamp}") {
            params["timestamp_header"] = json!("x-time");
            params["timestamp_unit"] = json!(unit);
        }
        check_settings(&source("hmac", "s", params))
    };

    for (signed, beside) in [
        ("{id}{body}", "{body}"),
        ("v:{body}{id}", "{body}"),
        ("{url}{id}.{body}", "{url}"),
        ("{id}{timestamp}{body}", "{timestamp}"),
        ("{timestamp}{id}{body}", "{timestamp}"),
    ] {
        let why = with(signed, "s").expect_err(signed);
        assert!(why.contains(&format!("{{id}} beside {beside} with nothing between")), "{why}");
    }

    assert!(with("{id}{timestamp}{body}", "ms").is_err());
    for good in ["{id}{timestamp}{body}", "{id}.{body}", "{timestamp}|{id}|{body}"] {
        assert_eq!(with(good, "rfc3339"), Ok(()), "{good}");
    }
}

#[test]
fn what_has_no_effect_together_is_refused() {
    for scheme in TABLE {
        let mut one = source(scheme.name, "", json!({}));
        one.split = true;
        let why = check_settings(&one).err().unwrap_or_default();
        assert_eq!(why.contains("--split has no effect"), !scheme.splits, "{}: {why}", scheme.name);
    }

    let mut okta = source("okta", "s", json!({}));
    okta.split = true;
    assert_eq!(check_settings(&okta), Ok(()));
    okta.id_header = Some("x-id".into());
    assert!(check_settings(&okta).expect_err("refused").contains("--id-field"));
    okta.split = false;
    assert_eq!(check_settings(&okta), Ok(()));
}

#[test]
fn a_home_made_sender_is_described_by_its_settings() {
    let plain = source("hmac", "s", json!({}));
    let upper = hex(HashFunction::Sha256, "s", b"x").to_ascii_uppercase();
    assert_eq!(check_settings(&plain), Ok(()));
    let found = proven(post(&plain, &[("x-signature", &upper)], b"x"));
    assert_eq!((found.kind, found.dedupe_key), (None, None));

    let settings = json!({
        "header": "X-Sig", "algorithm": "sha512", "encoding": "base64", "prefix": "v3 ",
        "signed": "{id}.{timestamp}.{body}", "timestamp_header": "X-Time", "id_header": "X-Id",
        "tolerance_s": 10, "secret_encoding": "hex",
    });
    let rich = source("hmac", "00ff", settings);
    assert_eq!(check_settings(&rich), Ok(()));
    let sign = |at: i64| {
        format!("v3 {}", base64(HashFunction::Sha512, &[0, 255], format!("e1.{at}.x").as_bytes()))
    };
    let send = |at: i64| {
        post(&rich, &[("x-sig", &sign(at)), ("x-time", &at.to_string()), ("x-id", "e1")], b"x")
    };
    assert_eq!(proven(send(NOW - 10)).dedupe_key.as_deref(), Some("e1"));
    assert_eq!(refused(send(NOW - 11)).0, "stale");
    assert_eq!(refused(send(NOW + 11)).0, "stale");
    assert_eq!(refused(post(&rich, &[("x-sig", &sign(NOW)), ("x-id", "e1")], b"x")).0, "missing");
    let late = post(
        &rich,
        &[("x-sig", &sign(NOW)), ("x-time", &(NOW + 1).to_string()), ("x-id", "e1")],
        b"x",
    );
    assert_eq!(refused(late).0, "mismatch");
}
