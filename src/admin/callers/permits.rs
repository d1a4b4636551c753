//! Permits that callers share: for connections, and for scans of the log. Nobody can take all of
//! them: a part is kept for root and the daemon's own user, and of the rest a user gets another one
//! only while more are free than that user has, so that each next user still finds some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A number of permits of one kind.
#[derive(Debug)]
pub struct FairPermits {
    all: usize,
    /// For each of the owners.
    kept: usize,
    owners: [u32; 2],
    taken: Mutex<HashMap<u32, usize>>,
    given_back: Notify,
}

/// One permit; given back when it is dropped.
#[derive(Debug)]
pub struct FairPermit {
    permits: Arc<FairPermits>,
    uid: u32,
}

impl FairPermits {
    pub fn new(all: usize, kept: usize, daemon_uid: u32) -> Arc<Self> {
        let given_back = Notify::new();
        Arc::new(Self { all, kept, owners: [0, daemon_uid], taken: Mutex::default(), given_back })
    }

    /// A permit for this user, when there is one now.
    pub fn take(self: &Arc<Self>, uid: u32) -> Option<FairPermit> {
        let mut taken = self.taken();
        let has = |uid: u32| taken.get(&uid).copied().unwrap_or(0);

        let mut others: Vec<u32> = self.owners.into_iter().filter(|owner| *owner != uid).collect();
        others.dedup();
        let kept: usize =
            others.into_iter().map(|owner| self.kept.saturating_sub(has(owner))).sum();

        let free = self.all.saturating_sub(taken.values().sum::<usize>() + kept);
        let bound = if self.owners.contains(&uid) { 0 } else { has(uid) };
        if free <= bound {
            return None;
        }
        *taken.entry(uid).or_default() += 1;
        Some(FairPermit { permits: self.clone(), uid })
    }

    /// Waits for one.
    pub async fn wait(self: &Arc<Self>, uid: u32) -> FairPermit {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            // What is given back from here on is noticed.
            given_back.as_mut().enable();
            match self.take(uid) {
                Some(permit) => return permit,
                None => given_back.await,
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let mut taken = self.permits.taken();
        if let Some(count) = taken.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.uid);
            }
        }
        drop(taken);
        self.permits.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::{FairPermit, FairPermits};
    use std::sync::Arc;

    fn all_of(permits: &Arc<FairPermits>, uid: u32) -> Vec<FairPermit> {
        std::iter::from_fn(|| permits.take(uid)).collect()
    }

    #[test]
    fn nobody_takes_all_and_the_owners_always_find_theirs() {
        let permits = FairPermits::new(64, 8, 990);
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
        let permits = FairPermits::new(64, 8, 0);
        assert_eq!(all_of(&permits, 0).len(), 64);
        let permits = FairPermits::new(64, 8, 990);
        let daemon = all_of(&permits, 990);
        assert_eq!((daemon.len(), all_of(&permits, 0).len()), (56, 8));
    }

    #[tokio::test]
    async fn who_waits_is_next() {
        let permits = FairPermits::new(3, 1, 0);
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
