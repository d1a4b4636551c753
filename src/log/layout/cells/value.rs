//! The values in the cells. Each says by itself what it is, so that salvage needs neither keys nor
//! pages. Pure.
//!
//! ```text
//! frame = 0xE1, a whole frame, head and payload
//! heads = 0xE2, of u64, number of the first part u32, count u16,
//!         count times: a frame's head (86), place of its first part: tree u16, cell u16;
//!         CRC-32 u32 of all before it
//! ahead = 0xE4, of u64, number of the first part u32, count u16, the first tree of what was
//!         written ahead u16, its bytes u32; frames and CRC-32 as in heads
//! part  = 0xE3, of u64, number u32, length u16, CRC-32 u32 of all before it and of the bytes; the
//!         bytes                                                    (numbers big-endian)
//! ```
//!
//! `of` is the first record of the commit, or 0 for a part of the checkpoint. The parts of a commit
//! are numbered through from 0; those of one frame, together, are its payload. The payload of the
//! first frame of `ahead` begins with what was written ahead: the parts of these bytes, numbered
//! from 0, whose `of` is the number of their first tree, with the highest bit set.

use crate::log::frame::{FrameHead, HEAD_LEN};
use crate::model::{Seq, limits};

const FRAME: u8 = 0xE1;
const HEADS: u8 = 0xE2;
const PART: u8 = 0xE3;
const AHEAD: u8 = 0xE4;
const HEADS_FRONT: usize = 1 + 8 + 4 + 2;
const AHEAD_FRONT: usize = HEADS_FRONT + 2 + 4;
const HEADS_ENTRY: usize = HEAD_LEN + 4;
const PART_FRONT: usize = 1 + 8 + 4 + 2;
const CRC: usize = 4;

/// Bytes of a payload, or of the checkpoint, in one part.
pub(super) const PART_BYTES: usize = limits::VALUE - PART_FRONT - CRC;
/// Heads in one value.
pub(super) const HEADS_AT_ONCE: usize = (limits::VALUE - AHEAD_FRONT - CRC) / HEADS_ENTRY;
const _: () = assert!(limits::COMMIT_FRAMES == HEADS_AT_ONCE, "a commit's heads are one value");
/// What the parts of the checkpoint are parts of.
pub(super) const CHECKPOINT: Seq = 0;

/// A place in the trees of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CellPlace {
    pub tree: u16,
    pub cell: u16,
}

/// A frame of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlacedHead {
    pub head: FrameHead,
    /// Where its first part is.
    pub place: CellPlace,
}

/// What was written ahead of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct PlacedAhead {
    /// The number of its first tree.
    pub(super) tree: u16,
    pub(super) bytes: u32,
}

impl PlacedAhead {
    /// What its parts are parts of.
    pub(super) fn of(tree: u16) -> Seq {
        1 << 63 | Seq::from(tree)
    }

    /// Parts that it is cut into.
    pub(super) fn parts(self) -> u32 {
        parts_of(self.bytes)
    }
}

/// Parts that so many bytes are cut into.
fn parts_of(bytes: u32) -> u32 {
    u32::try_from((bytes as usize).div_ceil(PART_BYTES)).unwrap_or(u32::MAX)
}

/// The heads of a commit that is not one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitHeads {
    pub of: Seq,
    /// The number of the first part.
    pub part: u32,
    pub frames: Vec<PlacedHead>,
    /// With what the payload of the first frame begins.
    pub ahead: Option<PlacedAhead>,
}

/// Why the heads of a commit cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeadsFault {
    Damaged(String),
    /// A later version wrote them.
    Newer(String),
}

/// A part of a payload or of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PayloadPart<'a> {
    pub of: Seq,
    pub number: u32,
    pub bytes: &'a [u8],
}

/// The value of a whole frame.
pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
    [&[FRAME], bytes].concat()
}

/// Whether a frame of so many bytes fits one value.
pub(super) fn fits_frame(len: usize) -> bool {
    len < limits::VALUE
}

