//! The views of `top`: their columns, and the rows that are made of what the daemon answered.

use std::collections::BTreeMap;

use super::data::TopData;
use super::shape::{AGES_MIN, shape};
use crate::api::views::{
    DeliveryView, EndpointActivityView, EndpointCondition, EndpointView, SourceView, TailView,
    Tolerant,
};
use crate::ctl::args::TopScreen;
use crate::ctl::table::{clean, local_short, relative, span};
use crate::ctl::terminal::Tone;
use crate::model::HoldReason;

/// A column: its title, its width (0: what is left), and whether it is a number.
#[derive(Clone, Copy, Debug)]
pub struct TopColumn {
    pub title: &'static str,
    pub width: usize,
    pub is_number: bool,
}

/// A row: what it is about, its cells, and how it is coloured.
#[derive(Clone, Debug)]
pub struct TopRow {
    pub key: String,
    pub cells: Vec<TopCell>,
    pub tone: Tone,
}

/// A text, and where it stands among others.
#[derive(Clone, Debug)]
pub struct TopCell {
    pub text: String,
    pub rank: CellRank,
}

/// Numbers stand by their size, texts by their letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CellRank {
    Number(u64),
    Text(String),
}

const fn text(title: &'static str, width: usize) -> TopColumn {
    TopColumn { title, width, is_number: false }
}

const fn number(title: &'static str, width: usize) -> TopColumn {
    TopColumn { title, width, is_number: true }
}

const ENDPOINTS: &[TopColumn] = &[
    text("NAME", 16),
    text("STATE", 11),
    number("WAITING", 7),
    number("OLDEST", 7),
    number("DEAD", 6),
    text("NEXT", 8),
    text("REASON", 0),
];
const SOURCES: &[TopColumn] = &[
    text("NAME", 16),
    text("VERIFY", 12),
    number("REFUSED", 8),
    text("LAST", 9),
    text("BY REASON", 0),
];
const DEAD: &[TopColumn] = &[
    text("ID", 26),
    text("ENDPOINT", 16),
    number("TRIES", 5),
    text("GIVEN UP", 9),
    text("REASON", 0),
];
const SHAPE: &[TopColumn] = &[
    text("ENDPOINT", 12),
    number("ALL", 6),
    number("<1m", 5),
    number("<5m", 5),
    number("<10m", 5),
    number("<20m", 5),
    number("<40m", 5),
    number("<80m", 5),
    number("<160", 5),
    number("<320", 5),
    number("<640", 5),
    number("640+", 5),
];
const TAIL: &[TopColumn] = &[text("TIME", 14), text("WHAT", 4), text("WHERE", 16), text("", 0)];

impl TopScreen {
    pub const ALL: [Self; 6] =
        [Self::Overview, Self::Endpoints, Self::Sources, Self::Tail, Self::Dead, Self::Shape];

    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Endpoints => "endpoints",
            Self::Sources => "sources",
            Self::Tail => "tail",
            Self::Dead => "dead",
            Self::Shape => "shape",
        }
    }

    /// Its place among all.
    pub fn place(self) -> usize {
        self as usize
    }

    pub fn columns(self) -> &'static [TopColumn] {
        match self {
            Self::Overview | Self::Endpoints => ENDPOINTS,
            Self::Sources => SOURCES,
            Self::Tail => TAIL,
            Self::Dead => DEAD,
            Self::Shape => SHAPE,
        }
    }

    /// The column by which it is sorted at first, and whether the largest stands first; `None`
    /// where rows stay as they come.
    pub fn sorted_by(self) -> Option<(usize, bool)> {
        match self {
            Self::Overview | Self::Endpoints => Some((1, false)),
            Self::Sources => Some((2, true)),
            Self::Tail | Self::Dead => None,
            Self::Shape => Some((1, true)),
        }
    }

    pub fn rows(self, data: &TopData) -> Vec<TopRow> {
        match self {
            Self::Overview => {
                let mut rows = endpoints(data);
                rows.retain(|row| row.tone != Tone::Good);
                rows
            }
            Self::Endpoints => endpoints(data),
            Self::Sources => data.sources.iter().map(|source| of_source(source, data)).collect(),
            Self::Tail => data.tail.iter().filter_map(of_tail).collect(),
            Self::Dead => data.dead.iter().map(|dead| of_dead_letter(dead, data)).collect(),
            Self::Shape => of_shape(data),
        }
    }
}

fn word(text: impl Into<String>) -> TopCell {
    let text = clean(&text.into());
    TopCell { rank: CellRank::Text(text.to_lowercase()), text }
}

