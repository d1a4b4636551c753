//! What happened while an endpoint was in trouble: counted from when that began, and remembered, so
//! that a restart counts on.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{Now, WallMs, time};

/// How an endpoint was when its trouble began.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meanwhile {
    pub since: WallMs,
    pub delivered: u64,
    pub failed: u64,
    pub died: u64,
}

/// What is counted of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointCounts {
    pub delivered: u64,
    pub failed: u64,
    pub died: u64,
    /// Deliveries that have not ended.
    pub waiting: u64,
}

impl Meanwhile {
    /// It begins now, and is about what was accepted or failed since this time.
    #[must_use]
    pub fn since(since: WallMs, counts: EndpointCounts) -> Self {
        let EndpointCounts { delivered, failed, died, .. } = counts;
        Self { since, delivered, failed, died }
    }

    /// What has happened by now, as a notice states it.
    #[must_use]
    pub fn summary(&self, counts: EndpointCounts, now: Now) -> Value {
        let lasted_ms = now.wall_ms.saturating_sub(self.since);
        json!({
            "since": time::rfc3339(self.since),
            "lasted": time::format_duration_ms(lasted_ms / 1000 * 1000),
            "lasted_ms": lasted_ms,
            "delivered": counts.delivered.saturating_sub(self.delivered),
            "failed_attempts": counts.failed.saturating_sub(self.failed),
            "dead": counts.died.saturating_sub(self.died),
            "waiting": counts.waiting,
        })
    }
}
