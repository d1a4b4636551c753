//! Leases of a pull endpoint.

use serde::{Deserialize, Serialize};

use super::HeadersView;
use crate::api::values::{self, Span, Text, Time};
use crate::model::{DeliveryId, EventId, limits};

// A client that passes the leases on as they came reads each as a type of its own.
/// The deliveries that a consumer got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LeasesView"))]
pub struct LeasesView<L = LeaseView> {
    pub leases: Vec<L>,
    /// How long they are leased.
    #[serde(deserialize_with = "values::any_span")]
    pub lease: Span<1, { limits::LEASE_MS }>,
}

/// One leased delivery, with its event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeaseView {
    /// Unguessable: whoever has it may settle the delivery.
    pub lease: String,
    pub expires_at: Time,
    pub delivery: Text<DeliveryId>,
    /// The number of this attempt.
    pub attempt: u32,
    pub event: Text<EventId>,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub received_at: Time,
    /// The query that it came with, without secrets; left out where it had none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    pub headers: HeadersView,
    pub body_base64: String,
}

/// What was done with a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SettledView {
    pub lease: String,
    /// acknowledged, rejected or extended.
    pub done: String,
}
