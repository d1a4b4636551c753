//! What is found in a segment's file without the store.

use std::collections::BTreeMap;

use crate::log::frame::StoredFrame;
use crate::model::Seq;

/// Frames whose bytes match their chain heads, and the checkpoint, when all of it seems to be
/// there.
#[derive(Debug, Default)]
pub(in crate::log) struct SalvagedFrames {
    pub frames: BTreeMap<Seq, StoredFrame>,
    /// Not verified.
    pub checkpoint: Option<Vec<u8>>,
}

impl SalvagedFrames {
    /// Adds what is not there yet.
    pub fn add(&mut self, other: Self) {
        for (first, frame) in other.frames {
            self.frames.entry(first).or_insert(frame);
        }
        self.checkpoint = self.checkpoint.take().or(other.checkpoint);
    }
}
