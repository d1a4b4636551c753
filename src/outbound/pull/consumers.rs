//! The consumers of one endpoint, and the deliveries that wait for them.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::{DeliveryId, Event, LeasedDelivery, Now, limits};

/// Supposed size of an endpoint's events before the first has come: a few are asked for.
const FIRST_EVENT_BYTES: usize = limits::LEASE_BYTES / 8;

/// The consumers of one endpoint.
pub struct EndpointConsumers {
    /// Those who wait: first who can take more, the one that has waited longest at the front.
    pub waiting: VecDeque<Consumer>,
    /// Deliveries that came when nobody waited, with the time by the monotonic clock.
    pub offered: VecDeque<(OfferedDelivery, u64)>,
    /// Deliveries that are leased.
    pub leased: usize,
    /// The number of deliveries that may be out, as the queue knows it.
    pub reported: usize,
    /// About how many bytes the next event has.
    pub event_bytes: usize,
}

impl Default for EndpointConsumers {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            offered: VecDeque::new(),
            leased: 0,
            reported: 0,
            event_bytes: FIRST_EVENT_BYTES,
        }
    }
}

impl EndpointConsumers {
    /// Nobody waits and nothing is out: it can be forgotten.
    pub fn is_unused(&self) -> bool {
        self.leased == 0 && self.waiting.is_empty() && self.offered.is_empty()
    }

    /// The consumer whose turn it is, if one can take more.
    pub fn next_consumer(&mut self) -> Option<&mut Consumer> {
        self.waiting.front_mut().filter(|consumer| consumer.capacity > 0)
    }

    /// Puts the consumer at the front behind the others if it is full. What it got waits there for
    /// it.
    pub fn rotate_full(&mut self) {
        let is_full =
            |consumer: &Consumer| consumer.capacity == 0 || consumer.bytes >= limits::LEASE_BYTES;
        if self.waiting.front().is_some_and(is_full)
            && let Some(full) = self.waiting.pop_front()
        {
            self.waiting.push_back(Consumer { capacity: 0, ..full });
        }
    }

    /// How many deliveries may be out: those that are, and those that consumers wait for. Of the
    /// latter so many that their bodies are about what one answer takes, and never many: the size
    /// of small ones is not a measure of the next.
    pub fn wanted(&self) -> usize {
        let capacity = self.waiting.iter().map(|consumer| consumer.capacity).sum::<usize>();
        let at_a_time =
            (limits::LEASE_BYTES / self.event_bytes.max(1)).clamp(1, limits::LEASES_COMING);
        self.leased + self.offered.len() + capacity.min(at_a_time)
    }
}

/// A delivery that is to be leased.
pub struct OfferedDelivery {
    pub delivery: DeliveryId,
    pub number: u32,
    pub event: Arc<Event>,
}

/// A consumer that waits.
pub struct Consumer {
    pub id: u64,
    /// How many more it can take.
    pub capacity: usize,
    pub bytes: usize,
    pub lease_ms: u64,
    pub got: Vec<LeasedDelivery>,
    /// Notified when it gets something.
    pub called: Arc<Notify>,
}

/// A delivery that is leased.
pub struct Lease {
    pub delivery: DeliveryId,
    pub leased_at: Now,
    /// By the monotonic clock.
    pub expires_at: u64,
}
