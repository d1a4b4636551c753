//! Commands for deliveries: attempt them again, or cancel them.

use std::sync::Arc;

use hyper::StatusCode;

use super::dry_run;
use super::ends::ends;
use super::find::find;
use super::totals::{CommandTotals, LOOKS};
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
use crate::queue::{
    CancelCheckQuery, CancelDeliveries, DeliveriesChanged, QueueRequest, RetryCheckQuery,
    RetryDeliveries, Revive, left_out,
};

/// The ids of a body, each once.
pub fn distinct(ids: Option<Vec<Text<DeliveryId>>>) -> Result<Option<Vec<DeliveryId>>, Problem> {
    let Some(ids) = ids else { return Ok(None) };
    let mut ids: Vec<DeliveryId> = ids.into_iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => Err(Problem::bad("'ids' is empty: name at least one delivery")),
        1..=limits::IDS => Ok(Some(ids)),
        _ => Err(Problem::bad(format!("'ids': has at most {} entries", limits::IDS))),
    }
}

pub async fn retry(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (ids, dry_run) = given_ids(&request)?;
    walk::value(admin, move |scan| {
        let (mut totals, mut left) = (CommandTotals::default(), ids.clone());
        for _ in 0..LOOKS {
            let mut revives = Vec::new();
            for id in &left {
                match revive(scan, *id) {
                    Ok(revive) => revives.push(revive),
                    // Of many, one may have been delivered since they were listed.
                    Err(why) if ids.len() > 1 && why.is_conflict() => {
                        totals.leave_out(left_out::DELIVERED, 1);
                    }
                    Err(why) => return Err(why),
                }
            }

            if dry_run {
                let of = |revive: &Revive| revive.delivery;
                let counted = (&mut totals, ids.len() == 1);
                dry_run::count(scan, &revives, counted, RetryCheckQuery, of)?;
                break;
            }
            in_slices(scan, revives, &mut totals, |deliveries| RetryDeliveries { deliveries })?;

            // Those that retention relocated between reading and asking are read once more.
            if totals.moved.is_empty() {
                break;
            }
            left.clone_from(&totals.moved);
            totals.moved.clear();
        }

        let (matched, queued, left_out) = (ids.len(), totals.changed, totals.left_out());
        Ok(ApiResponse::ok(RetryView { matched, queued, dry_run, left_out }))
    })
    .await
}

pub async fn cancel(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (ids, dry_run) = given_ids(&request)?;
    walk::value(admin, move |scan| {
        for id in &ids {
            find(scan, *id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
        }

        let (matched, mut totals) = (ids.len(), CommandTotals::default());
        match dry_run {
            true => {
                dry_run::count(scan, &ids, (&mut totals, matched == 1), CancelCheckQuery, |id| {
                    *id
                })?;
            }
            false => {
                in_slices(scan, ids, &mut totals, |deliveries| CancelDeliveries { deliveries })?;
            }
        }
        let (cancelled, left_out) = (totals.changed, totals.left_out());
        Ok(ApiResponse::ok(CancelView { matched, cancelled, dry_run, left_out }))
    })
    .await
}

/// The deliveries that a request names, and whether they are only counted.
fn given_ids(request: &ApiRequest) -> Result<(Vec<DeliveryId>, bool), Problem> {
    let body: IdsBody = request.fields()?;
    let ids = distinct(body.ids)?;
    let ids = ids.ok_or_else(|| Problem::bad("'ids' is missing: name the deliveries"))?;
    Ok((ids, body.dry_run))
}

/// Hands a mass operation to the queue in slices of `limits::SLICE`.
fn in_slices<T: Clone, R: QueueRequest<Answer = DeliveriesChanged> + Clone>(
    scan: &LogScan,
    all: Vec<T>,
    totals: &mut CommandTotals,
    request: impl Fn(Vec<T>) -> R,
) -> Result<(), Problem> {
    for slice in all.chunks(limits::SLICE) {
        totals.add(scan.ask(&request(slice.to_vec()))?);
        scan.still_wanted()?;
    }
    Ok(())
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
