//! Lists, printed row by row as they arrive.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::args::{DeliveryFilterArgs, EventFilterArgs, PageArgs};
use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{self, ALWAYS, Columns, Show, Table};
use crate::api::views::{
    DeliveryView, EndpointActivityView, EndpointView, EventView, RefusedRequestView, ReplayView,
    SegmentView, SourceView,
};

pub(super) const SOURCES: Columns<SourceView> = &[
    ("NAME", Show::Text(|source| source.name.clone()), ALWAYS),
    ("VERIFY", Show::Text(|source| optional(source.settings.verify.as_ref())), ALWAYS),
    ("URL", Show::Text(|source| source.url.clone()), 1),
    ("CREATED", Show::Time(|source| Some(source.created_at)), 2),
];
pub(super) const REFUSED: Columns<RefusedRequestView> = &[
    ("NUMBER", Show::Number(|refused| Some(refused.number)), ALWAYS),
    ("AT", Show::Time(|refused| Some(refused.at)), ALWAYS),
    ("METHOD", Show::Text(|refused| refused.method.clone()), 2),
    ("FROM", Show::Text(|refused| refused.remote.clone()), 1),
    ("SIZE", Show::Size(|refused| Some(refused.size)), 3),
    ("REASON", Show::Text(|refused| refused.reason.clone()), ALWAYS),
];
pub(super) const BINS: Columns<SourceView> = &[
    ("NAME", Show::Text(|bin| bin.name.clone()), ALWAYS),
    ("URL", Show::Text(|bin| bin.url.clone()), ALWAYS),
    ("CREATED", Show::Time(|bin| Some(bin.created_at)), 2),
    ("EXPIRES", Show::Time(|bin| bin.expires_at), ALWAYS),
];
pub(super) const ENDPOINTS: Columns<EndpointView> = &[
    ("NAME", Show::Text(|endpoint| endpoint.name.clone()), ALWAYS),
    ("STATE", Show::State(|endpoint| optional(activity(endpoint, |now| &now.condition))), ALWAYS),
    ("URL", Show::Text(|endpoint| optional(endpoint.settings.url.as_ref())), 2),
    ("FROM", Show::Text(|endpoint| chosen(endpoint.settings.from.as_deref())), 3),
    ("TYPES", Show::Text(|endpoint| chosen(endpoint.settings.types.as_deref())), 4),
    ("WAITING", Show::Number(|endpoint| activity(endpoint, |now| &now.waiting).copied()), ALWAYS),
    ("DELIVERED", Show::Number(|endpoint| activity(endpoint, |now| &now.delivered).copied()), 1),
    ("DEAD", Show::Number(|endpoint| activity(endpoint, |now| &now.dead).copied()), ALWAYS),
];
pub(super) const EVENTS: Columns<EventView> = &[
    ("ID", Show::Id(|event| event.summary.id.to_string()), ALWAYS),
    ("SOURCE", Show::Text(|event| event.summary.source.clone()), ALWAYS),
    ("TYPE", Show::Text(|event| event.summary.event_type.clone()), ALWAYS),
    ("RECEIVED", Show::Time(|event| Some(event.summary.received_at)), ALWAYS),
    ("SIZE", Show::Size(|event| Some(event.summary.size as u64)), 1),
    ("DUPLICATES", Show::Number(|event| Some(event.summary.duplicates.into())), 2),
];
pub(super) const DELIVERIES: Columns<DeliveryView> = &[
    ("ID", Show::Id(|delivery| delivery.id.to_string()), ALWAYS),
    ("EVENT", Show::Id(|delivery| delivery.event.to_string()), 2),
    ("ENDPOINT", Show::Text(|delivery| delivery.endpoint.clone()), ALWAYS),
    ("STATE", Show::State(|delivery| delivery.state.to_string()), ALWAYS),
    ("ATTEMPTS", Show::Number(|delivery| Some(delivery.attempts.into())), 1),
    ("DUE", Show::Time(|delivery| delivery.due_at), ALWAYS),
];
pub(super) const DEAD: Columns<DeliveryView> = &[
    ("ID", Show::Id(|dead| dead.id.to_string()), ALWAYS),
    ("EVENT", Show::Id(|dead| dead.event.to_string()), 2),
    ("ENDPOINT", Show::Text(|dead| dead.endpoint.clone()), ALWAYS),
    ("ATTEMPTS", Show::Number(|dead| Some(dead.attempts.into())), 1),
    ("GIVEN UP", Show::Time(|dead| dead.died_at), ALWAYS),
    ("REASON", Show::Text(|dead| optional(dead.reason.as_ref())), ALWAYS),
];
pub(super) const REPLAYS: Columns<ReplayView> = &[
    ("ID", Show::Number(|replay| Some(replay.id)), ALWAYS),
    ("SOURCE", Show::Text(|replay| optional(replay.source.as_ref())), ALWAYS),
    ("TYPE", Show::Text(|replay| optional(replay.event_type.as_ref())), ALWAYS),
    ("EVENT", Show::Text(|replay| optional(replay.event.as_ref())), 3),
    ("TO", Show::Text(|replay| optional(replay.to.as_ref())), ALWAYS),
    ("RATE", Show::Text(|replay| optional(replay.rate.as_ref())), 2),
    ("NEXT", Show::Number(|replay| Some(replay.next)), ALWAYS),
    ("END", Show::Number(|replay| Some(replay.end)), ALWAYS),
    ("STARTED", Show::Time(|replay| Some(replay.started_at)), 1),
];
pub(super) const SEGMENTS: Columns<SegmentView> = &[
    ("SEGMENT", Show::Number(|segment| Some(segment.number)), ALWAYS),
    ("FIRST", Show::Number(|segment| Some(segment.first)), ALWAYS),
    ("LAST", Show::Number(|segment| segment.last), ALWAYS),
    ("RECORDS", Show::Number(|segment| Some(segment.records)), 2),
    ("PAYLOAD", Show::Size(|segment| Some(segment.payload_bytes)), ALWAYS),
    ("ON DISK", Show::Size(|segment| Some(segment.bytes)), ALWAYS),
    ("CREATED", Show::Time(|segment| Some(segment.created_at)), 1),
    ("SEALED", Show::Time(|segment| segment.sealed_at), ALWAYS),
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
    let mut table = Table::on(out.terminal, now_ms(), columns);
    let listed = client.list(target, &mut |row| out.row(&mut table, &row));
    // A list that broke off is shown as far as it came.
    let ended = if listed.is_ok() || table.started() { out.end(&mut table, empty) } else { Ok(()) };
    listed.and(ended)
}

