//! Which events came before: salted 64-bit fingerprints of dedupe keys, in 20 bytes each, with 32
//! bits of the fingerprint of the event's content.
//!
//! * **A key names an event, and the content says whether it is the same one.** An event with the
//!   same key and other content is not a duplicate but a conflict ([`DedupeVerdict::Conflict`]). It
//!   is remembered under key and content together, so that its own duplicates are recognized.
//!   Entries of older logs have no content, and match any.
//! * **Each source has a share.** A source's keys are never pushed out by another's while it holds
//!   no more than `limits::DEDUPE_KEYS` divided by the number of sources: when there are too many
//!   keys, the source that holds most forgets its oldest. Keys of logs before sources had shares
//!   are looked up, too, and are forgotten first.
//!
//! * **The window is one of the run clock** (see `age`): what the wall clock does makes no
//!   repetition a new event, and forgets no key. Records of earlier versions do not hold the run
//!   clock, and imported events were accepted before it: their keys have the time of the wall clock
//!   ([`KeyTime`]).
//! * **What was signed may be remembered longer than the window.** Where the signature alone names
//!   a delivery, its fingerprint is kept for as long as the signed time is accepted
//!   (`Fingerprints::also_for_ms`), or whoever has a delivery could use it once more between the
//!   two.
//!
//! New keys go into a small map. When it is full it is frozen into sorted columns, and eight frozen
//! generations are merged into one, so that a look-up searches about forty of them when the window
//! is full. Two different keys collide once in 2^64 / (keys held) tries: less than one in 10^13 for
//! a full window, and nobody outside can aim at it, because the fingerprint is salted.
//!
//! Limit: `limits::DEDUPE_KEYS` over all sources (and up to [`COUNTED`] keys a source above it).

mod column;
mod generation;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::age::RUN_START;
use crate::model::{Fingerprints, Seq, SourceId, WallMs, limits};
use generation::{DedupeEntry, Generation};

/// Keys of a source in the map before they are frozen.
const FRESH: usize = 4096;
/// Generations that are merged into one.
const MERGE: usize = 8;
/// The limit is checked after this many new keys of a source.
const COUNTED: usize = 64;
/// The share of the fingerprints of imported ids. Sources are numbered from 1.
pub(in crate::queue) const IMPORTS: SourceId = 0;

/// The remembered fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dedupe {
    /// From logs in which sources had no shares yet. Nothing is added here.
    fresh: BTreeMap<u64, (Seq, WallMs)>,
    /// Likewise; oldest first.
    frozen: Vec<Generation>,
    #[serde(default)]
    shares: BTreeMap<SourceId, SourceKeys>,
    /// The source whose oldest keys were forgotten last. Reported once, and not remembered.
    #[serde(skip)]
    forgetful: Forgetful,
}

/// Equal to any other: it is not part of the state.
#[derive(Clone, Copy, Debug, Default)]
struct Forgetful(Option<SourceId>);

impl PartialEq for Forgetful {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The keys of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SourceKeys {
    fresh: BTreeMap<u64, DedupeEntry>,
    /// Oldest first.
    frozen: Vec<Generation>,
    /// Events with the key of an earlier one and other content.
    conflicts: u64,
    /// How long what was signed is remembered at least.
    #[serde(default)]
    also_for_ms: u64,
}

/// A time by the run clock, and the same by the wall clock. Times of keys are one number of either:
/// the run clock begins in the year 2109 of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTime {
    /// 0 where it is not known.
    pub ran_ms: u64,
    pub wall_ms: WallMs,
}

impl KeyTime {
    /// So much earlier.
    #[must_use]
    pub fn before(self, ms: u64) -> Self {
        let Self { ran_ms, wall_ms } = self;
        Self { ran_ms: ran_ms.saturating_sub(ms), wall_ms: wall_ms.saturating_sub(ms) }
    }

    fn earlier(self, other: Self) -> Self {
        let (ran_ms, wall_ms) = (self.ran_ms.min(other.ran_ms), self.wall_ms.min(other.wall_ms));
        Self { ran_ms, wall_ms }
    }

    /// The time of a key that comes now.
    fn of_key(self) -> u64 {
        if self.ran_ms > 0 { self.ran_ms } else { self.wall_ms }
    }

    /// Whether a key of that time came now or later. Frozen times are cut to the second, so this
    /// one is, too.
    fn is_until(self, of_key: u64) -> bool {
        let of_run_clock = of_key >= RUN_START / 1000 * 1000;
        let from = if of_run_clock { self.ran_ms } else { self.wall_ms };
        of_key >= from / 1000 * 1000
    }
}

