//! What the reader was asked for and has not read yet. What attempts wait for comes first, because
//! they hold places in flight; walks over the log, which take longer, share what is left.

use std::collections::VecDeque;

use crate::model::limits;
use crate::queue::{ReadOrder, StreamOrder};

/// Reads of events in a row after which a walk has its turn.
const EVENTS_IN_A_ROW: usize = 64;

/// At most `limits::READS` of them, because the queue asks for no more at a time.
#[derive(Debug, Default)]
pub(super) struct PendingReads {
    /// Of events whose attempts are to be made.
    events: VecDeque<ReadOrder>,
    in_a_row: usize,
    /// Reads that walk over the log.
    walks: VecDeque<ReadOrder>,
}

/// What the reader does next.
#[derive(Debug)]
pub(super) enum NextRead {
    One(ReadOrder),
    /// One walk for all of them.
    Streams(Vec<StreamOrder>),
}

impl PendingReads {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.walks.is_empty()
    }

    pub fn push(&mut self, order: ReadOrder) {
        let queue = match order {
            ReadOrder::Event { .. } | ReadOrder::Batch { .. } => &mut self.events,
            ReadOrder::Stream(_)
            | ReadOrder::Ages { .. }
            | ReadOrder::Replay { .. }
            | ReadOrder::ReplayLeft { .. } => &mut self.walks,
        };
        queue.push_back(order);
    }

    pub fn pop(&mut self) -> Option<NextRead> {
        let is_walks_turn = self.in_a_row >= EVENTS_IN_A_ROW && !self.walks.is_empty();
        if !is_walks_turn && let Some(order) = self.events.pop_front() {
            self.in_a_row += 1;
            return Some(NextRead::One(order));
        }

        self.in_a_row = 0;
        Some(match self.walks.pop_front()? {
            ReadOrder::Stream(first) if first.shares_walks() => {
                NextRead::Streams(self.with_neighbours(first))
            }
            other => NextRead::One(other),
        })
    }

    /// This stream, and those that begin in the part of the log which its walk may read.
    fn with_neighbours(&mut self, first: StreamOrder) -> Vec<StreamOrder> {
        let near = first.from..first.from.saturating_add(limits::REFILL_SCAN as u64);
        let mut streams = vec![first];
        for waiting in std::mem::take(&mut self.walks) {
            match waiting {
                ReadOrder::Stream(order) if order.shares_walks() && near.contains(&order.from) => {
                    streams.push(order);
                }
                other => self.walks.push_back(other),
            }
        }
        streams
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENTS_IN_A_ROW, NextRead, PendingReads};
    use crate::model::{DeliveryId, EndpointId, Seq};
    use crate::queue::{Keys, ReadOrder, StreamOrder};

    fn event(seq: Seq) -> ReadOrder {
        ReadOrder::Event { delivery: DeliveryId { seq, endpoint: 1 }, event: seq }
    }

    fn stream(endpoint: EndpointId, from: Seq) -> ReadOrder {
        let (max_entries, max_bytes, keys) = (1, 1, Keys::default());
        let (until, kept) = (None, None);
        let order = StreamOrder { endpoint, from, until, kept, max_entries, max_bytes, keys };
        ReadOrder::Stream(order)
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