/// The frame in a value that is one.
pub(super) fn whole_frame(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(&[FRAME])
}

/// Whether it completes a commit: a frame, or heads.
pub(super) fn is_commit(value: &[u8]) -> bool {
    matches!(value.first(), Some(&FRAME | &HEADS | &AHEAD))
}

/// The record that a value begins with; of a part, that of its commit. It does not decrease from
/// one cell to the next, as values are written; nothing checks it.
pub(super) fn begins(value: &[u8]) -> Option<Seq> {
    match *value.first()? {
        FRAME => number_at(value, 3),
        HEADS => number_at(value, HEADS_FRONT + 2),
        AHEAD => number_at(value, AHEAD_FRONT + 2),
        PART => number_at(value, 1),
        _ => None,
    }
}

/// The first and the last record of a value that completes a commit.
pub(super) fn covers(value: &[u8]) -> Option<(Seq, Seq)> {
    let last_head = match *value.first()? {
        FRAME => value.get(1..)?,
        HEADS | AHEAD => value.get(value.len().checked_sub(CRC + HEADS_ENTRY)?..)?,
        _ => return None,
    };
    let (first, count) = (number_at(last_head, 2)?, last_head.get(10..14)?);
    let count = count.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
    Some((begins(value)?, first.saturating_add(count).saturating_sub(1)))
}

/// Whether a value completes the commit of this record, as it says itself.
pub(super) fn holds(value: &[u8], seq: Seq) -> bool {
    covers(value).is_some_and(|(first, last)| (first..=last).contains(&seq))
}

/// Whether a value that completes a commit is as it was written.
pub(super) fn is_whole(value: &[u8]) -> bool {
    match whole_frame(value) {
        Some(frame) => {
            let stored = frame.get(HEAD_LEN..).unwrap_or_default();
            FrameHead::read(frame).is_ok_and(|head| head.is_of(stored))
        }
        None => CommitHeads::read(value).is_ok(),
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    let (number, _) = bytes.get(at..)?.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*number))
}

impl CommitHeads {
    /// What was written ahead of one of the frames.
    pub fn ahead_of(&self, index: usize) -> Option<PlacedAhead> {
        self.ahead.filter(|_| index == 0)
    }

    /// Parts that the payload of one of the frames is cut into, without what was written ahead.
    pub fn parts(&self, index: usize) -> u32 {
        let ahead = self.ahead_of(index).map_or(0, |ahead| ahead.bytes);
        parts_of(self.frames[index].head.stored_len.saturating_sub(ahead))
    }

    /// The number of the part with which the payload of one of the frames begins.
    pub fn first_part(&self, index: usize) -> u32 {
        (0..index).fold(self.part, |part, before| part.saturating_add(self.parts(before)))
    }

    pub fn to_value(&self) -> Vec<u8> {
        let count = u16::try_from(self.frames.len()).unwrap_or(u16::MAX);
        let mut value = vec![if self.ahead.is_some() { AHEAD } else { HEADS }];
        value.extend_from_slice(&self.of.to_be_bytes());
        value.extend_from_slice(&self.part.to_be_bytes());
        value.extend_from_slice(&count.to_be_bytes());
        if let Some(ahead) = &self.ahead {
            value.extend_from_slice(&ahead.tree.to_be_bytes());
            value.extend_from_slice(&ahead.bytes.to_be_bytes());
        }
        for PlacedHead { head, place } in &self.frames {
            head.write(&mut value);
            value.extend_from_slice(&place.tree.to_be_bytes());
            value.extend_from_slice(&place.cell.to_be_bytes());
        }

        value.extend_from_slice(&crc32fast::hash(&value).to_be_bytes());
        value
    }

