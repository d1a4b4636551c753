//! The status of the daemon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BootApplyView, DamageView, EndpointCondition, Tolerant};
use crate::api::values::Time;
use crate::model::HoldReason;

/// One screen: what comes in, goes out, waits and fails, and the disk space left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusView {
    /// Events accepted.
    pub events: u64,
    /// Events that came again within their dedupe window.
    pub duplicates: u64,
    /// Events that had the dedupe key of an earlier one and another content.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub dedupe_conflicts: u64,
    pub deliveries: DeliveryCounts,
    pub attempts: u64,
    pub failed_attempts: u64,
    pub sources: usize,
    pub endpoints: usize,
    /// Replays under way.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub replays: usize,
    /// Bytes of the settings of all sources and endpoints.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub settings_bytes: u64,
    /// Refused requests since the start, by reason.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub refused: BTreeMap<String, u64>,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub link: LinkView,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub clock: ClockView,
    /// Endpoints whose breaker is open.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub breakers_open: usize,
    /// The endpoints that need somebody most, the worst first; only some of them.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub worst: Vec<WorstView>,
    /// Deleted endpoints that have dead letters, those with most of them first; only some of them.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub deleted_with_dead: Vec<DeletedEndpointView>,
    /// Endpoints with which something is wrong.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub troubled: usize,
    /// Those of them that need somebody: not those that the operator holds, nor those that fail
    /// sometimes.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub urgent: usize,
    /// Ordered lanes that wait for the operator.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub parked_lanes: usize,
    /// Endpoints that deliver a backlog.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub catching_up: usize,
    /// Deliveries that consumers hold.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub leased: usize,
    /// Sources that refuse every request, because something is missing that their settings name.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub unusable: usize,
    /// Some of them.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub unusable_sources: Vec<UnusableSourceView>,
    pub log: LogSpaceView,
    /// Who found a share full in the last minutes.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub shares: Vec<ShareView>,
    /// The files that were applied at the start; null when there are none.
    pub applied: Option<BootApplyView>,
    /// The certificate of the listeners that speak TLS; null when none does.
    pub certificate: Option<CertificateView>,
    /// Whether events are accepted.
    pub accepting: bool,
    /// Why no events are accepted.
    pub reason: Option<String>,
    /// Where the ingress listens.
    pub listen: Vec<String>,
    /// The folder of the data.
    pub data: String,
    pub started_at: Time,
    pub uptime_s: u64,
    pub version: String,
}

/// The certificate that clients of TLS listeners see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CertificateView {
    pub expires_at: Time,
    /// Whether its time has come and is not over.
    pub valid: bool,
    /// What to know of its dates; null when there is nothing.
    pub warning: Option<String>,
}

/// Deliveries by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeliveryCounts {
    /// Not ended and not held; those in flight and those that wait for a retry included.
    pub pending: u64,
    /// Attempts in flight; that of a batch is one.
    pub in_flight: u64,
    pub delivered: u64,
    pub dead: u64,
    pub held: u64,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub cancelled: u64,
    /// Deliveries that wait for a retry (part of `pending`), none that is in flight.
    pub retrying: u64,
    /// Dead letters of endpoints that were deleted (part of `dead`).
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub dead_of_deleted: u64,
    /// Dead letters whose events the log could not give back, since the log began.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub lost: u64,
}

/// An endpoint that was deleted and has dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeletedEndpointView {
    pub endpoint: String,
    /// Dead letters.
    pub dead: u64,
    /// The command to type next.
    pub command: String,
}

/// A source that refuses every request until what is missing is there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnusableSourceView {
    pub source: String,
    /// What is missing.
    pub reason: String,
}

/// An endpoint that needs somebody, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorstView {
    pub endpoint: String,
    pub condition: Tolerant<EndpointCondition>,
    pub held_reason: Option<Tolerant<HoldReason>>,
    /// Since when it is held, only fails, or lags.
    pub since: Option<Time>,
    /// Deliveries that have not ended.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest waiting delivery was made.
    pub oldest_waiting_at: Option<Time>,
    pub last_error: Option<String>,
    /// What the receiver answered then, or the command said: the beginning, in one line, with
    /// control characters escaped.
    pub last_answer: Option<String>,
    pub next_probe_at: Option<Time>,
    /// The command to type next.
    pub command: String,
}

/// Whether the network is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LinkView {
    pub online: bool,
    pub offline_since: Option<Time>,
    pub next_probe_at: Option<Time>,
    /// Endpoints that wait for the network.
    pub endpoints_away: usize,
}

impl Default for LinkView {
    fn default() -> Self {
        Self { online: true, offline_since: None, next_probe_at: None, endpoints_away: 0 }
    }
}

/// Whether the wall clock is plausible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClockView {
    pub suspect: bool,
    /// Until when signed deliveries wait for a plausible clock.
    pub waiting_until: Option<Time>,
}

/// The log and its disk space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogSpaceView {
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of the newest complete checkpoint, the state that a start reads first.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub checkpoint_bytes: u64,
    /// Bytes that the log may take.
    pub quota_bytes: u64,
    /// Bytes of the quota that events may not take.
    pub reserve_bytes: u64,
    pub used_bytes: u64,
    /// Bytes free on the file system.
    pub free_bytes: u64,
    /// Bytes left before events are refused.
    pub left_bytes: u64,
    /// open, low, refusing or halted.
    pub level: String,
    /// Sources that are refused because they hold more than their share of the log.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub over_share: Vec<String>,
    /// The last durable record.
    pub last: u64,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub damage: Vec<DamageView>,
}

/// A share that somebody found full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShareView {
    /// The name of the share.
    #[cfg_attr(test, schemars(extend("enum" = crate::api::schema::share_names())))]
    pub share: String,
    /// Whose share it is.
    pub of: String,
    /// refused, delayed or forgotten.
    pub effect: String,
    pub count: u64,
    pub since: Time,
    pub last_at: Time,
    /// The share in words.
    pub what: String,
}
