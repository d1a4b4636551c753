//! Whom a proof is for: a signature that is as good at anybody else's webhook proves nothing here.

use serde_json::{Value, json};

use super::super::{check_settings, needs_recipient_first, unnamed_recipient};
use super::{NOW, post, proven, refused, source, vector, verify};
use crate::ingest::verify::{Request, Verdict};
use crate::model::Source;

fn at(source: &Source, body: &[u8], now: i64) -> Verdict {
    let request =
        Request { method: "POST", url: super::URL, headers: &[], body, client: None, keys: None };
    verify(source, &request, now)
}

#[test]
fn sources_that_take_anybodys_messages_are_warned_of() {
    for (scheme, missing) in [
        ("sns", "--set topics"),
        ("travis", "--set repositories"),
        ("jwt", "--set issuer"),
        ("twilio", "--public-url"),
        ("mandrill", "--public-url"),
        ("rfc9421", "--public-url"),
    ] {
        let warning = unnamed_recipient(&source(scheme, "s", json!({}))).unwrap_or_default();
        assert!(warning.contains(missing), "{scheme}: {warning}");
    }
    let signs_url = json!({"signed": "{url}.{body}"});
    assert!(
        unnamed_recipient(&source("hmac", "s", signs_url.clone()))
            .unwrap()
            .contains("--public-url")
    );
    assert_eq!(unnamed_recipient(&source("hmac", "s", json!({}))), None);

    let mut named = source("hmac", "s", signs_url);
    named.public_url = Some("https://hooks.example.com/in/x".into());
    assert_eq!(unnamed_recipient(&named), None);
    for (scheme, params) in [
        ("sns", json!({"topics": "arn:aws:sns:eu-west-1:1:a"})),
        ("sns", json!({"topics": "*"})),
        ("travis", json!({"owners": "o"})),
        ("jwt", json!({"issuers": "a,b"})),
        ("jwt", json!({"audience": "me"})),
    ] {
        assert_eq!(
            unnamed_recipient(&source(scheme, "", params.clone())),
            None,
            "{scheme} {params}"
        );
    }
    // Without its claims a token source cannot be made at all; others can be tried with `source
    // check` first.
    assert!(needs_recipient_first("jwt") && !needs_recipient_first("sns"));
}

#[test]
fn an_sns_message_is_good_for_an_hour() {
    let (sns, _, body) = vector("sns", "v2-sha256");
    proven(at(&sns, &body, NOW + 3500));
    let late = refused(at(&sns, &body, NOW + 3700));
    assert_eq!(late.0, "stale", "{}", late.1);

    for (age, kind) in
        [(json!("none"), None), (json!(60), Some("stale")), (json!("soon"), Some("settings"))]
    {
        let mut aged = sns.clone();
        aged.params.insert("max_age_s".into(), age.clone());
        match (kind, at(&aged, &body, NOW + 3700)) {
            (None, verdict) => _ = proven(verdict),
            (Some(kind), verdict) => assert_eq!(refused(verdict).0, kind, "{age}"),
        }
    }
    let bad = source("sns", "", json!({"max_age_s": "soon"}));
    assert!(check_settings(&bad).unwrap_err().contains("or none"));
}

#[test]
fn every_topic_may_deliver_only_when_that_is_said() {
    let (mut sns, _, body) = vector("sns", "v2-sha256");
    sns.params.insert("topics".into(), json!("arn:aws:sns:eu-west-1:123456789012:Other"));
    assert_eq!(refused(post(&sns, &[], &body)).0, "not-allowed");
    sns.params.insert("topics".into(), json!(["*"]));
    proven(post(&sns, &[], &body));
}

#[test]
fn a_build_of_somebody_elses_repository_is_refused() {
    let (mut travis, headers, body) = vector("travis", "percent20-instead-of-plus");
    for (key, value, taken) in [
        ("repositories", json!("o/r"), true),
        ("repositories", json!(["a/b", "O/R"]), true),
        ("repositories", json!("*"), true),
        ("owners", json!("o"), true),
        ("repositories", json!("o/other"), false),
        ("repositories", json!("r"), false),
        ("repositories", json!("/"), false),
        ("owners", json!("other"), false),
    ] {
        travis.params.clear();
        travis.params.insert(key.into(), value.clone());
        let request = Request {
            method: "POST",
            url: super::URL,
            headers: &headers,
            body: &body,
            client: None,
            keys: None,
        };

        let verdict = verify(&travis, &request, NOW);
        assert_eq!(matches!(verdict, Verdict::Proven(_)), taken, "{key}={value}: {verdict:?}");
    }
}

