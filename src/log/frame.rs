//! The bytes of a commit: records are packed into a frame, and a frame is unpacked into records.
//! Pure.
//!
//! ```text
//! frame   = head, stored payload; how it is cut is the layout's (see `layout`)
//! head    = version u8, flags u8, first u64, count u32, previous chain head 32,
//!           own chain head 32, raw length u32, stored length u32    (numbers big-endian)
//! payload = for each record: length u32, CRC-32 u32, bytes of `record::encode`;
//!           an lz4 block when flag 1 is set
//!
//! own chain head = SHA-256(previous ‖ version, flags, first, count, raw length,
//!                          stored length ‖ stored payload)
//! ```

use sha2::{Digest, Sha256};

use crate::model::{Seq, limits};
use crate::record::{self, Record, RecordError, Sieve};

/// A link of the hash chain.
pub(super) type ChainHead = [u8; 32];

/// The frame format this version writes.
const VERSION: u8 = 1;
const FLAG_LZ4: u8 = 1;
pub(super) const HEAD_LEN: usize = 1 + 1 + 8 + 4 + 32 + 32 + 4 + 4;
/// Raw payload at which a commit continues in another frame: a random read has to unpack a whole
/// frame.
const FRAME_RAW: usize = 512 << 10;
/// Below this, compression cannot pay for itself.
const COMPRESS_FROM: usize = 128;
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
            && head.stored_len <= head.raw_len;
        if sane { Ok(head) } else { Err("its head has impossible values".into()) }
    }

    /// Whether it was computed from this payload.
    pub fn is_of(&self, stored: &[u8]) -> bool {
        self.chain(stored) == self.own
    }

    fn chain(&self, stored: &[u8]) -> ChainHead {
        let mut hash = Sha256::new();
        hash.update(self.prev);
        hash.update([VERSION, self.flags]);
        hash.update(self.first.to_be_bytes());
        hash.update(self.count.to_be_bytes());
        hash.update(self.raw_len.to_be_bytes());
        hash.update(self.stored_len.to_be_bytes());
        hash.update(stored);
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
}

impl FramePacker {
    /// Adds one record.
    ///
    /// Returns its length when it is larger than a record may be; it was not added then.
    pub fn add(&mut self, record: &Record) -> Result<(), usize> {
        if self.count == 0 {
            self.raw.clear();
            self.raw.resize(HEAD_LEN, 0);
        }
        let start = self.raw.len();
        let event = record.held_event().map_or(0, |held| held.event.cost());
        self.raw.reserve(event + BESIDE_EVENT);

        self.raw.extend_from_slice(&[0; PREFIX]);
        record::encode(record, &mut self.raw);

        let len = self.raw.len() - start - PREFIX;
        let Some(wire_len) = u32::try_from(len).ok().filter(|_| len <= RECORD_MAX) else {
            self.raw.truncate(start);
            return Err(len);
        };

        let crc = crc32fast::hash(&self.raw[start + PREFIX..]);
        self.raw[start..start + 4].copy_from_slice(&wire_len.to_be_bytes());
        self.raw[start + 4..start + PREFIX].copy_from_slice(&crc.to_be_bytes());
        self.count += 1;
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.raw.len() >= HEAD_LEN + FRAME_RAW
    }

    /// Completes the frame. Returns its head, and all of its bytes.
    pub fn finish(&mut self, first: Seq, prev: ChainHead) -> (FrameHead, &[u8]) {
        let raw_len = self.raw.len() - HEAD_LEN;
        let (flags, frame) = match self.compress() {
            Some(len) => (FLAG_LZ4, &mut self.packed[..HEAD_LEN + len]),
            None => (0, &mut self.raw[..]),
        };
        let (front, stored) = frame.split_at_mut(HEAD_LEN);

        let bounded = |len: usize| {
            u32::try_from(len).expect("a frame is bounded by FRAME_RAW and RECORD_MAX")
        };
        let mut head = FrameHead {
            flags,
            first,
            count: self.count,
            prev,
            own: [0; 32],
            raw_len: bounded(raw_len),
            stored_len: bounded(stored.len()),
        };
        head.own = head.chain(stored);

        let mut bytes = Vec::with_capacity(HEAD_LEN);
        head.write(&mut bytes);
        front.copy_from_slice(&bytes);

        self.count = 0;
        (head, frame)
    }

    /// Forgets what was added, and frees buffers that a large record has made large.
    pub fn reset(&mut self) {
        self.raw.clear();
        self.count = 0;
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
        let raw = self.raw.get(HEAD_LEN..).filter(|raw| raw.len() >= COMPRESS_FROM)?;

        let largest = HEAD_LEN + lz4_flex::block::get_maximum_output_size(raw.len());
        if self.packed.len() < largest {
            // The system gives new memory zeroed, and only as far as it is written to.
            self.packed = vec![0; largest];
        }
        let len = lz4_flex::block::compress_into(raw, &mut self.packed[HEAD_LEN..]).ok()?;

        // Decompression has a cost as well, so a gain of less than a 32nd is not worth it.
        (len < raw.len() - raw.len() / 32).then_some(len)
    }
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
        let raw = if head.flags & FLAG_LZ4 == 0 {
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
