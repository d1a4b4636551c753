//! The newest entries of all endpoints' streams, kept in memory, so that an endpoint which is
//! nearly up to date does not read the log. Bounded by number and bytes; older entries are read
//! from the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::order::{Keys, latest_key};
use super::stream_entry::StreamEntry;
use crate::model::{DeliveryId, EndpointId, Event, Seq, limits};

/// A record that added entries to streams.
#[derive(Clone, Debug)]
enum RecentRecord {
    Accepted {
        seq: Seq,
        event: Arc<Event>,
        fan_out: Vec<EndpointId>,
        /// Its keys at some JSON Pointers.
        keys: Vec<(String, u64)>,
        /// When it was accepted, by the run clock.
        born: u64,
    },
    Single(StreamEntry),
}

/// The newest stream records, in order, without gaps from `covers_from` on.
#[derive(Debug, Default)]
pub struct Recent {
    items: VecDeque<RecentRecord>,
    bytes: usize,
    covers_from: Seq,
}

impl RecentRecord {
    fn position(&self) -> Seq {
        match self {
            Self::Accepted { seq, .. } => *seq,
            Self::Single(entry) => entry.position,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Accepted { event, keys, .. } => {
                event.cost() + keys.iter().map(|(pointer, _)| pointer.len() + 32).sum::<usize>()
            }
            Self::Single(_) => 64,
        }
    }

    /// The entry that the record adds to the stream of `endpoint`, with the `asked` keys that were
    /// found already.
    fn entry_for(&self, endpoint: EndpointId, asked: &Keys) -> Option<StreamEntry> {
        let (seq, event, keys, born) = match self {
            Self::Single(entry) if entry.delivery.endpoint == endpoint => {
                return Some(entry.clone());
            }
            Self::Accepted { seq, event, fan_out, keys, born } if fan_out.contains(&endpoint) => {
                (*seq, event, keys, *born)
            }
            Self::Single(_) | Self::Accepted { .. } => return None,
        };

        let found = |pointer: &Option<String>| {
            let known = keys.iter().find(|(known, _)| Some(known) == pointer.as_ref());
            known.map(|(_, key)| *key)
        };
        Some(StreamEntry {
            position: seq,
            delivery: DeliveryId { seq, endpoint },
            event: seq,
            loaded: Some(event.clone()),
            attempts: 0,
            last: 0,
            born,
            key: found(&asked.order),
            latest_key: found(&asked.latest).map(|value| latest_key(value, event.source)),
            source: event.source,
        })
    }
}

impl Recent {
    /// Keeps records from `from` on.
    #[must_use]
    pub fn starting_at(from: Seq) -> Self {
        Self { items: VecDeque::new(), bytes: 0, covers_from: from }
    }

    /// Every stream record from this one on is here.
    #[must_use]
    pub fn covers_from(&self) -> Seq {
        self.covers_from
    }

    /// `born`: when it was accepted, by the run clock.
    pub fn push_event(
        &mut self,
        event: Arc<Event>,
        fan_out: Vec<EndpointId>,
        keys: Vec<(String, u64)>,
        born: u64,
    ) {
        self.push(RecentRecord::Accepted { seq: event.id.seq, event, fan_out, keys, born });
    }

    pub fn push_single(&mut self, entry: StreamEntry) {
        self.push(RecentRecord::Single(entry));
    }

    /// The entries of `endpoint` from `from` on, in order, with the `asked` keys that were found
    /// already.
    pub fn entries<'a>(
        &'a self,
        endpoint: EndpointId,
        from: Seq,
        asked: &'a Keys,
    ) -> impl Iterator<Item = StreamEntry> + 'a {
        let start = self.items.partition_point(|item| item.position() < from);
        self.items.range(start..).filter_map(move |item| item.entry_for(endpoint, asked))
    }

    fn push(&mut self, item: RecentRecord) {
        self.bytes += item.cost();
        self.items.push_back(item);
        while self.items.len() > limits::RECENT || self.bytes > limits::RECENT_BYTES {
            let Some(gone) = self.items.pop_front() else { break };
            self.bytes -= gone.cost();
            self.covers_from = gone.position() + 1;
        }
    }
}
