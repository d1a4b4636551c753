//! How far an endpoint's backlog has been worked off. Plain data; see `catching_up`.

use std::collections::BTreeMap;

use super::bucket::TokenBucket;
use crate::model::{CatchUpMode, Seq, limits};

/// How far the backlog has been worked off.
#[derive(Debug, Default)]
pub struct CatchingUp {
    pub bucket: TokenBucket,
    pub mode: CatchUpMode,
    /// The backlog's deliveries were made by records before this one.
    pub end: Seq,
    /// What is still to be read backward: from before `before` down to `until`.
    pub(super) back: Option<(Seq, Seq)>,
    /// `latest`: the newest delivery known of each key.
    newest: BTreeMap<u64, Seq>,
}

impl CatchingUp {
    /// One over the backlog from `from` to before `end`.
    pub(super) fn new(mode: CatchUpMode, from: Option<Seq>, end: Seq) -> Self {
        let back = from.filter(|from| mode != CatchUpMode::Oldest && *from < end);
        let back = back.map(|from| (end, from));
        Self { mode, end, back, ..Self::default() }
    }

    /// What is still to be read backward: from before the first position down to the second.
    #[must_use]
    pub fn back(&self) -> Option<(Seq, Seq)> {
        self.back
    }

    /// The first position of the stream that is still to be read.
    #[must_use]
    pub fn first_unread(&self) -> Option<Seq> {
        self.back.map(|(_, until)| until)
    }

    /// What came before `from` in the stream is not there any more.
    pub fn forget_before(&mut self, from: Seq) {
        let back = self.back.map(|(before, until)| (before, until.max(from)));
        self.back = back.filter(|(before, until)| before > until);
    }

    /// The backlog has been read backward to `next`.
    pub(super) fn read_to(&mut self, next: Seq) {
        self.back =
            self.back.map(|(_, until)| (next, until)).filter(|(before, until)| before > until);
    }

    /// The newest delivery known of this key.
    #[must_use]
    pub fn newest(&self, key: u64) -> Option<Seq> {
        self.newest.get(&key).copied()
    }

    /// Takes note of one of this key. False when there are too many keys to keep this one.
    pub fn note(&mut self, key: u64, delivery: Seq) -> bool {
        if let Some(newest) = self.newest.get_mut(&key) {
            *newest = delivery.max(*newest);
            return true;
        }
        let fits = self.newest.len() < limits::LATEST_KEYS;
        if fits {
            self.newest.insert(key, delivery);
        }
        fits
    }

    /// Whether what has just come in goes before what waited. Two of a key keep their order once
    /// all has been read.
    #[must_use]
    pub(super) fn takes_in_front(&self) -> bool {
        match self.mode {
            CatchUpMode::Oldest => false,
            CatchUpMode::Newest => true,
            CatchUpMode::Latest => self.back.is_some(),
        }
    }
}
