//! One thing, for people: a sentence, or a field a line.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::CtlError;
use super::client::Client;
use super::lists::now_ms;
use super::output::Output;
use super::table::{Show, Table, cell, clean, count, size, span};

pub(super) fn status(client: &Client, out: &mut Output) -> Result<(), CtlError> {
    let status = client.get("/v1/status")?;
    out.one(&status, screen)
}

/// The one screen.
pub(super) fn screen(status: &Value) -> String {
    let mut text = String::new();
    let d = &status["deliveries"];
    let up = match status["uptime_s"].as_u64().unwrap_or(0) {
        0 => "0s".to_owned(),
        seconds => span(seconds * 1000),
    };
    let version = status["version"].as_str().unwrap_or("?");
    let accepting = if status["accepting"] == false {
        let why = status["reason"].as_str().map(|r| format!(" ({})", clean(r))).unwrap_or_default();
        format!("NOT ACCEPTING{why}")
    } else {
        "accepting".into()
    };
    let mut line = |label: &str, said: String| {
        let _ = writeln!(text, "{label:<10} {said}");
    };
    line("hookbox", format!("{version}, up {up}, {accepting}"));
    line("listens", cell(&status["listen"], Show::Text, 0));
    line(
        "in",
        [("events", "event"), ("duplicates", "duplicate"), ("sources", "source")]
            .map(|(f, noun)| count(&status[f], noun))
            .join(", "),
    );
    if let Some(refused) = status["refused"].as_object().filter(|r| !r.is_empty()) {
        let kinds: Vec<String> = refused.iter().map(|(kind, count)| format!("{count} {}", clean(kind))).collect();
        line("refused", kinds.join(", "));
    }
    line(
        "out",
        format!(
            "{} delivered, {} in flight, {}",
            d["delivered"],
            d["in_flight"],
            count(&status["endpoints"], "endpoint")
        ),
    );
    line("waits", format!("{} pending ({} for a retry), {} held", d["pending"], d["retrying"], d["held"]));
    line(
        "fails",
        format!(
            "{}, {} of {} attempts failed",
            count(&d["dead"], "dead letter"),
            status["failed_attempts"],
            status["attempts"]
        ),
    );
    let link = &status["link"];
    if link["online"] == false {
        let (since, probe) =
            (cell(&link["offline_since"], Show::Time, now_ms()), cell(&link["next_probe_at"], Show::Time, now_ms()));
        line(
            "link",
            format!("OFFLINE since {since}, next probe {probe}, {} away", count(&link["endpoints_away"], "endpoint")),
        );
    }
    let clock = &status["clock"];
    if clock["suspect"] == true {
        let until = clock["waiting_until"].as_str().map(|_| cell(&clock["waiting_until"], Show::Time, now_ms()));
        let wait = until.map(|until| format!(": what is signed waits for a sane one, at most until {until}"));
        line("clock", format!("NOT BELIEVED{}", wait.unwrap_or_default()));
    }
    let some = |field: &str| status[field].as_u64().is_some_and(|n| n > 0);
    let flows = [("breakers_open", "open breaker"), ("parked_lanes", "parked lane"), ("catching_up", "endpoint")];
    let troubles: Vec<String> = flows
        .iter()
        .filter(|(field, _)| some(field))
        .map(|(field, noun)| count(&status[*field], noun) + if *field == "catching_up" { " catching up" } else { "" })
        .collect();
    if !troubles.is_empty() {
        line("paced", troubles.join(", "));
    }
    let log = &status["log"];
    let used = log["bytes"].as_u64().unwrap_or(0);
    let quota = log["quota_bytes"].as_u64().unwrap_or(0);
    let room = match (quota, log["left_bytes"].as_u64()) {
        (0, _) => "no quota".to_owned(),
        (quota, None) => format!("{} of {} left", size(quota.saturating_sub(used)), size(quota)),
        (quota, Some(left)) => {
            let free = size(log["free_bytes"].as_u64().unwrap_or(0));
            let reserve = size(log["reserve_bytes"].as_u64().unwrap_or(0));
            format!("{} left of a quota of {} (reserve {reserve}), {free} free on the disk", size(left), size(quota))
        }
    };
    line("log", format!("{} in {}", size(used), count(&log["segments"], "segment")));
    let level = match log["level"].as_str() {
        Some("low") => "LOW: ",
        Some("refusing") => "FULL: ",
        Some("halted") => "FULL, attempts are put off: ",
        _ => "",
    };
    line("room", format!("{level}{room}"));
    for damage in log["damage"].as_array().into_iter().flatten() {
        let what = cell(&damage["what"], Show::Text, 0);
        line("DAMAGED", format!("records {} to {}: {what}", damage["first"], damage["last"]));
    }
    text
}