impl From<WallMs> for KeyTime {
    /// Where the run clock is not known.
    fn from(wall_ms: WallMs) -> Self {
        Self { ran_ms: 0, wall_ms }
    }
}

/// Whether an event is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupeVerdict {
    New,
    /// It is a duplicate of the event of this record.
    Duplicate(Seq),
    /// The event of this record has its key, and other content.
    Conflict(Seq),
}

impl Dedupe {
    /// Whether the event of `source` with this fingerprint of its key, and these further
    /// fingerprints, is a duplicate of one that came at `since` or later.
    #[must_use]
    pub fn verdict(
        &self,
        source: SourceId,
        key: Option<u64>,
        beside: &Fingerprints,
        since: impl Into<KeyTime>,
    ) -> DedupeVerdict {
        let since: KeyTime = since.into();
        let also = beside.also.and_then(|also| self.entry(source, also, since));
        let (None, Some(key)) = (also, key) else {
            return also.map_or(DedupeVerdict::New, |entry| DedupeVerdict::Duplicate(entry.seq));
        };

        let same_content = |content| self.entry(source, with_content(key, content), since);
        match (self.entry(source, key, since), beside.content) {
            (None, None) => DedupeVerdict::New,
            (Some(entry), Some(content)) if entry.check != 0 && entry.check != check(content) => {
                same_content(content).map_or(DedupeVerdict::Conflict(entry.seq), |other| {
                    DedupeVerdict::Duplicate(other.seq)
                })
            }
            (Some(entry), _) => DedupeVerdict::Duplicate(entry.seq),
            // The first event of its key has been forgotten; conflicting ones may still be known.
            (None, Some(content)) if self.conflicts(source) > 0 => same_content(content)
                .map_or(DedupeVerdict::New, |other| DedupeVerdict::Duplicate(other.seq)),
            (None, Some(_)) => DedupeVerdict::New,
        }
    }

    /// The event of `source` that came under the same signature, where that is remembered for a
    /// time of its own.
    #[must_use]
    pub fn taken_once(&self, source: SourceId, beside: &Fingerprints, now: KeyTime) -> Option<Seq> {
        let also = beside.also.filter(|_| beside.also_for_ms > 0)?;
        self.entry(source, also, now.before(beside.also_for_ms)).map(|entry| entry.seq)
    }

    /// Remembers an event. Keys that came before `since` are of no use to its source any more, but
    /// for what was signed.
    pub fn insert(
        &mut self,
        source: SourceId,
        key: Option<u64>,
        beside: &Fingerprints,
        (seq, now): (Seq, impl Into<KeyTime>),
        since: impl Into<KeyTime>,
    ) {
        let (now, since): (KeyTime, KeyTime) = (now.into(), since.into());
        let share = self.shares.entry(source).or_default();
        share.also_for_ms = share.also_for_ms.max(beside.also_for_ms);
        let since = since.earlier(now.before(share.also_for_ms));
        let at = now.of_key();
        let known = beside.content.map_or(0, check);
        let entry = |check| DedupeEntry { seq, at, check };
        match (key, beside.content, beside.conflicts_with) {
            (Some(key), Some(content), Some(_)) => {
                share.conflicts += 1;
                share.insert(with_content(key, content), entry(0), since);
            }
            (Some(key), ..) => share.insert(key, entry(known), since),
            (None, ..) => {}
        }
        if let Some(also) = beside.also {
            share.insert(also, entry(0), since);
        }

        if share.fresh.len() % COUNTED < 2 {
            self.forget_surplus();
        }
    }

    /// The first event of any source with this fingerprint that came at `since` or later.
    #[must_use]
    pub fn find(&self, fingerprint: u64, since: WallMs) -> Option<Seq> {
        let since = KeyTime::from(since);
        let common = self.entry(SourceId::MAX, fingerprint, since);
        let shared =
            || self.shares.keys().find_map(|source| self.entry(*source, fingerprint, since));
        common.or_else(shared).map(|entry| entry.seq)
    }

    /// The event that was imported with this fingerprint of its first id.
    #[must_use]
    pub fn imported(&self, identity: u64) -> Option<Seq> {
        self.entry(IMPORTS, identity, KeyTime::from(0)).map(|entry| entry.seq)
    }

