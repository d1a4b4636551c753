//! How many messages of a route may be under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// After the first is free, others are about to be: waits so long for them, for requests of several
/// cost less than several requests.
const GATHER: Duration = Duration::from_millis(2);

/// The permits of one route.
pub struct Permits {
    free: Arc<Semaphore>,
    all: u32,
}

impl Permits {
    pub fn new(all: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits for permits: at least one, at most `most`.
    pub async fn take(&self, most: u32) -> Option<OwnedSemaphorePermit> {
        let mut taken = self.free.clone().acquire_owned().await.ok()?;
        let enough = (self.all / 4).min(most).max(1);
        let missing = u64::from(enough).saturating_sub(taken.num_permits() as u64);
        if let Ok(missing @ 1..) = u32::try_from(missing) {
            let more = self.free.clone().acquire_many_owned(missing);
            if let Ok(Ok(more)) = tokio::time::timeout(GATHER, more).await {
                taken.merge(more);
            }
        }

        let left = (most as usize).saturating_sub(taken.num_permits());
        let left = left.min(self.free.available_permits());
        if let Ok(more) = self.free.clone().try_acquire_many_owned(u32::try_from(left).unwrap_or(0))
        {
            taken.merge(more);
        }
        Some(taken)
    }
}

/// How many messages these permits are for.
pub fn count(permits: &OwnedSemaphorePermit) -> u32 {
    u32::try_from(permits.num_permits()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Permits, count};

    #[tokio::test]
    async fn nobody_gets_more_than_there_are() {
        let permits = Permits::new(10);
        let first = permits.take(6).await.expect("open");
        let second = permits.take(6).await.expect("open");
        assert_eq!((count(&first), count(&second)), (6, 4));
        let waiting = permits.take(6);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("none is free"),
            () = std::future::ready(()) => {}
        }
        drop(second);
        assert_eq!(count(&waiting.await.expect("open")), 4);
    }
}
