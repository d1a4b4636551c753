//! How far a thread has come with writing. Whoever watches over it can tell a slow disk, which gets
//! somewhere, from one that does not answer, however much is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static OWN: WriteProgress = WriteProgress::default();
}

/// Counts the writes and syncs of one thread that have returned.
#[derive(Clone, Debug, Default)]
pub struct WriteProgress(Arc<AtomicU64>);

impl WriteProgress {
    /// That of the thread which calls.
    #[must_use]
    pub fn of_this_thread() -> Self {
        OWN.with(Self::clone)
    }

    /// How many have returned.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A write or a sync of this thread has returned.
pub(crate) fn returned() {
    // A thread that ends may close a segment; nobody watches it any more.
    let _ = OWN.try_with(|own| own.0.fetch_add(1, Ordering::Relaxed));
}

/// Counts a write that has returned, whatever it returned.
pub(super) fn done<T>(result: T) -> T {
    returned();
    result
}
