//! Connections: accepted within the permits, served, and ended when the daemon stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answer::answer;
use super::impatient::{Impatient, PATIENCE};
use crate::admin::callers::peer::{Caller, own_uid};
use crate::admin::context::Admin;
use crate::admin::http::request::stopped;
use crate::model::limits;
use crate::model::share::{Share, ShareHolder};
use crate::permits::{FairPermit, FairPermits};

/// How long answers under way may take once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: \
                         close\r\ncontent-type: \
                         application/problem+json\r\n\r\n{\"status\":503,\"detail\":\"too many \
                         admin connections of this user: end a tail or a consumer, or try \
                         again\"}\n";

impl Admin {
    /// Answers on `listener` until `stop` turns true (or its sender is gone), then lets what is
    /// under way end.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
        let permits =
            FairPermits::new(limits::ADMIN_CONNECTIONS, limits::ADMIN_RESERVED, &[0, own_uid()]);
        let mut connections = JoinSet::new();
        let gate = self.handle.health().gate.clone();

        loop {
            let accepted = tokio::select! {
                accepted = gate.accept(listener.accept()) => accepted,
                () = stopped(&mut stop) => break,
            };
            let Some(accepted) = accepted else { continue };
            while connections.try_join_next().is_some() {}

            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the admin socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let entered = gate.enter();
            if let Some((caller, permit)) = self.admit(&stream, &permits) {
                let (admin, stop) = (self.for_caller(caller), stop.clone());
                connections.spawn(async move {
                    admin.connection(stream, stop).await;
                    drop((permit, entered));
                });
            }
        }

        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, ended).await;
    }

    /// Who is at the other end, with a permit for the connection. Without both it is closed.
    fn admit(
        &self,
        stream: &UnixStream,
        permits: &Arc<FairPermits<u32>>,
    ) -> Option<(Caller, FairPermit<u32>)> {
        let caller = match stream.peer_cred() {
            Ok(credentials) => Caller::new(&credentials, own_uid()),
            Err(error) => {
                tracing::warn!(%error, "an admin connection was closed, because its user cannot \
                                        be found out");
                return None;
            }
        };

        let permit = permits.take(caller.uid);
        if permit.is_none() {
            self.handle.shares().note(Share::AdminConnections, ShareHolder::User(caller.uid));
            let _ = stream.try_write(TOO_MANY);
        }
        permit.map(|permit| (caller, permit))
    }

    /// Serves one connection of its caller until either side ends it.
    pub(in crate::admin) async fn connection(
        self: Arc<Self>,
        stream: UnixStream,
        mut stop: watch::Receiver<bool>,
    ) {
        let uid = self.context.caller.uid;
        let inner_stop = stop.clone();
        let service = service_fn(move |request| {
            let (admin, stop) = (self.clone(), inner_stop.clone());
            async move { Ok::<_, Infallible>(answer(&admin, request, stop).await) }
        });

        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(limits::HEAD_BYTES)
            .serve_connection(TokioIo::new(Impatient::new(stream, PATIENCE)), service);
        let mut connection = std::pin::pin!(connection);

        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, uid, "an admin connection ended early");
        }
    }
}
