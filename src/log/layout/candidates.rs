//! Puts a frame together from candidates for its parts.

use std::ops::Range;

use crate::log::frame::{FrameHead, StoredFrame};

/// Candidates kept for one part, and combinations of them tried for one frame.
pub(super) const TRIES: usize = 256;

/// Keeps a candidate, unless there is an equal one already.
pub(super) fn keep(bytes: &[u8], candidates: &mut Vec<Range<usize>>, found: Range<usize>) {
    let is_equal = |other: &Range<usize>| bytes[other.clone()] == bytes[found.clone()];
    if candidates.len() < TRIES && !candidates.iter().any(is_equal) {
        candidates.push(found);
    }
}

/// Tries combinations of the candidates behind `front`: the first of each, then as a counter
/// counts, with a digit for each part. The one that is returned matches the frame's SHA-256.
pub(super) fn first_that_is_whole(
    bytes: &[u8],
    head: FrameHead,
    front: &[u8],
    rest: &[&Vec<Range<usize>>],
) -> Option<StoredFrame> {
    let mut digits = vec![0usize; rest.len()];
    for _ in 0..TRIES {
        let mut stored = front.to_vec();
        for (candidates, digit) in rest.iter().zip(&digits) {
            stored.extend_from_slice(&bytes[candidates[*digit].clone()]);
        }

        let frame = StoredFrame { head, stored };
        if frame.stored.len() == head.stored_len as usize && frame.is_whole() {
            return Some(frame);
        }

        let can_grow = |(digit, candidates): (&usize, &&Vec<_>)| digit + 1 < candidates.len();
        let at = digits.iter().zip(rest).position(can_grow)?;
        digits[at] += 1;
        digits[..at].fill(0);
    }
    None
}
