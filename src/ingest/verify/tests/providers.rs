//! The rules of single providers that no vector asks for.

use serde_json::{Value, json};

use super::{NOW, URL, ask, base64, post, proven, refused, source, vector, vector_source, vectors};
use crate::ingest::verify::crypto::{HashFunction, sha256};
use crate::ingest::verify::{
    AlternativeName, CertificateLapse, ClientCert, FollowUp, Proven, Request, Signed, advice,
    check_settings, verify,
};
use crate::model::{Header, Source};

#[test]
fn an_sns_topic_that_is_not_listed_is_refused() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/sns.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let case = cases.iter().find(|case| case["name"] == "v2-sha256").unwrap();
    let body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
    let mut sns = source("sns", "", case["params"].clone());
    let found = proven(post(&sns, &[], &body));
    assert_eq!(found.kind.as_deref(), Some("Notification"));
    sns.params.insert("topics".into(), json!("arn:aws:sns:eu-west-1:123456789012:Other"));
    assert_eq!(refused(post(&sns, &[], &body)).0, "not-allowed");
    sns.params.insert("topic".into(), json!("arn:aws:sns:eu-west-1:123456789012:MyTopic"));
    proven(post(&sns, &[], &body));
    // The certificate may come from --public-key-file; without it, the reason says how to pin one.
    let certs = sns.params.remove("certs").unwrap();
    assert!(refused(post(&sns, &[], &body)).1.contains("--set certs=@FILE.json"));
    sns.public_key =
        certs.as_object().unwrap().values().next().and_then(Value::as_str).map(str::to_owned);
    proven(post(&sns, &[], &body));
}

#[test]
fn a_subscription_is_confirmed_only_for_topics_that_were_named() {
    let case = vectors()
        .iter()
        .find(|case| case["name"] == "captured-subscription-confirmation-2014")
        .unwrap();
    let body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();

    let mut sns = vector_source(case);
    let ask = |sns: &Source| {
        let request = Request {
            method: "POST",
            url: URL,
            headers: &[],
            body: &body,
            client: None,
            keys: None,
        };
        verify(sns, &request, case["now"].as_i64().unwrap())
    };

    let unnamed = proven(ask(&sns));
    assert_eq!(
        (unnamed.kind.as_deref(), unnamed.follow_up),
        (Some("SubscriptionConfirmation"), None)
    );

    sns.params.insert("topics".into(), message["TopicArn"].clone());
    let topic = message["TopicArn"].as_str().unwrap().to_owned();
    let url = message["SubscribeURL"].as_str().unwrap().to_owned();
    assert_eq!(proven(ask(&sns)).follow_up, Some(FollowUp::Confirm { url, topic }));

    sns.params.insert("topics".into(), json!("arn:aws:sns:eu-west-1:1:other"));
    assert_eq!(refused(ask(&sns)).0, "not-allowed");
}

#[test]
fn a_raw_sns_delivery_says_what_to_do() {
    let (sns, ..) = vector("sns", "v2-sha256");
    assert!(
        refused(post(&sns, &[("x-amz-sns-rawdelivery", "true")], b"hello"))
            .1
            .contains("raw message delivery")
    );
}

