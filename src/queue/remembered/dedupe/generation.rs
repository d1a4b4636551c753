//! Keys in sorted columns.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::column;
use crate::model::Seq;

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DedupeEntry {
    pub(super) seq: Seq,
    /// See [`KeyTime`](super::KeyTime).
    pub(super) at: u64,
    /// 32 bits of the content's fingerprint; 0 when it is not known, which matches any content.
    pub(super) check: u32,
}

/// Frozen entries in columns, sorted by fingerprint. Record numbers and times (in seconds) are
/// relative to their bases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Generation {
    #[serde(with = "column")]
    fingerprints: Vec<u64>,
    #[serde(with = "column")]
    seqs: Vec<u32>,
    #[serde(with = "column")]
    times_s: Vec<u32>,
    base_seq: Seq,
    base_s: u64,
    pub(super) newest_s: u64,
    /// Empty in generations that were written before contents were compared.
    #[serde(default, with = "column")]
    pub(super) checks: Vec<u32>,
}

impl Generation {
    pub(super) fn freeze(mut entries: Vec<(u64, DedupeEntry)>) -> Self {
        // Of equal fingerprints keep the later event: its window ends later.
        entries.sort_unstable_by_key(|(fingerprint, entry)| (*fingerprint, Reverse(entry.seq)));
        entries.dedup_by_key(|(fingerprint, _)| *fingerprint);

        let seconds = |entry: &DedupeEntry| entry.at / 1000;
        let base_seq = entries.iter().map(|(_, entry)| entry.seq).min().unwrap_or(0);
        let base_s = entries.iter().map(|(_, entry)| seconds(entry)).min().unwrap_or(0);
        // Times that are too far apart, as those of 1970 and of the run clock, end in 2106, which
        // is in every window.
        let near = |n: u64, base: u64| u32::try_from(n - base).unwrap_or(u32::MAX);
        Self {
            fingerprints: entries.iter().map(|(fingerprint, _)| *fingerprint).collect(),
            seqs: entries.iter().map(|(_, entry)| near(entry.seq, base_seq)).collect(),
            times_s: entries.iter().map(|(_, entry)| near(seconds(entry), base_s)).collect(),
            base_seq,
            base_s,
            newest_s: entries.iter().map(|(_, entry)| seconds(entry)).max().unwrap_or(0),
            checks: entries.iter().map(|(_, entry)| entry.check).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.fingerprints.len()
    }

    pub(super) fn find(&self, fingerprint: u64) -> Option<DedupeEntry> {
        let at = self.fingerprints.binary_search(&fingerprint).ok()?;
        let seq = self.base_seq + u64::from(*self.seqs.get(at)?);
        let time_s = self.base_s + u64::from(*self.times_s.get(at)?);
        Some(DedupeEntry {
            seq,
            at: time_s * 1000,
            check: self.checks.get(at).copied().unwrap_or(0),
        })
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (u64, DedupeEntry)> {
        let (base_seq, base_s) = (self.base_seq, self.base_s);
        let checks = self.checks.into_iter().chain(std::iter::repeat(0));
        let rest = self.seqs.into_iter().zip(self.times_s).zip(checks);
        self.fingerprints.into_iter().zip(rest).map(move |(fingerprint, ((seq, time), check))| {
            let at = (base_s + u64::from(time)) * 1000;
            (fingerprint, DedupeEntry { seq: base_seq + u64::from(seq), at, check })
        })
    }
}
