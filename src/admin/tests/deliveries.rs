//! Deliveries and dead letters: listed, retried, discarded.

use serde_json::{Value, json};

use super::{AdminWorld, NOW};
use crate::model::{DeliveryId, DeliveryState, EventId, limits};
use crate::queue::RetrySnapshot;
use crate::record::{Consequence, DeadLetter, Record};

#[tokio::test]
async fn deliveries_are_classified_counted_and_paged() {
    let world = AdminWorld::new();
    let first = world.event("push", &[1, 2]).seq;
    let second = world.event("ping", &[1]).seq;
    let (a, b, c) = (
        DeliveryId { seq: first, endpoint: 1 },
        DeliveryId { seq: first, endpoint: 2 },
        DeliveryId { seq: second, endpoint: 1 },
    );
    world.attempt(a, 1, Consequence::Retry { due_at: 5, delay_ms: 5000, age_ms: 0 });
    world.attempt(a, 2, Consequence::Delivered);
    let last = world.attempt(
        b,
        1,
        Consequence::Retry { due_at: NOW.wall_ms + 5000, delay_ms: 5000, age_ms: 0 },
    );
    let replayed =
        world.log.push(Record::Replayed { event: first, endpoint: 2, at: NOW.wall_ms, ran_ms: 0 });
    let d = DeliveryId { seq: replayed, endpoint: 2 };
    world.set(a, DeliveryState::Delivered);
    let retry = RetrySnapshot { attempts: 1, due_at: NOW.wall_ms + 5000, last, event: first };
    world.script().states.insert(b, (DeliveryState::Pending, Some(retry)));
    world.set(c, DeliveryState::Held);
    let shown = |ids: &[DeliveryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(world.ids("/v1/deliveries").await, shown(&[d, c, a, b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?after={a}")).await, shown(&[b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?limit=1&after={d}")).await, shown(&[c]));
    assert_eq!(world.ids("/v1/deliveries?endpoint=crm").await, shown(&[d, b]));
    assert_eq!(world.ids("/v1/deliveries?type=ping").await, shown(&[c]));
    assert_eq!(world.ids("/v1/deliveries?state=held").await, shown(&[c]));
    let event = EventId { seq: first, tag: 5 };
    assert_eq!(world.ids(&format!("/v1/deliveries?event={event}")).await, shown(&[d, a, b]));
    let rows = world.rows("/v1/deliveries").await;
    assert_eq!(
        (&rows[2]["attempts"], &rows[2]["due_at"], &rows[2]["state"]),
        (&json!(2), &Value::Null, &json!("delivered"))
    );
    assert_eq!((&rows[3]["attempts"], rows[3]["due_at"].is_string()), (&json!(1), true));
    assert_eq!(rows[0]["event"], event.to_string());
    let (_, one) = world.json("GET", &format!("/v1/deliveries/{a}"), Value::Null).await;
    let history = one["history"].as_array().expect("attempts");
    assert_eq!(
        (history.len(), &history[0]["next"], &history[1]["status"]),
        (2, &json!("retry"), &json!(200))
    );
    let stranger = DeliveryId { seq: first, endpoint: 9 };
    assert_eq!(world.json("GET", &format!("/v1/deliveries/{stranger}"), Value::Null).await.0, 404);

    let (status, refused) =
        world.json("POST", "/v1/deliveries/retry", json!({"ids": [a.to_string()]})).await;
    assert!(
        status == 409 && refused["detail"].as_str().is_some_and(|d| d.contains("replay")),
        "{refused}"
    );
    let (_, done) =
        world.json("POST", "/v1/deliveries/retry", json!({"ids": [b.to_string()]})).await;
    assert_eq!(done, json!({"matched": 1, "queued": 1, "dry_run": false}));
    let deliveries = world.script().retried.pop().expect("they were retried");
    assert_eq!(
        (deliveries[0].attempts, deliveries[0].last, deliveries[0].dead_letter_seq),
        (1, last, None)
    );
    let (_, done) = world
        .json("POST", "/v1/deliveries/cancel", json!({"ids": [b.to_string(), c.to_string()]}))
        .await;
    assert_eq!(done["cancelled"], 2);
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_discarded() {
    let world = AdminWorld::new();
    let dead: Vec<DeliveryId> =
        (0..3).map(|i| world.dead(if i == 1 { "ping" } else { "push" }, 1 + i % 2)).collect();
    let gone = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    let letter = DeadLetter {
        delivery: gone,
        event: gone.seq,
        attempts: 9,
        died_at: 5,
        reason: "old age".into(),
        last: 0,
    };
    let dead_letter_seq =
        world.log.push(Record::DeadLetterRecorded { dead: letter, dead_letter_seq: 1 });
    world.script().dead_letter_seqs.push(dead_letter_seq);
    world.set(gone, DeliveryState::Dead);
    let shown = |ids: &[DeliveryId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, dead[2], dead[1], dead[0]]));
    assert_eq!(
        world.ids("/v1/deliveries?state=dead").await,
        shown(&[gone, dead[2], dead[1], dead[0]])
    );
    assert_eq!(world.ids("/v1/dlq?endpoint=crm").await, shown(&[dead[1]]));
    assert_eq!(world.ids("/v1/dlq?type=ping").await, shown(&[dead[1]]));
    assert_eq!(world.ids(&format!("/v1/dlq?limit=1&after={}", dead[2])).await, shown(&[dead[1]]));
    assert_eq!(world.rows("/v1/dlq").await[0]["reason"], "old age");
    let (_, one) = world.json("GET", &format!("/v1/dlq/{}", dead[0]), Value::Null).await;
    assert_eq!(
        (&one["reason"], one["history"].as_array().map(Vec::len)),
        (&json!("3 attempts failed"), Some(1))
    );
    assert_eq!(
        world
            .rows("/v1/deliveries")
            .await
            .iter()
            .map(|r| r["attempts"].as_u64())
            .collect::<Vec<_>>(),
        [Some(9), Some(3), Some(3), Some(3)]
    );

    let (_, dry) = world.json("POST", "/v1/dlq/retry", json!({"all": true, "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": 4, "dry_run": true, "queued": 0}));
    assert_eq!(world.script().commands, 0);
    let (_, done) = world.json("POST", "/v1/dlq/retry", json!({"type": "ping"})).await;
    assert_eq!(done, json!({"matched": 1, "dry_run": false, "queued": 1}));
    let absent = DeliveryId { seq: 1, endpoint: 2 }.to_string();
    let both = json!({"ids": [dead[0].to_string(), absent]});
    assert_eq!(world.json("POST", "/v1/dlq/discard", both).await.0, 404);
    let (_, done) =
        world.json("POST", "/v1/dlq/discard", json!({"ids": [dead[0].to_string()]})).await;
    assert_eq!(done["discarded"], 1);
    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, dead[2]]));
}

