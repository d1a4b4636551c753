//! Status, metrics, the document and the log.

use serde_json::{Value, json};

use super::{AdminWorld, NOW};
use crate::admin::serve::routes::ROUTES;

#[tokio::test]
async fn status_metrics_and_the_document_answer() {
    let world = AdminWorld::new();
    let (status, body) = world.json("GET", "/v1/status", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(body["deliveries"]["pending"], 2);
    assert_eq!(
        (body["uptime_s"].as_u64(), body["refused"]["mismatch"].as_u64()),
        (Some(65), Some(2))
    );
    assert_eq!(body["log"]["bytes"], 2000);

    let (_, metrics) = world.text("GET", "/metrics", "").await;
    for line in [
        "hookbox_events_total 3",
        "hookbox_deliveries{state=\"dead\"} 1",
        "hookbox_endpoint_pending{endpoint=\"app\"} 2",
        "hookbox_endpoint_state{endpoint=\"app\",state=\"active\"} 1",
        "hookbox_endpoint_state{endpoint=\"app\",state=\"failing\"} 0",
        "hookbox_attempts_total{endpoint=\"app\",outcome=\"failed\"} 0",
        "hookbox_accepted_total{source=\"github\"} 0",
        "hookbox_accept_duration_seconds_bucket{le=\"0.001\"} 0",
        "hookbox_accept_duration_seconds_bucket{le=\"+Inf\"} 0",
        "hookbox_commit_duration_seconds_count 0",
        "hookbox_damaged_segments 0",
        "hookbox_build_info{version=\"0.1.0\"} 1",
        "hookbox_refused_total{source=\"github\",reason=\"mismatch\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }

    let (_, document) = world.json("GET", "/v1/openapi.json", Value::Null).await;
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        assert!(
            operation["responses"].is_object(),
            "{} {} is not in openapi.json",
            route.method,
            route.path
        );
    }

    let described: usize = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|p| p.as_object().map_or(0, |o| o.len()))
        .sum();
    assert_eq!(described, ROUTES.len(), "openapi.json describes routes that are not there");
}

#[tokio::test]
async fn the_log_shows_its_segments_and_is_verified() {
    let world = AdminWorld::new();
    world.event("push", &[1]);
    let (_, stat) = world.json("GET", "/v1/log", Value::Null).await;
    assert_eq!((&stat["records"], &stat["segments"][0]["number"]), (&json!(1), &json!(1)));
    let lines = world.rows("/v1/log/verify").await;
    assert!(
        lines[0]["progress"].is_object() && lines[1]["ok"] == true && lines[1]["last"] == 1,
        "{lines:?}"
    );
}

#[tokio::test]
async fn shares_that_bind_are_shown_by_name() {
    use crate::model::share::{Share, ShareHolder};
    let world = AdminWorld::new();
    let (_, status) = world.json("GET", "/v1/status", Value::Null).await;
    assert_eq!(status["shares"], json!([]));

    let ip = "127.0.0.2".parse().expect("an address");
    for _ in 0..3 {
        world.shares.note(Share::Connections, ShareHolder::Address(ip));
    }
    world.shares.note(Share::LogSpace, ShareHolder::Source(3));
    // What the queue says of itself is shown beside it.
    world.script().full.note(Share::ProbationSlots, ShareHolder::Endpoint(2), NOW);

    let (_, status) = world.json("GET", "/v1/status", Value::Null).await;
    let shown: Vec<String> = status["shares"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|full| {
            format!("{} {} {} {}", full["share"], full["of"], full["effect"], full["count"])
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#""connections" "address 127.0.0.2" "refused" 3"#,
            r#""log_space" "source github" "refused" 1"#,
            r#""probation_slots" "endpoint crm" "delayed" 1"#,
        ]
    );
    assert_eq!(status["shares"][0]["since"], "2027-01-15T08:00:00.000Z");
    let (_, metrics) = world.text("GET", "/metrics", "").await;
    for line in ["connections\"} 3", "log_space\"} 1", "probation_slots\"} 1", "lookups\"} 0"] {
        assert!(
            metrics.contains(&format!("hookbox_share_refused_total{{share=\"{line}\n")),
            "{line} in {metrics}"
        );
    }

    let (_, document) = world.json("GET", "/v1/openapi.json", Value::Null).await;
    let schema = &document["components"]["schemas"]["ShareView"]["properties"]["share"];
    let names: Vec<&str> = Share::ALL.iter().map(|share| share.name()).collect();
    assert_eq!(schema["enum"], json!(names), "openapi.json names the shares");
}
