//! A `delivery list` under way: candidates out of the log, classified by the state and sent.

use std::collections::{HashMap, HashSet};

use super::ends::{DeliveryEnds, has_ended};
use super::row::DeliveryRow;
use crate::admin::http::problem::Problem;
use crate::admin::resources::names::endpoint_ids;
use crate::admin::scan::candidates::{CandidateWalk, NextCandidate};
use crate::admin::scan::event_lookup::{RelocatedEvents, find as find_event, listed_at};
use crate::admin::scan::filters::DeliveryQuery;
use crate::admin::scan::log_scan::LogScan;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq};
use crate::queue::{Candidates, DeliverySnapshot, LastDeliveryQuery, RelocatedQuery};
use crate::record::{HeldEvent, Record, Sieve, WaitingDelivery};

/// Candidates that are classified at a time.
const CANDIDATES: usize = 64;

/// One `delivery list` under way.
pub struct DeliveryListing<'a> {
    pub scan: &'a LogScan,
    pub query: &'a DeliveryQuery,
    pub left: usize,
    waiting: Vec<DeliveryRow>,
    sieve: Sieve,
    /// The endpoints that the filter names, by their numbers.
    endpoints: Option<HashSet<EndpointId>>,
    /// The last delivery of the page before, and the record where that is listed.
    after: Option<(Seq, DeliveryId)>,
    /// The record down to which it has looked when it had found nothing for too long.
    pub overdue_at: Option<Seq>,
    relocated: RelocatedEvents,
    /// Replays without a record of their own, shown where they were placed anew.
    pub placed: HashSet<DeliveryId>,
}

impl<'a> DeliveryListing<'a> {
    pub fn new(scan: &'a LogScan, query: &'a DeliveryQuery, limit: usize) -> Self {
        let named = query.filter.endpoint.as_deref();
        let endpoints = named.map(|name| endpoint_ids(&scan.admin, name));
        Self {
            scan,
            query,
            left: limit,
            waiting: Vec::new(),
            sieve: Sieve::deliveries(&query.filter.events, endpoints.clone()),
            endpoints: endpoints.map(|ids| ids.into_iter().collect()),
            after: None,
            overdue_at: None,
            relocated: RelocatedEvents::default(),
            placed: HashSet::new(),
        }
    }

    /// Scans the log from behind this delivery.
    pub fn walk_behind(&mut self, last: DeliveryId) -> Result<(), Problem> {
        let at = listed_at(self.scan, last.seq)?;
        self.after = Some((at, last));
        self.walk(at.saturating_add(1))
    }

    /// Scans the records of the log before this one: those that can be of deliveries in the wanted
    /// state, where the queue knows them, or else all.
    pub fn walk(&mut self, before: Seq) -> Result<(), Problem> {
        let rest = match (self.query.state, &self.endpoints) {
            (_, Some(nobody)) if nobody.is_empty() => None,
            (Some(state), _) => self.walk_candidates(state, before)?,
            (None, Some(endpoints)) => {
                let last = self.last_of(endpoints)?;
                self.walk_relocated(last, before)?.then_some(before.min(last.saturating_add(1)))
            }
            (None, None) => Some(before),
        };
        if let Some(before) = rest {
            self.walk_all(before)?;
        }
        self.flush()
    }

    /// Behind which record deliveries of these endpoints stand only where something was relocated.
    fn last_of(&self, endpoints: &HashSet<EndpointId>) -> Result<Seq, Problem> {
        let query = LastDeliveryQuery(endpoints.iter().copied().collect());
        let last = self.scan.ask(&query)?;
        Ok(last.unwrap_or(Seq::MAX))
    }

    /// Reads the records that can be of deliveries in this state. Returns before which one all have
    /// to be read, if it is not known of all.
    fn walk_candidates(
        &mut self,
        state: DeliveryState,
        before: Seq,
    ) -> Result<Option<Seq>, Problem> {
        let endpoint = self.query.filter.endpoint.clone();
        let mut walk = CandidateWalk::new(self.scan, state, endpoint, before);
        loop {
            let at = match walk.advance()? {
                NextCandidate::Record(at) => at,
                NextCandidate::AllBefore(before) => return Ok(Some(before)),
                NextCandidate::End => return Ok(None),
            };
            let read = self.scan.log().read_sifted(at, &self.sieve);
            let record = self.scan.entry(read.map(|record| (at, record)));
            if !self.take(at, record.and_then(|(_, record)| record), walk.endpoints())? {
                return Ok(None);
            }
        }
    }

