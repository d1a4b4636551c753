//! Tokens: claims, keys, and which key counts.

use serde_json::{Value, json};

use super::{NOW, URL, post, proven, refused, source};
use crate::ingest::verify::crypto::{HashFunction, hmac};
use crate::ingest::verify::{Request, TokenKeys, check_settings, verify};
use crate::model::{Header, Source};

#[test]
fn a_token_is_what_its_claims_allow() {
    let secret = "0123456789abcdef0123456789abcdef";
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let token = |header: &str, claims: &str| {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mac = data_encoding::BASE64URL_NOPAD.encode(&hmac(
            HashFunction::Sha256,
            secret.as_bytes(),
            &[signed.as_bytes()],
        ));
        format!("Bearer {signed}.{mac}")
    };
    let jwt = source("jwt", secret, json!({"audience": "me", "issuer": "them", "dedupe": "jti"}));
    assert_eq!(check_settings(&jwt), Ok(()));
    let hs = r#"{"alg":"HS256"}"#;
    let claims = |more: &str| format!(r#"{{"iss":"them","aud":["you","me"]{more}}}"#);
    let send = |source: &Source, header: &str, claims: &str| {
        post(source, &[("authorization", &token(header, claims))], b"")
    };

    let good = claims(&format!(r#","exp":{},"jti":"j""#, NOW - 9));
    assert_eq!(proven(send(&jwt, hs, &good)).dedupe_key.as_deref(), Some("j"));
    for (more, kind) in [
        (String::new(), "claims"),
        (format!(r#","exp":{}"#, NOW - 10), "stale"),
        (format!(r#","exp":"{}""#, NOW + 60), "claims"),
        (format!(r#","exp":{},"nbf":{}"#, NOW + 60, NOW + 11), "stale"),
        (format!(r#","exp":{},"iat":"now""#, NOW + 60), "claims"),
    ] {
        assert_eq!(refused(send(&jwt, hs, &claims(&more))).0, kind, "{more}");
    }
    for (header, kind) in [
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "malformed"),
        (r#"{"alg":"HS512"}"#, "mismatch"),
        (r#"{"alg":"hs256"}"#, "algorithm"),
        (r#"{"alg":"none"}"#, "algorithm"),
        (r#"{"alg":"RS256"}"#, "algorithm"),
        (r#"{"alg":"HS256","kid":7}"#, "malformed"),
        ("[]", "malformed"),
    ] {
        assert_eq!(refused(send(&jwt, header, &good)).0, kind, "{header}");
    }
    let nobody = source("jwt", secret, json!({"leeway_s": 10}));
    assert!(refused(send(&nobody, hs, &good)).1.contains("--set audience"));
}

#[test]
fn an_email_that_google_did_not_verify_proves_nothing() {
    let secret = "0123456789abcdef0123456789abcdef";
    let jwt = source("jwt", secret, json!({"email": "me@x"}));
    let send = |claims: &str| {
        let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!(
            "{}.{}",
            part(r#"{"alg":"HS256"}"#),
            part(&format!(r#"{{"exp":{}{claims}}}"#, NOW + 9))
        );
        let mac = data_encoding::BASE64URL_NOPAD.encode(&hmac(
            HashFunction::Sha256,
            secret.as_bytes(),
            &[signed.as_bytes()],
        ));
        post(&jwt, &[("authorization", &format!("Bearer {signed}.{mac}"))], b"")
    };

    proven(send(r#","email":"me@x","email_verified":true"#));
    for claims in [
        r#","email":"me@x""#,
        r#","email":"me@x","email_verified":false"#,
        r#","email":"you@x","email_verified":true"#,
        "",
    ] {
        assert_eq!(refused(send(claims)).0, "claims", "{claims}");
    }
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = data_encoding::BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "d"}]});
    let jwt = source("jwt", "", json!({"jwks": jwks, "algorithms": ["EdDSA", "HS256"]}));
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!(
        "{}.{}",
        encode(r#"{"alg":"HS256","kid":"d"}"#),
        encode(&format!(r#"{{"exp":{}}}"#, NOW + 9))
    );
    let mac = hmac(HashFunction::Sha256, pair.public_key().as_ref(), &[signed.as_bytes()]);
    let token = format!("Bearer {signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&mac));
    assert_eq!(refused(post(&jwt, &[("authorization", &token)], b"")).0, "unknown-key");
}

#[test]
fn a_kid_must_be_in_the_set_and_two_keys_need_one() {
    use ring::signature::KeyPair as _;
    let pairs = [7, 8]
        .map(|seed| ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
    let key = |at: usize, kid: Option<&str>| {
        let x = data_encoding::BASE64URL_NOPAD.encode(pairs[at].public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig"})
    };

    let send = |keys: Vec<Value>, header: &str| {
        let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(header), part(&format!(r#"{{"exp":{}}}"#, NOW + 9)));
        let signature =
            data_encoding::BASE64URL_NOPAD.encode(pairs[0].sign(signed.as_bytes()).as_ref());
        let jwt = source("jwt", "", json!({"jwks": {"keys": keys}}));
        post(&jwt, &[("authorization", &format!("Bearer {signed}.{signature}"))], b"")
    };

    let (with, without) = (r#"{"alg":"EdDSA","kid":"a"}"#, r#"{"alg":"EdDSA"}"#);
    proven(send(vec![key(0, Some("a")), key(1, Some("b"))], with));
    proven(send(vec![key(0, Some("a"))], without));
    proven(send(vec![key(0, None)], without));

    assert_eq!(refused(send(vec![key(0, None)], with)).0, "unknown-key");
    assert_eq!(refused(send(vec![key(0, Some("b"))], with)).0, "unknown-key");
    assert_eq!(refused(send(vec![key(1, Some("a")), key(0, Some("b"))], with)).0, "mismatch");
    assert_eq!(refused(send(vec![key(0, Some("a")), key(1, Some("b"))], without)).0, "unknown-key");

    let mut other_use = key(0, Some("a"));
    other_use["use"] = json!("enc");
    assert_eq!(refused(send(vec![other_use], with)).0, "settings");
}

#[test]
fn a_token_is_tried_with_the_keys_that_were_kept_and_not_with_too_many() {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let x = data_encoding::BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let signed = format!(
        "{}.{}",
        part(r#"{"alg":"EdDSA","kid":"a"}"#),
        part(&format!(r#"{{"exp":{}}}"#, NOW + 9))
    );
    let signature = data_encoding::BASE64URL_NOPAD.encode(pair.sign(signed.as_bytes()).as_ref());
    let headers = [Header::new("authorization", format!("Bearer {signed}.{signature}"))];
    let of = |count: usize| {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a"});
        source("jwt", "", json!({"jwks": {"keys": vec![key; count]}}))
    };
    let ask = |source: &Source, keys: Option<&TokenKeys>| {
        verify(
            source,
            &Request { method: "POST", url: URL, headers: &headers, body: b"", client: None, keys },
            NOW,
        )
    };

    let kept = crate::ingest::verify::key_set(&of(1)).expect("a set");
    let unreadable = source("jwt", "", json!({"jwks": "nonsense"}));
    assert_eq!(refused(ask(&unreadable, None)).0, "settings");
    proven(ask(&unreadable, Some(&kept)));

    proven(ask(&of(crate::model::limits::TOKEN_KEYS - 1), None));
    let many = refused(ask(&of(crate::model::limits::TOKEN_KEYS), None));
    assert!(many.0 == "unknown-key" && many.1.contains("more than"), "{many:?}");
}