    /// Reads them from the front of `bytes`, and returns their length as well.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), HeadsFault> {
        let cut_short = HeadsFault::Damaged("its heads are cut short".into());
        let damaged = |what: &str| Err(HeadsFault::Damaged(what.into()));
        let (front, rest) = bytes.split_first_chunk::<HEADS_FRONT>().ok_or(cut_short.clone())?;
        let [tag, of @ .., p0, p1, p2, p3, c0, c1] = *front;
        let (ahead, rest) = match tag {
            HEADS => (None, rest),
            AHEAD => {
                let (ahead, rest) = rest.split_first_chunk::<6>().ok_or(cut_short.clone())?;
                let [t0, t1, bytes @ ..] = *ahead;
                let (tree, bytes) = (u16::from_be_bytes([t0, t1]), u32::from_be_bytes(bytes));
                (Some(PlacedAhead { tree, bytes }), rest)
            }
            _ => return damaged("there are other bytes in the place of its heads"),
        };

        // Before anything is read of so many.
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        if count == 0 || count > HEADS_AT_ONCE {
            return damaged("it has an impossible number of heads");
        }
        let entries = rest.get(..count * HEADS_ENTRY).ok_or(cut_short.clone())?;
        let length = bytes.len() - rest.len() + entries.len();
        let crc = bytes.get(length..length + CRC).ok_or(cut_short)?;
        if crc != crc32fast::hash(&bytes[..length]).to_be_bytes() {
            return damaged("the checksum of its heads is wrong");
        }

        let frames: Vec<_> =
            entries.chunks_exact(HEADS_ENTRY).map(read_entry).collect::<Result<_, _>>()?;
        if ahead.is_some_and(|ahead| ahead.bytes > frames[0].head.stored_len) {
            return damaged("more was written ahead of it than it has");
        }
        let (of, part) = (u64::from_be_bytes(of), u32::from_be_bytes([p0, p1, p2, p3]));
        Ok((Self { of, part, frames, ahead }, length + CRC))
    }
}

/// Reads one of the heads, whose checksum is right.
fn read_entry(entry: &[u8]) -> Result<PlacedHead, HeadsFault> {
    let head = match FrameHead::read(entry) {
        Ok(head) => head,
        Err(what) if FrameHead::is_newer(entry) => return Err(HeadsFault::Newer(what)),
        Err(what) => return Err(HeadsFault::Damaged(what)),
    };
    let number = |at: usize| u16::from_be_bytes([entry[at], entry[at + 1]]);
    let place = CellPlace { tree: number(HEAD_LEN), cell: number(HEAD_LEN + 2) };
    Ok(PlacedHead { head, place })
}

impl<'a> PayloadPart<'a> {
    pub fn to_value(self) -> Vec<u8> {
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        let mut value = Vec::with_capacity(PART_FRONT + CRC + self.bytes.len());
        value.push(PART);
        value.extend_from_slice(&self.of.to_be_bytes());
        value.extend_from_slice(&self.number.to_be_bytes());
        value.extend_from_slice(&length.to_be_bytes());
        value.extend_from_slice(&part_crc(&value, self.bytes).to_be_bytes());
        value.extend_from_slice(self.bytes);
        value
    }

    /// Reads one from the front of `bytes`, without looking at its checksum: the store has one that
    /// covers the whole message.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (front, rest) = bytes.split_first_chunk::<PART_FRONT>()?;
        let [tag, of @ .., n0, n1, n2, n3, l0, l1] = *front;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let part = Self {
            of: u64::from_be_bytes(of),
            number: u32::from_be_bytes([n0, n1, n2, n3]),
            bytes: rest.get(CRC..CRC + length)?,
        };
        (tag == PART && length <= PART_BYTES).then_some(part)
    }

    /// The same, for bytes that no store vouches for. Returns where its own bytes begin.
    pub fn find(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let part = Self::read(bytes)?;
        let crc = &bytes[PART_FRONT..PART_FRONT + CRC];
        let good = crc == part_crc(&bytes[..PART_FRONT], part.bytes).to_be_bytes();
        good.then_some((part, PART_FRONT + CRC))
    }
}

fn part_crc(front: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(front);
    crc.update(bytes);
    crc.finalize()
}

/// Whether a value of this kind may begin with this byte.
pub(super) fn is_tag(byte: u8) -> bool {
    matches!(byte, FRAME | HEADS | PART | AHEAD)
}
