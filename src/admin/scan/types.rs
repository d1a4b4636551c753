//! Whether a type that a filter asks for is one that events have.

use std::collections::BTreeSet;

use hyper::StatusCode;

use super::event_lookup::RelocatedEvents;
use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::similar::nearest;
use crate::model::{Seq, limits};

/// Refuses a type that no event has, once a list with it has found nothing. Patterns are not asked
/// for, and neither is a type that an endpoint waits for. Where the log is longer than what is
/// looked at, nobody knows.
pub fn check_type(scan: &LogScan, kind: Option<&str>) -> Result<(), Problem> {
    let Some(kind) = kind.filter(|kind| !kind.contains(['*', '?'])) else { return Ok(()) };
    let directory = scan.admin.handle.directory();
    let mut awaited = directory.endpoints.iter().flat_map(|endpoint| &endpoint.types);
    if awaited.any(|glob| glob == kind) {
        return Ok(());
    }

    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut relocated = RelocatedEvents::default();
    for (looked_at, entry) in scan.log().backward(Seq::MAX).enumerate() {
        scan.still_wanted()?;
        if looked_at == limits::TYPES_LOOKED_FOR || scan.is_overdue() {
            return Ok(());
        }
        let Some((seq, record)) = scan.entry(entry) else { continue };
        let Some(held) = relocated.event(scan, seq, &record)? else { continue };
        if held.event.kind == kind {
            return Ok(());
        }
        let other = &held.event.kind;
        let is_full = seen.len() == limits::TYPES_REMEMBERED;
        if !other.is_empty() && !is_full && !seen.contains(other) {
            seen.insert(other.clone());
        }
    }

    let meant = nearest(kind, seen.iter().map(String::as_str));
    let hint = match (meant, seen.is_empty()) {
        (Some(meant), _) => format!("; did you mean '{meant}'?"),
        (None, true) => String::new(),
        (None, false) => {
            let some: Vec<&str> = seen.iter().map(String::as_str).take(8).collect();
            format!("; there are {}", some.join(", "))
        }
    };
    let detail = format!("no event in the log has the type '{kind}'{hint}");
    Err(Problem::new(StatusCode::NOT_FOUND, detail))
}
