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

    /// A permit, when there is one now.
    fn take(&self, holder: Option<Holder>) -> Option<HolderPermit> {
        let Some(holder) = holder else { return Some(HolderPermit(None)) };
        self.of(holder).try_acquire_owned().ok().map(|permit| HolderPermit(Some(permit)))
    }

    /// Waits for a permit, for as long as it takes.
    async fn acquire(&self, holder: Option<Holder>) -> HolderPermit {
        let Some(holder) = holder else { return HolderPermit(None) };
        #[cfg(test)]
        self.waiting.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        // The semaphore is never closed.
        HolderPermit(self.of(holder).acquire_owned().await.ok())
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

/// Waits for a permit of an address and one of a source, and takes both or none: whoever
/// waits for a busy source takes nothing from the other sources of its address, and whoever waits
/// for its address takes nothing from the others who post to its source. `None` when it took too
/// long. Also returns for which of them it had to wait.
pub(super) async fn wait_for_both(
    (addresses, address): (&HolderPermits, Option<Holder>),
    (sources, source): (&HolderPermits, Option<Holder>),
) -> (Option<[HolderPermit; 2]>, [bool; 2]) {
    let mut waited = [false; 2];
    let within = addresses.within.min(sources.within);

    let taking = async {
        let mut of_address = addresses.take(address);
        loop {
            let Some(held) = of_address else {
                waited[0] = true;
                of_address = Some(addresses.acquire(address).await);
                continue;
            };
            if let Some(of_source) = sources.take(source) {
                return [held, of_source];
            }

            // What it does not use meanwhile is for others.
            drop(held);
            waited[1] = true;
            let of_source = sources.acquire(source).await;
            match addresses.take(address) {
                Some(held) => return [held, of_source],
                None => of_address = None,
            }
        }
    };
    let taken = tokio::time::timeout(within, taking).await.ok();
    (taken, waited)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::{FORGET_AT, HolderPermits, wait_for_both};
    use crate::ingest::budget::Holder;

    const LONG: Duration = Duration::from_secs(3600);

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

    /// Polls once, and says whether it still waits.
    fn waits<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn who_waits_for_a_source_leaves_its_address_the_other_sources() {
        let (addresses, sources) = (HolderPermits::new(2, LONG), HolderPermits::new(3, LONG));
        let both = |address: u32, source: u32| {
            wait_for_both((&addresses, peer(address)), (&sources, Some(Holder::Source(source))))
        };

        // One source is full of what others have sent.
        let mut others = Vec::new();
        for address in 10..13 {
            others.push(both(address, 7).await.0.expect("free"));
        }
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(both(1, 7))).collect();
        assert!(waiting.iter_mut().all(waits));

        // The same address has both of its places for another source.
        let (taken, waited) = both(1, 8).await;
        assert!(taken.is_some() && waited == [false; 2]);
        let second = both(1, 8).await.0.expect("its other place");

        // And where the address is full, it takes no place of the source from others.
        let mut third = Box::pin(both(1, 8));
        assert!(waits(&mut third));
        assert!(both(2, 8).await.0.is_some(), "the third place of the source");
        drop((taken, second));
        assert!(matches!(third.await, (Some(_), [true, false])));

        // All of those that wait are served in the end.
        drop(others);
        for one in waiting {
            assert!(matches!(one.await, (Some(_), [_, true])));
        }
    }

    #[tokio::test]
    async fn who_waits_too_long_for_either_gives_up() {
        let (addresses, sources) =
            (HolderPermits::new(1, Duration::from_millis(1)), HolderPermits::new(1, LONG));
        let source = Some(Holder::Source(7));
        let held = wait_for_both((&addresses, peer(1)), (&sources, source)).await;
        let late = wait_for_both((&addresses, peer(2)), (&sources, source)).await;
        assert!(held.0.is_some() && late.0.is_none() && late.1 == [false, true]);
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
