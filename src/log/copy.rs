//! Copying a log, segment by segment, while it is in use: the pieces of a segment, and a folder made of them.
//!
//! A copy is not made of sled's files, which change while a segment is open, but of what stands in them: header,
//! checkpoint and frames go over byte for byte, so that the chain of the copy is that of the log, and everything is
//! checked on its way. Nothing stops meanwhile: sealed segments do not change, and the active one is read up to what is
//! durable.
//!
//! On the wire each piece is its kind (one byte), its length (u32, big-endian) and its bytes; the last one of a segment
//! says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::frame::{ChainHead, Decoded, FrameHead, HEAD_LEN, StoredFrame};
use super::header::Header;
use super::segment::{Batch, Found, Segment};
use super::shelf::{Dropped, Facts, Slot};
use super::watermark::{Mark, Watermark};
use super::{Head, LogError, Problem, Reader, folder};
use crate::model::{Seq, WallMs, limits};
use crate::record::Record;

/// Bytes of a checkpoint in one piece.
const CHECKPOINT_PIECE: usize = 64 << 10;
/// The largest piece: a frame with the largest record.
pub const PIECE_MAX: usize = super::frame::RECORD_MAX + (1 << 20);

/// A part of a segment, in the order of the variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Header(Vec<u8>),
    Checkpoint(Vec<u8>),
    Frame(Vec<u8>),
    /// Records that cannot be had.
    Missing(String),
    End(End),
}

/// How a segment ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub last: Seq,
    pub sealed_at: Option<WallMs>,
}

impl Piece {
    /// As it goes over the wire.
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

    /// The records of a frame; none of anything else.
    ///
    /// # Errors
    /// When it is no whole frame, or one of its records cannot be read.
    pub fn records(&self) -> Result<Vec<(Seq, Record)>, LogError> {
        let Self::Frame(bytes) = self else { return Ok(Vec::new()) };
        let bad = |what: String| LogError::corrupt("read", Path::new("of a copy"), what);
        let head = FrameHead::read(bytes).map_err(bad)?;
        let decoded = Decoded::new(StoredFrame { head, stored: bytes[HEAD_LEN..].to_vec() }).map_err(bad)?;
        let record = |seq| decoded.record(seq).map(|record| (seq, record)).map_err(|fault| bad(fault.to_string()));
        (head.first..=head.last()).map(record).collect()
    }

    /// Takes one off the front of `wire`; `None` when not all of it is there yet.
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
            b'E' => Self::End(serde_json::from_slice(bytes).map_err(|e| format!("a segment's end: {e}"))?),
            other => return Err(format!("a piece of the unknown kind {other}")),
        };
        Ok(Some((piece, head.len() + length)))
    }
}

