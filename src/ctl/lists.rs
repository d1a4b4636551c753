//! Lists and tails, printed as they come.

use serde_json::Value;

use super::CtlError;
use super::args::{DeliveryFilter, Filter, Page, TailArgs};
use super::client::{Client, path};
use super::output::Output;
use super::table::{Show, Table, cell, clean, count, size, span};

type Columns = &'static [(&'static str, &'static str, Show)];

pub(super) const SOURCES: Columns = &[
    ("NAME", "name", Show::Text),
    ("VERIFY", "verify", Show::Text),
    ("URL", "url", Show::Text),
    ("CREATED", "created_at", Show::Time),
];
pub(super) const BINS: Columns = &[
    ("NAME", "name", Show::Text),
    ("URL", "url", Show::Text),
    ("CREATED", "created_at", Show::Time),
    ("ENDS", "expires_at", Show::Time),
];
pub(super) const ENDPOINTS: Columns = &[
    ("NAME", "name", Show::Text),
    ("STATE", "condition", Show::Text),
    ("URL", "url", Show::Text),
    ("FROM", "from", Show::Text),
    ("TYPES", "types", Show::Text),
    ("WAITING", "waiting", Show::Number),
    ("DELIVERED", "delivered", Show::Number),
    ("DEAD", "dead", Show::Number),
];
pub(super) const EVENTS: Columns = &[
    ("ID", "id", Show::Text),
    ("SOURCE", "source", Show::Text),
    ("TYPE", "type", Show::Text),
    ("RECEIVED", "received_at", Show::Time),
    ("SIZE", "size", Show::Size),
    ("AGAIN", "duplicates", Show::Number),
];
pub(super) const DELIVERIES: Columns = &[
    ("ID", "id", Show::Text),
    ("EVENT", "event", Show::Text),
    ("ENDPOINT", "endpoint", Show::Text),
    ("STATE", "state", Show::Text),
    ("ATTEMPTS", "attempts", Show::Number),
    ("DUE", "due_at", Show::Time),
];
pub(super) const DEAD: Columns = &[
    ("ID", "id", Show::Text),
    ("EVENT", "event", Show::Text),
    ("ENDPOINT", "endpoint", Show::Text),
    ("ATTEMPTS", "attempts", Show::Number),
    ("DIED", "died_at", Show::Time),
    ("REASON", "reason", Show::Text),
];
pub(super) const REPLAYS: Columns = &[
    ("ID", "id", Show::Number),
    ("SOURCE", "source", Show::Text),
    ("TYPE", "type", Show::Text),
    ("EVENT", "event", Show::Text),
    ("TO", "to", Show::Text),
    ("RATE", "rate", Show::Text),
    ("NEXT", "next", Show::Number),
    ("END", "end", Show::Number),
    ("STARTED", "started_at", Show::Time),
];
pub(super) const SEGMENTS: Columns = &[
    ("SEGMENT", "number", Show::Number),
    ("FIRST", "first", Show::Number),
    ("LAST", "last", Show::Number),
    ("RECORDS", "records", Show::Number),
    ("PAYLOAD", "payload_bytes", Show::Size),
    ("ON DISK", "bytes", Show::Size),
    ("CREATED", "created_at", Show::Time),
    ("SEALED", "sealed_at", Show::Time),
];

/// One list of the daemon's, row by row.
pub(super) fn list(
    client: &Client,
    out: &mut Output,
    target: &str,
    columns: Columns,
    empty: &str,
) -> Result<(), CtlError> {
    let mut table = Table::new(now_ms(), columns);
    let listed = client.list(target, &mut |row| out.row(&mut table, &row));
    // What came before it broke off is shown all the same.
    let ended = if listed.is_ok() || table.started() { out.end(&mut table, empty) } else { Ok(()) };
    listed.and(ended)
}

pub(super) type Params = Vec<(&'static str, Option<String>)>;

pub(super) fn filter_params(filter: &Filter) -> Params {
    vec![
        ("source", filter.source.clone()),
        ("type", filter.kind.clone()),
        ("since", filter.since.clone()),
        ("until", filter.until.clone()),
    ]
}

pub(super) fn delivery_params(filter: &DeliveryFilter) -> Params {
    let mut params = filter_params(&filter.filter);
    params.push(("endpoint", filter.endpoint.clone()));
    params.push(("event", filter.event.clone()));
    params
}

pub(super) fn page_params(page: &Page) -> Params {
    vec![("limit", Some(page.limit.to_string())), ("after", page.after.clone())]
}

pub(super) fn tail(client: &Client, out: &mut Output, args: &TailArgs) -> Result<(), CtlError> {
    let target = path(
        "/v1/tail",
        &[
            ("follow", args.follow.then(|| "true".into())),
            ("source", args.source.clone()),
            ("endpoint", args.endpoint.clone()),
            ("limit", Some(args.limit.to_string())),
        ],
    );
    client.list(&target, &mut |row| {
        out.one(&row, tail_line)?;
        out.finish()
    })
}

/// One thing that passed, in one line.
pub(super) fn tail_line(row: &Value) -> String {
    let text = |field: &str| row[field].as_str().map_or_else(|| row[field].to_string(), clean);
    let time = row["at"].as_str().and_then(|t| t.get(11..23)).unwrap_or("-");
    match row["what"].as_str() {
        Some("event") => {
            let kind = row["type"].as_str().filter(|t| !t.is_empty()).map_or_else(|| "-".into(), clean);
            let bytes = size(row["size"].as_u64().unwrap_or(0));
            format!(
                "{time}  in    {}  {kind}  {bytes}  {}  to {}",
                text("source"),
                text("id"),
                count(&row["deliveries"], "endpoint")
            )
        }
        Some("duplicate") => format!("{time}  again the event of record {}", row["event_seq"]),
        Some("attempt") => {
            let status = row["status"].as_u64().map(|s| s.to_string());
            let came = status.or_else(|| row["error"].as_str().map(clean)).unwrap_or_else(|| "-".into());
            let took = span(row["duration_ms"].as_u64().unwrap_or(0));
            let next = row["next_at"].as_str().and_then(|t| t.get(11..19));
            let next = next.map(|t| format!("  again at {t}")).unwrap_or_default();
            let (endpoint, outcome, id) = (text("endpoint"), text("outcome"), text("delivery"));
            format!("{time}  out   {endpoint}  {outcome}  {came}  {took}  attempt {}  {id}{next}", row["number"])
        }
        Some("missed") => format!("-             {} lines were missed: the reader is too slow", row["lines"]),
        _ => cell(row, Show::Text, 0),
    }
}

/// The wall clock, for relative times only.
#[allow(clippy::disallowed_methods, reason = "the ctl has no other clock; it decides nothing by it")]
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|d| u64::try_from(d.as_millis()).ok()).unwrap_or(0)
}
