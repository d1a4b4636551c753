//! Corners in which the providers' own SDKs were asked, and what they answered is the rule.

use serde_json::{Value, json};

use super::{HashFunction, Header, NOW, URL, base64, hmac, post, proven, refused, source, vector};
use crate::ingest::verify::{Request, Verdict, verify};
use crate::model::Source;

/// A token under the HMAC key `k`, whatever its header says.
fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let mac = hmac(HashFunction::Sha256, b"k", &[signed.as_bytes()]);
    format!("Bearer {signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&mac))
}

/// A source of tokens whose set holds two keys, the second of which is `k`.
fn tokens(scheme: &str, mode: &str) -> Source {
    let key = |kid: &str, k: &str| json!({"kty": "oct", "kid": kid, "k": k});
    let keys = json!({"keys": [key("a", "Zg"), key("b", "aw")]});
    let params = json!({
        "mode": mode, "jwks": keys, "algorithms": "HS256", "audience": "me", "issuer": "them",
        "email": "e@x",
    });
    source(scheme, "", params)
}

fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": "them", "aud": "me", "exp": NOW + 9, "iat": NOW, "email": "e@x",
        "email_verified": true,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// jose wants one key that fits, google-auth tries all, Okta's verifier refuses.
#[test]
fn a_token_without_a_kid_is_worth_what_its_issuers_sdk_says() {
    let send = |scheme, mode, header: Value| {
        post(
            &tokens(scheme, mode),
            &[("authorization", &token(&header, &claims(json!({}))))],
            b"{}",
        )
    };

    for (scheme, mode) in [("jwt", "jwt"), ("okta", "jwt"), ("pubsub", "google_id_token")] {
        proven(send(scheme, mode, json!({"alg": "HS256", "kid": "b"})));
        assert_eq!(
            refused(send(scheme, mode, json!({"alg": "HS256", "kid": "a"}))).0,
            "mismatch",
            "{scheme}"
        );
        assert_eq!(
            refused(send(scheme, mode, json!({"alg": "HS256", "kid": "c"}))).0,
            "unknown-key",
            "{scheme}"
        );
    }

    let without = || json!({"alg": "HS256"});
    assert_eq!(refused(send("jwt", "jwt", without())).0, "unknown-key");
    assert_eq!(refused(send("okta", "jwt", without())).0, "unknown-key");
    proven(send("pubsub", "google_id_token", without()));
    proven(send("dialogflow", "google_id_token", without()));

    let mut one_key = tokens("okta", "jwt");
    one_key.params.insert("jwks".into(), json!({"keys": [{"kty": "oct", "kid": "b", "k": "aw"}]}));
    let sent = post(&one_key, &[("authorization", &token(&without(), &claims(json!({}))))], b"{}");
    assert_eq!(refused(sent).0, "unknown-key", "not even when there is but one");
}

/// `exp` itself is over for PyJWT and jose, and still good for google-auth and Okta's verifier. All
/// are given ten seconds more.
#[test]
fn the_last_second_of_a_token_is_its_issuers() {
    let send = |scheme, mode, exp| {
        let token = token(&json!({"alg": "HS256", "kid": "b"}), &claims(json!({"exp": exp})));
        post(&tokens(scheme, mode), &[("authorization", &token)], b"{}")
    };
    assert_eq!(refused(send("jwt", "jwt", NOW - 10)).0, "stale");
    proven(send("jwt", "jwt", NOW - 9));
    for (scheme, mode) in [("okta", "jwt"), ("pubsub", "google_id_token")] {
        proven(send(scheme, mode, NOW - 10));
        assert_eq!(refused(send(scheme, mode, NOW - 11)).0, "stale", "{scheme}");
    }
}

#[test]
fn googles_tokens_are_for_one() {
    let send = |scheme, mode, aud: Value| {
        let token = token(&json!({"alg": "HS256", "kid": "b"}), &claims(json!({"aud": aud})));
        post(&tokens(scheme, mode), &[("authorization", &token)], b"{}")
    };
    proven(send("jwt", "jwt", json!(["you", "me"])));
    proven(send("okta", "jwt", json!(["you", "me"])));
    assert_eq!(refused(send("pubsub", "google_id_token", json!(["you", "me"]))).0, "claims");
}

fn at_shopify(shopify: &Source, headers: &[Header], body: &[u8]) -> Verdict {
    verify(
        shopify,
        &Request { method: "POST", url: URL, headers, body, client: None, keys: None },
        NOW,
    )
}

/// Of both families of headers Shopify's SDK takes the newer one, and asks it for the event's id,
/// too.
#[test]
fn shopifys_newer_headers_count_before_the_older() {
    let (shopify, headers, body) = vector("shopify", "events-style-headers");
    proven(at_shopify(&shopify, &headers, &body));
    let signature =
        headers.iter().find(|header| header.name == "shopify-hmac-sha256").unwrap().value.clone();
    let mut both = headers.clone();
    both.push(Header::new("x-shopify-hmac-sha256", b"AAAA".to_vec()));
    proven(at_shopify(&shopify, &both, &body));
    let without: Vec<Header> =
        headers.iter().filter(|header| header.name != "shopify-event-id").cloned().collect();
    assert_eq!(refused(at_shopify(&shopify, &without, &body)).0, "missing");
    let (shopify, mut headers, body) = vector("shopify", "small");
    headers.retain(|header| header.name != "x-shopify-event-id");
    proven(at_shopify(&shopify, &headers, &body));
    headers.push(Header::new("shopify-hmac-sha256", signature));
    assert_eq!(
        refused(at_shopify(&shopify, &headers, &body)).0,
        "missing",
        "the newer family is not complete"
    );
}

/// What sns-validator takes as signed wherever it stands must not be added on the way.
#[test]
fn nothing_that_is_signed_can_be_added_to_an_sns_message() {
    let (sns, _, body) = vector("sns", "v2-sha256");
    let with = |key: &str, value: Value| {
        let mut message: Value = serde_json::from_slice(&body).unwrap();
        message[key] = value;
        post(&sns, &[], message.to_string().as_bytes())
    };
    proven(with("UnsubscribeURL", json!("https://elsewhere.example/")));
    proven(with("SubscribeURL", Value::Null));
    assert_eq!(
        refused(with("SubscribeURL", json!("https://sns.eu-west-1.amazonaws.com/"))).0,
        "mismatch"
    );
    assert_eq!(refused(with("Subject", json!("added"))).0, "mismatch");
}

/// twilio-python reads the algorithm from the settings header when a shared key signs.
#[test]
fn twilios_shared_keys_sign_with_sha256() {
    let twilio = source("twilio", "s", json!({}));
    let signed = format!("{URL}a1");
    let send = |hash, settings: &str| {
        let signature = base64(hash, b"s", signed.as_bytes());
        let headers = [
            ("x-twilio-signature", signature.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-twilio-webhooks-signature-settings", settings),
        ];
        post(&twilio, &headers, b"a=1")
    };
    proven(send(HashFunction::Sha256, "key=k1,algorithm=HMAC_SHA256"));
    proven(send(HashFunction::Sha256, "key=k1, algorithm = hmac_sha256"));
    proven(send(HashFunction::Sha1, "key=k1"));
    proven(send(HashFunction::Sha1, ""));
    assert_eq!(refused(send(HashFunction::Sha1, "algorithm=HMAC_SHA256")).0, "mismatch");
    assert_eq!(refused(send(HashFunction::Sha256, "")).0, "mismatch");
    assert_eq!(refused(send(HashFunction::Sha256, "algorithm=NONE")).0, "algorithm");
}
