//! `endpoint show`: the condition first, then what somebody has set.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::answer::Whole;
use super::clock::now_ms;
use super::fields::fields;
use super::status;
use super::table::{clean, moment};
use super::terminal::Terminal;
use crate::api::EndpointSpec;
use crate::api::views::{EndpointCondition, EndpointView, Tolerant, WorstView};
use crate::model::Endpoint;

/// What the first lines say.
const SAID_ABOVE: &[&str] = &[
    "name",
    "state",
    "condition",
    "held_reason",
    "held_at",
    "waiting",
    "dead",
    "last_error",
    "last_answer",
    "troubled_since",
    "breaker_opened_at",
    "next_probe_at",
    "lagging_since",
    "oldest_waiting_at",
    "lag_ms",
    "delivered",
    "last_success_at",
    "failing_ms",
    "failures_in_row",
];

/// The condition in sentences; below them the settings that are not the defaults, or with `all`
/// every field there is.
pub(super) fn screen(endpoint: &Whole<EndpointView>, all: bool, terminal: Terminal) -> String {
    let mut screen = condition(&endpoint.view, terminal);
    screen.push('\n');
    if all {
        return screen + &fields(&endpoint.fields);
    }

    let defaults = defaults(&endpoint.view.name);
    let shown = endpoint.fields.iter().filter(|(name, value)| {
        let is_default = match defaults.get(*name) {
            Some(default) => default == *value,
            None => is_nothing(value),
        };
        !is_default && !SAID_ABOVE.contains(&name.as_str())
    });
    let shown: Map<String, Value> =
        shown.map(|(name, value)| (name.clone(), value.clone())).collect();
    screen + &fields(&shown) + "(settings with their defaults are left out: --all shows them)\n"
}

/// What is wrong, since when, what the receiver said; how much was delivered.
fn condition(endpoint: &EndpointView, terminal: Terminal) -> String {
    let Some(activity) = &endpoint.activity else { return clean(&endpoint.name) + "\n" };
    let mut screen = String::new();
    let is_well = matches!(
        activity.condition,
        Tolerant::Known(EndpointCondition::Active | EndpointCondition::CatchingUp)
    );

    let summary = WorstView {
        endpoint: endpoint.name.clone(),
        condition: activity.condition.clone(),
        held_reason: endpoint.held_reason.clone(),
        // An earlier version of the daemon does not say the first.
        since: activity
            .troubled_since
            .or(endpoint.held_at)
            .or(activity.breaker_opened_at)
            .or(activity.lagging_since),
        waiting: activity.waiting,
        dead: activity.dead,
        oldest_waiting_at: endpoint.lag.and_then(|lag| lag.oldest_waiting_at),
        last_error: activity.last_error.clone(),
        last_answer: activity.last_answer.clone(),
        next_probe_at: activity.next_probe_at,
        command: String::new(),
    };
    let is_well = is_well && activity.failures_in_row == 0;
    for line in status::condition_lines(&summary, is_well, terminal) {
        let _ = writeln!(screen, "{line}");
    }

    if activity.failures_in_row > 0 {
        let _ = writeln!(screen, "failures in a row: {}", activity.failures_in_row);
    }
    let last = activity.last_success_at.map(|at| moment(Some(at), now_ms()));
    let last = last.map(|last| format!(", the last {last}")).unwrap_or_default();
    let _ = writeln!(screen, "delivered: {}{last}", activity.delivered);
    screen
}

/// The settings of an endpoint with which nothing was said but its URL.
fn defaults(name: &str) -> Map<String, Value> {
    let spec = EndpointSpec::of(&Endpoint::new(name, ""));
    match serde_json::to_value(spec) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

/// Whether a field that is not a setting says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}
