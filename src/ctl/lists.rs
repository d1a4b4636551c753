//! Lists, printed row by row as they arrive.

use serde::de::DeserializeOwned;

use super::args::{DeliveryFilterArgs, EventFilterArgs, PageArgs};
use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{self, Columns, Show, Table};
use crate::api::views::{
    DeliveryView, EndpointActivityView, EndpointView, EventView, ReplayView, SegmentView,
    SourceView,
};

pub(super) const SOURCES: Columns<SourceView> = &[
    ("NAME", Show::Text(|source| source.name.clone())),
    ("VERIFY", Show::Text(|source| optional(source.settings.verify.as_ref()))),
    ("URL", Show::Text(|source| source.url.clone())),
    ("CREATED", Show::Time(|source| Some(source.created_at))),
];
pub(super) const BINS: Columns<SourceView> = &[
    ("NAME", Show::Text(|bin| bin.name.clone())),
    ("URL", Show::Text(|bin| bin.url.clone())),
    ("CREATED", Show::Time(|bin| Some(bin.created_at))),
    ("EXPIRES", Show::Time(|bin| bin.expires_at)),
];
pub(super) const ENDPOINTS: Columns<EndpointView> = &[
    ("NAME", Show::Text(|endpoint| endpoint.name.clone())),
    ("STATE", Show::Text(|endpoint| optional(activity(endpoint, |now| &now.condition)))),
    ("URL", Show::Text(|endpoint| optional(endpoint.settings.url.as_ref()))),
    ("FROM", Show::Text(|endpoint| chosen(endpoint.settings.from.as_deref()))),
    ("TYPES", Show::Text(|endpoint| chosen(endpoint.settings.types.as_deref()))),
    ("WAITING", Show::Number(|endpoint| activity(endpoint, |now| &now.waiting).copied())),
    ("DELIVERED", Show::Number(|endpoint| activity(endpoint, |now| &now.delivered).copied())),
    ("DEAD", Show::Number(|endpoint| activity(endpoint, |now| &now.dead).copied())),
];
pub(super) const EVENTS: Columns<EventView> = &[
    ("ID", Show::Text(|event| event.summary.id.to_string())),
    ("SOURCE", Show::Text(|event| event.summary.source.clone())),
    ("TYPE", Show::Text(|event| event.summary.event_type.clone())),
    ("RECEIVED", Show::Time(|event| Some(event.summary.received_at))),
    ("SIZE", Show::Size(|event| Some(event.summary.size as u64))),
    ("DUPLICATES", Show::Number(|event| Some(event.summary.duplicates.into()))),
];
pub(super) const DELIVERIES: Columns<DeliveryView> = &[
    ("ID", Show::Text(|delivery| delivery.id.to_string())),
    ("EVENT", Show::Text(|delivery| delivery.event.to_string())),
    ("ENDPOINT", Show::Text(|delivery| delivery.endpoint.clone())),
    ("STATE", Show::Text(|delivery| delivery.state.to_string())),
    ("ATTEMPTS", Show::Number(|delivery| Some(delivery.attempts.into()))),
    ("DUE", Show::Time(|delivery| delivery.due_at)),
];
pub(super) const DEAD: Columns<DeliveryView> = &[
    ("ID", Show::Text(|dead| dead.id.to_string())),
    ("EVENT", Show::Text(|dead| dead.event.to_string())),
    ("ENDPOINT", Show::Text(|dead| dead.endpoint.clone())),
    ("ATTEMPTS", Show::Number(|dead| Some(dead.attempts.into()))),
    ("GIVEN UP", Show::Time(|dead| dead.died_at)),
    ("REASON", Show::Text(|dead| optional(dead.reason.as_ref()))),
];
pub(super) const REPLAYS: Columns<ReplayView> = &[
    ("ID", Show::Number(|replay| Some(replay.id))),
    ("SOURCE", Show::Text(|replay| optional(replay.source.as_ref()))),
    ("TYPE", Show::Text(|replay| optional(replay.event_type.as_ref()))),
    ("EVENT", Show::Text(|replay| optional(replay.event.as_ref()))),
    ("TO", Show::Text(|replay| optional(replay.to.as_ref()))),
    ("RATE", Show::Text(|replay| optional(replay.rate.as_ref()))),
    ("NEXT", Show::Number(|replay| Some(replay.next))),
    ("END", Show::Number(|replay| Some(replay.end))),
    ("STARTED", Show::Time(|replay| Some(replay.started_at))),
];
pub(super) const SEGMENTS: Columns<SegmentView> = &[
    ("SEGMENT", Show::Number(|segment| Some(segment.number))),
    ("FIRST", Show::Number(|segment| Some(segment.first))),
    ("LAST", Show::Number(|segment| segment.last)),
    ("RECORDS", Show::Number(|segment| Some(segment.records))),
    ("PAYLOAD", Show::Size(|segment| Some(segment.payload_bytes))),
    ("ON DISK", Show::Size(|segment| Some(segment.bytes))),
    ("CREATED", Show::Time(|segment| Some(segment.created_at))),
    ("SEALED", Show::Time(|segment| segment.sealed_at)),
];

/// What the endpoint is doing, as far as the daemon says it.
fn activity<T>(endpoint: &EndpointView, part: fn(&EndpointActivityView) -> &T) -> Option<&T> {
    endpoint.activity.as_ref().map(part)
}

fn optional<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// What a filter chooses.
fn chosen<T: std::fmt::Display>(names: Option<&[T]>) -> String {
    names.map(table::list).unwrap_or_default()
}

/// Prints a list of the daemon; `empty` when it has no rows.
pub(super) fn list<V: DeserializeOwned>(
    client: &AdminClient,
    out: &mut Output,
    target: &str,
    columns: Columns<V>,
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
