//! How an endpoint fares right now: window, breaker, rate, lanes, lag.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Admin;
use super::http::Problem;
use super::walk::{self, Walker};
use crate::model::WallMs;
use crate::model::time::rfc3339;
use crate::queue::EndpointView;
use crate::record::Record;

/// Records that are looked at to find the age of the oldest that waits.
const LOOKED_AT: usize = 256;

/// Its state in one word: what of all that may be said of it matters most.
pub(super) fn condition(view: &EndpointView) -> &'static str {
    let flow = &view.flow;
    match () {
        () if view.hold.is_some() => "held",
        () if flow.away => "offline",
        () if flow.breaker.is_some() => "failing",
        () if flow.parked > 0 => "parked",
        () if flow.catching_up.is_some() => "catching_up",
        () => "active",
    }
}

/// The words of [`condition`].
pub(super) const CONDITIONS: &[&str] = &["active", "held", "failing", "offline", "parked", "catching_up"];

/// Adds it to what is shown of an endpoint.
pub(super) fn show(view: &EndpointView, row: &mut Map<String, Value>) {
    let flow = &view.flow;
    let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
    put("condition", json!(condition(view)));
    put("window", json!(flow.width));
    put("failures_in_row", json!(flow.failures_in_row));
    put("failing_ms", json!(flow.failing_ms));
    put("breaker_opened_at", json!(flow.breaker.map(|(since, _)| rfc3339(since))));
    put("next_probe_at", json!(flow.breaker.map(|(_, probe_at)| rfc3339(probe_at))));
    put("offline", json!(flow.away));
    put("paused_until", json!(flow.paused_until.map(rfc3339)));
    put("rate_next_at", json!(flow.next_token_at.map(rfc3339)));
    put("lanes", json!(flow.lanes));
    put("parked_lanes", json!(flow.parked));
    put("batches_waiting", json!(flow.batches));
    put("catching_up", json!(flow.catching_up));
    put("requests_succeeded", json!(flow.succeeded));
    put("requests_failed", json!(flow.failed));
    put("success_ratio", json!(ratio(flow.succeeded, flow.failed)));
}

/// The share of requests that were answered well, to a thousandth.
#[expect(clippy::cast_precision_loss, reason = "a share to a thousandth needs no 53 bits")]
fn ratio(succeeded: u64, failed: u64) -> Option<f64> {
    let all = succeeded + failed;
    (all > 0).then(|| (succeeded as f64 / all as f64 * 1000.0).round() / 1000.0)
}

/// Since when the oldest that waits has waited.
pub(super) async fn oldest_at(admin: &Arc<Admin>, view: &EndpointView) -> Result<Option<WallMs>, Problem> {
    let Some(from) = view.flow.oldest else { return Ok(None) };
    let id = view.endpoint.id;
    walk::value(admin, move |walker| look(walker, from, id)).await
}

/// The time of the first delivery to this endpoint at or behind `from`; where none is near, the time that it is there.
fn look(walker: &Walker, from: u64, id: u32) -> Result<Option<WallMs>, Problem> {
    let mut near = None;
    for entry in walker.log().forward(from.max(walker.log().first())).take(LOOKED_AT) {
        walker.still_wanted()?;
        let (at, is_it) = match entry?.1 {
            Record::EventAccepted { event, fan_out, .. } => (event.received_at, fan_out.contains(&id)),
            Record::EventCarried { event, .. } => (event.received_at, true),
            Record::Replayed { endpoint, at, .. } => (at, endpoint == id),
            _ => continue,
        };
        if is_it {
            return Ok(Some(at));
        }
        near = Some(at);
    }
    Ok(near)
}
