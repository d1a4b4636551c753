//! The accept loop of one listener.
//!
//! Life: accepts until `stop` is true (or its sender is gone), closes the listener, lets the
//! connections finish what is in flight, and returns when the last one has ended. Each connection
//! bounds itself, see `connection`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::connections::TooManyConnections;
use super::listen::{Incoming, Listener, Preamble};
use super::problem::TOO_MANY_CONNECTIONS;
use super::route::Peer;
use super::service::Ingest;
use super::{connection, preamble};
use crate::model::limits;
use crate::model::share::Share;

/// After `accept()` failed because descriptors or memory were short: long enough for some to come
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Ingest {
    /// Serves `listener` until `stop` is true, and returns when all its connections have ended.
    pub async fn serve(self: Arc<Self>, listener: Listener, mut stop: watch::Receiver<bool>) {
        // Nothing is ever sent here: the receiver ends when the last connection has dropped its
        // sender.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let for_connections = stop.clone();
        let gate = self.handle.health().gate.clone();

        let mut warned_at = None;

        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = gate.accept(listener.accept()) => accepted,
            };
            let Some(accepted) = accepted else { continue };

            match accepted {
                Ok(incoming) => {
                    self.clone().admit(incoming, for_connections.clone(), alive.clone());
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    let now = (self.clock)().mono_ms;
                    if warned_at.is_none_or(|at| now.saturating_sub(at) >= limits::NOTICE_GAP_MS) {
                        warned_at = Some(now);
                        let listener = listener.address();
                        tracing::warn!(
                            %error,
                            listener,
                            "cannot accept connections; trying again ten times a second"
                        );
                    }
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
    fn admit(
        self: Arc<Self>,
        incoming: Incoming,
        stop: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) {
        let alive = (alive, self.handle.health().gate.enter());
        let trusted = self.trusted();
        let peer = match &incoming {
            Incoming::Tcp(_, address, _) => Peer::tcp(*address),
            Incoming::Unix(_) => Peer::unix(),
        };
        let peer = Peer { trusted: trusted.trusts(peer.ip).then_some(trusted), ..peer };

        let slot = match self.connections.take(peer.holder()) {
            Ok(slot) => slot,
            Err(full) => {
                self.count_refused_connection(&peer, full);
                refuse(&incoming);
                return;
            }
        };

        match incoming {
            Incoming::Tcp(stream, _, expected) => {
                // Answers are small and complete: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                tokio::spawn(preamble::run(self, stream, peer, expected, stop, slot, alive));
            }
            Incoming::Unix(stream) => {
                tokio::spawn(connection::run(self, stream, peer, stop, (slot, alive)));
            }
        }
    }

    fn count_refused_connection(&self, peer: &Peer, full: TooManyConnections) {
        self.handle.shares().note(Share::Connections, full.of(peer.holder()));
        self.refusals.count("", "connections", &format!("{}: {full}", peer.text), (self.clock)());
    }
}

fn refuse(incoming: &Incoming) {
    // A peer that cannot take these bytes at once gets none.
    let _ = match incoming {
        // A client that expects a TLS handshake could not read them.
        Incoming::Tcp(_, _, Preamble { tls: true, .. }) => return,
        Incoming::Tcp(stream, ..) => stream.try_write(TOO_MANY_CONNECTIONS),
        Incoming::Unix(stream) => stream.try_write(TOO_MANY_CONNECTIONS),
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
