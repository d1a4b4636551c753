//! Batches that are split, and the keys of their elements.

use serde_json::json;

use super::{URL, base64, post, proven, source};
use crate::ingest::verify::ProviderAnswer;
use crate::ingest::verify::crypto::HashFunction;

#[test]
fn batches_are_split_into_their_own_bytes() {
    let mut mandrill = source("mandrill", "k", json!({}));
    let events = concat!(
        r#"[{"event":"send","_id":"a","ts":5},  "#,
        r#"{"type":"blacklist","_id":"b","ts":6},{"event":"open"}]"#
    );
    let signature =
        base64(HashFunction::Sha1, b"k", format!("{URL}mandrill_events{events}").as_bytes());
    let encoded: String = events.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!("mandrill_events={encoded}");
    let headers = [("x-mandrill-signature", signature.as_str())];
    let whole = proven(post(&mandrill, &headers, body.as_bytes()));
    assert!(
        whole.elements.is_empty()
            && whole.kind.is_none()
            && whole.dedupe_key.unwrap().starts_with("sha256:")
    );
    assert_eq!(whole.answer, Some(ProviderAnswer::empty(200)));

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
    let keys: Vec<Option<&str>> =
        found.elements.iter().map(|element| element.dedupe_key.as_deref()).collect();
    assert_eq!((keys, found.dedupe_key.as_deref()), (vec![Some("1"), Some("2")], Some("E")));

    // Auth0's log streams are arrays; half of a character in one event joins no others.
    let body = b"\xef\xbb\xbf[{\"uuid\":\"1\",\"n\":\"\\ud83d\"},{\"uuid\":\"2\"}]";
    assert_eq!(proven(post(&okta, &[("authorization", "s")], body)).elements.len(), 2);

    let mut cloudevents = source("cloudevents", "t", json!({}));
    cloudevents.split = true;
    let headers =
        [("authorization", "Bearer t"), ("content-type", "application/cloudevents-batch+json")];
    let body = br#"[{"type":"x","source":"/s","id":"1"}]"#;
    let element = &proven(post(&cloudevents, &headers, body)).elements[0];
    assert_eq!((element.kind.as_deref(), element.dedupe_key.as_deref()), (Some("x"), Some("/s 1")));
    assert_eq!(element.content_type, "application/cloudevents+json; charset=utf-8");
}

#[test]
fn no_two_pairs_of_source_and_id_are_one_key() {
    let source = source("cloudevents", "t", json!({}));
    let key = |of: &str, id: &str| {
        let headers = [("authorization", "Bearer t"), ("ce-source", of), ("ce-id", id)];
        proven(post(&source, &headers, b"{}")).dedupe_key
    };
    assert_ne!(key("a%20b", "c"), key("a", "b c"));
    assert_eq!(key("/a", "b c").as_deref(), Some("/a b c"), "as it stands in logs");
}
