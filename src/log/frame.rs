//! The bytes of a commit: records are packed into a frame, and a frame is unpacked into records.
//! Pure.
//!
//! ```text
//! frame   = head, stored payload; how it is cut is the layout's (see `layout`)
//! head    = version u8, flags u8, first u64, count u32, previous chain head 32,
//!           own chain head 32, raw length u32, stored length u32    (numbers big-endian)
//! payload = for each record: length u32, CRC-32 u32, bytes of `record::encode`;
//!           an lz4 block when flag 1 is set; blocks and their table when flag 2 is set
//!           (see `blocks`)
//!
//! own chain head = SHA-256(previous ‖ version, flags, first, count, raw length,
//!                          stored length ‖ stored payload, or the table of its blocks)
//! ```

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::blocks::{self, BlockTable, BodyBlocks};
use crate::model::{Seq, limits};
use crate::record::{self, Record, RecordError, Sieve};

/// A link of the hash chain.
pub(super) type ChainHead = [u8; 32];

/// The frame format this version writes.
const VERSION: u8 = 1;
const FLAG_LZ4: u8 = 1;
const FLAG_BLOCKS: u8 = 2;
pub(super) const HEAD_LEN: usize = 1 + 1 + 8 + 4 + 32 + 32 + 4 + 4;
/// Raw payload at which a commit continues in another frame: a random read has to unpack a whole
/// frame.
const FRAME_RAW: usize = 512 << 10;
/// A record may be as large as the largest body, with 8 MiB for its headers and the rest.
pub(super) const RECORD_MAX: usize = MAX_BODY + (8 << 20);
#[expect(clippy::cast_possible_truncation, reason = "32 MiB fit everywhere")]
const MAX_BODY: usize = limits::MAX_BODY as usize;
/// Buffers larger than this are freed after use.
const KEEP_BUFFER: usize = 2 << 20;
/// Length and checksum before each record.
const PREFIX: usize = 8;
/// What a record with an event may need beside what its event takes in memory.
const BESIDE_EVENT: usize = 4 << 10;

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    flags: u8,
    pub first: Seq,
    pub count: u32,
    pub prev: ChainHead,
    pub own: ChainHead,
    raw_len: u32,
    pub stored_len: u32,
}

impl FrameHead {
    pub fn last(&self) -> Seq {
        self.first + u64::from(self.count) - 1
    }

    pub fn holds(&self, seq: Seq) -> bool {
        (self.first..=self.last()).contains(&seq)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.flags]);
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.prev);
        out.extend_from_slice(&self.own);
        out.extend_from_slice(&self.raw_len.to_be_bytes());
        out.extend_from_slice(&self.stored_len.to_be_bytes());
    }

    /// Whether a later version wrote the frame that begins so.
    pub fn is_newer(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|version| *version > VERSION)
    }

    /// Reads a head from the front of a frame.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes.get(..HEAD_LEN).ok_or("its head is cut short")?;
        let [version, flags] = take(&mut rest);
        if version != VERSION {
            return Err(format!(
                "it has frame format {version}, this version reads up to {VERSION}"
            ));
        }

        let head = Self {
            flags,
            first: u64::from_be_bytes(take(&mut rest)),
            count: u32::from_be_bytes(take(&mut rest)),
            prev: take(&mut rest),
            own: take(&mut rest),
            raw_len: u32::from_be_bytes(take(&mut rest)),
            stored_len: u32::from_be_bytes(take(&mut rest)),
        };

        let sane = head.count > 0
            && head.first > 0
            && head.first.checked_add(u64::from(head.count)).is_some()
            && head.raw_len as usize <= FRAME_RAW + RECORD_MAX + PREFIX
            && head.stored_len as usize <= head.most_stored();
        if sane { Ok(head) } else { Err("its head has impossible values".into()) }
    }

    /// The most bytes that its payload may have as it is stored.
    fn most_stored(&self) -> usize {
        let raw = self.raw_len as usize;
        if self.is_in_blocks() { raw + blocks::most_beside(raw) } else { raw }
    }

    fn is_in_blocks(&self) -> bool {
        self.flags & FLAG_BLOCKS != 0
    }

    /// Whether it was computed from this payload.
    pub fn is_of(&self, stored: &[u8]) -> bool {
        if !self.is_in_blocks() {
            return self.chain(stored) == self.own;
        }
        let table = BlockTable::behind(stored).filter(BlockTable::is_whole);
        table.is_some_and(|table| self.chain(table.bytes()) == self.own)
    }

    /// `covered` is the stored payload, or the table of its blocks.
    fn chain(&self, covered: &[u8]) -> ChainHead {
        let mut hash = Sha256::new();
        hash.update(self.prev);
        hash.update([VERSION, self.flags]);
        hash.update(self.first.to_be_bytes());
        hash.update(self.count.to_be_bytes());
        hash.update(self.raw_len.to_be_bytes());
        hash.update(self.stored_len.to_be_bytes());
        hash.update(covered);
        hash.finalize().into()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    // The caller cut `rest` to HEAD_LEN, the sum of the lengths of all fields.
    let (front, back) = rest.split_first_chunk::<N>().expect("the head has its full length");
    *rest = back;
    *front
}

