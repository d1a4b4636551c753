//! What a tail streams.

use serde::{Deserialize, Serialize};

use super::{NextStep, Tolerant};
use crate::api::values::{Text, Time};
use crate::model::{DeliveryId, EventId};

/// An event, a duplicate, an attempt, or how many lines were missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum TailView {
    /// An event was accepted.
    Event {
        at: Time,
        id: Text<EventId>,
        source: String,
        #[serde(rename = "type")]
        event_type: String,
        /// Bytes of the body.
        size: usize,
        /// How many deliveries it has.
        deliveries: usize,
    },
    /// An event came again.
    Duplicate {
        at: Time,
        /// The event that it repeats; older daemons only say its record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Text<EventId>>,
        /// That of the event, while the event is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// The record of the event.
        event_seq: u64,
    },
    /// An attempt ended.
    Attempt {
        at: Time,
        delivery: Text<DeliveryId>,
        /// The record of the event.
        event_seq: u64,
        endpoint: String,
        number: u32,
        duration_ms: u64,
        /// delivered, retryable, gone, refused, hold or drop.
        outcome: String,
        status: Option<u16>,
        error: Option<String>,
        /// What followed from it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<Tolerant<NextStep>>,
        /// When the next attempt is due.
        next_at: Option<Time>,
        /// When it is made at the latest, where the delivery joins a batch first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_by: Option<Time>,
        /// Why it was given up, or why its lane stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The reader was too slow for these many lines.
    Missed { lines: u64 },
}
