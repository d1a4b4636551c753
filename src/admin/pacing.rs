//! Settings of when deliveries go out: order, batches, rate, breaker, catching up.

use serde_json::{Map, Value, json};

use super::fields::{Fields, duration_ms, number, number32, opt, rate, show_rate, text};
use super::http::Problem;
use crate::model::{Batch, BatchFormat, CatchUpMode, Endpoint, HeadOfLine, Order, limits};

const YEAR_MS: u64 = 366 * 86_400_000;

/// Puts the given fields into `endpoint`.
pub(super) fn apply(endpoint: &mut Endpoint, fields: &mut Fields) -> Result<(), Problem> {
    fields.set("rate", &mut endpoint.rate, None, opt(rate))?;
    fields.set("burst", &mut endpoint.burst, None, opt(number32(1, limits::BURST)))?;
    order(endpoint, fields)?;
    batch(endpoint, fields)?;
    let hold_after = duration_ms(1, YEAR_MS);
    fields.set("hold_after_ms", &mut endpoint.hold_after_ms, limits::DEFAULT_HOLD_AFTER_MS, hold_after)?;
    fields.set("catch_up", &mut endpoint.catch_up.mode, CatchUpMode::Oldest, |value| match value.as_str() {
        Some("oldest") => Ok(CatchUpMode::Oldest),
        Some("newest") => Ok(CatchUpMode::Newest),
        Some("latest") => Ok(CatchUpMode::Latest),
        _ => Err("is oldest, newest or latest".into()),
    })?;
    fields.set("catch_up_rate", &mut endpoint.catch_up.rate, None, opt(rate))?;
    fields.set("catch_up_key", &mut endpoint.catch_up.key, None, opt(pointer))?;
    check(endpoint).map_err(Problem::bad)
}

fn order(endpoint: &mut Endpoint, fields: &mut Fields) -> Result<(), Problem> {
    fields.set("order", &mut endpoint.order, Order::None, |value| match value.as_str() {
        Some("none") => Ok(Order::None),
        Some("strict") => Ok(Order::Strict),
        Some("key") => Ok(Order::Key),
        _ => Err("is none, strict or key".into()),
    })?;
    fields.set("order_key", &mut endpoint.order_key, None, opt(pointer))?;
    let after = match endpoint.head_of_line {
        HeadOfLine::Block => limits::HEAD_ATTEMPTS,
        HeadOfLine::Skip { after } | HeadOfLine::Park { after } => after,
    };
    let after = fields.get("head_attempts", number32(1, u32::MAX))?.unwrap_or(after);
    let named = fields.get_or("head_of_line", "block".to_owned(), text)?;
    endpoint.head_of_line = match (named.as_deref(), endpoint.head_of_line) {
        (Some("block"), _) | (None, HeadOfLine::Block) => HeadOfLine::Block,
        (Some("skip"), _) | (None, HeadOfLine::Skip { .. }) => HeadOfLine::Skip { after },
        (Some("park"), _) | (None, HeadOfLine::Park { .. }) => HeadOfLine::Park { after },
        (Some(_), _) => return Err(Problem::bad("'head_of_line': is block, skip or park")),
    };
    Ok(())
}

fn batch(endpoint: &mut Endpoint, fields: &mut Fields) -> Result<(), Problem> {
    let max_events = fields.get_or("batch_max_events", 0, number32(1, limits::BATCH_OUT_EVENTS))?;
    let max_bytes =
        fields.get_or("batch_max_bytes", limits::DEFAULT_BATCH_OUT_BYTES, number(1, limits::BATCH_OUT_BYTES))?;
    let max_wait =
        fields.get_or("batch_max_wait_ms", limits::DEFAULT_BATCH_WAIT_MS, duration_ms(0, limits::BATCH_WAIT_MS))?;
    let format = fields.get_or("batch_format", BatchFormat::Json, |value| match value.as_str() {
        Some("json") => Ok(BatchFormat::Json),
        Some("ndjson") => Ok(BatchFormat::Ndjson),
        Some("cloudevents") => Ok(BatchFormat::Cloudevents),
        _ => Err("is json, ndjson or cloudevents".into()),
    })?;
    if max_events == Some(0) {
        endpoint.batch = None;
        return Ok(());
    }
    let asked = max_events.is_some() || max_bytes.is_some() || max_wait.is_some() || format.is_some();
    if !asked {
        return Ok(());
    }
    let plain = Batch {
        max_events: limits::DEFAULT_BATCH_OUT_EVENTS,
        max_bytes: limits::DEFAULT_BATCH_OUT_BYTES,
        max_wait_ms: limits::DEFAULT_BATCH_WAIT_MS,
        format: BatchFormat::Json,
    };
    let batch = endpoint.batch.get_or_insert(plain);
    batch.max_events = max_events.unwrap_or(batch.max_events);
    batch.max_bytes = max_bytes.unwrap_or(batch.max_bytes);
    batch.max_wait_ms = max_wait.unwrap_or(batch.max_wait_ms);
    batch.format = format.unwrap_or(batch.format);
    Ok(())
}

