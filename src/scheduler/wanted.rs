//! How many deliveries of pull endpoints may be out. Consumers change it with each call, however
//! many there are of them, so that it takes no place in the channel: the thread takes the newest
//! number of each endpoint with its next step.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{EndpointId, Now};
use crate::queue::{Input, Query, Queue};

/// The newest numbers that the thread has not taken yet, by endpoint.
#[derive(Debug, Default)]
pub(super) struct WantedTotals {
    totals: Mutex<BTreeMap<EndpointId, usize>>,
}

impl WantedTotals {
    /// Replaces the number of an endpoint. Returns whether the thread has to be woken: there was
    /// none before.
    pub fn set(&self, endpoint: EndpointId, total: usize) -> bool {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let wakes = totals.is_empty();
        totals.insert(endpoint, total);
        wakes
    }

    /// Takes what is new.
    pub fn take(&self) -> impl Iterator<Item = Input> {
        let totals =
            std::mem::take(&mut *self.totals.lock().unwrap_or_else(PoisonError::into_inner));
        totals.into_iter().map(|(endpoint, total)| Input::Wanted { endpoint, total })
    }
}

/// Asks for nothing: it wakes the thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct WakeScheduler;

impl Query for WakeScheduler {
    type Answer = ();

    fn answer(&self, _: &Queue, _: Now) {}
}
