//! A segment's header: its fields, and how they are encoded.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::LogError;
use super::frame::ChainHead;
use super::segment_format::SegmentFormat;
use crate::model::{Seq, WallMs};

/// The header as it is stored, part of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentHeader {
    format: u8,
    /// The version that created the segment.
    pub hookbox: String,
    pub first: Seq,
    /// The chain head of the record before `first`.
    pub prev: ChainHead,
    /// The records before this one are in the checkpoint. It is `first`, except in a segment that
    /// was begun because records were missing: that one repeats the checkpoint of an earlier
    /// segment.
    pub fold_from: Seq,
    /// The records from this one to the one before `first` were lost.
    pub gap_from: Option<Seq>,
    pub created_at: WallMs,
    pub checkpoint_len: u64,
    pub checkpoint_sha256: [u8; 32],
}

/// The facts a new segment is created from.
pub(super) struct NewSegment<'a> {
    pub format: SegmentFormat,
    pub first: Seq,
    pub prev: ChainHead,
    pub fold_from: Seq,
    pub gap_from: Option<Seq>,
    pub created_at: WallMs,
    pub checkpoint: &'a [u8],
    /// The checkpoint is written after the segment was begun.
    pub is_gradual: bool,
}

impl NewSegment<'_> {
    /// The header's bytes, with their CRC-32. `path` is only for the message.
    pub fn header_bytes(&self, path: &Path) -> Result<Vec<u8>, LogError> {
        let header = SegmentHeader {
            format: self.format.number(),
            hookbox: env!("CARGO_PKG_VERSION").to_owned(),
            first: self.first,
            prev: self.prev,
            fold_from: self.fold_from,
            gap_from: self.gap_from,
            created_at: self.created_at,
            checkpoint_len: self.checkpoint.len() as u64,
            checkpoint_sha256: Sha256::digest(self.checkpoint).into(),
        };

        let encoded = rmp_serde::to_vec(&header);
        let mut bytes = encoded.map_err(|e| LogError::corrupt("write to", path, e.to_string()))?;
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        Ok(bytes)
    }
}

/// A header that was found in the bytes of a file.
#[derive(Clone, Debug)]
pub(super) struct FoundHeader {
    pub header: SegmentHeader,
    pub format: SegmentFormat,
    /// Where the chain of its segment begins.
    pub chain: ChainHead,
}

/// Headers that are looked for in a file.
const FOUND: usize = 16;
/// The most bytes of a header, with its CRC-32. The largest has 187 and its version.
const HEADER_MAX: usize = 512;
/// Fields of a header, as MessagePack begins an array of so many.
const ARRAY: u8 = 0x99;

impl SegmentHeader {
    /// The headers in the bytes of a segment's file, the first of each kind. That of the segment is
    /// the first one, when it is still there: it is written before anything that others send.
    pub fn find(bytes: &[u8]) -> Vec<FoundHeader> {
        let mut found: Vec<FoundHeader> = Vec::new();
        for at in 0..bytes.len() {
            // No more: whoever sent what is in the file decides how long a text in it seems to be.
            let rest = &bytes[at..bytes.len().min(at + HEADER_MAX)];
            let format = match *rest {
                [ARRAY, format, ..] => SegmentFormat::of_number(format),
                _ => None,
            };
            let Some(format) = format.filter(|_| found.len() < FOUND) else { continue };

            let mut behind = rest;
            let Ok(header) = rmp_serde::from_read::<_, Self>(&mut behind) else { continue };
            let length = rest.len() - behind.len();
            let crc = crc32fast::hash(&rest[..length]).to_be_bytes();
            if header.first == 0 || !behind.starts_with(&crc) {
                continue;
            }

            let chain = Self::chain(&header.prev, &rest[..length + crc.len()]);
            if found.iter().all(|other| other.chain != chain) {
                found.push(FoundHeader { header, format, chain });
            }
        }
        found
    }

    /// Where the chain of a segment with this header begins.
    pub fn chain(prev: &ChainHead, bytes: &[u8]) -> ChainHead {
        Sha256::new().chain_update(prev).chain_update(bytes).finalize().into()
    }

    /// Decodes a header, wherever it comes from: `path` is only for the message.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, LogError> {
        let damaged = |what: &str| LogError::corrupt("open", path, what);
        let (body, crc) =
            bytes.split_last_chunk::<4>().ok_or_else(|| damaged("its header is cut short"))?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Err(damaged("its header is damaged"));
        }

        let newest = SegmentFormat::NEWEST.number();
        // In every format there will be, the header is an array whose first two fields are the
        // format and the version.
        if let [array, format, rest @ ..] = body
            && *format > newest
            && *format < 0x80
            && *array >= 0x90
        {
            let written_by =
                rmp_serde::from_slice(rest).unwrap_or_else(|_| "of a later version".to_owned());
            let what =
                format!("its segments have format {format}, this version reads up to {newest}");
            return Err(LogError::Newer { path: path.to_path_buf(), written_by, what });
        }

        let decoded = rmp_serde::from_slice(body);
        let header: Self =
            decoded.map_err(|e| damaged(&format!("its header cannot be read: {e}")))?;
        if header.first > 0 { Ok(header) } else { Err(damaged("its header names no record")) }
    }

    /// Whether its checkpoint may never have been completed.
    pub fn may_lack_checkpoint(&self) -> bool {
        let format = SegmentFormat::of_number(self.format);
        self.checkpoint_len > 0 && format.is_some_and(SegmentFormat::is_gradual)
    }

    /// The format of the segment.
    pub fn format(&self, path: &Path) -> Result<SegmentFormat, LogError> {
        let unknown = || LogError::corrupt("open", path, "its header names no known format");
        SegmentFormat::of_number(self.format).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_MAX, SegmentHeader};

    /// A header in which everything is as long as it can be, with a version of so many bytes.
    fn largest(version: usize) -> Vec<u8> {
        let header = SegmentHeader {
            format: 2,
            hookbox: "9".repeat(version),
            first: u64::MAX,
            prev: [255; 32],
            fold_from: u64::MAX,
            gap_from: Some(u64::MAX),
            created_at: u64::MAX,
            checkpoint_len: u64::MAX,
            checkpoint_sha256: [255; 32],
        };
        let mut bytes = rmp_serde::to_vec(&header).expect("encodes");
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    #[test]
    fn no_header_is_looked_for_in_more_bytes_than_one_can_have() {
        let found = |version| {
            let file = [&[0x99; 5][..], &largest(version), &[0x99; 700]].concat();
            SegmentHeader::find(&file).len()
        };
        assert_eq!(largest(64).len(), 187 + 64);
        assert_eq!((found(64), found(256)), (1, 1));
        assert_eq!((found(HEADER_MAX), found(10_000)), (0, 0));
    }
}
