//! Deliveries without a record of their own: retention has dropped it, or it is lost. A scan of the
//! log does not come by them, so that lists take them from the state, which knows those that wait
//! for a retry, and from the numbers of dead letters. They come last in a list.

use std::sync::Arc;

use roaring::RoaringTreemap;

use super::listing::DeliveryListing;
use super::row::DeliveryRow;
use crate::admin::http::problem::Problem;
use crate::admin::scan::dead_letters::{self, WantedDead};
use crate::admin::scan::event_lookup::find as find_event;
use crate::admin::scan::log_scan::LogScan;
use crate::log::LogProblem;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq, limits};
use crate::queue::{
    DeliverySnapshot, GoneQuery, GoneRecords, Orphans, OrphansQuery, RetryingQuery,
};

/// Whether a scan of the log comes by this delivery, of which only the id is known.
pub fn has_row(scan: &LogScan, id: DeliveryId) -> Result<bool, Problem> {
    // A dead letter that is named after a lost record may have the name of one that can be read
    // again by now.
    if let Ok(Some(record)) = scan.log().read(id.seq) {
        return Ok(record.new_delivery(id).is_some());
    }
    Ok(find_event(scan, id.seq)?.is_some_and(|(_, deliveries)| deliveries.contains(&id)))
}

/// Adds those that the filters may mean to a list, behind `after`. Where that comes to no end in
/// time, it goes on after the last one that was looked at.
pub fn list(listing: &mut DeliveryListing<'_>, after: Option<DeliveryId>) -> Result<(), Problem> {
    listing.flush()?;
    if listing.left == 0 {
        return Ok(());
    }
    let gone = Arc::new(gone_records(listing.scan)?);
    let mut search = OrphanSearch { listing, gone, skip_to: after, overdue_at: None };
    search.waiting()?;
    search.dead()?;

    let overdue_at = search.overdue_at;
    listing.flush()?;
    match overdue_at {
        Some(last) => listing.scan.send_more(&last, None),
        None => Ok(()),
    }
}

/// The records that cannot be read.
fn gone_records(scan: &LogScan) -> Result<GoneRecords, Problem> {
    let mut gone = scan.ask(&GoneQuery)?;
    gone.below = gone.below.max(scan.log().first());
    for LogProblem { first, last, .. } in scan.log().damage() {
        gone.others.insert_range(first..=last);
    }
    Ok(gone)
}

/// The dead deliveries that records which are gone have made. The queue looks at a part of its dead
/// letters at a time.
fn dead_orphans(
    scan: &LogScan,
    gone: &Arc<GoneRecords>,
) -> Result<Vec<(EndpointId, RoaringTreemap)>, Problem> {
    let mut all: Vec<(EndpointId, RoaringTreemap)> = Vec::new();
    let mut from = Some(DeliveryId { seq: 0, endpoint: 0 });
    while let Some(begin) = from {
        scan.still_wanted()?;
        let Orphans { dead, next } = scan.ask(&OrphansQuery { gone: gone.clone(), from: begin })?;
        for (id, dead) in dead {
            match all.last_mut().filter(|(last, _)| *last == id) {
                Some((_, before)) => *before |= dead,
                None => all.push((id, dead)),
            }
        }
        from = next;
    }
    Ok(all)
}

/// One search for them, for a list.
struct OrphanSearch<'a, 'b> {
    listing: &'a mut DeliveryListing<'b>,
    /// Records that cannot be read.
    gone: Arc<GoneRecords>,
    /// The last one of the page before, until it is met.
    skip_to: Option<DeliveryId>,
    /// The last one that was looked at, when nothing was found for too long.
    overdue_at: Option<DeliveryId>,
}

impl OrphanSearch<'_, '_> {
    fn wants(&self, states: &[DeliveryState]) -> bool {
        self.listing.query.state.is_none_or(|state| states.contains(&state))
    }

    fn goes_on(&self) -> bool {
        self.listing.left > 0 && self.overdue_at.is_none()
    }

    /// Those that wait for a retry, endpoint by endpoint.
    fn waiting(&mut self) -> Result<(), Problem> {
        if !self.wants(&[DeliveryState::Pending, DeliveryState::InFlight, DeliveryState::Held]) {
            return Ok(());
        }
        let directory = self.listing.scan.admin.handle.directory();
        let mut endpoints: Vec<EndpointId> =
            directory.endpoints.iter().map(|endpoint| endpoint.id).collect();
        endpoints.sort_unstable();
        endpoints.into_iter().try_for_each(|endpoint| self.waiting_at(endpoint))
    }

    /// Those of one endpoint, the newest first.
    fn waiting_at(&mut self, endpoint: EndpointId) -> Result<(), Problem> {
        let mut before = self.gone.end();
        while self.goes_on() {
            let views = retrying(self.listing.scan, endpoint, before)?;
            let Some(oldest) = views.last() else { break };
            before = oldest.delivery.seq;
            for view in views {
                let event = view.retry.map_or(view.delivery.seq, |retry| retry.event);
                if !self.show(view.delivery, event)? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn dead(&mut self) -> Result<(), Problem> {
        if !self.wants(&[DeliveryState::Dead]) || !self.goes_on() {
            return Ok(());
        }
        let wanted = Some(WantedDead::of(dead_orphans(self.listing.scan, &self.gone)?));
        dead_letters::each(self.listing.scan, Seq::MAX, wanted, &mut |dead| {
            self.show(dead.revive.delivery, dead.revive.event)
        })
    }

    /// Shows one, unless the scan of the log did. Returns whether others fit.
    fn show(&mut self, id: DeliveryId, event: Seq) -> Result<bool, Problem> {
        let scan = self.listing.scan;
        scan.still_wanted()?;
        if let Some(last) = self.skip_to {
            self.skip_to = Some(last).filter(|last| *last != id);
            return Ok(true);
        }
        let is_elsewhere = !self.gone.contains(id.seq) || self.listing.placed.contains(&id);
        if is_elsewhere || has_row(scan, id)? {
            return Ok(true);
        }

        let found = find_event(scan, event)?.map(|(event, _)| event);
        self.listing.add(DeliveryRow::of(id, event, found.as_deref(), None))?;
        if scan.is_overdue() {
            self.listing.flush()?;
            self.overdue_at = Some(id).filter(|_| self.listing.left > 0 && scan.is_overdue());
        }
        Ok(self.goes_on())
    }
}

fn retrying(
    scan: &LogScan,
    endpoint: EndpointId,
    before: Seq,
) -> Result<Vec<DeliverySnapshot>, Problem> {
    scan.ask(&RetryingQuery { endpoint, before, limit: limits::SLICE })
}
