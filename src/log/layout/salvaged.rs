//! What is found in a segment's file without the store.

use std::collections::BTreeMap;

use crate::log::frame::{ChainHead, StoredFrame};
use crate::log::header::FoundHeader;
use crate::model::Seq;

/// Frames whose bytes match their chain heads, and the checkpoint, when all of it seems to be
/// there.
#[derive(Debug, Default)]
pub(in crate::log) struct SalvagedFrames {
    pub frames: BTreeMap<Seq, StoredFrame>,
    /// Verified when the segment's header was found.
    pub checkpoint: Option<Vec<u8>>,
}

/// All that may be frames, some perhaps of the same records, and what may be the checkpoint.
///
/// The body of an event may hold the bytes of a frame, and whoever sent it may have computed its
/// chain head, but not so that it fits those of the others.
#[derive(Debug, Default)]
pub(in crate::log::layout) struct FoundFrames {
    frames: BTreeMap<Seq, Vec<StoredFrame>>,
    pub checkpoints: Vec<Vec<u8>>,
}

impl FoundFrames {
    /// Adds a frame whose bytes match its chain head.
    pub fn add(&mut self, frame: StoredFrame) {
        let same = self.frames.entry(frame.head.first).or_default();
        if same.iter().all(|other| other.head.own != frame.head.own) {
            same.push(frame);
        }
    }

    pub fn add_all(&mut self, other: Self) {
        other.frames.into_values().flatten().for_each(|frame| self.add(frame));
        self.checkpoints.extend(other.checkpoints);
    }

    /// Chooses one of each record: those that follow one another.
    pub fn choose(self, headers: &[FoundHeader]) -> SalvagedFrames {
        let Self { frames: found, checkpoints } = self;
        let mut frames: BTreeMap<Seq, StoredFrame> = BTreeMap::new();
        let mut before = headers.first().map(|found| (found.header.first, found.chain));
        for (first, candidates) in &found {
            let ends_before = |(next, _): &(Seq, ChainHead)| next == first;
            let prev = before.filter(ends_before).map(|(_, own)| own);
            let fits = |frame: &StoredFrame| {
                let next = frame.head.last().checked_add(1).and_then(|next| found.get(&next));
                let is_followed = next
                    .is_some_and(|next| next.iter().any(|next| next.head.prev == frame.head.own));
                (is_followed, prev == Some(frame.head.prev))
            };

            // Of those that fit as well, the first.
            let best = candidates.iter().rev().max_by_key(|frame| fits(frame));
            let Some(best) = best else { continue };
            before = best.head.last().checked_add(1).map(|next| (next, best.head.own));
            frames.insert(*first, best.clone());
        }

        let checkpoint = checkpoints.into_iter().find(|bytes| !bytes.is_empty());
        SalvagedFrames { frames, checkpoint }
    }
}