fn count(value: u64) -> TopCell {
    TopCell { text: value.to_string(), rank: CellRank::Number(value) }
}

/// A text that stands by a number.
fn ranked(text: String, rank: u64) -> TopCell {
    TopCell { text: clean(&text), rank: CellRank::Number(rank) }
}

fn endpoints(data: &TopData) -> Vec<TopRow> {
    data.endpoints.iter().map(|endpoint| of_endpoint(endpoint, data)).collect()
}

fn of_endpoint(endpoint: &EndpointView, data: &TopData) -> TopRow {
    let activity = endpoint.activity.as_ref();
    let condition = activity.map(|activity| &activity.condition);
    let (waiting, dead) = activity.map_or((0, 0), |activity| (activity.waiting, activity.dead));
    let oldest_ms = oldest_ms(endpoint, data);
    let next = activity.and_then(|activity| {
        // Where nothing waits, the next event is the probe.
        let probe = activity.next_probe_at.filter(|at| waiting > 0 || at.0 > data.now_ms);
        [probe, activity.paused_until, activity.rate_next_at].into_iter().flatten().next()
    });
    let fails = activity.is_some_and(|now| now.failures_in_row > 0 && now.waiting > 0);
    let reason = activity.filter(|now| fails || !is_well(Some(&now.condition), now.dead));
    let reason = endpoint
        .held_reason
        .as_ref()
        .map(held_words)
        .or_else(|| in_words(reason?, &endpoint.name, data));

    TopRow {
        key: endpoint.name.clone(),
        tone: match is_well(condition, dead) {
            true if fails => Tone::Waiting,
            true => Tone::Good,
            false => condition.map_or(Tone::Plain, |known| match dead {
                0 => Tone::of(&known.to_string()),
                _ => Tone::Bad,
            }),
        },
        cells: vec![
            word(&endpoint.name),
            ranked(
                condition.map(ToString::to_string).unwrap_or_default(),
                trouble(condition, dead, fails),
            ),
            count(waiting),
            ranked(if oldest_ms > 0 { span(oldest_ms) } else { "-".to_owned() }, oldest_ms),
            count(dead),
            ranked(
                next.map_or_else(|| "-".to_owned(), |at| relative(at.0, data.now_ms)),
                next.map_or(u64::MAX, |at| at.0),
            ),
            word(reason.unwrap_or_default()),
        ],
    }
}

/// Why it is on hold. Its beginning says it where there are no columns for more.
fn held_words(reason: &Tolerant<HoldReason>) -> String {
    match reason {
        Tolerant::Known(HoldReason::Gone) => "answered 410 Gone".to_owned(),
        Tolerant::Known(reason) => reason.words().to_owned(),
        other => other.to_string(),
    }
}

/// How long its oldest delivery has waited by the daemon's clock, which may be that of another
/// machine: as `status` has it, where it does, for it has read the delivery's record.
fn oldest_ms(endpoint: &EndpointView, data: &TopData) -> u64 {
    let Some(lag) = endpoint.lag else { return 0 };
    let mut worst = data.status.iter().flat_map(|status| &status.worst);
    let named = worst.find(|worst| worst.endpoint == endpoint.name);
    let since = named.and_then(|worst| worst.oldest_waiting_at);
    match (since, lag.oldest_waiting_at) {
        (Some(since), Some(at)) => (at.0 + lag.lag_ms).saturating_sub(since.0),
        _ => lag.lag_ms,
    }
}

/// The last error, with what the receiver answered where the list has it, or else `status`.
fn in_words(activity: &EndpointActivityView, name: &str, data: &TopData) -> Option<String> {
    let error = activity.last_error.as_ref()?;
    let mut worst = data.status.iter().flat_map(|status| &status.worst);
    let named = worst.find(|worst| worst.endpoint == name);
    let answer = activity.last_answer.as_ref().or_else(|| named?.last_answer.as_ref());
    Some(match answer.filter(|answer| !answer.is_empty()) {
        Some(answer) => format!("{error}: {answer}"),
        None => error.clone(),
    })
}

fn is_well(condition: Option<&Tolerant<EndpointCondition>>, dead: u64) -> bool {
    matches!(condition, Some(Tolerant::Known(EndpointCondition::Active))) && dead == 0
}

/// Who needs somebody most stands first.
fn trouble(condition: Option<&Tolerant<EndpointCondition>>, dead: u64, fails: bool) -> u64 {
    let Some(Tolerant::Known(condition)) = condition else { return 8 };
    match condition {
        EndpointCondition::Failing => 0,
        EndpointCondition::Parked => 1,
        EndpointCondition::Held => 2,
        EndpointCondition::Offline => 3,
        EndpointCondition::Lagging => 4,
        EndpointCondition::Active if dead > 0 => 5,
        EndpointCondition::Active if fails => 6,
        EndpointCondition::CatchingUp => 7,
        EndpointCondition::Active => 8,
    }
}

