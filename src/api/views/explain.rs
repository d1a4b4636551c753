//! Why a delivery waits, or how it ended.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tolerant;
use crate::api::values::Text;
use crate::model::{DeliveryId, DeliveryState, EventId};

/// Why a delivery waits, in sentences; or how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainView {
    pub id: Text<DeliveryId>,
    pub event: Text<EventId>,
    pub endpoint: String,
    pub state: Tolerant<DeliveryState>,
    pub attempts: u32,
    /// The most important reason, in a sentence.
    pub summary: String,
    /// The most important first.
    pub reasons: Vec<ReasonView>,
}

/// One reason, with its facts as further fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReasonView {
    /// hold, parked, lane, offline, clock, breaker, paused, retry, batch, in_flight, no_consumer,
    /// rate, catching_up, window, retries, source_retries, slots, share, gathering, in_line,
    /// backlog, turn, last_error, delivered, dead or cancelled.
    pub kind: String,
    /// The reason in a sentence.
    pub text: String,
    #[serde(flatten)]
    #[cfg_attr(test, schemars(with = "super::ReasonFacts"))]
    pub facts: Map<String, Value>,
}