/// A message signed with RFC 9421 that covers its digest as the components say.
fn signed(components: &str, params: Value, created: i64) -> Verdict {
    let digest =
        "md5=:AAAAAAAAAAAAAAAAAAAAAA==:, sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:";
    let input = format!("({components});created={created}");

    let mut base = String::new();
    for component in components.split(' ').filter(|component| !component.is_empty()) {
        let value = match component {
            "\"content-digest\"" => digest,
            "\"content-digest\";key=\"md5\"" => ":AAAAAAAAAAAAAAAAAAAAAA==:",
            "\"content-digest\";key=\"sha-256\"" => {
                ":LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:"
            }
            "\"@method\"" => "POST",
            "\"@target-uri\"" => super::URL,
            "\"idempotency-key\"" => "k7",
            other => panic!("{other}"),
        };
        base.push_str(&format!("{component}: {value}\n"));
    }

    base.push_str(&format!("\"@signature-params\": {input}"));
    let mac = super::base64(super::HashFunction::Sha256, b"s", base.as_bytes());

    let mut all = json!({"alg": "hmac-sha256"});
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    let source = source("rfc9421", "s", all);
    assert_eq!(check_settings(&source), Ok(()));

    let (input, signature) = (format!("s={input}"), format!("s=:{mac}:"));
    let headers = [
        ("signature-input", input.as_str()),
        ("signature", &signature),
        ("content-digest", digest),
        ("idempotency-key", "k7"),
    ];
    post(&source, &headers, b"x")
}

