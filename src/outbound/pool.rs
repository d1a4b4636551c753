//! Connections: one request at a time each, kept alive between requests, pooled per endpoint and configuration.
//!
//! A connection is driven by whoever uses it, inside the same task: no task per connection, no hand-over between
//! threads on the way of a request. Nobody drives an idle one; whether its peer has closed it is found out when it is
//! taken, by driving it once, and by the reaper.
//!
//! Limits: `limits::IDLE_CONNECTIONS` idle ones per endpoint, `limits::IDLE_ALL` over all, each for at most
//! `limits::IDLE_MS`. A pool dies with its endpoint's configuration, so that no connection made with a permission
//! outlives it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::model::limits;

use super::failure::Failure;
use super::stream::{Meter, Stream, Wire};

/// What one exchange may read until the head of its answer has come. 1xx answers count too.
const HEAD_ALLOWANCE: usize = limits::RESPONSE_HEAD + limits::RESPONSE_READ;

type Driver = Pin<Box<Connection<TokioIo<Stream>, Full<Bytes>>>>;

/// One HTTP/1.1 connection.
pub(super) struct Conn {
    sender: SendRequest<Full<Bytes>>,
    /// `None` when the connection has ended.
    driver: Option<Driver>,
    meter: Arc<Meter>,
}

impl Conn {
    /// Speaks HTTP over a wire that stands.
    pub(super) async fn new(wire: Wire) -> Result<Self, Failure> {
        let meter = Arc::new(Meter::default());
        meter.allow(HEAD_ALLOWANCE);
        let io = TokioIo::new(Stream::new(wire, meter.clone()));
        let (sender, driver) = Builder::new()
            .max_buf_size(limits::RESPONSE_HEAD)
            .handshake(io)
            .await
            .map_err(|e| Failure::exchange(&e, false))?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), meter })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.meter.allow(HEAD_ALLOWANCE);
        let Self { sender, driver, meter } = self;
        let mut answer = pin!(sender.send_request(request));
        let answer = poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await;
        answer.map_err(|e| Failure::exchange(&e, meter.overrun()))
    }

    /// Whether not one byte of an answer has come since `send`: the peer had closed the connection already, and
    /// the request may be sent again at once.
    pub(super) fn unanswered(&self) -> bool {
        self.meter.left() == HEAD_ALLOWANCE
    }

    /// Sets the allowance for a body.
    pub(super) fn expect_body(&self) {
        self.meter.allow(limits::RESPONSE_WIRE);
    }

    /// Whether the peer sent more around the body's bytes than is read.
    pub(super) fn overrun(&self) -> bool {
        self.meter.overrun()
    }

    /// The next frame of the body of the answer.
    pub(super) async fn frame(&mut self, body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|cx| {
            drive(&mut self.driver, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
        .await
    }

    /// Whether it can take a request, after one look at what its peer has done meanwhile.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.look(cx))).await
    }

    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        self.meter.allow(HEAD_ALLOWANCE);
        drive(&mut self.driver, cx);
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Moves a connection on; one that has ended is dropped, which also tells whoever waits for its answer.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    let ended = driver.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready());
    if ended {
        *driver = None;
    }
}

/// Counts one idle connection for as long as it is idle.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(idle: &Arc<AtomicUsize>) -> Option<Self> {
        let taken =
            idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limits::IDLE_ALL).then_some(n + 1));
        taken.ok().map(|_| Self(idle.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Idle {
    conn: Conn,
    since_ms: u64,
    _slot: Slot,
}

/// The idle connections of one endpoint.
pub(super) struct Pool {
    idle: Mutex<Vec<Idle>>,
    /// Idle connections over all pools.
    all: Arc<AtomicUsize>,
}

impl Pool {
    pub(super) fn new(all: Arc<AtomicUsize>) -> Self {
        Self { idle: Mutex::new(Vec::new()), all }
    }

    /// The connection that was used last, if any still stands.
    pub(super) async fn take(&self, mono_ms: u64) -> Option<Conn> {
        loop {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if !is_old(&idle, mono_ms) && idle.conn.is_usable().await {
                return Some(idle.conn);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end; closes it when it has no further use.
    pub(super) async fn put(&self, mut conn: Conn, mono_ms: u64) {
        if !conn.is_usable().await {
            return;
        }
        let Some(slot) = Slot::take(&self.all) else { return };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::IDLE_CONNECTIONS {
            idle.push(Idle { conn, since_ms: mono_ms, _slot: slot });
        }
    }

    /// Closes what has been idle for long, and what the peer has closed.
    pub(super) fn reap(&self, mono_ms: u64) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|i| !is_old(i, mono_ms) && i.conn.look(&mut cx));
        idle.shrink_to_fit();
    }
}

fn is_old(idle: &Idle, mono_ms: u64) -> bool {
    mono_ms.saturating_sub(idle.since_ms) >= limits::IDLE_MS
}
