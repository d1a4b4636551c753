//! What the queue is told, and what it answers: the whole protocol between the deciding room and the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::explain::{Explanation, FlowView};
use crate::model::{
    AttemptReport, BatchId, DeliveryId, DeliveryState, Endpoint, EndpointId, Event, EventId, Header, HoldReason, Seq,
    Source, SourceId, WallMs, limits,
};
use crate::record::{DeadLetter, Record, Replay, ReplayFilter, Waiting};

/// Everything that can happen. Imperative: somebody asks for it, or reports it.
#[derive(Clone, Debug)]
pub enum Input {
    /// An event passed its source's checks. Several are accepted all or none.
    Accept(Vec<NewEvent>),
    /// An attempt that was released has ended.
    Finished { delivery: DeliveryId, report: AttemptReport },
    /// The answer to [`Action::Refill`]. `next` is where to go on: forward the next record to look at, backward the
    /// one behind it. `keys` is what was asked for.
    Refilled { endpoint: EndpointId, from: Seq, entries: Vec<StreamEntry>, next: Seq, keys: Keys },
    /// The answer to [`Action::Load`]; `None` when the log has no such event any more.
    Loaded { delivery: DeliveryId, event: Option<Arc<Event>> },
    /// The answer to [`Action::LoadBatch`], in its order: what was read of it.
    BatchLoaded { endpoint: EndpointId, batch: Option<BatchId>, events: Vec<Loaded> },
    /// An attempt for a batch that was released has ended. `failed`: the receiver took all but these.
    BatchFinished { endpoint: EndpointId, batch: BatchId, report: AttemptReport, failed: Vec<EventId> },
    /// Something that the operator wants to hear of, from another room: an event of the built-in source.
    Announce { kind: String, data: serde_json::Value },
    /// So many deliveries of a pull endpoint may be out at a time: what consumers hold, and what they wait for.
    Wanted { endpoint: EndpointId, total: usize },
    /// The answer to [`Action::Scan`].
    Scanned { replay: u64, from: Seq, events: Vec<ScannedEvent>, next: Seq },
    /// A segment is to be dropped: carry forward what of this slice lives in it.
    Carry { first: Seq, last: Seq, slice: Carriage },
    /// What lived in a segment was carried forward: drop it. `walked`: all of its records were in slices.
    Retire { first: Seq, last: Seq, head: [u8; 32], walked: bool },
    /// The operator's.
    Command(Command),
    /// A question; it changes nothing.
    Ask(Query),
}

/// An event that is not remembered yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The source as ingest saw it.
    pub source: Arc<Source>,
    pub kind: String,
    pub dedupe_key: Option<String>,
    /// The salted fingerprint of (source, dedupe key).
    pub dedupe: Option<u64>,
    pub request_line: String,
    pub remote: String,
    pub headers: Vec<Header>,
    pub body: Bytes,
}

/// An event that was accepted before, by another log or by this one in a part that is lost.
#[derive(Clone, Debug)]
pub struct ImportedEvent {
    /// With the id it had then as its `first_id`; its own is filled in.
    pub event: Event,
    pub dedupe: Option<u64>,
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

/// One delivery that a refill found in the log, at its place in the endpoint's stream.
#[derive(Clone, Debug)]
pub struct StreamEntry {
    /// The record that put it into the stream: `EventAccepted`, `Replayed` or `DeliveryRetried`.
    pub position: Seq,
    pub delivery: DeliveryId,
    /// The record of its event.
    pub event: Seq,
    /// The event, when the refill had it at hand.
    pub loaded: Option<Arc<Event>>,
    pub attempts: u32,
    /// The record of its last attempt, or 0.
    pub last: Seq,
    /// The lane it belongs to, and what catching up keeps the latest of, where the endpoint asks for it and the event
    /// was at hand.
    pub key: Option<u64>,
    pub latest_key: Option<u64>,
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

/// The JSON Pointers that an endpoint's lanes and catching up need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub order: Option<String>,
    pub latest: Option<String>,
    /// Where events stand that were not found at their own places, because they were carried forward.
    pub moved: BTreeMap<Seq, Seq>,
}

/// An old event that matches a replay's filter.
#[derive(Clone, Debug)]
pub struct ScannedEvent {
    pub seq: Seq,
    pub fan_out: Vec<EndpointId>,
}

/// An event in a segment to be dropped.
#[derive(Clone, Debug)]
pub struct CarriedEvent {
    pub seq: Seq,
    /// The record that it was read from.
    pub at: Seq,
    pub event: Arc<Event>,
    pub fan_out: Vec<EndpointId>,
}

/// A slice of a segment to be dropped: what may live in it.
#[derive(Clone, Debug, Default)]
pub struct Carriage {
    pub events: Vec<CarriedEvent>,
    /// Places in streams.
    pub places: Vec<Waiting>,
    /// Dead letters by their graves: those that are kept, and those whose time is over.
    pub dead: Vec<(Seq, DeadLetter)>,
    pub expired: Vec<(Seq, DeliveryId)>,
}

/// What the operator may ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Makes a source; its `id` and `created_at` are filled in.
    CreateSource(Box<Source>),
    /// Puts `source` in the place of the one that has its name.
    UpdateSource(Box<Source>),
    DeleteSource {
        name: String,
    },
    CreateEndpoint(Box<Endpoint>),
    UpdateEndpoint(Box<Endpoint>),
    DeleteEndpoint {
        name: String,
    },
    HoldEndpoint {
        name: String,
    },
    ReleaseEndpoint {
        name: String,
    },
    /// Ends deliveries that have not ended.
    Cancel {
        deliveries: Vec<DeliveryId>,
    },
    /// Attempts deliveries again that wait, are dead or were cancelled. At most `limits::SLICE` at a time.
    Retry {
        deliveries: Vec<Revive>,
    },
    /// Discards dead letters.
    Discard {
        deliveries: Vec<Revive>,
    },
    /// Takes in events that were accepted before. At most `limits::SLICE` at a time.
    Import {
        events: Vec<ImportedEvent>,
    },
    /// Registers a replay; `next` and `end` are what the caller saw of the log.
    StartReplay {
        filter: ReplayFilter,
        rate: Option<u32>,
        next: Seq,
        end: Seq,
    },
}

