//! What is readable in a segment that the store itself cannot open: its data file is searched for the pieces of frames,
//! byte by byte, without the store.
//!
//! The store's file is a sequence of messages; two kinds hold our values: a *link* (one key, one value, as it was
//! inserted) and a *node* (up to 17 keys and values, as they were put together later). Nearly every value stands in
//! the file several times. Every piece found is kept as a candidate for its place in its frame; a frame counts as found
//! when its pieces together match its SHA-256, so a candidate that is none does no harm, and none of the store's own
//! checksums is believed. Whatever is in the file: reading it never fails, it only finds less.
//!
//! The whole file is in memory meanwhile: this is for `hookboxctl log salvage`, not for the daemon.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::Range;
use std::path::Path;

use super::frame::{Decoded, FrameHead, HEAD_LEN, RecordFault, StoredFrame};
use super::sums::EVIDENCE;
use super::{LogError, folder};
use crate::model::{Seq, limits};
use crate::record::Record;

const KIND_NODE: u8 = 8;
const KIND_LINK: u8 = 10;
/// `r`, the frame's first record, the chunk's number.
const FRAME_KEY: usize = 13;
/// `c`, the chunk's number.
const CHECKPOINT_KEY: usize = 5;
/// The frame's chunks are numbered below this: more than the largest frame has.
const CHUNKS: u32 = 1 << 16;
/// A chunk of the usual size with its length before it.
const FULL_CHUNK: usize = limits::CHUNK + 2;
/// Ways to put a frame together that are tried.
const TRIES: usize = 256;

/// What was found in one segment.
#[derive(Debug)]
pub struct Carved {
    /// By its folder's name.
    pub first: Seq,
    /// The state before it, when all of it was found; not checked.
    pub checkpoint: Option<Vec<u8>>,
    frames: BTreeMap<Seq, StoredFrame>,
}

/// Searches a segment's folder, under whatever name it stands (`seg-N`, `bad-seg-N`).
///
/// # Errors
/// When its file cannot be read at all, or it is no segment's folder.
pub fn carve(segment: &Path) -> Result<Carved, LogError> {
    let name = segment.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let first = folder::first_of(Path::new(&name.trim_start_matches("bad-").chars().take(24).collect::<String>()))
        .ok_or_else(|| LogError::corrupt("salvage", segment, "it is not the folder of a segment"))?;
    let db = segment.join("db");
    // What opening it may have overwritten stands in the copy that was made before, if one was.
    let mut bytes = fs::read(segment.join(EVIDENCE)).unwrap_or_default();
    match fs::read(&db) {
        Ok(now) => bytes.extend(now),
        Err(error) if bytes.is_empty() => return Err(LogError::io("read", &db)(error)),
        Err(_) => {}
    }
    let mut pieces = Pieces { bytes: &bytes, values: HashMap::new(), prefixes: HashMap::new(), short: Vec::new() };
    pieces.messages();
    pieces.bare_links();
    pieces.complete_short_keys();
    let frames = pieces.frames();
    Ok(Carved { first, checkpoint: pieces.checkpoint(), frames })
}

impl Carved {
    /// The records that were found, ascending. One that cannot be read within a good frame is of another version.
    pub fn records(&self) -> impl Iterator<Item = (Seq, Result<Record, String>)> + '_ {
        self.frames.values().flat_map(|frame| {
            let (first, last) = (frame.head.first, frame.head.last());
            let decoded = Decoded::new(frame.clone());
            (first..=last).map(move |seq| {
                let record = match &decoded {
                    Ok(decoded) => decoded.record(seq).map_err(|fault: RecordFault| fault.to_string()),
                    Err(what) => Err(what.clone()),
                };
                (seq, record)
            })
        })
    }

    /// What is not there of the records up to `last`; without it, up to the last that was found.
    #[must_use]
    pub fn missing(&self, last: Option<Seq>) -> Vec<(Seq, Seq)> {
        let mut missing = Vec::new();
        let mut next = self.first;
        for frame in self.frames.values() {
            if frame.head.first > next {
                missing.push((next, frame.head.first - 1));
            }
            next = next.max(frame.head.last() + 1);
        }
        if let Some(last) = last.filter(|last| *last >= next) {
            missing.push((next, last));
        }
        missing
    }
}

/// Keys, and where values for them stand.
type Values = HashMap<Vec<u8>, Vec<Range<usize>>>;

