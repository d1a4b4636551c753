//! `status --check`: whether all is well, in one line, for monitoring.

use serde::{Deserialize, Serialize};

use super::worst::headline;
use crate::api::views::{BootApplyView, StatusView};
use crate::ctl::clock::now_ms;
use crate::ctl::table::{count, text};

/// The set that the files are which are applied at the start.
const BOOT_SET: &str = "apply.d";

/// What `status --check` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusVerdict {
    /// Nothing needs anybody.
    pub ok: bool,
    /// Events are accepted.
    pub accepting: bool,
    /// What needs somebody, the most important first.
    pub reason: String,
}

/// Whether all is well.
pub fn verdict(status: &StatusView) -> StatusVerdict {
    if !status.accepting {
        let reason = status.reason.as_deref().map(|reason| format!(": {}", text(reason)));
        let reason = format!("NOT ACCEPTING{}", reason.unwrap_or_default());
        return StatusVerdict { ok: false, accepting: false, reason };
    }

    let reasons = reasons(status);
    let ok = reasons.is_empty();
    let reason = match ok {
        true => format!("OK: accepting, {}", count(status.endpoints, "endpoint")),
        false => format!("ATTENTION: {}", reasons.join("; ")),
    };
    StatusVerdict { ok, accepting: true, reason }
}

fn reasons(status: &StatusView) -> Vec<String> {
    let mut reasons = beside_endpoints(status);
    if status.urgent > 0 {
        let worst = status.worst.first().map(|worst| headline(worst, now_ms()));
        let others = match status.urgent {
            1 => String::new(),
            more => format!("; {} more", count(more - 1, "endpoint")),
        };
        reasons.push(worst.unwrap_or_else(|| count(status.urgent, "endpoint")) + &others);
    } else if status.deliveries.dead > 0 {
        // Those of endpoints that were deleted belong to none that is listed.
        let dead = count(status.deliveries.dead, "dead letter");
        reasons.push(match status.deleted_with_dead.first() {
            Some(deleted) => format!("{dead} of deleted endpoints: {}", text(&deleted.command)),
            None => dead,
        });
    }
    reasons
}

/// What needs somebody and is none of the endpoints that there are.
pub fn beside_endpoints(status: &StatusView) -> Vec<String> {
    let log = &status.log;
    let mut reasons = Vec::new();
    let damaged = log.damage.iter().filter(|damage| damage.acknowledged_at.is_none()).count();
    if damaged > 0 {
        reasons.push(format!("the log has {}", count(damaged, "damaged range")));
    }
    if log.level != "open" {
        reasons.push("disk space is scarce".to_owned());
    }
    if let Some(own) = status.certificate.as_ref().filter(|own| !own.valid) {
        let why = own.warning.as_deref().unwrap_or("the certificate of TLS listeners is not valid");
        reasons.push(text(why));
    }
    if let Some(first) = status.unusable_sources.first() {
        let others = match status.unusable {
            0 | 1 => String::new(),
            more => format!("; so do {} more", count(more - 1, "source")),
        };
        let (source, why) = (text(&first.source), text(&first.reason));
        reasons.push(format!("source {source} refuses every request: {why}{others}"));
    }
    if !log.over_share.is_empty() {
        let names: Vec<String> = log.over_share.iter().map(|name| text(name)).collect();
        reasons.push(format!("refused for lack of space: {}", names.join(", ")));
    }
    if !status.link.online {
        reasons.push("the network is down".to_owned());
    }
    if status.clock.suspect {
        reasons.push("the clock is not trusted".to_owned());
    }
    if let Some(error) = status.applied.as_ref().and_then(|applied| applied.error.as_deref()) {
        reasons.push(format!("nothing of apply.d was applied at the start: {}", text(error)));
    }

    reasons.extend(status.applied.as_ref().and_then(drift));
    reasons
}

/// What is not as the files say that are applied at the start: the next start changes it, or the
/// files are to be changed.
fn drift(applied: &BootApplyView) -> Option<String> {
    let (first, others) = applied.drift.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let files: Vec<String> =
        applied.files.iter().map(|file| shell_word(&text(file)) + " ").collect();
    // What another set has taken over is different, too; a difference changes nothing.
    let command = format!("hookboxctl diff {}--set {BOOT_SET} --prune --force", files.concat());
    let what = format!("not as the files of {BOOT_SET} say: {}{others}", text(first));
    Some(match files.is_empty() {
        true => what,
        false => format!("{what}: see `{command}`"),
    })
}

/// A word as a shell takes it.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
