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
    AttemptReport, BatchId, DeliveryId, Endpoint, EndpointId, Event, EventId, HoldReason, Outcome, Seq, Source,
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
    /// A dead letter stands here from now on, this record is its new grave: that of an old segment, or one that died in
    /// a batch just now.
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
    /// Deliveries of one endpoint go out together from now on, under the id `(this record's seq, 0)`.
    BatchFormed {
        endpoint: EndpointId,
        members: Vec<BatchMember>,
        /// Everything in the endpoint's stream up to here has been taken up, by now.
        low: Seq,
    },
    /// An attempt for a batch ended, and what follows from it for each of its deliveries.
    BatchFinished(Box<BatchFinished>),
    /// An attempt of an endpoint with a slow rate was started, so that a restart is no burst.
    RateSpent {
        endpoint: EndpointId,
        at: WallMs,
    },
    /// Deliveries that catching up left out, because a later event of the same key stands for them.
    Superseded {
        endpoint: EndpointId,
        deliveries: Vec<Seq>,
        low: Seq,
        at: WallMs,
    },
    /// A delivery that waited was given up without another attempt, or one that was imported had died where it comes
    /// from; this record is its grave.
    Died {
        dead: DeadLetter,
    },
    /// The event of the record before this one was imported: another log, or a lost part of this one, had accepted it
    /// under another id. `identity` is the salted fingerprint of that id, so that it comes in only once.
    EventImported {
        event: Seq,
        identity: u64,
        at: WallMs,
    },
    /// A delivery that waits in its endpoint's stream, at a place in an old segment, waits at this record's place from
    /// now on.
    PlaceCarried {
        waiting: Waiting,
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
    /// The lane it is the head of, when the endpoint keeps an order.
    #[serde(default)]
    pub key: Option<u64>,
    /// The link was to blame, so that it does not count as an attempt.
    #[serde(default)]
    pub spared: bool,
    /// How long the endpoint has done nothing but fail by now, counted while the daemon ran and was online.
    #[serde(default)]
    pub failing_ms: u64,
}

/// An attempt as one delivery sees it, whether it was made for it alone or for its batch.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub number: u32,
    pub report: &'a AttemptReport,
    pub next: &'a Next,
    pub batch: Option<BatchId>,
    pub spared: bool,
    /// Whether the receiver took any of the batch.
    pub any_taken: bool,
}

/// What is said of an event that a receiver named in `failed`, when it took the others of the batch, and when it took none.
pub const OTHERS_TAKEN: &str = "the receiver took others of its batch, but not this one";
pub const NONE_TAKEN: &str = "the receiver did not take it (it took none of its batch)";

impl Attempted<'_> {
    /// Whether a 2xx was the answer and this event is one that it named as not taken.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.report.outcome == Outcome::Delivered && matches!(self.next, Next::Retry { .. } | Next::Dead { .. })
    }

    /// What went wrong for this delivery.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match (self.is_left_out(), self.any_taken) {
            (true, true) => Some(OTHERS_TAKEN),
            (true, false) => Some(NONE_TAKEN),
            (false, _) => self.report.error.as_deref(),
        }
    }

    /// What it came to for this delivery.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.is_left_out() { Outcome::Retryable { after_ms: None } } else { self.report.outcome.clone() }
    }
}

impl Record {
    /// The attempts that a record tells of.
    pub fn attempts(&self) -> impl Iterator<Item = Attempted<'_>> {
        let (one, several) = match self {
            Self::AttemptFinished(attempt) => (Some(attempt), None),
            Self::BatchFinished(finished) => (None, Some(finished)),
            _ => (None, None),
        };
        let one = one.map(|a| Attempted {
            delivery: a.delivery,
            event: a.event,
            number: a.number,
            report: &a.report,
            next: &a.next,
            batch: None,
            spared: a.spared,
            any_taken: false,
        });
        let several = several.into_iter().flat_map(|finished| {
            let any_taken = finished.members.iter().any(|member| member.next == Next::Delivered);
            finished.members.iter().map(move |member| Attempted {
                delivery: DeliveryId { seq: member.delivery, endpoint: finished.endpoint },
                event: member.event,
                number: member.number,
                report: &finished.report,
                next: &member.next,
                batch: Some(finished.batch),
                spared: finished.spared,
                any_taken,
            })
        });
        one.into_iter().chain(several)
    }

    /// The dead letter that lies at this record, when it is the grave of one.
    #[must_use]
    pub fn dead_letter(&self, seq: Seq) -> Option<DeadLetter> {
        match self {
            Self::DeadCarried { dead, .. } | Self::Died { dead } => Some(dead.clone()),
            Self::AttemptFinished(attempt) => {
                let Next::Dead { reason } = &attempt.next else { return None };
                Some(DeadLetter {
                    delivery: attempt.delivery,
                    event: attempt.event,
                    attempts: attempt.number,
                    died_at: attempt.report.started_at + attempt.report.duration_ms,
                    reason: reason.clone(),
                    last: seq,
                })
            }
            _ => None,
        }
    }
}

/// A delivery that joins a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMember {
    /// The record that made the delivery.
    pub delivery: Seq,
    pub event: Seq,
    /// Its place in the endpoint's stream, when it comes from there.
    pub position: Option<Seq>,
    pub attempts: u32,
    /// The record of its last attempt, or 0.
    pub last: Seq,
    pub key: Option<u64>,
    pub age_ms: u64,
}

/// One attempt for a batch and its consequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchFinished {
    pub endpoint: EndpointId,
    pub batch: BatchId,
    /// 1 for the batch's first attempt.
    pub number: u32,
    pub report: AttemptReport,
    pub members: Vec<MemberFinished>,
    pub next: BatchNext,
    pub spared: bool,
    pub failing_ms: u64,
}

/// What the attempt for a batch means for one of its deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFinished {
    pub delivery: Seq,
    pub event: Seq,
    /// The delivery's own count of attempts.
    pub number: u32,
    /// The record of its attempt before this one, or 0.
    pub prev: Seq,
    pub next: Next,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchNext {
    /// It is over; members that go on do so on their own.
    Over,
    /// The same batch, under the same id.
    Again,
    /// Its members go on in two batches: the first so many as `(this record's seq, 0)`, the others as `(…, 1)`.
    Split { first: u32 },
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
    /// Its lane waits behind it until the operator decides.
    Parked {
        reason: String,
    },
}

/// A delivery that goes on waiting while its place in the stream is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub delivery: DeliveryId,
    pub position: Seq,
    pub event: Seq,
    pub attempts: u32,
    pub last: Seq,
    #[serde(default)]
    pub key: Option<u64>,
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
