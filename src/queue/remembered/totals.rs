//! What is counted over all endpoints. Whoever asks for it does not walk over them: senders cause
//! dead letters, and they may have been made for thousands of endpoints.
//!
//! When they are counted: see `counting`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What is counted over all endpoints, the deleted ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointTotals {
    /// Deliveries that have not ended, of endpoints that are not on hold and of those that are.
    pub pending: u64,
    pub held: u64,
    /// Those of the pending ones that wait for a retry.
    pub retrying: u64,
    pub delivered: u64,
    pub dead: u64,
    /// Dead letters of deleted endpoints.
    pub dead_of_deleted: u64,
    /// Endpoints that were not deleted, and endpoints with deliveries that have not ended.
    pub living: usize,
    pub with_backlog: usize,
    /// Names that deleted endpoints with dead letters had, and how many these are; the same by
    /// their number, so that those with most of them are found at once.
    by_name: BTreeMap<String, u64>,
    by_number: BTreeSet<(Reverse<u64>, String)>,
}

/// What one endpoint adds to the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct EndpointPart {
    pub undone: u64,
    pub retrying: u64,
    pub delivered: u64,
    pub dead: u64,
    pub is_held: bool,
    pub is_deleted: bool,
}

impl EndpointPart {
    fn dead_of_deleted(&self) -> u64 {
        if self.is_deleted { self.dead } else { 0 }
    }
}

impl EndpointTotals {
    /// Of how many deliveries it is remembered that they wait or are dead.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.pending + self.held + self.dead
    }

    /// The names that deleted endpoints with dead letters had, and how many these are: most of them
    /// first.
    pub fn deleted_with_dead(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_number.iter().map(|(Reverse(dead), name)| (name.as_str(), *dead))
    }

    /// Counts the part of an endpoint of this name, in place of what was counted of it before.
    pub(in crate::queue) fn replace(
        &mut self,
        name: &str,
        before: Option<EndpointPart>,
        part: EndpointPart,
    ) {
        self.add(&part);
        self.count_deleted(name, before.unwrap_or_default(), part);
        if let Some(before) = before {
            self.subtract(&before);
        }
    }

    /// The endpoint is forgotten, of which this was counted.
    pub(in crate::queue) fn forget(&mut self, name: &str, part: EndpointPart) {
        self.count_deleted(name, part, EndpointPart::default());
        self.subtract(&part);
    }

    fn add(&mut self, part: &EndpointPart) {
        match part.is_held {
            true => self.held += part.undone,
            false => {
                self.pending += part.undone;
                self.retrying += part.retrying;
            }
        }
        self.delivered += part.delivered;
        self.dead += part.dead;
        self.dead_of_deleted += part.dead_of_deleted();
        self.living += usize::from(!part.is_deleted);
        self.with_backlog += usize::from(part.undone > 0);
    }

    /// What was added before.
    fn subtract(&mut self, part: &EndpointPart) {
        match part.is_held {
            true => self.held -= part.undone,
            false => {
                self.pending -= part.undone;
                self.retrying -= part.retrying;
            }
        }
        self.delivered -= part.delivered;
        self.dead -= part.dead;
        self.dead_of_deleted -= part.dead_of_deleted();
        self.living -= usize::from(!part.is_deleted);
        self.with_backlog -= usize::from(part.undone > 0);
    }

    /// Counts the dead letters of a deleted endpoint by its name.
    fn count_deleted(&mut self, name: &str, before: EndpointPart, part: EndpointPart) {
        let (before, now) = (before.dead_of_deleted(), part.dead_of_deleted());
        if before == now {
            return;
        }

        let old = self.by_name.get(name).copied().unwrap_or(0);
        let new = old - before + now;
        self.by_number.remove(&(Reverse(old), name.to_owned()));
        if new == 0 {
            self.by_name.remove(name);
            return;
        }
        self.by_number.insert((Reverse(new), name.to_owned()));
        self.by_name.insert(name.to_owned(), new);
    }
}
