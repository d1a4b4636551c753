//! `top` without a terminal and without a daemon: keys and answers go in, commands and screens come
//! out.

mod actions;
mod screens;

use serde_json::{Value, json};

use super::commands::{TopAnswer, TopCommand};
use super::keys::TopKey;
use super::model::TopModel;
use super::once::drawn;
use super::view::TopStyle;
use crate::api::views::{DeliveryView, EndpointView, SourceView, StatusView};
use crate::ctl::args::TopScreen;
use crate::ctl::sparkline::{ASCII, BLOCKS};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, EventId};

const NOW: u64 = 1_800_000_000_000;

/// A model that knows everything, as a test looks at it.
struct TopWorld {
    model: TopModel,
    size: (u16, u16),
    style: TopStyle,
}

impl TopWorld {
    fn new(screen: TopScreen) -> Self {
        let mut model = TopModel::new(screen);
        model.tick(NOW);
        model.answer(TopAnswer::Status(Box::new(status())));
        model.answer(TopAnswer::Endpoints(vec![
            endpoint("app", "active", 0, None, 0),
            endpoint("bad", "failing", 41, Some("answered 500: the database is down"), 780_000),
            endpoint("crm", "held", 7, Some("answered 410"), 28_800_000),
        ]));
        model.answer(TopAnswer::Sources(vec![source("github", &[("mismatch", 12), ("stale", 3)])]));
        let letters = (1..=30).map(|n| dead_letter(n, if n % 3 == 0 { "bad" } else { "crm" }));
        model.answer(TopAnswer::DeadLetters(letters.collect()));
        let waiting = (1..=41).map(|n| waiting(n, n * 60_000)).collect();
        model.answer(TopAnswer::Waiting { deliveries: waiting, is_all: true });
        model.answer(TopAnswer::Refreshed);
        Self { model, size: (80, 24), style: TopStyle { ramp: BLOCKS, ..ascii() } }
    }

    /// Keys: characters as they are, and `\n`, `\t` and escape.
    fn keys(&mut self, keys: &str) -> Vec<TopCommand> {
        let press = |key: char| match key {
            '\n' => TopKey::Enter,
            '\t' => TopKey::Tab,
            '\u{1b}' => TopKey::Esc,
            key => TopKey::Char(key),
        };
        keys.chars().flat_map(|key| self.model.key(press(key))).collect()
    }

    fn screen(&self) -> String {
        let text = drawn(&self.model, self.size, self.style);
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        assert_eq!(text.lines().count(), height, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        text
    }

    /// The first words of the lines that list something.
    fn listed(&self) -> Vec<String> {
        let rows = self.model.rows();
        rows.into_iter().map(|row| row.key).collect()
    }
}

fn view<V: serde::de::DeserializeOwned>(value: Value) -> V {
    serde_json::from_value(value).expect("a view")
}

fn status() -> StatusView {
    view(json!({
        "events": 201, "duplicates": 4, "sources": 1, "endpoints": 3,
        "attempts": 9, "failed_attempts": 4,
        "deliveries": {
            "pending": 41, "in_flight": 0, "delivered": 203, "dead": 30, "held": 7, "retrying": 1,
        },
        "log": {
            "segments": 1, "bytes": 2048, "quota_bytes": 4096, "reserve_bytes": 512,
            "used_bytes": 2048, "free_bytes": 8192, "left_bytes": 1536, "level": "open", "last": 7,
        },
        "uptime_s": 11_520, "started_at": rfc3339(NOW), "version": "0.1.0",
        "accepting": true, "listen": ["127.0.0.1:8420"], "data": "/d",
    }))
}

/// The daemon's clock, on another machine.
const DAEMON_NOW: u64 = NOW + 600_000;

fn endpoint(
    name: &str,
    condition: &str,
    waiting: u64,
    error: Option<&str>,
    oldest_ms: u64,
) -> EndpointView {
    let held = condition == "held";
    view(json!({
        "name": name, "url": "https://example.com/", "secrets": [], "created_at": rfc3339(NOW),
        "state": if held { "held" } else { "active" },
        "held_reason": if held { json!("gone") } else { Value::Null },
        "waiting": waiting, "in_flight": 0, "retrying": 0, "delivered": 5, "dead": 0,
        "last_error": error, "condition": condition, "window": 1, "failures_in_row": 0,
        "failing_ms": 0, "offline": false, "lanes": 0, "parked_lanes": 0, "batches_waiting": 0,
        "next_probe_at": (condition == "failing").then(|| rfc3339(NOW + 48_000)),
        "lag_ms": oldest_ms,
        "oldest_waiting_at": (oldest_ms > 0).then(|| rfc3339(DAEMON_NOW - oldest_ms)),
    }))
}

fn source(name: &str, refused: &[(&str, u64)]) -> SourceView {
    let refused: serde_json::Map<String, Value> =
        refused.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
    view(json!({
        "name": name, "path": "/in/github", "url": "http://127.0.0.1:8420/in/github",
        "verify": "github", "secrets": [], "created_at": rfc3339(NOW), "refused": refused,
        "last_refused_at": rfc3339(NOW - 60_000),
    }))
}

fn id(n: u64) -> String {
    DeliveryId { seq: n, endpoint: 1 }.to_string()
}

fn dead_letter(n: u64, endpoint: &str) -> DeliveryView {
    view(json!({
        "id": id(n), "event": EventId { seq: n, tag: 1 }.to_string(), "endpoint": endpoint,
        "state": "dead", "attempts": 5, "died_at": rfc3339(NOW - n * 60_000),
        "reason": format!("answered 500 \u{1b}[31m number {n}"),
    }))
}

fn waiting(n: u64, age_ms: u64) -> DeliveryView {
    view(json!({
        "id": id(n), "event": EventId { seq: n, tag: 1 }.to_string(), "endpoint": "bad",
        "state": "pending", "attempts": 1, "created_at": rfc3339(NOW - age_ms),
    }))
}

fn ascii() -> TopStyle {
    TopStyle { colours: false, ramp: ASCII, is_printed: false }
}
