//! The few frames that are kept decompressed for random reads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::DecodedFrame;
use crate::model::Seq;

/// Frames that are kept, and the bytes they may take together.
const FRAMES: usize = 4;
const BYTES: usize = 4 << 20;

/// The oldest frame is the first, and is removed first.
#[derive(Debug, Default)]
pub(super) struct FrameCache {
    frames: Mutex<VecDeque<Arc<DecodedFrame>>>,
}

impl FrameCache {
    /// The frame that holds this record.
    pub fn get(&self, seq: Seq) -> Option<Arc<DecodedFrame>> {
        self.locked().iter().find(|frame| frame.head.holds(seq)).cloned()
    }

    /// Keeps a frame, unless it is too large.
    pub fn keep(&self, frame: &Arc<DecodedFrame>) {
        let mut frames = self.locked();
        let is_kept = frames.iter().any(|f| f.head.first == frame.head.first);
        if frame.memory_bytes() > BYTES / 2 || is_kept {
            return;
        }

        frames.push_back(frame.clone());
        while frames.len() > FRAMES
            || frames.iter().map(|f| f.memory_bytes()).sum::<usize>() > BYTES
        {
            frames.pop_front();
        }
    }

    /// Forgets the frames that begin with a record from `first` to `last`.
    pub fn forget(&self, first: Seq, last: Seq) {
        self.locked().retain(|frame| frame.head.first < first || frame.head.first > last);
    }

    pub fn clear(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Arc<DecodedFrame>>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
