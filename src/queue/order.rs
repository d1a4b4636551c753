//! The lane of an event: what stands at a JSON Pointer (RFC 6901) in its body, as a number. Pure, for the queue and for
//! whoever reads the log for it.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::input::{Keys, StreamEntry};
use super::lanes::STRICT;
use crate::model::{CatchUpMode, Endpoint, Event, Order};

impl Keys {
    /// The pointers of an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let order = endpoint.order_key.clone().filter(|_| endpoint.order == Order::Key);
        let latest = endpoint.catch_up.key.clone().filter(|_| endpoint.catch_up.mode == CatchUpMode::Latest);
        Self { order, latest, moved: BTreeMap::new() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_none() && self.latest.is_none()
    }

    /// Writes an event's keys into its entry.
    pub fn fill(&self, entry: &mut StreamEntry, event: &Event) {
        if self.is_empty() {
            return;
        }
        let body: Value = serde_json::from_slice(&event.body).unwrap_or(Value::Null);
        let at = |pointer: &Option<String>| pointer.as_ref().map(|pointer| key_at(&body, pointer));
        (entry.key, entry.latest_key) = (at(&self.order), at(&self.latest));
    }

    /// The lane of an event, where there is one for each key.
    #[must_use]
    pub fn order_key(&self, event: &Event) -> Option<u64> {
        let pointer = self.order.as_ref()?;
        Some(key_at(&serde_json::from_slice(&event.body).unwrap_or(Value::Null), pointer))
    }

    /// Keys for an entry whose event is not in the log any more.
    pub fn fill_nothing(&self, entry: &mut StreamEntry) {
        let nothing = |pointer: &Option<String>| pointer.as_ref().map(|pointer| key_at(&Value::Null, pointer));
        (entry.key, entry.latest_key) = (nothing(&self.order), nothing(&self.latest));
    }

    /// Whether an entry still lacks what these ask for.
    #[must_use]
    pub fn lacks(&self, entry: &StreamEntry) -> bool {
        (self.order.is_some() && entry.key.is_none()) || (self.latest.is_some() && entry.latest_key.is_none())
    }
}

/// The number that stands for the value at `pointer`. Whatever has no value there shares one.
fn key_at(body: &Value, pointer: &str) -> u64 {
    let digest = match body.pointer(pointer) {
        Some(value) => Sha256::digest(value.to_string()),
        None => Sha256::digest(b"nothing"),
    };
    let first = digest.iter().take(8).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    // Small numbers are not given away: one of them is the strict lane.
    first.max(STRICT + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::key_at;

    #[test]
    fn equal_values_share_a_lane_and_others_do_not() {
        let at = |body: serde_json::Value| key_at(&body, "/device/id");
        assert_eq!(at(json!({"device": {"id": 7}, "n": 1})), at(json!({"n": 2, "device": {"id": 7}})));
        assert_ne!(at(json!({"device": {"id": 7}})), at(json!({"device": {"id": "7"}})));
        assert_eq!(at(json!({})), at(json!([1])));
        assert_ne!(at(json!({})), at(json!({"device": {"id": null}})));
    }
}