    /// Reads the records between these two that hold what was relocated. Returns whether older ones
    /// are wanted.
    fn walk_relocated(&mut self, after: Seq, mut before: Seq) -> Result<bool, Problem> {
        let endpoints = self.endpoints.clone();
        while before > after {
            self.scan.still_wanted()?;
            let Candidates { from, records, .. } =
                self.scan.ask(&RelocatedQuery { after, before })?;
            for at in records.iter().rev() {
                let read = self.scan.log().read_sifted(at, &self.sieve);
                let record = self.scan.entry(read.map(|record| (at, record)));
                if !self.take(at, record.and_then(|(_, record)| record), endpoints.as_ref())? {
                    return Ok(false);
                }
            }
            before = from;
        }
        Ok(true)
    }

    /// Reads all records before this one.
    fn walk_all(&mut self, before: Seq) -> Result<(), Problem> {
        let endpoints = self.endpoints.clone();
        for entry in self.scan.log().backward_sifted(before, self.sieve.clone()) {
            let Some((at, record)) = self.scan.entry(entry) else { continue };
            if !self.take(at, record, endpoints.as_ref())? {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what a record says of deliveries, of these endpoints or of all. Returns whether
    /// older ones are wanted.
    fn take(
        &mut self,
        at: Seq,
        record: Option<Record>,
        endpoints: Option<&HashSet<EndpointId>>,
    ) -> Result<bool, Problem> {
        self.scan.still_wanted()?;
        // Deliveries of an event stand at its own record or later.
        let oldest = self.query.filter.events.event.map_or(0, |id| id.seq);
        if at < oldest || self.left == 0 {
            return Ok(false);
        }
        if let Some(record) = record {
            let found = self.candidates(at, record, endpoints)?;
            self.waiting.extend(found);
        }
        if self.waiting.len() >= CANDIDATES || self.scan.is_overdue() {
            self.flush()?;
        }
        // Neither was anything found that had only not been sent.
        if self.left > 0 && self.scan.is_overdue() {
            self.overdue_at = Some(at);
            return Ok(false);
        }
        Ok(true)
    }

    /// The deliveries that a record made, or that were relocated to it, and that pass the filters
    /// over events.
    fn candidates(
        &mut self,
        at: Seq,
        record: Record,
        endpoints: Option<&HashSet<EndpointId>>,
    ) -> Result<Vec<DeliveryRow>, Problem> {
        let mut found = match self.relocated.event(self.scan, at, &record)? {
            Some(held) => fanned_out(held.relocated_from.unwrap_or(at), held),
            None => self.without_event(at, &record)?,
        };

        let order = |id: DeliveryId| (std::cmp::Reverse(id.seq), id.endpoint);
        found.sort_by_key(|c: &DeliveryRow| order(c.id));
        let behind = self.after.filter(|(listed_at, _)| *listed_at == at).map(|(_, id)| order(id));
        let admin = &self.scan.admin;
        found.retain(|candidate| {
            let can_be = |endpoints: &HashSet<_>| endpoints.contains(&candidate.id.endpoint);
            endpoints.is_none_or(can_be)
                && behind.is_none_or(|last| order(candidate.id) > last)
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
        let ends = DeliveryEnds::find(self.scan, &ended)?;
        for (candidate, snapshot) in rows {
            let admin = &self.scan.admin;
            let view = match ends.dead.get(&candidate.id) {
                Some(dead) => candidate.dead_view(admin, dead),
                None if has_ended(snapshot.state) => {
                    candidate.view(admin, &snapshot, ends.attempts(candidate.id))
                }
                None => {
                    let attempts = snapshot.retry.map_or(0, |retry| retry.attempts);
                    candidate.view(admin, &snapshot, Some(attempts))
                }
            };
            self.scan.send(&view)?;
        }
        Ok(())
    }
}

/// The deliveries that were made of an event when it was accepted.
fn fanned_out(seq: Seq, held: HeldEvent<'_>) -> Vec<DeliveryRow> {
    let ids = held.fan_out.iter().map(|endpoint| DeliveryId { seq, endpoint: *endpoint });
    ids.map(|id| DeliveryRow::new(id, held.event, held.event.received_at)).collect()
}
