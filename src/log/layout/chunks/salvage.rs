//! Searches a segment's data file for the chunks of frames, without the store.
//!
//! The store's file is a sequence of messages; two kinds hold our values: a *link* (one key, one
//! value, as it was inserted) and a *node* (up to 17 keys and values, as they were merged later).
//! Nearly every value is in the file several times. Every chunk found is kept as a candidate for
//! its position in its frame. A frame counts as found when its chunks together match its SHA-256,
//! so a false candidate does no harm, and none of the store's own checksums is trusted. Whatever is
//! in the file: reading it never fails, it only finds less.

use std::collections::HashMap;
use std::ops::Range;

use super::{chunks_of, keys};
use crate::log::frame::{FrameHead, HEAD_LEN, StoredFrame};
use crate::log::header::FoundHeader;
use crate::log::layout::candidates;
use crate::log::layout::salvaged::FoundFrames;
use crate::model::{Seq, limits};

const KIND_NODE: u8 = 8;
const KIND_LINK: u8 = 10;
/// Chunks are numbered below this: more than the largest frame or checkpoint has.
const CHUNKS: usize = 1 << 16;
/// A chunk of the usual size with its length before it.
const FULL_CHUNK: usize = limits::CHUNK + 2;
/// The most keys that a node can have.
const NODE_KEYS: usize = 64;

/// Finds what is readable in these bytes.
pub(in crate::log::layout) fn salvage(bytes: &[u8], headers: &[FoundHeader]) -> FoundFrames {
    let mut finder = ChunkFinder::new(bytes);
    finder.find_messages();
    finder.find_bare_links();
    finder.complete_short_keys();
    let mut found = FoundFrames::default();
    found.checkpoints = finder.checkpoints(headers);
    finder.frames().for_each(|frame| found.add(frame));
    found
}

/// The positions of the candidates for each key.
type ValueRanges = HashMap<Vec<u8>, Vec<Range<usize>>>;

struct ChunkFinder<'a> {
    bytes: &'a [u8],
    values: ValueRanges,
    /// The common prefixes of the keys of a page, as its nodes state them.
    prefixes: HashMap<u64, Vec<Vec<u8>>>,
    /// Links whose keys lack their prefix: page, rest of the key, value.
    short: Vec<(u64, Vec<u8>, Range<usize>)>,
}

/// A position in the bytes.
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
                let range = self.take(len)?;
                self.bytes[range].iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b))
            }
        })
    }

    /// Bytes with their length before them.
    fn counted(&mut self) -> Option<Range<usize>> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        &self.bytes[range.clone()]
    }
}

