//! Which events came before: salted 64-bit fingerprints of dedupe keys, in 16 bytes each.
//!
//! A million keys of the window take 16 MB. New ones go into a small map; when it is full it is frozen into
//! sorted columns, and eight frozen generations are merged into one, so that a look-up searches about a dozen
//! of them. Two different keys fall together once in 2^64 / (keys held) tries: less than one in 10^13 for a full
//! window, and nobody outside can aim at it, because the fingerprint is salted.
//!
//! Limit: `limits::DEDUPE_KEYS`; above it the oldest generation is forgotten.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::{Seq, WallMs, limits};

const FRESH: usize = 32_768;
const MERGE: usize = 8;

/// The remembered fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dedupe {
    fresh: HashMap<u64, (Seq, WallMs)>,
    /// Oldest first.
    frozen: Vec<Generation>,
}

/// Frozen entries in columns, sorted by fingerprint; sequence and time (seconds) relative to their base.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Generation {
    fingerprints: Vec<u64>,
    seqs: Vec<u32>,
    times_s: Vec<u32>,
    base_seq: Seq,
    base_s: u64,
    newest_s: u64,
}

impl Dedupe {
    /// The first event with this fingerprint that came at `since` or later.
    #[must_use]
    pub fn find(&self, fingerprint: u64, since: WallMs) -> Option<Seq> {
        let fresh = self.fresh.get(&fingerprint).copied();
        let found = fresh.or_else(|| self.frozen.iter().rev().find_map(|g| g.find(fingerprint)));
        // Frozen times are cut to the second, so the edge of the window is too.
        found.filter(|(_, at)| *at >= since / 1000 * 1000).map(|(seq, _)| seq)
    }

    /// Remembers a fingerprint.
    pub fn insert(&mut self, fingerprint: u64, seq: Seq, at: WallMs) {
        self.fresh.insert(fingerprint, (seq, at));
        if self.fresh.len() >= FRESH {
            let fresh = std::mem::take(&mut self.fresh);
            self.frozen.push(Generation::freeze(fresh.into_iter().map(|(f, (s, at))| (f, s, at / 1000)).collect()));
            self.compact();
        }
    }

    /// Forgets generations that are older than `since` as a whole.
    pub fn expire(&mut self, since: WallMs) {
        self.frozen.retain(|g| g.newest_s >= since / 1000);
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fresh.len() + self.frozen.iter().map(|g| g.fingerprints.len()).sum::<usize>()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn compact(&mut self) {
        let small = |g: &Generation| g.fingerprints.len() < FRESH * MERGE;
        let first = self.frozen.iter().position(small).unwrap_or(self.frozen.len());
        if self.frozen.len() - first >= MERGE {
            let entries = self.frozen.drain(first..).flat_map(Generation::into_entries).collect();
            self.frozen.push(Generation::freeze(entries));
        }
        while self.len() > limits::DEDUPE_KEYS && !self.frozen.is_empty() {
            self.frozen.remove(0);
        }
    }
}

impl Generation {
    fn freeze(mut entries: Vec<(u64, Seq, u64)>) -> Self {
        // The same fingerprint twice: the later event is the one whose window still runs.
        entries.sort_unstable();
        entries.reverse();
        entries.dedup_by_key(|e| e.0);
        entries.reverse();
        let base_seq = entries.iter().map(|e| e.1).min().unwrap_or(0);
        let base_s = entries.iter().map(|e| e.2).min().unwrap_or(0);
        let near = |n: u64, base: u64| u32::try_from(n - base).unwrap_or(u32::MAX);
        Self {
            fingerprints: entries.iter().map(|e| e.0).collect(),
            seqs: entries.iter().map(|e| near(e.1, base_seq)).collect(),
            times_s: entries.iter().map(|e| near(e.2, base_s)).collect(),
            base_seq,
            base_s,
            newest_s: entries.iter().map(|e| e.2).max().unwrap_or(0),
        }
    }

    fn find(&self, fingerprint: u64) -> Option<(Seq, WallMs)> {
        let at = self.fingerprints.binary_search(&fingerprint).ok()?;
        let seq = self.base_seq + u64::from(*self.seqs.get(at)?);
        let time_s = self.base_s + u64::from(*self.times_s.get(at)?);
        Some((seq, time_s * 1000))
    }

    fn into_entries(self) -> impl Iterator<Item = (u64, Seq, u64)> {
        let (base_seq, base_s) = (self.base_seq, self.base_s);
        let rest = self.seqs.into_iter().zip(self.times_s);
        self.fingerprints
            .into_iter()
            .zip(rest)
            .map(move |(f, (seq, time))| (f, base_seq + u64::from(seq), base_s + u64::from(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dedupe, FRESH};
    use crate::model::limits;

    #[test]
    fn found_within_the_window_only() {
        let mut seen = Dedupe::default();
        seen.insert(7, 1, 10_000);
        assert_eq!(seen.find(7, 10_000), Some(1));
        assert_eq!(seen.find(7, 11_000), None);
        assert_eq!(seen.find(8, 0), None);
    }

    #[test]
    fn frozen_and_merged_entries_are_still_found() {
        let mut seen = Dedupe::default();
        let count = FRESH as u64 * 20 + 5;
        for n in 0..count {
            seen.insert(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n + 1, n * 10);
        }
        for n in (0..count).step_by(997) {
            assert_eq!(seen.find(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0), Some(n + 1));
        }
        assert!(seen.frozen.len() < 12, "{} generations", seen.frozen.len());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut seen = Dedupe::default();
        for n in 0..(limits::DEDUPE_KEYS as u64 + 3 * FRESH as u64) {
            seen.insert(n, n, n);
        }
        assert!(seen.len() <= limits::DEDUPE_KEYS + FRESH);
        assert_eq!(seen.find(limits::DEDUPE_KEYS as u64, 0), Some(limits::DEDUPE_KEYS as u64));
    }
}
