//! The accept loop of one listener.
//!
//! Life: accepts until `stop` says true (or its sender is gone), closes the listener, lets the connections finish
//! what is in flight, and returns when the last one has ended. Each connection bounds itself, see `connection`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::listen::{Below, Incoming, Listener};
use super::route::Peer;
use super::{Ingest, connection, prelude};

/// After `accept()` failed for want of descriptors or memory: long enough for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection too many is told, if it can be told without waiting.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: application/problem+json\r\ncontent-length: 110\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections; try later\"}  ";

/// One connection's share of the limit; given back when it goes.
pub(super) struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(connections: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let more = |open| (open < limit).then_some(open + 1);
        connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(connections.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Ingest {
    /// Serves `listener` until `stop` says true, and returns when all its connections have ended.
    pub async fn serve(self: Arc<Self>, listener: Listener, mut stop: watch::Receiver<bool>) {
        // Nothing is ever sent here: the receiver ends when the last connection has dropped its sender.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let for_connections = stop.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(incoming) => self.clone().admit(incoming, for_connections.clone(), alive.clone()),
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted")
                }
                Err(error) => {
                    tracing::warn!(%error, listener = listener.address(), "cannot accept connections; trying again in 100 ms");
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        drop(listener);
        drop(alive);
        let _ = ended.recv().await;
    }

    /// Starts the task of one connection, or refuses it at once when there are too many.
    fn admit(self: Arc<Self>, incoming: Incoming, stop: watch::Receiver<bool>, alive: mpsc::Sender<()>) {
        let Some(slot) = Slot::take(&self.connections, self.limits.connections) else {
            self.refusals.count("", "connections", "too many connections at a time", (self.clock)());
            refuse(&incoming);
            return;
        };
        let held = (slot, alive);
        match incoming {
            Incoming::Tcp(stream, address, below) => {
                // Answers are small and complete: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                tokio::spawn(prelude::run(self, stream, address, below, stop, held));
            }
            Incoming::Unix(stream) => {
                let trusted = self.trusted();
                let peer = Peer { trusted: trusted.trusts(None).then_some(trusted), ..Peer::unix() };
                tokio::spawn(connection::run(self, stream, peer, stop, held));
            }
        }
    }
}

fn refuse(incoming: &Incoming) {
    // A peer that cannot take these bytes at once gets none.
    let _ = match incoming {
        // In the midst of a handshake these bytes would be none.
        Incoming::Tcp(_, _, Below { tls: true, .. }) => return,
        Incoming::Tcp(stream, ..) => stream.try_write(FULL),
        Incoming::Unix(stream) => stream.try_write(FULL),
    };
}

/// Whether an error of `accept()` is that of the connection, not of the listener or the process.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
