//! What leaves the scheduler once the records of its step are durable.

use std::sync::Arc;

use super::stream::kept::KeptRead;
use super::stream::order::Keys;
use crate::model::{
    BatchFormat, BatchId, DeliveryId, Endpoint, EndpointId, Event, Header, HoldReason, Seq, WallMs,
};
use crate::record::ReplayFilter;

/// Something to be done. Who does it depends on its kind: outbound, the reader of the log, the
/// thread itself, or whoever writes the daemon's log.
#[derive(Clone, Debug)]
pub enum Action {
    Attempt(AttemptOrder),
    Read(ReadOrder),
    Maintain(Maintenance),
    Report(HealthReport),
}

/// A change of an endpoint's health, for the daemon's log.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthReport {
    pub endpoint: Arc<Endpoint>,
    pub what: HealthEvent,
}

/// What happened to an endpoint. An `error` has the receiver's own words in it, made harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthEvent {
    /// Its breaker opened.
    Failing { error: String },
    /// Its breaker closed.
    Recovered,
    /// It was put on hold, and not by the operator.
    Held { reason: HoldReason, error: String },
    /// An ordered lane waits for the operator.
    Parked { delivery: DeliveryId, reason: String },
    /// Its oldest delivery that waits has become this old.
    Lagging { age_ms: u64 },
    /// Nothing that old waits any more.
    CaughtUp,
    /// A delivery became a dead letter.
    Died(Death),
    /// It was deleted, and a replay that went to it has ended at this record.
    ReplayEnded { replay: u64, next: Seq, end: Seq },
}

/// A delivery that became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    pub delivery: DeliveryId,
    pub reason: String,
    pub died_at: WallMs,
    /// Of the attempt by which it died.
    pub traceparent: Option<Header>,
}

/// One attempt to make.
#[derive(Clone, Debug)]
pub enum AttemptOrder {
    /// For one delivery. Reported as [`Input::Finished`](super::Input::Finished).
    One { delivery: DeliveryId, number: u32, endpoint: Arc<Endpoint>, event: Arc<Event> },
    /// For several events in one request. Reported as
    /// [`Input::BatchFinished`](super::Input::BatchFinished).
    Batch {
        endpoint: Arc<Endpoint>,
        batch: BatchId,
        number: u32,
        events: Vec<Arc<Event>>,
        format: BatchFormat,
    },
}

/// Something to read from the log.
#[derive(Clone, Debug)]
pub enum ReadOrder {
    /// The event at record `event`. Reported as [`Input::Loaded`](super::Input::Loaded).
    Event { delivery: DeliveryId, event: Seq },
    /// The events at these records, until a batch of `max_bytes` is full. Reported as
    /// [`Input::BatchLoaded`](super::Input::BatchLoaded).
    Batch { endpoint: EndpointId, batch: Option<BatchId>, events: Vec<Seq>, max_bytes: u64 },
    /// A part of an endpoint's stream. Reported as [`Input::Refilled`](super::Input::Refilled).
    Stream(StreamOrder),
    /// An endpoint's stream forward from position `from`, at most `max_entries` without their
    /// events; `kept` as in [`StreamOrder`]. Reported as
    /// [`Input::AgesRead`](super::Input::AgesRead).
    Ages { endpoint: EndpointId, from: Seq, kept: Option<KeptRead>, max_entries: usize },
    /// Events that match, from record `from` to `end`, at most `max`. Reported as
    /// [`Input::Scanned`](super::Input::Scanned).
    Replay { replay: u64, filter: ReplayFilter, from: Seq, end: Seq, max: usize },
    /// The events of a replay that were relocated before their turn came, each with the record that
    /// holds it. Reported as [`Input::LeftScanned`](super::Input::LeftScanned).
    ReplayLeft { replay: u64, filter: ReplayFilter, events: Vec<(Seq, Seq)> },
}

impl ReadOrder {
    /// Whether it only adds to what there is to do.
    #[must_use]
    pub fn is_for_replay(&self) -> bool {
        matches!(self, Self::Replay { .. } | Self::ReplayLeft { .. })
    }
}

/// An endpoint's stream forward from position `from`, at most `max_entries` and about `max_bytes`
/// of events; with `until` it is read backward from before `from` down to `until`. `kept`: the
/// records that hold these positions; else each is a record itself.
#[derive(Clone, Debug)]
pub struct StreamOrder {
    pub endpoint: EndpointId,
    pub from: Seq,
    pub until: Option<Seq>,
    pub kept: Option<KeptRead>,
    pub max_entries: usize,
    pub max_bytes: usize,
    pub keys: Keys,
}

impl StreamOrder {
    /// Whether it can be read in one walk with others of the kind: it goes forward, over positions
    /// that are records themselves.
    #[must_use]
    pub fn shares_walks(&self) -> bool {
        self.until.is_none() && self.kept.is_none()
    }
}

/// Something that the scheduler's own thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Sources or endpoints changed: publish them anew.
    Publish,
    /// Drop the segment that holds these records.
    DropSegment { first: Seq, last: Seq },
}
