//! Commands for deliveries: attempt them again, or cancel them.

use std::sync::Arc;

use hyper::StatusCode;

use super::ends::ends;
use super::find::find;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::{dead_letters, walk};
use crate::api::IdsBody;
use crate::api::values::Text;
use crate::api::views::{CancelView, RetryView};
use crate::model::{DeliveryId, DeliveryState, Seq, limits};
use crate::queue::{CancelDeliveries, QueueRequest, RetryDeliveries, Revive};

/// Deliveries that one request may name.
const IDS: usize = 256;

/// The ids of a body, each once.
pub fn distinct(ids: Option<Vec<Text<DeliveryId>>>) -> Result<Option<Vec<DeliveryId>>, Problem> {
    let Some(ids) = ids else { return Ok(None) };
    let mut ids: Vec<DeliveryId> = ids.into_iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => Err(Problem::bad("'ids' is empty: name at least one delivery")),
        1..=IDS => Ok(Some(ids)),
        _ => Err(Problem::bad(format!("'ids': has at most {IDS} entries"))),
    }
}

pub async fn retry(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let ids = given_ids(&request)?;
    walk::value(admin, move |scan| {
        let revives = ids.iter().map(|id| revive(scan, *id)).collect::<Result<Vec<_>, _>>()?;
        let queued = in_slices(scan, revives, |deliveries| RetryDeliveries { deliveries })?;
        Ok(ApiResponse::ok(RetryView { matched: ids.len(), queued, dry_run: false }))
    })
    .await
}

pub async fn cancel(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let ids = given_ids(&request)?;
    walk::value(admin, move |scan| {
        for id in &ids {
            find(scan, *id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
        }
        let matched = ids.len();
        let cancelled = in_slices(scan, ids, |deliveries| CancelDeliveries { deliveries })?;
        Ok(ApiResponse::ok(CancelView { matched, cancelled }))
    })
    .await
}

fn given_ids(request: &ApiRequest) -> Result<Vec<DeliveryId>, Problem> {
    let body: IdsBody = request.fields()?;
    distinct(body.ids)?.ok_or_else(|| Problem::bad("'ids' is missing: name the deliveries"))
}

/// Hands a mass operation to the queue in slices of `limits::SLICE`; gives how many were changed.
fn in_slices<T: Clone, R: QueueRequest<Answer = usize> + Clone>(
    scan: &LogScan,
    all: Vec<T>,
    request: impl Fn(Vec<T>) -> R,
) -> Result<usize, Problem> {
    let mut changed = 0;
    for slice in all.chunks(limits::SLICE) {
        changed += scan.ask(&request(slice.to_vec()))?;
        scan.still_wanted()?;
    }
    Ok(changed)
}

/// What the queue needs to attempt a delivery again.
fn revive(scan: &LogScan, id: DeliveryId) -> Result<Revive, Problem> {
    let candidate = find(scan, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let view = scan.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    let event = candidate.event.seq;
    let base = Revive { delivery: id, event, attempts: 0, last: 0, dead_letter_seq: None };

    match (view.state, view.retry) {
        (DeliveryState::Delivered, _) => {
            let detail = format!(
                "{id} was delivered: use `hookboxctl replay --event {}` to send it once more",
                candidate.event
            );
            Err(Problem::new(StatusCode::CONFLICT, detail))
        }
        (DeliveryState::Dead, _) => {
            let dead = dead_letters::find(scan, &[id])?.pop();
            dead.map(|dead| dead.revive).ok_or_else(Problem::gone)
        }
        (DeliveryState::Cancelled, _) => {
            let last = last_attempt(scan, id)?;
            Ok(last.map_or(base, |(last, attempts)| Revive { attempts, last, ..base }))
        }

        (_, Some(retry)) => {
            Ok(Revive { event: retry.event, attempts: retry.attempts, last: retry.last, ..base })
        }
        (_, None) => Ok(base),
    }
}

/// The record and number of the last attempt of a cancelled delivery.
fn last_attempt(scan: &LogScan, id: DeliveryId) -> Result<Option<(Seq, u32)>, Problem> {
    let mut last = None;
    for entry in scan.log().forward(id.seq.max(scan.log().first())) {
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };
        if let Some(attempt) = record.attempts().find(|attempt| attempt.delivery == id) {
            last = Some((at, attempt.number));
        }
        if ends(scan, at, &record, id, DeliveryState::Cancelled)? {
            break;
        }
    }
    Ok(last)
}
