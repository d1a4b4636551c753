//! `delivery list`: out of the log, the newest first.

use std::sync::Arc;

use super::listing::DeliveryListing;
use super::{dead_letters, orphans};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::check_filter;
use crate::admin::scan::filters::DeliveryQuery;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::page::{After, after, limit};
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::model::{DeliveryId, DeliveryState, Seq};

pub async fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = DeliveryQuery::of(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<After<DeliveryId>> = after(&mut request.params)?;
    request.params.done()?;
    let total = dead_letters::total(admin, &query).await;

    if query.state == Some(DeliveryState::Dead) {
        // The numbers of dead letters are kept in order: no need to look at what lives.
        let rows = dead_letters::stream(admin, query.filter, limit, after).await?;
        return Ok(rows.with_total(total));
    }
    let rows = walk::list(admin, move |scan| {
        let query = query.here(scan)?;
        let mut listing = DeliveryListing::new(scan, &query, limit);
        send(scan, &mut listing, after)?;
        if scan.has_sent() {
            return Ok(());
        }
        check_filter(&scan.admin, &query.filter)?;
        check_type(scan, query.filter.events.kind.as_deref())
    });
    Ok(rows.await?.with_total(total))
}

/// Sends the rows, and where the list goes on that comes to no end in time.
fn send(
    scan: &LogScan,
    listing: &mut DeliveryListing<'_>,
    after: Option<After<DeliveryId>>,
) -> Result<(), Problem> {
    match after {
        // Those without a record of their own come last.
        Some(After::Row(id)) if !orphans::has_row(scan, id)? => {
            return orphans::list(listing, Some(id));
        }
        Some(After::Row(id)) => listing.walk_behind(id)?,
        Some(After::Record(before)) => listing.walk(before)?,
        None => listing.walk(Seq::MAX)?,
    }
    match listing.overdue_at {
        Some(at) => scan.send_more(&at, scan.time_at(at)),
        None => orphans::list(listing, None),
    }
}