/// A frame as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredFrame {
    pub head: FrameHead,
    pub stored: Vec<u8>,
}

impl StoredFrame {
    /// Head and payload together.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + self.stored.len());
        self.head.write(&mut bytes);
        bytes.extend_from_slice(&self.stored);
        bytes
    }

    /// Whether the chain head was computed from these bytes.
    pub fn is_whole(&self) -> bool {
        self.head.is_of(&self.stored)
    }
}

/// Packs records into frames. Keeps its buffers from one commit to the next.
///
/// Memory that is new costs more than all else that is done with a large body, so each buffer is
/// allocated once, and a frame lies where its payload was made: the first bytes of either buffer
/// are for its head.
#[derive(Debug, Default)]
pub(super) struct FramePacker {
    raw: Vec<u8>,
    count: u32,
    packed: Vec<u8>,
    /// A body that is not in `raw`, because it was cut into blocks already.
    body: Option<PackedBody>,
}

/// A body in blocks, and where it belongs in the bytes around it.
#[derive(Debug)]
struct PackedBody {
    blocks: Arc<BodyBlocks>,
    at: usize,
}

impl FramePacker {
    /// Adds one record. The first one whose body has these blocks is stored in them.
    ///
    /// Returns its length when it is larger than a record may be; it was not added then.
    pub fn add(
        &mut self,
        record: &Record,
        prepared: Option<&Arc<BodyBlocks>>,
    ) -> Result<(), usize> {
        if self.count == 0 {
            self.raw.clear();
            self.raw.resize(HEAD_LEN, 0);
        }
        let start = self.raw.len();
        let held = record.held_event();
        let is_of = |blocks: &&Arc<BodyBlocks>| {
            held.as_ref().is_some_and(|held| blocks.is_of(&held.event.body))
        };
        let prepared = prepared.filter(|_| self.body.is_none()).filter(is_of);
        let apart = prepared.map_or(&[][..], |blocks| blocks.body());
        let event = held.as_ref().map_or(0, |held| held.event.cost());
        self.raw.reserve((event + BESIDE_EVENT).saturating_sub(apart.len()));

        self.raw.extend_from_slice(&[0; PREFIX]);
        let at = record::encode_around(record, apart, &mut self.raw);
        let body = prepared.zip(at);

        let apart = body.map_or(0, |(blocks, _)| blocks.body().len());
        let len = self.raw.len() - start - PREFIX + apart;
        let Some(wire_len) = u32::try_from(len).ok().filter(|_| len <= RECORD_MAX) else {
            self.raw.truncate(start);
            return Err(len);
        };

        let crc = match body {
            None => crc32fast::hash(&self.raw[start + PREFIX..]),
            Some((blocks, at)) => {
                blocks.checksum_between(&self.raw[start + PREFIX..at], &self.raw[at..])
            }
        };
        self.raw[start..start + 4].copy_from_slice(&wire_len.to_be_bytes());
        self.raw[start + 4..start + PREFIX].copy_from_slice(&crc.to_be_bytes());
        self.count += 1;
        if let Some((blocks, at)) = body {
            self.body = Some(PackedBody { blocks: blocks.clone(), at });
        }
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.raw_len() >= FRAME_RAW
    }

