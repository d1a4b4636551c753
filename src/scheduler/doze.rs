//! A sleep that somebody else ends: a thread that has nothing to do sleeps without looking from
//! time to time, and whoever has work for it wakes it. That costs those who have work one read of
//! an atomic number while the thread is awake, which it is under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether the reader has ended, and the pause in between: five seconds.
const READER_LOOKS: u32 = 1_000;
const READER_LOOK: Duration = Duration::from_millis(5);

/// Whether a thread sleeps. Shared by the thread and those who wake it.
#[derive(Clone, Debug, Default)]
pub(super) struct Doze(Arc<AtomicBool>);

impl Doze {
    /// The thread is about to sleep. It has to look for work once more after this: who had some
    /// before it does not wake it.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The thread is awake.
    pub fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether the thread has to be woken for the work that the caller has just made visible. True
    /// for one of several callers.
    #[must_use]
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::SeqCst)
    }
}

/// Waits until the reader has ended; not for ever, because the disk may not answer it.
pub(super) fn wait_for(reader: &JoinHandle<()>) {
    for _ in 0..READER_LOOKS {
        if reader.is_finished() {
            return;
        }
        std::thread::park_timeout(READER_LOOK);
    }
    tracing::warn!("the log's reader has not ended: stopping without it");
}

#[cfg(test)]
mod tests {
    use super::Doze;

    #[test]
    fn a_thread_that_sleeps_is_woken_once() {
        let doze = Doze::default();
        assert!(!doze.must_wake(), "it is awake");
        doze.begin();
        assert!(doze.must_wake() && !doze.must_wake());
        doze.begin();
        doze.end();
        assert!(!doze.must_wake());
    }
}