fn of_source(source: &SourceView, data: &TopData) -> TopRow {
    let refused: BTreeMap<String, u64> = source.refused.clone().unwrap_or_default();
    let all: u64 = refused.values().sum();
    let mut reasons: Vec<(&String, &u64)> = refused.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons: Vec<String> =
        reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let last = source.last_refused_at;
    let (tone, reasons) = match &source.unusable {
        Some(why) => (Tone::Bad, format!("EVERY REQUEST: {why}")),
        None if all > 0 => (Tone::Waiting, reasons.join(", ")),
        None => (Tone::Good, String::new()),
    };

    TopRow {
        key: source.name.clone(),
        tone,
        cells: vec![
            word(&source.name),
            word(source.settings.verify.as_ref().map(ToString::to_string).unwrap_or_default()),
            count(all),
            ranked(
                last.map_or_else(|| "-".to_owned(), |at| relative(at.0, data.now_ms)),
                last.map_or(0, |at| at.0),
            ),
            word(reasons),
        ],
    }
}

fn of_dead_letter(dead: &DeliveryView, data: &TopData) -> TopRow {
    let died = dead.died_at;
    // How often it was tried has a column of its own.
    let reason = dead.reason.as_deref().unwrap_or_default();
    let reason = reason.split_once("; the last: ").map_or(reason, |(_, last)| last);
    TopRow {
        key: dead.id.to_string(),
        tone: Tone::Bad,
        cells: vec![
            word(dead.id.to_string()),
            word(&dead.endpoint),
            count(dead.attempts.unwrap_or(0).into()),
            ranked(
                died.map_or_else(|| "-".to_owned(), |at| relative(at.0, data.now_ms)),
                died.map_or(0, |at| at.0),
            ),
            word(reason),
        ],
    }
}

fn of_shape(data: &TopData) -> Vec<TopRow> {
    let rows = shape(&data.waiting, data.now_ms).into_iter();
    rows.map(|(name, row)| {
        let oldest = row.by_age.iter().rposition(|count| *count > 0).unwrap_or(0);
        let ages = row.by_age.iter().map(|count| match count {
            0 => ranked(".".to_owned(), 0),
            count => self::count(*count),
        });
        TopRow {
            key: name.clone(),
            tone: if oldest >= AGES_MIN.len() / 2 { Tone::Waiting } else { Tone::Plain },
            cells: [word(name), count(row.total)].into_iter().chain(ages).collect(),
        }
    })
    .collect()
}

fn of_tail(line: &(u64, TailView)) -> Option<TopRow> {
    let (number, line) = line;
    // With the day: the last line may be of yesterday.
    let time = |at: u64| word(local_short(at));
    let row = |key: String, tone, cells: [TopCell; 4]| TopRow { key, tone, cells: cells.into() };

    Some(match line {
        TailView::Event { at, id, source, event_type, size, deliveries } => row(
            format!("{number} {id}"),
            Tone::Plain,
            [
                time(at.0),
                word("in"),
                word(source),
                word(format!("{event_type} {size} B to {deliveries}, {id}")),
            ],
        ),
        TailView::Duplicate { at, id, source, event_seq } => {
            let first =
                id.as_ref().map_or_else(|| format!("record {event_seq}"), ToString::to_string);
            let source = source.clone().unwrap_or_default();
            row(
                format!("{number} duplicate"),
                Tone::Plain,
                [time(at.0), word("in"), word(source), word(format!("duplicate of {first}"))],
            )
        }
        TailView::Attempt {
            at,
            delivery,
            endpoint,
            number: attempt,
            duration_ms,
            outcome,
            status,
            error,
            ..
        } => {
            let status = status.map(|status| status.to_string());
            let parts = [status, error.clone()].into_iter().flatten().collect::<Vec<_>>();
            let took = span(*duration_ms);
            let what = format!("{outcome} {} {took} attempt {attempt}", parts.join(": "));
            row(
                format!("{number} {delivery}"),
                Tone::of(outcome),
                [time(at.0), word("out"), word(endpoint), word(what)],
            )
        }
        TailView::Missed { lines } => row(
            format!("{number} missed"),
            Tone::Waiting,
            [word(""), word("-"), word(""), word(format!("{lines} lines were skipped"))],
        ),
    })
}
