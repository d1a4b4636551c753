//! Dead letters: listed, shown, retried and discarded.

use serde_json::{Value, json};

use super::{AdminWorld, NOW};
use crate::model::{DeliveryId, DeliveryState, limits};
use crate::record::{Consequence, DeadLetter, Record};

/// A world with three dead letters, the second of another type and endpoint, and with one more
/// whose attempts are not in the log: the last.
fn with_dead_letters() -> (AdminWorld, [DeliveryId; 4]) {
    let world = AdminWorld::new();
    let dead = [("push", 1), ("ping", 2), ("push", 1)].map(|(kind, to)| world.dead(kind, to));

    let gone = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    let letter = DeadLetter {
        delivery: gone,
        event: gone.seq,
        attempts: 9,
        died_at: 5,
        reason: "old age".into(),
        last: 0,
        kept_since: None,
    };
    let dead_letter_seq =
        world.log.push(Record::DeadLetterRecorded { dead: letter, dead_letter_seq: 1 });
    world.script().dead_letter_seqs.push(dead_letter_seq);
    world.set(gone, DeliveryState::Dead);
    (world, [dead[0], dead[1], dead[2], gone])
}

fn shown(ids: &[DeliveryId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown() {
    let (world, [a, b, c, gone]) = with_dead_letters();

    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, c, b, a]));
    assert_eq!(world.ids("/v1/deliveries?state=dead").await, shown(&[gone, c, b, a]));
    assert_eq!(world.ids("/v1/dlq?endpoint=crm").await, shown(&[b]));
    assert_eq!(world.ids("/v1/dlq?type=ping").await, shown(&[b]));
    assert_eq!(world.ids(&format!("/v1/dlq?limit=1&after={c}")).await, shown(&[b]));
    assert_eq!(world.rows("/v1/dlq").await[0]["reason"], "old age");

    let (_, one) = world.json("GET", &format!("/v1/dlq/{a}"), Value::Null).await;
    assert_eq!(
        (&one["reason"], one["history"].as_array().map(Vec::len)),
        (&json!("3 attempts failed"), Some(1))
    );
    let rows = world.rows("/v1/deliveries").await;
    let attempts: Vec<_> = rows.iter().map(|row| row["attempts"].as_u64()).collect();
    assert_eq!(attempts, [Some(9), Some(3), Some(3), Some(3)]);
}

/// Whatever a dead letter is found by, its row says the same.
#[tokio::test]
async fn a_dead_letter_has_the_same_row_in_each_list() {
    let (world, [a, ..]) = with_dead_letters();
    let at = NOW.wall_ms + 7;
    let made = world.log.push(Record::Replayed { event: a.seq, endpoint: 1, at, ran_ms: 0 });
    let replayed = DeliveryId { seq: made, endpoint: 1 };
    let dead = DeadLetter {
        delivery: replayed,
        event: a.seq,
        attempts: 3,
        died_at: at + 5,
        reason: "again".into(),
        last: 0,
        kept_since: None,
    };
    let dead_letter_seq = world.log.push(Record::DeadLetterRecorded { dead, dead_letter_seq: 1 });
    world.script().dead_letter_seqs.push(dead_letter_seq);
    world.set(replayed, DeliveryState::Dead);

    let by_id = |rows: Vec<Value>| {
        let ided = rows.into_iter().map(|row| (row["id"].as_str().expect("an id").to_owned(), row));
        ided.collect::<std::collections::BTreeMap<_, _>>()
    };
    let rows = by_id(world.rows("/v1/dlq").await);
    assert_eq!(rows.len(), 5);
    for other in ["/v1/deliveries", "/v1/deliveries?state=dead", "/v1/deliveries?since=1970-01-01"]
    {
        assert_eq!(by_id(world.rows(other).await), rows, "{other}");
    }
    let of_app = by_id(world.rows("/v1/deliveries?endpoint=app").await);
    assert!(of_app.len() == 4 && of_app.iter().all(|(id, row)| rows[id] == *row), "{of_app:?}");

    for (id, row) in &rows {
        let (_, mut one) = world.json("GET", &format!("/v1/deliveries/{id}"), Value::Null).await;
        let fields = one.as_object_mut().expect("an object");
        fields.retain(|field, _| !["history", "operator"].contains(&field.as_str()));
        // One of which no attempt is in the log is counted there by what is.
        fields.insert("attempts".to_owned(), row["attempts"].clone());
        assert_eq!(one, *row);
    }
    let replayed = &rows[&replayed.to_string()];
    assert_eq!(replayed["created_at"], json!(crate::model::time::rfc3339(at)));
    assert_eq!((&replayed["reason"], &replayed["attempts"]), (&json!("again"), &json!(3)));
}