struct Pieces<'a> {
    bytes: &'a [u8],
    values: Values,
    /// The common beginnings of the keys of a page, as its nodes say.
    prefixes: HashMap<u64, Vec<Vec<u8>>>,
    /// Links whose keys lack their beginning: page, rest of the key, value.
    short: Vec<(u64, Vec<u8>, Range<usize>)>,
}

/// A place in the bytes.
#[derive(Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    /// The store's numbers of variable length.
    fn number(&mut self) -> Option<u64> {
        let first = u64::from(self.byte()?);
        Some(match first {
            0..=240 => first,
            241..=248 => 240 + 256 * (first - 241) + u64::from(self.byte()?),
            249 => 2288 + 256 * u64::from(self.byte()?) + u64::from(self.byte()?),
            longer => {
                let len = usize::try_from(longer - 247).ok()?;
                self.take(len).map(|range| self.bytes[range].iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b)))?
            }
        })
    }

    fn counted(&mut self) -> Option<Range<usize>> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        &self.bytes[range.clone()]
    }
}

impl Pieces<'_> {
    /// Reads every message whose shape adds up, wherever one begins.
    fn messages(&mut self) {
        let mut at = 0;
        while at + 8 < self.bytes.len() {
            at = self.message(at).unwrap_or(at + 1);
        }
    }

    /// A message that begins here; gives where it ends.
    fn message(&mut self, at: usize) -> Option<usize> {
        let kind = self.bytes[at + 4];
        if kind != KIND_NODE && kind != KIND_LINK {
            return None;
        }
        let mut head = Cursor { bytes: self.bytes, at: at + 5 };
        let len = usize::try_from(head.number()?).ok().filter(|len| *len <= limits::SLED_SEGMENT)?;
        let _segment = head.number()?;
        let page = head.number()?;
        let body = head.take(len)?;
        let end = body.end;
        let mut cursor = Cursor { bytes: self.bytes.get(..end)?, at: body.start };
        match kind {
            KIND_LINK => self.link(page, &mut cursor)?,
            _ => self.node(page, &mut cursor)?,
        }
        Some(end)
    }

    fn link(&mut self, page: u64, cursor: &mut Cursor<'_>) -> Option<()> {
        (cursor.byte()? == 0).then_some(())?;
        let (key, value) = (cursor.counted()?, cursor.counted()?);
        (cursor.at == cursor.bytes.len() && value.len() <= limits::CHUNK).then_some(())?;
        let key = cursor.slice(&key).to_vec();
        if is_key(&key) {
            self.found(key, value);
        } else if key.len() < FRAME_KEY {
            self.short.push((page, key, value));
        }
        Some(())
    }

    fn node(&mut self, page: u64, cursor: &mut Cursor<'_>) -> Option<()> {
        let (_next, _merging_child, _merging) = (cursor.number()?, cursor.number()?, cursor.byte()?);
        let prefix_len = usize::from(cursor.byte()?);
        let (low, _high) = (cursor.counted()?, cursor.counted()?);
        (cursor.byte()? == 0).then_some(())?;
        let count = usize::try_from(cursor.number()?).ok().filter(|count| *count <= 64)?;
        let prefix = cursor.slice(&low).get(..prefix_len)?.to_vec();
        let keys = (0..count).map(|_| cursor.counted()).collect::<Option<Vec<_>>>()?;
        for key in keys {
            let key = [&prefix, cursor.slice(&key)].concat();
            let Some(value) = value(cursor) else { break };
            if is_key(&key) && !value.is_empty() && value.len() <= limits::CHUNK {
                self.found(key, value);
            }
        }
        let prefixes = self.prefixes.entry(page).or_default();
        if !prefix.is_empty() && !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
        (cursor.at == cursor.bytes.len()).then_some(())
    }

    /// Links with their whole key whose message cannot be read any more.
    fn bare_links(&mut self) {
        for at in 0..self.bytes.len().saturating_sub(FRAME_KEY + 3) {
            if self.bytes[at..at + 3] != [0, 13, b'r'] {
                continue;
            }
            let mut cursor = Cursor { bytes: self.bytes, at: at + 1 };
            let Some(key) = cursor.counted() else { continue };
            let Some(value) = cursor.counted().filter(|value| value.len() <= limits::CHUNK) else { continue };
            let key = cursor.slice(&key).to_vec();
            if is_key(&key) {
                self.found(key, value);
            }
        }
    }

    fn complete_short_keys(&mut self) {
        for (page, rest, value) in std::mem::take(&mut self.short) {
            for prefix in self.prefixes.get(&page).cloned().unwrap_or_default() {
                let key = [&prefix[..], &rest].concat();
                if is_key(&key) {
                    self.found(key, value.clone());
                }
            }
        }
    }

    fn found(&mut self, key: Vec<u8>, value: Range<usize>) {
        let bytes = self.bytes;
        let places = self.values.entry(key).or_default();
        if places.len() < TRIES && !places.iter().any(|place| bytes[place.clone()] == bytes[value.clone()]) {
            places.push(value);
        }
    }

    fn frames(&self) -> BTreeMap<Seq, StoredFrame> {
        let heads = self.values.keys().filter(|key| key.first() == Some(&b'r') && key.ends_with(&[0; 4]));
        heads.filter_map(|key| self.frame(first_of(key)?)).map(|frame| (frame.head.first, frame)).collect()
    }

    /// Puts a frame together out of the pieces that there are for it.
    fn frame(&self, first: Seq) -> Option<StoredFrame> {
        let heads = self.values.get(&frame_key(first, 0)[..])?;
        heads.iter().find_map(|range| {
            let chunk = &self.bytes[range.clone()];
            let head = FrameHead::read(chunk).ok().filter(|head| head.first == first)?;
            let rest: Option<Vec<_>> =
                (1..head.chunks()).map(|number| self.values.get(&frame_key(first, number)[..])).collect();
            self.first_that_is_whole(head, &chunk[HEAD_LEN..], &rest?)
        })
    }

    /// Tries the candidates against each other: first of each, then one after the other.
    fn first_that_is_whole(&self, head: FrameHead, front: &[u8], rest: &[&Vec<Range<usize>>]) -> Option<StoredFrame> {
        let mut choice = vec![0usize; rest.len()];
        for _ in 0..TRIES {
            let mut stored = front.to_vec();
            for (places, chosen) in rest.iter().zip(&choice) {
                stored.extend_from_slice(&self.bytes[places[*chosen].clone()]);
            }
            let frame = StoredFrame { head, stored };
            if frame.stored.len() == head.stored_len as usize && frame.is_whole() {
                return Some(frame);
            }
            // Count on, as with digits.
            let digit = choice.iter().zip(rest).position(|(chosen, places)| chosen + 1 < places.len())?;
            choice[digit] += 1;
            choice[..digit].fill(0);
        }
        None
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for number in 0..CHUNKS {
            let mut key = [b'c'; CHECKPOINT_KEY];
            key[1..].copy_from_slice(&number.to_be_bytes());
            let Some(places) = self.values.get(&key[..]) else { break };
            bytes.extend_from_slice(&self.bytes[places.first()?.clone()]);
        }
        Some(bytes).filter(|bytes| !bytes.is_empty())
    }
}

