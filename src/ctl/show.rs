//! One object, for people: a sentence, or a line for each field.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::clock::now_ms;
use super::table::{Show, Table, cell, clean, count, span};

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
            ("header" | "arg" | "filter_too_expensive", Value::Array(list)) if list.is_empty() => {
                "none".to_owned()
            }
            (key, value) if key.ends_with("_at") || key.ends_with("_until") => {
                cell(value, Show::Time, now)
            }
            (key, Value::Number(ms)) if key.ends_with("_ms") => {
                ms.as_u64().map_or_else(|| ms.to_string(), span)
            }
            ("size" | "max_body", value) => cell(value, Show::Size, now),
            (_, value) => cell(value, Show::Text, now),
        };
        let _ = writeln!(text, "{:<width$}  {shown}", label(key));
    }
    text
}

/// A source, bin or endpoint that was just created.
pub(super) fn created(noun: &str, created: &Value) -> String {
    let (name, url) = (name(created), cell(&created["url"], Show::Text, 0));
    let mut text = match noun {
        "endpoint" => format!("Created endpoint {name}. It delivers to {url}"),
        _ => format!("Created {noun} {name}. Post webhooks to {url}"),
    };
    if let Some(end) = created["expires_at"].as_str() {
        let _ = write!(text, "\nIt expires {}.", cell(&Value::from(end), Show::Time, now_ms()));
    }

    text + &secret_line(created) + &warning_lines(created)
}

/// A source or endpoint that was just updated.
pub(super) fn updated(noun: &str, updated: &Value) -> String {
    let (secret, warnings) = (secret_line(updated), warning_lines(updated));
    format!("Updated {noun} {}.{secret}{warnings}", name(updated))
}

fn warning_lines(object: &Value) -> String {
    let warnings = object["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| format!("\nWarning: {}.", cell(warning, Show::Text, 0))).collect()
}

fn secret_line(object: &Value) -> String {
    let secret = object["secret"].as_str();
    secret.map(|secret| format!("\nSecret (shown only once): {secret}")).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["name"].as_str().unwrap_or("?")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase().to_string());
    first.map(|first| first + letters.as_str()).unwrap_or_default()
}

/// An event with its headers, its deliveries and its body.
pub(super) fn event(event: &Value) -> String {
    let mut head = event.clone();
    let Some(object) = head.as_object_mut() else { return event.to_string() };
    let headers = object.shift_remove("headers").unwrap_or_default();
    let body = object.shift_remove("body_base64");
    let deliveries = object.shift_remove("deliveries").unwrap_or_default();

    let mut text = fields(&head);
    text.push_str(&header_lines(&headers));

    text.push_str("\ndeliveries\n");
    if deliveries.as_array().is_some_and(Vec::is_empty) {
        // When it was not the filters, a field above says what it was.
        let too_expensive = &event["filter_too_expensive"];
        let is_explained = too_expensive.as_array().is_some_and(|names| !names.is_empty())
            || event["remark"].is_string();
        text.push_str(if is_explained { "  none\n" } else { "  none: no endpoint matched it\n" });
    }
    for delivery in deliveries.as_array().into_iter().flatten() {
        let part = |field: &str| cell(&delivery[field], Show::Text, 0);
        let _ = writeln!(text, "  {}  {}  {}", part("id"), part("endpoint"), part("state"));
    }

    let body = body.and_then(|body| STANDARD.decode(body.as_str()?).ok()).unwrap_or_default();
    text.push_str("\nbody\n");
    text.push_str(&body_text(&body));
    text
}

fn header_lines(headers: &Value) -> String {
    let mut text = "\nheaders\n".to_owned();
    for (name, value) in headers.as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {name}: {}", cell(value, Show::Text, 0));
    }
    text
}

/// Text without its control characters; of anything else, how many bytes there are.
fn body_text(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok("") => "(empty)".into(),
        Ok(text) => {
            let lines = text.split('\n').map(|line| clean(line.trim_end_matches('\r')));
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(_) => format!("({} bytes that are not text: use --json)", body.len()),
    }
}