/// Every field of an object, a line each.
pub(super) fn fields(value: &Value) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    // People see `1h`, which needs no unit in the name.
    let label = |key: &str| key.strip_suffix("_ms").unwrap_or(key).to_owned();
    let width = object.keys().map(|key| label(key).len()).max().unwrap_or(0);
    let now = now_ms();
    let mut text = String::new();
    for (key, value) in object {
        let shown = match (key.as_str(), value) {
            ("secrets", Value::Array(secrets)) => secrets.len().to_string(),
            ("headers" | "args", Value::Array(list)) if list.is_empty() => "none".to_owned(),
            (key, value) if key.ends_with("_at") || key.ends_with("_until") => cell(value, Show::Time, now),
            (key, Value::Number(ms)) if key.ends_with("_ms") => ms.as_u64().map_or_else(|| ms.to_string(), span),
            ("size" | "max_body", value) => cell(value, Show::Size, now),
            (_, value) => cell(value, Show::Text, now),
        };
        let _ = writeln!(text, "{:<width$}  {shown}", label(key));
    }
    text
}

/// A source, bin or endpoint that was just made.
pub(super) fn made(noun: &str, made: &Value) -> String {
    let mut text = match noun {
        "endpoint" => format!("Endpoint {} is made; it delivers to {}", name(made), cell(&made["url"], Show::Text, 0)),
        _ => format!("{} {} is made; post to {}", capital(noun), name(made), cell(&made["url"], Show::Text, 0)),
    };
    if let Some(end) = made["expires_at"].as_str() {
        let _ = write!(text, "\nIt ends {}.", cell(&Value::from(end), Show::Time, now_ms()));
    }
    text + &secret_line(made)
}

pub(super) fn changed(noun: &str, made: &Value) -> String {
    format!("{} {} is changed.{}", capital(noun), name(made), secret_line(made))
}

fn secret_line(made: &Value) -> String {
    made["secret"].as_str().map(|s| format!("\nIts secret, shown this once: {s}")).unwrap_or_default()
}

fn name(made: &Value) -> &str {
    made["name"].as_str().unwrap_or("?")
}

fn capital(noun: &str) -> String {
    let mut letters = noun.chars();
    letters.next().map(|c| c.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// An event with its headers and what can be shown of its body.
pub(super) fn event(event: &Value) -> String {
    let mut head = event.clone();
    let mut text = String::new();
    let Some(object) = head.as_object_mut() else { return event.to_string() };
    let headers = object.shift_remove("headers").unwrap_or_default();
    let body = object.shift_remove("body_base64").and_then(|b| STANDARD.decode(b.as_str()?).ok()).unwrap_or_default();
    let deliveries = object.shift_remove("deliveries").unwrap_or_default();
    text.push_str(&fields(&head));
    text.push_str("\nheaders\n");
    for (key, value) in headers.as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {key}: {}", cell(value, Show::Text, 0));
    }
    text.push_str("\ndeliveries\n");
    for delivery in deliveries.as_array().into_iter().flatten() {
        let part = |field: &str| cell(&delivery[field], Show::Text, 0);
        let _ = writeln!(text, "  {}  {}  {}", part("id"), part("endpoint"), part("state"));
    }
    text.push_str("\nbody\n");
    text.push_str(&body_text(&body));
    text
}

/// Text as it is but for control characters; else how many bytes there are.
fn body_text(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok("") => "(empty)".into(),
        Ok(text) => text.split('\n').map(|l| clean(l.trim_end_matches('\r'))).collect::<Vec<_>>().join("\n"),
        Err(_) => format!("({} bytes that are not text: see --json)", body.len()),
    }
}