#[tokio::test]
async fn dead_letters_are_retried_and_discarded() {
    let (world, [a, _, c, gone]) = with_dead_letters();

    let (_, dry) = world.json("POST", "/v1/dlq/retry", json!({"all": true, "dry_run": true})).await;
    assert_eq!(dry, json!({"matched": 4, "dry_run": true, "queued": 0}));
    assert_eq!(world.script().commands, 0);
    let (_, done) = world.json("POST", "/v1/dlq/retry", json!({"type": "ping"})).await;
    assert_eq!(done, json!({"matched": 1, "dry_run": false, "queued": 1}));

    let absent = DeliveryId { seq: 1, endpoint: 2 }.to_string();
    let both = json!({"ids": [a.to_string(), absent]});
    assert_eq!(world.json("POST", "/v1/dlq/discard", both).await.0, 404);
    let (_, done) = world.json("POST", "/v1/dlq/discard", json!({"ids": [a.to_string()]})).await;
    assert_eq!(done["discarded"], 1);
    assert_eq!(world.ids("/v1/dlq").await, shown(&[gone, c]));
}

#[tokio::test]
async fn a_delivery_that_died_twice_shows_all_its_attempts() {
    let world = AdminWorld::new();
    let id = world.dead("push", 1);
    let first_death = world.script().dead_letter_seqs.pop().expect("it died");
    world.log.push(Record::DeliveryRetried {
        delivery: id,
        at: NOW.wall_ms,
        dead_letter_seq: Some(first_death),
        event: id.seq,
        attempts: 3,
        last: first_death,
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
async fn dead_letters_that_are_relocated_meanwhile_are_read_again() {
    let (world, [a, _, c, gone]) = with_dead_letters();
    world.script().moving = vec![a, gone];

    let of_app = json!({"endpoint": "app"});
    let (_, done) = world.json("POST", "/v1/dlq/discard", of_app).await;
    assert_eq!(done, json!({"matched": 3, "dry_run": false, "discarded": 3}));
    assert!(world.ids("/v1/dlq?endpoint=app").await.is_empty(), "{a} {c} {gone}");
    assert_eq!(world.script().commands, 2);
}

#[tokio::test]
async fn a_dry_run_says_which_dead_letters_have_no_endpoint_any_more() {
    let (world, _) = with_dead_letters();
    world.script().endpoints.retain(|endpoint| endpoint.id != 1);
    // What is configured is published with the next answer.
    world.ids("/v1/dlq").await;

    let all = json!({"all": true, "dry_run": true});
    let (_, dry) = world.json("POST", "/v1/dlq/retry", all.clone()).await;
    let left_out = &dry["left_out"][0];
    assert_eq!((&dry["matched"], &left_out["count"]), (&json!(4), &json!(3)), "{dry}");
    assert!(left_out["why"].as_str().is_some_and(|why| why.contains("was deleted")), "{dry}");
    let (_, dry) = world.json("POST", "/v1/dlq/discard", all).await;
    assert_eq!(dry["left_out"], Value::Null, "they can be discarded");
}

#[tokio::test]
async fn mass_operations_go_in_slices() {
    let world = AdminWorld::new();
    let event = world.event("push", &[1]).seq;
    for endpoint in 0..u32::try_from(limits::SLICE).expect("small") + 10 {
        // Relocated dead letters stand side by side, so that a slice's end is seen to lose none.
        let delivery = DeliveryId { seq: event, endpoint };
        let dead = DeadLetter {
            delivery,
            event,
            attempts: 1,
            died_at: 5,
            reason: "x".into(),
            last: 0,
            kept_since: None,
        };
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
