//! The memory in which large bodies are verified.
//!
//! A proof takes up to three times what it reads. Bodies over [`limits::PROOF_SMALL`] share
//! [`limits::PROOF_BYTES`], and of one address, and of one source, one is verified at a time: the
//! next one waits for it, and does not make others wait. Smaller ones have
//! [`limits::PROOF_BYTES_RESERVED`] to themselves, so that no large one makes them wait. Bodies up
//! to [`limits::SMALL_BODY`] need no permit.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::budget::Holder;
use super::holder_permits::{HolderPermit, HolderPermits};
use crate::model::limits;
use crate::model::share::ShareHolder;

/// Longer than any proof waits: other proofs end within milliseconds.
const WITHIN: Duration = Duration::from_secs(60);

/// Memory in KiB, and the permits of large bodies.
#[derive(Debug)]
pub(super) struct ProofMemory {
    large: Semaphore,
    small: Semaphore,
    permits: HolderPermits,
}

/// A body may be verified for as long as this is held.
#[derive(Debug)]
pub(super) struct ProofPermit<'a> {
    #[expect(dead_code, reason = "held until it is dropped")]
    memory: Option<SemaphorePermit<'a>>,
    #[expect(dead_code, reason = "held until it is dropped")]
    permits: [Option<HolderPermit>; 2],
}

impl Default for ProofMemory {
    fn default() -> Self {
        Self {
            large: Semaphore::new(limits::PROOF_BYTES >> 10),
            small: Semaphore::new(limits::PROOF_BYTES_RESERVED >> 10),
            permits: HolderPermits::new(1, WITHIN),
        }
    }
}

impl ProofMemory {
    /// How many had to wait for a turn of their address or source.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Waits until a body of this length may be verified for these holders. Also returns whose
    /// share it had to wait for.
    pub async fn wait(
        &self,
        holders: [Option<Holder>; 2],
        length: usize,
    ) -> (ProofPermit<'_>, Option<ShareHolder>) {
        let is_large = length > limits::PROOF_SMALL;
        let mut full = None;
        let mut permits = [None, None];

        // Always the address before the source, so that no two wait for each other.
        for (permit, holder) in permits.iter_mut().zip(holders).filter(|_| is_large) {
            let (taken, waited) = self.permits.wait(holder).await;
            if waited && full.is_none() {
                full = holder.map(ShareHolder::from);
            }
            *permit = taken;
        }

        let memory = if is_large { &self.large } else { &self.small };
        let kib = u32::try_from(3 * (length >> 10)).unwrap_or(u32::MAX);
        if let Ok(permit) = memory.try_acquire_many(kib) {
            return (ProofPermit { memory: Some(permit), permits }, full);
        }

        // The semaphore is never closed.
        let permit = memory.acquire_many(kib).await.ok();
        (ProofPermit { memory: permit, permits }, full.or(Some(ShareHolder::All)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::{ProofMemory, ProofPermit};
    use crate::ingest::budget::Holder;
    use crate::model::limits;
    use crate::model::share::ShareHolder;

    fn peer(n: u32) -> Option<Holder> {
        Some(Holder::peer(std::net::Ipv4Addr::from_bits(n).into()))
    }

    fn source(n: u32) -> Option<Holder> {
        Some(Holder::Source(n))
    }

    /// The permit that is given at once; `None` when it waits.
    fn now<'a>(
        proofs: &'a ProofMemory,
        holders: [Option<Holder>; 2],
        length: usize,
    ) -> Option<(ProofPermit<'a>, Option<ShareHolder>)> {
        let mut wait = Box::pin(proofs.wait(holders, length));
        match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn one_address_and_one_source_have_one_large_body_checked_at_a_time() {
        let proofs = ProofMemory::default();
        let large = 2 << 20;
        let (first, full) = now(&proofs, [peer(1), source(1)], large).expect("at once");
        assert_eq!(full, None);
        assert!(now(&proofs, [peer(1), source(2)], large).is_none(), "the same address");
        assert!(now(&proofs, [peer(2), source(1)], large).is_none(), "the same source");
        assert!(now(&proofs, [peer(2), source(2)], large).is_some(), "neither");

        let next = proofs.wait([peer(1), source(1)], large);
        let ((_, full), ()) = tokio::join!(next, async { drop(first) });
        assert_eq!(full, peer(1).map(ShareHolder::from));
    }

    #[tokio::test]
    async fn the_largest_bodies_leave_smaller_ones_their_memory() {
        let proofs = ProofMemory::default();
        let largest = usize::try_from(limits::MAX_BODY).expect("fits");
        let _all = now(&proofs, [peer(1), source(1)], largest).expect("at once");
        assert!(now(&proofs, [peer(2), source(2)], largest).is_none(), "there is memory for one");
        let smaller = [3, 4].map(|n| now(&proofs, [peer(n), source(n)], limits::PROOF_SMALL));
        assert!(smaller.iter().all(Option::is_some));
    }
}
