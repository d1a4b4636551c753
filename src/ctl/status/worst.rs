//! The endpoints that need somebody most: what is wrong, since when, what the receiver said, and
//! what to type.

use std::fmt::Write;

use crate::api::views::{EndpointCondition, StatusView, Tolerant, WorstView};
use crate::ctl::clock::now_ms;
use crate::ctl::table::{clean, count, moment, span, time};
use crate::ctl::terminal::{Terminal, Tone};
use crate::model::HoldReason;
use crate::model::safe_text::shortened;

/// Where the text begins, behind the label.
const INDENT: usize = 11;
/// Columns of a line that does not go to a terminal.
const WIDTH: usize = 160;

/// A few lines for each endpoint. None is wider than the terminal but for the commands, which are
/// for copying.
pub(super) fn show(status: &StatusView, screen: &mut String, terminal: Terminal) {
    let width = terminal.width.unwrap_or(WIDTH).saturating_sub(INDENT);
    let mut label = "worst";
    for worst in &status.worst {
        for line in lines(worst, now_ms()) {
            let line = shortened(&line, width);
            let _ = writeln!(screen, "{label:<10} {}", painted(&line, worst, terminal));
            label = "";
        }
        let _ = writeln!(screen, "{label:<10} > {}", clean(&worst.command));
    }

    let others = status.troubled.saturating_sub(status.worst.len());
    if others > 0 {
        let _ = writeln!(screen, "{label:<10} and {others} more: hookboxctl endpoint list");
    }
}

/// What is wrong in one line, for the screen and for `status --check`.
pub(super) fn headline(worst: &WorstView, now_ms: u64) -> String {
    sentence(worst, &what(worst), now_ms)
}

/// The condition of one endpoint: a line, and what the receiver said unless all is well.
pub(in crate::ctl) fn condition_lines(endpoint: &WorstView, is_well: bool) -> Vec<String> {
    let now_ms = now_ms();
    if is_well && endpoint.dead == 0 {
        return vec![sentence(endpoint, &clean(&endpoint.condition.to_string()), now_ms)];
    }
    lines(endpoint, now_ms)
}

fn sentence(worst: &WorstView, what: &str, now_ms: u64) -> String {
    let name = clean(&worst.endpoint);
    let since = worst.since.map(|at| format!(" since {}", moment(Some(at), now_ms)));
    let mut parts = vec![format!("{name}: {what}{}", since.unwrap_or_default())];

    if worst.waiting > 0 {
        let oldest = worst.oldest_waiting_at.map(|at| now_ms.saturating_sub(at.0));
        let oldest = oldest.map(|age| format!(" for up to {}", span(age)));
        parts.push(format!("{} waiting{}", worst.waiting, oldest.unwrap_or_default()));
    }
    if worst.dead > 0 {
        parts.push(count(worst.dead, "dead letter"));
    }
    parts.join(", ")
}

fn lines(worst: &WorstView, now_ms: u64) -> Vec<String> {
    let mut lines = vec![headline(worst, now_ms)];
    let error = worst.last_error.as_deref().map(clean);
    let answer = worst.last_answer.as_deref().map(clean);
    let words: Vec<String> = [error, answer].into_iter().flatten().collect();
    if !words.is_empty() {
        lines.push(words.join(": "));
    }
    if worst.next_probe_at.is_some() {
        lines.push(format!("next probe {}", time(worst.next_probe_at, now_ms)));
    }
    lines
}

/// The condition in words.
fn what(worst: &WorstView) -> String {
    let Tolerant::Known(condition) = worst.condition else {
        return clean(&worst.condition.to_string());
    };

    match condition {
        EndpointCondition::Held => match &worst.held_reason {
            Some(Tolerant::Known(HoldReason::Operator)) => "held by the operator".to_owned(),
            Some(Tolerant::Known(reason)) => format!("held: {}", reason.words()),
            _ => "held".to_owned(),
        },
        EndpointCondition::Failing => "failing".to_owned(),
        EndpointCondition::Offline => "offline".to_owned(),
        EndpointCondition::Parked => "a lane waits for you".to_owned(),
        EndpointCondition::Lagging => "lags behind its warn_after".to_owned(),
        EndpointCondition::CatchingUp | EndpointCondition::Active if worst.dead > 0 => {
            "gave up deliveries".to_owned()
        }
        EndpointCondition::CatchingUp | EndpointCondition::Active => "attempts fail".to_owned(),
    }
}

/// The name stands out in the colour of the condition.
fn painted(line: &str, worst: &WorstView, terminal: Terminal) -> String {
    let name = clean(&worst.endpoint) + ":";
    match line.strip_prefix(&name) {
        Some(rest) => {
            let tone = match worst.condition {
                Tolerant::Known(EndpointCondition::Held | EndpointCondition::Lagging) => {
                    Tone::Waiting
                }
                _ => Tone::Bad,
            };
            terminal.paint(tone, &name) + rest
        }
        None => line.to_owned(),
    }
}
