//! What is left in an endpoint's stream, because its sources have their share of the retries (see
//! [`super::retry_shares`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Seq, SourceId};

/// Sources that have their share of the retries.
#[derive(Debug, Default)]
pub struct LeftOut {
    /// The first position of the stream that was left for each.
    pub(super) first: BTreeMap<SourceId, Seq>,
    /// Of which something was left since this was last asked.
    pub(super) lately: BTreeSet<SourceId>,
}

impl LeftOut {
    pub(super) fn leave(&mut self, source: SourceId, position: Seq) {
        let first = self.first.entry(source).or_insert(position);
        *first = position.min(*first);
        self.lately.insert(source);
    }

    /// The first position of the stream that was left for any source.
    #[must_use]
    pub(super) fn first_position(&self) -> Option<Seq> {
        self.first.values().min().copied()
    }

    /// What was left before `from` in the stream is not there any more: what is behind it may still
    /// be.
    pub(super) fn forget_before(&mut self, from: Seq) {
        self.first.values_mut().for_each(|first| *first = from.max(*first));
    }
}