    /// Whether one of the records that were added has its body in blocks.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Bytes of the payload before compression.
    fn raw_len(&self) -> usize {
        let apart = self.body.as_ref().map_or(0, |body| body.blocks.body().len());
        self.raw.len().saturating_sub(HEAD_LEN) + apart
    }

    /// Completes the frame. Returns its head, and all of its bytes but those of a body in blocks,
    /// which are the first ones of its payload.
    pub fn finish(&mut self, first: Seq, prev: ChainHead) -> (FrameHead, &[u8]) {
        let raw_len = bounded(self.raw_len());
        let mut head = FrameHead {
            flags: 0,
            first,
            count: self.count,
            prev,
            own: [0; 32],
            raw_len,
            stored_len: 0,
        };

        let frame = if let Some(body) = self.body.take() {
            let (before, after) = self.raw[HEAD_LEN..].split_at(body.at - HEAD_LEN);
            self.packed.clear();
            self.packed.resize(HEAD_LEN, 0);
            let table = blocks::write_around(&body.blocks, before, after, &mut self.packed);

            head.flags = FLAG_BLOCKS;
            head.stored_len = bounded(body.blocks.stored_len() + self.packed.len() - HEAD_LEN);
            head.own = head.chain(&self.packed[table..]);
            &mut self.packed[..]
        } else {
            let (flags, frame) = match self.compress() {
                Some(len) => (FLAG_LZ4, &mut self.packed[..HEAD_LEN + len]),
                None => (0, &mut self.raw[..]),
            };
            head.flags = flags;
            head.stored_len = bounded(frame.len() - HEAD_LEN);
            head.own = head.chain(&frame[HEAD_LEN..]);
            frame
        };

        let mut bytes = Vec::with_capacity(HEAD_LEN);
        head.write(&mut bytes);
        frame[..HEAD_LEN].copy_from_slice(&bytes);

        self.count = 0;
        (head, frame)
    }

    /// Forgets what was added, and frees buffers that a large record has made large.
    pub fn reset(&mut self) {
        self.raw.clear();
        (self.count, self.body) = (0, None);
        for buffer in [&mut self.raw, &mut self.packed] {
            if buffer.capacity() > KEEP_BUFFER {
                *buffer = Vec::new();
            }
        }
    }

    /// Memory for records that none has been written to.
    #[cfg(test)]
    pub fn spare_bytes(&self) -> usize {
        self.raw.capacity() - self.raw.len()
    }

    /// Compresses `raw` into `packed` when that makes it smaller. Returns the length.
    fn compress(&mut self) -> Option<usize> {
        let raw = self.raw.get(HEAD_LEN..)?;
        let largest = HEAD_LEN + lz4_flex::block::get_maximum_output_size(raw.len());
        if self.packed.len() < largest {
            // The system gives new memory zeroed, and only as far as it is written to.
            self.packed = vec![0; largest];
        }
        blocks::compress(raw, &mut self.packed[HEAD_LEN..])
    }
}

fn bounded(len: usize) -> u32 {
    u32::try_from(len).expect("a frame is bounded by FRAME_RAW and RECORD_MAX")
}

/// A decompressed frame, with the offsets of its records.
#[derive(Debug)]
pub(super) struct DecodedFrame {
    pub head: FrameHead,
    raw: Vec<u8>,
    starts: Vec<u32>,
}