#[test]
fn only_a_digest_that_is_signed_and_known_covers_the_body() {
    let none = || json!({});
    proven(signed(r#""content-digest""#, none(), NOW));
    proven(signed(r#""content-digest";key="sha-256""#, none(), NOW));
    for (components, kind) in [
        (r#""content-digest";key="md5""#, "algorithm"),
        (r#""@method""#, "missing"),
        ("", "missing"),
    ] {
        assert_eq!(refused(signed(components, none(), NOW)).0, kind, "{components}");
    }
    // With both members signed, one is enough.
    proven(signed(r#""content-digest";key="md5" "content-digest";key="sha-256""#, none(), NOW));
}

#[test]
fn components_can_be_required() {
    let ask = |components: Value| json!({ "components": components });
    let both = r#""@method" "content-digest""#;
    proven(signed(both, ask(json!("@method,content-digest")), NOW));
    let missing = refused(signed(both, ask(json!("@method, @target-uri")), NOW));
    assert_eq!(missing.0, "missing");
    assert!(missing.1.contains("@target-uri"), "{}", missing.1);
    // A part of a field is not the field.
    let part = r#""content-digest";key="sha-256""#;
    assert_eq!(refused(signed(part, ask(json!("content-digest")), NOW)).0, "missing");
    proven(signed(part, ask(json!([part])), NOW));
}

#[test]
fn a_signature_is_good_for_an_hour() {
    let digest = r#""content-digest""#;
    proven(signed(digest, json!({}), NOW - 3600));
    assert_eq!(refused(signed(digest, json!({}), NOW - 3601)).0, "stale");
    proven(signed(digest, json!({"max_age_s": "none"}), NOW - 86_400));
    assert_eq!(refused(signed(digest, json!({"max_age_s": 5}), NOW - 6)).0, "stale");
}

#[test]
fn an_id_that_is_signed_is_a_key() {
    let found = |components| proven(signed(components, json!({}), NOW)).dedupe_key;
    assert_eq!(found(r#""content-digest" "idempotency-key""#).as_deref(), Some("k7"));
    assert_eq!(found(r#""content-digest""#), None);
}

#[test]
fn every_signed_time_has_an_end() {
    for (scheme, name, days) in [
        ("paypal", "captured-production-2025", 4),
        ("sendgrid", "small", 3),
        ("discord", "event-non-ascii", 1),
    ] {
        let (mut source, headers, body) = vector(scheme, name);

        let case = super::vectors()
            .iter()
            .find(|case| case["provider"] == scheme && case["name"] == name)
            .unwrap();
        let now = case["now"].as_i64().unwrap();

        let at = |source: &Source, now| {
            verify(
                source,
                &Request {
                    method: "POST",
                    url: super::URL,
                    headers: &headers,
                    body: &body,
                    client: None,
                    keys: None,
                },
                now,
            )
        };

        proven(at(&source, now + days * 86_400 - 60));
        assert_eq!(refused(at(&source, now + days * 86_400 + 60)).0, "stale", "{scheme}");

        let key = if scheme == "paypal" { "max_age_s" } else { "tolerance_s" };
        source.params.insert(key.into(), json!("none"));
        proven(at(&source, now + days * 86_400 + 60));
    }
}

/// SNS and others give up on 4xx.
#[test]
fn what_cannot_be_checked_yet_is_not_forged() {
    let again = |verdict: Verdict| match verdict {
        Verdict::Refused { kind, answer, .. } => {
            (kind, answer.map(|answer| (answer.status, answer.headers.len())))
        }
        other => panic!("not refused: {other:?}"),
    };

    let (mut sns, _, body) = vector("sns", "v2-sha256");
    for certs in [json!({}), json!("fetch")] {
        sns.params.insert("certs".into(), certs);
        sns.public_key = None;
        assert_eq!(check_settings(&sns), Ok(()));
        assert_eq!(again(post(&sns, &[], &body)), ("unknown-key", Some((503, 1))));
    }

    let (mut paypal, headers, body) = vector("paypal", "captured-production-2025");
    let request = Request {
        method: "POST",
        url: super::URL,
        headers: &headers,
        body: &body,
        client: None,
        keys: None,
    };

    let url = crate::ingest::verify::certificate_url(&paypal, &request).expect("PayPal's own");
    assert!(url.starts_with("https://api.paypal.com/v1/notifications/certs/"), "{url}");
    paypal.params.insert("certs".into(), json!({}));
    assert_eq!(again(verify(&paypal, &request, 1_743_885_165)), ("unknown-key", Some((503, 1))));

    // A certificate elsewhere is forged, whoever asks for it.
    let mut message: Value = serde_json::from_slice(&vector("sns", "v2-sha256").2).unwrap();
    message["SigningCertURL"] = json!("https://sns.eu-west-1.amazonaws.com.evil.example/a.pem");
    assert_eq!(again(post(&sns, &[], message.to_string().as_bytes())), ("not-allowed", None));

    let keys = json!({"keys": [{"kty": "oct", "kid": "a", "k": "Zg"}]});
    let jwt = source("jwt", "", json!({"issuer": "them", "algorithms": "HS256", "jwks": keys}));
    let token = format!(
        "Bearer {}.e30.AA",
        data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"HS256","kid":"b"}"#)
    );
    assert_eq!(
        again(post(&jwt, &[("authorization", &token)], b"")),
        ("unknown-key", Some((503, 1)))
    );

    let bearer = format!(
        "Bearer {}.e30.AA",
        data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"HS256","kid":"a"}"#)
    );
    assert_eq!(again(post(&jwt, &[("authorization", &bearer)], b"")), ("mismatch", None));
}

#[test]
fn only_certificates_where_a_provider_publishes_them_are_fetched() {
    use crate::ingest::verify::certificate_url;

    let sns = source("sns", "", json!({"certs": "fetch"}));
    let of = |url: &str| {
        let body = json!({ "SigningCertURL": url }).to_string();
        let request = Request {
            method: "POST",
            url: super::URL,
            headers: &[],
            body: body.as_bytes(),
            client: None,
            keys: None,
        };
        certificate_url(&sns, &request)
    };

    let good = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem";
    assert_eq!(of(good).as_deref(), Some(good));
    for bad in [
        "https://sns.eu-west-1.amazonaws.com/other.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-/../x.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-a.pem?x=.pem",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.eu-West-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://127.0.0.1/SimpleNotificationService-a.pem",
    ] {
        assert_eq!(of(bad), None, "{bad}");
    }

    let paypal = source("paypal", "", json!({"certs": "fetch"}));
    for (url, good) in [
        (
            "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270",
            true,
        ),
        ("https://api.paypal.com/v1/notifications/certs/../../x", false),
        ("https://api.paypal.com/v1/notifications/certs/./a", false),
        ("https://api.paypal.com/v1/notifications/certs//a", false),
        ("https://api.paypal.com/v2/x", false),
        ("https://api.paypal.com.evil.example/v1/notifications/certs/a", false),
    ] {
        let headers = [crate::model::Header::new("paypal-cert-url", url.to_owned())];
        let request = Request {
            method: "POST",
            url: super::URL,
            headers: &headers,
            body: b"",
            client: None,
            keys: None,
        };

        assert_eq!(certificate_url(&paypal, &request).is_some(), good, "{url}");
    }
    assert_eq!(
        certificate_url(
            &source("github", "s", json!({})),
            &Request { method: "POST", url: "", headers: &[], body: b"", client: None, keys: None }
        ),
        None
    );
}

#[test]
fn what_settings_leave_open_is_reported() {
    use crate::ingest::verify::advice;
    let mut rfc9421 = source("rfc9421", "", json!({"alg": "ed25519"}));
    rfc9421.public_key = Some("k".into());
    assert!(advice(&rfc9421)[0].contains("--set components"));
    rfc9421.params.insert("components".into(), json!("@target-uri"));
    assert!(advice(&rfc9421).is_empty());
    let mut github = source("github", "s", json!({}));
    assert!(advice(&github).is_empty());
    github.id_header = Some("x-id".into());
    assert!(advice(&github)[0].contains("x-id"));
    let mut apikey = source("apikey", "s", json!({}));
    apikey.id_header = Some("x-id".into());
    assert!(advice(&apikey).is_empty(), "whoever holds the key is trusted");
}
