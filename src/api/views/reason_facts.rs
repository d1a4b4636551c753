//! The facts of each reason why a delivery waits, or of how it ended.

use serde::Serialize;
use serde_json::Value;

use super::ReasonView;
use crate::api::values::{Text, Time};
use crate::model::{BatchId, CatchUpMode, DeliveryId, HoldReason, Rate};

/// The kind of a reason, and its facts. A client reads them as they come ([`ReasonView`]): a later
/// daemon may know more kinds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReasonFacts {
    /// Its endpoint is on hold.
    Hold { reason: HoldReason, since: Time },
    /// This machine is offline.
    Offline { since: Time, probe_at: Time },
    /// The wall clock is not trusted.
    Clock { until: Time },
    /// The breaker of its endpoint is open.
    Breaker { since: Time, probe_at: Time, failures: u32 },
    /// Its receiver asked for a pause.
    Paused { until: Time },

    /// An attempt is under way, for it alone or for its batch.
    InFlight {
        number: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<Text<BatchId>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<usize>,
    },
    /// Its lane is parked. `itself`: it is the head of the lane.
    Parked { head: Text<DeliveryId>, event: String, itself: bool, attempts: u32 },
    /// Its lane waits for another delivery to end.
    Lane {
        head: Text<DeliveryId>,
        event: String,
        in_flight: bool,
        attempts: u32,
        due_at: Option<Time>,
    },
    /// It failed, and waits for its next attempt.
    Retry { number: u32, max_attempts: Option<u32>, due_at: Time, gives_up_in_ms: u64 },
    /// It waits with a batch.
    Batch { batch: Text<BatchId>, members: usize, number: u32, due_at: Option<Time> },

    /// No consumer takes deliveries of its pull endpoint.
    NoConsumer,
    /// The rate limit of its endpoint.
    Rate { rate: Text<Rate>, next_at: Time },
    /// The pace at which a backlog is worked off.
    CatchingUp { mode: CatchUpMode, next_at: Time },
    /// The concurrency window of its endpoint is full.
    Window { in_flight: usize, width: usize, concurrency: u32 },
    /// So many deliveries wait for a retry that first attempts are made only in turn with them.
    Retries { waiting: usize, most: usize },
    /// So many deliveries of its source wait for a retry that no first attempts of it are made.
    SourceRetries { waiting: usize },

    /// All slots for attempts are taken. `on_probation`: all those for endpoints on probation.
    Slots { in_flight: usize, most: usize, on_probation: bool },
    /// Its endpoint has its share of the slots.
    Share { own: usize, left: usize },
    /// Its batch is still open.
    Gathering { max_events: u32, closes_at: Time },
    /// Other deliveries of its endpoint have their first attempts before it.
    InLine { before: usize },
    /// It has not been read from the log yet.
    Backlog { before_at_most: u64 },
    /// Nothing: it is attempted at once.
    Turn,

    /// How its last attempt failed.
    LastError {
        error: String,
        attempts: u32,
        /// Until when a replaced secret signs as well, where the receiver may have another one.
        #[serde(skip_serializing_if = "Option::is_none")]
        old_secret_until: Option<Time>,
    },
    /// It was delivered; null where the log has dropped its history.
    Delivered { number: Option<u32>, at: Option<Time> },
    /// It is a dead letter.
    Dead {
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Time>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Until when a replaced secret signs as well, where the receiver may have another one.
        #[serde(skip_serializing_if = "Option::is_none")]
        old_secret_until: Option<Time>,
    },
    /// It was cancelled, by the operator or with its endpoint.
    Cancelled {
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Time>,
    },
}

impl ReasonView {
    /// A reason in a sentence, with its facts.
    #[must_use]
    pub fn new(text: String, facts: &ReasonFacts) -> Self {
        let mut facts = match serde_json::to_value(facts) {
            Ok(Value::Object(facts)) => facts,
            written => unreachable!("facts are an object: {written:?}"),
        };
        let kind = match facts.shift_remove("kind") {
            Some(Value::String(kind)) => kind,
            other => unreachable!("facts have a kind: {other:?}"),
        };
        Self { kind, text, facts }
    }
}
