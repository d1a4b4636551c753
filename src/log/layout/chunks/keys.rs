//! The keys of format 1, as byte strings. Numbers are big-endian.
//!
//! * `c ‖ number`: the chunks of the checkpoint;
//! * `r ‖ first ‖ number`: the chunks of the frame that begins with record `first`.

use crate::model::Seq;

pub(super) const CHECKPOINT_PREFIX: &[u8] = b"c";
pub(super) const CHECKPOINT_LEN: usize = 5;
pub(super) const FRAME_LEN: usize = 13;

pub(super) type FrameKey = [u8; FRAME_LEN];

pub(super) fn checkpoint(number: usize) -> [u8; CHECKPOINT_LEN] {
    let mut key = [b'c'; CHECKPOINT_LEN];
    key[1..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    key
}

/// The key of a frame's chunk; `usize::MAX` stands for the largest number.
pub(super) fn frame(first: Seq, number: usize) -> FrameKey {
    let mut key = [b'r'; FRAME_LEN];
    key[1..9].copy_from_slice(&first.to_be_bytes());
    key[9..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    key
}

/// The first record of the frame whose key this is.
pub(super) fn first_record(key: &[u8]) -> Option<Seq> {
    let (seq, _) = key.strip_prefix(b"r")?.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*seq))
}
