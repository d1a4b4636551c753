//! What the reader was asked for and has not read yet. What attempts wait for comes first, because
//! they hold places in flight; walks over the log, which take longer, share what is left.

use std::collections::VecDeque;

use super::reads::ForwardRead;
use crate::queue::ReadOrder;

/// Reads of events in a row after which a walk has its turn.
const EVENTS_IN_A_ROW: usize = 64;

/// At most `limits::READS` of them, because the queue asks for no more at a time.
#[derive(Debug, Default)]
pub(super) struct PendingReads {
    /// Of events whose attempts are to be made.
    events: VecDeque<ReadOrder>,
    in_a_row: usize,
    walks: VecDeque<WalkOrder>,
}

/// A read that walks over the log.
#[derive(Debug)]
enum WalkOrder {
    Stream(ForwardRead),
    Other(ReadOrder),
}

/// What the reader does next.
#[derive(Debug)]
pub(super) enum NextRead {
    One(ReadOrder),
    /// One walk for all of them.
    Streams(Vec<ForwardRead>),
}

impl PendingReads {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.walks.is_empty()
    }

    pub fn push(&mut self, order: ReadOrder) {
        match order {
            ReadOrder::Event { .. } | ReadOrder::Batch { .. } => self.events.push_back(order),
            order => {
                let read = ForwardRead::try_from_order(order);
                self.walks.push_back(read.map_or_else(WalkOrder::Other, WalkOrder::Stream));
            }
        }
    }

    pub fn pop(&mut self) -> Option<NextRead> {
        let is_walks_turn = self.in_a_row >= EVENTS_IN_A_ROW && !self.walks.is_empty();
        if !is_walks_turn && let Some(order) = self.events.pop_front() {
            self.in_a_row += 1;
            return Some(NextRead::One(order));
        }

        self.in_a_row = 0;
        match self.walks.pop_front()? {
            WalkOrder::Other(order) => Some(NextRead::One(order)),
            WalkOrder::Stream(first) => Some(NextRead::Streams(self.with_neighbours(first))),
        }
    }

    /// This read, and those that can share its walk.
    fn with_neighbours(&mut self, first: ForwardRead) -> Vec<ForwardRead> {
        let mut together = vec![first];
        for walk in std::mem::take(&mut self.walks) {
            match walk {
                WalkOrder::Stream(read) if read.is_near(&together[0]) => together.push(read),
                other => self.walks.push_back(other),
            }
        }
        together
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENTS_IN_A_ROW, NextRead, PendingReads};
    use crate::model::{DeliveryId, EndpointId, Seq};
    use crate::queue::{Keys, ReadOrder};

    fn event(seq: Seq) -> ReadOrder {
        ReadOrder::Event { delivery: DeliveryId { seq, endpoint: 1 }, event: seq }
    }

    fn stream(endpoint: EndpointId, from: Seq) -> ReadOrder {
        let (max_entries, max_bytes, keys) = (1, 1, Keys::default());
        ReadOrder::Stream { endpoint, from, until: None, kept: None, max_entries, max_bytes, keys }
    }

    /// What is read, in its order: how many streams at once, or 0 for one event.
    fn all(mut pending: PendingReads) -> Vec<usize> {
        let next = std::iter::from_fn(move || pending.pop());
        let sizes = next.map(|next| match next {
            NextRead::One(_) => 0,
            NextRead::Streams(streams) => streams.len(),
        });
        sizes.collect()
    }

    #[test]
    fn events_come_before_walks_but_not_for_ever() {
        let mut pending = PendingReads::default();
        pending.push(stream(1, 1));
        (0..100).for_each(|seq| pending.push(event(seq)));

        let read = all(pending);

        assert_eq!(read.len(), 101);
        assert_eq!(read.iter().position(|streams| *streams == 1), Some(EVENTS_IN_A_ROW));
    }

    #[test]
    fn streams_that_are_near_each_other_share_a_walk() {
        let mut pending = PendingReads::default();
        for (endpoint, from) in [(1, 1_000), (2, 900), (3, 1_001), (4, 1 << 20), (5, 17_383)] {
            pending.push(stream(endpoint, from));
        }

        assert_eq!(all(pending), [3, 1, 1]);
    }
}
