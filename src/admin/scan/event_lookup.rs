//! Where events stand in the log: at their own record, or where retention relocated them to.

use std::collections::HashSet;
use std::sync::Arc;

use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::{DeliveryId, Event, Seq};
use crate::record::{HeldEvent, Record};

/// Relocated events are listed where they stand now, and only when their own record is gone.
#[derive(Default)]
pub struct RelocatedEvents {
    listed: HashSet<Seq>,
}

impl RelocatedEvents {
    /// The event that a record holds, with its fan-out, when it is listed at this record.
    pub fn event<'a>(
        &mut self,
        scan: &LogScan,
        at: Seq,
        record: &'a Record,
    ) -> Result<Option<HeldEvent<'a>>, Problem> {
        let Some(held) = record.held_event() else { return Ok(None) };
        match held.relocated_from {
            Some(seq) if !self.is_listed_at(scan, seq, at)? => Ok(None),
            _ => Ok(Some(held)),
        }
    }

    /// Whether the relocated event `seq` is listed at record `at`.
    pub fn is_listed_at(&mut self, scan: &LogScan, seq: Seq, at: Seq) -> Result<bool, Problem> {
        // Its own record may have been dropped, or be damaged.
        if self.listed.contains(&seq) || scan.has_record(seq) {
            return Ok(false);
        }

        // Behind records that were lost the state may not know that it was relocated; it is then
        // listed at its last relocation.
        let stands_at = scan.event_views(&[seq])?.first().map_or(at, |v| v.stands_at);
        if stands_at != at && stands_at != seq {
            return Ok(false);
        }
        self.listed.insert(seq);
        Ok(true)
    }
}

/// Where the event of record `seq` is listed.
pub fn listed_at(scan: &LogScan, seq: Seq) -> Result<Seq, Problem> {
    if scan.has_record(seq) { Ok(seq) } else { stands_at(scan, seq) }
}

/// The record that holds the event of record `seq` now: where it is listed when its own is gone.
pub fn stands_at(scan: &LogScan, seq: Seq) -> Result<Seq, Problem> {
    Ok(scan.event_views(&[seq])?.first().map_or(seq, |v| v.stands_at))
}

/// An event with its deliveries.
pub type EventAndDeliveries = (Arc<Event>, Vec<DeliveryId>);

/// The event of record `seq`, wherever it stands now, with those of its deliveries that are known.
pub fn read(scan: &LogScan, seq: Seq) -> Result<Option<EventAndDeliveries>, Problem> {
    Ok(held(record_of(scan, seq)?.as_ref(), seq))
}

/// The record that holds the event of record `seq` now.
pub fn record_of(scan: &LogScan, seq: Seq) -> Result<Option<Record>, Problem> {
    match scan.log().read(seq) {
        Ok(Some(record)) => Ok(Some(record)),
        Ok(None) | Err(_) => Ok(scan.log().read(stands_at(scan, seq)?)?),
    }
}

/// The same; nothing when it is damaged, which the scan reports by itself.
pub fn find(scan: &LogScan, seq: Seq) -> Result<Option<EventAndDeliveries>, Problem> {
    let record = match scan.log().read(seq) {
        Ok(Some(record)) => Some(record),
        Ok(None) | Err(_) => scan.log().read(stands_at(scan, seq)?).unwrap_or_default(),
    };
    Ok(held(record.as_ref(), seq))
}

/// The event of record `seq`, when this one holds it.
fn held(record: Option<&Record>, seq: Seq) -> Option<EventAndDeliveries> {
    let held = record.and_then(Record::held_event).filter(|held| held.event.id.seq == seq)?;
    let ids = held.fan_out.iter().map(|endpoint| DeliveryId { seq, endpoint: *endpoint });
    Some((held.event.clone(), ids.collect()))
}
