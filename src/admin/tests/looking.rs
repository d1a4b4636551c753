//! What helps whoever looks for something: names and ids as people type them, and what is wrong.

use bytes::Bytes;
use serde_json::Value;

use super::{AdminWorld, report};
use crate::model::{DeliveryId, DeliveryState, Header, Outcome};
use crate::record::Consequence;

async fn problem(world: &AdminWorld, method: &str, path: &str) -> (u16, String) {
    let (status, body) = world.json(method, path, Value::Null).await;
    (status, body["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_beginning_of_an_id_is_enough_while_only_one_is_meant() {
    let world = AdminWorld::new();
    let first = world.event("push", &[1]);
    let second = world.event("ping", &[1, 2]);
    let delivery = DeliveryId { seq: first.seq, endpoint: 1 };
    world.set(delivery, DeliveryState::Pending);

    let world = &world;
    let of = |path: String| async move { world.json("GET", &path, Value::Null).await };
    let (event, shown) = (first.to_string(), delivery.to_string());
    for text in [&event[..17], &event[..20], event.as_str(), shown.as_str(), &shown[..17]] {
        let (status, body) = of(format!("/v1/events/{text}")).await;
        assert_eq!((status, body["id"].as_str()), (200, Some(event.as_str())), "{text}: {body}");
    }
    for text in [&shown[..17], shown.as_str(), event.as_str(), &event[..17]] {
        for verb in ["", "/explain"] {
            let (_, body) = of(format!("/v1/deliveries/{text}{verb}")).await;
            // The script explains nothing.
            assert!(verb == "/explain" || body["id"] == shown.as_str(), "{text}{verb}: {body}");
        }
    }

    let (status, why) = problem(world, "GET", "/v1/events/evt_000").await;
    assert!(status == 400 && why.contains(&event) && why.contains("type more of it"), "{why}");
    let (status, _) = problem(world, "GET", "/v1/events/evt_00000000000v").await;
    assert_eq!(status, 404);
    let (status, why) = problem(world, "GET", "/v1/events/first").await;
    assert!(status == 400 && why.contains("looks like evt_"), "{why}");

    // An event with two deliveries names none of them.
    let (status, why) = problem(world, "GET", &format!("/v1/deliveries/{second}")).await;
    assert!(status == 400 && why.contains("delivery list --event"), "{why}");
}

#[tokio::test]
async fn a_name_that_nothing_has_is_an_error_that_says_which_was_meant() {
    let world = AdminWorld::new();
    world.event("push", &[1]);
    for (method, path) in [
        ("GET", "/v1/endpoints/ap"),
        ("DELETE", "/v1/endpoints/ap"),
        ("POST", "/v1/endpoints/ap/hold"),
        ("POST", "/v1/endpoints/ap/release"),
        ("GET", "/v1/tail?endpoint=ap"),
    ] {
        let (status, why) = problem(&world, method, path).await;
        assert!(status == 404 && why.ends_with("did you mean 'app'?"), "{method} {path}: {why}");
    }
    for (method, path) in [("GET", "/v1/sources/gihtub"), ("GET", "/v1/tail?source=gihtub")] {
        let (status, why) = problem(&world, method, path).await;
        assert!(status == 404 && why.ends_with("did you mean 'github'?"), "{method} {path}: {why}");
    }

    // Lists that have nothing to show, too.
    for (path, meant) in [
        ("/v1/events?source=gihtub", "did you mean 'github'?"),
        ("/v1/deliveries?endpoint=ap", "did you mean 'app'?"),
        ("/v1/deliveries?state=dead&endpoint=ap", "did you mean 'app'?"),
        ("/v1/dlq?source=gihtub", "did you mean 'github'?"),
        ("/v1/dlq?endpoint=nothing-like-it", "there is no endpoint 'nothing-like-it'"),
    ] {
        let (status, why) = problem(&world, "GET", path).await;
        assert!(status == 404 && why.contains(meant), "{path}: {why}");
    }
    assert_eq!(world.rows("/v1/dlq?endpoint=crm").await.len(), 0, "it is there, and has none");
    assert_eq!(world.rows("/v1/events?source=hookbox").await.len(), 0, "built in");

    let filter = serde_json::json!({"endpoint": "ap", "dry_run": true});
    let (status, body) = world.json("POST", "/v1/dlq/retry", filter).await;
    assert!(status == 404 && body["detail"].to_string().contains("'app'"), "{body}");
}

#[tokio::test]
async fn status_says_what_is_wrong_with_the_receivers_own_words() {
    let world = AdminWorld::new();
    let delivery = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    let retry = Consequence::Retry { due_at: 5, delay_ms: 5000, age_ms: 0 };
    let last_failure = world.attempt(delivery, 1, retry);
    world.script().held.insert("app".to_owned());
    world.script().last_failure = last_failure;

    let (_, status) = world.json("GET", "/v1/status", Value::Null).await;
    let worst = &status["worst"][0];
    assert_eq!((&worst["endpoint"], &status["troubled"]), (&"app".into(), &1.into()), "{status}");
    assert_eq!(worst["condition"], "held");
    assert_eq!(worst["last_error"], "connection refused");
    assert_eq!(worst["last_answer"], "no", "{worst}");
    assert_eq!(worst["command"], "hookboxctl endpoint release app");

    let (_, shown) = world.json("GET", "/v1/endpoints/app", Value::Null).await;
    assert_eq!(shown["last_answer"], "no", "{shown}");
    // Lists have it as well, of those with which something is wrong.
    for path in ["/v1/endpoints", "/v1/endpoints?state=troubled", "/v1/endpoints?after=crm"] {
        let rows = world.rows(path).await;
        let app = rows.iter().find(|row| row["name"] == "app").expect("it is listed");
        assert_eq!(app["last_answer"], "no", "{path}: {app}");
        let mut others = rows.iter().filter(|row| row["name"] != "app");
        assert!(others.all(|row| row["last_answer"] == Value::Null), "{path}: {rows:?}");
    }
    // Retention may have dropped the record, or it is another endpoint's.
    world.script().last_failure = 999;
    let (_, status) = world.json("GET", "/v1/status", Value::Null).await;
    assert_eq!(status["worst"][0]["last_answer"], Value::Null);
}

#[tokio::test]
async fn what_was_not_kept_of_an_answer_differs_from_what_was_empty() {
    let world = AdminWorld::new();
    let delivery = DeliveryId { seq: world.event("push", &[1]).seq, endpoint: 1 };
    let retry = || Consequence::Retry { due_at: 5, delay_ms: 5000, age_ms: 0 };
    let mut report = report(500, Outcome::Retryable { after_ms: None });
    report.request.headers = vec![Header::new("webhook-id", "evt_1")];
    report.response.as_mut().expect("an answer").body = Bytes::new();
    world.reported(delivery, 1, retry(), report.clone());
    report.trim();
    world.reported(delivery, 2, retry(), report);

    let (_, shown) = world.json("GET", &format!("/v1/deliveries/{delivery}"), Value::Null).await;
    let trimmed = |n: usize| shown["history"][n]["response"]["trimmed"].as_bool();
    assert_eq!((trimmed(0), trimmed(1)), (Some(false), Some(true)), "{shown}");
}
