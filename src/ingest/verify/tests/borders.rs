//! What is signed as one text is cut in one place: an id takes nothing of its neighbours,
//! and gives them nothing.

use serde_json::json;

use super::{HashFunction, NOW, base64, check_settings, hex, post, proven, refused, source};

fn standard(scheme: &str, id: &str, at: &str, body: &str) -> super::Verdict {
    // The signature is that of what was sent genuinely.
    let prefix = if scheme == "svix" { "svix" } else { "webhook" };
    let sign = format!("v1,{}", base64(HashFunction::Sha256, b"key!", GENUINE.as_bytes()));
    let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
    let headers = [(&*names[0], id), (&*names[1], at), (&*names[2], &*sign)];
    post(&source(scheme, "whsec_a2V5IQ==", json!({})), &headers, body.as_bytes())
}

/// Every cut of this is signed alike.
const GENUINE: &str = "msg.1770000000.1770000001.{\"a\":\"x.1770000002.y\"}";

#[test]
fn a_standard_webhook_is_cut_in_one_place() {
    for scheme in ["standard-webhooks", "svix", "gitlab"] {
        for (id, at, body) in [
            ("msg.1770000000", "1770000001", "{\"a\":\"x.1770000002.y\"}"),
            ("msg", "1770000000", "1770000001.{\"a\":\"x.1770000002.y\"}"),
            ("msg.1770000000.1770000001.{\"a\":\"x", "1770000002", "y\"}"),
        ] {
            let (kind, reason) = refused(standard(scheme, id, at, body));
            assert_eq!(kind, "malformed", "{scheme} {id}: {reason}");
            assert!(reason.contains("a time"), "{reason}");
        }
    }

    // Dots and numbers in an id are no harm.
    for id in ["msg", "order.42", "a.1770000000123", "a.1770000000f", "1770000000", "a.b.c"] {
        let signed = format!("{id}.{NOW}.{{}}");
        let sign = format!("v1,{}", base64(HashFunction::Sha256, b"key!", signed.as_bytes()));
        let at = NOW.to_string();
        let headers =
            [("webhook-id", id), ("webhook-timestamp", &*at), ("webhook-signature", &*sign)];
        let source = source("standard-webhooks", "whsec_a2V5IQ==", json!({}));
        assert_eq!(proven(post(&source, &headers, b"{}")).dedupe_key.as_deref(), Some(id));
    }
}

#[test]
fn a_home_made_id_takes_nothing_of_its_neighbours() {
    let rfc3339 = "2026-02-02T02:40:00Z";
    let seconds = "1770000000";

    for (template, time, unit, genuine, id, body) in [
        ("{id}.{body}", "", "s", "a.b.{}", "a.b", "{}"),
        ("{body}|{id}", "", "s", "{\"x\":\"|\"}|7", "\"}|7", "{\"x\":\""),
        ("{timestamp}.{id}.{body}", seconds, "s", "1770000000.a.b.{}", "a.b", "{}"),
        (
            "{id}.{timestamp}.{body}",
            seconds,
            "s",
            "m.1770000000.1770000000.{}",
            "m.1770000000",
            "{}",
        ),
        (
            "{id}.{timestamp}.{body}",
            seconds,
            "s",
            "m.1770000000.1770000000.{}",
            "m",
            "1770000000.{}",
        ),
        (
            "{id}{timestamp}{body}",
            rfc3339,
            "rfc3339",
            "m2026-02-02T02:40:00Z{2026-02-02T02:40:00Z}",
            "m2026-02-02T02:40:00Z{",
            "}",
        ),
    ] {
        let mut params = json!({"signed": template, "id_header": "x-id", "timestamp_unit": unit});
        let mut headers = vec![("x-id", id)];
        match time {
            "" => drop(params.as_object_mut().expect("an object").remove("timestamp_unit")),
            time => {
                params["timestamp_header"] = json!("x-time");
                headers.push(("x-time", time));
            }
        }
        let sender = source("hmac", "s", params);
        assert_eq!(check_settings(&sender), Ok(()), "{template}");
        let sign = hex(HashFunction::Sha256, "s", genuine.as_bytes());
        headers.push(("x-signature", &sign));
        let (kind, reason) = refused(post(&sender, &headers, body.as_bytes()));
        assert_eq!(kind, "malformed", "{template} {id}: {reason}");
        assert!(reason.contains("nobody can say"), "{reason}");
    }
}

#[test]
fn an_id_may_hold_what_says_nothing_of_its_neighbours() {
    let seconds = "1770000000";
    for (template, id) in [("{id}.{timestamp}.{body}", "order.42"), ("{id}:{body}", "a.b")] {
        let mut params = json!({"signed": template, "id_header": "x-id"});
        if template.contains("timestamp") {
            params["timestamp_header"] = json!("x-time");
        }
        let sender = source("hmac", "s", params);
        let signed =
            template.replace("{id}", id).replace("{timestamp}", seconds).replace("{body}", "{}");
        let sign = hex(HashFunction::Sha256, "s", signed.as_bytes());
        let headers = [("x-id", id), ("x-time", seconds), ("x-signature", &*sign)];
        assert_eq!(proven(post(&sender, &headers, b"{}")).dedupe_key.as_deref(), Some(id));
    }
}

#[test]
fn a_time_without_anything_behind_it_ends_where_the_body_has_no_digit() {
    for (scheme, signature, time) in [
        ("discord", "x-signature-ed25519", "x-signature-timestamp"),
        (
            "sendgrid",
            "x-twilio-email-event-webhook-signature",
            "x-twilio-email-event-webhook-timestamp",
        ),
    ] {
        let headers = [(signature, "00aa"), (time, "1770000000")];
        let (kind, reason) = refused(post(&source(scheme, "", json!({})), &headers, b"7{}"));
        assert_eq!(kind, "malformed", "{scheme}");
        assert!(reason.contains("begins with a digit"), "{scheme}: {reason}");
    }
}

#[test]
fn the_signed_lines_of_a_message_of_sns_are_one_value_each() {
    for key in ["MessageId", "Subject", "Timestamp", "TopicArn"] {
        let mut message = json!({
            "Type": "Notification", "Message": "a\nb", "MessageId": "m", "Timestamp": "t",
            "TopicArn": "arn:aws:sns:eu-west-1:1:t",
        });
        let why = |message: &serde_json::Value| {
            let body = message.to_string();
            refused(post(&source("sns", "", json!({"topics": "*"})), &[], body.as_bytes())).1
        };
        assert!(why(&message).contains("Signature"), "the message may have lines");
        message[key] = json!("m\nSubject\nx");
        assert_eq!(why(&message), format!("{key} has a line break in it"));
    }
}
