//! Searches a segment's data file for values, without the store. A value says by itself what it is,
//! wherever it is. A frame counts as found when its bytes match its SHA-256.

use std::collections::HashMap;
use std::ops::Range;

use super::value::{self, CHECKPOINT, CommitHeads, PayloadPart, PlacedAhead};
use crate::log::frame::{FrameHead, HEAD_LEN, StoredFrame};
use crate::log::header::FoundHeader;
use crate::log::layout::candidates;
use crate::log::layout::salvaged::FoundFrames;
use crate::model::{Seq, limits};

/// Finds what is readable in these bytes.
pub(in crate::log::layout) fn salvage(bytes: &[u8], headers: &[FoundHeader]) -> FoundFrames {
    let mut finder = CellFinder { bytes, ..CellFinder::default() };
    let mut at = 0;
    while at < bytes.len() {
        at = finder.value(at).unwrap_or(at + 1);
    }

    finder.complete_heads();
    finder.complete_checkpoint(headers);
    finder.found
}

#[derive(Default)]
struct CellFinder<'a> {
    bytes: &'a [u8],
    found: FoundFrames,
    /// Heads, and where they are.
    heads: Vec<(usize, CommitHeads)>,
    /// The positions of the bytes of parts, by their commit and number.
    parts: HashMap<(Seq, u32), Vec<Range<usize>>>,
}

impl CellFinder<'_> {
    /// Reads a value that begins here. Returns where it ends.
    fn value(&mut self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..).filter(|rest| value::is_tag(rest[0]))?;

        if let Some(frame) = value::whole_frame(bytes) {
            let head = FrameHead::read(frame).ok()?;
            let length = HEAD_LEN + head.stored_len as usize;
            let stored = frame.get(HEAD_LEN..length).filter(|_| length < limits::VALUE)?.to_vec();
            let frame = Some(StoredFrame { head, stored }).filter(StoredFrame::is_whole)?;
            self.found.add(frame);
            return Some(at + 1 + length);
        }
        if let Ok((heads, length)) = CommitHeads::read(bytes) {
            self.heads.push((at, heads));
            return Some(at + length);
        }

        let (part, begins) = PayloadPart::find(bytes)?;
        let range = at + begins..at + begins + part.bytes.len();
        let end = range.end;
        candidates::keep(self.bytes, self.parts.entry((part.of, part.number)).or_default(), range);
        Some(end)
    }

    /// Puts together the frames of several parts.
    fn complete_heads(&mut self) {
        for (at, heads) in std::mem::take(&mut self.heads) {
            for index in 0..heads.frames.len() {
                if let Some(frame) = self.frame(at, &heads, index) {
                    self.found.add(frame);
                }
            }
        }
    }

    /// Puts a frame together whose head is at `at`. Its parts were written before, and those of a
    /// commit that was never completed, and had the same number, before them.
    fn frame(&self, at: usize, heads: &CommitHeads, index: usize) -> Option<StoredFrame> {
        let ahead = heads.ahead_of(index).into_iter().flat_map(|ahead: PlacedAhead| {
            (0..ahead.parts()).map(move |number| (PlacedAhead::of(ahead.tree), number))
        });
        let first = heads.first_part(index);
        let own = (first..first.saturating_add(heads.parts(index))).map(|part| (heads.of, part));

        let nearest_first = |part| {
            let mut found = self.parts.get(&part)?.clone();
            found.sort_by_key(|range| (range.start > at, range.start.abs_diff(at)));
            Some(found)
        };
        let parts = ahead.chain(own).map(nearest_first).collect::<Option<Vec<_>>>()?;
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        candidates::first_that_is_whole(self.bytes, heads.frames[index].head, &[], &parts)
    }

    fn complete_checkpoint(&mut self, headers: &[FoundHeader]) {
        let found = (0..).map_while(|number| self.parts.get(&(CHECKPOINT, number)));
        let parts: Vec<_> = found.map(Vec::as_slice).collect();
        self.found.checkpoints = candidates::checkpoints(self.bytes, &parts, headers);
    }
}
