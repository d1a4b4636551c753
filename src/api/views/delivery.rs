//! A delivery and its attempts as they are shown.

use serde::{Deserialize, Serialize};

use super::{HeadersView, Tolerant};
use crate::api::values::{Text, Time};
use crate::model::{DeliveryId, DeliveryState, EventId};

/// A delivery in a list; dead letters, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeliveryView {
    pub id: Text<DeliveryId>,
    pub event: Text<EventId>,
    pub endpoint: String,
    pub state: Tolerant<DeliveryState>,
    /// Attempts that counted; null in a list where the delivery ended so long after it was made
    /// that they were not counted.
    pub attempts: Option<u32>,
    /// When the next attempt may start.
    pub due_at: Option<Time>,
    /// Null where the event is not in the log any more.
    pub source: Option<String>,
    /// Null where the event is not in the log any more.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// When it was made; null where its record is not in the log any more, nor its event.
    #[serde(default)]
    pub created_at: Option<Time>,
    /// When it became a dead letter; null where it is none, and where `attempts` is.
    #[serde(default)]
    pub died_at: Option<Time>,
    /// Why it became a dead letter; null like `died_at`.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A delivery with every attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeliveryDetailView {
    #[serde(flatten)]
    pub delivery: DeliveryView,
    pub history: Vec<AttemptView>,
    /// What the operator did with it.
    pub operator: Vec<OperatorActionView>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AttemptView {
    pub number: u32,
    pub started_at: Time,
    pub duration_ms: u64,
    /// delivered, retryable, gone, refused, hold or drop.
    pub outcome: String,
    /// The status of the response.
    pub status: Option<u16>,
    pub error: Option<String>,
    /// When the next attempt is due.
    pub next_at: Option<Time>,
    pub next: Tolerant<NextStep>,
    /// Why it was given up, or why its lane stopped.
    pub reason: Option<String>,
    /// False where the network was to blame: it counts towards no limit.
    pub counted: bool,
    /// The batch it was made for.
    pub batch: Option<String>,
    /// Until the connection stood; null where one was reused.
    pub connect_ms: Option<u64>,
    pub request: RequestView,
    pub response: Option<ResponseView>,
    /// What the receiver answered, or the command said: the beginning, in one line, with control
    /// characters escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The exit code of a command.
    pub exit: Option<i32>,
    /// The output of a command.
    pub output: Option<String>,
}

/// What followed from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    Delivered,
    Retry,
    Dead,
    Held,
    Parked,
    Ended,
}

/// The request of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RequestView {
    pub method: String,
    pub url: String,
    pub headers: HeadersView,
}

/// The response to an attempt; of its body, the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResponseView {
    pub status: u16,
    pub headers: HeadersView,
    pub body_base64: String,
    /// Neither headers nor body were kept, because disk space was scarce.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub trimmed: bool,
}

/// What the operator did with a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OperatorActionView {
    /// cancelled, retried, or superseded by a later event of its key.
    pub what: String,
    pub at: Time,
}
