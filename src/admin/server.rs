//! Connections: accept, bound, read, dispatch, answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use super::fair_permits::FairPermits;
use super::http::{AdminBody, ApiRequest, ApiResponse, Problem, RequestParams};
use super::io::Impatient;
use super::peer::{Caller, Permission};
use super::route::{self, Op, Route};
use super::{
    Admin, check_request, deliveries, delivery_commands, dlq, endpoints, events, explain, imports,
    leases, logs, metrics, replays, sources, status, tail,
};
use crate::model::limits;
use crate::model::share::{Share, ShareHolder};

const PATIENCE: Duration = Duration::from_millis(limits::ADMIN_TIMEOUT_MS);
/// Bytes of a body that holds settings or ids; only events and requests to be checked may be
/// larger.
const SMALL_BODY: usize = 1 << 20;
/// Larger bodies in memory at a time: further ones wait for their turn, and nobody's for those of
/// others.
static LARGE_BODIES: Semaphore = Semaphore::const_new(1);
static LARGE_BODIES_OF_OWNERS: Semaphore = Semaphore::const_new(1);
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
        let daemon_uid = super::socket::own_uid();
        let places = FairPermits::new(limits::ADMIN_CONNECTIONS, limits::ADMIN_KEPT, daemon_uid);
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
            let caller = match stream.peer_cred() {
                Ok(credentials) => Caller::new(&credentials, daemon_uid),
                Err(error) => {
                    tracing::warn!(%error, "a caller on the admin socket cannot be known: \
                                            connection closed");
                    continue;
                }
            };
            let Some(place) = places.take(caller.uid) else {
                self.handle.shares().note(Share::AdminConnections, ShareHolder::User(caller.uid));
                let _ = stream.try_write(TOO_MANY);
                continue;
            };
            let (admin, stop) = (self.for_caller(caller), stop.clone());
            connections.spawn(async move {
                admin.connection(stream, stop).await;
                drop(place);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(FAREWELL, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }

    async fn connection(self: Arc<Self>, stream: UnixStream, mut stop: watch::Receiver<bool>) {
        let caller = self.context.caller;
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
        let (head, body) = request.into_parts();
        let mut body = Sent { body, waits: head.headers.contains_key(EXPECT) };
        let response = self.answer_to(caller, &head, &mut body, stop).await;
        body.drain();
        response
    }

    async fn answer_to(
        self: &Arc<Self>,
        caller: Caller,
        head: &Parts,
        body: &mut Sent,
        stop: watch::Receiver<bool>,
    ) -> Response<AdminBody> {
        let method = head.method.clone();
        let path = head.uri.path().to_owned();
        let (route, arg) = match route::find(&method, &path) {
            Ok(found) => found,
            Err(problem) => return problem.into_response(),
        };
        // Consumers come and go all day: what they do stands in the log, and needs no line each.
        let consumes =
            matches!(route.op, Op::Lease | Op::LeaseAck | Op::LeaseReject | Op::LeaseExtend);
        let changes = route.method != "GET" && !consumes;
        if let Err(problem) = permit(&caller, route) {
            tracing::warn!(target: "audit", uid = caller.uid, pid = caller.pid, %method, path, "refused");
            return problem.into_response();
        }
        let answer = self.read_and_do(route.op, caller, arg, (head, body), stop).await;
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
        (head, body): (&Parts, &mut Sent),
        stop: watch::Receiver<bool>,
    ) -> Result<ApiResponse, Problem> {
        let params = RequestParams::parse(head.uri.query().unwrap_or_default())?;
        let limit = if matches!(op, Op::EventSend | Op::SourceCheck | Op::LogImport) {
            limits::ADMIN_BODY
        } else {
            SMALL_BODY
        };
        // Held until the request is done with, body and all.
        let _turn = large_turn(&caller, &body.body, limit).await?;
        let body = body.read(limit).await?;
        self.dispatch(op, ApiRequest { caller, arg, params, body, stop }).await
    }

    async fn dispatch(
        self: &Arc<Self>,
        op: Op,
        request: ApiRequest,
    ) -> Result<ApiResponse, Problem> {
        match op {
            Op::Status => status::show(self, request).await,
            Op::SourceList => sources::list(self, request),
            Op::SourceCreate => sources::create(self, request).await,
            Op::SourceShow => sources::show(self, request),
            Op::SourceUpdate => sources::update(self, request).await,
            Op::SourceDelete => sources::delete(self, request).await,
            Op::SourceRotate => sources::rotate(self, request).await,
            Op::SourceCheck => check_request::check(self, request).await,
            Op::EndpointList => endpoints::list(self, request).await,
            Op::EndpointCreate => endpoints::create(self, request).await,
            Op::EndpointShow => endpoints::show(self, request).await,
            Op::EndpointUpdate => endpoints::update(self, request).await,
            Op::EndpointDelete => endpoints::delete(self, request).await,
            Op::EndpointRotate => endpoints::rotate(self, request).await,
            Op::EndpointHold => endpoints::hold(self, request).await,
            Op::EndpointRelease => endpoints::release(self, request).await,
            Op::EndpointTest => endpoints::test(self, request).await,
            Op::EventList => events::list(self, request),
            Op::EventShow => events::show(self, request).await,
            Op::EventSend => events::send(self, request).await,
            Op::DeliveryList => deliveries::list(self, request),
            Op::DeliveryShow => deliveries::show(self, request).await,
            Op::DeliveryExplain => explain::show(self, request).await,
            Op::DeliveryRetry => delivery_commands::retry(self, request).await,
            Op::DeliveryCancel => delivery_commands::cancel(self, request).await,
            Op::DlqList => dlq::list(self, request),
            Op::DlqShow => dlq::show(self, request).await,
            Op::DlqRetry => dlq::retry(self, request).await,
            Op::DlqDiscard => dlq::discard(self, request).await,
            Op::ReplayList => replays::list(self, request).await,
            Op::ReplayStart => replays::start(self, request).await,
            Op::Tail => tail::tail(self, request),
            Op::LogStat => logs::stat(self, request).await,
            Op::LogVerify => logs::verify(self, request),
            Op::LogHead => logs::head(self, request).await,
            Op::LogSegment => logs::segment(self, request),
            Op::LogImport => imports::import(self, request).await,
            Op::Lease => leases::lease(self, request).await,
            Op::LeaseAck => leases::ack(self, request).await,
            Op::LeaseReject => leases::reject(self, request).await,
            Op::LeaseExtend => leases::extend(self, request).await,
            Op::OpenApi => {
                Ok(ApiResponse::Text("application/json", include_str!("openapi.json").into()))
            }
            Op::Metrics => metrics::show(self, request).await,
        }
    }
}

/// Whether this caller may do this.
pub(super) fn permit(caller: &Caller, route: &Route) -> Result<(), Problem> {
    if caller.may(route.need) {
        return Ok(());
    }
    let (uid, method, path) = (caller.uid, route.method, route.path);
    let detail = format!(
        "user {uid} may read and operate; {method} {path} is for root and the daemon's own user: \
         use sudo"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Waits until the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// A place for a large body, when it may be one.
async fn large_turn(
    caller: &Caller,
    body: &Incoming,
    limit: usize,
) -> Result<Option<SemaphorePermit<'static>>, Problem> {
    let small = body.size_hint().upper().is_some_and(|most| most <= SMALL_BODY as u64);
    if small || limit <= SMALL_BODY {
        return Ok(None);
    }
    let turns = if caller.may(Permission::Own) { &LARGE_BODIES_OF_OWNERS } else { &LARGE_BODIES };
    match tokio::time::timeout(PATIENCE, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(Some(turn)),
        _ => Err(Problem::from(crate::queue::Refusal::Busy)),
    }
}

/// The body of a request.
struct Sent {
    body: Incoming,
    /// It is sent only once it is asked for (`Expect: 100-continue`), which it was not yet.
    waits: bool,
}

impl Sent {
    /// The whole body, within its limit and its time.
    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let too_large = || {
            let detail = format!("the body is larger than the {limit} bytes that are taken here");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        };
        // Told at once when the head says so, without reading any of it.
        if self.body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        self.waits = false;
        let reading = Limited::new(&mut self.body, limit).collect();
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Problem::bad(format!("the body broke off: {error}"))),
            Err(_) => {
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))
            }
        }
    }

    /// Reads on what is left, beside the answer: whoever still sends could not read it otherwise,
    /// for the connection would break under their hands.
    fn drain(mut self) {
        if self.waits || self.body.is_end_stream() {
            return;
        }
        tokio::spawn(async move {
            let mut left = limits::ADMIN_DRAINED;
            let reading = async {
                while let Some(Ok(frame)) = self.body.frame().await {
                    left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    if left == 0 {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(PATIENCE, reading).await;
        });
    }
}
