//! What the daemon did and how it stood, by time.

use serde::{Deserialize, Serialize};

use crate::api::values::Time;

/// The history, in rows of a step each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HistoryView {
    /// The beginning of the first row.
    pub since: Time,
    pub until: Time,
    /// The length of a row. It is longer than what was asked for where the time is kept in longer
    /// steps only.
    pub step_ms: u64,
    /// Of this endpoint alone.
    pub endpoint: Option<String>,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub rows: Vec<HistoryRowView>,
    /// All rows together.
    pub total: HistoryRowView,
}

/// What happened in one step, and how things stood. Null where that is not known: the daemon did
/// not run, or it is no longer kept, or it is not counted for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HistoryRowView {
    /// When it begins.
    pub at: Time,
    /// Events; of an endpoint the deliveries that were made for it.
    pub accepted: Option<u64>,
    /// Requests that were refused at the ingress.
    pub refused: Option<u64>,
    pub delivered: Option<u64>,
    /// Requests to receivers that failed.
    pub failed: Option<u64>,
    /// Deliveries that were given up.
    pub dead: Option<u64>,
    /// Deliveries that had not ended, at most; those on hold only of an endpoint.
    pub pending: Option<u64>,
    /// How long ago the oldest of them was accepted, at most.
    pub oldest_s: Option<u64>,
    /// From acceptance to delivery: half of the deliveries took at most so long.
    pub latency_p50_ms: Option<u64>,
    pub latency_p99_ms: Option<u64>,
    /// Commits of the log, until they were durable.
    pub commit_p50_ms: Option<u64>,
    pub commit_p99_ms: Option<u64>,
    /// What the log took on disk, at the end.
    pub disk_bytes: Option<u64>,
}