impl Reader {
    /// Hands over the pieces of the segment that begins with `first`, up to what is durable, until `take` says no.
    /// `false` when there is no such segment (any more).
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn pieces(&self, first: Seq, take: &mut dyn FnMut(Piece) -> bool) -> Result<bool, LogError> {
        let Some(slot) = self.shelf.get(first) else { return Ok(false) };
        let facts = slot.facts();
        let segment = match self.shelf.borrow(&slot) {
            Ok(Some(segment)) => segment,
            Ok(None) => return Ok(false),
            Err(LogError::Damaged(problem)) => {
                if take(Piece::Missing(problem.to_string())) {
                    take(Piece::End(End { last: facts.last, sealed_at: facts.sealed_at }));
                }
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if !take(Piece::Header(segment.header_bytes()?)) {
            return Ok(true);
        }
        match segment.checkpoint() {
            Ok(bytes) => {
                for chunk in bytes.chunks(CHECKPOINT_PIECE) {
                    if !take(Piece::Checkpoint(chunk.to_vec())) {
                        return Ok(true);
                    }
                }
            }
            Err(error) => {
                take(Piece::Missing(error.to_string()));
            }
        }
        if frames(&slot, &segment, facts.last, take)? {
            take(Piece::End(End { last: facts.last, sealed_at: facts.sealed_at }));
        }
        Ok(true)
    }
}

/// The frames up to `last`; `false` when nobody wants more.
fn frames(
    slot: &Arc<Slot>,
    segment: &Segment,
    last: Seq,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<bool, LogError> {
    let mut next = slot.first;
    while next <= last {
        let missing = |upto: Seq, what: String| {
            let problem = Problem { segment: slot.first, first: next, last: upto, what };
            Piece::Missing(problem.to_string())
        };
        let (piece, behind) = match segment.at_or_after(next) {
            Ok(Some(Found::Frame(frame))) if frame.head.first == next && frame.is_whole() => {
                let behind = frame.head.last() + 1;
                (Piece::Frame(frame.to_bytes()), behind)
            }
            Ok(Some(Found::Frame(frame))) if frame.head.first > next => {
                (missing(frame.head.first - 1, "they are missing".into()), frame.head.first)
            }
            Ok(Some(Found::Frame(frame))) => {
                let behind = frame.head.last() + 1;
                (missing(behind - 1, "the frame does not match its chain head".into()), behind)
            }
            Ok(Some(Found::Broken { next: behind, what, .. })) => {
                let behind = behind.unwrap_or(last + 1).max(next + 1);
                (missing(behind - 1, what), behind)
            }
            Ok(None) => (missing(last, "they are missing".into()), last + 1),
            Err(error) if error.is_damage() => (missing(last, error.to_string()), last + 1),
            Err(error) => return Err(error),
        };
        next = behind;
        if !take(piece) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A log's folder in the making.
#[derive(Debug)]
pub struct LogCopy {
    dir: PathBuf,
    first: Option<(Seq, ChainHead)>,
    open: Option<OpenCopy>,
    /// Where the copy ends so far.
    head: Head,
}

#[derive(Debug)]
struct OpenCopy {
    header: Vec<u8>,
    checkpoint: Vec<u8>,
    segment: Option<Segment>,
    facts: Facts,
}

impl LogCopy {
    /// Begins one in a folder that is made for it.
    ///
    /// # Errors
    /// When the folder is there already and not empty, or cannot be made.
    pub fn begin(dir: &Path) -> Result<Self, LogError> {
        let used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if used {
            let taken =
                std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is not empty: choose another folder");
            return Err(LogError::io("copy into", dir)(taken));
        }
        folder::make(dir)?;
        Ok(Self { dir: dir.to_path_buf(), first: None, open: None, head: Head { seq: 0, hash: [0; 32] } })
    }

    /// Takes in the next piece.
    ///
    /// # Errors
    /// When it does not fit what came before, or cannot be written.
    pub fn take(&mut self, piece: Piece) -> Result<(), LogError> {
        match piece {
            Piece::Header(header) => {
                let known = Header::read(&self.dir, &header)?;
                self.first.get_or_insert((known.first, known.prev));
                let facts = Facts {
                    first: known.first,
                    last: known.first - 1,
                    records: 0,
                    payload_bytes: 0,
                    prev: known.prev,
                    head: known.prev,
                    gap_from: known.gap_from,
                    created_at: known.created_at,
                    sealed_at: None,
                };
                self.open = Some(OpenCopy { header, checkpoint: Vec::new(), segment: None, facts });
                Ok(())
            }
            Piece::Checkpoint(bytes) => {
                self.opened()?.checkpoint.extend_from_slice(&bytes);
                Ok(())
            }
            Piece::Frame(bytes) => self.frame(&bytes),
            // It is missing in the copy as it is in the log, and told by its verification.
            Piece::Missing(_) => Ok(()),
            Piece::End(end) => self.end(&end),
        }
    }

    fn opened(&mut self) -> Result<&mut OpenCopy, LogError> {
        let misplaced = || LogError::corrupt("copy into", &self.dir, "a piece came before its segment's header");
        if self.open.is_none() {
            return Err(misplaced());
        }
        self.open.as_mut().ok_or(LogError::Poisoned)
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let dir = self.dir.clone();
        let bad = |what: String| LogError::corrupt("copy into", &dir, what);
        let head = FrameHead::read(bytes).map_err(bad)?;
        let frame = StoredFrame { head, stored: bytes[HEAD_LEN..].to_vec() };
        if frame.stored.len() != head.stored_len as usize || !frame.is_whole() {
            return Err(bad(format!("the frame of records {} to {} broke on its way", head.first, head.last())));
        }
        let open = self.opened()?;
        open.segment(&dir)?;
        let segment = open.segment.as_ref().ok_or(LogError::Poisoned)?;
        let mut batch = Batch::default();
        for (number, chunk) in bytes.chunks(limits::CHUNK).enumerate() {
            if batch.is_full() {
                segment.apply(std::mem::take(&mut batch))?;
            }
            batch.chunk(head.first, number, chunk);
        }
        segment.apply(batch)?;
        open.facts.last = head.last();
        open.facts.head = head.own;
        open.facts.records += u64::from(head.count);
        open.facts.payload_bytes += u64::from(head.stored_len);
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), LogError> {
        // One that cannot be opened has no header; it is missing in the copy as well.
        if self.open.is_none() {
            return Ok(());
        }
        let dir = self.dir.clone();
        self.opened()?.segment(&dir)?;
        let Some(OpenCopy { segment: Some(segment), mut facts, .. }) = self.open.take() else {
            return Err(LogError::Poisoned);
        };
        segment.sync()?;
        self.head = Head { seq: facts.last, hash: facts.head };
        if facts.records == 0 {
            facts.head = segment.chain;
        }
        drop(segment);
        if end.sealed_at.is_some() {
            facts.sealed_at = end.sealed_at;
            folder::write_checked(&folder::seal(&dir, facts.first), &facts)?;
        }
        Ok(())
    }

    /// Makes the folder a whole log; gives its head.
    ///
    /// # Errors
    /// When a segment was not copied to its end, or something cannot be written.
    pub fn finish(self) -> Result<Head, LogError> {
        let (Some((first, prev)), None) = (self.first, &self.open) else {
            return Err(LogError::corrupt("copy into", &self.dir, "the copy broke off"));
        };
        if first > 1 {
            let before = vec![Dropped { first: 1, last: first - 1, head: prev }];
            folder::write_checked(&self.dir.join("dropped"), &before)?;
        }
        let (mut watermark, _) = Watermark::open(&self.dir, false)?;
        watermark.set(Mark { seq: self.head.seq, head: self.head.hash })?;
        watermark.sync()?;
        Format::read(&self.dir)?.keep(&self.dir)?;
        folder::sync(&self.dir)?;
        Ok(self.head)
    }
}

impl OpenCopy {
    /// Makes the segment, once its checkpoint has come.
    fn segment(&mut self, dir: &Path) -> Result<(), LogError> {
        if self.segment.is_none() {
            let segment = Segment::create_copy(dir, self.facts.first, &self.header, &self.checkpoint)?;
            self.checkpoint = Vec::new();
            self.segment = Some(segment);
        }
        Ok(())
    }
}
