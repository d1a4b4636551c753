//! The gate before all accept loops. It is open, but for the moment in which the daemon looks
//! whether it can end because nobody needs it: what comes meanwhile waits in the listening sockets.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

/// Lets accept loops accept, and counts.
#[derive(Debug)]
pub struct AcceptGate {
    closed: watch::Sender<bool>,
    /// Loops that wait until it is open again.
    waiting: watch::Sender<usize>,
    accepted: AtomicU64,
    inside: AtomicUsize,
}

impl Default for AcceptGate {
    fn default() -> Self {
        Self {
            closed: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
            accepted: AtomicU64::new(0),
            inside: AtomicUsize::new(0),
        }
    }
}

impl AcceptGate {
    /// Waits for the next connection. When the gate is closed first, waits until it is open again:
    /// `None`. Dropped before it ends it has accepted nothing, when `next` has not.
    pub async fn accept<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => {}
            accepted = next => return Some(accepted),
        }

        let _waits = Waits::begin(&self.waiting);
        let _ = closed.wait_for(|closed| !*closed).await;
        None
    }

    /// A connection was accepted. Counts as open until what is returned is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Entered {
        self.accepted.fetch_add(1, Ordering::AcqRel);
        self.inside.fetch_add(1, Ordering::AcqRel);
        Entered(self.clone())
    }

    /// How many connections are open now, and how many were accepted since the start.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        (self.inside.load(Ordering::Acquire), self.accepted.load(Ordering::Acquire))
    }

    /// Closes it; returns when so many loops wait before it.
    pub async fn close(&self, loops: usize) {
        self.closed.send_replace(true);
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting >= loops).await;
    }

    pub fn open(&self) {
        self.closed.send_replace(false);
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Entered(Arc<AcceptGate>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A loop that waits.
struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use super::AcceptGate;

    #[tokio::test]
    async fn a_closed_gate_lets_nobody_in_and_knows_when_all_wait() {
        let gate = Arc::new(AcceptGate::default());
        assert_eq!(gate.accept(ready(7)).await, Some(7));
        let inside = gate.enter();
        assert_eq!(gate.counts(), (1, 1));

        let outside = gate.clone();
        let waits = tokio::spawn(async move { outside.accept(pending::<()>()).await });
        gate.close(1).await;
        gate.open();
        assert_eq!(waits.await.expect("it ends"), None, "it has to ask again");

        drop(inside);
        assert_eq!(gate.counts(), (0, 1));
    }

    #[tokio::test]
    async fn a_connection_that_waits_is_not_accepted_while_the_gate_is_closed() {
        let gate = Arc::new(AcceptGate::default());
        gate.close(0).await;
        let outside = gate.clone();
        let waits = tokio::spawn(async move { outside.accept(ready(())).await });
        gate.close(1).await;
        gate.open();
        assert_eq!(waits.await.expect("it ends"), None);
    }
}
