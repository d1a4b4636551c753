//! Permits for each holder of a share: so many requests of one address (of IPv6 one /64) or of one
//! source at a time. Its further requests wait here until one of its own is done, each with its
//! memory counted, and give up when that takes too long.
//!
//! In front of the scheduler an address has permits for a quarter of the queue, and a source for
//! half of it, so that neither can fill it. Trusted proxies and Unix sockets have no share as
//! addresses, as with connections, and need no permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::Holder;

/// Holders without a permit are forgotten when there are this many.
const FORGET_AT: usize = 64;

/// The permits of each holder.
#[derive(Debug)]
pub(super) struct HolderPermits {
    each: usize,
    within: Duration,
    by_holder: Mutex<HashMap<Holder, Weak<Semaphore>>>,
    #[cfg(test)]
    waiting: std::sync::atomic::AtomicUsize,
}

/// A permit, given back on drop; `None` inside for whoever needs none.
#[derive(Debug)]
pub(super) struct HolderPermit(
    #[expect(dead_code, reason = "held until it is dropped")] Option<OwnedSemaphorePermit>,
);

impl HolderPermits {
    /// `each` permits for each holder, for which a request waits no longer than `within`.
    pub fn new(each: usize, within: Duration) -> Self {
        Self {
            each,
            within,
            by_holder: Mutex::default(),
            #[cfg(test)]
            waiting: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// How many had to wait so far.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Waits for a permit; `None` when it took too long. Also returns whether it had to wait.
    pub async fn wait(&self, holder: Option<Holder>) -> (Option<HolderPermit>, bool) {
        let Some(holder) = holder else { return (Some(HolderPermit(None)), false) };

        let permits = self.of(holder);
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return (Some(HolderPermit(Some(permit))), false);
        }

        #[cfg(test)]
        self.waiting.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        // The semaphore is never closed.
        let taken = tokio::time::timeout(self.within, permits.acquire_owned()).await;
        (taken.ok().map(|permit| HolderPermit(permit.ok())), true)
    }

    fn of(&self, holder: Holder) -> Arc<Semaphore> {
        let mut by_holder = self.by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = by_holder.get(&holder).and_then(Weak::upgrade) {
            return permits;
        }

        // Each time their number has doubled, so that it costs little on average.
        if by_holder.len() >= FORGET_AT && by_holder.len().is_power_of_two() {
            by_holder.retain(|_, permits| permits.strong_count() > 0);
        }

        let permits = Arc::new(Semaphore::new(self.each));
        by_holder.insert(holder, Arc::downgrade(&permits));
        permits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FORGET_AT, HolderPermits};
    use crate::ingest::budget::Holder;

    fn peer(n: u32) -> Option<Holder> {
        Some(Holder::peer(std::net::Ipv4Addr::from_bits(n).into()))
    }

    #[tokio::test]
    async fn one_address_waits_for_its_own_and_for_no_other() {
        let turns = HolderPermits::new(2, Duration::from_secs(3600));
        let (one, two) = (turns.wait(peer(1)).await, turns.wait(peer(1)).await);
        assert!(matches!((&one, &two), ((Some(_), false), (Some(_), false))));
        assert!(turns.wait(peer(2)).await.0.is_some() && turns.wait(None).await.0.is_some());
        let (third, ()) = tokio::join!(turns.wait(peer(1)), async { drop(one) });
        assert!(matches!(third, (Some(_), true)), "it had to wait");

        let hasty = HolderPermits::new(1, Duration::from_millis(1));
        let _one = hasty.wait(peer(1)).await.0.expect("free");
        assert!(hasty.wait(peer(1)).await.0.is_none(), "it took too long");
    }

    #[tokio::test]
    async fn those_that_are_through_are_forgotten() {
        let turns = HolderPermits::new(2, Duration::from_secs(1));
        for n in 0..1000 {
            let _ = turns.wait(peer(n)).await;
        }
        assert!(turns.by_holder.lock().expect("not poisoned").len() <= 2 * FORGET_AT);
    }
}
