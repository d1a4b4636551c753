//! Lists, printed row by row as they arrive.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::args::{DeliveryFilterArgs, EventFilterArgs, PageArgs};
use super::client::{AdminClient, ListEnd};
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
    ("ATTEMPTS", Show::Number(|delivery| delivery.attempts.map(u64::from)), 1),
    ("DUE", Show::Time(|delivery| delivery.due_at), ALWAYS),
];
pub(super) const DEAD: Columns<DeliveryView> = &[
    ("ID", Show::Id(|dead| dead.id.to_string()), ALWAYS),
    ("EVENT", Show::Id(|dead| dead.event.to_string()), 2),
    ("ENDPOINT", Show::Text(|dead| dead.endpoint.clone()), ALWAYS),
    ("ATTEMPTS", Show::Number(|dead| dead.attempts.map(u64::from)), 1),
    ("GIVEN UP", Show::Time(|dead| dead.died_at), ALWAYS),
    ("REASON", Show::Text(|dead| last_first(dead.reason.as_deref().unwrap_or_default())), ALWAYS),
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
    ("ENDED", Show::Text(|replay| optional(replay.ended.as_ref())), ALWAYS),
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

/// Why a delivery was given up, the last failure first: what stands behind it may be cut.
fn last_first(reason: &str) -> String {
    match reason.split_once("; the last: ") {
        Some((many, last)) => format!("{last} ({many})"),
        None => reason.to_owned(),
    }
}

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

/// The same for one page of a list. On a terminal it says how many rows there are, and how to go
/// on; `command` is what was typed.
pub(super) fn page<V: DeserializeOwned>(
    client: &AdminClient,
    out: &mut Output,
    target: &str,
    columns: Columns<V>,
    (command, page): (&str, &PageArgs),
    empty: &str,
) -> Result<(), CtlError> {
    out.print_tables(page.table);
    if !out.is_for_eyes() {
        return list(client, out, target, columns, empty);
    }

    let mut table = Table::on(out.terminal, now_ms(), columns);
    let mut shown = ShownPage::default();
    let listed = client.list_part(&one_more(target, page.limit), &mut |row| {
        if shown.rows == page.limit {
            shown.has_others = true;
            return Ok(());
        }
        shown.rows += 1;
        shown.last = row.view().ok().and_then(ListedRow::cursor);
        out.row(&mut table, &row)
    });
    let is_cut = matches!(&listed, Ok(ListEnd { more: Some(_), .. }));
    let empty = if is_cut { "None found so far." } else { empty };
    let ended = if listed.is_ok() || table.started() { out.end(&mut table, empty) } else { Ok(()) };
    let end = listed.and_then(|end| ended.map(|()| end))?;
    shown.footer(&end, command).map_or(Ok(()), |footer| out.line(&footer))
}

/// The list with one row more, which says whether there are others behind the page.
fn one_more(target: &str, limit: u64) -> String {
    let (one, more) = (format!("limit={limit}"), format!("limit={}", limit.saturating_add(1)));
    let pairs = |query: &str| {
        let pairs = query.split('&').map(|pair| if pair == one { more.as_str() } else { pair });
        pairs.collect::<Vec<_>>().join("&")
    };
    match target.split_once('?') {
        Some((base, query)) => format!("{base}?{}", pairs(query)),
        None => target.to_owned(),
    }
}

/// What was shown of a list.
#[derive(Debug, Default)]
struct ShownPage {
    rows: u64,
    /// What the next page continues after.
    last: Option<String>,
    /// There are rows behind the page.
    has_others: bool,
}

impl ShownPage {
    /// How much of the list this was, and how it goes on; nothing when it was all.
    fn footer(&self, end: &ListEnd, command: &str) -> Option<String> {
        let rows = grouped(self.rows);
        let (what, after) = match (&end.more, &self.last) {
            (Some(more), _) if !self.has_others => {
                let to = more.looked_back_to.map(|at| format!(" to {}", table::local(at.0)));
                let to = to.unwrap_or_default();
                (format!("Shown {rows}, looked back{to}; there may be more.\n"), &more.after)
            }
            (_, Some(last)) if self.has_others => {
                let total = end.total.filter(|total| *total > self.rows);
                let of = total.map_or_else(|| format!("more than {rows}"), grouped);
                (format!("Shown {rows} of {of}. "), last)
            }
            _ => return None,
        };
        let after = table::clean(after);
        Some(format!(
            "{what}Go on with the same filter and:\n  hookboxctl {command} --after {after}"
        ))
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
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

#[cfg(test)]
mod tests {
    use super::{ListEnd, ShownPage, grouped, last_first, one_more};
    use crate::api::values::Time;
    use crate::api::views::MoreView;

    fn page(rows: u64, has_others: bool) -> ShownPage {
        ShownPage { rows, last: Some("dlv_1".to_owned()), has_others }
    }

    #[test]
    fn of_why_it_was_given_up_the_last_failure_stands_first() {
        let reason = "12 of 12 attempts failed; the last: answered 500";
        assert_eq!(last_first(reason), "answered 500 (12 of 12 attempts failed)");
        assert_eq!(last_first("answered 410 Gone"), "answered 410 Gone");
    }

    #[test]
    fn a_page_says_how_much_of_the_list_it_is() {
        let footer = |page: ShownPage, total| {
            let end = ListEnd { total, more: None };
            page.footer(&end, "delivery list").unwrap_or_default()
        };
        let known = footer(page(50, true), Some(1_234));
        assert!(known.starts_with("Shown 50 of 1,234. "), "{known}");
        assert!(known.ends_with("\n  hookboxctl delivery list --after dlv_1"), "{known}");
        let unknown = footer(page(50, true), None);
        assert!(unknown.starts_with("Shown 50 of more than 50. "), "{unknown}");
        // It was counted a moment ago.
        assert!(footer(page(50, true), Some(49)).starts_with("Shown 50 of more than 50. "));
        assert_eq!(footer(page(50, false), Some(50)), "", "that was all");
    }

    #[test]
    fn a_page_says_how_far_was_looked() {
        let more = MoreView { after: "77".to_owned(), looked_back_to: Some(Time(0)) };
        let end = ListEnd { total: Some(9), more: Some(more) };
        let footer = page(2, false).footer(&end, "event list").expect("a footer");
        assert!(footer.starts_with("Shown 2, looked back to 19"), "{footer}");
        assert!(footer.contains("; there may be more.\n") && footer.ends_with("--after 77"));
    }

    #[test]
    fn one_row_more_is_asked_for_than_is_shown() {
        assert_eq!(one_more("/v1/x?a=limit%3D5&limit=5", 5), "/v1/x?a=limit%3D5&limit=6");
        assert_eq!(one_more("/v1/x", 5), "/v1/x");
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
