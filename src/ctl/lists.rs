//! Lists, printed row by row as they arrive.

use super::args::{DeliveryFilterArgs, EventFilterArgs, PageArgs};
use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{Show, Table};

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
    ("EXPIRES", "expires_at", Show::Time),
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
    ("DUPLICATES", "duplicates", Show::Number),
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
    ("GIVEN UP", "died_at", Show::Time),
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

/// Prints a list of the daemon; `empty` when it has no rows.
pub(super) fn list(
    client: &AdminClient,
    out: &mut Output,
    target: &str,
    columns: Columns,
    empty: &str,
) -> Result<(), CtlError> {
    let mut table = Table::new(now_ms(), columns);
    let listed = client.list(target, &mut |row| out.row(&mut table, &row));
    // A list that broke off is shown as far as it came.
    let ended = if listed.is_ok() || table.started() { out.end(&mut table, empty) } else { Ok(()) };
    listed.and(ended)
}

pub(super) type QueryPairs = Vec<(&'static str, Option<String>)>;

pub(super) fn filter_params(filter: &EventFilterArgs) -> QueryPairs {
    vec![
        ("source", filter.source.clone()),
        ("type", filter.kind.clone()),
        ("since", filter.since.clone()),
        ("until", filter.until.clone()),
    ]
}

pub(super) fn delivery_params(filter: &DeliveryFilterArgs) -> QueryPairs {
    let mut params = filter_params(&filter.filter);
    params.push(("endpoint", filter.endpoint.clone()));
    params.push(("event", filter.event.clone()));
    params
}

pub(super) fn page_params(page: &PageArgs) -> QueryPairs {
    vec![("limit", Some(page.limit.to_string())), ("after", page.after.clone())]
}
