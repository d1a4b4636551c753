//! The numbers and small plots of `stats`, a line for each figure.

use std::fmt::Write;

use crate::api::views::{HistoryRowView, HistoryView};
use crate::ctl::sparkline::{Joined, Ramp, fitted};
use crate::ctl::table::{clean, local, size, span};
use crate::ctl::terminal::Terminal;

/// How wide plots are in a pipe, and at most.
const WIDTH: usize = 80;
const PLOT_MAX: usize = 72;
const PLOT_MIN: usize = 8;
/// Columns of names and of numbers.
const NAME: usize = 12;
const NUMBER: usize = 9;

/// One figure: how it is read, what neighbours make together, how it is written.
struct Figure {
    name: &'static str,
    read: fn(&HistoryRowView) -> Option<u64>,
    joined: Joined,
    text: fn(u64) -> String,
    /// What stands under ALL: a sum, or the figure of the whole time.
    of_all: bool,
}

const fn count(name: &'static str, read: fn(&HistoryRowView) -> Option<u64>) -> Figure {
    Figure { name, read, joined: Joined::Sum, text: plain, of_all: true }
}

const FIGURES: &[Figure] = &[
    count("accepted", |row| row.accepted),
    count("refused", |row| row.refused),
    count("delivered", |row| row.delivered),
    count("failed", |row| row.failed),
    count("dead", |row| row.dead),
    Figure { joined: Joined::Most, of_all: false, ..count("pending", |row| row.pending) },
    Figure {
        joined: Joined::Most,
        of_all: false,
        text: |seconds| span(seconds.saturating_mul(1000)),
        ..count("oldest", |row| row.oldest_s)
    },
    Figure { joined: Joined::Most, text: span, ..count("latency p50", |row| row.latency_p50_ms) },
    Figure { joined: Joined::Most, text: span, ..count("latency p99", |row| row.latency_p99_ms) },
    Figure { joined: Joined::Most, text: span, ..count("commit p99", |row| row.commit_p99_ms) },
    Figure {
        joined: Joined::Most,
        of_all: false,
        text: size,
        ..count("disk", |row| row.disk_bytes)
    },
];

fn plain(number: u64) -> String {
    number.to_string()
}

/// The whole screen.
pub fn screen(history: &HistoryView, terminal: Terminal, ramp: Ramp) -> String {
    let mut text = String::new();
    let of = history.endpoint.as_deref().map(|name| format!("{}: ", clean(name)));
    let _ = writeln!(
        text,
        "{}{} in steps of {}, until {}",
        of.unwrap_or_default(),
        span(history.until.0.saturating_sub(history.since.0)),
        span(history.step_ms),
        local(history.until.0)
    );
    if let Some(note) = &history.note {
        let _ = writeln!(text, "{}", clean(note));
        return text;
    }

    let numbers = 3 * (NUMBER + 2);
    let width = terminal.width.unwrap_or(WIDTH).saturating_sub(NAME + numbers);
    let width = width.clamp(PLOT_MIN, PLOT_MAX).min(history.rows.len().max(PLOT_MIN));
    line(&mut text, ("", &" ".repeat(width), width), ["NOW", "MOST", "ALL"].map(str::to_owned));
    let kept = |figure: &&Figure| history.endpoint.is_none() || is_of_endpoints(figure);
    for figure in FIGURES.iter().filter(kept) {
        figure_line(&mut text, figure, history, (width, ramp));
    }
    text
}

fn is_of_endpoints(figure: &Figure) -> bool {
    !["refused", "commit p99", "disk"].contains(&figure.name)
}

fn figure_line(text: &mut String, figure: &Figure, history: &HistoryView, plot: (usize, Ramp)) {
    let (width, ramp) = plot;
    let values: Vec<Option<u64>> = history.rows.iter().map(figure.read).collect();
    let now = values.last().copied().flatten();
    let most = values.iter().flatten().copied().max();
    let all = (figure.read)(&history.total).filter(|_| figure.of_all);

    let drawn = ramp.line(&fitted(&values, width, figure.joined));
    let shown = [now, most, all].map(|value| value.map_or_else(|| "-".to_owned(), figure.text));
    line(text, (figure.name, &drawn, width), shown);
}

fn line(text: &mut String, (name, plot, width): (&str, &str, usize), numbers: [String; 3]) {
    let padding = " ".repeat(width.saturating_sub(plot.chars().count()));
    let _ = write!(text, "{name:<NAME$}{plot}{padding}");
    for number in numbers {
        let _ = write!(text, "  {number:>NUMBER$}");
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}
