//! Deliveries without a record of their own: retention has dropped it, or it is lost. A scan of the
//! log does not come by them, so that lists take them from the state, which knows those that wait
//! for a retry, and from the numbers of dead letters. They come last in a list.

use super::listing::DeliveryListing;
use super::row::DeliveryRow;
use crate::admin::http::problem::Problem;
use crate::admin::scan::dead_letters;
use crate::admin::scan::event_lookup::find as find_event;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq, limits};
use crate::queue::{DeliverySnapshot, RetryingQuery};

/// Whether a scan of the log comes by this delivery, of which only the id is known.
pub fn has_row(scan: &LogScan, id: DeliveryId) -> Result<bool, Problem> {
    // A dead letter that is named after a lost record may have the name of one that can be read
    // again by now.
    if let Ok(Some(record)) = scan.log().read(id.seq) {
        return Ok(record.new_delivery(id).is_some());
    }
    Ok(find_event(scan, id.seq)?.is_some_and(|(_, deliveries)| deliveries.contains(&id)))
}

/// Adds those that the filters may mean to a list, behind `after`.
pub fn list(listing: &mut DeliveryListing<'_>, after: Option<DeliveryId>) -> Result<(), Problem> {
    listing.flush()?;
    let state = listing.query.state;
    let wants = |states: &[DeliveryState]| state.is_none_or(|state| states.contains(&state));
    let mut skip_to = after;

    if wants(&[DeliveryState::Pending, DeliveryState::InFlight, DeliveryState::Held]) {
        let directory = listing.scan.admin.handle.directory();
        let mut endpoints: Vec<EndpointId> =
            directory.endpoints.iter().map(|endpoint| endpoint.id).collect();
        endpoints.sort_unstable();
        for endpoint in endpoints {
            waiting(listing, endpoint, &mut skip_to)?;
        }
    }

    if wants(&[DeliveryState::Dead]) && listing.left > 0 {
        dead(listing, &mut skip_to)?;
    }
    listing.flush()
}

/// Those of one endpoint that wait for a retry, the newest first.
fn waiting(
    listing: &mut DeliveryListing<'_>,
    endpoint: EndpointId,
    skip_to: &mut Option<DeliveryId>,
) -> Result<(), Problem> {
    let mut before = Seq::MAX;
    while listing.left > 0 {
        let views = retrying(listing.scan, endpoint, before)?;
        let Some(oldest) = views.last() else { break };
        before = oldest.delivery.seq;
        for view in views {
            let event = view.retry.map_or(view.delivery.seq, |retry| retry.event);
            if !show(listing, view.delivery, event, skip_to)? {
                break;
            }
        }
    }
    Ok(())
}

fn dead(
    listing: &mut DeliveryListing<'_>,
    skip_to: &mut Option<DeliveryId>,
) -> Result<(), Problem> {
    let scan = listing.scan;
    dead_letters::each(scan, Seq::MAX, None, &mut |dead| {
        show(listing, dead.revive.delivery, dead.revive.event, skip_to)
    })
}

/// Shows one, unless the scan of the log did. Returns whether others fit.
fn show(
    listing: &mut DeliveryListing<'_>,
    id: DeliveryId,
    event: Seq,
    skip_to: &mut Option<DeliveryId>,
) -> Result<bool, Problem> {
    listing.scan.still_wanted()?;
    if let Some(last) = *skip_to {
        if last == id {
            *skip_to = None;
        }
        return Ok(true);
    }
    if listing.placed.contains(&id) || has_row(listing.scan, id)? {
        return Ok(true);
    }
    let found = find_event(listing.scan, event)?.map(|(event, _)| event);
    listing.add(DeliveryRow::of(id, event, found.as_deref(), None))
}

fn retrying(
    scan: &LogScan,
    endpoint: EndpointId,
    before: Seq,
) -> Result<Vec<DeliverySnapshot>, Problem> {
    scan.ask(&RetryingQuery { endpoint, before, limit: limits::SLICE })
}
