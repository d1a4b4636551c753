//! A payload in blocks, each of them compressed and hashed by itself: so a large body is made ready
//! where that costs nobody else time, and written before the record is decided on that holds it.
//! Pure.
//!
//! ```text
//! payload = the blocks as they are stored, table
//! table   = for each block, in the order of what they hold: offset in the payload u32,
//!           stored length u32, raw length u32, SHA-256 of the stored bytes 32;
//!           count u32                                                    (numbers big-endian)
//! ```
//!
//! A block whose two lengths differ is an lz4 block. The frame's chain head covers the table, and
//! by it the blocks. Those of the body are the first ones of the payload; what the frame holds
//! before the body and behind it follows.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::model::limits;

/// Bytes of a body in one block.
const BLOCK: usize = 256 << 10;
const ENTRY: usize = 4 + 4 + 4 + 32;
const COUNT: usize = 4;
/// Blocks of a payload beside the full ones of its body.
const OTHERS: usize = 4;
/// Below this, compression cannot pay for itself.
const COMPRESS_FROM: usize = 128;

/// Compresses `raw` to the front of `packed`, when that makes it smaller. Returns the length.
pub(super) fn compress(raw: &[u8], packed: &mut [u8]) -> Option<usize> {
    if raw.len() < COMPRESS_FROM {
        return None;
    }
    let len = lz4_flex::block::compress_into(raw, packed).ok()?;

    // Decompression has a cost as well, so a gain of less than a 32nd is not worth it.
    (len < raw.len() - raw.len() / 32).then_some(len)
}

/// The most bytes of a payload of so many that are not of its blocks.
pub(super) fn most_beside(raw: usize) -> usize {
    (raw / BLOCK + OTHERS) * ENTRY + COUNT
}

/// A body that is ready to be written to the log.
pub struct BodyBlocks {
    body: Bytes,
    crc: crc32fast::Hasher,
    blocks: Vec<BodyBlock>,
    stored_len: usize,
}

/// A block of a body.
struct BodyBlock {
    raw_len: usize,
    stored: Bytes,
    sha256: [u8; 32],
}

impl fmt::Debug for BodyBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyBlocks")
            .field("bytes", &self.body.len())
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl BodyBlocks {
    /// Whether preparing a body of so many bytes is worth it.
    #[must_use]
    pub fn are_worth_it(bytes: usize) -> bool {
        bytes >= limits::LARGE_REQUEST
    }

    /// Compresses and hashes a body.
    #[must_use]
    pub fn new(body: Bytes) -> Self {
        let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(BLOCK)];
        let mut crc = crc32fast::Hasher::new();
        let mut blocks = Vec::with_capacity(body.len().div_ceil(BLOCK));

        for start in (0..body.len()).step_by(BLOCK) {
            let raw = body.slice(start..body.len().min(start + BLOCK));
            crc.update(&raw);
            let stored = match compress(&raw, &mut packed) {
                Some(len) => Bytes::copy_from_slice(&packed[..len]),
                None => raw.clone(),
            };
            let sha256 = Sha256::digest(&stored).into();
            blocks.push(BodyBlock { raw_len: raw.len(), stored, sha256 });
        }

        let stored_len = blocks.iter().map(|block| block.stored.len()).sum();
        Self { body, crc, blocks, stored_len }
    }

    /// Whether it was made of this very body, where that lies in memory.
    #[must_use]
    pub fn is_of(&self, body: &Bytes) -> bool {
        (self.body.as_ptr(), self.body.len()) == (body.as_ptr(), body.len())
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes that its blocks have as they are stored.
    pub(super) fn stored_len(&self) -> usize {
        self.stored_len
    }

    /// The blocks as they are stored.
    pub(super) fn stored(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.blocks.iter().map(|block| &block.stored)
    }

    /// The CRC-32 of the body between other bytes.
    pub(super) fn checksum_between(&self, before: &[u8], after: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(before);
        crc.combine(&self.crc);
        crc.update(after);
        crc.finalize()
    }
}

/// Appends what stands around a body in a payload whose first blocks are the body's: the bytes
/// before it and behind it, and the table. Returns where the table begins in `out`.
pub(super) fn write_around(
    body: &BodyBlocks,
    before: &[u8],
    after: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut add = |raw: &[u8]| {
        let at = out.len();
        out.resize(at + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
        let compressed = compress(raw, &mut out[at..]);
        let len = compressed.unwrap_or(raw.len());
        if compressed.is_none() {
            out[at..at + len].copy_from_slice(raw);
        }
        out.truncate(at + len);

        let sha256 = Sha256::digest(&out[at..]).into();
        BlockEntry { at: body.stored_len + at - start, stored_len: len, raw_len: raw.len(), sha256 }
    };
    let (before, after) = (add(before), add(after));

    let mut at = 0;
    let of_body = body.blocks.iter().map(|block| {
        let (raw_len, stored_len) = (block.raw_len, block.stored.len());
        let entry = BlockEntry { at, stored_len, raw_len, sha256: block.sha256 };
        at += stored_len;
        entry
    });
    let entries = std::iter::once(before).chain(of_body).chain([after]);

    let (table, mut count) = (out.len(), 0);
    for entry in entries {
        entry.write(out);
        count += 1;
    }
    out.extend_from_slice(&short(count).to_be_bytes());
    table
}

/// What the table says of a block.
struct BlockEntry {
    at: usize,
    stored_len: usize,
    raw_len: usize,
    sha256: [u8; 32],
}

impl BlockEntry {
    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.at, self.stored_len, self.raw_len] {
            out.extend_from_slice(&short(number).to_be_bytes());
        }
        out.extend_from_slice(&self.sha256);
    }

    fn read(bytes: &[u8; ENTRY]) -> Self {
        let [a0, a1, a2, a3, s0, s1, s2, s3, r0, r1, r2, r3, sha256 @ ..] = *bytes;
        let number = |bytes: [u8; 4]| u32::from_be_bytes(bytes) as usize;
        Self {
            at: number([a0, a1, a2, a3]),
            stored_len: number([s0, s1, s2, s3]),
            raw_len: number([r0, r1, r2, r3]),
            sha256,
        }
    }
}

