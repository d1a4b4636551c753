//! An event as it is shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HeadersView, Tolerant};
use crate::api::values::{Text, Time};
use crate::model::{DeliveryId, DeliveryState, EventId};

/// What lists and details of an event have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventSummary {
    pub id: Text<EventId>,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub received_at: Time,
    /// Bytes of the body.
    pub size: usize,
    /// How often the event came again within the dedupe window.
    pub duplicates: u32,
    pub dedupe_key: Option<String>,
    /// The id that receivers of an imported event know.
    pub first_id: Option<Text<EventId>>,
    /// The earlier event that has the same dedupe key and another content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<Text<EventId>>,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventView {
    #[serde(flatten)]
    pub summary: EventSummary,
    /// How many deliveries it has.
    pub deliveries: usize,
}

/// An event with headers and body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventDetailView {
    #[serde(flatten)]
    pub summary: EventSummary,
    pub request_line: String,
    /// The query it came with, decoded; a name that stands several times has a list.
    pub query: Value,
    /// The address it came from.
    pub remote: String,
    pub headers: HeadersView,
    /// The body, or its beginning where that was asked for.
    pub body_base64: String,
    /// Its deliveries, as far as they are known.
    pub deliveries: Vec<EventDeliveryView>,
    /// Why it was kept and not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The endpoints whose filters were too expensive for it.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub filter_too_expensive: Vec<String>,
}

/// A delivery of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventDeliveryView {
    pub id: Text<DeliveryId>,
    pub endpoint: String,
    pub state: Tolerant<DeliveryState>,
}
