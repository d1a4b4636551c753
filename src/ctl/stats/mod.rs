//! `stats`: what the daemon did and how it stood, over time.

#[cfg(feature = "plot")]
mod plot;
mod screen;
#[cfg(test)]
mod tests;

pub(super) use screen::screen;

use std::fs;
use std::path::Path;

use super::args::StatsArgs;
use super::client::{self, AdminClient};
use super::error::CtlError;
use super::fresh_file::replace;
use super::output::Output;
use super::sparkline::{ASCII, Ramp};
use super::table::{ALWAYS, Columns, Show, Table, local_short, span};
use crate::api::views::{HistoryRowView, HistoryView};

/// A line for each step.
const ROWS: Columns<HistoryRowView> = &[
    ("BEGIN", Show::Id(|row| local_short(row.at.0)), ALWAYS),
    ("ACCEPTED", Show::Number(|row| row.accepted), ALWAYS),
    ("REFUSED", Show::Number(|row| row.refused), 3),
    ("DELIVERED", Show::Number(|row| row.delivered), ALWAYS),
    ("FAILED", Show::Number(|row| row.failed), ALWAYS),
    ("DEAD", Show::Number(|row| row.dead), ALWAYS),
    ("PENDING", Show::Number(|row| row.pending), 1),
    ("OLDEST", Show::Id(|row| duration(row.oldest_s.map(|s| s.saturating_mul(1000)))), 2),
    ("P50", Show::Id(|row| duration(row.latency_p50_ms)), 4),
    ("P99", Show::Id(|row| duration(row.latency_p99_ms)), 2),
    ("COMMIT", Show::Id(|row| duration(row.commit_p99_ms)), 5),
    ("DISK", Show::Size(|row| row.disk_bytes), 6),
];

pub(super) fn stats(
    client: &AdminClient,
    out: &mut Output,
    args: &StatsArgs,
) -> Result<(), CtlError> {
    if out.json && args.svg.is_some() {
        return Err(CtlError::Usage(
            "--json and --svg exclude each other: give only one".to_owned(),
        ));
    }
    if args.svg.is_some() && !cfg!(feature = "plot") {
        return Err(CtlError::Usage(NO_PLOTS.to_owned()));
    }

    let params = [
        ("since", Some(args.since.clone())),
        ("until", args.until.clone()),
        ("step", args.step.clone()),
        ("endpoint", args.endpoint.clone()),
    ];
    let answer = client.get(&client::path("/v1/history", &params))?;
    if let Some(file) = &args.svg {
        return draw(out, &answer.view()?, file);
    }
    if args.rows && !out.json {
        return rows(out, &answer.view()?);
    }

    let ramp = if args.ascii { ASCII } else { Ramp::of_environment() };
    let terminal = out.terminal;
    out.one(&answer, |history| screen(history, terminal, ramp))
}

const NO_PLOTS: &str = "this hookboxctl was built without plots: build it with the feature `plot` \
                        (cargo build --features plot), or draw what --json prints";

fn rows(out: &mut Output, history: &HistoryView) -> Result<(), CtlError> {
    let mut table = Table::on(out.terminal, history.until.0, ROWS);
    for row in &history.rows {
        out.row_of(&mut table, row)?;
    }
    out.end(&mut table, "no steps")
}

/// Writes the drawing into a file, in the place of the one before: whoever draws every hour wants
/// the newest.
fn draw(out: &mut Output, history: &HistoryView, file: &Path) -> Result<(), CtlError> {
    let drawing = drawing(history)?;
    if file == Path::new("-") {
        return out.raw(drawing.as_bytes());
    }

    // A link may lead anywhere, and a device is no place for a new file.
    if fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        let what = "is there already, and is no regular file: choose another name, or - for stdout";
        return Err(CtlError::Refused(format!("{} {what}", file.display())));
    }
    replace(file, drawing.as_bytes()).map_err(|error| CtlError::Io {
        what: format!("cannot write {}", file.display()),
        error,
    })?;
    out.line(&format!("drawn: {}", file.display()))
}

#[cfg(feature = "plot")]
fn drawing(history: &HistoryView) -> Result<String, CtlError> {
    plot::svg(history).map_err(|why| CtlError::Refused(format!("it cannot be drawn: {why}")))
}

#[cfg(not(feature = "plot"))]
fn drawing(_: &HistoryView) -> Result<String, CtlError> {
    Err(CtlError::Usage(NO_PLOTS.to_owned()))
}

fn duration(ms: Option<u64>) -> String {
    ms.map(span).unwrap_or_default()
}
