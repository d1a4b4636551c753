//! What is malformed is refused in words, before anything reaches the queue.

use serde_json::{Value, json};

use super::AdminWorld;

/// Sends each body, and expects a refusal with a part of its words.
async fn refused<const N: usize>(path: &str, bodies: [(Value, &str); N]) {
    let world = AdminWorld::new();
    for (body, expected) in bodies {
        let (status, problem) = world.json("POST", path, body.clone()).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(expected), "{path} {body}: {status} {problem}");
    }
    assert_eq!(world.script().commands, 0, "nothing reached the queue");
}

#[tokio::test]
async fn settings_of_sources() {
    let bodies = [
        (json!({"name": "a b"}), "cannot be a name"),
        (json!({}), "'name' is missing"),
        (json!({"name": "a", "colour": 1}), "unknown setting 'colour'"),
        (json!({"name": "a", "allow": ["10/99"]}), "not a network"),
        (json!({"name": "a", "max_body": 1_u64 << 40}), "'max_body' (--max-body): must be from 1"),
        (json!({"name": "a", "dedupe_window": "soon"}), "not a duration"),
        (json!({"name": "a", "secret": "x", "generate_secret": true}), "not both"),
        (json!({"name": "a", "verify": "no-such"}), "no such scheme"),
        (json!({"name": "a", "public_url": "x"}), "not a URL"),
    ];
    refused("/v1/sources", bodies).await;
}

#[tokio::test]
async fn settings_of_endpoints() {
    let with =
        |setting: &str, value: Value| json!({"name": "a", "url": "http://x/", setting: value});
    let bodies = [
        (json!({"name": "a", "url": "gopher://x/"}), "not a URL"),
        (with("jitter", json!(2)), "from 0 to 1"),
        (with("retry_factor", json!(0.5)), "from 1 to 100"),
        (with("concurrency", json!(1000)), "from 1 to 256"),
        (with("timeout", json!("1h")), "from 1ms to 5m"),
        (json!({"name": "a", "url": "http://x/", "retry_max": 5, "retry_base": 9}), "less than"),
    ];
    refused("/v1/endpoints", bodies).await;
}

#[tokio::test]
async fn commands() {
    let bodies = [
        (json!({"source": "github"}), "'data' is missing"),
        (json!({"source": "github", "data_base64": "%"}), "not base64"),
    ];
    refused("/v1/events", bodies).await;
    let bodies = [
        (json!({}), "no events selected"),
        (json!({"source": "x", "rate": "1/h"}), "at least"),
        (json!({"source": "x", "rate": "100/m"}), "write 1/s or 2/s"),
    ];
    refused("/v1/replays", bodies).await;

    refused("/v1/dlq/retry", [(json!({}), "no dead letters selected")]).await;
    refused("/v1/dlq/discard", [(json!({"ids": ["x"]}), "looks like dlv_")]).await;
    refused("/v1/deliveries/retry", [(json!({"ids": []}), "is empty")]).await;
}

#[tokio::test]
async fn parameters_and_ids() {
    let world = AdminWorld::new();
    for path in [
        "/v1/events?limit=0",
        "/v1/events?colour=1",
        "/v1/events?since=tea",
        "/v1/events?after=x",
        "/v1/events?source=a&source=b",
        "/v1/events/nonsense",
        "/v1/deliveries?state=lost",
        "/v1/dlq?state=held",
        "/v1/tail?follow=perhaps",
        "/v1/sources/%ff",
    ] {
        assert_eq!(world.json("GET", path, Value::Null).await.0, 400, "{path}");
    }
    assert_eq!(world.script().commands, 0, "nothing reached the queue");
}
