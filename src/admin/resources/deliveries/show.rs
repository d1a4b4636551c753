//! `delivery show`: a delivery with every attempt, and what the operator did with it.

use std::sync::Arc;

use super::attempt::attempt_view;
use super::ends::{ends, has_ended};
use super::find::find;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::ids::delivery_id;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::{dead_letters, walk};
use crate::api::values::Time;
use crate::api::views::{DeliveryDetailView, OperatorActionView};
use crate::model::{DeliveryId, DeliveryState};
use crate::record::{DeliveryFact, Record};

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let text = request.arg;
    walk::value(admin, move |scan| {
        let id = delivery_id(scan, &text)?;
        show_one(scan, id).map(ApiResponse::ok)
    })
    .await
}

pub fn show_one(scan: &LogScan, id: DeliveryId) -> Result<DeliveryDetailView, Problem> {
    let found = find(scan, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let snapshot = scan.delivery_views(&[id])?.pop().ok_or_else(Problem::gone)?;
    let mut history = Vec::new();
    let mut operator = Vec::new();

    for entry in scan.log().forward(id.seq.max(scan.log().first())) {
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };
        let attempts = record.attempts().filter(|attempt| attempt.delivery == id);
        history.extend(attempts.map(|attempt| attempt_view(&scan.admin, &attempt)));
        operator.extend(operator_action(&record, id));

        let all_there = snapshot.retry.is_some_and(|r| r.last <= at) && !has_ended(snapshot.state);
        if all_there || ends(scan, at, &record, id, snapshot.state)? {
            break;
        }
    }

    // The last attempt may be one that does not count.
    let counted = history.last().map(|last| last.number - u32::from(!last.counted));
    let attempts = counted.or(snapshot.retry.map(|retry| retry.attempts)).unwrap_or(0);
    let mut delivery = found.view(&scan.admin, &snapshot, Some(attempts));
    if snapshot.state == DeliveryState::Dead
        && let Some(dead) = dead_letters::find(scan, &[id])?.pop()
    {
        delivery.reason = Some(dead.reason);
        delivery.died_at = Some(Time(dead.died_at));
    }
    Ok(DeliveryDetailView { delivery, history, operator })
}

/// What the operator, or a later event of the same key, did with a delivery.
fn operator_action(record: &Record, id: DeliveryId) -> Option<OperatorActionView> {
    let (_, fact) = record.delivery_facts().into_iter().find(|(delivery, _)| *delivery == id)?;
    let (what, at) = match fact {
        DeliveryFact::Cancelled { at } => ("cancelled", at),
        DeliveryFact::Retried { at } => ("retried", at),
        DeliveryFact::Superseded { at } => ("superseded by a later event of its key", at),
        DeliveryFact::Attempted(_)
        | DeliveryFact::Batched
        | DeliveryFact::Relocated
        | DeliveryFact::Died(_)
        | DeliveryFact::WasDead(_) => return None,
    };
    Some(OperatorActionView { what: what.to_owned(), at: Time(at) })
}
