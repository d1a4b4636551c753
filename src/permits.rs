//! Permits that several share: users of the admin socket, endpoints. Nobody can take all of them: a
//! part may be kept for owners, and of the rest a holder gets another one only while more are free
//! than it has, so that each next holder still finds some.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Whoever may hold permits: a user, an endpoint.
pub trait PermitHolder: Copy + Eq + Hash + Debug {}

impl<K: Copy + Eq + Hash + Debug> PermitHolder for K {}

/// A number of permits of one kind.
#[derive(Debug)]
pub struct FairPermits<K: PermitHolder> {
    all: usize,
    /// For each of the owners.
    kept: usize,
    owners: Vec<K>,
    taken: Mutex<HashMap<K, usize>>,
    given_back: Notify,
}

/// One permit; given back when it is dropped.
#[derive(Debug)]
pub struct FairPermit<K: PermitHolder> {
    permits: Arc<FairPermits<K>>,
    holder: K,
}

impl<K: PermitHolder> FairPermits<K> {
    /// `kept` for each of `owners`, whatever the others hold.
    pub fn new(all: usize, kept: usize, owners: &[K]) -> Arc<Self> {
        let mut distinct: Vec<K> = Vec::new();
        for owner in owners {
            if !distinct.contains(owner) {
                distinct.push(*owner);
            }
        }
        let given_back = Notify::new();
        Arc::new(Self { all, kept, owners: distinct, taken: Mutex::default(), given_back })
    }

    /// A permit for this holder, when there is one now.
    pub fn take(self: &Arc<Self>, holder: K) -> Option<FairPermit<K>> {
        let mut taken = self.taken();
        let has = |holder: K| taken.get(&holder).copied().unwrap_or(0);

        let others = self.owners.iter().filter(|owner| **owner != holder);
        let kept: usize = others.map(|owner| self.kept.saturating_sub(has(*owner))).sum();

        let free = self.all.saturating_sub(taken.values().sum::<usize>() + kept);
        let bound = if self.owners.contains(&holder) { 0 } else { has(holder) };
        if free <= bound {
            return None;
        }
        *taken.entry(holder).or_default() += 1;
        Some(FairPermit { permits: self.clone(), holder })
    }

    /// Waits for one.
    pub async fn wait(self: &Arc<Self>, holder: K) -> FairPermit<K> {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // What is given back from here on is noticed.
            given_back.as_mut().enable();
            match self.take(holder) {
                Some(permit) => return permit,
                None => given_back.await,
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PermitHolder> Drop for FairPermit<K> {
    fn drop(&mut self) {
        let mut taken = self.permits.taken();
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
        drop(taken);
        self.permits.given_back.notify_waiters();
    }
}

/// Runs what takes a while on a thread of the runtime, whose other tasks move to another thread
/// meanwhile.
pub fn run_in_place<T>(work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FairPermit, FairPermits};
    use std::sync::Arc;

    fn all_of(permits: &Arc<FairPermits<u32>>, uid: u32) -> Vec<FairPermit<u32>> {
        std::iter::from_fn(|| permits.take(uid)).collect()
    }

    #[test]
    fn nobody_takes_all_and_the_owners_always_find_theirs() {
        let permits = FairPermits::new(64, 8, &[0, 990]);
        let first = all_of(&permits, 1000);
        let second = all_of(&permits, 1001);
        assert_eq!((first.len(), second.len()), (24, 12));

        assert!(!all_of(&permits, 1002).is_empty(), "the next one finds some, too");
        let crowd: Vec<_> = (2000..3000).flat_map(|uid| all_of(&permits, uid)).collect();
        let daemon = all_of(&permits, 990);
        assert_eq!(daemon.len(), 8 + 64 - 16 - first.len() - second.len() - crowd.len());
        assert_eq!(all_of(&permits, 0).len(), 8);
        drop(first);

        assert!(permits.take(1001).is_some());
    }

    #[test]
    fn one_owner_may_have_everything_but_the_others_part() {
        let permits = FairPermits::new(64, 8, &[0, 0]);
        assert_eq!(all_of(&permits, 0).len(), 64);
        let permits = FairPermits::new(64, 8, &[0, 990]);
        let daemon = all_of(&permits, 990);
        assert_eq!((daemon.len(), all_of(&permits, 0).len()), (56, 8));
    }

    #[tokio::test]
    async fn who_waits_is_next() {
        let permits = FairPermits::new(3, 1, &[0, 0]);
        let held = all_of(&permits, 1000);
        assert_eq!(held.len(), 1);
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.wait(1000).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        drop(waiting.await.expect("a permit"));
    }
}