/// A delivery with a line for each attempt.
pub(super) fn delivery(delivery: &Value) -> String {
    let mut head = delivery.clone();
    let Some(object) = head.as_object_mut() else { return delivery.to_string() };
    let history = object.shift_remove("history").unwrap_or_default();
    let commands = object.shift_remove("operator").unwrap_or_default();

    let mut text = fields(&head);
    text.push('\n');
    let attempts = attempt_table(&history);
    match (attempts.is_empty(), head["attempts"].as_u64()) {
        (false, _) => text.push_str(&attempts),
        (true, None | Some(0)) => text.push_str("Not attempted yet.\n"),
        (true, Some(_)) => text.push_str(
            "Its attempts are not in this log: it was imported, or retention has removed them.\n",
        ),
    }

    for command in commands.as_array().into_iter().flatten() {
        let what = command["what"].as_str().unwrap_or("?");
        let at = cell(&command["at"], Show::Time, now_ms());
        let _ = writeln!(text, "{what} by the operator {at}");
    }
    text
}

fn attempt_table(history: &Value) -> String {
    let columns = [
        ("ATTEMPT", "number", Show::Number),
        ("STARTED", "started_at", Show::Time),
        ("TOOK MS", "duration_ms", Show::Number),
        ("OUTCOME", "outcome", Show::Text),
        ("STATUS", "status", Show::Number),
        ("NEXT", "next_at", Show::Time),
        ("ERROR", "error", Show::Text),
    ];
    let mut table = Table::new(now_ms(), &columns);
    let mut text = String::new();
    for attempt in history.as_array().into_iter().flatten() {
        text.push_str(&table.push(attempt).unwrap_or_default());
    }
    text + &table.finish()
}

/// Why a delivery waits: a sentence a line.
pub(super) fn explained(answer: &Value) -> String {
    let part = |field: &str| cell(&answer[field], Show::Text, 0);
    let (id, event, endpoint) = (part("id"), part("event"), part("endpoint"));
    let (state, attempts) = (part("state"), count(&answer["attempts"], "attempt"));

    let mut text = format!("{id} ({event} to {endpoint}) is {state}, after {attempts}.\n");
    for reason in answer["reasons"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "- {}.", capital(&cell(&reason["text"], Show::Text, 0)));
    }
    text
}

/// The result of `source check`: what would happen to a request.
pub(super) fn checked(answer: &Value) -> String {
    let verdict = if answer["accepted"] == true { "accepted" } else { "refused" };
    let reason = answer["reason"].as_str().filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| format!(": {}", clean(reason))).unwrap_or_default();

    let mut text = format!("It would be {verdict}{reason}\n");
    for (label, value) in [
        ("type", &answer["type"]),
        ("dedupe key", &answer["dedupe_key"]),
        ("answer", &answer["response"]["status"]),
    ] {
        let _ = writeln!(text, "{label:<11} {}", cell(value, Show::Text, 0));
    }
    text
}

/// The result of `endpoint test`: what was sent, or would be, and the outcome.
pub(super) fn tested(answer: &Value) -> String {
    let mut head = answer.clone();
    let Some(object) = head.as_object_mut() else { return answer.to_string() };
    let headers = object.shift_remove("headers").unwrap_or_default();
    let body = object.shift_remove("body_base64");
    let output = object.shift_remove("output").unwrap_or_default();
    object.retain(|_, value| !value.is_null());

    let mut text = fields(&head);
    if headers.is_object() {
        text.push_str(&header_lines(&headers));
    }
    if let Some(body) = body.and_then(|body| STANDARD.decode(body.as_str()?).ok()) {
        text.push_str("\nbody\n");
        text.push_str(&body_text(&body));
    }
    if let Some(output) = output.as_str().filter(|output| !output.is_empty()) {
        text.push_str("\noutput\n");
        text.push_str(&body_text(output.as_bytes()));
    }
    text
}

/// The report of `log verify`.
pub(super) fn verified(report: &Value) -> String {
    let records = count(&report["records"], "record");
    let segments = count(&report["segments"], "segment");
    let (first, last) = (&report["first"], &report["last"]);
    if report["ok"] == true {
        let expected = report["expected_at"].as_u64();
        let expected = expected
            .map(|at| format!(" The expected head is in the chain, at record {at}."))
            .unwrap_or_default();
        return format!("OK: {records}, {first} to {last}, in {segments}.{expected}");
    }

    let mut text = format!("INCONSISTENT: {records}, {first} to {last}, in {segments}.\n");
    for problem in report["problems"].as_array().into_iter().flatten() {
        let what = cell(&problem["what"], Show::Text, 0);
        let (segment, first, last) = (&problem["segment"], &problem["first"], &problem["last"]);
        let _ = writeln!(text, "segment {segment}, records {first} to {last}: {what}");
    }
    text
}
