//! The pieces of a segment: how a log is copied or read, segment by segment, while it is in use.
//!
//! A copy does not consist of sled's files, which change while a segment is open, but of their
//! content: header, checkpoint and frames are copied byte for byte, so that the chain of the copy
//! is that of the log, and everything is checked on the way. Nothing stops meanwhile: sealed
//! segments do not change, and the active one is read up to what is durable.
//!
//! On the wire each piece is its kind (one byte), its length (u32, big-endian) and its bytes; the
//! last piece of a segment is an [`Piece::End`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{LogError, LogProblem};
use super::frame::{DecodedFrame, FrameHead, HEAD_LEN, RECORD_MAX, StoredFrame};
use super::layout::FrameLookup;
use super::reader::Reader;
use super::segment::Segment;
use crate::model::{Seq, WallMs};
use crate::record::Record;

/// Bytes of a checkpoint in one piece.
const CHECKPOINT_PIECE: usize = 64 << 10;
/// The largest piece: a frame with the largest record.
pub const PIECE_MAX: usize = RECORD_MAX + (1 << 20);

/// A part of a segment. The pieces come in the order of the variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Header(Vec<u8>),
    Checkpoint(Vec<u8>),
    Frame(Vec<u8>),
    /// Records that cannot be read, in words.
    Missing(String),
    End(SegmentEnd),
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEnd {
    pub last: Seq,
    pub sealed_at: Option<WallMs>,
}

impl Piece {
    /// Encodes it for the wire.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        let end;
        let (kind, bytes) = match self {
            Self::Header(bytes) => (b'H', &bytes[..]),
            Self::Checkpoint(bytes) => (b'C', &bytes[..]),
            Self::Frame(bytes) => (b'F', &bytes[..]),
            Self::Missing(what) => (b'M', what.as_bytes()),
            Self::End(found) => {
                end = serde_json::to_vec(found).unwrap_or_default();
                (b'E', &end[..])
            }
        };

        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[kind][..], &length, bytes].concat()
    }

    /// Decodes one from the front of `wire`, and returns its length as well; `None` when not all of
    /// it is there yet.
    ///
    /// # Errors
    /// When these bytes are no piece.
    pub fn from_wire(wire: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some((head, rest)) = wire.split_first_chunk::<5>() else { return Ok(None) };
        let [kind, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if length > PIECE_MAX {
            return Err(format!("a piece of {length} bytes"));
        }
        let Some(bytes) = rest.get(..length) else { return Ok(None) };

        let piece = match kind {
            b'H' => Self::Header(bytes.to_vec()),
            b'C' => Self::Checkpoint(bytes.to_vec()),
            b'F' => Self::Frame(bytes.to_vec()),
            b'M' => Self::Missing(String::from_utf8_lossy(bytes).into_owned()),
            b'E' => {
                let end = serde_json::from_slice(bytes);
                Self::End(end.map_err(|e| format!("a segment's end: {e}"))?)
            }
            other => return Err(format!("a piece of the unknown kind {other}")),
        };
        Ok(Some((piece, head.len() + length)))
    }

    /// The records of a frame; none of anything else.
    ///
    /// # Errors
    /// When it is no whole frame, or one of its records cannot be read.
    pub fn records(&self) -> Result<Vec<(Seq, Record)>, LogError> {
        let Self::Frame(bytes) = self else { return Ok(Vec::new()) };
        let bad = |what: String| LogError::corrupt("read", Path::new("of a copy"), what);

        let head = FrameHead::read(bytes).map_err(bad)?;
        let stored = bytes[HEAD_LEN..].to_vec();
        let decoded = DecodedFrame::new(StoredFrame { head, stored }).map_err(bad)?;

        let record = |seq| {
            let record = decoded.record(seq).map_err(|fault| bad(fault.to_string()))?;
            Ok((seq, record))
        };
        (head.first..=head.last()).map(record).collect()
    }
}

impl Reader {
    /// Calls `take` with the pieces of the segment that begins with `first`, up to what is durable,
    /// until it returns false. Returns whether there is such a segment.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn pieces(
        &self,
        first: Seq,
        take: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<bool, LogError> {
        let Some(slot) = self.segments.get(first) else { return Ok(false) };
        let summary = slot.summary();
        let end = Piece::End(SegmentEnd { last: summary.last, sealed_at: summary.sealed_at });

        let segment = match self.segments.acquire(&slot) {
            Ok(Some(segment)) => segment,
            Ok(None) => return Ok(false),
            Err(LogError::Damaged(problem)) => {
                if take(Piece::Missing(problem.to_string())) {
                    take(end);
                }
                return Ok(true);
            }
            Err(error) => return Err(error),
        };

        let wanted = take(Piece::Header(segment.header_bytes()?))
            && take_checkpoint(&segment, take)
            && take_frames(&segment, summary.last, take)?;
        if wanted {
            take(end);
        }
        Ok(true)
    }
}

/// Returns whether more pieces are wanted.
fn take_checkpoint(segment: &Segment, take: &mut dyn FnMut(Piece) -> bool) -> bool {
    match segment.checkpoint() {
        // There is none, or none that is complete: it is in an earlier segment then.
        Ok(None) => true,
        Ok(Some(bytes)) => {
            bytes.chunks(CHECKPOINT_PIECE).all(|chunk| take(Piece::Checkpoint(chunk.to_vec())))
        }
        Err(error) => {
            take(Piece::Missing(error.to_string()));
            true
        }
    }
}

/// The frames up to the record `last`. Returns whether more pieces are wanted.
fn take_frames(
    segment: &Segment,
    last: Seq,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, LogError> {
    let first = segment.header.first;

    let mut next = first;
    while next <= last {
        let missing = |upto: Seq, what: String| {
            let problem = LogProblem { segment: first, first: next, last: upto, what };
            Piece::Missing(problem.to_string())
        };

        let (piece, behind) = match segment.at_or_after(next) {
            Ok(Some(FrameLookup::Frame(frame))) if frame.head.first == next && frame.is_whole() => {
                let behind = frame.head.last() + 1;
                (Piece::Frame(frame.to_bytes()), behind)
            }
            Ok(Some(FrameLookup::Frame(frame))) if frame.head.first > next => {
                let upto = last.min(frame.head.first - 1);
                (missing(upto, "they are missing".into()), frame.head.first)
            }
            Ok(Some(FrameLookup::Frame(frame))) => {
                // What it says of its own end may be wrong as well.
                let behind = segment.begins_behind(&frame.head)?.unwrap_or(last + 1);
                let behind = behind.clamp(next + 1, last + 1);
                (missing(behind - 1, "the frame does not match its chain head".into()), behind)
            }
            Ok(Some(FrameLookup::Broken { next: behind, what, .. })) => {
                let behind = behind.unwrap_or(last + 1).clamp(next + 1, last + 1);
                (missing(behind - 1, what), behind)
            }
            Ok(None) => (missing(last, "they are missing".into()), last + 1),
            Err(error) if error.is_damage() => {
                let behind = segment.readable_behind(next)?.unwrap_or(last + 1);
                let behind = behind.clamp(next + 1, last + 1);
                (missing(behind - 1, error.to_string()), behind)
            }
            Err(error) => return Err(error),
        };

        next = behind;
        if !take(piece) {
            return Ok(false);
        }
    }
    Ok(true)
}
