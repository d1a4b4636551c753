//! What an endpoint has at hand: deliveries, batches, and the keys of what waits. Plain data.

use std::sync::Arc;

use crate::model::{BatchFormat, BatchId, DeliveryId, Event, EventId, Seq, SourceId};

/// A delivery that was prefetched, or that an attempt is under way for.
#[derive(Clone, Debug)]
pub struct ActiveDelivery {
    pub delivery: DeliveryId,
    pub event: Seq,
    /// Its position in the stream, when this is its first attempt from there.
    pub position: Option<Seq>,
    /// Attempts so far.
    pub attempts: u32,
    pub last: Seq,
    /// When it was accepted, by the run clock.
    pub born: u64,
    /// When it was prefetched, on the monotonic clock.
    pub arrived: u64,
    pub loaded: Option<Arc<Event>>,
    /// The operator ended it while it was under way.
    pub ended: bool,
    /// The record its event was last read from.
    pub read_at: Option<Seq>,
    /// The slot that its attempt takes.
    pub slot: SlotKind,
    pub lane: Option<u64>,
    /// Bytes of its body, where they are known.
    pub size: u64,
    /// Its event is one of the daemon's own.
    pub own: bool,
    /// The source of its event; 0 when that is not known yet.
    pub source: SourceId,
}

impl ActiveDelivery {
    /// The record that made it, and its position in the stream.
    pub fn records(&self) -> impl Iterator<Item = Seq> + use<> {
        [self.delivery.seq].into_iter().chain(self.position)
    }
}

/// The kinds of slots for attempts in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotKind {
    #[default]
    Plain,
    /// To an endpoint that keeps failing, or has not shown yet that it does not: only so many, so
    /// that the others always find a slot.
    Probation,
    /// The only one to an endpoint of which nothing is known yet.
    First,
    /// Leased to a consumer, who takes as long as they take.
    Lease,
}

/// Something that waits for a time: a delivery by the record that made it, or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKey {
    One(Seq),
    Batch(BatchId),
}

/// A batch that an attempt is under way for.
#[derive(Clone, Debug)]
pub struct BatchInFlight {
    /// What the state calls it: another id than the request had, when a member was ended meanwhile.
    pub id: BatchId,
    /// In the order of the request.
    pub members: Vec<MemberInFlight>,
    pub attempts: u32,
    pub slot: SlotKind,
    pub halved: bool,
    /// The attempt after which the largest one that it is part of was halved.
    pub halved_at: Seq,
    /// The request has not gone out yet: its events are being read.
    pub reading: bool,
    pub format: Option<BatchFormat>,
}

/// One delivery of a batch.
#[derive(Clone, Copy, Debug)]
pub struct MemberInFlight {
    pub delivery: Seq,
    pub event: Seq,
    /// The event's id, once it was read.
    pub event_id: Option<EventId>,
    /// The record at which its event was last looked for.
    pub read_at: Option<Seq>,
    pub attempts: u32,
    pub last: Seq,
    pub lane: Option<u64>,
    pub born: u64,
    pub ended: bool,
    pub own: bool,
}

/// What is to be attempted next.
#[derive(Debug)]
pub enum NextAttempt {
    One(ActiveDelivery),
    /// A batch that waited.
    Batch(BatchId),
    /// Deliveries are to be gathered into a new batch.
    Gather,
    /// The operator asked for this delivery alone: it is a batch of its own.
    GatherOne(Seq),
}
