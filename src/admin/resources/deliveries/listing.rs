//! A `delivery list` under way: candidates out of the log, classified by the state and sent.

use std::collections::{HashMap, HashSet};

use super::ends::{count_attempts, has_ended};
use super::row::DeliveryRow;
use crate::admin::http::problem::Problem;
use crate::admin::scan::event_lookup::{RelocatedEvents, find as find_event, listed_at};
use crate::admin::scan::filters::DeliveryQuery;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq};
use crate::queue::{DeliverySnapshot, EndpointsQuery};
use crate::record::{HeldEvent, Record, WaitingDelivery};

/// Candidates that are classified at a time.
const CANDIDATES: usize = 64;

/// One `delivery list` under way.
pub struct DeliveryListing<'a> {
    pub scan: &'a LogScan,
    pub query: &'a DeliveryQuery,
    pub left: usize,
    waiting: Vec<DeliveryRow>,
    /// The endpoints whose deliveries can be in the wanted state; all of them when nobody knows.
    endpoints: Option<HashSet<EndpointId>>,
    /// Replays without a record of their own, shown where they were placed anew.
    pub placed: HashSet<DeliveryId>,
}

impl<'a> DeliveryListing<'a> {
    pub fn new(scan: &'a LogScan, query: &'a DeliveryQuery, limit: usize) -> Result<Self, Problem> {
        let (waiting, placed) = (Vec::new(), HashSet::new());
        let endpoints = match query.state {
            Some(state) if !has_ended(state) => Some(with_something_to_do(scan)?),
            _ => None,
        };
        Ok(Self { scan, query, left: limit, waiting, endpoints, placed })
    }

    /// Scans the log, from behind `after` or from its end.
    pub fn walk(&mut self, after: Option<DeliveryId>) -> Result<(), Problem> {
        if self.endpoints.as_ref().is_some_and(HashSet::is_empty) {
            return Ok(());
        }
        let before = match after {
            Some(id) => listed_at(self.scan, id.seq)?.saturating_add(1),
            None => Seq::MAX,
        };
        // Deliveries of an event stand at its own record or later.
        let oldest = self.query.filter.events.event.map_or(0, |id| id.seq);
        let mut skip_to = after;
        let mut relocated = RelocatedEvents::default();

        for entry in self.scan.log().backward(before) {
            self.scan.still_wanted()?;
            let Some((at, record)) = self.scan.entry(entry) else { continue };
            if at < oldest || self.left == 0 {
                break;
            }

            let mut found = self.candidates(&mut relocated, at, record)?;
            if let Some(id) = skip_to.take() {
                let seen = found.iter().position(|c| c.id == id);
                found.drain(..seen.map_or(0, |i| i + 1));
            }

            self.waiting.extend(found);
            if self.waiting.len() >= CANDIDATES {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// The deliveries that a record made, or that were relocated to it, and that pass the filters
    /// over events.
    fn candidates(
        &mut self,
        relocated: &mut RelocatedEvents,
        at: Seq,
        record: Record,
    ) -> Result<Vec<DeliveryRow>, Problem> {
        let mut found = match relocated.event(self.scan, at, &record)? {
            Some(held) => fanned_out(held.relocated_from.unwrap_or(at), held),
            None => self.without_event(at, &record)?,
        };

        found.sort_by_key(|c: &DeliveryRow| (std::cmp::Reverse(c.id.seq), c.id.endpoint));
        let admin = &self.scan.admin;
        found.retain(|candidate| {
            let can_be = |endpoints: &HashSet<_>| endpoints.contains(&candidate.id.endpoint);
            self.endpoints.as_ref().is_none_or(can_be)
                && candidate.passes(&self.query.filter, admin)
        });
        Ok(found)
    }

    /// The deliveries of an old event that record `at` made, or put into the stream anew because
    /// their own records are gone.
    fn without_event(&mut self, at: Seq, record: &Record) -> Result<Vec<DeliveryRow>, Problem> {
        let mut found = Vec::new();
        for WaitingDelivery { delivery, event: seq, .. } in record.stream_positions(at) {
            let made_at = record.new_delivery(delivery).map(|new| new.at);
            let is_orphan = delivery.seq != seq && !self.scan.has_record(delivery.seq);
            if made_at.is_none() && !(is_orphan && self.placed.insert(delivery)) {
                continue;
            }
            let event = find_event(self.scan, seq)?.map(|(event, _)| event);
            found.push(DeliveryRow::of(delivery, seq, event.as_deref(), made_at));
        }
        Ok(found)
    }

    /// Shows one more, if it passes. Returns whether others fit.
    pub fn add(&mut self, candidate: DeliveryRow) -> Result<bool, Problem> {
        if candidate.passes(&self.query.filter, &self.scan.admin) {
            self.waiting.push(candidate);
        }
        if self.waiting.len() >= CANDIDATES {
            self.flush()?;
        }
        Ok(self.left > 0)
    }

    /// Classifies what was found, completes it and sends it.
    pub fn flush(&mut self) -> Result<(), Problem> {
        let candidates = std::mem::take(&mut self.waiting);
        let ids: Vec<DeliveryId> = candidates.iter().map(|c| c.id).collect();
        let views = self.scan.delivery_views(&ids)?;
        let views: HashMap<DeliveryId, DeliverySnapshot> =
            views.into_iter().map(|v| (v.delivery, v)).collect();

        let is_wanted = |v: &&DeliverySnapshot| self.query.state.is_none_or(|s| s == v.state);
        let wanted = |c: DeliveryRow| {
            let view = views.get(&c.id).filter(is_wanted)?.clone();
            Some((c, view))
        };
        let mut rows: Vec<(DeliveryRow, DeliverySnapshot)> =
            candidates.into_iter().filter_map(wanted).collect();
        rows.truncate(self.left);
        self.left -= rows.len();

        let ended: HashMap<DeliveryId, DeliveryState> =
            rows.iter().filter(|(_, v)| has_ended(v.state)).map(|(c, v)| (c.id, v.state)).collect();
        let attempts = count_attempts(self.scan, &ended)?;
        for (candidate, snapshot) in rows {
            let counted = attempts.get(&candidate.id).copied();
            self.scan.send(&candidate.view(&self.scan.admin, &snapshot, counted))?;
        }
        Ok(())
    }
}

/// The endpoints with deliveries that have not ended. Those of all others need not be asked about:
/// that is most of a long log.
fn with_something_to_do(scan: &LogScan) -> Result<HashSet<EndpointId>, Problem> {
    let endpoints = scan.ask(&EndpointsQuery)?;
    let busy = endpoints.iter().filter(|endpoint| endpoint.waiting > 0);
    Ok(busy.map(|endpoint| endpoint.endpoint.id).collect())
}

/// The deliveries that were made of an event when it was accepted.
fn fanned_out(seq: Seq, held: HeldEvent<'_>) -> Vec<DeliveryRow> {
    let ids = held.fan_out.iter().map(|endpoint| DeliveryId { seq, endpoint: *endpoint });
    ids.map(|id| DeliveryRow::new(id, held.event, held.event.received_at)).collect()
}
