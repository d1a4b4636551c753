//! Deliveries: listed, shown, retried, cancelled.

use serde_json::{Value, json};

use super::{AdminWorld, NOW};
use crate::model::{DeliveryId, DeliveryState, EventId, Seq};
use crate::queue::RetrySnapshot;
use crate::record::{Consequence, Record};

/// A world with deliveries in several states.
struct Delivered {
    world: AdminWorld,
    /// Delivered at its second attempt.
    delivered: DeliveryId,
    /// Failed once; `last` is the record of that attempt.
    retrying: DeliveryId,
    last: Seq,
    /// Of another event, whose endpoint is on hold.
    held: DeliveryId,
    /// A replay of the first event.
    replayed: DeliveryId,
}

fn delivered() -> Delivered {
    let world = AdminWorld::new();
    let first = world.event("push", &[1, 2]).seq;
    let second = world.event("ping", &[1]).seq;
    let delivered = DeliveryId { seq: first, endpoint: 1 };
    let retrying = DeliveryId { seq: first, endpoint: 2 };
    let held = DeliveryId { seq: second, endpoint: 1 };

    let due_at = NOW.wall_ms + 5000;
    world.attempt(delivered, 1, Consequence::Retry { due_at: 5, delay_ms: 5000, age_ms: 0 });
    world.attempt(delivered, 2, Consequence::Delivered);
    let last = world.attempt(retrying, 1, Consequence::Retry { due_at, delay_ms: 5000, age_ms: 0 });
    let replayed =
        world.log.push(Record::Replayed { event: first, endpoint: 2, at: NOW.wall_ms, ran_ms: 0 });
    let replayed = DeliveryId { seq: replayed, endpoint: 2 };

    world.set(delivered, DeliveryState::Delivered);
    let retry = RetrySnapshot { attempts: 1, due_at, last, event: first };
    world.script().states.insert(retrying, (DeliveryState::Pending, Some(retry)));
    world.set(held, DeliveryState::Held);
    Delivered { world, delivered, retrying, last, held, replayed }
}

fn shown(ids: &[DeliveryId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn deliveries_are_filtered_and_paged() {
    let Delivered { world, delivered: a, retrying: b, held: c, replayed: d, .. } = delivered();

    assert_eq!(world.ids("/v1/deliveries").await, shown(&[d, c, a, b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?after={a}")).await, shown(&[b]));
    assert_eq!(world.ids(&format!("/v1/deliveries?limit=1&after={d}")).await, shown(&[c]));

    assert_eq!(world.ids("/v1/deliveries?endpoint=crm").await, shown(&[d, b]));
    assert_eq!(world.ids("/v1/deliveries?type=ping").await, shown(&[c]));
    assert_eq!(world.ids("/v1/deliveries?state=held").await, shown(&[c]));
    let event = EventId { seq: a.seq, tag: 5 };
    assert_eq!(world.ids(&format!("/v1/deliveries?event={event}")).await, shown(&[d, a, b]));
}

#[tokio::test]
async fn deliveries_are_classified_and_their_attempts_counted() {
    let Delivered { world, delivered: a, .. } = delivered();
    let event = EventId { seq: a.seq, tag: 5 };

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
    let stranger = DeliveryId { seq: a.seq, endpoint: 9 };
    assert_eq!(world.json("GET", &format!("/v1/deliveries/{stranger}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn deliveries_are_retried_and_cancelled_unless_they_were_delivered() {
    let Delivered { world, delivered: a, retrying: b, last, held: c, .. } = delivered();

    let ids = json!({"ids": [a.to_string()]});
    let (status, refused) = world.json("POST", "/v1/deliveries/retry", ids).await;
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(status == 409 && detail.contains("replay"), "{refused}");

    let ids = json!({"ids": [b.to_string()]});
    let (_, done) = world.json("POST", "/v1/deliveries/retry", ids).await;
    assert_eq!(done, json!({"matched": 1, "queued": 1, "dry_run": false}));
    let deliveries = world.script().retried.pop().expect("they were retried");
    assert_eq!(
        (deliveries[0].attempts, deliveries[0].last, deliveries[0].dead_letter_seq),
        (1, last, None)
    );

    let ids = json!({"ids": [b.to_string(), c.to_string()]});
    let (_, done) = world.json("POST", "/v1/deliveries/cancel", ids).await;
    assert_eq!(done["cancelled"], 2);
}

#[tokio::test]
async fn a_dry_run_counts_what_the_real_run_would_do_and_changes_nothing() {
    let Delivered { world, delivered: a, retrying: b, held: c, replayed: d, .. } = delivered();
    let all = json!({"ids": shown(&[a, b, c, d]), "dry_run": true});

    let (_, done) = world.json("POST", "/v1/deliveries/retry", all.clone()).await;
    assert_eq!(
        (&done["matched"], &done["queued"], &done["dry_run"]),
        (&json!(4), &json!(0), &json!(true))
    );
    let left_out = |done: &Value| -> Vec<String> {
        let rows = done["left_out"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| format!("{} {}", row["count"], row["why"])).collect()
    };
    let whys = left_out(&done);
    assert_eq!(whys.len(), 3, "{whys:?}");
    for word in ["was delivered", "on hold", "first attempt"] {
        assert!(whys.iter().any(|why| why.starts_with("1 ") && why.contains(word)), "{whys:?}");
    }

    let (_, done) = world.json("POST", "/v1/deliveries/cancel", all).await;
    assert_eq!((&done["matched"], &done["cancelled"]), (&json!(4), &json!(0)));
    assert_eq!(left_out(&done), ["1 \"was delivered already\""]);

    let alone = json!({"ids": shown(&[c]), "dry_run": true});
    let (status, refused) = world.json("POST", "/v1/deliveries/retry", alone).await;
    assert_eq!(status, 409, "as without it: {refused}");
    assert!(world.script().retried.is_empty() && world.script().commands == 0, "nothing is done");
}