#[test]
fn a_client_certificate_must_be_whom_the_source_names() {
    let certificate = ClientCert {
        common_name: Some("billing".into()),
        names: vec![
            AlternativeName::Dns("app.example".into()),
            AlternativeName::Address([10, 0, 0, 7].into()),
        ],
        fingerprint: "ab".repeat(32),
        proxied: false,
        lapse: None,
    };

    let ask = |params: Value, client: Option<&ClientCert>| {
        verify(
            &source("mtls", "", params),
            &Request { method: "POST", url: URL, headers: &[], body: b"", client, keys: None },
            NOW,
        )
    };

    for good in [
        json!({"subject": "other,billing"}),
        json!({"san": "APP.example"}),
        json!({"san": "10.0.0.7", "subject": "billing"}),
        json!({"fingerprint": "AB:".repeat(31) + "ab"}),
        json!({"any": true}),
    ] {
        proven(ask(good.clone(), Some(&certificate)));
        assert_eq!(refused(ask(good, None)).0, "missing");
    }

    // Behind a proxy it may be the proxy's own, which only its name tells.
    let proxied = ClientCert { proxied: true, ..certificate.clone() };
    proven(ask(json!({"subject": "billing"}), Some(&proxied)));
    assert_eq!(refused(ask(json!({"any": true}), Some(&proxied))).0, "settings");

    for (lapse, kind) in
        [(CertificateLapse::Expired, "stale"), (CertificateLapse::Authorities, "mismatch")]
    {
        let lapsed = ClientCert { lapse: Some(lapse), ..certificate.clone() };
        assert_eq!(refused(ask(json!({"any": true}), Some(&lapsed))).0, kind);
    }

    for bad in [
        json!({"subject": "Billing"}),
        json!({"san": "app"}),
        json!({"san": "app.example", "subject": "x"}),
    ] {
        assert_eq!(refused(ask(bad, Some(&certificate))).0, "mismatch");
    }

    assert!(check_settings(&source("mtls", "", json!({}))).is_err());
    assert!(check_settings(&source("mtls", "", json!({"any": "true", "subject": "x"}))).is_err());
    assert!(check_settings(&source("mtls", "", json!({"any": "true"}))).is_ok());

    for (fingerprint, is_one) in [
        ("AB:".repeat(31) + "ab", true),
        ("ab".repeat(32) + "," + &"cd".repeat(32), true),
        ("zz".to_owned(), false),
        ("zz".repeat(32), false),
        ("ab".repeat(20), false),
        ("ab".repeat(32) + ",ab", false),
    ] {
        let checked = check_settings(&source("mtls", "", json!({"fingerprint": fingerprint})));
        assert_eq!(checked.is_ok(), is_one, "{checked:?}");
        assert!(checked.err().is_none_or(|why| why.contains("64 hexadecimal digits")));
    }
}

#[test]
fn twilio_covers_every_body_and_every_way_to_write_the_port() {
    let twilio = source("twilio", "s", json!({}));
    let sign = |signed: &str| base64(HashFunction::Sha1, b"s", signed.as_bytes());
    let signature = sign(URL);
    let headers =
        [("x-twilio-signature", signature.as_str()), ("content-type", "application/json")];
    proven(post(&twilio, &headers, b""));
    assert_eq!(refused(post(&twilio, &headers, b"{}")).0, "missing");

    let form = |url: &str, signed: &str| {
        let signature = sign(&format!("{signed}a1"));
        let headers = [
            ("x-twilio-signature", signature.as_str()),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("i-twilio-idempotency-token", "t"),
        ];
        ask(&twilio, "POST", url, &headers, b"a=1")
    };
    for (url, signed) in [
        ("https://h.example:8443/x?y=1#f", "https://h.example:8443/x?y=1"),
        ("https://h.example:8443/x", "https://h.example/x"),
        ("https://h.example?y", "https://h.example:443?y"),
        ("http://u:p@h.example/x", "http://u:p@h.example:80/x"),
        ("https://[::1]/x", "https://[::1]:443/x"),
        ("https://[::1]:5/x", "https://[::1]/x"),
    ] {
        let found = proven(form(url, signed));
        assert_eq!(found.dedupe_key.as_deref(), Some("t"), "{url}");
        assert!(found.answer.unwrap().body.ends_with(b"<Response/>"));
    }
    let (kind, reason) =
        refused(form("https://h.example:8443/x?token=t0p", "https://h.example:443/x"));
    assert_eq!(kind, "mismatch");
    assert!(reason.contains("https://h.example:8443/x?…") && !reason.contains("t0p"), "{reason}");
}

/// The content type is not signed, and the URL alone is what is signed of JSON.
#[test]
fn a_digest_in_twilios_url_covers_the_body_whatever_its_type() {
    let twilio = source("twilio", "s", json!({}));
    let body = br#"{"EventType":"sent"}"#;
    let digest = data_encoding::HEXLOWER.encode(&sha256(body));
    let url = format!("{URL}?x=1&bodySHA256={digest}");
    let signature = base64(HashFunction::Sha1, b"s", url.as_bytes());
    let send = |kind: &str, body: &[u8]| {
        let headers = [("x-twilio-signature", signature.as_str()), ("content-type", kind)];
        ask(&twilio, "POST", &url, &headers, body)
    };
    assert_eq!(proven(send("application/json", body)).kind.as_deref(), Some("sent"));
    for kind in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; a=b"] {
        for other in [&b""[..], b"&&=&", b"=", b"a=1", body] {
            assert_eq!(refused(send(kind, other)).0, "mismatch", "{other:?}");
        }
    }
    assert_eq!(refused(send("text/plain", b"")).0, "mismatch");
}

