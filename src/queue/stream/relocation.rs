//! A segment that is about to be dropped, and what was read of it, so that what is still needed of
//! it can be written again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::{key_at, latest_key};
use crate::model::{DeliveryId, EndpointId, Event, Seq};
use crate::record::{DeadLetter, WaitingDelivery};

/// The records of a segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentRange {
    pub first: Seq,
    pub last: Seq,
}

impl SegmentRange {
    #[must_use]
    pub fn holds(self, seq: Seq) -> bool {
        self.first <= seq && seq <= self.last
    }
}

/// An event in a segment to be dropped.
#[derive(Clone, Debug)]
pub struct RelocatedEvent {
    pub seq: Seq,
    /// The record that it was read from.
    pub at: Seq,
    pub event: Arc<Event>,
    pub fan_out: Vec<EndpointId>,
    /// The queue has said that it is needed, whatever waits in streams.
    pub known: bool,
}

/// A slice of a segment to be dropped: what may still be needed of it.
#[derive(Clone, Debug, Default)]
pub struct RelocationSlice {
    pub events: Vec<RelocatedEvent>,
    /// Deliveries that may wait at positions in streams, each with the record that holds it.
    pub positions: Vec<(Seq, WaitingDelivery)>,
    /// What the keys of these positions were looked up by: a JSON Pointer for each endpoint that
    /// wants the latest of a key.
    pub latest: BTreeMap<EndpointId, String>,
    /// Dead letters that are kept, by the records that hold them.
    pub dead: Vec<(Seq, DeadLetter)>,
    /// Dead letters that have expired, likewise.
    pub expired: Vec<(Seq, DeliveryId)>,
}

impl RelocationSlice {
    /// Looks up the keys of which these endpoints want the latest, each at its JSON Pointer. What
    /// was relocated before has its key already.
    pub fn find_keys(&mut self, latest: &BTreeMap<EndpointId, String>) {
        self.latest.clone_from(latest);
        if latest.is_empty() {
            return;
        }

        let events: BTreeMap<Seq, &Event> =
            self.events.iter().map(|relocated| (relocated.at, &*relocated.event)).collect();
        for (at, waiting) in &mut self.positions {
            let pointer = latest.get(&waiting.delivery.endpoint);
            if let Some((pointer, event)) = pointer.zip(events.get(at)) {
                waiting.key = Some(latest_key(key_at(&event.body, pointer), event.source));
            }
        }
    }
}
