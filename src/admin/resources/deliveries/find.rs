//! One delivery in the log, with what is known of its event.

use super::row::DeliveryRow;
use crate::admin::http::problem::Problem;
use crate::admin::scan::dead_letters;
use crate::admin::scan::event_lookup::find as find_event;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EventId};

/// The event of a delivery; `None` when there is no such delivery.
pub fn event_of(scan: &LogScan, id: DeliveryId) -> Result<Option<EventId>, Problem> {
    Ok(find(scan, id)?.map(|candidate| candidate.event))
}

/// The delivery's own record, or where its event was relocated to.
pub fn find(scan: &LogScan, id: DeliveryId) -> Result<Option<DeliveryRow>, Problem> {
    // A damaged record is no better than one that is not there.
    let Some(record) = scan.log().read(id.seq).unwrap_or_default() else {
        return without_record(scan, id);
    };
    let Some(new) = record.new_delivery(id) else { return Ok(None) };
    let event = match new.held {
        Some(event) => Some(event.clone()),
        None => find_event(scan, new.event)?.map(|(event, _)| event),
    };
    Ok(Some(DeliveryRow::of(id, new.event, event.as_deref(), Some(new.at))))
}

/// A delivery whose record was dropped, or is lost: the state still knows its event while it waits,
/// its dead letter number when it died.
fn without_record(scan: &LogScan, id: DeliveryId) -> Result<Option<DeliveryRow>, Problem> {
    let view = scan.delivery_views(&[id])?.pop();
    let known = match view.map(|view| (view.state, view.retry)) {
        Some((_, Some(retry))) => Some(retry.event),
        Some((DeliveryState::Dead, None)) => {
            dead_letters::find(scan, &[id])?.pop().map(|dead| dead.revive.event)
        }
        _ => None,
    };

    let seq = known.unwrap_or(id.seq);
    let event = find_event(scan, seq)?.map(|(event, _)| event);
    let is_one = known.is_some() || event.is_some();
    Ok(is_one.then(|| DeliveryRow::of(id, seq, event.as_deref(), None)))
}
