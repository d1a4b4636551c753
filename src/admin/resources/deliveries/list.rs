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
use crate::admin::scan::page::{after, limit};
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::model::{DeliveryId, DeliveryState};

pub fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = DeliveryQuery::of(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<DeliveryId> = after(&mut request.params)?;
    request.params.done()?;

    if query.state == Some(DeliveryState::Dead) {
        // The numbers of dead letters are kept in order: no need to look at what lives.
        return Ok(dead_letters::stream(admin, query.filter, limit, after));
    }

    Ok(walk::stream(admin, move |scan| {
        let query = query.here(scan)?;
        let mut listing = DeliveryListing::new(scan, &query, limit);
        match after {
            // Those without a record of their own come last.
            Some(id) if !orphans::has_row(scan, id)? => orphans::list(&mut listing, Some(id))?,
            after => {
                listing.walk(after)?;
                orphans::list(&mut listing, None)?;
            }
        }
        if scan.has_sent() {
            return Ok(());
        }
        check_filter(&scan.admin, &query.filter)?;
        check_type(scan, query.filter.events.kind.as_deref())
    }))
}
