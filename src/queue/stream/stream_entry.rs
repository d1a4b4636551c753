//! One delivery in an endpoint's stream.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, Seq, SourceId};
use crate::record::WaitingDelivery;

/// One delivery at its position in the endpoint's stream.
#[derive(Clone, Debug)]
pub struct StreamEntry {
    /// The record that put it into the stream: `EventAccepted`, `Replayed` or `DeliveryRetried`.
    pub position: Seq,
    pub delivery: DeliveryId,
    /// The record of its event.
    pub event: Seq,
    /// The event, when it was at hand.
    pub loaded: Option<Arc<Event>>,
    pub attempts: u32,
    /// The record of its last attempt, or 0.
    pub last: Seq,
    /// When it was accepted, by the run clock; 0 when its record is older than that clock.
    pub born: u64,
    /// Its ordering key, where the endpoint has one and the event was at hand.
    pub key: Option<u64>,
    /// The key of which catching up keeps the latest, likewise.
    pub latest_key: Option<u64>,
    /// The source of its event; 0 when that is not known yet.
    pub source: SourceId,
}

impl StreamEntry {
    /// What waits at its position. Its keys are not known yet: they are read from its event.
    #[must_use]
    pub fn new(waiting: WaitingDelivery, loaded: Option<Arc<Event>>) -> Self {
        let WaitingDelivery { delivery, position, event, attempts, last, key: _, born, source } =
            waiting;
        Self {
            position,
            delivery,
            event,
            loaded,
            attempts,
            last,
            born,
            key: None,
            latest_key: None,
            source,
        }
    }

    /// Whether somebody asked for it, by a replay or once more: then it stands for itself, and is
    /// not the latest of a key. What retention put at another position has not been attempted.
    #[must_use]
    pub fn was_asked_for(&self) -> bool {
        let delivery = self.delivery.seq;
        self.event != delivery || (self.position != delivery && self.attempts > 0)
    }
}