/// Names and values are signed as one text.
#[test]
fn twilios_forms_that_are_signed_alike_are_not_the_same_delivery() {
    let twilio = source("twilio", "s", json!({}));
    let signature = base64(HashFunction::Sha1, b"s", format!("{URL}BodyhelloFrom1").as_bytes());
    let send = |body: &[u8]| {
        let headers = [
            ("x-twilio-signature", signature.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("i-twilio-idempotency-token", "t"),
        ];
        proven(post(&twilio, &headers, body))
    };

    let genuine = send(b"Body=hello&From=1");
    // How it is spelled makes no other one of it.
    assert_eq!(send(b"From=1&B%6fdy=hello&From=1"), genuine);
    for moved in
        [&b"Bodyhello=From1"[..], b"Body=helloFrom1", b"BodyhelloFrom1", b"Body=hello&From1"]
    {
        let moved = send(moved);
        assert_eq!(moved.dedupe_key, genuine.dedupe_key);
        assert_ne!(moved.content, genuine.content);
        assert_ne!(moved.signed, genuine.signed);
    }
}

#[test]
fn paypals_certificate_must_be_valid_and_its_own() {
    let (mut paypal, headers, body) = vector("paypal", "captured-production-2025");

    let at = |paypal: &Source, now| {
        verify(
            paypal,
            &Request {
                method: "POST",
                url: URL,
                headers: &headers,
                body: &body,
                client: None,
                keys: None,
            },
            now,
        )
    };

    let found = proven(at(&paypal, 1_743_885_165));
    assert_eq!(found.kind.as_deref(), Some("PAYMENT.SALE.PENDING"));
    assert_eq!(refused(at(&paypal, 1_900_000_000)).0, "stale");
    assert_eq!(refused(at(&paypal, 1_700_000_000)).0, "stale");

    // A CRC-32 holds nothing together, so what was signed is remembered for as long as its time is
    // accepted, and somewhat longer, for clocks are set.
    let remembered = |found: Proven| match found.signed {
        Some(Signed::Alone { for_s, .. }) => for_s,
        other => panic!("{other:?}"),
    };
    assert_eq!(remembered(found), 4 * 86_400 + 3600);
    let mut patient = paypal.clone();
    patient.params.insert("max_age_s".into(), json!(7 * 86_400));
    assert_eq!(remembered(proven(at(&patient, 1_743_885_165))), 7 * 86_400 + 3600);
    assert!(advice(&patient).is_empty());
    patient.params.insert("max_age_s".into(), json!("none"));
    assert!(remembered(proven(at(&patient, 1_743_885_165))) > 365 * 86_400);
    assert!(advice(&patient)[0].contains("max_age_s=none"));

    let (sns, ..) = vector("sns", "v2-sha256");
    let foreign = sns.params["certs"].as_object().unwrap().values().next().unwrap().clone();
    for pinned in
        paypal.params.get_mut("certs").and_then(Value::as_object_mut).unwrap().values_mut()
    {
        *pinned = foreign.clone();
    }
    assert_eq!(refused(at(&paypal, NOW)).0, "not-allowed");
}

#[test]
fn shopify_wants_all_its_headers() {
    let (shopify, headers, body) = vector("shopify", "small");
    let post = |headers: &[Header]| {
        verify(
            &shopify,
            &Request { method: "POST", url: URL, headers, body: &body, client: None, keys: None },
            NOW,
        )
    };
    assert_eq!(proven(post(&headers)).kind.as_deref(), Some("products/create"));
    for name in ["topic", "shop-domain", "api-version", "webhook-id", "hmac-sha256"] {
        let name = format!("x-shopify-{name}");
        let others: Vec<Header> =
            headers.iter().filter(|header| header.name != name).cloned().collect();
        assert_eq!(refused(post(&others)).0, "missing", "{name}");
    }
}

/// As the libraries read it: a secret may have been cut out of a longer one.
#[test]
fn a_secret_may_end_with_bits_that_count_for_nothing() {
    let key = b"0123456789abcdef";
    let plain = data_encoding::BASE64_NOPAD.encode(key);
    assert!(plain.ends_with('g'), "{plain}");
    let odd = format!("whsec_{}h==", &plain[..plain.len() - 1]);
    let hooks = source("standard-webhooks", &odd, json!({}));
    assert_eq!(check_settings(&hooks), Ok(()));
    let signature =
        format!("v1,{}", base64(HashFunction::Sha256, key, format!("i.{NOW}.x").as_bytes()));
    let at = NOW.to_string();
    let headers = [
        ("webhook-id", "i"),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", &signature),
    ];
    proven(post(&hooks, &headers, b"x"));
}

#[test]
fn a_secret_may_be_given_as_its_sender_shows_it() {
    let key = b"testtesttesttesttesttesttesttest";
    let signature = base64(HashFunction::Sha256, key, format!("i.{NOW}.x").as_bytes());
    let (at, signature) = (NOW.to_string(), format!("v1,{signature}"));
    let headers = [
        ("webhook-id", "i"),
        ("webhook-timestamp", at.as_str()),
        ("webhook-signature", &signature),
    ];
    for prefix in ["v1,whsec_", "whsec_", ""] {
        let secret = format!("{prefix}{}", data_encoding::BASE64.encode(key));
        let sender = source("standard-webhooks", &secret, json!({}));
        assert_eq!(check_settings(&sender), Ok(()));
        assert_eq!(proven(post(&sender, &headers, b"x")).dedupe_key.as_deref(), Some("i"));
    }
}

#[test]
fn gitlab_never_falls_back_from_a_signing_token() {
    let key = b"testtesttesttesttesttesttesttest";
    let token = format!("whsec_{}", data_encoding::BASE64.encode(key));
    let gitlab = source("gitlab", &token, json!({}));
    assert_eq!(check_settings(&gitlab), Ok(()));
    let signature =
        format!("v1,{}", base64(HashFunction::Sha256, key, format!("i.{NOW}.x").as_bytes()));
    let at = NOW.to_string();
    let send = |family: &str| {
        let names = ["id", "timestamp", "signature"].map(|name| format!("{family}-{name}"));
        let values = ["i", at.as_str(), signature.as_str()];
        let headers: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
        post(&gitlab, &headers, b"x")
    };
    assert_eq!(proven(send("webhook")).dedupe_key.as_deref(), Some("i"));
    assert_eq!(refused(send("svix")).0, "missing");
    assert_eq!(refused(post(&gitlab, &[("x-gitlab-token", token.as_str())], b"x")).0, "missing");
}

/// A receiver may believe the member that was not looked at.
#[test]
fn an_sns_message_that_says_something_twice_is_refused() {
    let (mut sns, headers, body) = vector("sns", "v2-sha256");
    sns.params.insert("max_age_s".into(), json!("none"));
    let text = String::from_utf8(body).unwrap();
    let ask = |body: &str| {
        let request = Request {
            method: "POST",
            url: super::URL,
            headers: &headers,
            body: body.as_bytes(),
            client: None,
            keys: None,
        };
        verify(&sns, &request, NOW)
    };

    proven(ask(&text));
    let open = text.find('{').expect("an object") + 1;
    for twice in [r#""Message":"forged","#, r#""\u004dessage":"forged","#] {
        let spoiled = format!("{}{twice}{}", &text[..open], &text[open..]);
        assert_eq!(refused(ask(&spoiled)).0, "duplicate", "{twice}");
    }
    let more = format!("{}\"X\":1,\"X\":2,{}", &text[..open], &text[open..]);
    proven(ask(&more));
}

/// Nothing stands between the two where they are signed.
#[test]
fn no_byte_moves_between_the_time_and_the_body() {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut discord = source("discord", "", json!({"tolerance_s": "none"}));
    discord.public_key = Some(data_encoding::HEXLOWER.encode(pair.public_key().as_ref()));
    let at = NOW.to_string();
    let signature = pair.sign(format!("{at}{{\"id\":\"1\"}}").as_bytes());
    let signature = data_encoding::HEXLOWER.encode(signature.as_ref());
    let send = |at: &str, body: &[u8]| {
        let headers = [("x-signature-ed25519", signature.as_str()), ("x-signature-timestamp", at)];
        post(&discord, &headers, body)
    };
    proven(send(&at, br#"{"id":"1"}"#));
    assert_eq!(refused(send(&format!("{at}{{"), br#""id":"1"}"#)).0, "malformed");

    let (mut sendgrid, headers, body) = vector("sendgrid", "small");
    sendgrid.params.insert("tolerance_s".into(), json!("none"));
    let ask = |cut: usize| {
        let mut headers = headers.clone();
        let time = headers.iter_mut().find(|one| one.name.ends_with("-timestamp")).unwrap();
        time.value = [time.value.as_ref(), &body[..cut]].concat().into();
        let request = Request {
            method: "POST",
            url: super::URL,
            headers: &headers,
            body: &body[cut..],
            client: None,
            keys: None,
        };
        verify(&sendgrid, &request, NOW)
    };
    proven(ask(0));
    assert_eq!(refused(ask(1)).0, "malformed");
}
