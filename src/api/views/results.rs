//! What came of a request that changes something.

use serde::{Deserialize, Serialize};

use crate::api::values::{Text, Time};
use crate::model::{EventId, Rate};

/// A source or an endpoint was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeletedView {
    pub name: String,
    pub deleted: bool,
    /// Deliveries that were cancelled with an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<usize>,
    /// What becomes of things that had to do with a source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// It was reported that an event of a source was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GivenUpView {
    pub source: String,
    /// The type of the notice. Endpoints with `--from hookbox` get at most one a minute.
    pub notice: String,
}

/// An event was sent in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventSentView {
    pub id: Text<EventId>,
    pub duplicate: bool,
    /// The earlier event that has the same dedupe key and another content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<Text<EventId>>,
}

/// Deliveries that a command left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOutView {
    /// Why, and what can be done.
    pub why: String,
    pub count: usize,
}

/// Deliveries were attempted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RetryView {
    pub matched: usize,
    pub queued: usize,
    pub dry_run: bool,
    /// Deliveries that this could not be done with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutView>,
}

/// Deliveries were cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CancelView {
    pub matched: usize,
    pub cancelled: usize,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub dry_run: bool,
    /// Deliveries that this could not be done with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutView>,
}

/// Dead letters were discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiscardView {
    pub matched: usize,
    pub discarded: usize,
    pub dry_run: bool,
    /// Deliveries that this could not be done with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutView>,
}

/// A replay was counted or started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplayStartView {
    /// Events.
    pub matched: u64,
    /// Deliveries.
    pub queued: u64,
    pub dry_run: bool,
    /// Deliveries that a dry run would queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_queue: Option<u64>,
    /// The number of the replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u64>,
}

/// A replay that is under way, or ended before its end a while ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReplayView {
    pub id: u64,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub source: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub event: Option<Text<EventId>>,
    /// The endpoint; null where each event goes where it went before.
    pub to: Option<String>,
    /// The next record.
    pub next: u64,
    /// The last record.
    pub end: u64,
    pub rate: Option<Text<Rate>>,
    pub started_at: Time,
    /// Why it ended before its end; null while it is under way.
    #[serde(default)]
    pub ended: Option<String>,
}

/// Events were imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImportView {
    pub imported: usize,
    /// Events that were there already.
    pub skipped: usize,
}

/// Why a request was refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProblemView {
    #[serde(rename = "type", default)]
    pub problem_type: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub status: u16,
    /// What is wrong and what to do.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub detail: String,
}

/// The header of a list that says how many rows it has in all, where the daemon knows it.
pub const TOTAL_HEADER: &str = "hookbox-total";

/// The last line of a list that was answered before its end: it had found nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MoreLine {
    pub more: MoreView,
}

/// How a list goes on that was answered before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MoreView {
    /// What `after` names to go on.
    pub after: String,
    /// Everything since this time was looked at.
    pub looked_back_to: Option<Time>,
}

/// The last line of a list that broke off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProblemLine {
    pub problem: ProblemView,
}
