//! One connection: HTTP/1.1 or HTTP/2, told apart by its first bytes, and its pulse.
//!
//! A connection lives while requests are in service. Without one it is *quiet*: its client sends a head slowly or
//! not at all, has nothing to say, or does not read its answers. After `head_timeout_ms` of quiet it is told to
//! end (an idle one does so cleanly, HTTP/2 gets a GOAWAY, an HTTP/1 head that has begun is refused with 408), and
//! shortly after that it is cut. One rule bounds all
//! slow clients, over both protocols and before it is known which it is (hyper's own head timeout covers
//! only HTTP/1 heads, and arms a timer for every request). The time in service is bounded by the body's
//! deadline and by the scheduler.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::guard::{Guard, Guarded};
use super::route::Peer;
use super::{Ingest, IngestLimits, bare, request};
use crate::model::limits;

pub(super) type Http = auto::Builder<TokioExecutor>;

/// The quiet time is measured in so many ticks.
const TICKS: u32 = 4;
/// How long a connection that was told to end may stay quiet before it is cut.
const GRACE: Duration = Duration::from_millis(500);

// hyper keeps this many on the stack; another number would make it allocate for every request.
const _: () = assert!(limits::HEADERS == 100, "hyper's own limit of header fields, answered 431");

/// How both protocols are spoken.
pub(super) fn http(ingest: &IngestLimits) -> Http {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None) // the pulse covers it
        .max_buf_size(limits::HEAD_BYTES)
        // A sender that closes its side after the request still gets its answer.
        .half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .max_header_list_size(H2_HEAD_BYTES)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .max_send_buf_size(16 << 10)
        .max_frame_size(16 << 10)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(256 << 10)
        .keep_alive_interval(Duration::from_millis(ingest.head_timeout_ms))
        .keep_alive_timeout(Duration::from_millis(ingest.head_timeout_ms));
    http
}

/// Bytes of one HTTP/2 head: smaller than HTTP/1's, because one connection may have many in memory.
const H2_HEAD_BYTES: u32 = 32 << 10;

/// Whether requests are in service, as the connection's task sees it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    in_service: AtomicU32,
    /// Grows whenever a request begins or ends.
    beats: AtomicU32,
    /// A head of HTTP/1 has begun and is not complete.
    in_head: AtomicBool,
    /// It took too long, and is to be refused.
    too_slow: AtomicBool,
}

impl Pulse {
    pub fn beats(&self) -> u32 {
        self.beats.load(Ordering::Relaxed)
    }

    pub fn set_in_head(&self, in_head: bool) {
        self.in_head.store(in_head, Ordering::Relaxed);
    }

    pub fn is_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Relaxed)
    }

    /// Has the head that has begun refused. False when there is none.
    fn refuse_head(&self) -> bool {
        let in_head = self.in_head.load(Ordering::Relaxed);
        self.too_slow.store(in_head, Ordering::Relaxed);
        in_head
    }

    pub fn is_busy(&self) -> bool {
        self.in_service.load(Ordering::Relaxed) > 0
    }
}

/// A request in service.
struct InService(Arc<Line>);

impl InService {
    fn begin(line: Arc<Line>) -> Self {
        line.pulse.in_service.fetch_add(1, Ordering::Relaxed);
        line.pulse.beats.fetch_add(1, Ordering::Relaxed);
        Self(line)
    }
}

impl Drop for InService {
    fn drop(&mut self) {
        self.0.pulse.beats.fetch_add(1, Ordering::Relaxed);
        self.0.pulse.in_service.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the requests of one connection share.
struct Line {
    ingest: Arc<Ingest>,
    peer: Peer,
    pulse: Arc<Pulse>,
}

impl Line {
    /// What hyper refused itself is counted like everything else that is refused.
    fn ended_with(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        tracing::debug!(peer = %self.peer.text, error, "a connection ended with an error");
        if let Some(error) = error.downcast_ref::<hyper::Error>().filter(|error| error.is_parse()) {
            let kind = bare::kind(error, self.pulse.is_too_slow());
            let reason = format!("{}: {error}", self.peer.text);
            self.ingest.refusals.count("", kind, &reason, (self.ingest.clock)());
        }
    }
}

/// Counts how long a connection has been quiet.
#[derive(Default)]
struct Quiet {
    beats: u32,
    ticks: u32,
}

impl Quiet {
    fn tick(&mut self, pulse: &Pulse) -> u32 {
        let beats = pulse.beats();
        let busy = pulse.is_busy() || beats != self.beats;
        self.beats = beats;
        self.ticks = if busy { 0 } else { self.ticks + 1 };
        self.ticks
    }
}

/// Serves one connection to its end. `_held` is given back then.
pub(super) async fn run<I, H>(ingest: Arc<Ingest>, io: I, peer: Peer, mut stop: watch::Receiver<bool>, _held: H)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let line = Arc::new(Line { ingest: ingest.clone(), peer, pulse: Arc::default() });
    let io = Guarded::new(io, Guard::new(line.pulse.clone()));
    let of_requests = line.clone();
    let service = service_fn(move |request| {
        let in_service = InService::begin(of_requests.clone());
        async move {
            let line = &in_service.0;
            Ok::<_, Infallible>(request::handle(&line.ingest, &line.peer, request).await)
        }
    });
    let mut connection = pin!(ingest.http.serve_connection(TokioIo::new(io), service));
    let mut period = Duration::from_millis(ingest.limits.head_timeout_ms) / TICKS;
    let mut tick = pin!(tokio::time::sleep(period));
    let mut quiet = Quiet::default();
    let mut ending = false;
    loop {
        let mut stopping = false;
        let told_to_end = tokio::select! {
            biased;
            // First, so that a connection that is always ready cannot keep its own pulse from being felt.
            () = tick.as_mut() => quiet.tick(&line.pulse) >= TICKS,
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    line.ended_with(&*error);
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !ending => {
                stopping = true;
                true
            }
        };
        if told_to_end && ending {
            tracing::debug!(peer = %line.peer.text, "a quiet connection was cut");
            return;
        }
        if told_to_end {
            ending = true;
            // Not both: a connection that was told to end closes without looking at what it reads.
            if stopping || !line.pulse.refuse_head() {
                connection.as_mut().graceful_shutdown();
            }
            quiet = Quiet::default();
            period = GRACE / TICKS;
        }
        #[expect(clippy::disallowed_methods, reason = "the connection's own idle timer; it decides nothing remembered")]
        let next = tokio::time::Instant::now() + period;
        tick.as_mut().reset(next);
    }
}
