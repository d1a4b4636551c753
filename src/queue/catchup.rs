//! Catching up: how an endpoint works off its backlog once the link or its receiver is back. Volatile.
//!
//! Its attempts keep to the endpoint's `catch_up.rate` and to the daemon's own, until there is nothing left that
//! waited. `newest` and `latest` read the backlog backward; `latest` keeps the newest event of each key and ends the older
//! ones as superseded.

use std::collections::HashSet;

use super::bucket::Bucket;
use super::input::StreamEntry;
use crate::model::{CatchUpMode, Seq, limits};

/// One endpoint's way back.
#[derive(Debug, Default)]
pub struct CatchingUp {
    pub bucket: Bucket,
    pub mode: CatchUpMode,
    /// What is still to be read backward: from before `before` down to `until`.
    pub back: Option<(Seq, Seq)>,
    seen: HashSet<u64>,
}

impl CatchingUp {
    /// One over the backlog from `from` to before `end`.
    #[must_use]
    pub fn new(mode: CatchUpMode, from: Option<Seq>, end: Seq) -> Self {
        let back = from.filter(|from| mode != CatchUpMode::Oldest && *from < end).map(|from| (end, from));
        Self { bucket: Bucket::default(), mode, back, seen: HashSet::new() }
    }

    /// The first place of the stream that is still to be read.
    #[must_use]
    pub fn first_unread(&self) -> Option<Seq> {
        self.back.map(|(_, until)| until)
    }

    /// Whether an entry is left out, because a later one of its key was seen.
    pub fn supersedes(&mut self, entry: &StreamEntry) -> bool {
        let Some(key) = entry.latest_key.filter(|_| self.mode == CatchUpMode::Latest) else { return false };
        if self.seen.contains(&key) {
            // Deliveries that were asked for again by the operator stand for themselves.
            return entry.position == entry.delivery.seq;
        }
        if self.seen.len() < limits::LATEST_KEYS {
            self.seen.insert(key);
        }
        false
    }

    /// What came before `from` in the stream is not there any more.
    pub fn read_from(&mut self, from: Seq) {
        self.back = self.back.map(|(before, until)| (before, until.max(from))).filter(|(before, until)| before > until);
    }

    /// The backlog has been read backward to `next`.
    pub fn read_to(&mut self, next: Seq) {
        self.back = self.back.map(|(_, until)| (next, until)).filter(|(before, until)| before > until);
    }
}