/// What makes no sense together.
fn check(endpoint: &Endpoint) -> Result<(), String> {
    let keyed = endpoint.order == Order::Key;
    if keyed && endpoint.order_key.is_none() {
        return Err("'order_key' is missing: order key needs a JSON Pointer, such as --order-key /device/id".into());
    }
    if !keyed && endpoint.order_key.is_some() {
        return Err("'order_key' goes with order key only: use --order key, or --reset order_key".into());
    }
    if endpoint.batch.is_some() && (endpoint.is_pull() || endpoint.is_exec()) {
        return Err(
            "batches go to a URL: consumers say themselves how many they take, a command gets one at a time".into()
        );
    }
    if endpoint.batch.is_some() && !endpoint.shape.is_plain() {
        return Err("a batch cannot be shaped: leave out either the batch or the templates".into());
    }
    if endpoint.burst.is_some() && endpoint.rate.is_none() {
        return Err("'burst' is what a rate allows at once: give --rate, too".into());
    }
    if endpoint.head_of_line != HeadOfLine::Block && endpoint.order == Order::None {
        return Err("'head_of_line' is about lanes: use it with --order strict or --order key".into());
    }
    match endpoint.catch_up.mode {
        CatchUpMode::Newest | CatchUpMode::Latest if endpoint.order != Order::None => {
            Err("'catch_up' newest and latest would break the order: use oldest, or --order none".into())
        }
        CatchUpMode::Latest if endpoint.catch_up.key.is_none() => {
            Err("'catch_up_key' is missing: latest of what? Name it by a JSON Pointer, such as --catch-up-key /id"
                .into())
        }
        _ => Ok(()),
    }
}

/// A JSON Pointer (RFC 6901) that is not empty.
fn pointer(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let whole = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && whole {
        Ok(text)
    } else {
        Err(format!("'{text}' is not a JSON Pointer (RFC 6901): write it as /device/id"))
    }
}

/// Adds them to what is shown of it.
pub(super) fn show(endpoint: &Endpoint, row: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
    put("rate", json!(endpoint.rate.map(show_rate)));
    put("burst", json!(endpoint.burst));
    put("order", json!(endpoint.order));
    put("order_key", json!(endpoint.order_key));
    let (head, after) = match endpoint.head_of_line {
        HeadOfLine::Block => ("block", None),
        HeadOfLine::Skip { after } => ("skip", Some(after)),
        HeadOfLine::Park { after } => ("park", Some(after)),
    };
    put("head_of_line", json!(head));
    put("head_attempts", json!(after));
    let batch = endpoint.batch;
    put("batch_max_events", json!(batch.map(|b| b.max_events)));
    put("batch_max_bytes", json!(batch.map(|b| b.max_bytes)));
    put("batch_max_wait_ms", json!(batch.map(|b| b.max_wait_ms)));
    put("batch_format", json!(batch.map(|b| b.format)));
    put("hold_after_ms", json!(endpoint.hold_after_ms));
    put("catch_up", json!(endpoint.catch_up.mode));
    put("catch_up_rate", json!(endpoint.catch_up.rate.map(show_rate)));
    put("catch_up_key", json!(endpoint.catch_up.key));
}
