//! The newest entries of all endpoints' streams, kept at hand so that a window which is nearly up to date reads
//! memory instead of the log. Bounded by number and bytes; what falls out is read from the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::input::StreamEntry;
use crate::model::{DeliveryId, EndpointId, Event, Seq, limits};

/// One record that put something into a stream.
#[derive(Clone, Debug)]
enum Item {
    Accepted { seq: Seq, event: Arc<Event>, fan_out: Vec<EndpointId> },
    Single(StreamEntry),
}

/// The newest stream records, in order, without gaps from `covers_from` on.
#[derive(Debug, Default)]
pub struct Recent {
    items: VecDeque<Item>,
    bytes: usize,
    covers_from: Seq,
}

impl Item {
    fn position(&self) -> Seq {
        match self {
            Self::Accepted { seq, .. } => *seq,
            Self::Single(entry) => entry.position,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Accepted { event, .. } => event.cost(),
            Self::Single(_) => 64,
        }
    }

    fn entry_for(&self, endpoint: EndpointId) -> Option<StreamEntry> {
        match self {
            Self::Accepted { seq, event, fan_out } => fan_out.contains(&endpoint).then(|| StreamEntry {
                position: *seq,
                delivery: DeliveryId { seq: *seq, endpoint },
                event: *seq,
                loaded: Some(event.clone()),
                attempts: 0,
                last: 0,
                key: None,
                latest_key: None,
            }),
            Self::Single(entry) => (entry.delivery.endpoint == endpoint).then(|| entry.clone()),
        }
    }
}

impl Recent {
    /// Begins to keep from record `from` on.
    #[must_use]
    pub fn starting_at(from: Seq) -> Self {
        Self { items: VecDeque::new(), bytes: 0, covers_from: from }
    }

    /// Every stream record at or after this one is here.
    #[must_use]
    pub fn covers_from(&self) -> Seq {
        self.covers_from
    }

    pub fn push_event(&mut self, event: Arc<Event>, fan_out: Vec<EndpointId>) {
        self.push(Item::Accepted { seq: event.id.seq, event, fan_out });
    }

    pub fn push_single(&mut self, entry: StreamEntry) {
        self.push(Item::Single(entry));
    }

    /// The entries of `endpoint` at or after `from`, in order.
    pub fn entries(&self, endpoint: EndpointId, from: Seq) -> impl Iterator<Item = StreamEntry> + '_ {
        let start = self.items.partition_point(|item| item.position() < from);
        self.items.range(start..).filter_map(move |item| item.entry_for(endpoint))
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.cost();
        self.items.push_back(item);
        while self.items.len() > limits::RECENT || self.bytes > limits::RECENT_BYTES {
            let Some(gone) = self.items.pop_front() else { break };
            self.bytes -= gone.cost();
            self.covers_from = gone.position() + 1;
        }
    }
}
