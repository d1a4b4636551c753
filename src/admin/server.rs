//! Connections: accept, bound, read, dispatch, answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use super::http::{AdminBody, Answer, Call, Params, Problem};
use super::io::Impatient;
use super::peer::Caller;
use super::route::{self, Op, Route};
use super::{
    Admin, deliveries, dlq, endpoints, events, explain, imports, leases, logs, metrics, replays, sources, status, tail,
};
use crate::model::limits;

const PATIENCE: Duration = Duration::from_millis(limits::ADMIN_TIMEOUT_MS);
/// Bytes of a body that holds settings or ids; only events and requests to be checked may be larger.
const SMALL_BODY: usize = 1 << 20;
/// Larger bodies in memory at a time: further ones wait for their turn.
static LARGE_BODIES: Semaphore = Semaphore::const_new(2);
/// How long answers under way may take once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/problem+json\r\n\r\n\
    {\"status\":503,\"detail\":\"too many admin connections: try again shortly\"}\n";

impl Admin {
    /// Answers on `listener` until `stop` turns true (or its sender is gone), then lets what is under way end.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS));
        let daemon_uid = super::socket::own_uid();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stop) => break,
            };
            while connections.try_join_next().is_some() {}
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the admin socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                let _ = stream.try_write(TOO_MANY);
                continue;
            };
            let (admin, stop) = (self.clone(), stop.clone());
            connections.spawn(async move {
                admin.connection(stream, daemon_uid, stop).await;
                drop(place);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    }

    async fn connection(self: Arc<Self>, stream: UnixStream, daemon_uid: u32, mut stop: watch::Receiver<bool>) {
        let caller = match stream.peer_cred() {
            Ok(credentials) => Caller::new(&credentials, daemon_uid),
            Err(error) => {
                tracing::warn!(%error, "a caller on the admin socket cannot be known: connection closed");
                return;
            }
        };
        let inner_stop = stop.clone();
        let service = service_fn(move |request| {
            let (admin, stop) = (self.clone(), inner_stop.clone());
            async move { Ok::<_, Infallible>(admin.answer(caller, request, stop).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
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
            tracing::debug!(%error, uid = caller.uid, "an admin connection ended early");
        }
    }

    async fn answer(
        self: &Arc<Self>,
        caller: Caller,
        request: Request<Incoming>,
        stop: watch::Receiver<bool>,
    ) -> Response<AdminBody> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let (route, arg) = match route::find(&method, &path) {
            Ok(found) => found,
            Err(problem) => return problem.into_response(),
        };
        // Consumers come and go all day: what they do stands in the log, and needs no line each.
        let consumes = matches!(route.op, Op::Lease | Op::LeaseAck | Op::LeaseReject | Op::LeaseExtend);
        let changes = route.method != "GET" && !consumes;
        if let Err(problem) = permit(&caller, route) {
            tracing::warn!(target: "audit", uid = caller.uid, pid = caller.pid, %method, path, "refused");
            return problem.into_response();
        }
        let answer = self.read_and_do(route.op, caller, arg, request, stop).await;
        let response = match answer {
            Ok(answer) => answer.into_response(),
            Err(problem) => problem.into_response(),
        };
        if changes {
            let status = response.status().as_u16();
            tracing::info!(target: "audit", uid = caller.uid, pid = caller.pid, %method, path, status, "operator");
        }
        response
    }

    async fn read_and_do(
        self: &Arc<Self>,
        op: Op,
        caller: Caller,
        arg: String,
        request: Request<Incoming>,
        stop: watch::Receiver<bool>,
    ) -> Result<Answer, Problem> {
        let params = Params::parse(request.uri().query().unwrap_or_default())?;
        let limit =
            if matches!(op, Op::EventSend | Op::SourceCheck | Op::LogImport) { limits::ADMIN_BODY } else { SMALL_BODY };
        // Held until the request is done with, body and all.
        let _turn = large_turn(&request, limit).await?;
        let body = read_body(request, limit).await?;
        self.dispatch(op, Call { caller, arg, params, body, stop }).await
    }

    async fn dispatch(self: &Arc<Self>, op: Op, call: Call) -> Result<Answer, Problem> {
        match op {
            Op::Status => status::show(self, call).await,
            Op::SourceList => sources::list(self, call),
            Op::SourceCreate => sources::create(self, call).await,
            Op::SourceShow => sources::show(self, call),
            Op::SourceUpdate => sources::update(self, call).await,
            Op::SourceDelete => sources::delete(self, call).await,
            Op::SourceRotate => sources::rotate(self, call).await,
            Op::SourceCheck => sources::check(self, call).await,
            Op::EndpointList => endpoints::list(self, call).await,
            Op::EndpointCreate => endpoints::create(self, call).await,
            Op::EndpointShow => endpoints::show(self, call).await,
            Op::EndpointUpdate => endpoints::update(self, call).await,
            Op::EndpointDelete => endpoints::delete(self, call).await,
            Op::EndpointRotate => endpoints::rotate(self, call).await,
            Op::EndpointHold => endpoints::hold(self, call).await,
            Op::EndpointRelease => endpoints::release(self, call).await,
            Op::EndpointTest => endpoints::test(self, call).await,
            Op::EventList => events::list(self, call),
            Op::EventShow => events::show(self, call).await,
            Op::EventSend => events::send(self, call).await,
            Op::DeliveryList => deliveries::list(self, call),
            Op::DeliveryShow => deliveries::show(self, call).await,
            Op::DeliveryExplain => explain::show(self, call).await,
            Op::DeliveryRetry => deliveries::retry(self, call).await,
            Op::DeliveryCancel => deliveries::cancel(self, call).await,
            Op::DlqList => dlq::list(self, call),
            Op::DlqShow => dlq::show(self, call).await,
            Op::DlqRetry => dlq::retry(self, call).await,
            Op::DlqDiscard => dlq::discard(self, call).await,
            Op::ReplayList => replays::list(self, call).await,
            Op::ReplayStart => replays::start(self, call).await,
            Op::Tail => tail::tail(self, call),
            Op::LogStat => logs::stat(self, call).await,
            Op::LogVerify => logs::verify(self, call),
            Op::LogHead => logs::head(self, call).await,
            Op::LogSegment => logs::segment(self, call),
            Op::LogImport => imports::import(self, call).await,
            Op::Lease => leases::lease(self, call).await,
            Op::LeaseAck => leases::ack(self, call).await,
            Op::LeaseReject => leases::reject(self, call).await,
            Op::LeaseExtend => leases::extend(self, call).await,
            Op::OpenApi => Ok(Answer::Text("application/json", include_str!("openapi.json").to_owned())),
            Op::Metrics => metrics::show(self, call).await,
        }
    }
}

/// Whether this caller may do this.
pub(super) fn permit(caller: &Caller, route: &Route) -> Result<(), Problem> {
    if caller.may(route.need) {
        return Ok(());
    }
    let (uid, method, path) = (caller.uid, route.method, route.path);
    let detail =
        format!("user {uid} may read and operate; {method} {path} is for root and the daemon's own user: use sudo");
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Waits until the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// A place among [`LARGE_BODIES`], when the body may need one.
async fn large_turn(request: &Request<Incoming>, limit: usize) -> Result<Option<SemaphorePermit<'static>>, Problem> {
    let small = request.body().size_hint().upper().is_some_and(|most| most <= SMALL_BODY as u64);
    if small || limit <= SMALL_BODY {
        return Ok(None);
    }
    match tokio::time::timeout(PATIENCE, LARGE_BODIES.acquire()).await {
        Ok(Ok(turn)) => Ok(Some(turn)),
        _ => Err(Problem::from(crate::queue::Refusal::Busy)),
    }
}

/// The whole body, within its limit and its time.
async fn read_body(request: Request<Incoming>, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than the {limit} bytes that are taken here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    // Told at once when the head says so, without reading any of it.
    if request.body().size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let reading = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::bad(format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}
