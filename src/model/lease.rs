//! Leases: what the consumers of a pull endpoint ask for, get, and say.

use std::sync::Arc;

use super::{DeliveryId, Event, WallMs};

/// What one consumer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAsk {
    pub max: usize,
    /// How long it waits for the first.
    pub wait_ms: u64,
    pub lease_ms: u64,
}

/// A delivery that is lent.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Unguessable: whoever has it may settle it.
    pub lease: String,
    pub delivery: DeliveryId,
    pub number: u32,
    pub event: Arc<Event>,
    pub expires_at: WallMs,
}

/// What a consumer says of what it leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: it is delivered.
    Ack,
    /// Not done: it is tried again by the endpoint's policy, not before `after_ms`.
    Reject { after_ms: Option<u64>, reason: String },
    /// Never again: it becomes a dead letter.
    Dead { reason: String },
    /// It takes longer.
    Extend { lease_ms: u64 },
}

/// Why a lease could not be settled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseFault {
    #[error("there is no such lease: it ran out, and others may have its delivery, or it was settled already")]
    Gone,
    #[error("the daemon is too busy: try again in a moment, the lease still holds")]
    Busy,
    #[error("{0} consumers wait already: try again in a moment")]
    TooMany(usize),
}