/// The same for one page of a list. On a terminal it says how to go on when the page is full;
/// `command` is what was typed.
pub(super) fn page<V: DeserializeOwned>(
    client: &AdminClient,
    out: &mut Output,
    target: &str,
    columns: Columns<V>,
    (command, page): (&str, &PageArgs),
    empty: &str,
) -> Result<(), CtlError> {
    out.print_tables(page.table);
    let mut table = Table::on(out.terminal, now_ms(), columns);
    let mut last = None;
    let listed = client.list(target, &mut |row| {
        last = row.view().ok().and_then(ListedRow::cursor);
        out.row(&mut table, &row)
    });
    let ended = if listed.is_ok() || table.started() { out.end(&mut table, empty) } else { Ok(()) };
    listed.and(ended)?;

    match last.filter(|_| table.rows() == page.limit && out.is_for_eyes()) {
        Some(id) => out.line(&format!(
            "{} rows. The next ones, with the same filter:\n  hookboxctl {command} --after {}",
            page.limit,
            table::clean(&id)
        )),
        None => Ok(()),
    }
}

/// What the next page of a list continues after.
#[derive(Deserialize)]
struct ListedRow {
    id: Option<String>,
    name: Option<String>,
    /// That of a refused request.
    number: Option<u64>,
}

impl ListedRow {
    fn cursor(self) -> Option<String> {
        self.id.or(self.name).or_else(|| self.number.map(|number| number.to_string()))
    }
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
