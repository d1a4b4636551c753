//! The records at which deliveries in some state can stand, the newest first, as the queue knows
//! them. It is asked part by part, so that nobody holds all of them.

use std::collections::HashSet;

use roaring::RoaringTreemap;

use super::log_scan::LogScan;
use crate::admin::http::problem::Problem;
use crate::model::{DeliveryState, EndpointId, Seq};
use crate::queue::{Candidates, CandidatesQuery};

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
    /// What is left of the part that was asked for last.
    part: RoaringTreemap,
    endpoints: Option<HashSet<EndpointId>>,
}

impl<'a> CandidateWalk<'a> {
    /// One over the records before this one, for deliveries in this state, of all endpoints or of
    /// those of one name.
    pub fn new(
        scan: &'a LogScan,
        state: DeliveryState,
        endpoint: Option<String>,
        before: Seq,
    ) -> Self {
        let query = CandidatesQuery { state, endpoint, before };
        Self { scan, query, part: RoaringTreemap::new(), endpoints: None }
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
        self.part = records;
        self.endpoints = endpoints.map(|endpoints| endpoints.into_iter().collect());
        self.query.before = from;
    }

    /// The endpoints that can have such deliveries; `None`: any.
    pub fn endpoints(&self) -> Option<&HashSet<EndpointId>> {
        self.endpoints.as_ref()
    }
}
