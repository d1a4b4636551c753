//! What the vectors do not ask: settings, rotation, handshakes, batches, home-made schemes, and that nothing panics.

mod sdks;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::crypto::{Hash, hmac};
use super::{
    Answer, ClientCert, FollowUp, Need, Proven, REFUSAL_KINDS, Request, SCHEMES, TABLE, Verdict, answers,
    check_settings, methods, verify,
};
use crate::model::{Header, Source, TimedSecret};

const NOW: i64 = 1_770_000_000;
const URL: &str = "https://hooks.example.com/in/x";

fn source(scheme: &str, secret: &str, params: Value) -> Source {
    let mut source = Source::new("test", scheme);
    if !secret.is_empty() {
        source.secrets = vec![TimedSecret::current(secret)];
    }
    if let Value::Object(params) = params {
        source.params = params.into_iter().collect();
    }
    source
}

fn ask(source: &Source, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Verdict {
    let headers: Vec<Header> =
        headers.iter().map(|(name, value)| Header::new(*name, value.as_bytes().to_vec())).collect();
    verify(source, &Request { method, url, headers: &headers, body, client: None }, NOW)
}

fn post(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Verdict {
    ask(source, "POST", URL, headers, body)
}

fn proven(verdict: Verdict) -> Proven {
    match verdict {
        Verdict::Proven(proven) => proven,
        other => panic!("not proven: {other:?}"),
    }
}

fn handshake(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Handshake(answer) => answer,
        other => panic!("no handshake: {other:?}"),
    }
}

fn refused(verdict: Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Refused { kind, reason, .. } => {
            assert!(REFUSAL_KINDS.contains(&kind), "{kind}");
            (kind, reason)
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn hex(hash: Hash, key: &str, signed: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&hmac(hash, key.as_bytes(), &[signed]))
}

fn base64(hash: Hash, key: &[u8], signed: &[u8]) -> String {
    data_encoding::BASE64.encode(&hmac(hash, key, &[signed]))
}

#[test]
fn the_table_names_every_scheme_once() {
    let unique: std::collections::BTreeSet<_> = SCHEMES.iter().collect();
    assert_eq!(unique.len(), TABLE.len());
    assert_eq!(TABLE.len(), 30);
    assert!(TABLE.iter().all(|facts| !facts.header.is_empty() && !facts.checked_with.is_empty()));
}

#[test]
fn what_answers_a_handshake_answers_its_method() {
    for scheme in TABLE {
        assert!(scheme.answers("POST"), "{}", scheme.name);
    }
    let asked = [("okta", "GET"), ("mandrill", "HEAD"), ("cloudevents", "OPTIONS"), ("bin", "DELETE")];
    assert!(asked.iter().all(|(scheme, method)| answers(scheme, method)));
    let not = [("github", "GET"), ("cloudevents", "PUT"), ("okta", "HEAD"), ("none", "OPTIONS"), ("no-such", "GET")];
    assert!(!not.iter().any(|(scheme, method)| answers(scheme, method)));
    assert_eq!((methods("none"), methods("mailchimp")), ("POST", "POST, GET, HEAD"));
    // Every request that a vector accepts must get as far as its verification.
    for case in vectors().iter().filter(|case| case["expected"] == "accept") {
        let method = case["method"].as_str().expect("a method");
        assert!(answers(&vector_source(case).verify, method), "{} {method}", case["name"]);
    }
}

#[test]
fn an_unknown_scheme_is_refused_and_named() {
    let unknown = source("guthib", "", json!({}));
    assert!(check_settings(&unknown).unwrap_err().contains("github"));
    assert_eq!(refused(post(&unknown, &[], b"")).0, "settings");
}

#[test]
fn settings_are_told_what_they_lack_and_what_they_have_too_much() {
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
        ("hmac", "s", json!({"timestamp_header": "x-t"}), "means nothing"),
        ("hmac", "s", json!({"signed": "{body}{what}"}), "{what}"),
        ("hmac", "s", json!({"signed": "{body"}), "without its }"),
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
fn a_rotated_secret_is_good_until_its_time_is_over() {
    let mut rotated = source("github", "new", json!({}));
    let now_ms = u64::try_from(NOW).unwrap() * 1000;
    rotated.secrets.push(TimedSecret { expires_at: Some(now_ms + 1), ..TimedSecret::current("old") });
    let signature = format!("sha256={}", hex(Hash::Sha256, "old", b"x"));
    let headers =
        [("x-hub-signature-256", signature.as_str()), ("x-github-event", "push"), ("x-github-delivery", "d1")];
    let found = proven(post(&rotated, &headers, b"x"));
    assert_eq!((found.kind.as_deref(), found.dedupe_key.as_deref()), (Some("push"), Some("d1")));
    let reason = refused(post(&rotated, &headers, b"y"));
    assert_eq!(reason, ("mismatch", "the signature does not match with either of 2 secrets".to_owned()));
    rotated.secrets[1].expires_at = Some(now_ms);
    assert_eq!(refused(post(&rotated, &headers, b"x")).0, "mismatch");
}

#[test]
fn a_proof_that_stands_twice_is_refused() {
    let good = format!("sha256={}", hex(Hash::Sha256, "s", b"x"));
    let twice = [("x-hub-signature-256", good.as_str()), ("x-hub-signature-256", good.as_str())];
    assert_eq!(refused(post(&source("github", "s", json!({})), &twice, b"x")).0, "duplicate");
    let apikey = source("apikey", "k", json!({"in": "query", "name": "key"}));
    assert_eq!(refused(ask(&apikey, "POST", &format!("{URL}?key=k&key=k"), &[], b"")).0, "duplicate");
}

#[test]
fn reasons_are_precise() {
    let stripe = source("stripe", "s", json!({}));
    let at = NOW - 412;
    let header = format!("t={at},v1={}", hex(Hash::Sha256, "s", format!("{at}.x").as_bytes()));
    let reason = refused(post(&stripe, &[("stripe-signature", &header)], b"x"));
    assert_eq!(reason, ("stale", "the timestamp is 412 s old, at most 300 s are allowed".to_owned()));
    let patient = source("stripe", "s", json!({"tolerance_s": 500}));
    assert!(matches!(post(&patient, &[("stripe-signature", &header)], b"x"), Verdict::Proven(_)));
    assert_eq!(refused(post(&stripe, &[], b"x")), ("missing", "the header stripe-signature is missing".to_owned()));
}

#[test]
fn braintree_answers_its_challenge_and_cannot_be_used_to_forge() {
    let braintree = source("braintree", "integration_private_key", json!({"public_key": "integration_public_key"}));
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let answer = handshake(ask(&braintree, "GET", &format!("{URL}?bt_challenge={challenge}"), &[], b""));
    let proof = String::from_utf8(answer.body).unwrap();
    // The value of Braintree's own test.
    assert_eq!(proof, "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4");
    let body = format!("bt_signature={}&bt_payload={challenge}", proof.replace('|', "%7C"));
    assert_eq!(refused(post(&braintree, &[], body.as_bytes())), ("malformed", "bt_payload is not XML".to_owned()));
}

#[test]
fn handshakes_answer_what_the_provider_wants() {
    for scheme in ["intercom", "mandrill"] {
        assert_eq!(handshake(ask(&source(scheme, "s", json!({})), "HEAD", URL, &[], b"")).status, 200);
        assert_eq!(refused(ask(&source(scheme, "s", json!({})), "GET", URL, &[], b"")).0, "missing");
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
fn mandrills_test_key_opens_nothing_but_an_empty_batch() {
    let mandrill = source("mandrill", "real", json!({}));
    let sign = |key: &[u8], events: &str| base64(Hash::Sha1, key, format!("{URL}mandrill_events{events}").as_bytes());
    let empty = sign(b"test-webhook", "[]");
    assert_eq!(handshake(post(&mandrill, &[("x-mandrill-signature", &empty)], b"mandrill_events=[]")).status, 200);
    let full = sign(b"test-webhook", "[{}]");
    assert_eq!(refused(post(&mandrill, &[("x-mandrill-signature", &full)], b"mandrill_events=[{}]")).0, "mismatch");
}

#[test]
fn batches_are_split_into_their_own_bytes() {
    let mut mandrill = source("mandrill", "k", json!({}));
    let events = r#"[{"event":"send","_id":"a","ts":5},  {"type":"blacklist","_id":"b","ts":6},{"event":"open"}]"#;
    let signature = base64(Hash::Sha1, b"k", format!("{URL}mandrill_events{events}").as_bytes());
    let encoded: String = events.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!("mandrill_events={encoded}");
    let headers = [("x-mandrill-signature", signature.as_str())];
    let whole = proven(post(&mandrill, &headers, body.as_bytes()));
    assert!(whole.elements.is_empty() && whole.kind.is_none() && whole.dedupe_key.unwrap().starts_with("sha256:"));
    assert_eq!(whole.answer, Some(Answer::empty(200)));

    mandrill.split = true;
    let elements = proven(post(&mandrill, &headers, body.as_bytes())).elements;
    let kinds: Vec<Option<&str>> = elements.iter().map(|element| element.kind.as_deref()).collect();
    assert_eq!(kinds, [Some("send"), Some("blacklist"), Some("open")]);
    assert_eq!(elements[0].dedupe_key.as_deref(), Some("a:5:send"));
    assert!(elements[2].dedupe_key.as_deref().unwrap().starts_with("sha256:"));
    assert_eq!(elements[1].body, r#"{"type":"blacklist","_id":"b","ts":6}"#);
}

#[test]
fn okta_and_cloudevents_batches_are_split() {
    let mut okta = source("okta", "s", json!({}));
    okta.split = true;
    let body = br#"{"eventId":"E","data":{"events":[{"uuid":"1","eventType":"a"},{"uuid":"2","eventType":"b"}]}}"#;
    let found = proven(post(&okta, &[("authorization", "s")], body));
    let keys: Vec<Option<&str>> = found.elements.iter().map(|element| element.dedupe_key.as_deref()).collect();
    assert_eq!((keys, found.dedupe_key.as_deref()), (vec![Some("1"), Some("2")], Some("E")));

    let mut cloudevents = source("cloudevents", "t", json!({}));
    cloudevents.split = true;
    let headers = [("authorization", "Bearer t"), ("content-type", "application/cloudevents-batch+json")];
    let body = br#"[{"type":"x","source":"/s","id":"1"}]"#;
    let element = &proven(post(&cloudevents, &headers, body)).elements[0];
    assert_eq!((element.kind.as_deref(), element.dedupe_key.as_deref()), (Some("x"), Some("/s 1")));
    assert_eq!(element.content_type, "application/cloudevents+json; charset=utf-8");
}

#[test]
fn cloudevents_consent_is_for_the_origins_that_were_named() {
    let asked = [("webhook-request-origin", "Emitter.example"), ("webhook-request-rate", "1000")];
    let open = source("cloudevents", "t", json!({"allowed_origins": "*"}));
    let answer = handshake(ask(&open, "OPTIONS", URL, &asked, b""));
    assert!(answer.headers.contains(&("webhook-allowed-rate".into(), "*".into())));
    let listed = source("cloudevents", "t", json!({"allowed_origins": ["emitter.example"], "allowed_rate": 120}));
    let answer = handshake(ask(&listed, "OPTIONS", URL, &asked, b""));
    assert!(answer.headers.contains(&("webhook-allowed-rate".into(), "120".into())));
    let other = source("cloudevents", "t", json!({"allowed_origins": ["other.example"]}));
    assert_eq!(refused(ask(&other, "OPTIONS", URL, &asked, b"")).0, "not-allowed");
    assert_eq!(refused(ask(&source("cloudevents", "t", json!({})), "OPTIONS", URL, &asked, b"")).0, "not-allowed");
    let both = ask(&listed, "POST", &format!("{URL}?access_token=t"), &[("authorization", "Bearer t")], b"");
    assert_eq!(refused(both).0, "duplicate");
}

#[test]
fn a_home_made_sender_is_described_by_its_settings() {
    let plain = source("hmac", "s", json!({}));
    let upper = hex(Hash::Sha256, "s", b"x").to_ascii_uppercase();
    assert_eq!(check_settings(&plain), Ok(()));
    assert_eq!(proven(post(&plain, &[("x-signature", &upper)], b"x")), Proven::default());

    let settings = json!({
        "header": "X-Sig", "algorithm": "sha512", "encoding": "base64", "prefix": "v3 ", "signed": "{id}.{timestamp}.{body}",
        "timestamp_header": "X-Time", "id_header": "X-Id", "tolerance_s": 10, "secret_encoding": "hex",
    });
    let rich = source("hmac", "00ff", settings);
    assert_eq!(check_settings(&rich), Ok(()));
    let sign = |at: i64| format!("v3 {}", base64(Hash::Sha512, &[0, 255], format!("e1.{at}.x").as_bytes()));
    let send = |at: i64| post(&rich, &[("x-sig", &sign(at)), ("x-time", &at.to_string()), ("x-id", "e1")], b"x");
    assert_eq!(proven(send(NOW - 10)).dedupe_key.as_deref(), Some("e1"));
    assert_eq!(refused(send(NOW - 11)).0, "stale");
    assert_eq!(refused(send(NOW + 11)).0, "stale");
    assert_eq!(refused(post(&rich, &[("x-sig", &sign(NOW)), ("x-id", "e1")], b"x")).0, "missing");
    let late = post(&rich, &[("x-sig", &sign(NOW)), ("x-time", &(NOW + 1).to_string()), ("x-id", "e1")], b"x");
    assert_eq!(refused(late).0, "mismatch");
}

#[test]
fn discord_is_answered_by_what_it_sends() {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut discord = source("discord", "", json!({}));
    discord.public_key = Some(data_encoding::HEXLOWER.encode(pair.public_key().as_ref()));
    let send = |body: &str| {
        let signature = data_encoding::HEXLOWER.encode(pair.sign(format!("5{body}").as_bytes()).as_ref());
        post(&discord, &[("x-signature-ed25519", &signature), ("x-signature-timestamp", "5")], body.as_bytes())
    };
    assert_eq!(handshake(send(r#"{"type":0}"#)).status, 204);
    assert_eq!(handshake(send(r#"{"type":1,"id":"i"}"#)).body, br#"{"type":1}"#);
    let event = proven(send(r#"{"type":1,"event":{"type":"E"}}"#));
    assert_eq!((event.kind.as_deref(), event.answer.unwrap().status), (Some("E"), 204));
    assert_eq!(proven(send(r#"{"type":2,"id":"i"}"#)).answer.unwrap().body, br#"{"type":5}"#);
}

#[test]
fn a_token_is_what_its_claims_allow() {
    let secret = "0123456789abcdef0123456789abcdef";
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let token = |header: &str, claims: &str| {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mac = data_encoding::BASE64URL_NOPAD.encode(&hmac(Hash::Sha256, secret.as_bytes(), &[signed.as_bytes()]));
        format!("Bearer {signed}.{mac}")
    };
    let jwt = source("jwt", secret, json!({"audience": "me", "issuer": "them", "leeway_s": 10, "dedupe": "jti"}));
    assert_eq!(check_settings(&jwt), Ok(()));
    let hs = r#"{"alg":"HS256"}"#;
    let claims = |more: &str| format!(r#"{{"iss":"them","aud":["you","me"]{more}}}"#);
    let send =
        |source: &Source, header: &str, claims: &str| post(source, &[("authorization", &token(header, claims))], b"");

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
fn a_public_key_is_never_an_hmac_secret() {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = data_encoding::BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "d"}]});
    let jwt = source("jwt", "", json!({"jwks": jwks, "algorithms": ["EdDSA", "HS256"]}));
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"d"}"#), encode(&format!(r#"{{"exp":{}}}"#, NOW + 9)));
    let mac = hmac(Hash::Sha256, pair.public_key().as_ref(), &[signed.as_bytes()]);
    let token = format!("Bearer {signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&mac));
    assert_eq!(refused(post(&jwt, &[("authorization", &token)], b"")).0, "unknown-key");
}

#[test]
fn a_kid_must_be_in_the_set_and_two_keys_need_one() {
    use ring::signature::KeyPair as _;
    let pairs = [7, 8].map(|seed| ring::signature::Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap());
    let key = |at: usize, kid: Option<&str>| {
        let x = data_encoding::BASE64URL_NOPAD.encode(pairs[at].public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig"})
    };
    let send = |keys: Vec<Value>, header: &str| {
        let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(header), part(&format!(r#"{{"exp":{}}}"#, NOW + 9)));
        let signature = data_encoding::BASE64URL_NOPAD.encode(pairs[0].sign(signed.as_bytes()).as_ref());
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

/// Signs with Ed25519 what a signer would: the base is written out by hand here.
fn signed_message(input: &str, base: &str) -> (Source, [(String, String); 2]) {
    use ring::signature::KeyPair as _;
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let mut source = source("rfc9421", "", json!({"alg": "ed25519", "require_content_digest": false}));
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    source.public_key = Some(data_encoding::BASE64.encode(&[&prefix[..], pair.public_key().as_ref()].concat()));
    assert_eq!(check_settings(&source), Ok(()));
    let signature = data_encoding::BASE64.encode(pair.sign(base.as_bytes()).as_ref());
    (source, [("signature-input".into(), format!("s={input}")), ("signature".into(), format!("s=:{signature}:"))])
}

#[test]
fn the_signature_base_has_every_kind_of_component() {
    let input = format!(
        r#"("@method" "@scheme" "@request-target" "@query-param";name="a%20b" "x-two" "x-two";bs "x-dict";key="k" "priority";sf);created={NOW}"#
    );
    let base = format!(
        "\"@method\": PUT\n\"@scheme\": https\n\"@request-target\": /p?a+b=%C3%A9+!&c\n\"@query-param\";name=\"a%20b\": %C3%A9%20%21\n\
         \"x-two\": one, two\n\"x-two\";bs: :b25l:, :dHdv:\n\"x-dict\";key=\"k\": (1 2);q\n\"priority\";sf: u=1, i\n\
         \"@signature-params\": {input}"
    );
    let (source, signature) = signed_message(&input, &base);
    let mut headers = vec![("x-two", " one "), ("x-dict", "j, k=( 1  2 );q"), ("x-two", "two"), ("priority", "u=1,i")];
    headers.extend(signature.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let url = "https://H.example:443/p?a+b=%C3%A9+!&c#f";
    proven(ask(&source, "PUT", url, &headers, b""));
    headers[3].1 = "u=2,i";
    assert_eq!(refused(ask(&source, "PUT", url, &headers, b"")).0, "mismatch");
}

#[test]
fn a_signature_that_covers_what_is_not_there_is_refused() {
    let refusal = |input: &str| {
        let (source, signature) = signed_message(input, "");
        let headers: Vec<(&str, &str)> =
            signature.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        refused(ask(&source, "POST", "https://h.example/?q=1&q=2", &headers, b"")).0
    };
    for (components, kind) in [
        (r#"("@status")"#, "malformed"),
        (r#"("@method";req)"#, "malformed"),
        (r#"("@method" "@method")"#, "duplicate"),
        (r#"("@query-param";name="q")"#, "duplicate"),
        (r#"("@query-param";name="r")"#, "missing"),
        (r#"("@query-param")"#, "malformed"),
        (r#"("X-A")"#, "malformed"),
        (r#"("x-a")"#, "missing"),
        (r#"("x-a";tr)"#, "malformed"),
        (r#"("@signature-params")"#, "malformed"),
        ("(token)", "malformed"),
    ] {
        assert_eq!(refusal(&format!("{components};created={NOW}")), kind, "{components}");
    }
    for (parameters, kind) in [
        (String::new(), "missing"),
        (format!(";created={}", NOW + 61), "stale"),
        (format!(";created={NOW};expires={}", NOW - 1), "stale"),
        (format!(";created={NOW};alg=\"rsa-pss-sha512\""), "algorithm"),
        (format!(";created={NOW};what=1"), "malformed"),
        (format!(";created=\"{NOW}\""), "malformed"),
        (format!(";created={NOW}.0"), "malformed"),
    ] {
        assert_eq!(refusal(&format!("(){parameters}")), kind, "{parameters}");
    }
}

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
    sns.public_key = certs.as_object().unwrap().values().next().and_then(Value::as_str).map(str::to_owned);
    proven(post(&sns, &[], &body));
}

#[test]
fn a_subscription_is_confirmed_only_for_topics_that_were_named() {
    let case = vectors().iter().find(|case| case["name"] == "captured-subscription-confirmation-2014").unwrap();
    let body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let mut sns = vector_source(case);
    let ask = |sns: &Source| {
        let request = Request { method: "POST", url: URL, headers: &[], body: &body, client: None };
        verify(sns, &request, case["now"].as_i64().unwrap())
    };
    let unnamed = proven(ask(&sns));
    assert_eq!((unnamed.kind.as_deref(), unnamed.follow_up), (Some("SubscriptionConfirmation"), None));
    sns.params.insert("topics".into(), message["TopicArn"].clone());
    let topic = message["TopicArn"].as_str().unwrap().to_owned();
    let url = message["SubscribeURL"].as_str().unwrap().to_owned();
    assert_eq!(proven(ask(&sns)).follow_up, Some(FollowUp::Confirm { url, topic }));
    sns.params.insert("topics".into(), json!("arn:aws:sns:eu-west-1:1:other"));
    assert_eq!(refused(ask(&sns)).0, "not-allowed");
}

#[test]
fn a_client_certificate_must_be_whom_the_source_names() {
    let certificate = ClientCert {
        common_name: Some("billing".into()),
        names: vec!["app.example".into(), "10.0.0.7".into()],
        fingerprint: "ab".repeat(32),
    };
    let ask = |params: Value, client: Option<&ClientCert>| {
        verify(&source("mtls", "", params), &Request { method: "POST", url: URL, headers: &[], body: b"", client }, NOW)
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
    for bad in [json!({"subject": "Billing"}), json!({"san": "app"}), json!({"san": "app.example", "subject": "x"})] {
        assert_eq!(refused(ask(bad, Some(&certificate))).0, "mismatch");
    }
    assert!(check_settings(&source("mtls", "", json!({}))).is_err());
    assert!(check_settings(&source("mtls", "", json!({"any": "true", "subject": "x"}))).is_err());
    assert!(check_settings(&source("mtls", "", json!({"any": "true"}))).is_ok());
}

#[test]
fn what_is_too_long_is_cut_or_hashed() {
    let plain = source("github", "s", json!({}));
    let signature = format!("sha256={}", hex(Hash::Sha256, "s", b"x"));
    let long = "d".repeat(600);
    let headers =
        [("x-hub-signature-256", signature.as_str()), ("x-github-event", &long), ("x-github-delivery", &long)];
    let found = proven(post(&plain, &headers, b"x"));
    assert_eq!(found.kind, None);
    assert!(found.dedupe_key.unwrap().starts_with("sha256:"));
    let wordy = source("rfc9421", "s", json!({"alg": "hmac-sha256"}));
    let input = format!("s=();created={NOW};keyid=\"{long}\";alg=\"{long}\"");
    let reason = refused(post(&wordy, &[("signature-input", &input), ("signature", "s=:AA==:")], b""));
    assert_eq!((reason.0, reason.1.chars().count()), ("algorithm", 401));
}

#[test]
fn twilio_covers_every_body_and_every_way_to_write_the_port() {
    let twilio = source("twilio", "s", json!({}));
    let sign = |signed: &str| base64(Hash::Sha1, b"s", signed.as_bytes());
    let signature = sign(URL);
    let headers = [("x-twilio-signature", signature.as_str()), ("content-type", "application/json")];
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
    let (kind, reason) = refused(form("https://h.example:8443/x?token=t0p", "https://h.example:443/x"));
    assert_eq!(kind, "mismatch");
    assert!(reason.contains("https://h.example:8443/x?…") && !reason.contains("t0p"), "{reason}");
}

fn vector(provider: &str, name: &str) -> (Source, Vec<Header>, Vec<u8>) {
    let case = vectors().iter().find(|case| case["provider"] == provider && case["name"] == name).unwrap();
    let headers = case["headers"].as_object().unwrap().iter();
    let headers =
        headers.map(|(name, value)| Header::new(name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()));
    let body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
    (vector_source(case), headers.collect(), body)
}

#[test]
fn paypals_certificate_must_be_valid_and_its_own() {
    let (mut paypal, headers, body) = vector("paypal", "captured-production-2025");
    let at = |paypal: &Source, now| {
        verify(paypal, &Request { method: "POST", url: URL, headers: &headers, body: &body, client: None }, now)
    };
    let found = proven(at(&paypal, 1_743_885_165));
    assert_eq!(found.kind.as_deref(), Some("PAYMENT.SALE.PENDING"));
    assert_eq!(refused(at(&paypal, 1_900_000_000)).0, "stale");
    assert_eq!(refused(at(&paypal, 1_700_000_000)).0, "stale");
    let (sns, ..) = vector("sns", "v2-sha256");
    let foreign = sns.params["certs"].as_object().unwrap().values().next().unwrap().clone();
    for pinned in paypal.params.get_mut("certs").and_then(Value::as_object_mut).unwrap().values_mut() {
        *pinned = foreign.clone();
    }
    assert_eq!(refused(at(&paypal, NOW)).0, "not-allowed");
}

#[test]
fn shopify_wants_all_its_headers() {
    let (shopify, headers, body) = vector("shopify", "small");
    let post = |headers: &[Header]| {
        verify(&shopify, &Request { method: "POST", url: URL, headers, body: &body, client: None }, NOW)
    };
    assert_eq!(proven(post(&headers)).kind.as_deref(), Some("products/create"));
    for name in ["topic", "shop-domain", "api-version", "webhook-id", "hmac-sha256"] {
        let name = format!("x-shopify-{name}");
        let others: Vec<Header> = headers.iter().filter(|header| header.name != name).cloned().collect();
        assert_eq!(refused(post(&others)).0, "missing", "{name}");
    }
}

#[test]
fn gitlab_never_falls_back_from_a_signing_token() {
    let key = b"testtesttesttesttesttesttesttest";
    let token = format!("whsec_{}", data_encoding::BASE64.encode(key));
    let gitlab = source("gitlab", &token, json!({}));
    assert_eq!(check_settings(&gitlab), Ok(()));
    let signature = format!("v1,{}", base64(Hash::Sha256, key, format!("i.{NOW}.x").as_bytes()));
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

#[test]
fn a_raw_sns_delivery_says_what_to_do() {
    let (sns, ..) = vector("sns", "v2-sha256");
    assert!(refused(post(&sns, &[("x-amz-sns-rawdelivery", "true")], b"hello")).1.contains("raw message delivery"));
}

#[test]
fn an_email_that_google_did_not_verify_proves_nothing() {
    let secret = "0123456789abcdef0123456789abcdef";
    let jwt = source("jwt", secret, json!({"email": "me@x"}));
    let send = |claims: &str| {
        let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&format!(r#"{{"exp":{}{claims}}}"#, NOW + 9)));
        let mac = data_encoding::BASE64URL_NOPAD.encode(&hmac(Hash::Sha256, secret.as_bytes(), &[signed.as_bytes()]));
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

/// A header full of wrong signatures is compared with one MAC; it must not cost a pass over the body each.
#[test]
fn a_long_list_of_signatures_still_finds_the_right_one() {
    let key = b"0123456789abcdef01234567";
    let hooks = source("standard-webhooks", &data_encoding::BASE64.encode(key), json!({}));
    let good = format!("v1,{}", base64(Hash::Sha256, key, format!("i.{NOW}.x").as_bytes()));
    let send = |wrong: usize| {
        let list = format!("{}{good}", "v1,AAAA v9 v1a,AA ".repeat(wrong));
        post(
            &hooks,
            &[("webhook-id", "i"), ("webhook-timestamp", &NOW.to_string()), ("webhook-signature", &list)],
            b"x",
        )
    };
    proven(send(15));
    assert_eq!(refused(send(16)).0, "mismatch");
}

/// All vectors, read once: ground to be changed in.
fn vectors() -> &'static [Value] {
    static VECTORS: std::sync::OnceLock<Vec<Value>> = std::sync::OnceLock::new();
    VECTORS.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
        files.sort();
        let cases =
            files.iter().flat_map(|path| serde_json::from_slice::<Vec<Value>>(&std::fs::read(path).unwrap()).unwrap());
        cases.filter(|case| case["body_b64"].as_str().is_some_and(|body| body.len() < 8000)).collect()
    })
}

fn vector_source(case: &Value) -> Source {
    let scheme = match case["provider"].as_str().unwrap() {
        "standardwebhooks" => "standard-webhooks",
        "pipedream" => "bin",
        other => other,
    };
    let mut source = source(scheme, case["secret"].as_str().unwrap_or_default(), case["params"].clone());
    source.public_key = case["public_key"].as_str().map(str::to_owned);
    source
}

/// Bytes that the parsers of this room look for.
const SPICE: &[u8] = b"=,;.:|\"\\(){}[]%+ &?/#-_*\0\xff\xc3\xa9\n\r0aAzZ";

fn spoil(bytes: &mut Vec<u8>, edits: &[(u16, u8, u8)]) {
    for (at, what, byte) in edits {
        let at = usize::from(*at) % (bytes.len() + 1);
        let spice = SPICE[usize::from(*byte) % SPICE.len()];
        match what % 4 {
            0 => bytes.insert(at, spice),
            1 if at < bytes.len() => bytes[at] = spice,
            2 => bytes.truncate(at),
            _ if at < bytes.len() => _ = bytes.remove(at),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A real request with changes in it: any verdict, no panic; and what is refused is refused in words.
    #[test]
    fn no_changed_vector_panics(
        pick: prop::sample::Index,
        header_edits: Vec<(u16, u8, u8)>,
        body_edits in prop::collection::vec(any::<(u16, u8, u8)>(), 0..3),
        url_edits in prop::collection::vec(any::<(u16, u8, u8)>(), 0..3),
        now: i64,
        split: bool,
    ) {
        let case = pick.get(vectors());
        let mut source = vector_source(case);
        source.split = split;
        let mut headers = Vec::new();
        for (at, (name, value)) in case["headers"].as_object().unwrap().iter().enumerate() {
            let mut value = value.as_str().unwrap_or_default().as_bytes().to_vec();
            let own: Vec<_> = header_edits.iter().filter(|edit| usize::from(edit.2) % 3 == at % 3).copied().take(3).collect();
            spoil(&mut value, &own);
            headers.push(Header::new(name.to_ascii_lowercase(), value));
        }
        let mut body = data_encoding::BASE64.decode(case["body_b64"].as_str().unwrap().as_bytes()).unwrap();
        spoil(&mut body, &body_edits);
        let mut url = case["url"].as_str().unwrap().as_bytes().to_vec();
        spoil(&mut url, &url_edits);
        let url = String::from_utf8_lossy(&url).into_owned();
        let method = case["method"].as_str().unwrap();
        let clock = if now % 2 == 0 { now } else { case["now"].as_i64().unwrap() };
        if let Verdict::Refused { reason, kind, .. } = verify(&source, &Request { method, url: &url, headers: &headers, body: &body, client: None }, clock) {
            prop_assert!(!reason.is_empty() && REFUSAL_KINDS.contains(&kind), "{kind}");
        }
    }

    /// Anything at all, to every scheme, with anything in its settings.
    #[test]
    fn no_nonsense_panics(
        secret in "(whsec_)?[ -~]{0,40}",
        key in prop::option::of("(whpk_)?[ -~\n]{0,80}"),
        value in ".{0,60}",
        body: Vec<u8>,
        url in "(https?://)?.{0,40}",
        method in "GET|POST|HEAD|OPTIONS|.{0,5}",
        now: i64,
    ) {
        for facts in TABLE {
            let mut source = source(facts.name, &secret, json!({}));
            source.public_key = key.clone();
            source.params = facts.params.iter().map(|(name, _)| ((*name).to_owned(), Value::String(value.clone()))).collect();
            _ = check_settings(&source);
            for with_params in [true, false] {
                if !with_params {
                    source.params.clear();
                }
                let names = ["authorization", "signature", "signature-input", "content-digest", "stripe-signature", "paddle-signature",
                    "webhook-id", "webhook-timestamp", "webhook-signature", "x-signature", "circleci-signature", "content-type"];
                let headers: Vec<Header> = names.iter().map(|name| Header::new(*name, value.clone().into_bytes())).collect();
                let verdict = verify(&source, &Request { method: &method, url: &url, headers: &headers, body: &body, client: None }, now);
                // Nobody gets in by nonsense where a proof of the body or a secret is asked.
                if facts.secret == Need::Required || facts.public_key == Need::Required {
                    prop_assert!(!matches!(verdict, Verdict::Proven(_)) || secret == value, "{}", facts.name);
                }
            }
        }
    }
}
