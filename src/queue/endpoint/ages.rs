//! An index of how old an endpoint's deliveries are. Plain data; see `aging`.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Seq;

/// How old an endpoint's deliveries are.
#[derive(Debug, Default)]
pub struct Ages {
    /// What waits at hand, by when it was accepted. Some of these may have ended: that shows when
    /// their turn comes.
    pub(super) at_hand: BTreeSet<(u64, Seq)>,
    /// What is being attempted, or read for that: how many of them were accepted when.
    under_way: BTreeMap<u64, usize>,
    /// Nothing that was left in the stream was accepted before this.
    pub(super) in_stream: u64,
    /// What waits in the stream stands at this position or behind it.
    pub(super) read_to: Seq,
    /// A slice of the stream is being read: since this time of the run clock, when this was the
    /// number of the next record.
    pub(super) reading: Option<(u64, Seq)>,
    /// Something went back to the stream meanwhile.
    pub(super) returned: bool,
    /// When it was looked at last, on the monotonic clock.
    pub(super) looked_at: u64,
}

impl Ages {
    /// This one waits at hand.
    pub fn enter(&mut self, born: u64, delivery: Seq) {
        self.at_hand.insert((born, delivery));
    }

    /// This one is attempted, or read for that, from now on.
    pub fn attempt_begins(&mut self, born: u64) {
        *self.under_way.entry(born).or_default() += 1;
    }

    /// This one is so no more.
    ///
    /// # Panics
    /// When it was not.
    pub fn attempt_ends(&mut self, born: u64) {
        let Some(count) = self.under_way.get_mut(&born) else {
            panic!("no attempt of what was accepted at {born} is under way: {self:?}")
        };
        *count -= 1;
        if *count == 0 {
            self.under_way.remove(&born);
        }
    }

    /// When the oldest of what is attempted was accepted.
    #[must_use]
    pub fn oldest_under_way(&self) -> Option<u64> {
        self.under_way.keys().next().copied()
    }

    /// One that was at hand waits in the stream again.
    pub fn left_in_stream(&mut self, position: Seq, born: u64) {
        self.in_stream = self.in_stream.min(born);
        self.read_to = self.read_to.min(position);
        self.returned = true;
    }

    /// The stream has been read up to one that was accepted at `born`, and nothing before it was
    /// left.
    pub fn read_past(&mut self, born: u64) {
        self.in_stream = self.in_stream.max(born);
    }

    /// The stream was empty, and the next in it comes from now on.
    pub fn begin(&mut self, position: Seq, ran_ms: u64) {
        (self.in_stream, self.read_to) = (ran_ms, position);
    }
}