/// A delivery to be attempted again or discarded, with what the caller read of it in the log.
#[derive(Clone, Copy, Debug)]
pub struct Revive {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub attempts: u32,
    pub last: Seq,
    /// The record it died by, when it is dead.
    pub grave: Option<Seq>,
}

/// What can be asked of the state.
#[derive(Clone, Debug)]
pub enum Query {
    Status,
    Endpoints,
    /// Why a delivery stands where it stands. `key`: its lane, see [`Keys::order_key`].
    Explain {
        delivery: DeliveryId,
        key: Option<u64>,
    },
    /// Where each of these stands.
    Deliveries(Vec<DeliveryId>),
    /// The graves of dead letters before this record, newest first, at most so many.
    Graves {
        before: Seq,
        limit: usize,
    },
    /// The graves of the oldest dead letters, at most so many.
    OldestGraves {
        limit: usize,
    },
    /// Deliveries of one endpoint that wait for a retry, newest first, before this record.
    Retrying {
        endpoint: EndpointId,
        before: Seq,
        limit: usize,
    },
    /// How often each of these events came again, and where its record stands now.
    Events(Vec<Seq>),
    Replays,
    /// What of a slice would be carried forward, without doing so.
    Lives {
        first: Seq,
        last: Seq,
        slice: Carriage,
    },
    /// The record of the event that was imported with this fingerprint of its first id.
    Imported(u64),
    /// Which events of this range are still needed, for retention.
    Alive {
        first: Seq,
        last: Seq,
    },
}

/// The answer to an input, given after its records are durable.
#[derive(Clone, Debug)]
pub enum Reply {
    /// For inputs that nobody waits for.
    None,
    /// One for each event of an `Accept`, in its order.
    Accepted(Vec<Accepted>),
    Refused(Refusal),
    /// A command was done; `count` things were changed by it.
    Done {
        count: usize,
    },
    Source(Arc<Source>),
    Endpoint(Arc<Endpoint>),
    Status(Box<Status>),
    Endpoints(Vec<EndpointView>),
    Deliveries(Vec<DeliveryView>),
    Explained(Box<Explanation>),
    Graves(Vec<Seq>),
    Events(Vec<EventView>),
    Replays(Vec<Replay>),
    Replay(Replay),
    Imported(Option<Seq>),
    /// `None`: it cannot be told, the segment stays for now.
    Alive(Option<AliveRange>),
    /// Of a slice, so many events were carried forward, with so many bytes.
    Carried {
        events: usize,
        bytes: u64,
    },
}

/// What an accepted event is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: EventId,
    pub duplicate: bool,
}

/// Why an input was not done. Nothing changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {what} '{name}': see `hookboxctl {what} list`")]
    NotFound { what: &'static str, name: String },
    #[error("{what} '{name}' exists already: choose another name, or use `hookboxctl {what} update {name}`")]
    Exists { what: &'static str, name: String },
    #[error("{0}")]
    Invalid(String),
    #[error("at most {limit} {what} are possible")]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "the bin '{name}' is full ({} events or {} bytes): delete it, or wait until its time is over",
        limits::BIN_EVENTS,
        limits::BIN_BYTES
    )]
    BinFull { name: String },
    #[error("the daemon is too busy: try again in a moment")]
    Busy,
    #[error("there is no room left: {0}")]
    NoRoom(String),
    #[error("the daemon is stopping")]
    Stopping,
}

