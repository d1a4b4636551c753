//! The value itself, with its two halves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::ages::Ages;
use super::backlog::CatchingUp;
use super::breaker::Breaker;
use super::bucket::TokenBucket;
use super::delivery::{ActiveDelivery, BatchInFlight};
use super::left_out::LeftOut;
use super::prefetch::Prefetch;
use super::timers::Timers;
use crate::model::{BatchId, Seq};
use crate::queue::link::Locality;
use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::stream::lanes::Lanes;

/// One endpoint: what is remembered of it, and what it does right now.
///
/// It is written and read, copied and compared as what is remembered of it. A copy does nothing
/// yet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointQueue {
    pub(super) remembered: EndpointState,
    #[serde(skip)]
    pub(super) runtime: Runtime,
}

/// What an endpoint does right now.
#[derive(Debug)]
pub(super) struct Runtime {
    pub prefetch: Prefetch,
    pub timers: Timers,
    pub lanes: Lanes,
    pub in_flight: BTreeMap<Seq, ActiveDelivery>,
    pub batches_in_flight: BTreeMap<BatchId, BatchInFlight>,
    /// Their members that have not ended, so that one need not be looked for in each batch.
    pub members_in_flight: BTreeSet<Seq>,
    /// Deliveries whose events are being read, to become a batch.
    pub gathering: Vec<ActiveDelivery>,
    /// Which these are.
    pub gathered: BTreeSet<Seq>,
    /// Attempts that may be in flight: one more with each success, half as many with a failure.
    pub window: u32,
    /// Whether its last free slot went to a retry: first attempts and retries take turns.
    pub retry_last: bool,
    /// Whether the batch that is due may take deliveries that were not attempted yet.
    pub gathers_fresh: bool,
    pub rate: TokenBucket,
    pub breaker: Breaker,
    /// No attempt before this, because the receiver asked for it.
    pub paused_until: u64,
    /// It took something since the start, or the last thing before it.
    pub has_succeeded: bool,
    /// When its run of failures was last looked at, by the clock of failures; `None` where there
    /// was nothing to send since.
    pub failed_at: Option<u64>,
    /// Where it leads, as far as the link is concerned.
    pub locality: Locality,
    /// How long the link to it was down in earlier outages, and since when it is down now.
    pub away_ms: u64,
    pub away_since: Option<u64>,
    pub catching_up: Option<CatchingUp>,
    /// How many deliveries of a leased endpoint may be out: what consumers hold, and what they wait
    /// for.
    pub leases_wanted: usize,
    pub ages: Ages,
    pub left_out: LeftOut,
}

impl Default for Runtime {
    /// That of an endpoint which does nothing.
    fn default() -> Self {
        Self {
            prefetch: Prefetch::default(),
            timers: Timers::default(),
            lanes: Lanes::default(),
            in_flight: BTreeMap::new(),
            batches_in_flight: BTreeMap::new(),
            members_in_flight: BTreeSet::new(),
            gathering: Vec::new(),
            gathered: BTreeSet::new(),

            window: 0,
            retry_last: false,
            gathers_fresh: false,
            rate: TokenBucket::default(),
            breaker: Breaker::default(),
            paused_until: 0,
            has_succeeded: false,
            failed_at: None,

            locality: Locality::Here,
            away_ms: 0,
            away_since: None,
            catching_up: None,
            leases_wanted: 0,
            ages: Ages::default(),
            left_out: LeftOut::default(),
        }
    }
}

impl EndpointQueue {
    /// One that does nothing yet.
    #[must_use]
    pub fn new(remembered: EndpointState) -> Self {
        Self { remembered, runtime: Runtime::default() }
    }

    /// What is remembered of it, for `State::apply` and for nobody else.
    pub(in crate::queue) fn remembered_mut(&mut self) -> &mut EndpointState {
        &mut self.remembered
    }
}

/// What is remembered is read through the value. No method of the value has the name of a field or
/// a method of that half: `tests/library/tidy/names.rs` holds it.
impl Deref for EndpointQueue {
    type Target = EndpointState;

    fn deref(&self) -> &EndpointState {
        &self.remembered
    }
}

impl Clone for EndpointQueue {
    fn clone(&self) -> Self {
        Self::new(self.remembered.clone())
    }
}

impl PartialEq for EndpointQueue {
    fn eq(&self, other: &Self) -> bool {
        self.remembered == other.remembered
    }
}
