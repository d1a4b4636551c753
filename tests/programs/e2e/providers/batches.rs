//! A batch of a provider becomes an event for each of its elements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::now;
use crate::e2e::text;
use crate::support::{Client, Home, SOON, until};

/// A key of a sender that signs as SendGrid does, and its public half as SendGrid shows it.
fn sendgrid_key() -> (ring::signature::EcdsaKeyPair, String) {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = ring::rand::SystemRandom::new();
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random)
        .expect("a key");
    // SubjectPublicKeyInfo: id-ecPublicKey, prime256v1, then the uncompressed point.
    let mut spki =
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            .to_vec();
    spki.extend_from_slice(pair.public_key().as_ref());
    (pair, STANDARD.encode(spki))
}

fn sendgrid_headers(
    pair: &ring::signature::EcdsaKeyPair,
    body: &[u8],
) -> [(&'static str, String); 2] {
    let at = now();
    let signed = pair
        .sign(&ring::rand::SystemRandom::new(), &[at.as_bytes(), body].concat())
        .expect("a signature");
    [
        ("X-Twilio-Email-Event-Webhook-Signature", STANDARD.encode(signed.as_ref())),
        ("X-Twilio-Email-Event-Webhook-Timestamp", at),
    ]
}

#[test]
fn a_batch_becomes_an_event_for_each_element() {
    let home = Home::new();
    let daemon = home.start();
    let (pair, public) = sendgrid_key();
    let key = home.write("public", &public);
    daemon.json(&[
        "source",
        "create",
        "mail",
        "--verify",
        "sendgrid",
        "--public-key-file",
        &key,
        "--split",
    ]);
    daemon.json(&["source", "create", "whole", "--verify", "sendgrid", "--public-key-file", &key]);
    let body = b"[{\"event\":\"delivered\",\"sg_event_id\":\"a\"},\r\n{\"event\":\"open\",\"sg_event_id\":\"b\"}]\r\n";
    let signed = sendgrid_headers(&pair, body);
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = daemon.post("/in/mail", &headers, body);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let accepted = answer.json();
    let ids: Vec<&str> =
        accepted["ids"].as_array().expect("ids").iter().filter_map(Value::as_str).collect();
    assert_eq!((ids.len(), Some(ids[0])), (2, accepted["id"].as_str()));
    let shown: Vec<Value> = ids.iter().map(|id| daemon.json(&["event", "show", id])).collect();
    assert_eq!((&shown[0]["type"], &shown[1]["type"]), (&json!("delivered"), &json!("open")));
    let first = STANDARD.decode(text(&shown[0], "body_base64")).expect("base64");
    assert_eq!(first, br#"{"event":"delivered","sg_event_id":"a"}"#);
    assert_eq!(shown[0]["headers"]["content-type"], "application/json");

    let again = daemon.post("/in/mail", &headers, body).json();
    assert_eq!((&again["ids"], &again["duplicate"]), (&accepted["ids"], &json!(true)));
    let next =
        b"[{\"event\":\"open\",\"sg_event_id\":\"b\"},{\"event\":\"click\",\"sg_event_id\":\"c\"}]";
    let signed = sendgrid_headers(&pair, next);
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let partly = daemon.post("/in/mail", &headers, next).json();
    assert_eq!(partly["ids"][0], accepted["ids"][1], "the element that came before is known");
    assert!(partly.get("duplicate").is_none(), "one of them is new");
    assert_eq!(daemon.json(&["status"])["events"], 3);
    assert_eq!(
        daemon.post("/in/mail", &headers, b"[{\"event\":\"x\"}]").status,
        401,
        "not one of an unproven batch"
    );

    assert!(
        daemon.post("/in/whole", &headers, next).json().get("ids").is_none(),
        "without --split it is one event"
    );
    assert_eq!(daemon.json(&["status"])["events"], 4);
    let many = format!("[{}]", vec!["{}"; 5000].join(","));
    let signed = sendgrid_headers(&pair, many.as_bytes());
    let headers: Vec<(&str, &str)> = signed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(daemon.post("/in/mail", &headers, many.as_bytes()).status, 413);
    assert_eq!(daemon.json(&["status"])["events"], 4);
}

#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all_after_a_crash() {
    const SIZE: usize = 40;
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "ce", "--verify", "cloudevents", "--secret", "t", "--split"]);
    let addr = daemon.addr;

    let sender = std::thread::spawn(move || {
        let mut client = Client::connect(addr).expect("connected");
        let headers =
            [("Authorization", "Bearer t"), ("Content-Type", "application/cloudevents-batch+json")];
        for batch in 0.. {
            let kind = format!("b{batch}");
            let one = |n| {
                let id = format!("{batch}-{n}");
                json!({"specversion": "1.0", "type": kind, "source": "/s", "id": id})
            };
            let body = Value::Array((0..SIZE).map(one).collect()).to_string();
            match client.post("/in/ce", &headers, body.as_bytes()) {
                Ok(answer) if answer.status == 202 => {}
                _ => return batch,
            }
        }
        unreachable!("the daemon is killed")
    });

    until("some batches", SOON, || {
        (daemon.asked("/v1/status")["events"].as_u64() > Some(5 * SIZE as u64)).then_some(())
    });
    daemon.kill();
    let answered: usize = sender.join().expect("no panic");
    let daemon = home.start();

    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for event in daemon.lines(&["event", "list", "--limit", "1000000"]) {
        *counts.entry(text(&event, "type").to_owned()).or_default() += 1;
    }

    assert!(
        (answered..=answered + 1).contains(&counts.len()),
        "{answered} were answered, {} are there",
        counts.len()
    );
    assert!(counts.values().all(|n| *n == SIZE), "a part of a batch is there: {counts:?}");
}
