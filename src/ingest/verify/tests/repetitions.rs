//! What each provider repeats, and what different deliveries share: a key names the delivery and
//! not its cause, and nothing that nobody signed takes another delivery's place.

use serde_json::{Value, json};

use super::{
    HashFunction, NOW, Source, URL, ask, base64, hex, post, proven, source, vector, verify,
};
use crate::ingest::identity::{EventIdentity, of_request};
use crate::ingest::verify::{Request, Verdict};
use crate::model::Header;

/// Events as the queue would take them.
#[derive(Default)]
struct Taken(Vec<EventIdentity>);

#[derive(Debug, PartialEq, Eq)]
enum Novelty {
    New,
    Again,
    /// The same key with something else: an event of its own.
    Conflict,
}

impl Taken {
    fn take(&mut self, source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Novelty {
        self.take_from(source, "POST", URL, headers, body)
    }

    fn take_from(
        &mut self,
        source: &Source,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Novelty {
        let found = proven(ask(source, method, url, headers, body));
        let kept: Vec<Header> =
            headers.iter().map(|(name, value)| Header::new(*name, value.to_string())).collect();
        self.classify(of_request(source, &kept, body, &found))
    }

    fn classify(&mut self, facts: EventIdentity) -> Novelty {
        // Both kinds of fingerprints are of texts in one space.
        let known = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| {
                self.0.iter().any(|one| {
                    one.also.as_ref() == Some(text) || one.dedupe_key.as_ref() == Some(text)
                })
            })
        };
        let of_key: Vec<&EventIdentity> =
            self.0.iter().filter(|one| one.dedupe_key == facts.dedupe_key).collect();
        let key_again = facts.dedupe_key.is_some()
            && (of_key.iter().any(|one| one.content == facts.content)
                || self.0.iter().any(|one| one.also.is_some() && one.also == facts.dedupe_key));
        if known(&facts.also) || key_again {
            return Novelty::Again;
        }
        let conflict = facts.dedupe_key.is_some() && !of_key.is_empty();
        self.0.push(facts);
        if conflict { Novelty::Conflict } else { Novelty::New }
    }
}

#[test]
fn a_replayed_body_takes_no_other_deliverys_id() {
    let hmac = source("hmac", "s", json!({}));
    let mut taken = Taken::default();
    let signed = |body: &[u8]| hex(HashFunction::Sha256, "s", body);
    let (captured, genuine) = (signed(b"captured"), signed(b"genuine"));
    assert_eq!(
        taken.take(&hmac, &[("x-signature", &captured), ("webhook-id", "1000")], b"captured"),
        Novelty::New
    );

    for id in [
        ("webhook-id", "1001"),
        ("webhook-id", "1002"),
        ("idempotency-key", "1001"),
        ("ce-id", "1001"),
        ("x-nothing", ""),
    ] {
        let headers = [("x-signature", captured.as_str()), ("ce-source", "/s"), id];
        assert_eq!(taken.take(&hmac, &headers, b"captured"), Novelty::Again, "{id:?}");
    }

    let headers = [("x-signature", genuine.as_str()), ("webhook-id", "1001")];
    assert_eq!(taken.take(&hmac, &headers, b"genuine"), Novelty::New);
    assert_eq!(taken.take(&hmac, &headers, b"genuine"), Novelty::Again);
}

#[test]
fn the_content_type_makes_no_other_event_of_a_signed_body() {
    let hmac = source("hmac", "s", json!({}));
    let body = br#"{"type":"x","source":"/s","id":"1"}"#;
    let signature = hex(HashFunction::Sha256, "s", body);
    for first in ["application/json", "application/cloudevents+json"] {
        let mut taken = Taken::default();
        let typed =
            |content_type| [("x-signature", signature.as_str()), ("content-type", content_type)];
        assert_eq!(taken.take(&hmac, &typed(first), body), Novelty::New);
        assert_eq!(taken.take(&hmac, &typed("application/json"), body), Novelty::Again, "{first}");
        assert_eq!(
            taken.take(&hmac, &typed("application/cloudevents+json"), body),
            Novelty::Again,
            "{first}"
        );
    }
}

