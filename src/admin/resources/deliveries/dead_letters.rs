//! Dead letters: listed and shown. By their numbers: lists are newest first.

use std::sync::Arc;

use hyper::StatusCode;

use super::row::DeliveryRow;
use super::show::show_one;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::{check_filter, endpoint_ids};
use crate::admin::scan::dead_letters::{DeadDelivery, WantedDead, each, find};
use crate::admin::scan::event_lookup::find as find_event;
use crate::admin::scan::filters::{DeliveryQuery, with_local_event};
use crate::admin::scan::ids::delivery_id;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::page::{After, after, limit};
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::model::{DeliveryFilter, DeliveryId, DeliveryState, Seq};
use crate::queue::CountQuery;

pub async fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = DeliveryQuery::of(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after = after(&mut request.params)?;
    request.params.done()?;

    if query.state.is_some_and(|s| s != DeliveryState::Dead) {
        return Err(Problem::bad(
            "'state': a dead letter has no other state: use `hookboxctl delivery list` for other \
             deliveries",
        ));
    }
    let query = DeliveryQuery { state: Some(DeliveryState::Dead), ..query };
    let total = total(admin, &query).await;
    Ok(stream(admin, query.filter, limit, after).await?.with_total(total))
}

/// How many rows the list has in all, where the queue knows it without a list.
pub async fn total(admin: &Admin, query: &DeliveryQuery) -> Option<u64> {
    let state = query.state.filter(|_| query.filter.events.is_empty())?;
    let endpoints = query.filter.endpoint.as_deref().map(|name| endpoint_ids(admin, name));
    // A list is worth more than its number of rows.
    admin.handle.ask(CountQuery { state, endpoints }).await.ok().flatten()
}

/// Sends dead letters that pass, newest first.
pub async fn stream(
    admin: &Arc<Admin>,
    filter: DeliveryFilter,
    limit: usize,
    after: Option<After<DeliveryId>>,
) -> Result<ApiResponse, Problem> {
    walk::list(admin, move |scan| {
        let mut filter = filter;
        filter.events = with_local_event(scan, filter.events)?;
        let before = match after {
            None => Seq::MAX,
            Some(After::Record(seq)) => seq,
            Some(After::Row(id)) => {
                find(scan, &[id])?.first().map(|dead| dead.dead_letter_seq).ok_or_else(|| {
                    Problem::bad(format!(
                        "'after': {id} is not a dead letter any more: begin \
                                          again without it"
                    ))
                })?
            }
        };

        let wanted = wanted(scan, &filter)?;
        let mut left = limit;
        let mut overdue = None;
        each(scan, before, wanted, &mut |dead| {
            if let Some(row) = row(scan, &dead, &filter)? {
                scan.send(&row.dead_view(&scan.admin, &dead))?;
                left -= 1;
            } else if scan.is_overdue() {
                overdue = Some((dead.dead_letter_seq, dead.died_at));
            }
            Ok(left > 0 && overdue.is_none())
        })?;
        if let Some((seq, died_at)) = overdue {
            return scan.send_more(&seq, Some(died_at));
        }
        if scan.has_sent() {
            return Ok(());
        }
        check_filter(&scan.admin, &filter)?;
        check_type(scan, filter.events.kind.as_deref())
    })
    .await
}

/// Which dead letters are looked for, where the filter names an endpoint.
pub fn wanted(scan: &LogScan, filter: &DeliveryFilter) -> Result<Option<WantedDead>, Problem> {
    filter.endpoint.as_deref().map(|name| WantedDead::of_endpoint(scan, name)).transpose()
}

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let text = request.arg;

    walk::value(admin, move |scan| {
        let id = delivery_id(scan, &text)?;
        let dead = find(scan, &[id])?.pop().ok_or_else(|| {
            let detail = format!("{id} is not a dead letter: see `hookboxctl dlq list`");
            Problem::new(StatusCode::NOT_FOUND, detail)
        })?;
        let mut shown = show_one(scan, id)?;
        shown.delivery.attempts = Some(dead.revive.attempts);
        Ok(ApiResponse::ok(shown))
    })
    .await
}

/// A dead letter with what is known of its event, when it passes. Its time is that of its death.
pub fn row(
    scan: &LogScan,
    dead: &DeadDelivery,
    filter: &DeliveryFilter,
) -> Result<Option<DeliveryRow>, Problem> {
    let (id, event) = (dead.revive.delivery, dead.revive.event);
    let found = find_event(scan, event)?.map(|(event, _)| event);
    // One of a replay is younger than its event: its own record says when it was made.
    let own = (id.seq != event).then(|| scan.log().read(id.seq).unwrap_or_default()).flatten();
    let made_at = own.and_then(|record| record.new_delivery(id).map(|new| new.at));

    let row = DeliveryRow::of(id, event, found.as_deref(), made_at);
    let passes = row.passes_at(filter, &scan.admin, Some(dead.died_at));
    Ok(passes.then_some(row))
}
