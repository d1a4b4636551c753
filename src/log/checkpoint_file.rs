//! A checkpoint's file: `seg-N.state`, the state before record N, which begins a segment.
//!
//! The state comes first, because it is written as it is encoded, and then 93 bytes that vouch for
//! it:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `hbxstate` |
//! | 1 | format of the file, 1 |
//! | 8 | N |
//! | 32 | chain head before record N |
//! | 8 | length of the state |
//! | 32 | its SHA-256 |
//! | 4 | CRC-32 of the 89 bytes before it |
//!
//! A file is written under another name, synced, and renamed. It is never changed afterwards. The
//! two newest are kept, because the older one stands in when the newer one cannot be read; and
//! small ones as long as their segments, for whoever copies or salvages these.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::LogError;
use super::frame::ChainHead;
use super::{failpoint, folder};
use crate::model::Seq;

const MAGIC: &[u8; 8] = b"hbxstate";
const FORMAT: u8 = 1;
/// Bytes behind the state, of which the last four are the CRC-32.
const TRAILER: usize = 93;
/// Files that are kept however large they are, and bytes up to which all are.
const KEPT: usize = 2;
const SMALL: u64 = 1 << 20;
const BUFFER: usize = 256 << 10;

/// A checkpoint whose file is whole.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub state: Vec<u8>,
    /// The chain head before the first record that it does not hold.
    pub head: ChainHead,
}

/// What encodes a state.
pub(super) type Encode<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Writes the state before record `before`, durable when it returns. Gives its length.
pub(super) fn write(
    dir: &Path,
    before: Seq,
    head: &ChainHead,
    encode: Encode<'_>,
) -> Result<u64, LogError> {
    let path = folder::checkpoint(dir, before);
    let tmp = folder::temporary(&path);
    failpoint::reached("checkpoint.begun");

    let written = write_whole(&tmp, before, head, encode).map_err(LogError::io("write", &tmp));
    let length = written.inspect_err(|_| {
        // What is left of it takes space, which may be what was missing.
        let _ = folder::remove(&tmp);
    })?;
    failpoint::reached("checkpoint.synced");

    folder::rename(&tmp, &path)?;
    failpoint::reached("checkpoint.renamed");
    remove_older(dir, before)?;
    failpoint::reached("checkpoint.done");
    Ok(length)
}

fn write_whole(path: &Path, before: Seq, head: &ChainHead, encode: Encode<'_>) -> io::Result<u64> {
    let file = folder::create_anew(path)?;
    let buffered = BufWriter::with_capacity(BUFFER, file);
    let mut out = HashingWriter { out: buffered, hash: Sha256::new(), length: 0 };
    encode(&mut out)?;

    let HashingWriter { mut out, hash, length } = out;
    let mut trailer = Vec::with_capacity(TRAILER);
    trailer.extend_from_slice(MAGIC);
    trailer.push(FORMAT);
    trailer.extend_from_slice(&before.to_be_bytes());
    trailer.extend_from_slice(head);
    trailer.extend_from_slice(&length.to_be_bytes());
    trailer.extend_from_slice(&hash.finalize());
    trailer.extend_from_slice(&crc32fast::hash(&trailer).to_be_bytes());
    out.write_all(&trailer)?;

    failpoint::reached("checkpoint.written");
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(length)
}

/// Passes on what is written, and counts and hashes it.
struct HashingWriter {
    out: BufWriter<fs::File>,
    hash: Sha256,
    length: u64,
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the state before record `before`; `None` when there is no such file.
pub(super) fn read(dir: &Path, before: Seq) -> Result<Option<Checkpoint>, LogError> {
    let path = folder::checkpoint(dir, before);
    let mut state = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", &path)(error)),
    };

    let damaged = |what: &str| LogError::corrupt("read", &path, what);
    let begin = state.len().checked_sub(TRAILER).ok_or_else(|| damaged("it is cut short"))?;
    let trailer = state.split_off(begin);
    let (facts, crc) = trailer.split_at(TRAILER - 4);
    if crc32fast::hash(facts).to_be_bytes() != *crc || facts[..8] != MAGIC[..] {
        return Err(damaged("its end is damaged or cut off"));
    }
    if facts[8] != FORMAT {
        return Err(damaged(&format!("it has the unknown format {}", facts[8])));
    }

    let number = |at: usize| u64::from_be_bytes(array(&facts[at..at + 8]));
    if number(9) != before {
        return Err(damaged("it is of another segment"));
    }
    let sum: [u8; 32] = array(&facts[57..89]);
    if number(49) != state.len() as u64 || <[u8; 32]>::from(Sha256::digest(&state)) != sum {
        return Err(damaged("its state is damaged"));
    }
    Ok(Some(Checkpoint { state, head: array(&facts[17..49]) }))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| bytes[at])
}

/// Removes large ones that are older than the one that was just written and the one before it. A
/// later one may have been written meanwhile.
fn remove_older(dir: &Path, newest: Seq) -> Result<(), LogError> {
    let mut there = folder::list(dir)?.checkpoints;
    there.retain(|before| *before <= newest);

    for before in there.iter().rev().skip(KEPT) {
        let path = folder::checkpoint(dir, *before);
        if fs::metadata(&path).is_ok_and(|found| found.len() > SMALL) {
            folder::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{SMALL, TRAILER, read, write};
    use crate::log::folder;

    #[test]
    fn what_is_whole_is_read_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let head = [7; 32];
        let written = write(dir.path(), 42, &head, &mut |out| out.write_all(b"the state"));
        assert_eq!(written.expect("it is written"), 9);
        let found = read(dir.path(), 42).expect("it reads").expect("it is there");
        assert_eq!((&found.state[..], found.head), (&b"the state"[..], head));
        assert!(read(dir.path(), 43).expect("it reads").is_none());

        let path = folder::checkpoint(dir.path(), 42);
        let whole = fs::read(&path).expect("reads");
        assert_eq!(whole.len(), 9 + TRAILER);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).expect("writes");
            assert!(read(dir.path(), 42).expect_err("a flipped bit").is_damage(), "bit {bit}");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("writes");
            assert!(read(dir.path(), 42).expect_err("cut off").is_damage(), "{length} bytes");
        }

        // Nor is one of another segment taken for it.
        fs::write(folder::checkpoint(dir.path(), 41), &whole).expect("writes");
        assert!(read(dir.path(), 41).expect_err("another").is_damage());
    }

    #[test]
    fn two_large_ones_are_kept_and_what_is_small_or_later() {
        let dir = tempfile::tempdir().expect("a folder");
        let there = || folder::list(dir.path()).expect("lists").checkpoints;
        let large = vec![1; usize::try_from(SMALL).expect("small")];
        let write = |before, state: &[u8]| {
            let written = write(dir.path(), before, &[0; 32], &mut |out| out.write_all(state));
            written.expect("it is written");
        };

        write(3, b"small");
        for before in [5, 9, 14] {
            write(before, &large);
        }
        assert_eq!(there(), [3, 9, 14]);
        write(12, &large);
        assert_eq!(there(), [3, 9, 12, 14]);
    }

    #[test]
    fn what_cannot_be_encoded_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let failed = write(dir.path(), 5, &[0; 32], &mut |out| {
            out.write_all(&[1; 1 << 20])?;
            Err(std::io::ErrorKind::Interrupted.into())
        });
        failed.expect_err("it was stopped");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }
}
