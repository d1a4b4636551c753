//! Frames on their way from the thread that verifies them to the one that folds their records.
//!
//! Whoever takes frames gets many at once, and is woken when there are that many: one thread that
//! wakes another for each small frame would take longer than both need for their work.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::frame::{DecodedFrame, StoredFrame};

/// Bytes of frames that wait or are being worked on. One larger frame passes alone.
const BYTES: usize = 512 << 10;
/// Bytes that wait when whoever takes frames is so far behind that some of its work is done for it.
const BEHIND: usize = 256 << 10;
/// Bytes that are worth waking somebody for.
const WORTH_WAKING: usize = 64 << 10;

/// A frame on its way.
pub(super) enum QueuedFrame {
    Stored(StoredFrame),
    /// `None` when it cannot be decompressed.
    Decoded(Option<DecodedFrame>),
}

impl QueuedFrame {
    /// Decompresses it, unless that was done.
    pub fn decode(self) -> Option<DecodedFrame> {
        match self {
            Self::Stored(frame) => DecodedFrame::new(frame).ok(),
            Self::Decoded(frame) => frame,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Stored(frame) => frame.stored.len(),
            Self::Decoded(frame) => frame.as_ref().map_or(0, DecodedFrame::memory_bytes),
        }
    }
}

#[derive(Default)]
pub(super) struct FrameQueue {
    state: Mutex<QueuedFrames>,
    changed: Condvar,
}

#[derive(Default)]
struct QueuedFrames {
    frames: Vec<QueuedFrame>,
    /// Bytes of `frames`, and of those that were taken last.
    waiting: usize,
    taken: usize,
    /// Somebody has a frame that there is no space for.
    is_crowded: bool,
    /// No more frames come.
    is_closed: bool,
    /// Nobody takes any more.
    is_abandoned: bool,
}

impl QueuedFrames {
    fn has_space_for(&self, bytes: usize) -> bool {
        let held = self.waiting + self.taken;
        held == 0 || held + bytes <= BYTES || self.is_abandoned
    }

    fn is_worth_taking(&self) -> bool {
        let is_much = self.waiting >= WORTH_WAKING || self.is_crowded;
        self.is_closed || (is_much && !self.frames.is_empty())
    }
}

impl FrameQueue {
    /// The end into which frames are put. The queue is closed when it is dropped.
    pub fn sender(&self) -> FrameSender<'_> {
        FrameSender(self)
    }

    /// The end from which frames are taken. When it is dropped, what is put into the queue is
    /// dropped as well.
    pub fn taker(&self) -> FrameTaker<'_> {
        FrameTaker(self)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, QueuedFrames>) -> MutexGuard<'a, QueuedFrames> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn locked(&self) -> MutexGuard<'_, QueuedFrames> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts frames into a queue.
pub(super) struct FrameSender<'a>(&'a FrameQueue);

impl FrameSender<'_> {
    /// Adds a frame, decompressed already when whoever takes it is far behind; waits until there is
    /// space for it.
    pub fn put(&self, frame: StoredFrame) {
        let FrameSender(queue) = self;
        let is_behind = queue.locked().waiting >= BEHIND;
        let mut frame = QueuedFrame::Stored(frame);
        if is_behind {
            frame = QueuedFrame::Decoded(frame.decode());
        }

        let bytes = frame.bytes();
        let mut state = queue.locked();
        while !state.has_space_for(bytes) {
            state.is_crowded = true;
            queue.changed.notify_all();
            state = queue.wait(state);
        }
        state.is_crowded = false;
        if state.is_abandoned {
            return;
        }

        let before = state.waiting;
        state.waiting += bytes;
        state.frames.push(frame);
        if before < WORTH_WAKING && state.waiting >= WORTH_WAKING {
            queue.changed.notify_all();
        }
    }
}

impl Drop for FrameSender<'_> {
    fn drop(&mut self) {
        self.0.locked().is_closed = true;
        self.0.changed.notify_all();
    }
}

/// Takes frames out of a queue.
pub(super) struct FrameTaker<'a>(&'a FrameQueue);

impl FrameTaker<'_> {
    /// The frames that wait, once they are many. Those that were taken before are done with. Empty
    /// when no more come.
    pub fn take(&self) -> Vec<QueuedFrame> {
        let FrameTaker(queue) = self;
        let mut state = queue.locked();
        state.taken = 0;
        if state.is_crowded {
            queue.changed.notify_all();
        }
        while !state.is_worth_taking() {
            state = queue.wait(state);
        }
        state.taken = std::mem::take(&mut state.waiting);
        std::mem::take(&mut state.frames)
    }
}

impl Drop for FrameTaker<'_> {
    fn drop(&mut self) {
        let mut state = self.0.locked();
        state.is_abandoned = true;
        (state.frames, state.waiting) = (Vec::new(), 0);
        self.0.changed.notify_all();
    }
}
