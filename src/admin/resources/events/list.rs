//! `event list`: out of the log, the newest first.

use std::sync::Arc;

use super::summary::{duplicates, summary};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::names::check_filter;
use crate::admin::scan::event_lookup::{RelocatedEvents, listed_at};
use crate::admin::scan::filters::{event_filter, with_local_event};
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::page::{after, limit};
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::api::views::EventView;
use crate::model::{DeliveryFilter, EventId, EventTraits, Seq};
use crate::record::{HeldEvent, Sieve};

/// Rows that are completed at a time; few, so that the first ones come soon.
const ROWS: usize = 32;

pub fn list(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let filter = event_filter(&mut request.params, admin.wall_ms())?;
    let limit = limit(request.params.take("limit"))?;
    let after: Option<EventId> = after(&mut request.params)?;
    request.params.done()?;

    Ok(walk::stream(admin, move |scan| {
        let filter = with_local_event(scan, filter)?;
        let mut before = after.map_or(Ok(Seq::MAX), |id| listed_at(scan, id.seq))?;
        // One event stands at one place, and nothing else is looked at for it.
        let only = filter.event.map(|id| listed_at(scan, id.seq)).transpose()?;
        before = only.map_or(before, |at| before.min(at.saturating_add(1)));
        let mut rows = Vec::with_capacity(ROWS);
        let mut left = limit;
        let mut relocated = RelocatedEvents::default();

        for entry in scan.log().backward_sifted(before, Sieve::events(&filter)) {
            scan.still_wanted()?;
            let Some((seq, record)) = scan.entry(entry) else { continue };
            if only.is_some_and(|at| seq < at) {
                break;
            }
            let Some(record) = record else { continue };
            let Some(held) = relocated.event(scan, seq, &record)? else { continue };
            let HeldEvent { event, fan_out, conflicts_with, .. } = held;
            if !filter.matches(&EventTraits::from(&**event)) {
                continue;
            }

            let summary = summary(event, conflicts_with);
            rows.push((event.id.seq, EventView { summary, deliveries: fan_out.len() }));
            left -= 1;
            if rows.len() == ROWS || left == 0 {
                flush(scan, &mut rows)?;
            }
            if left == 0 {
                return Ok(());
            }
        }
        flush(scan, &mut rows)?;
        if scan.has_sent() {
            return Ok(());
        }
        let kind = filter.kind.clone();
        check_filter(&scan.admin, &DeliveryFilter { events: filter, endpoint: None })?;
        check_type(scan, kind.as_deref())
    }))
}

/// Completes rows and sends them.
fn flush(scan: &LogScan, rows: &mut Vec<(Seq, EventView)>) -> Result<(), Problem> {
    let seqs: Vec<Seq> = rows.iter().map(|(seq, _)| *seq).collect();
    if seqs.is_empty() {
        return Ok(());
    }
    for ((_, mut row), count) in rows.drain(..).zip(duplicates(scan, &seqs)?) {
        row.summary.duplicates = count;
        scan.send(&row)?;
    }
    Ok(())
}
