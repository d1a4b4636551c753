//! `status`: the state of the daemon on one screen.

use std::fmt::Write;

use serde_json::Value;

use super::client::AdminClient;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{Show, cell, clean, count, size, span};

pub(super) fn status(client: &AdminClient, out: &mut Output) -> Result<(), CtlError> {
    let status = client.get("/v1/status")?;
    out.one(&status, screen)
}

/// The whole screen.
pub(super) fn screen(status: &Value) -> String {
    let mut screen = Screen::default();
    totals(status, &mut screen);
    obstacles(status, &mut screen);
    shares(status, &mut screen);
    disk(&status["log"], &mut screen);
    screen.0
}

/// Lines with a label each.
#[derive(Default)]
struct Screen(String);

impl Screen {
    fn line(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.0, "{label:<10} {text}");
    }
}

/// What was received, and where the deliveries made from it stand.
fn totals(status: &Value, screen: &mut Screen) {
    let uptime = match status["uptime_s"].as_u64().unwrap_or(0) {
        0 => "0s".to_owned(),
        seconds => span(seconds * 1000),
    };
    let version = status["version"].as_str().unwrap_or("?");
    let accepting = match status["accepting"] == false {
        true => {
            let reason = status["reason"].as_str().map(|reason| format!(" ({})", clean(reason)));
            format!("NOT ACCEPTING{}", reason.unwrap_or_default())
        }
        false => "accepting".to_owned(),
    };
    screen.line("hookbox", &format!("{version}, up {uptime}, {accepting}"));
    screen.line("listening", &cell(&status["listen"], Show::Text, 0));

    received(status, screen);

    let d = &status["deliveries"];
    let endpoints = count(&status["endpoints"], "endpoint");
    let (delivered, in_flight) = (&d["delivered"], &d["in_flight"]);
    screen.line("sent", &format!("{delivered} delivered, {in_flight} in flight, {endpoints}"));

    let (pending, retrying, held) = (&d["pending"], &d["retrying"], &d["held"]);
    screen.line("waiting", &format!("{pending} pending ({retrying} for a retry), {held} held"));

    let dead = count(&d["dead"], "dead letter");
    let (failed, attempts) = (&status["failed_attempts"], &status["attempts"]);
    screen.line("failed", &format!("{dead}, {failed} of {attempts} attempts failed"));
}

/// What senders posted: accepted, repeated, refused.
fn received(status: &Value, screen: &mut Screen) {
    let counts = [("events", "event"), ("duplicates", "duplicate"), ("sources", "source")]
        .map(|(field, noun)| count(&status[field], noun));
    screen.line("received", &counts.join(", "));

    if let Some(conflicts) = status["dedupe_conflicts"].as_u64().filter(|count| *count > 0) {
        let text =
            format!("{conflicts} with the dedupe key of an earlier event, but other content");
        screen.line("", &text);
    }
    if let Some(refused) = status["refused"].as_object().filter(|refused| !refused.is_empty()) {
        let kinds = refused.iter().map(|(kind, count)| format!("{count} {}", clean(kind)));
        screen.line("refused", &kinds.collect::<Vec<_>>().join(", "));
    }
}

/// What keeps deliveries waiting: the link, the clock, endpoints that fail or catch up.
fn obstacles(status: &Value, screen: &mut Screen) {
    let link = &status["link"];
    if link["online"] == false {
        let since = cell(&link["offline_since"], Show::Time, now_ms());
        let probe = cell(&link["next_probe_at"], Show::Time, now_ms());
        let away = count(&link["endpoints_away"], "endpoint");
        let text = format!("OFFLINE since {since}, next probe {probe}, {away} not reachable");
        screen.line("link", &text);
    }

    let clock = &status["clock"];
    if clock["suspect"] == true {
        let wait = clock["waiting_until"].as_str().map(|_| {
            let until = cell(&clock["waiting_until"], Show::Time, now_ms());
            format!(": signed deliveries wait for a plausible clock, until {until} at most")
        });
        screen.line("clock", &format!("SUSPECT{}", wait.unwrap_or_default()));
    }

    let counts = [
        ("breakers_open", "open breaker", ""),
        ("parked_lanes", "parked lane", ""),
        ("catching_up", "endpoint", " catching up"),
        ("replays", "replay", ""),
    ];
    let shown = counts
        .iter()
        .filter(|(field, ..)| status[*field].as_u64().is_some_and(|count| count > 0))
        .map(|(field, noun, what)| count(&status[*field], noun) + what)
        .collect::<Vec<_>>();
    if !shown.is_empty() {
        screen.line("pacing", &shown.join(", "));
    }
}

/// Who has reached the limit of something that all share: a sentence each.
fn shares(status: &Value, screen: &mut Screen) {
    let mut label = "shares";
    for full in status["shares"].as_array().into_iter().flatten() {
        let text = |field: &str| clean(full[field].as_str().unwrap_or("?"));
        let times = match full["count"].as_u64().unwrap_or(0) {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let last = cell(&full["last_at"], Show::Time, now_ms());

        let (of, what, effect) = (text("of"), text("what"), text("effect"));
        screen.line(label, &format!("{of} {what}: {effect} {times}, last {last}"));
        label = "";
    }
}

/// The log, the disk space that is left for it, and what is damaged in it.
fn disk(log: &Value, screen: &mut Screen) {
    let used = log["bytes"].as_u64().unwrap_or(0);
    let quota = log["quota_bytes"].as_u64().unwrap_or(0);
    let left = match (quota, log["left_bytes"].as_u64()) {
        (0, _) => "no quota".to_owned(),
        (quota, None) => format!("{} of {} left", size(quota.saturating_sub(used)), size(quota)),
        (quota, Some(left)) => {
            let free = size(log["free_bytes"].as_u64().unwrap_or(0));
            let reserve = size(log["reserve_bytes"].as_u64().unwrap_or(0));
            let (left, quota) = (size(left), size(quota));
            format!(
                "{left} left of a quota of {quota} (reserve {reserve}), {free} free on the disk"
            )
        }
    };
    let level = match log["level"].as_str() {
        Some("low") => "LOW: ",
        Some("refusing") => "FULL: ",
        Some("halted") => "FULL, no attempts are made: ",
        _ => "",
    };
    let segments = count(&log["segments"], "segment");
    screen.line("log", &format!("{} in {segments}", size(used)));
    screen.line("disk", &format!("{level}{left}"));

    let over: Vec<&str> =
        log["over_share"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !over.is_empty() {
        let names = over.join(", ");
        let text = format!("{names}: more than their share of the disk space, which is scarce");
        screen.line("REFUSED", &text);
    }
    for damage in log["damage"].as_array().into_iter().flatten() {
        let what = cell(&damage["what"], Show::Text, 0);
        let (first, last) = (&damage["first"], &damage["last"]);
        screen.line("DAMAGED", &format!("records {first} to {last}: {what}"));
    }
}
