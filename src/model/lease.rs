//! Leases: the requests of the consumers of a pull endpoint, and what they get.

use std::sync::Arc;

use super::{DeliveryId, Event, WallMs};

/// A request of one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    pub max: usize,
    /// How long it waits for the first event.
    pub wait_ms: u64,
    pub lease_ms: u64,
}

/// A delivery that is leased to a consumer.
#[derive(Clone, Debug)]
pub struct LeasedDelivery {
    /// Unguessable: whoever knows it may settle the lease.
    pub lease: String,
    pub delivery: DeliveryId,
    pub number: u32,
    pub event: Arc<Event>,
    pub expires_at: WallMs,
}

/// How a consumer settles a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The delivery succeeded.
    Ack,
    /// The delivery failed: it is retried by the endpoint's policy, not before `after_ms`.
    Reject { after_ms: Option<u64>, reason: String },
    /// The delivery is given up: it becomes a dead letter.
    Dead { reason: String },
    /// The consumer needs more time.
    Extend { lease_ms: u64 },
}

/// Why a lease could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    #[error(
        "there is no such lease: it expired, and its delivery may be leased to another consumer, \
         or it was settled already"
    )]
    Gone,
    #[error(
        "the delivery was cancelled, or its endpoint deleted, while it was leased: it cannot be \
         settled any more"
    )]
    Ended,
    #[error("the daemon is too busy: try again in a moment, the lease is still valid")]
    Busy,
    #[error("{0} consumers wait already: try again in a moment")]
    TooMany(usize),
}