/// What leaves the scheduler once the step's records are durable.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make one attempt, then say [`Input::Finished`].
    Attempt { delivery: DeliveryId, number: u32, endpoint: Arc<Endpoint>, event: Arc<Event> },
    /// Read the event at record `event`, then say [`Input::Loaded`].
    Load { delivery: DeliveryId, event: Seq },
    /// Read the endpoint's stream forward from record `from`, at most so many entries and about so many bytes of
    /// events, then say [`Input::Refilled`]. With `until` it is read backward from before `from` down to `until`.
    Refill { endpoint: EndpointId, from: Seq, until: Option<Seq>, max_entries: usize, max_bytes: usize, keys: Keys },
    /// Read the events at these records until there are so many bytes of bodies, then say [`Input::BatchLoaded`].
    LoadBatch { endpoint: EndpointId, batch: Option<BatchId>, events: Vec<Seq>, max_bytes: u64 },
    /// Make one attempt for several deliveries, then say [`Input::BatchFinished`].
    AttemptBatch { endpoint: Arc<Endpoint>, batch: BatchId, number: u32, events: Vec<Arc<Event>> },
    /// Read events from record `from` to `end` that match, at most so many, then say [`Input::Scanned`].
    Scan { replay: u64, filter: ReplayFilter, from: Seq, end: Seq, max: usize },
    /// Sources or endpoints changed: publish them anew.
    Publish,
    /// Drop the segment that holds these records.
    DropSegment { first: Seq, last: Seq },
}

/// One decision: what to remember, then what to do, and what to answer.
#[derive(Clone, Debug)]
pub struct Decision {
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    pub reply: Reply,
}

/// Counts over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub events: u64,
    pub duplicates: u64,
    pub pending: u64,
    pub in_flight: u64,
    pub delivered: u64,
    pub dead: u64,
    pub held: u64,
    pub cancelled: u64,
    pub attempts: u64,
    pub failed_attempts: u64,
    /// Deliveries that wait for a retry (part of `pending`).
    pub retrying: u64,
    pub sources: usize,
    pub endpoints: usize,
    pub replays: usize,
    pub dedupe_keys: usize,
    pub next_seq: Seq,
    /// The link is down: since when, and when the next probe goes out.
    pub offline: Option<(WallMs, WallMs)>,
    /// Endpoints that wait for the link.
    pub away: usize,
    /// The wall clock cannot be believed, and until when signed deliveries wait for it.
    pub clock_suspect: bool,
    pub clock_until: Option<WallMs>,
    pub breakers_open: usize,
    pub parked_lanes: usize,
    /// Endpoints that work off a backlog.
    pub catching_up: usize,
    /// Deliveries that consumers hold.
    pub leased: usize,
}

/// An endpoint and how it fares.
#[derive(Clone, Debug)]
pub struct EndpointView {
    pub endpoint: Arc<Endpoint>,
    pub hold: Option<(HoldReason, WallMs)>,
    /// Not ended: waiting, in flight or held.
    pub waiting: u64,
    pub in_flight: u64,
    pub retrying: u64,
    pub delivered: u64,
    pub dead: u64,
    pub last_error: Option<String>,
    pub last_success_at: Option<WallMs>,
    pub flow: FlowView,
}

/// Where a delivery stands.
#[derive(Clone, Debug)]
pub struct DeliveryView {
    pub delivery: DeliveryId,
    pub state: DeliveryState,
    /// What the state knows without reading the log: attempts so far, next one due, the last attempt's record.
    pub retry: Option<RetryView>,
}

/// A delivery that waits for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryView {
    pub attempts: u32,
    pub due_at: WallMs,
    pub last: Seq,
    pub event: Seq,
}

/// What the state knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventView {
    pub seq: Seq,
    pub duplicates: u32,
    /// The record that holds it: its own, or where it was carried to.
    pub stands_at: Seq,
}

/// What of a range of records is still needed: at most `limits::SLICE` of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AliveRange {
    /// Where events stand that are known to be needed.
    pub events: Vec<Seq>,
    /// How many they are, of which `events` may be a part.
    pub known: usize,
    /// Graves of dead letters.
    pub graves: Vec<Seq>,
    /// There may be deliveries that wait in streams, untried: only reading all of it tells.
    pub walk: bool,
}

/// A source's number and name, for lists.
pub type SourceKey = (SourceId, String);
