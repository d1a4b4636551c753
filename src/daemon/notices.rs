//! Notices (events of the built-in source `hookbox`) that no other module sends: of sources that
//! refuse many requests, and of the disk space.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::limits;
use crate::queue::{Input, Refusal};
use crate::scheduler::Handle;

/// How often a notice is tried while the scheduler is busy, and the pause in between.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// A change of the disk space that is left for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskNotice {
    /// It is scarce; events are still accepted.
    Low { left_bytes: u64 },
    /// It is used up, and events are refused.
    Refusing { reason: String },
    /// Events are accepted again.
    Accepting,
}

/// Sends the notice of a change of the disk space: `hookbox.disk.low`, `hookbox.refusing`,
/// `hookbox.accepting`.
pub async fn disk(handle: &Handle, change: &DiskNotice) {
    let (kind, data) = match change {
        DiskNotice::Low { left_bytes } => ("hookbox.disk.low", json!({"left_bytes": left_bytes})),
        DiskNotice::Refusing { reason } => ("hookbox.refusing", json!({"reason": reason})),
        DiskNotice::Accepting => ("hookbox.accepting", json!({})),
    };
    send(handle, kind, data).await;
}

/// Sends the notice of a source that refuses many requests: `hookbox.source.refusing`.
pub async fn refusing(handle: &Handle, found: Value) {
    send(handle, "hookbox.source.refusing", found).await;
}

/// Sends a notice when the scheduler has time for it.
async fn send(handle: &Handle, kind: &str, data: Value) {
    for _ in 0..TRIES {
        let input = Input::Announce { kind: kind.to_owned(), data: data.clone() };
        match handle.ask(input).await {
            Ok(()) => return,
            Err(Refusal::Busy) => tokio::time::sleep(PAUSE).await,
            Err(refusal) => return tracing::debug!(kind, %refusal, "a notice was not sent"),
        }
    }
    tracing::warn!(kind, "a notice was not sent: the scheduler is too busy");
}

/// The refusals of sources, looked at from time to time. At most `limits::SOURCES` of them, each
/// with the counts of a minute.
#[derive(Debug, Default)]
pub struct RefusalWatch {
    sources: BTreeMap<String, RefusalHistory>,
}

#[derive(Debug, Default)]
struct RefusalHistory {
    /// When it was looked at, and how many it had refused by then.
    counts: VecDeque<(u64, u64)>,
    notified_at: Option<u64>,
}

impl RefusalWatch {
    /// Takes the counts since the start, by source, and gives the notices to send: of sources that
    /// refused `limits::REFUSING` requests or more within `limits::REFUSING_SPAN_MS`, each once in
    /// `limits::REFUSING_GAP_MS`.
    pub fn look(&mut self, now_mono: u64, counts: &BTreeMap<String, (u64, String)>) -> Vec<Value> {
        self.sources.retain(|name, _| counts.contains_key(name));
        let mut found = Vec::new();
        for (name, (count, last_reason)) in counts.iter().take(limits::SOURCES) {
            let seen = self.sources.entry(name.clone()).or_default();
            // At the first look it is not known when they came: all of them count, at this look
            // and as long as they may lie within the span. A burst is often cut in two by a look.
            if seen.counts.is_empty() {
                seen.counts.push_back((now_mono, 0));
            }

            // The count to start from is the last one that is as old as the span.
            let is_past = |(at, _): &(u64, u64)| at + limits::REFUSING_SPAN_MS <= now_mono;
            while seen.counts.get(1).is_some_and(is_past) || seen.counts.len() > LOOKS {
                seen.counts.pop_front();
            }
            let before = seen.counts.front().map_or(0, |(_, count)| *count);
            let refused = count.saturating_sub(before);
            seen.counts.push_back((now_mono, *count));

            let quiet = seen.notified_at.is_none_or(|at| at + limits::REFUSING_GAP_MS <= now_mono);
            if refused >= limits::REFUSING && quiet {
                seen.notified_at = Some(now_mono);
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

    use super::RefusalWatch;
    use crate::model::limits::{REFUSING, REFUSING_GAP_MS, REFUSING_SPAN_MS};

    fn counts(count: u64) -> BTreeMap<String, (u64, String)> {
        BTreeMap::from([("in".to_owned(), (count, "mismatch".to_owned()))])
    }

    #[test]
    fn many_refusals_within_a_minute_are_one_notice() {
        let mut watch = RefusalWatch::default();
        assert!(watch.look(0, &counts(1)).is_empty());
        let notices = watch.look(10_000, &counts(1 + REFUSING));
        assert_eq!(
            (notices[0]["source"].as_str(), notices[0]["refused"].as_u64()),
            (Some("in"), Some(1 + REFUSING))
        );
        for n in 2..100 {
            assert!(
                watch.look(n * 10_000, &counts(n * REFUSING)).is_empty(),
                "there was a notice already"
            );
        }
        let later = 10_000 + REFUSING_GAP_MS;
        assert_eq!(watch.look(later, &counts(1_000 * REFUSING)).len(), 1, "it goes on");
    }

    #[test]
    fn a_look_in_the_middle_of_a_burst_hides_nothing() {
        for seen_at_first in 0..=REFUSING {
            let mut watch = RefusalWatch::default();
            let first = watch.look(0, &counts(seen_at_first)).len();
            let second = watch.look(10_000, &counts(REFUSING)).len();
            assert_eq!(first + second, 1, "the first look saw {seen_at_first}");
        }

        // The same after a long time in which nothing was refused.
        for seen_at_first in 0..=REFUSING {
            let mut watch = RefusalWatch::default();
            watch.look(0, &counts(1));
            watch.look(REFUSING_SPAN_MS * 5, &counts(1));
            let burst = REFUSING_SPAN_MS * 6;
            let first = watch.look(burst, &counts(1 + seen_at_first)).len();
            let second = watch.look(burst + 10_000, &counts(1 + REFUSING)).len();
            assert_eq!(first + second, 1, "the first look saw {seen_at_first}");
        }
    }

    #[test]
    fn a_few_refusals_are_no_notice() {
        let mut watch = RefusalWatch::default();
        for n in 0..100 {
            assert!(
                watch.look(n * REFUSING_SPAN_MS / 2, &counts(n * (REFUSING - 1) / 2)).is_empty()
            );
        }
    }
}
