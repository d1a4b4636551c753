//! What is reported to the queue, and the plain data of its requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::stream::kept::KeptRead;
use super::stream::order::Keys;
use super::stream::stream_entry::StreamEntry;
use crate::model::{AttemptReport, BatchId, DeliveryId, EndpointId, Event, EventId, Seq, WallMs};

/// Something that happened, or that was read as the queue had ordered it. Nobody waits for an
/// answer.
#[derive(Clone, Debug)]
pub enum Input {
    /// An attempt that was released has ended.
    Finished { delivery: DeliveryId, report: AttemptReport },
    /// The answer to [`ReadOrder::Stream`](super::ReadOrder). `keys` is what was asked for.
    Refilled { endpoint: EndpointId, read: StreamRead, keys: Keys },
    /// The answer to [`ReadOrder::Ages`](super::ReadOrder).
    AgesRead { endpoint: EndpointId, read: StreamRead },
    /// The answer to [`ReadOrder::Event`](super::ReadOrder); `None` when the log has no such event
    /// any more.
    Loaded { delivery: DeliveryId, event: Option<Arc<Event>> },
    /// The answer to [`ReadOrder::Batch`](super::ReadOrder), in its order: what was read of it.
    BatchLoaded { endpoint: EndpointId, batch: Option<BatchId>, events: Vec<Loaded> },
    /// An attempt for a batch that was released has ended. `failed`: the receiver took all but
    /// these.
    BatchFinished {
        endpoint: EndpointId,
        batch: BatchId,
        report: AttemptReport,
        failed: Vec<EventId>,
    },
    /// Something that the operator wants to be notified of, an event of the built-in source.
    Announce { kind: String, data: serde_json::Value },
    /// So many deliveries of a pull endpoint may be out at a time: what consumers hold, and what
    /// they wait for.
    Wanted { endpoint: EndpointId, total: usize },
    /// The answer to [`ReadOrder::Replay`](super::ReadOrder).
    Scanned { replay: u64, from: Seq, events: Vec<ScannedEvent>, next: Seq },
    /// Relocated events of a replay were read, in their order, as far as there was time for it.
    LeftScanned { replay: u64, events: Vec<ScannedLeft> },
}

/// What was read of an endpoint's stream, from position `from` on or backward from before it.
#[derive(Clone, Debug, Default)]
pub struct StreamRead {
    pub from: Seq,
    pub entries: Vec<StreamEntry>,
    /// Where to go on: forward the next position to look at, backward the one behind it.
    pub next: Seq,
    /// The records that were asked for, where other records hold these positions.
    pub kept: Option<KeptRead>,
}

/// An event that was accepted before, by another log or by this one in a part that is lost.
#[derive(Clone, Debug)]
pub struct ImportedEvent {
    /// With the id it had then as its `first_id`; its own is filled in.
    pub event: Event,
    pub dedupe: Option<u64>,
    /// The salted fingerprint of its content, where it has a key.
    pub content: Option<u64>,
    /// The salted fingerprint of its first id.
    pub identity: u64,
    /// Endpoints that it was not delivered to yet.
    pub deliver_to: Vec<EndpointId>,
    /// Endpoints of which it was a dead letter.
    pub dead: Vec<ImportedDead>,
}

/// A delivery that had died where its event comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedDead {
    pub endpoint: EndpointId,
    pub attempts: u32,
    pub died_at: WallMs,
    pub reason: String,
}

/// An event of a batch, as far as it was read.
#[derive(Clone, Debug)]
pub enum Loaded {
    Event(Arc<Event>),
    /// The log does not have it any more.
    Gone,
    /// The batch was full before its turn.
    NotRead,
}

/// An old event that matches a replay's filter.
#[derive(Clone, Debug)]
pub struct ScannedEvent {
    /// The record that it was read from.
    pub at: Seq,
    pub seq: Seq,
    pub fan_out: Vec<EndpointId>,
}

/// An event that retention relocated before a replay came to it.
#[derive(Clone, Debug)]
pub struct ScannedLeft {
    /// The record that it was read from.
    pub at: Seq,
    pub seq: Seq,
    /// Where it went, if it matches the replay's filter.
    pub fan_out: Option<Vec<EndpointId>>,
}

/// A delivery to be attempted again or discarded, with what the caller read of it in the log.
#[derive(Clone, Copy, Debug)]
pub struct Revive {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub attempts: u32,
    pub last: Seq,
    /// The record it died by, when it is dead.
    pub dead_letter_seq: Option<Seq>,
}

/// What is answered for an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: EventId,
    pub duplicate: bool,
    /// The earlier event that has the same key, and says something else.
    pub conflicts_with: Option<EventId>,
}

/// What of a range of records is still needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AliveRange {
    /// Where events stand that are known to be needed.
    pub events: RoaringTreemap,
    /// The records that hold dead letters.
    pub dead_letter_seqs: RoaringTreemap,
    /// There may be deliveries that wait in streams, untried: only reading all of it tells.
    pub walk: bool,
    /// The endpoints that want the latest of a key, with the JSON Pointer to it: whoever reads the
    /// range looks up the keys.
    pub latest: BTreeMap<EndpointId, String>,
}
