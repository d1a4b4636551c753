//! Puts a frame together from candidates for its parts.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::log::frame::{FrameHead, StoredFrame};
use crate::log::header::{FoundHeader, SegmentHeader};

/// Candidates kept for one part, and combinations of them tried for one frame.
pub(super) const TRIES: usize = 256;

/// Keeps a candidate, unless there is an equal one already.
pub(super) fn keep(bytes: &[u8], candidates: &mut Vec<Range<usize>>, found: Range<usize>) {
    let is_equal = |other: &Range<usize>| bytes[other.clone()] == bytes[found.clone()];
    if candidates.len() < TRIES && !candidates.iter().any(is_equal) {
        candidates.push(found);
    }
}

/// Tries combinations of the candidates behind `front`. The one that is returned matches the
/// frame's SHA-256.
pub(super) fn first_that_is_whole(
    bytes: &[u8],
    head: FrameHead,
    front: &[u8],
    rest: &[&[Range<usize>]],
) -> Option<StoredFrame> {
    let is_whole = |stored: &[u8]| stored.len() == head.stored_len as usize && head.is_of(stored);
    let stored = first_that(bytes, front, rest, is_whole)?;
    Some(StoredFrame { head, stored })
}

/// Tries combinations of the candidates behind `front`: the first of each, then as a counter
/// counts, with a digit for each part. Returns the first that is good.
pub(super) fn first_that(
    bytes: &[u8],
    front: &[u8],
    rest: &[&[Range<usize>]],
    is_good: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut digits = vec![0usize; rest.len()];
    for _ in 0..TRIES {
        let mut joined = front.to_vec();
        for (candidates, digit) in rest.iter().zip(&digits) {
            joined.extend_from_slice(&bytes[candidates.get(*digit)?.clone()]);
        }
        if is_good(&joined) {
            return Some(joined);
        }

        let can_grow =
            |(digit, candidates): (&usize, &&[Range<usize>])| digit + 1 < candidates.len();
        let at = digits.iter().zip(rest).position(can_grow)?;
        digits[at] += 1;
        digits[..at].fill(0);
    }
    None
}

/// The checkpoints that the candidates for its parts may make: the one that a header names, or else
/// the first of each.
pub(super) fn checkpoints(
    bytes: &[u8],
    parts: &[&[Range<usize>]],
    headers: &[FoundHeader],
) -> Vec<Vec<u8>> {
    let is_named = |found: &[u8], header: &SegmentHeader| {
        found.len() as u64 == header.checkpoint_len
            && <[u8; 32]>::from(Sha256::digest(found)) == header.checkpoint_sha256
    };
    let named = headers
        .iter()
        .find_map(|found| first_that(bytes, &[], parts, |joined| is_named(joined, &found.header)));
    let first = || headers.is_empty().then(|| first_that(bytes, &[], parts, |_| true)).flatten();
    named.or_else(first).into_iter().collect()
}