impl DecodedFrame {
    pub fn new(frame: StoredFrame) -> Result<Self, String> {
        let StoredFrame { head, stored } = frame;
        let raw = if head.is_in_blocks() {
            let table = BlockTable::behind(&stored).ok_or("its table of blocks is damaged")?;
            table.unpack(head.raw_len as usize)?
        } else if head.flags & FLAG_LZ4 == 0 {
            stored
        } else {
            lz4_flex::block::decompress(&stored, head.raw_len as usize)
                .map_err(|e| format!("its payload cannot be unpacked: {e}"))?
        };

        if raw.len() != head.raw_len as usize {
            return Err("its payload does not have the length that was written".into());
        }
        let starts = record_offsets(&raw, head.count)
            .ok_or("its records do not have the lengths that were written")?;
        Ok(Self { head, raw, starts })
    }

    /// Bytes it takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.raw.len() + self.starts.len() * 4
    }

    /// The record of that number, which the frame must hold.
    pub fn record(&self, seq: Seq) -> Result<Record, RecordFault> {
        decode(self.bytes_of(seq)?)
    }

    /// The same; `None` when it cannot be wanted. Its checksum is right in any case.
    pub fn sifted(&self, seq: Seq, sieve: &Sieve) -> Result<Option<Record>, RecordFault> {
        let bytes = self.bytes_of(seq)?;
        if sieve.passes(bytes) { decode(bytes).map(Some) } else { Ok(None) }
    }

    /// The bytes of the record of that number, with their checksum checked.
    fn bytes_of(&self, seq: Seq) -> Result<&[u8], RecordFault> {
        let bytes = usize::try_from(seq - self.head.first)
            .ok()
            .and_then(|index| self.starts.get(index))
            .and_then(|&start| self.raw.get(start as usize..))
            .and_then(|rest| {
                let (prefix, rest) = rest.split_first_chunk::<PREFIX>()?;
                let [a, b, c, d, e, f, g, h] = *prefix;
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                Some((rest.get(..len)?, u32::from_be_bytes([e, f, g, h])))
            });

        let damaged = |what: &str| Err(RecordFault::Damaged(what.to_owned()));
        let Some((bytes, crc)) = bytes else { return damaged("it is not in its frame") };
        if crc32fast::hash(bytes) != crc {
            return damaged("its checksum is wrong");
        }
        Ok(bytes)
    }
}

fn decode(bytes: &[u8]) -> Result<Record, RecordFault> {
    record::decode(bytes).map_err(|error| match &error {
        RecordError::Newer(_) | RecordError::UnknownKind(_) => {
            RecordFault::Newer(error.to_string())
        }
        RecordError::Empty | RecordError::Malformed(_) | RecordError::Trailing => {
            RecordFault::Unknown(error.to_string())
        }
    })
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordFault {
    #[error("{0}")]
    Damaged(String),
    /// Its checksum is right, but this version cannot decode it.
    #[error("{0}")]
    Unknown(String),
    /// A later version wrote it.
    #[error("{0}")]
    Newer(String),
}

/// Where each record begins; `None` when the lengths do not match.
fn record_offsets(raw: &[u8], count: u32) -> Option<Vec<u32>> {
    // Not `with_capacity(count)`: the count is not checked yet and may be anything.
    let mut starts = Vec::with_capacity((count as usize).min(raw.len() / PREFIX + 1));
    let mut at = 0usize;
    while at < raw.len() {
        starts.push(u32::try_from(at).ok()?);
        let len = raw.get(at..at + 4)?;
        let len = len.iter().fold(0usize, |n, b| (n << 8) | usize::from(*b));
        at = at.checked_add(PREFIX)?.checked_add(len)?;
    }

    (at == raw.len() && starts.len() == count as usize).then_some(starts)
}
