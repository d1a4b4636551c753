//! What the events in prefetches take of the memory: of one endpoint, and of all together.
//!
//! A prefetch counts its events in a [`MemoryShare`], and with that in the total of all. So the
//! total is right whatever empties a prefetch, and nobody else counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::limits;

/// Bytes of the events in all prefetches, of `limits::PREFETCH_BYTES_ALL`. One thread reads and
/// changes them.
#[derive(Debug, Default)]
pub struct PrefetchMemory(Arc<AtomicUsize>);

impl PrefetchMemory {
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A share for another prefetch, which takes nothing yet.
    #[must_use]
    pub(super) fn share(&self) -> MemoryShare {
        MemoryShare { all: Self(Arc::clone(&self.0)), bytes: 0 }
    }
}

/// What one prefetch takes of it. It gives back what it takes when it is dropped.
#[derive(Debug, Default)]
pub(super) struct MemoryShare {
    all: PrefetchMemory,
    bytes: usize,
}

impl MemoryShare {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an event of this cost may be kept in memory beside the others: every prefetch may
    /// have one, as long as all together are below their limit.
    pub fn has_room_for(&self, cost: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes + cost <= limits::PREFETCH_BYTES;
        fits && self.all.bytes() < limits::PREFETCH_BYTES_ALL
    }

    pub fn take(&mut self, cost: usize) {
        self.bytes += cost;
        self.all.0.fetch_add(cost, Ordering::Relaxed);
    }

    /// # Panics
    /// When it has not taken so much.
    pub fn give_back(&mut self, cost: usize) {
        let left = self.bytes.checked_sub(cost);
        self.bytes = left.expect("a prefetch gives back what it has taken");
        self.all.0.fetch_sub(cost, Ordering::Relaxed);
    }

    pub fn give_back_all(&mut self) {
        self.give_back(self.bytes);
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.give_back_all();
    }
}

#[cfg(test)]
mod tests {
    use super::PrefetchMemory;
    use crate::model::limits::{PREFETCH_BYTES, PREFETCH_BYTES_ALL};

    #[test]
    fn what_shares_take_is_the_total_until_they_give_it_back_or_are_dropped() {
        let all = PrefetchMemory::default();
        let (mut one, mut other) = (all.share(), all.share());
        one.take(100);
        other.take(30);
        assert_eq!((one.bytes(), other.bytes(), all.bytes()), (100, 30, 130));

        one.give_back(40);
        assert_eq!((one.bytes(), all.bytes()), (60, 90));
        other.give_back_all();
        assert_eq!((other.bytes(), all.bytes()), (0, 60));
        drop(one);
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn one_large_event_fits_and_none_where_all_together_have_too_much() {
        let all = PrefetchMemory::default();
        let (mut one, other) = (all.share(), all.share());
        assert!(one.has_room_for(PREFETCH_BYTES + 1));
        one.take(1);
        assert!(one.has_room_for(PREFETCH_BYTES - 1) && !one.has_room_for(PREFETCH_BYTES));

        one.take(PREFETCH_BYTES_ALL - 2);
        assert!(other.has_room_for(10));
        one.take(1);
        assert!(!other.has_room_for(10));
    }
}
