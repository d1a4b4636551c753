//! An endpoint as it is shown, and what a test of it came to.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{HeadersView, SecretView, Tolerant, settings};
use crate::api::EndpointSpec;
use crate::api::values::{Text, Time};
use crate::model::{CatchUpMode, EventId, HoldReason};

/// An endpoint, with all its settings but the secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndpointView {
    pub name: String,
    /// Its settings; `secret` only where it was just generated.
    #[serde(flatten, deserialize_with = "settings::known")]
    pub settings: EndpointSpec,
    pub state: Tolerant<HoldState>,
    pub held_reason: Option<Tolerant<HoldReason>>,
    pub held_at: Option<Time>,
    /// One entry for each live secret.
    pub secrets: Vec<SecretView>,
    pub created_at: Time,
    /// The set of files that it was applied from.
    pub applied_set: Option<String>,
    /// What its operator should know of the change that was just made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(flatten)]
    pub activity: Option<EndpointActivityView>,
    #[serde(flatten)]
    pub lag: Option<EndpointLagView>,
}

/// Whether an endpoint is on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    Active,
    Held,
}

/// What matters most about an endpoint right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum EndpointCondition {
    /// Deliveries are sent
    Active,
    /// It is on hold
    Held,
    /// Its breaker is open after failures in a row
    Failing,
    /// The network is down
    Offline,
    /// An ordered lane waits for the operator
    Parked,
    /// Its oldest delivery has waited for longer than its warn_after
    Lagging,
    /// A backlog is delivered
    CatchingUp,
}

/// What an endpoint is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndpointActivityView {
    /// Deliveries that have not ended.
    pub waiting: u64,
    /// Attempts in flight; that of a batch is one.
    pub in_flight: u64,
    /// Deliveries that wait for a retry, none that is in flight.
    pub retrying: u64,
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    pub last_error: Option<String>,
    /// What the receiver answered then, or the command said, in one line. In a list only that of
    /// endpoints with which something is wrong, and of the first 64 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
    pub last_success_at: Option<Time>,
    /// Events that were not delivered because the filter was too expensive for them.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub filter_too_expensive: u64,
    /// The last of these events.
    pub filter_too_expensive_event: Option<Text<EventId>>,
    pub condition: Tolerant<EndpointCondition>,
    /// Attempts that may be under way at a time.
    pub window: usize,
    pub failures_in_row: u32,
    /// How long there has been nothing but failure.
    pub failing_ms: u64,
    /// Since when something has been wrong with it, as far as that is known: of failures in a row
    /// the time of the first.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub troubled_since: Option<Time>,
    pub breaker_opened_at: Option<Time>,
    pub next_probe_at: Option<Time>,
    /// It waits for the network.
    pub offline: bool,
    /// Since when its oldest delivery has waited for longer than its warn_after.
    pub lagging_since: Option<Time>,
    /// The receiver asked to wait until then (Retry-After).
    pub paused_until: Option<Time>,
    /// When the rate allows the next attempt.
    pub rate_next_at: Option<Time>,
    /// Ordered lanes with deliveries.
    pub lanes: usize,
    /// Ordered lanes that wait for the operator.
    pub parked_lanes: usize,
    pub batches_waiting: usize,
    /// The order in which a backlog is delivered, while there is one.
    pub catching_up: Option<Tolerant<CatchUpMode>>,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub requests_succeeded: u64,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub requests_failed: u64,
    /// The share of requests that succeeded, to a thousandth.
    pub success_ratio: Option<f64>,
}

/// How far an endpoint is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndpointLagView {
    /// When the oldest waiting delivery was made.
    pub oldest_waiting_at: Option<Time>,
    pub lag_ms: u64,
}

/// What would be sent to an endpoint, or was, and with which result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EndpointTestView {
    pub endpoint: String,
    pub event: String,
    pub dry_run: bool,
    /// Whether the endpoint selects the event; null for a generated one.
    pub matches: Option<bool>,
    /// Why the endpoint does not select the event.
    pub why_not: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Secrets are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeadersView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    pub warning: Option<String>,
    /// Of an attempt: delivered, failed, gone, refused, hold or drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub error: Option<String>,
    /// What the receiver answered: the beginning of the body, in one line, with control characters
    /// escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The exit code of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The output of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}