fn short(number: usize) -> u32 {
    u32::try_from(number).expect("the numbers of a payload fit 32 bits")
}

/// The blocks of a payload, and their table.
pub(super) struct BlockTable<'a> {
    blocks: &'a [u8],
    table: &'a [u8],
}

impl<'a> BlockTable<'a> {
    /// The table at the end of a payload.
    pub fn behind(stored: &'a [u8]) -> Option<Self> {
        let (_, count) = stored.split_last_chunk::<COUNT>()?;
        let count = u32::from_be_bytes(*count) as usize;
        let length = count.checked_mul(ENTRY)?.checked_add(COUNT)?;
        let (blocks, table) = stored.split_at_checked(stored.len().checked_sub(length)?)?;
        Some(Self { blocks, table })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.table
    }

    fn entries(&self) -> impl Iterator<Item = BlockEntry> {
        self.table.as_chunks::<ENTRY>().0.iter().map(BlockEntry::read)
    }

    fn stored(&self, entry: &BlockEntry) -> Option<&'a [u8]> {
        self.blocks.get(entry.at..entry.at.checked_add(entry.stored_len)?)
    }

    /// Whether all blocks match their SHA-256.
    pub fn is_whole(&self) -> bool {
        self.entries().all(|entry| {
            let stored = self.stored(&entry);
            stored.is_some_and(|stored| entry.sha256 == <[u8; 32]>::from(Sha256::digest(stored)))
        })
    }

    /// What the blocks hold, `raw_len` bytes together.
    pub fn unpack(&self, raw_len: usize) -> Result<Vec<u8>, String> {
        let mut raw = Vec::with_capacity(raw_len);
        for entry in self.entries() {
            let stored = self.stored(&entry).ok_or("a block is not in its payload")?;
            if raw.len() + entry.raw_len > raw_len {
                return Err("its blocks hold more than was written".into());
            }
            if entry.stored_len == entry.raw_len {
                raw.extend_from_slice(stored);
                continue;
            }

            let at = raw.len();
            raw.resize(at + entry.raw_len, 0);
            let unpacked = lz4_flex::block::decompress_into(stored, &mut raw[at..]);
            let len = unpacked.map_err(|e| format!("a block cannot be unpacked: {e}"))?;
            raw.truncate(at + len);
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{BLOCK, BlockTable, BodyBlocks, most_beside, write_around};
    use crate::log::testing::noise;

    /// Bodies of which all, nothing and a part can be compressed.
    fn bodies() -> [Bytes; 4] {
        let mixed = [noise(BLOCK, 1), vec![b'x'; BLOCK], noise(17, 2)].concat();
        let noise = noise(2 * BLOCK, 3);
        [vec![b'a'; 5 * BLOCK + 1].into(), noise.into(), mixed.into(), Bytes::new()]
    }

    fn payload(body: &Bytes, before: &[u8], after: &[u8]) -> Vec<u8> {
        let blocks = BodyBlocks::new(body.clone());
        let mut stored = blocks.stored().flatten().copied().collect();
        write_around(&blocks, before, after, &mut stored);
        stored
    }

    #[test]
    fn blocks_hold_what_was_put_into_them() {
        for body in bodies() {
            let (before, after) = ([b'b'; 1_000], b"behind");
            let stored = payload(&body, &before, after);
            let whole = [&before[..], &body, after].concat();
            assert!(stored.len() <= whole.len() + most_beside(whole.len()));

            let table = BlockTable::behind(&stored).expect("a table");
            assert!(table.is_whole());
            assert_eq!(table.unpack(whole.len()), Ok(whole.clone()));
            assert!(table.unpack(whole.len() - 1).is_err());

            let crc = BodyBlocks::new(body.clone()).checksum_between(&before, after);
            assert_eq!(crc, crc32fast::hash(&whole));
        }
    }

    #[test]
    fn a_changed_byte_of_a_block_or_of_the_table_is_found() {
        let stored = payload(&bodies()[2], b"before", b"behind");
        let table = BlockTable::behind(&stored).expect("a table").bytes().to_vec();

        let begin = stored.len() - table.len();
        for at in (0..begin).step_by(997).chain(begin..stored.len()) {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            // The frame's chain head covers the table.
            let found = BlockTable::behind(&changed).filter(BlockTable::is_whole);
            assert!(found.is_none_or(|found| found.bytes() != table), "byte {at}");
        }
    }

    #[test]
    fn a_table_that_says_anything_is_no_panic() {
        for length in 0..200 {
            for fill in [0, 1, 0x7F, 0xFF] {
                let bytes = vec![fill; length];
                let Some(table) = BlockTable::behind(&bytes) else { continue };
                let _ = (table.is_whole(), table.unpack(1_000));
            }
        }
    }
}
