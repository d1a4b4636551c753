//! What is remembered: the facts that the log holds, past tense, and their codec.
//!
//! A record is a resolved fact: times are absolute, jitter is drawn, the fan-out is matched. Folding the same
//! records years later gives the same state. One record holds a result *and* its consequence, so that no crash
//! falls between the two.
//!
//! Format (see [`codec`]): a version byte, then rmp-serde. The variants' order is the format: new ones are
//! added at the end, none is ever reused. New fields are added at a record's end with `#[serde(default)]`.

pub mod codec;
pub mod line;

pub use codec::{RecordError, decode, encode};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    AttemptReport, DeliveryId, Endpoint, EndpointId, Event, EventId, HoldReason, Seq, Source, SourceId, WallMs,
};

/// One remembered fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The first record of a log.
    LogStarted {
        at: WallMs,
        version: String,
        salt: u64,
    },
    /// A source was made or changed; the whole of it.
    SourceSet {
        source: Source,
    },
    SourceDeleted {
        source: SourceId,
    },
    /// An endpoint was made or changed; the whole of it.
    EndpointSet {
        endpoint: Endpoint,
    },
    /// Its deliveries that had not ended are cancelled by this.
    EndpointDeleted {
        endpoint: EndpointId,
        at: WallMs,
    },
    EndpointHeld {
        endpoint: EndpointId,
        reason: HoldReason,
        at: WallMs,
    },
    EndpointReleased {
        endpoint: EndpointId,
        at: WallMs,
    },
    /// An event came in; `dedupe` is the salted fingerprint of (source, dedupe key), `fan_out` the endpoints it
    /// goes to, fixed now. Its deliveries are `(this record's seq, endpoint)`.
    EventAccepted {
        event: Arc<Event>,
        dedupe: Option<u64>,
        fan_out: Vec<EndpointId>,
    },
    /// The same event came again within its source's window.
    DuplicateSeen {
        event: Seq,
        at: WallMs,
    },
    /// An attempt ended, and what follows from it.
    AttemptFinished(Box<AttemptFinished>),
    /// The operator ended a delivery, or discarded a dead letter (`grave` is then the record that it died by).
    DeliveryCancelled {
        delivery: DeliveryId,
        at: WallMs,
        grave: Option<Seq>,
    },
    /// The operator asked for a delivery (dead, cancelled, or waiting for a retry) to be attempted again.
    /// With `in_stream` it stands in the endpoint's stream at this record's place; else it is due at once. The
    /// attempts' count goes on.
    DeliveryRetried {
        delivery: DeliveryId,
        at: WallMs,
        grave: Option<Seq>,
        event: Seq,
        attempts: u32,
        last: Seq,
        in_stream: bool,
    },
    /// A replay was asked for: events from `next` to `end`, in bounded slices.
    ReplayStarted {
        replay: Replay,
    },
    /// One new delivery `(this record's seq, endpoint)` of an old event.
    Replayed {
        event: Seq,
        endpoint: EndpointId,
        at: WallMs,
    },
    /// A replay went on to `next`; it is over when that is behind its end.
    ReplayAdvanced {
        replay: u64,
        next: Seq,
    },
    /// An event of an old segment that is still needed stands here from now on.
    EventCarried {
        seq: Seq,
        event: Arc<Event>,
        fan_out: Vec<EndpointId>,
    },
    /// Deliveries whose place in the stream is in an old segment wait in memory from now on.
    DeliveriesCarried {
        waiting: Vec<Waiting>,
    },
    /// A dead letter of an old segment stands here from now on; this record is its new grave.
    DeadCarried {
        dead: DeadLetter,
        grave: Seq,
    },
    /// A segment was dropped by retention, after what was alive in it had been carried forward.
    SegmentDropped {
        first: Seq,
        last: Seq,
        head: [u8; 32],
        at: WallMs,
    },
    /// The event of the record before this one was imported: another log, or a lost part of this one, had accepted it
    /// under another id. `identity` is the salted fingerprint of that id, so that it comes in only once.
    EventImported {
        event: Seq,
        identity: u64,
        at: WallMs,
    },
}

/// One attempt and its consequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFinished {
    pub delivery: DeliveryId,
    /// The record that holds its event (the delivery's own, but for replays).
    pub event: Seq,
    /// 1 for the first.
    pub number: u32,
    pub report: AttemptReport,
    pub next: Next,
    /// The record of the attempt before this one, 0 when there is none: history reads backwards.
    pub prev: Seq,
    /// The delivery's place in its endpoint's stream, when this was its first attempt from there.
    pub position: Option<Seq>,
    /// Everything in the endpoint's stream up to here has been taken up, by now.
    pub low: Seq,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    Delivered,
    /// Attempt again in `delay_ms` from this record, which is `due_at` by the wall clock. `age_ms`: how long the
    /// delivery has been tried by now, counted while the daemon ran.
    Retry {
        due_at: WallMs,
        delay_ms: u64,
        age_ms: u64,
    },
    Dead {
        reason: String,
    },
    /// The endpoint is put on hold by this very record; the delivery waits.
    Held {
        reason: HoldReason,
    },
    /// It had been ended by the operator while the attempt was under way.
    Ended,
}

/// A delivery that goes on waiting while its place in the stream is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub delivery: DeliveryId,
    pub position: Seq,
    pub event: Seq,
    pub attempts: u32,
    pub last: Seq,
}

/// What is kept of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub attempts: u32,
    pub died_at: WallMs,
    pub reason: String,
    /// The record of its last attempt, for the history.
    pub last: Seq,
}

/// A replay under way: a filter over old events, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub id: u64,
    pub filter: ReplayFilter,
    /// The next record to look at, and the last one.
    pub next: Seq,
    pub end: Seq,
    /// New deliveries a second; no limit when `None`.
    pub rate: Option<u32>,
    pub started_at: WallMs,
}

/// Which old events are delivered anew, and where to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayFilter {
    pub since: Option<WallMs>,
    pub until: Option<WallMs>,
    /// A source's name.
    pub source: Option<String>,
    /// A glob over the event type.
    pub kind: Option<String>,
    pub event: Option<EventId>,
    /// An endpoint's name; without it each event goes where it went before.
    pub to: Option<String>,
}
