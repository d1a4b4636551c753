//! What the operator is told by events of the built-in source `hookbox` that no other room decides: sources that refuse a
//! lot, and the room on the disk.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::model::limits;
use crate::queue::Input;
use crate::scheduler::Handle;

/// What has become of the room for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// It gets scarce; events are still accepted.
    Low { left_bytes: u64 },
    /// Events are refused for want of it.
    Refusing { reason: String },
    /// There is room again.
    Accepting,
}

/// Tells of a change of the room: `hookbox.disk.low`, `hookbox.refusing`, `hookbox.accepting`.
pub fn room(handle: &Handle, room: &Room) {
    let (kind, data) = match room {
        Room::Low { left_bytes } => ("hookbox.disk.low", json!({"left_bytes": left_bytes})),
        Room::Refusing { reason } => ("hookbox.refusing", json!({"reason": reason})),
        Room::Accepting => ("hookbox.accepting", json!({})),
    };
    tell(handle, kind, data);
}

/// Tells of a source that refuses a lot: `hookbox.source.refusing`.
pub fn refusing(handle: &Handle, found: Value) {
    tell(handle, "hookbox.source.refusing", found);
}

fn tell(handle: &Handle, kind: &str, data: Value) {
    handle.report(Input::Announce { kind: kind.to_owned(), data });
}

/// What sources refused, looked at now and then. At most `limits::SOURCES` of them, each with the counts of a minute.
#[derive(Debug, Default)]
pub struct Watch {
    sources: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When it was looked at, and how many it had refused by then.
    counts: VecDeque<(u64, u64)>,
    told_at: Option<u64>,
}

impl Watch {
    /// Takes up the counts since the start, by source, and gives what is to be told: sources that refused
    /// `limits::REFUSING` requests or more within `limits::REFUSING_SPAN_MS`, each once in `limits::REFUSING_GAP_MS`.
    pub fn look(&mut self, now_mono: u64, counts: &BTreeMap<String, (u64, String)>) -> Vec<Value> {
        self.sources.retain(|name, _| counts.contains_key(name));
        let mut found = Vec::new();
        for (name, (count, last_reason)) in counts.iter().take(limits::SOURCES) {
            let seen = self.sources.entry(name.clone()).or_default();
            // The first look of all tells nothing of when these came.
            let before = match seen.counts.front() {
                Some((_, count)) => *count,
                None => 0,
            };
            let refused = count.saturating_sub(before);
            seen.counts.push_back((now_mono, *count));
            while seen.counts.front().is_some_and(|(at, _)| at + limits::REFUSING_SPAN_MS <= now_mono)
                || seen.counts.len() > LOOKS
            {
                seen.counts.pop_front();
            }
            let quiet = seen.told_at.is_none_or(|at| at + limits::REFUSING_GAP_MS <= now_mono);
            if refused >= limits::REFUSING && quiet {
                seen.told_at = Some(now_mono);
                found.push(json!({"source": name, "refused": refused, "last_reason": last_reason}));
            }
        }
        found
    }
}

/// Looks that are remembered; older ones go first.
const LOOKS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Watch;
    use crate::model::limits::{REFUSING, REFUSING_GAP_MS, REFUSING_SPAN_MS};

    fn counts(count: u64) -> BTreeMap<String, (u64, String)> {
        BTreeMap::from([("in".to_owned(), (count, "mismatch".to_owned()))])
    }

    #[test]
    fn many_within_a_minute_are_told_once() {
        let mut watch = Watch::default();
        assert!(watch.look(0, &counts(1)).is_empty());
        let told = watch.look(10_000, &counts(1 + REFUSING));
        assert_eq!((told[0]["source"].as_str(), told[0]["refused"].as_u64()), (Some("in"), Some(REFUSING)));
        for n in 2..100 {
            assert!(watch.look(n * 10_000, &counts(n * REFUSING)).is_empty(), "it was told already");
        }
        let later = 10_000 + REFUSING_GAP_MS;
        assert_eq!(watch.look(later, &counts(1_000 * REFUSING)).len(), 1, "it goes on");
    }

    #[test]
    fn a_few_now_and_then_are_nothing() {
        let mut watch = Watch::default();
        for n in 0..100 {
            assert!(watch.look(n * REFUSING_SPAN_MS / 2, &counts(n * (REFUSING - 1) / 2)).is_empty());
        }
    }
}
