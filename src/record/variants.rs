//! The kinds of records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attempt::AttemptFinished;
use super::batch::{BatchFinished, BatchMember};
use super::delivery::{DeadLetter, WaitingDelivery};
use super::replay::Replay;
use crate::model::{
    BatchFormat, DeliveryId, Endpoint, EndpointId, Event, Fingerprints, HoldReason, Seq, Source,
    SourceId, WallMs,
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
        source: Box<Source>,
    },
    SourceDeleted {
        source: SourceId,
    },
    /// An endpoint was made or changed; the whole of it.
    EndpointSet {
        endpoint: Box<Endpoint>,
    },
    /// An endpoint was deleted. This cancels its deliveries that had not ended.
    EndpointDeleted {
        endpoint: EndpointId,
        at: WallMs,
    },
    EndpointHeld {
        endpoint: EndpointId,
        reason: HoldReason,
        at: WallMs,
        /// The run clock: milliseconds that the daemon has run since the log began.
        #[serde(default)]
        ran_ms: u64,
    },
    EndpointReleased {
        endpoint: EndpointId,
        at: WallMs,
        /// The run clock: milliseconds that the daemon has run since the log began.
        #[serde(default)]
        ran_ms: u64,
    },
    /// An event was accepted. `dedupe` is the salted fingerprint of (source, dedupe key), `fan_out`
    /// the endpoints it goes to, fixed now. Its deliveries are `(this record's seq, endpoint)`.
    EventAccepted {
        event: Arc<Event>,
        dedupe: Option<u64>,
        fan_out: Vec<EndpointId>,
        /// Further fingerprints by which a duplicate is recognized.
        #[serde(default)]
        beside: Fingerprints,
        /// The run clock: milliseconds that the daemon has run since the log began.
        #[serde(default)]
        ran_ms: u64,
    },
    /// The same event came again within its source's window.
    DuplicateSeen {
        event: Seq,
        at: WallMs,
    },
    /// An attempt ended, and what follows from it.
    AttemptFinished(Box<AttemptFinished>),
    /// The operator cancelled a delivery, or discarded a dead letter: `dead_letter_seq` is then the
    /// record that holds it.
    DeliveryCancelled {
        delivery: DeliveryId,
        at: WallMs,
        #[serde(rename = "grave")]
        dead_letter_seq: Option<Seq>,
    },
    /// The operator asked for a delivery (dead, cancelled, or waiting for a retry) to be attempted
    /// again. With `in_stream` its position in the endpoint's stream is this record; else it is due
    /// at once. The count of attempts goes on.
    DeliveryRetried {
        delivery: DeliveryId,
        at: WallMs,
        #[serde(rename = "grave")]
        dead_letter_seq: Option<Seq>,
        event: Seq,
        attempts: u32,
        last: Seq,
        in_stream: bool,
        /// The run clock: milliseconds that the daemon has run since the log began.
        #[serde(default)]
        ran_ms: u64,
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
        /// The run clock: milliseconds that the daemon has run since the log began.
        #[serde(default)]
        ran_ms: u64,
    },
    /// A replay went on to `next`; it is over when that is behind its end, unless events that were
    /// relocated are left: then those from `left_from` on are still to be delivered. Its next slice
    /// is due in `pause_ms` from this record, which is `due_at` by the wall clock.
    ReplayAdvanced {
        replay: u64,
        next: Seq,
        #[serde(default)]
        due_at: WallMs,
        #[serde(default)]
        pause_ms: u64,
        #[serde(default)]
        left_from: Option<Seq>,
    },
    /// An event of an old segment that is still needed: this record holds it from now on.
    #[serde(rename = "EventCarried")]
    EventRelocated {
        seq: Seq,
        event: Arc<Event>,
        fan_out: Vec<EndpointId>,
    },
    /// Deliveries whose position in the stream is in an old segment: they wait in memory from now
    /// on.
    #[serde(rename = "DeliveriesCarried")]
    DeliveriesRelocated {
        waiting: Vec<WaitingDelivery>,
    },
    /// This record holds a dead letter from now on: one that record `dead_letter_seq` of an old
    /// segment held before, or one that died in a batch just now (`dead_letter_seq` is 0 then).
    #[serde(rename = "DeadCarried")]
    DeadLetterRecorded {
        dead: DeadLetter,
        #[serde(rename = "grave")]
        dead_letter_seq: Seq,
    },
    /// Retention dropped a segment, after what was still needed of it had been relocated.
    SegmentDropped {
        first: Seq,
        last: Seq,
        head: [u8; 32],
        at: WallMs,
    },
    /// Deliveries of one endpoint are sent together from now on, under the id `(this record's seq,
    /// 0)`.
    BatchFormed {
        endpoint: EndpointId,
        members: Vec<BatchMember>,
        /// Everything in the endpoint's stream up to here has been taken up by now.
        low: Seq,
        /// The format of its body, the same at every attempt.
        #[serde(default)]
        format: Option<BatchFormat>,
    },
    /// An attempt for a batch ended, and what follows from it for each of its deliveries.
    BatchFinished(Box<BatchFinished>),
    /// An attempt of an endpoint with a slow rate was started. Remembered so that a restart is not
    /// a burst.
    RateSpent {
        endpoint: EndpointId,
        at: WallMs,
    },
    /// Deliveries that catching up left out, because a later event of the same key replaces them.
    Superseded {
        endpoint: EndpointId,
        deliveries: Vec<Seq>,
        low: Seq,
        at: WallMs,
    },
    /// A delivery that waited was given up without another attempt, or an imported one had died in
    /// the log it comes from. This record holds the dead letter.
    #[serde(rename = "Died")]
    DeliveryDied {
        dead: DeadLetter,
    },
    /// The event of the record before this one was imported: another log, or a lost part of this
    /// one, had accepted it under another id. `identity` is the salted fingerprint of that id, so
    /// that it is imported only once.
    EventImported {
        event: Seq,
        identity: u64,
        at: WallMs,
    },
    /// A delivery that waits in its endpoint's stream at a position in an old segment: this record
    /// is its position from now on.
    #[serde(rename = "PlaceCarried")]
    StreamPositionRelocated {
        waiting: WaitingDelivery,
    },
    /// Deliveries that wait in the streams of their endpoints, and whose positions are held by
    /// records of an old segment: this record holds them from now on. They keep their positions,
    /// which are in ascending order for each endpoint.
    PositionsRelocated {
        waiting: Vec<WaitingDelivery>,
    },
    /// The log cannot give the records of this range back, and what waited in it has been settled:
    /// deliveries that cannot be made any more have died before this record. `kept` are the
    /// positions in streams, by endpoint, of deliveries whose events are in memory.
    RecordsLost {
        first: Seq,
        last: Seq,
        kept: Vec<(EndpointId, Seq)>,
        at: WallMs,
    },
    /// These records hold dead letters of deliveries that are dead no more: nobody looks for them
    /// there from now on.
    DeadLettersForgotten {
        dead_letter_seqs: Vec<Seq>,
    },
    /// The filters of these endpoints were too expensive to evaluate for the event of the record
    /// before this one. It is not delivered to them.
    FilterUndecided {
        event: Seq,
        endpoints: Vec<EndpointId>,
        at: WallMs,
    },
    /// The link is down for this endpoint: its deliveries wait for the link and grow no older.
    EndpointAway {
        endpoint: EndpointId,
        at: WallMs,
        ran_ms: u64,
    },
    /// The link is back for this endpoint.
    EndpointBack {
        endpoint: EndpointId,
        at: WallMs,
        ran_ms: u64,
    },
    /// The oldest delivery that waits at this endpoint has become older than its `warn_after`: it
    /// was accepted at `since`.
    EndpointLagged {
        endpoint: EndpointId,
        at: WallMs,
        since: WallMs,
        ran_ms: u64,
    },
    /// Nothing that old waits at this endpoint any more.
    EndpointCaughtUp {
        endpoint: EndpointId,
        at: WallMs,
        ran_ms: u64,
    },
    /// The daemon has run for so long, and something waits. Written when no other record holds the
    /// run clock, so that a restart does not make deliveries younger.
    ClockRan {
        ran_ms: u64,
    },
    /// The keys of which `--catch-up latest` keeps the latest, for deliveries that waited before
    /// the endpoint was set so.
    KeysLearned {
        endpoint: EndpointId,
        /// Deliveries and their keys.
        keys: Vec<(Seq, u64)>,
    },
    /// The operator knows that these records, each from the first to the last, are damaged or
    /// missing.
    DamageAcknowledged {
        ranges: Vec<(Seq, Seq)>,
        at: WallMs,
    },
}