#[tokio::test]
async fn a_delivery_that_died_twice_tells_all_its_attempts() {
    let world = AdminWorld::new();
    let id = world.dead("push", 1);
    let first_grave = world.script().dead_letter_seqs.pop().expect("a grave");
    world.log.push(Record::DeliveryRetried {
        delivery: id,
        at: NOW.wall_ms,
        dead_letter_seq: Some(first_grave),
        event: id.seq,
        attempts: 3,
        last: first_grave,
        in_stream: false,
        ran_ms: 0,
    });
    let dead_letter_seq = world.attempt(id, 4, Consequence::Dead { reason: "once more".into() });
    world.script().dead_letter_seqs.push(dead_letter_seq);
    assert_eq!(world.rows("/v1/deliveries").await[0]["attempts"], 4);
    let (_, one) = world.json("GET", &format!("/v1/deliveries/{id}"), Value::Null).await;
    assert_eq!(
        (one["history"].as_array().map(Vec::len), &one["operator"][0]["what"]),
        (Some(2), &json!("retried"))
    );
    assert_eq!(world.rows("/v1/dlq").await[0]["reason"], "once more");
}

#[tokio::test]
async fn mass_operations_go_in_slices() {
    let world = AdminWorld::new();
    let event = world.event("push", &[1]).seq;
    for endpoint in 0..u32::try_from(limits::SLICE).expect("small") + 10 {
        // Carried dead_letter_seqs stand side by side, so that a slice's end is seen to lose none.
        let delivery = DeliveryId { seq: event, endpoint };
        let dead =
            DeadLetter { delivery, event, attempts: 1, died_at: 5, reason: "x".into(), last: 0 };
        let dead_letter_seq =
            world.log.push(Record::DeadLetterRecorded { dead, dead_letter_seq: 0 });
        world.script().dead_letter_seqs.push(dead_letter_seq);
        world.set(delivery, DeliveryState::Dead);
    }
    let (_, done) = world.json("POST", "/v1/dlq/discard", json!({"all": true})).await;
    assert_eq!(done["discarded"], limits::SLICE + 10);
    assert_eq!(world.script().commands, 2);
    assert!(world.script().dead_letter_seqs.is_empty());
}
