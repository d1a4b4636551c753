//! One connection: HTTP/1.1 or HTTP/2, distinguished by its first bytes.
//!
//! A connection lives while requests are in service. Without one it is *quiet*: its client sends a
//! head slowly or not at all, has nothing to send, or does not read its answers. After
//! `head_timeout_ms` of quiet it is asked to end (an idle one does so cleanly, HTTP/2 gets a
//! GOAWAY, an HTTP/1 head that has begun is refused with 408), and shortly after that it is cut.
//! One rule bounds all slow clients, over both protocols and before it is known which it is
//! (hyper's own head timeout covers only HTTP/1 heads, and arms a timer for every request). The
//! time in service is bounded by the body's deadline and by the scheduler.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::guarded_stream::GuardedStream;
use super::pulse::Pulse;
use super::route::Peer;
use super::service::Ingest;
use super::{hyper_refusal, request};

/// The quiet time is measured in this many ticks.
const TICKS: u32 = 4;
/// How long a connection that was asked to end may stay quiet before it is cut.
const GRACE: Duration = Duration::from_millis(500);

/// The error of hyper-util's connections.
type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// What the requests of one connection share.
struct ConnectionContext {
    ingest: Arc<Ingest>,
    peer: Peer,
    pulse: Arc<Pulse>,
}

impl ConnectionContext {
    fn guard<I>(&self, io: I) -> GuardedStream<I> {
        let claim = self.ingest.budget.claim([self.peer.holder(), None]);
        let shares = self.ingest.handle.shares().clone();
        GuardedStream::new(io, self.pulse.clone(), claim, shares)
    }

    /// What hyper refused itself is counted like everything else that is refused.
    fn ended(&self, result: Result<(), BoxedError>) {
        let Err(error) = result else { return };
        tracing::debug!(peer = %self.peer.text, error = &*error, "a connection ended with an \
                                                                  error");

        if let Some(error) = error.downcast_ref::<hyper::Error>().filter(|error| error.is_parse()) {
            let kind = hyper_refusal::kind(error, self.pulse.head_cut());
            let reason = format!("{}: {error}", self.peer.text);
            self.ingest.refusals.count("", kind, &reason, (self.ingest.clock)());
        }
    }
}

/// A request in service.
struct InService(Arc<ConnectionContext>);

impl InService {
    fn begin(context: Arc<ConnectionContext>) -> Self {
        context.pulse.request_begins();
        Self(context)
    }
}

impl Drop for InService {
    fn drop(&mut self) {
        self.0.pulse.request_ends();
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

/// Why the task of a connection woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// Some time has passed, and the connection was not quiet for too long.
    Tick,
    Quiet,
    /// A request asked for the end.
    End,
    /// The daemon stops.
    Stop,
}

/// Serves one connection to its end. `_held` is given back then.
pub(super) async fn run<I, H>(
    ingest: Arc<Ingest>,
    io: I,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
    _held: H,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let context =
        Arc::new(ConnectionContext { ingest: ingest.clone(), peer, pulse: Arc::default() });
    let pulse = &context.pulse;
    let io = context.guard(io);
    let of_requests = context.clone();
    let service = service_fn(move |request| {
        let in_service = InService::begin(of_requests.clone());
        async move {
            let ConnectionContext { ingest, peer, pulse } = &*in_service.0;
            Ok::<_, Infallible>(request::handle(ingest, peer, pulse, request).await)
        }
    });
    let mut connection = pin!(ingest.http.serve_connection(TokioIo::new(io), service));

    let mut period = Duration::from_millis(ingest.limits.head_timeout_ms) / TICKS;
    let mut tick = pin!(tokio::time::sleep(period));
    let mut quiet = Quiet::default();
    let mut ending = false;
    loop {
        let wake = tokio::select! {
            biased;
            // First, so that a connection that is always ready cannot keep its quiet time from
            // being measured.
            () = tick.as_mut() => if quiet.tick(pulse) >= TICKS { Wake::Quiet } else { Wake::Tick },
            result = connection.as_mut() => return context.ended(result),
            () = pulse.ended(), if !ending => Wake::End,
            _ = stop.wait_for(|stop| *stop), if !ending => Wake::Stop,
        };

        match wake {
            Wake::Tick => {}
            Wake::Quiet if ending => {
                tracing::debug!(peer = %context.peer.text, "an idle connection was closed");
                return;
            }
            Wake::Quiet | Wake::End | Wake::Stop => {
                // Either, not both: a connection that shuts down closes without looking at what it
                // reads.
                if wake == Wake::Stop || !pulse.refuse_slow_head() {
                    connection.as_mut().graceful_shutdown();
                }
                ending = true;
                quiet = Quiet::default();
                period = GRACE / TICKS;
            }
        }

        tick.as_mut().reset(next_tick(period));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the connection's own idle timer; it decides nothing remembered"
)]
fn next_tick(period: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + period
}
