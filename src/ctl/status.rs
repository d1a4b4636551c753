//! `status`: the state of the daemon on one screen.

mod check;
mod fold;
mod worst;

use std::fmt::Write;

use super::answer::Answer;
use super::args::StatusArgs;
use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::show;
use super::table::{clean, count, list, moment, size, span, text, time};
use super::terminal::Terminal;
use crate::api::views::{LogSpaceView, StatusView};
#[cfg(feature = "top")]
pub(super) use check::beside_endpoints;
pub(super) use check::verdict;
pub(super) use fold::folded;
pub(super) use worst::condition_lines;

pub(super) fn status(
    client: &AdminClient,
    out: &mut Output,
    args: &StatusArgs,
) -> Result<(), CtlError> {
    let status = client.get("/v1/status")?;
    if args.check {
        return check(out, &status);
    }
    let terminal = out.terminal;
    out.one(&status, |status| screen(status, terminal))
}

/// `metrics`: the page as it comes; on a terminal without what would act on it.
pub(super) fn metrics(client: &AdminClient, out: &mut Output) -> Result<(), CtlError> {
    let mut rest = Vec::new();
    match client.bytes("/metrics", &mut |part| out.shown(&mut rest, part))? {
        true => out.shown_rest(&mut rest),
        false => Err(CtlError::Refused("this daemon has no metrics".to_owned())),
    }
}

/// One line, and the exit code that says the same.
fn check(out: &mut Output, status: &Answer) -> Result<(), CtlError> {
    let verdict = verdict(&status.view()?);
    out.one(&Answer::of(&verdict)?, |verdict: &check::StatusVerdict| clean(&verdict.reason))?;
    match (verdict.ok, verdict.accepting) {
        (true, _) => Ok(()),
        (false, true) => out.finish().and(Err(CtlError::NotOk)),
        (false, false) => out.finish().and(Err(CtlError::NotAccepting)),
    }
}

/// The whole screen.
pub(super) fn screen(status: &StatusView, terminal: Terminal) -> String {
    let mut screen = Screen { text: String::new(), width: terminal.width };
    totals(status, &mut screen);
    obstacles(status, &mut screen);
    certificate(status, &mut screen);
    unusable(status, &mut screen);
    worst::show(status, &mut screen.text, terminal);
    deleted(status, &mut screen);
    shares(status, &mut screen);
    applied(status, &mut screen);
    disk(&status.log, &mut screen);
    screen.text
}

/// Lines with a label each.
struct Screen {
    text: String,
    /// Columns, where lines have to fit.
    width: Option<usize>,
}

/// Columns of a label, and of the space behind it.
const LABEL: usize = 11;

impl Screen {
    fn line(&mut self, label: &str, text: &str) {
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(LABEL));
        let mut label = label;
        for line in folded(text, room) {
            let _ = writeln!(self.text, "{label:<10} {line}");
            label = "";
        }
    }
}

/// What was received, and where the deliveries made from it stand.
fn totals(status: &StatusView, screen: &mut Screen) {
    let uptime = match status.uptime_s {
        0 => "0s".to_owned(),
        seconds => span(seconds * 1000),
    };
    let accepting = match &status.reason {
        _ if status.accepting => "accepting".to_owned(),
        Some(reason) => format!("NOT ACCEPTING ({})", clean(reason)),
        None => "NOT ACCEPTING".to_owned(),
    };
    screen.line("hookbox", &format!("{}, up {uptime}, {accepting}", status.version));
    screen.line("listening", &list(&status.listen));

    received(status, screen);

    let deliveries = &status.deliveries;
    let endpoints = count(status.endpoints, "endpoint");
    let (delivered, in_flight) = (deliveries.delivered, deliveries.in_flight);
    screen.line("sent", &format!("{delivered} delivered, {in_flight} in flight, {endpoints}"));

    let (pending, retrying) = (deliveries.pending, deliveries.retrying);
    let held = deliveries.held;
    screen.line("waiting", &format!("{pending} pending ({retrying} for a retry), {held} held"));

    let dead = count(deliveries.dead, "dead letter");
    let (failed, attempts) = (status.failed_attempts, status.attempts);
    screen.line("failed", &format!("{dead}, {failed} of {attempts} attempts"));
}

/// What senders posted: accepted, repeated, refused.
fn received(status: &StatusView, screen: &mut Screen) {
    let (events, duplicates) =
        (count(status.events, "event"), count(status.duplicates, "duplicate"));
    let sources = count(status.sources, "source");
    screen.line("received", &format!("{events}, {duplicates}, {sources}"));

    let conflicts = status.dedupe_conflicts;
    if conflicts > 0 {
        let text =
            format!("{conflicts} with the dedupe key of an earlier event, but other content");
        screen.line("", &text);
    }
    if !status.refused.is_empty() {
        let kinds = status.refused.iter().map(|(kind, count)| format!("{count} {}", clean(kind)));
        screen.line("refused", &kinds.collect::<Vec<_>>().join(", "));
    }
}

