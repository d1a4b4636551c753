//! The endpoints that need somebody most: what is wrong, since when, what the receiver said, and
//! what to type.

use std::fmt::Write;

use super::fold::folded;
use crate::api::views::{EndpointCondition, StatusView, Tolerant, WorstView};
use crate::ctl::clock::now_ms;
use crate::ctl::screen_text::cut;
use crate::ctl::table::{clean, count, moment, span, time};
use crate::ctl::terminal::{Terminal, Tone};
use crate::model::HoldReason;

/// Where the text begins, behind the label.
const INDENT: usize = 11;
/// Columns of a line that does not go to a terminal.
const WIDTH: usize = 160;
/// Lines for what the receiver said.
const ERROR_LINES: usize = 2;

/// A few lines for each endpoint. None is wider than the terminal but for the commands, which are
/// for copying; of what is longer nothing is cut but the receiver's words.
pub(super) fn show(status: &StatusView, screen: &mut String, terminal: Terminal) {
    let columns = terminal.width.unwrap_or(WIDTH).saturating_sub(INDENT);
    let mut label = "worst";
    for worst in &status.worst {
        for line in lines(worst, now_ms(), columns) {
            let _ = writeln!(screen, "{label:<10} {}", painted(&line, worst, terminal));
            label = "";
        }
        let _ = writeln!(screen, "{label:<10} > {}", clean(&worst.command));
    }

    let others = status.troubled.saturating_sub(status.worst.len());
    if others > 0 {
        let list = "hookboxctl endpoint list --state troubled";
        let _ = writeln!(screen, "{label:<10} and {others} more: {list}");
    }
}

/// What is wrong and what the receiver said in one line, for `status --check`.
pub(super) fn headline(worst: &WorstView, now_ms: u64) -> String {
    let line = sentence(worst, &what(worst), now_ms);
    match said(worst) {
        Some(words) => format!("{line}: {words}"),
        None => line,
    }
}

/// The condition of one endpoint: a line, and what the receiver said unless all is well.
pub(in crate::ctl) fn condition_lines(
    endpoint: &WorstView,
    is_well: bool,
    terminal: Terminal,
) -> Vec<String> {
    let (now_ms, columns) = (now_ms(), terminal.width.unwrap_or(WIDTH));
    if is_well && endpoint.dead == 0 {
        let line = sentence(endpoint, &clean(&endpoint.condition.to_string()), now_ms);
        return folded(&line, columns);
    }
    lines(endpoint, now_ms, columns)
}

/// What is wrong; how much waits, and for how long; since when. The most important stands first.
fn sentence(worst: &WorstView, what: &str, now_ms: u64) -> String {
    let name = clean(&worst.endpoint);
    let mut parts = vec![format!("{name}: {what}")];
    if worst.waiting > 0 {
        let oldest = worst.oldest_waiting_at.map(|at| now_ms.saturating_sub(at.0));
        let oldest = oldest.map(|age| format!(" for up to {}", span(age)));
        parts.push(format!("{} waiting{}", worst.waiting, oldest.unwrap_or_default()));
    }
    if worst.dead > 0 {
        parts.push(count(worst.dead, "dead letter"));
    }
    if worst.since.is_some() {
        parts.push(format!("since {}", moment(worst.since, now_ms)));
    }
    parts.join(", ")
}

/// The last error, with what the receiver answered then.
fn said(worst: &WorstView) -> Option<String> {
    let words = [worst.last_error.as_deref(), worst.last_answer.as_deref()];
    let words: Vec<String> = words.into_iter().flatten().map(clean).collect();
    (!words.is_empty()).then(|| words.join(": "))
}

fn lines(worst: &WorstView, now_ms: u64, columns: usize) -> Vec<String> {
    let mut lines = folded(&sentence(worst, &what(worst), now_ms), columns);
    if let Some(words) = said(worst) {
        // A word may be longer than a line.
        let words = folded(&cut(&words, columns * ERROR_LINES), columns);
        lines.extend(words.iter().map(|line| cut(line, columns)));
    }
    if let Some(at) = worst.next_probe_at {
        lines.push(match at.0 <= now_ms && worst.waiting == 0 {
            true => "nothing waits: it is probed with the next event".to_owned(),
            false => format!("next probe {}", time(Some(at), now_ms)),
        });
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