    /// Remembers the fingerprint of an imported event's first id.
    pub fn insert_imported(&mut self, identity: u64, seq: Seq, at: WallMs) {
        self.insert(IMPORTS, Some(identity), &Fingerprints::default(), (seq, at), 0);
    }

    /// How many events of a source had the key of an earlier one and other content.
    #[must_use]
    pub fn conflicts(&self, source: SourceId) -> u64 {
        self.shares.get(&source).map_or(0, |share| share.conflicts)
    }

    /// The source whose oldest keys were forgotten since this was asked last.
    pub fn take_forgetful(&mut self) -> Option<SourceId> {
        self.forgetful.0.take()
    }

    /// Forgets the keys of a source.
    pub fn forget_source(&mut self, source: SourceId) {
        self.shares.remove(&source);
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let common = self.fresh.len() + self.frozen.iter().map(Generation::len).sum::<usize>();
        common + self.shares.values().map(SourceKeys::len).sum::<usize>()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry in the source's share, or among the keys that are older than shares.
    fn entry(&self, source: SourceId, fingerprint: u64, since: KeyTime) -> Option<DedupeEntry> {
        let shared = self.shares.get(&source).and_then(|share| share.find(fingerprint));
        let common = || {
            let fresh = self.fresh.get(&fingerprint).map(|(seq, at)| DedupeEntry {
                seq: *seq,
                at: *at,
                check: 0,
            });
            fresh.or_else(|| {
                self.frozen.iter().rev().find_map(|generation| generation.find(fingerprint))
            })
        };

        shared.or_else(common).filter(|entry| since.is_until(entry.at))
    }

    /// Forgets keys until there are no more than the limit.
    fn forget_surplus(&mut self) {
        let mut len = self.len();
        while len > limits::DEDUPE_KEYS {
            let before = len;

            if !self.frozen.is_empty() {
                self.frozen.remove(0);
            } else if !self.fresh.is_empty() {
                self.fresh.clear();
            } else if let Some((id, most)) =
                self.shares.iter_mut().max_by_key(|(id, share)| (share.len(), Reverse(**id)))
            {
                self.forgetful = Forgetful(Some(*id));
                most.forget_oldest();
            }

            len = self.len();
            debug_assert!(len < before, "something was forgotten");
        }
    }
}

impl SourceKeys {
    fn find(&self, fingerprint: u64) -> Option<DedupeEntry> {
        let fresh = self.fresh.get(&fingerprint).copied();
        fresh.or_else(|| {
            self.frozen.iter().rev().find_map(|generation| generation.find(fingerprint))
        })
    }

    fn insert(&mut self, fingerprint: u64, entry: DedupeEntry, since: KeyTime) {
        self.fresh.insert(fingerprint, entry);
        if self.fresh.len() < FRESH {
            return;
        }

        let fresh = std::mem::take(&mut self.fresh);
        self.frozen.retain(|generation| since.is_until(generation.newest_s * 1000));
        self.frozen.push(Generation::freeze(fresh.into_iter().collect()));
        self.merge();
    }

    fn merge(&mut self) {
        let small = |generation: &Generation| generation.len() < FRESH * MERGE;
        let first = self.frozen.iter().position(small).unwrap_or(self.frozen.len());
        if self.frozen.len() - first >= MERGE {
            let entries = self.frozen.drain(first..).flat_map(Generation::into_entries).collect();
            self.frozen.push(Generation::freeze(entries));
        }
    }

    fn len(&self) -> usize {
        self.fresh.len() + self.frozen.iter().map(Generation::len).sum::<usize>()
    }

    fn forget_oldest(&mut self) {
        if !self.frozen.is_empty() {
            self.frozen.remove(0);
            return;
        }

        // Nothing is frozen: forget the older half of the map.
        let mut seqs: Vec<Seq> = self.fresh.values().map(|entry| entry.seq).collect();
        seqs.sort_unstable();
        let middle = seqs.get(seqs.len() / 2).copied().unwrap_or(Seq::MAX);
        self.fresh.retain(|_, entry| entry.seq > middle);
    }
}

/// 32 bits of a content's fingerprint, never 0.
fn check(content: u64) -> u32 {
    u32::try_from(content >> 32).unwrap_or_default().max(1)
}

/// The fingerprint of a key together with a content. Both are salted, so that nobody can aim at a
/// collision.
fn with_content(key: u64, content: u64) -> u64 {
    let mixed = (key ^ content.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29) ^ content
}