/// What keeps deliveries waiting: the link, the clock, endpoints that fail or catch up.
fn obstacles(status: &StatusView, screen: &mut Screen) {
    let link = &status.link;
    if !link.online {
        let since = moment(link.offline_since, now_ms());
        let probe = time(link.next_probe_at, now_ms());
        let away = count(link.endpoints_away, "endpoint");
        let text = format!("OFFLINE since {since}, next probe {probe}, {away} not reachable");
        screen.line("link", &text);
    }

    if status.clock.suspect {
        let wait = status.clock.waiting_until.map(|until| {
            let until = time(Some(until), now_ms());
            format!(": signed deliveries wait for a plausible clock, until {until} at most")
        });
        screen.line("clock", &format!("SUSPECT{}", wait.unwrap_or_default()));
    }

    let counts = [
        (status.breakers_open, "open breaker", ""),
        (status.parked_lanes, "parked lane", ""),
        (status.catching_up, "endpoint", " catching up"),
        (status.replays, "replay", ""),
    ];
    let shown = counts
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, noun, what)| count(number, noun) + what)
        .collect::<Vec<_>>();
    if !shown.is_empty() {
        screen.line("pacing", &shown.join(", "));
    }
}

/// The certificate of TLS listeners, when its time is over or nearly so.
fn certificate(status: &StatusView, screen: &mut Screen) {
    let Some(own) = &status.certificate else { return };
    if let Some(warning) = &own.warning {
        let label = if own.valid { "tls" } else { "TLS" };
        screen.line(label, &clean(warning));
    }
}

/// Sources that refuse every request.
fn unusable(status: &StatusView, screen: &mut Screen) {
    let mut label = "REFUSING";
    for one in &status.unusable_sources {
        let (name, why) = (clean(&one.source), clean(&one.reason));
        screen.line(label, &format!("source {name} refuses every request: {why}"));
        let _ = writeln!(screen.text, "{:<10} > hookboxctl source show {name}", "");
        label = "";
    }
    if status.unusable > status.unusable_sources.len() {
        let more = count(status.unusable - status.unusable_sources.len(), "more source");
        screen.line(label, &format!("and {more}"));
    }
}

/// Deleted endpoints that have dead letters, which belong to none that is listed.
fn deleted(status: &StatusView, screen: &mut Screen) {
    let mut label = "deleted";
    for one in &status.deleted_with_dead {
        let (name, dead) = (clean(&one.endpoint), count(one.dead, "dead letter"));
        screen.line(label, &format!("{name}: {dead} of an endpoint that was deleted"));
        let _ = writeln!(screen.text, "{:<10} > {}", "", clean(&one.command));
        label = "";
    }
}

/// The files that were applied at the start, and what is different from them by now.
fn applied(status: &StatusView, screen: &mut Screen) {
    let Some(applied) = &status.applied else { return };
    let files = count(applied.files.len() as u64, "file");
    let done = match &applied.error {
        Some(error) => format!("NOTHING of {files} at the start: {}", clean(error)),
        None => format!("{files} at the start, {} changed", applied.changed),
    };
    screen.line("applied", &done);
    if !applied.drift.is_empty() {
        let drift: Vec<String> = applied.drift.iter().map(|what| clean(what)).collect();
        screen.line("drift", &drift.join(", "));
    }
}

/// Who has reached the limit of something that all share: a sentence each.
fn shares(status: &StatusView, screen: &mut Screen) {
    let mut label = "shares";
    for full in &status.shares {
        let times = match full.count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let last = time(Some(full.last_at), now_ms());

        let (of, what, effect) = (clean(&full.of), clean(&full.what), clean(&full.effect));
        screen.line(label, &format!("{of} {what}: {effect} {times}, last {last}"));
        label = "";
    }
}

/// The log, the disk space that is left for it, and what is damaged in it.
fn disk(log: &LogSpaceView, screen: &mut Screen) {
    let left = match log.quota_bytes {
        0 => "no quota".to_owned(),
        quota => {
            let (left, quota) = (size(log.left_bytes), size(quota));
            let (reserve, free) = (size(log.reserve_bytes), size(log.free_bytes));
            format!(
                "{left} left of a quota of {quota} (reserve {reserve}), {free} free on the disk"
            )
        }
    };
    let level = match log.level.as_str() {
        "low" => "LOW: ",
        "refusing" => "FULL: ",
        "halted" => "FULL, no attempts are made: ",
        _ => "",
    };
    let segments = count(log.segments, "segment");
    screen.line("log", &format!("{} in {segments}", size(log.bytes)));
    screen.line("disk", &format!("{level}{left}"));

    if !log.over_share.is_empty() {
        let names = log.over_share.join(", ");
        let text = format!("{names}: more than their share of the disk space, which is scarce");
        screen.line("REFUSED", &text);
    }
    for damage in &log.damage {
        let (first, last, what) = (damage.first, damage.last, text(&damage.what));
        let label = if damage.acknowledged_at.is_some() { "damaged" } else { "DAMAGED" };
        let known = show::known(damage);
        screen.line(label, &format!("records {first} to {last}{known}: {what}"));
    }
}