impl<'a> ChunkFinder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let (values, prefixes, short) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { bytes, values, prefixes, short }
    }

    /// Reads every message that is well formed, wherever one begins.
    fn find_messages(&mut self) {
        let mut at = 0;
        while at + 8 < self.bytes.len() {
            at = self.message(at).unwrap_or(at + 1);
        }
    }

    /// Reads a message that begins here. Returns where it ends.
    fn message(&mut self, at: usize) -> Option<usize> {
        let kind = self.bytes[at + 4];
        if kind != KIND_NODE && kind != KIND_LINK {
            return None;
        }

        let mut head = Cursor { bytes: self.bytes, at: at + 5 };
        let len =
            usize::try_from(head.number()?).ok().filter(|len| *len <= limits::SLED_SEGMENT)?;
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
            self.add(key, value);
        } else if key.len() < keys::FRAME_LEN {
            self.short.push((page, key, value));
        }
        Some(())
    }

    fn node(&mut self, page: u64, cursor: &mut Cursor<'_>) -> Option<()> {
        let (_next, _merging_child, _merging) =
            (cursor.number()?, cursor.number()?, cursor.byte()?);
        let prefix_len = usize::from(cursor.byte()?);
        let (low, _high) = (cursor.counted()?, cursor.counted()?);
        (cursor.byte()? == 0).then_some(())?;
        let count = usize::try_from(cursor.number()?).ok().filter(|count| *count <= NODE_KEYS)?;
        let prefix = cursor.slice(&low).get(..prefix_len)?.to_vec();

        let keys = (0..count).map(|_| cursor.counted()).collect::<Option<Vec<_>>>()?;
        for key in keys {
            let key = [&prefix, cursor.slice(&key)].concat();
            let Some(value) = node_value(cursor) else { break };
            if is_key(&key) && !value.is_empty() && value.len() <= limits::CHUNK {
                self.add(key, value);
            }
        }

        let prefixes = self.prefixes.entry(page).or_default();
        if !prefix.is_empty() && !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
        (cursor.at == cursor.bytes.len()).then_some(())
    }

    /// Finds links with their whole key whose message cannot be read any more.
    fn find_bare_links(&mut self) {
        for at in 0..self.bytes.len().saturating_sub(keys::FRAME_LEN + 3) {
            // A link's tag, the length of a frame's key, and its first byte.
            if self.bytes[at..at + 3] != [0, 13, b'r'] {
                continue;
            }

            let mut cursor = Cursor { bytes: self.bytes, at: at + 1 };
            let Some(key) = cursor.counted() else { continue };
            let value = cursor.counted().filter(|value| value.len() <= limits::CHUNK);
            let Some(value) = value else { continue };
            let key = cursor.slice(&key).to_vec();
            if is_key(&key) {
                self.add(key, value);
            }
        }
    }

    /// Adds the links whose keys lack their prefix, with each prefix that their page is known to
    /// have had.
    fn complete_short_keys(&mut self) {
        for (page, rest, value) in std::mem::take(&mut self.short) {
            for prefix in self.prefixes.get(&page).cloned().unwrap_or_default() {
                let key = [&prefix[..], &rest].concat();
                if is_key(&key) {
                    self.add(key, value.clone());
                }
            }
        }
    }

    fn add(&mut self, key: Vec<u8>, value: Range<usize>) {
        candidates::keep(self.bytes, self.values.entry(key).or_default(), value);
    }

    fn frames(&self) -> impl Iterator<Item = StoredFrame> {
        let is_first_chunk = |key: &&Vec<u8>| key.first() == Some(&b'r') && key.ends_with(&[0; 4]);
        let firsts =
            self.values.keys().filter(is_first_chunk).filter_map(|key| keys::first_record(key));
        firsts.flat_map(|first| self.frames_from(first))
    }

    /// Puts frames together from the pieces that there are for them.
    fn frames_from(&self, first: Seq) -> impl Iterator<Item = StoredFrame> {
        let heads = self.values.get(&keys::frame(first, 0)[..]).into_iter().flatten();
        heads.filter_map(move |range| {
            let chunk = &self.bytes[range.clone()];
            let head = FrameHead::read(chunk).ok().filter(|head| head.first == first)?;

            let numbers = 1..chunks_of(&head);
            let rest = numbers
                .map(|number| self.values.get(&keys::frame(first, number)[..]).map(Vec::as_slice));
            let rest = rest.collect::<Option<Vec<_>>>()?;
            candidates::first_that_is_whole(self.bytes, head, &chunk[HEAD_LEN..], &rest)
        })
    }

    fn checkpoints(&self, headers: &[FoundHeader]) -> Vec<Vec<u8>> {
        let found = (0..CHUNKS).map_while(|number| self.values.get(&keys::checkpoint(number)[..]));
        let parts: Vec<_> = found.map(Vec::as_slice).collect();
        candidates::checkpoints(self.bytes, &parts, headers)
    }
}

/// The next value of a node. Where its length is damaged, it is taken to have been a full chunk, as
/// most are, so that those behind it are found.
fn node_value(cursor: &mut Cursor<'_>) -> Option<Range<usize>> {
    let begins = cursor.at;
    match cursor.counted() {
        Some(value) if !value.is_empty() && value.len() <= limits::CHUNK => Some(value),
        _ => {
            cursor.at = begins;
            cursor.take(FULL_CHUNK).map(|gone| gone.end..gone.end)
        }
    }
}

/// Whether these bytes can be the key of a frame's or a checkpoint's chunk.
fn is_key(key: &[u8]) -> bool {
    match (key.first(), key.len()) {
        (Some(b'r'), keys::FRAME_LEN) => {
            key[9] == 0 && key[10] == 0 && keys::first_record(key).is_some_and(|first| first > 0)
        }
        (Some(b'c'), keys::CHECKPOINT_LEN) => key[1] == 0 && key[2] == 0,
        _ => false,
    }
}