/// Signed anew for each attempt, as good senders do.
#[test]
fn a_retry_with_another_time_is_a_repetition_when_its_id_is_the_same() {
    let hmac =
        source("hmac", "s", json!({"signed": "{timestamp}.{body}", "timestamp_header": "x-time"}));
    let mut taken = Taken::default();
    let mut send = |at: i64, id: &str, body: &str| {
        let (at, signature) =
            (at.to_string(), hex(HashFunction::Sha256, "s", format!("{at}.{body}").as_bytes()));
        let headers =
            [("x-signature", signature.as_str()), ("x-time", &at), ("idempotency-key", id)];
        taken.take(&hmac, &headers, body.as_bytes())
    };
    assert_eq!(send(NOW, "1", "tick"), Novelty::New);
    assert_eq!(send(NOW + 5, "1", "tick"), Novelty::Again);
    assert_eq!(
        send(NOW + 5, "2", "tick"),
        Novelty::New,
        "signed at another time, under another id"
    );
    assert_eq!(send(NOW, "3", "tick"), Novelty::Again, "the very signature, under another id");
    assert_eq!(send(NOW + 6, "1", "tock"), Novelty::New, "the same id says something else");
}

#[test]
fn githubs_guid_is_shared_by_the_hooks_of_an_event() {
    let github = source("github", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |guid: &str, hook: &str, body: &str| {
        let signature = format!("sha256={}", hex(HashFunction::Sha256, "s", body.as_bytes()));
        let mut headers = vec![("x-hub-signature-256", signature.as_str())];
        headers.extend([
            ("x-github-delivery", guid),
            ("x-github-hook-id", hook),
            ("webhook-id", "w"),
        ]);
        taken.take(&github, &headers, body.as_bytes())
    };

    assert_eq!(send("g", "1", "{}"), Novelty::New);
    assert_eq!(send("g", "2", "{}"), Novelty::New, "another hook's delivery of the same event");
    assert_eq!(send("g", "1", "{}"), Novelty::Again, "delivered again");
    assert_eq!(send("g", "1", r#"{"other":1}"#), Novelty::Conflict);
    assert_eq!(send("g", "1", r#"{"other":1}"#), Novelty::Again);
    assert_eq!(
        send("h", "1", "{}"),
        Novelty::New,
        "bodies of different deliveries may be the same"
    );
}

#[test]
fn shopifys_event_id_is_shared_by_what_one_action_caused() {
    let shopify = source("shopify", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |webhook: &str, topic: &str, body: &[u8]| {
        let signature = base64(HashFunction::Sha256, b"s", body);
        let headers = [
            ("x-shopify-hmac-sha256", signature.as_str()),
            ("x-shopify-topic", topic),
            ("x-shopify-shop-domain", "a.example"),
            ("x-shopify-api-version", "2026-01"),
            ("x-shopify-webhook-id", webhook),
            ("x-shopify-event-id", "e1"),
        ];
        taken.take(&shopify, &headers, body)
    };

    assert_eq!(send("w1", "orders/create", br#"{"order":1}"#), Novelty::New);
    assert_eq!(send("w2", "customers/update", br#"{"customer":1}"#), Novelty::New);
    assert_eq!(
        send("w3", "orders/paid", br#"{"order":1}"#),
        Novelty::New,
        "the same body under another topic"
    );
    assert_eq!(send("w1", "orders/create", br#"{"order":1}"#), Novelty::Again);
}

#[test]
fn what_counts_attempts_makes_no_other_event() {
    let stripe = source("stripe", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |at: i64, body: &str| {
        let signature = format!(
            "t={at},v1={}",
            hex(HashFunction::Sha256, "s", format!("{at}.{body}").as_bytes())
        );
        taken.take(&stripe, &[("stripe-signature", &signature)], body.as_bytes())
    };
    assert_eq!(send(NOW, r#"{"id":"e1","pending_webhooks":2,"data":1}"#), Novelty::New);
    assert_eq!(send(NOW + 9, r#"{"id":"e1","pending_webhooks":1,"data":1}"#), Novelty::Again);
    assert_eq!(send(NOW + 9, r#"{"id":"e1","pending_webhooks":1,"data":2}"#), Novelty::Conflict);

    let intercom = source("intercom", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |body: &str| {
        let signature = format!("sha1={}", hex(HashFunction::Sha1, "s", body.as_bytes()));
        taken.take(
            &intercom,
            &[("x-hub-signature", &signature), ("idempotency-key", "k")],
            body.as_bytes(),
        )
    };
    assert_eq!(send(r#"{"id":"n1","delivery_attempts":1,"data":1}"#), Novelty::New);
    assert_eq!(send(r#"{"id":"n1","delivery_attempts":2,"data":1}"#), Novelty::Again);
    assert_eq!(send(r#"{"id":"n1","delivery_attempts":2,"data":2}"#), Novelty::Conflict);
    assert_eq!(
        send(r#"{"ping":1}"#),
        Novelty::New,
        "a ping has no id, and a header's is not trusted"
    );
    assert_eq!(send(r#"{"ping":2}"#), Novelty::New);
}

#[test]
fn twilios_loops_say_the_same_and_are_distinguished_by_the_token() {
    let twilio = source("twilio", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |token: &str, body: &str, signed: &str| {
        let signature = base64(HashFunction::Sha1, b"s", format!("{URL}{signed}").as_bytes());
        let headers = [
            ("x-twilio-signature", signature.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("i-twilio-idempotency-token", token),
        ];
        taken.take(&twilio, &headers, body.as_bytes())
    };
    assert_eq!(send("t1", "CallSid=C&Digits=1", "CallSidCDigits1"), Novelty::New);
    assert_eq!(send("t2", "CallSid=C&Digits=1", "CallSidCDigits1"), Novelty::New);
    assert_eq!(
        send("t1", "Digits=%31&CallSid=C", "CallSidCDigits1"),
        Novelty::Again,
        "written in another way"
    );
    assert_eq!(send("t1", "CallSid=C&Digits=2", "CallSidCDigits2"), Novelty::Conflict);
}

#[test]
fn what_sns_does_not_sign_makes_no_other_message() {
    let (sns, _, body) = vector("sns", "v2-sha256");
    let mut message: Value = serde_json::from_slice(&body).unwrap();
    let mut taken = Taken::default();
    assert_eq!(taken.take(&sns, &[], &body), Novelty::New);
    message["MessageAttributes"] = json!({"a": {"Type": "String", "Value": "b"}});
    message["UnsubscribeURL"] = json!("https://evil.example/");
    assert_eq!(taken.take(&sns, &[], message.to_string().as_bytes()), Novelty::Again);
}

/// PayPal signs a CRC of the body, and another body of the same CRC is easily made.
#[test]
fn a_body_made_to_fit_paypals_crc_is_a_repetition() {
    let (paypal, headers, body) = vector("paypal", "captured-production-2025");
    let at = 1_743_885_165;
    let request = Request {
        method: "POST",
        url: URL,
        headers: &headers,
        body: &body,
        client: None,
        keys: None,
    };
    let Verdict::Proven(found) = verify(&paypal, &request, at) else { panic!("not proven") };
    let mut taken = Taken::default();
    assert_eq!(taken.classify(of_request(&paypal, &headers, &body, &found)), Novelty::New);

    let forged = fit_crc(
        br#"{"id":"forged","event_type":"PAYMENT.SALE.COMPLETED","x":""#,
        crc32fast::hash(&body),
    );
    let request = Request { body: &forged, ..request };
    let Verdict::Proven(found) = verify(&paypal, &request, at) else {
        panic!("the CRC is not met")
    };
    assert_eq!(taken.classify(of_request(&paypal, &headers, &forged, &found)), Novelty::Again);
}

/// Four bytes behind `start` that give it this CRC-32.
fn fit_crc(start: &[u8], wanted: u32) -> Vec<u8> {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    // The register is run backwards from the wanted end over four bytes of 0, and what is there is
    // put in.
    let mut register = !wanted;
    for _ in 0..32 {
        register = if register & 0x8000_0000 != 0 {
            ((register ^ POLYNOMIAL) << 1) | 1
        } else {
            register << 1
        };
    }
    let patch = register ^ !crc32fast::hash(start);
    [start, &patch.to_le_bytes()].concat()
}

#[test]
fn two_subscriptions_of_a_topic_deliver_the_same_message_twice() {
    let (pubsub, ..) = vector("pubsub", "valid");
    let facts = |subscription: &str, attempt: u32| {
        let body = json!({
            "message": {"messageId": "1", "data": "e30="}, "subscription": subscription,
            "deliveryAttempt": attempt,
        });

        let found = super::super::pubsub::describe(&Request {
            method: "POST",
            url: URL,
            headers: &[],
            body: body.to_string().as_bytes(),
            client: None,
            keys: None,
        });
        of_request(&pubsub, &[], body.to_string().as_bytes(), &found)
    };
    let mut taken = Taken::default();
    assert_eq!(taken.classify(facts("a", 1)), Novelty::New);
    assert_eq!(taken.classify(facts("a", 2)), Novelty::Again);
    assert_eq!(taken.classify(facts("b", 1)), Novelty::New);
}

#[test]
fn a_forms_spelling_makes_no_other_event() {
    let mandrill = source("mandrill", "s", json!({}));
    let events =
        r#"[{"event":"send","_id":"a","ts":5,"url":"x"},{"event":"open","_id":"b","ts":5}]"#;
    let signature =
        base64(HashFunction::Sha1, b"s", format!("{URL}mandrill_events{events}").as_bytes());
    let headers = [("x-mandrill-signature", signature.as_str())];
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let mut taken = Taken::default();
    let plain = format!("mandrill_events={events}");
    assert_eq!(taken.take(&mandrill, &headers, plain.as_bytes()), Novelty::New);
    let spelled = format!("mandrill_events={}", encode(events));
    assert_eq!(taken.take(&mandrill, &headers, spelled.as_bytes()), Novelty::Again);
}

#[test]
fn a_key_alone_proves_the_sender_and_its_headers() {
    let apikey = source("apikey", "k", json!({}));
    let mut taken = Taken::default();
    let mut send = |id: &str, body: &[u8]| {
        taken.take(&apikey, &[("x-api-key", "k"), ("webhook-id", id)], body)
    };
    assert_eq!(send("1", b"x"), Novelty::New);
    assert_eq!(send("1", b"x"), Novelty::Again);
    assert_eq!(send("2", b"x"), Novelty::New);
    assert_eq!(send("1", b"y"), Novelty::Conflict);
    let bare = [("x-api-key", "k")];
    let found = proven(post(&apikey, &bare, b"x"));
    assert_eq!(of_request(&apikey, &[], b"x", &found).dedupe_key, None);
}

#[test]
fn slacks_content_type_makes_no_other_event_of_what_was_signed() {
    let slack = source("slack", "s", json!({}));
    let mut taken = Taken::default();
    let mut send = |at: i64, content_type: &str, body: &str| {
        let at = at.to_string();
        let signed = format!("v0:{at}:{body}");
        let signature = format!("v0={}", hex(HashFunction::Sha256, "s", signed.as_bytes()));
        let headers = [
            ("x-slack-signature", signature.as_str()),
            ("x-slack-request-timestamp", &at),
            ("content-type", content_type),
        ];
        taken.take(&slack, &headers, body.as_bytes())
    };
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");

    let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}"#;
    assert_eq!(send(NOW, json, event), Novelty::New);
    assert_eq!(send(NOW, form, event), Novelty::Again, "captured, and read as a form");
    assert_eq!(send(NOW + 9, json, event), Novelty::Again, "a retry has its event_id");

    assert_eq!(send(NOW, form, "command=%2Fx&text=1"), Novelty::New);
    assert_eq!(send(NOW, json, "command=%2Fx&text=1"), Novelty::Again);
    assert_eq!(send(NOW + 1, form, "command=%2Fx&text=1"), Novelty::New, "typed once more");
}
