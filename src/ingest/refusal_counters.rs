//! Counters of refusals, with the last reason: for the operator, never for the sender.
//!
//! Limits: 32 kinds a source, `limits::SOURCES` sources (and one entry without a name for requests
//! that reached no source); at most one line a second and source in the process log, which counts
//! those that were left out.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::safe_text::escaped;
use crate::model::{Now, WallMs, limits};

/// Kinds counted apart for one source; more go under `other`.
const KINDS: usize = 32;
/// Characters of a reason that are kept.
const REASON_LEN: usize = 400;
/// Between two lines in the log about one source.
const LOG_EVERY_MS: u64 = 1000;

/// Counters of refusals by source.
#[derive(Debug, Default)]
pub struct RefusalCounters {
    by_source: Mutex<HashMap<String, SourceEntry>>,
    counted: Notify,
    /// All since the start, those of sources that are gone included.
    total: AtomicU64,
    refused: Notify,
}

/// The refusals of one source since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRefusals {
    /// How many, by kind (`mismatch`, `stale`, `too-large`, …).
    pub counts: BTreeMap<&'static str, u64>,
    /// How many of them for their proof or their address.
    pub unproven: u64,
    pub last_reason: String,
    pub last_at: WallMs,
}

#[derive(Debug, Default)]
struct SourceEntry {
    counted: SourceRefusals,
    logged_at_ms: Option<u64>,
    suppressed: u64,
}

impl RefusalCounters {
    /// Counts one refusal and, at most once a second, logs it. `source` is the name of a source
    /// that exists, or empty.
    pub fn count(&self, source: &str, kind: &'static str, reason: &str, now: Now) {
        let reason = shown(reason);
        let Some(suppressed) = self.note(source, kind, &reason, now) else { return };
        tracing::warn!(source, kind, suppressed, "refused: {reason}");
    }

    /// Notes that a refusal of this source, which has been counted, was for the proof or the
    /// address of the request.
    pub(super) fn note_unproven(&self, source: &str) {
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = by_source.get_mut(source) {
            entry.counted.unproven += 1;
            self.counted.notify_one();
        }
    }

    /// Resolves when a request has been refused for its proof or its address.
    pub async fn next_unproven(&self) {
        self.counted.notified().await;
    }

    /// Resolves when a request has been refused since this last did.
    pub async fn next(&self) {
        self.refused.notified().await;
    }

    /// All requests that were refused since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The refusals of a source; `None` when there were none. The empty name counts requests
    /// without a source.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<SourceRefusals> {
        let by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        by_source.get(source).map(|entry| entry.counted.clone())
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, SourceRefusals> {
        let by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        by_source.iter().map(|(name, entry)| (name.clone(), entry.counted.clone())).collect()
    }

    /// Keeps the counters of these sources.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name, _| is_there(name));
    }

    /// Counts a refusal. When it is to be logged, returns how many were left out before it.
    fn note(&self, source: &str, kind: &'static str, reason: &str, now: Now) -> Option<u64> {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.refused.notify_one();
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than the sources: the entry without a name.
        let full = by_source.len() > limits::SOURCES && !by_source.contains_key(source);
        let entry =
            by_source.entry(if full { String::new() } else { source.to_owned() }).or_default();

        reason.clone_into(&mut entry.counted.last_reason);
        entry.counted.last_at = now.wall_ms;

        let counts = &mut entry.counted.counts;
        let fits = counts.len() < KINDS - 1 || counts.contains_key(kind);
        *counts.entry(if fits { kind } else { "other" }).or_default() += 1;

        if entry.logged_at_ms.is_some_and(|at| now.mono_ms < at + LOG_EVERY_MS) {
            entry.suppressed += 1;
            return None;
        }
        entry.logged_at_ms = Some(now.mono_ms);
        Some(std::mem::take(&mut entry.suppressed))
    }
}

/// A reason as people read it. It may quote the request, whose sender has proven nothing: it stays
/// one line, and short.
fn shown(reason: &str) -> String {
    let end = reason.char_indices().nth(REASON_LEN).map_or(reason.len(), |(at, _)| at);
    escaped(reason.get(..end).unwrap_or(reason))
}

#[cfg(test)]
mod tests {
    use super::RefusalCounters;
    use crate::model::{Now, limits};

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_000_000 + mono_ms }
    }

    #[test]
    fn one_line_a_second_and_source_says_how_many_were_left_out() {
        let refusals = RefusalCounters::default();
        assert_eq!(refusals.note("a", "mismatch", "first", at(0)), Some(0));
        assert_eq!(refusals.note("a", "mismatch", "second", at(10)), None);
        assert_eq!(refusals.note("b", "mismatch", "other source", at(11)), Some(0));
        assert_eq!(refusals.note("a", "stale", "third", at(999)), None);
        assert_eq!(refusals.note("a", "stale", "fourth", at(1000)), Some(2));

        let seen = refusals.of("a").expect("counted");
        assert_eq!(seen.counts.into_iter().collect::<Vec<_>>(), [("mismatch", 2), ("stale", 2)]);
        assert_eq!((seen.last_reason.as_str(), seen.last_at), ("fourth", 1_001_000));
    }

    #[test]
    fn a_reason_that_quotes_the_request_stays_one_line() {
        let refusals = RefusalCounters::default();
        refusals.count("a", "unknown-key", "the certificate x\nERROR \u{1b}[2J is not here", at(0));
        assert_eq!(
            refusals.of("a").expect("counted").last_reason,
            "the certificate x\\nERROR \\x1b[2J is not here"
        );
    }

    #[test]
    fn names_and_kinds_and_reasons_are_bounded() {
        let refusals = RefusalCounters::default();
        for n in 0..limits::SOURCES + 100 {
            refusals.count(&format!("s{n}"), "mismatch", &"é".repeat(10_000), at(0));
        }
        assert!(refusals.all().len() <= limits::SOURCES + 2);
        assert_eq!(
            refusals.of("s0").expect("counted").last_reason.chars().count(),
            super::REASON_LEN
        );
        for n in 0..100 {
            refusals.note("s0", Box::leak(format!("kind{n}").into_boxed_str()), "", at(0));
        }
        assert_eq!(refusals.of("s0").expect("counted").counts.len(), super::KINDS);
    }
}
