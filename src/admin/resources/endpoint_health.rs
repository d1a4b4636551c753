//! How an endpoint is doing right now: window, breaker, rate, lanes, lag.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::walk;
use crate::api::views::EndpointCondition;
use crate::model::{EndpointId, Seq, WallMs, limits};
use crate::queue::EndpointSnapshot;
use crate::record::Record;

/// Records that are looked at to find the age of the oldest that waits.
const LOOKED_AT: usize = 256;

/// What matters most about it right now.
pub fn condition(snapshot: &EndpointSnapshot) -> EndpointCondition {
    let flow = &snapshot.flow;
    match () {
        () if snapshot.hold.is_some() => EndpointCondition::Held,
        () if flow.away => EndpointCondition::Offline,
        () if flow.breaker.is_some() => EndpointCondition::Failing,
        () if flow.parked > 0 => EndpointCondition::Parked,
        () if snapshot.lagging_since.is_some() => EndpointCondition::Lagging,
        () if flow.catching_up.is_some() => EndpointCondition::CatchingUp,
        () => EndpointCondition::Active,
    }
}

/// Whether something is wrong with it: what `status` counts as such.
pub fn is_troubled(snapshot: &EndpointSnapshot) -> bool {
    match condition(snapshot) {
        EndpointCondition::Active | EndpointCondition::CatchingUp => {
            let fails = snapshot.flow.failures_in_row > 0 && snapshot.waiting > 0;
            snapshot.dead > 0 || fails
        }
        _ => true,
    }
}

/// The share of requests that were answered well, to a thousandth.
#[expect(clippy::cast_precision_loss, reason = "a share to a thousandth needs no 53 bits")]
pub fn success_ratio(succeeded: u64, failed: u64) -> Option<f64> {
    let all = succeeded + failed;
    (all > 0).then(|| (succeeded as f64 / all as f64 * 1000.0).round() / 1000.0)
}

/// What of an endpoint stands in the log alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedHealth {
    /// Since when the oldest that waits has waited.
    pub oldest_at: Option<WallMs>,
    /// What the receiver answered to the last attempt that failed, or the command said.
    pub last_answer: Option<String>,
}

/// What of an endpoint stands in the log alone.
pub async fn logged(
    admin: &Arc<Admin>,
    snapshot: &EndpointSnapshot,
) -> Result<LoggedHealth, Problem> {
    let (oldest, failure, id) = (snapshot.flow.oldest, snapshot.last_failure, snapshot.endpoint.id);
    if oldest.is_none() && failure == 0 {
        return Ok(LoggedHealth::default());
    }
    walk::value(admin, move |scan| look(scan, oldest, failure, id)).await
}

/// The same within a scan; `failure` is the record of the last attempt that failed.
pub fn look(
    scan: &LogScan,
    oldest: Option<Seq>,
    failure: Seq,
    id: EndpointId,
) -> Result<LoggedHealth, Problem> {
    let oldest_at = oldest.map(|from| waits_since(scan, from, id)).transpose()?.flatten();
    Ok(LoggedHealth { oldest_at, last_answer: last_answer(scan, failure, id) })
}

fn last_answer(scan: &LogScan, failure: Seq, id: EndpointId) -> Option<String> {
    // Retention may have dropped it.
    let record = scan.log().read(failure).unwrap_or_default()?;
    let mut of_it = record.attempts().filter(|attempt| attempt.delivery.endpoint == id);
    of_it.next().and_then(|attempt| attempt.report.words())
}

/// What the receivers of those answered with which something is wrong. Each is a record that is
/// read, so there are `limits::ANSWERS_LISTED` at most.
pub async fn last_answers(
    admin: &Arc<Admin>,
    snapshots: &[EndpointSnapshot],
) -> Result<BTreeMap<EndpointId, String>, Problem> {
    let failed = snapshots.iter().filter(|one| one.last_failure > 0 && is_troubled(one));
    let failed = failed.take(limits::ANSWERS_LISTED);
    let failed: Vec<_> = failed.map(|one| (one.last_failure, one.endpoint.id)).collect();
    if failed.is_empty() {
        return Ok(BTreeMap::new());
    }
    walk::value(admin, move |scan| {
        let mut answers = BTreeMap::new();
        for (failure, id) in failed {
            scan.still_wanted()?;
            answers.extend(last_answer(scan, failure, id).map(|answer| (id, answer)));
        }
        Ok(answers)
    })
    .await
}

/// The time of the first delivery to this endpoint at or behind `from`; where none is near, the
/// time that it is there.
fn waits_since(scan: &LogScan, from: Seq, id: EndpointId) -> Result<Option<WallMs>, Problem> {
    let mut near = None;
    for entry in scan.log().forward(from.max(scan.log().first())).take(LOOKED_AT) {
        scan.still_wanted()?;
        let record = entry?.1;
        let (at, is_it) = if let Some(held) = record.held_event() {
            let is_it = held.relocated_from.is_some() || held.fan_out.contains(&id);
            (held.event.received_at, is_it)
        } else if let Record::Replayed { endpoint, at, .. } = record {
            (at, endpoint == id)
        } else {
            continue;
        };

        if is_it {
            return Ok(Some(at));
        }
        near = Some(at);
    }
    Ok(near)
}
