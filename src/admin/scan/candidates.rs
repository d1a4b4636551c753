//! The records at which deliveries in some state can stand, the newest first, as the queue knows
//! them. It is asked part by part, so that nobody holds all of them.

use std::collections::HashSet;

use roaring::RoaringTreemap;

use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::{DeliveryState, EndpointId, Seq, limits};
use crate::queue::{Candidates, CandidatesQuery, MovedEventsQuery};

/// What comes next of a [`CandidateWalk`].
pub enum NextCandidate {
    Record(Seq),
    /// All records before this one can be.
    AllBefore(Seq),
    End,
}

/// One walk over them.
pub struct CandidateWalk<'a> {
    scan: &'a LogScan,
    query: CandidatesQuery,
    /// Where relocated events stand: whose they are, their records say.
    moved: RoaringTreemap,
    /// What is left of the part that was asked for last.
    part: RoaringTreemap,
    endpoints: HashSet<EndpointId>,
}

impl<'a> CandidateWalk<'a> {
    /// One over the records before this one, for deliveries in this state, of all endpoints or of
    /// those of one name.
    pub fn new(
        scan: &'a LogScan,
        state: DeliveryState,
        endpoint: Option<String>,
        before: Seq,
    ) -> Result<Self, Problem> {
        let query = CandidatesQuery { state, endpoint, before };
        let (part, endpoints) = (RoaringTreemap::new(), HashSet::new());
        Ok(Self { scan, query, moved: moved_events(scan)?, part, endpoints })
    }

    pub fn advance(&mut self) -> Result<NextCandidate, Problem> {
        loop {
            if let Some(seq) = self.part.max() {
                self.part.remove(seq);
                return Ok(NextCandidate::Record(seq));
            }
            let before = self.query.before;
            if before == 0 {
                return Ok(NextCandidate::End);
            }
            self.scan.still_wanted()?;
            let Some(found) = self.scan.ask(&self.query)? else {
                return Ok(NextCandidate::AllBefore(before));
            };
            self.take(found);
        }
    }

    fn take(&mut self, found: Candidates) {
        let Candidates { from, records, endpoints } = found;
        let mut moved = self.moved.clone();
        moved.remove_range(self.query.before..);
        moved.remove_range(..from);
        self.part = records | moved;
        self.endpoints = endpoints.into_iter().collect();
        self.query.before = from;
    }

    /// The endpoints that can have such deliveries.
    pub fn endpoints(&self) -> &HashSet<EndpointId> {
        &self.endpoints
    }
}

/// The records of all events that were relocated and are still needed.
fn moved_events(scan: &LogScan) -> Result<RoaringTreemap, Problem> {
    let mut records = RoaringTreemap::new();
    let mut query = MovedEventsQuery { after: 0, limit: limits::MOVED_SLICE };
    loop {
        scan.still_wanted()?;
        let moved = scan.ask(&query)?;
        let Some((last, _)) = moved.last().copied() else { return Ok(records) };
        query.after = last;
        records.extend(moved.into_iter().map(|(_, at)| at));
    }
}
