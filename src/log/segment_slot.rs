//! A segment's entry in the set of segments: its summary, whether it is open, and who uses it.
//!
//! A slot's lock is held while its segment is being opened or closed, so that nobody else does
//! either meanwhile.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::checksums::FileStamps;
use super::error::LogProblem;
use super::segment::Segment;
use super::segment_summary::SegmentSummary;
use super::{failpoint, folder};
use crate::model::Seq;

#[derive(Debug)]
pub(super) struct SegmentSlot {
    pub first: Seq,
    summary: Mutex<SegmentSummary>,
    state: Mutex<OpenState>,
}

/// Whether a segment is open, and what is known of its files.
#[derive(Debug, Default)]
pub(super) struct OpenState {
    pub segment: Option<Arc<Segment>>,
    pub users: usize,
    /// How often it was opened, or tried to be.
    pub openings: u64,
    /// It stays open without users.
    pub keep_open: bool,
    /// Its folder has been renamed to this, to be deleted.
    pub dropped: Option<PathBuf>,
    /// Why it can never be opened again.
    pub lost: Option<String>,
    /// It was open in this process before, so it can be opened though no checksums were recorded.
    pub was_open: bool,
    /// The stamps of its files when their checksums were recorded or last matched.
    pub checked_stamps: Option<FileStamps>,
    /// The stamps of its files after it was opened, while it is open or closed only to be opened
    /// again: with the same stamps its files are not read through.
    pub open_stamps: Option<FileStamps>,
}

impl OpenState {
    /// Closes the segment when nobody needs it. Runs under the slot's lock, so that nobody opens it
    /// meanwhile.
    pub fn close_if_idle(&mut self) {
        if self.users > 0 {
            return;
        }

        let worn = self.segment.as_ref().is_some_and(|segment| segment.is_worn());
        let wanted = self.keep_open && self.dropped.is_none();
        if worn || !wanted {
            self.segment = None;
        }
        if !wanted {
            self.open_stamps = None;
        }

        if let Some(path) = &self.dropped {
            // What cannot be removed now is removed when the log is opened the next time.
            failpoint::reached("drop.deleting");
            let _ = folder::remove(path);
        }
    }

    /// Whether the segment is there, and closed.
    pub fn is_closed(&self) -> bool {
        self.segment.is_none() && self.users == 0 && self.dropped.is_none() && self.lost.is_none()
    }
}

impl SegmentSlot {
    pub fn new(summary: SegmentSummary) -> Arc<Self> {
        let first = summary.first;
        Arc::new(Self { first, summary: Mutex::new(summary), state: Mutex::default() })
    }

    pub fn summary(&self) -> SegmentSummary {
        locked(&self.summary).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut SegmentSummary)) {
        change(&mut locked(&self.summary));
    }

    pub fn last(&self) -> Seq {
        locked(&self.summary).last
    }

    pub fn state(&self) -> MutexGuard<'_, OpenState> {
        locked(&self.state)
    }

    /// The same without waiting: `None` while the segment is being opened or closed.
    pub fn try_state(&self) -> Option<MutexGuard<'_, OpenState>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub fn mark_lost(&self, why: String) {
        self.state().lost = Some(why);
    }

    pub fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    /// Lets the segment be closed when its last user has gone.
    pub fn release(&self) {
        let mut state = self.state();
        state.keep_open = false;
        state.close_if_idle();
    }

    /// A problem that concerns all of its records.
    pub fn problem(&self, what: String) -> LogProblem {
        LogProblem { segment: self.first, first: self.first, last: self.last(), what }
    }
}

/// A segment in use: it stays open until all its guards are dropped.
#[derive(Debug)]
pub(super) struct SegmentGuard {
    slot: Arc<SegmentSlot>,
    /// `None` only while it is being dropped.
    segment: Option<Arc<Segment>>,
}

impl SegmentGuard {
    /// Registers one more user of an open segment.
    pub fn new(slot: &Arc<SegmentSlot>, state: &mut OpenState, segment: Arc<Segment>) -> Self {
        state.segment = Some(segment.clone());
        state.users += 1;
        Self { slot: slot.clone(), segment: Some(segment) }
    }

    /// Registers a segment that was opened elsewhere: the active one. It stays open as long as the
    /// guard.
    pub fn of_active(slot: &Arc<SegmentSlot>, segment: Segment) -> Self {
        let mut state = slot.state();
        state.was_open = true;
        Self::new(slot, &mut state, Arc::new(segment))
    }
}

impl Deref for SegmentGuard {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        self.segment.as_ref().expect("it is taken only by drop")
    }
}

impl Drop for SegmentGuard {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        self.segment = None;
        state.users -= 1;
        state.close_if_idle();
    }
}

/// Locks even if a thread panicked: what these mutexes guard is consistent at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