/// A delivery and a line for each attempt.
pub(super) fn delivery(delivery: &Value) -> String {
    let mut head = delivery.clone();
    let Some(object) = head.as_object_mut() else { return delivery.to_string() };
    let history = object.shift_remove("history").unwrap_or_default();
    let orders = object.shift_remove("operator").unwrap_or_default();
    let mut text = fields(&head);
    let mut table = Table::new(
        now_ms(),
        &[
            ("ATTEMPT", "number", Show::Number),
            ("STARTED", "started_at", Show::Time),
            ("TOOK MS", "duration_ms", Show::Number),
            ("OUTCOME", "outcome", Show::Text),
            ("STATUS", "status", Show::Number),
            ("NEXT", "next_at", Show::Time),
            ("ERROR", "error", Show::Text),
        ],
    );
    text.push('\n');
    for attempt in history.as_array().into_iter().flatten() {
        text.push_str(&table.push(attempt).unwrap_or_default());
    }
    text.push_str(&table.finish());
    if !table.started() {
        text.push_str(match head["attempts"].as_u64() {
            None | Some(0) => "Not attempted yet.\n",
            Some(_) => "Its attempts are not in this log: it was imported, or retention has dropped them.\n",
        });
    }
    for order in orders.as_array().into_iter().flatten() {
        let what = order["what"].as_str().unwrap_or("?");
        let _ = writeln!(text, "{what} by the operator {}", cell(&order["at"], Show::Time, now_ms()));
    }
    text
}

/// Why a delivery waits: a sentence a line.
pub(super) fn explained(answer: &Value) -> String {
    let part = |field: &str| cell(&answer[field], Show::Text, 0);
    let attempts = count(&answer["attempts"], "attempt");
    let mut text =
        format!("{} ({} to {}) is {}, after {attempts}.\n", part("id"), part("event"), part("endpoint"), part("state"));
    for reason in answer["reasons"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "- {}.", capital(&cell(&reason["text"], Show::Text, 0)));
    }
    text
}

/// What would happen to a request.
pub(super) fn checked(answer: &Value) -> String {
    let said = if answer["accepted"] == true { "It would be accepted" } else { "It would be refused" };
    let reason =
        answer["reason"].as_str().filter(|r| !r.is_empty()).map(|r| format!(": {}", clean(r))).unwrap_or_default();
    let mut text = format!("{said}{reason}\n");
    for (label, value) in
        [("type", &answer["type"]), ("dedupe key", &answer["dedupe_key"]), ("answer", &answer["response"]["status"])]
    {
        let _ = writeln!(text, "{label:<11} {}", cell(value, Show::Text, 0));
    }
    text
}

/// What would be sent to an endpoint, or was, and what came of it.
pub(super) fn tried(answer: &Value) -> String {
    let mut head = answer.clone();
    let Some(object) = head.as_object_mut() else { return answer.to_string() };
    let headers = object.shift_remove("headers").unwrap_or_default();
    let body = object.shift_remove("body_base64").and_then(|b| STANDARD.decode(b.as_str()?).ok());
    let output = object.shift_remove("output").unwrap_or_default();
    object.retain(|_, value| !value.is_null());
    let mut text = fields(&head);
    if let Some(headers) = headers.as_object() {
        text.push_str("\nheaders\n");
        for (key, value) in headers {
            let _ = writeln!(text, "  {key}: {}", cell(value, Show::Text, 0));
        }
    }
    if let Some(body) = body {
        text.push_str("\nbody\n");
        text.push_str(&body_text(&body));
    }
    if let Some(output) = output.as_str().filter(|output| !output.is_empty()) {
        text.push_str("\noutput\n");
        text.push_str(&body_text(output.as_bytes()));
    }
    text
}

/// What a verification found.
pub(super) fn verified(report: &Value) -> String {
    let (records, segments) = (count(&report["records"], "record"), count(&report["segments"], "segment"));
    let range = format!("{} to {}", report["first"], report["last"]);
    if report["ok"] == true {
        let expected =
            report["expected_at"].as_u64().map(|at| format!(" The expected head is on the chain, at record {at}."));
        return format!("All adds up: {records}, {range}, in {segments}.{}", expected.unwrap_or_default());
    }
    let mut text = format!("NOT ALL ADDS UP: {records}, {range}, in {segments}.\n");
    for problem in report["problems"].as_array().into_iter().flatten() {
        let what = cell(&problem["what"], Show::Text, 0);
        let _ = writeln!(
            text,
            "segment {}, records {} to {}: {what}",
            problem["segment"], problem["first"], problem["last"]
        );
    }
    text
}
