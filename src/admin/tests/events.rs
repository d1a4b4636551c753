//! Events: listed, sent in, replayed, tailed.

use std::sync::Arc;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{AdminWorld, NOW, event};
use crate::admin::memory_log::MemoryLog;
use crate::admin::scan::identity::fingerprint;
use crate::model::{DeliveryId, EventId, Outcome, limits};
use crate::queue::StartReplay;
use crate::record::{Consequence, Record};
use crate::scheduler::TailLine;

#[tokio::test]
async fn events_are_listed_newest_first_filtered_and_paged() {
    let world = AdminWorld::new();
    let ids: Vec<EventId> = ["push", "ping", "push", "issue.opened"]
        .iter()
        .map(|kind| world.event(kind, &[1]))
        .collect();
    world.script().duplicates.insert(1, 4);
    let shown = |picked: &[usize]| picked.iter().map(|i| ids[*i].to_string()).collect::<Vec<_>>();

    assert_eq!(world.ids("/v1/events").await, shown(&[3, 2, 1, 0]));
    assert_eq!(world.ids("/v1/events?limit=2").await, shown(&[3, 2]));
    assert_eq!(world.ids(&format!("/v1/events?limit=2&after={}", ids[2])).await, shown(&[1, 0]));
    assert_eq!(world.ids("/v1/events?type=push").await, shown(&[2, 0]));
    assert_eq!(world.ids("/v1/events?type=issue.*&source=github").await, shown(&[3]));
    assert_eq!(world.ids("/v1/events?source=hookbox").await, shown(&[]));
    assert_eq!(world.ids(&format!("/v1/events?event={}", ids[1])).await, shown(&[1]));
    let other_type = format!("/v1/events?event={}&type=push", ids[1]);
    assert_eq!(world.ids(&other_type).await, shown(&[]));
    let behind = format!("/v1/events?event={}&after={}", ids[1], ids[1]);
    assert_eq!(world.ids(&behind).await, shown(&[]));

    let since = crate::model::time::rfc3339(NOW.wall_ms - 60_000 + 3);
    assert_eq!(world.ids(&format!("/v1/events?since={since}")).await, shown(&[3, 2]));
    assert_eq!(world.ids(&format!("/v1/events?until={since}")).await, shown(&[1, 0]));

    assert_eq!(world.rows("/v1/events").await[3]["duplicates"], 4);
    let (_, one) = world.json("GET", &format!("/v1/events/{}", ids[0]), Value::Null).await;
    assert_eq!(
        (&one["body_base64"], &one["headers"]["content-type"]),
        (&json!("e30="), &json!("application/json"))
    );
    assert_eq!(one["deliveries"][0]["endpoint"], "app");
    for (most, part) in [("0", ""), ("1", "ew=="), ("2", "e30="), ("99", "e30=")] {
        let target = format!("/v1/events/{}?body_bytes={most}", ids[0]);
        let (_, one) = world.json("GET", &target, Value::Null).await;
        assert_eq!((&one["body_base64"], &one["size"]), (&json!(part), &json!(2)), "{most}");
    }
    let target = format!("/v1/events/{}?body_bytes=-1", ids[0]);
    assert_eq!(world.json("GET", &target, Value::Null).await.0, 400);
    let forged = EventId { tag: 6, ..ids[0] };
    assert_eq!(world.json("GET", &format!("/v1/events/{forged}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn relocated_events_are_listed_once_where_they_stand() {
    let world = AdminWorld::with(MemoryLog::starting_at(10));
    let old = EventId { seq: 2, tag: 5 };
    let delivery = DeliveryId { seq: 2, endpoint: 1 };
    let relocated =
        || Record::EventRelocated { seq: 2, event: event(old, "old").into(), fan_out: vec![1] };
    world.log.push(relocated());
    world.log.push(relocated());
    world.script().stands.insert(2, 11);
    let new = world.event("new", &[1]);
    assert_eq!(world.ids("/v1/events").await, [new.to_string(), old.to_string()]);
    assert_eq!(world.ids(&format!("/v1/events?after={new}")).await, [old.to_string()]);
    assert_eq!(world.ids(&format!("/v1/events?after={old}")).await, [""; 0]);
    assert_eq!(world.ids(&format!("/v1/events?event={old}")).await, [old.to_string()]);
    assert_eq!(world.json("GET", &format!("/v1/events/{old}"), Value::Null).await.0, 200);
    let rows = world.rows("/v1/deliveries").await;
    assert_eq!((rows.len(), &rows[1]["id"]), (2, &json!(delivery.to_string())));
    assert_eq!(world.json("GET", &format!("/v1/deliveries/{delivery}"), Value::Null).await.0, 200);
}

#[tokio::test]
async fn replays_are_counted_before_they_start() {
    let world = AdminWorld::new();
    let first = world.event("push", &[1, 2]);
    world.event("ping", &[1]);
    let third = world.event("push", &[1, 77]);
    let (_, dry) =
        world.json("POST", "/v1/replays", json!({"type": "push", "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": 2, "queued": 0, "dry_run": true, "would_queue": 3}));

    let (status, done) = world
        .json("POST", "/v1/replays", json!({"type": "push", "to": "crm", "rate": "5/s"}))
        .await;
    assert_eq!((status, &done["matched"], &done["queued"]), (202, &json!(2), &json!(2)));
    let replay = world.script().replays.pop().expect("a replay was started");
    let StartReplay { rate, next, end, filter, .. } = replay;
    assert_eq!(
        (rate, next, end, filter.to.as_deref()),
        (Some(5), first.seq, third.seq, Some("crm"))
    );

    let (_, one) = world.json("POST", "/v1/replays", json!({"event": first.to_string()})).await;
    assert_eq!((&one["matched"], &one["queued"]), (&json!(1), &json!(2)));
    let unknown = EventId { seq: 1, tag: 9 }.to_string();
    assert_eq!(world.json("POST", "/v1/replays", json!({"event": unknown})).await.0, 404);
    assert_eq!(
        world.json("POST", "/v1/replays", json!({"type": "x", "to": "nowhere"})).await.0,
        404
    );
    assert!(world.rows("/v1/replays").await.is_empty());
}

#[tokio::test]
async fn an_event_is_sent_in_with_its_dedupe_key() {
    let world = AdminWorld::new();
    let body = json!({"source": "github", "type": "push", "id": "order-1", "data": "{\"a\":1}"});
    let (status, sent) = world.json("POST", "/v1/events", body).await;
    assert_eq!((status, &sent["duplicate"]), (202, &json!(false)));
    let events = world.script().accepted.pop().expect("it was accepted");
    let event = &events[0];
    assert_eq!(event.dedupe, Some(fingerprint(7, 3, "order-1")));
    assert_eq!((event.kind.as_str(), &event.body[..]), ("push", &b"{\"a\":1}"[..]));
    assert_eq!(event.headers[0].text(), "application/json");

    world.json("POST", "/v1/events", json!({"source": "github", "data_base64": "/w=="})).await;
    let events = world.script().accepted.pop().expect("it was accepted");
    let event = &events[0];
    assert_eq!(
        (event.headers[0].text().as_str(), event.dedupe),
        ("application/octet-stream", None)
    );
    assert_eq!(
        world.json("POST", "/v1/events", json!({"source": "none", "data": "x"})).await.0,
        404
    );
}

/// What is given as JSON comes in as it was written, whatever it would be as a tree of values.
#[tokio::test]
async fn data_is_kept_to_the_letter() {
    let world = AdminWorld::new();
    let zeros = format!("[0{}]", ",0".repeat(2 * limits::ADMIN_VALUES));
    for data in [r#"{"n":18446744073709551616, "n":1.0, "e":1e400}"#, "[ ]", "null ", &zeros] {
        let body = format!("{{\"source\":\"github\",\"data\":{data},\"type\":null}}");
        let (status, answer) = world.text("POST", "/v1/events", body).await;
        if data == "null " {
            assert!(status == 400 && answer.contains("'data' is missing"), "{answer}");
            continue;
        }
        assert_eq!(status, 202, "{answer}");
        let events = world.script().accepted.pop().expect("it was accepted");
        assert_eq!(events[0].body, data.as_bytes());
    }
}

#[tokio::test]
async fn bodies_that_become_trees_have_so_many_values_and_fields_name_themselves() {
    let world = AdminWorld::new();
    let zeros = format!("[0{}]", ",0".repeat(limits::ADMIN_VALUES));
    for (path, body, status, words) in [
        ("/v1/sources", format!("{{\"name\":\"x\",\"set\":{zeros}}}"), 413, "more values"),
        ("/v1/sources/github/check", format!("{{\"headers\":{{\"a\":{zeros}}}}}"), 413, "values"),
        ("/v1/sources/github/check", "{\"headers\":{\"a\":[1]}}".into(), 400, "'headers': "),
        ("/v1/events", format!("{{\"source\":{zeros}}}"), 400, "'source': must be a text"),
        ("/v1/events", "{\"sourc\":1}".into(), 400, "unknown field 'sourc'"),
        ("/v1/events", "[]".into(), 400, "the body is not as asked for"),
        ("/v1/events", "{} x".into(), 400, "the body is not as asked for"),
        ("/v1/deliveries/retry", format!("{{\"ids\":{zeros}}}"), 413, "more values"),
    ] {
        let (got, answer) = world.text("POST", path, body).await;
        assert!(got == status && answer.contains(words), "{path}: {got} {answer}");
    }
}

#[tokio::test]
async fn tail_sends_the_past_then_what_passes() {
    let world = AdminWorld::new();
    let event = world.event("push", &[1]);
    let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
    world.attempt(delivery, 1, Consequence::Delivered);
    let past = world.rows("/v1/tail").await;
    assert_eq!(
        (&past[0]["what"], &past[1]["what"], &past[1]["status"]),
        (&json!("event"), &json!("attempt"), &json!(200))
    );
    assert_eq!(world.rows("/v1/tail?endpoint=crm").await.len(), 0);
    assert_eq!(world.rows("/v1/tail?source=github&limit=5").await.len(), 1);

    let mut body = world.send("GET", "/v1/tail?follow&limit=1", "").await.into_body();
    let mut next = async || -> Value {
        let frame =
            body.frame().await.expect("a line").expect("no failure").into_data().expect("data");
        serde_json::from_slice(&frame).expect("JSON")
    };
    assert_eq!(next().await["what"], "attempt");

    let pass = |number| {
        world.tail.send(Arc::new(TailLine::Attempt {
            delivery,
            event: event.seq,
            endpoint: "app".into(),
            number,
            at: 0,
            duration_ms: 1,
            outcome: Outcome::Retryable { after_ms: None },
            status: None,
            error: None,
            next: Consequence::Dead { reason: "1 of 1 attempts failed".into() },
            next_by: None,
        }))
    };
    pass(1).expect("received");
    pass(2).expect("received");
    let second = next().await;
    assert_eq!(second["number"], 2, "the first was sent already");
    assert_eq!(
        (&second["outcome"], &second["next"], &second["reason"]),
        (&json!("retryable"), &json!("dead"), &json!("1 of 1 attempts failed"))
    );

    world.stop.send_replace(true);
    assert!(body.frame().await.is_none(), "the stream ends when the daemon stops");
    world.served.await.expect("ended");
}