/// The next value of a node. Where its length is gone, it is taken to have been a full chunk, as most are, so that those
/// behind it are found.
fn value(cursor: &mut Cursor<'_>) -> Option<Range<usize>> {
    let begins = cursor.at;
    match cursor.counted() {
        Some(value) if !value.is_empty() && value.len() <= limits::CHUNK => Some(value),
        _ => {
            cursor.at = begins;
            cursor.take(FULL_CHUNK).map(|gone| gone.end..gone.end)
        }
    }
}

/// Whether these can be the key of a frame's or a checkpoint's chunk.
fn is_key(key: &[u8]) -> bool {
    match (key.first(), key.len()) {
        (Some(b'r'), FRAME_KEY) => key[9] == 0 && key[10] == 0 && first_of(key).is_some_and(|first| first > 0),
        (Some(b'c'), CHECKPOINT_KEY) => key[1] == 0 && key[2] == 0,
        _ => false,
    }
}

fn first_of(key: &[u8]) -> Option<Seq> {
    let (seq, _) = key.get(1..)?.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*seq))
}

fn frame_key(first: Seq, number: usize) -> [u8; FRAME_KEY] {
    let mut key = [b'r'; FRAME_KEY];
    key[1..9].copy_from_slice(&first.to_be_bytes());
    key[9..].copy_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    key
}
