//! Every field of an answer, a line each, under the API's own names: also fields and values that
//! only a later daemon sends.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::clock::now_ms;
use super::table::{clean, moment, relative, size, span, text};
use crate::api::values::Time;
use crate::api::views::SecretView;
use crate::model::time::parse_wall;

/// Every field, a line each.
pub(super) fn fields(object: &Map<String, Value>) -> String {
    lines(object.iter())
}

/// Every field but those of these names, which have a place of their own.
pub(super) fn fields_except(object: &Map<String, Value>, names: &[&str]) -> String {
    lines(object.iter().filter(|(name, _)| !names.contains(&name.as_str())))
}

fn lines<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)> + Clone) -> String {
    let width = fields.clone().map(|(name, _)| label(name).len()).max().unwrap_or(0);
    let now = now_ms();

    let mut text = String::new();
    for (name, value) in fields {
        let _ = writeln!(text, "{:<width$}  {}", label(name), shown(name, value, now));
    }
    text
}

/// People see `1h`, which needs no unit in the name.
fn label(name: &str) -> &str {
    name.strip_suffix("_ms").unwrap_or(name)
}

/// A value, by what its name says of it.
fn shown(name: &str, value: &Value, now: u64) -> String {
    match (name, value) {
        ("secrets", Value::Array(secrets)) => secret_count(secrets, now),
        ("header" | "arg" | "filter_too_expensive", Value::Array(list)) if list.is_empty() => {
            "none".to_owned()
        }
        // What these do not name, they do not exclude.
        ("from" | "types" | "allow", Value::Array(list)) if list.is_empty() => "all".to_owned(),
        ("refused", Value::Object(counts)) if !counts.is_empty() => refusal_counts(counts),

        (name, Value::String(at)) if name.ends_with("_at") || name.ends_with("_until") => {
            parse_wall(at).map_or_else(|| clean(at), |at| moment(Some(Time(at)), now))
        }
        (name, Value::Number(ms)) if name.ends_with("_ms") => {
            ms.as_u64().map_or_else(|| ms.to_string(), span)
        }
        ("size" | "max_body", Value::Number(bytes)) => {
            bytes.as_u64().map_or_else(|| bytes.to_string(), size)
        }
        (_, value) => plain(value),
    }
}

/// How many requests were refused for each reason.
fn refusal_counts(counts: &Map<String, Value>) -> String {
    let count = |(reason, count): (&String, &Value)| clean(&format!("{reason} {count}"));
    counts.iter().map(count).collect::<Vec<_>>().join(", ")
}

/// How many secrets there are, and when those end that were replaced.
fn secret_count(secrets: &[Value], now: u64) -> String {
    let ends = secrets.iter().filter_map(|secret| SecretView::deserialize(secret).ok()?.expires_at);
    let ends: Vec<String> = ends.map(|at| relative(at.0, now)).collect();
    let count = secrets.len();
    if ends.is_empty() { count.to_string() } else { format!("{count} (old: {})", ends.join(", ")) }
}

/// A value of JSON in one line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(word) => text(word),
        Value::Array(list) if list.is_empty() => "-".into(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(object) if object.is_empty() => "-".into(),
        other => clean(&other.to_string()),
    }
}
