//! One HTTP connection: one request at a time.
//!
//! A connection is driven by its user, inside the same task: no task for each connection, no
//! hand-over between threads during a request. Nobody drives an idle one: whether its peer
//! has closed it is found out when it is taken, by driving it once, and when idle connections are
//! looked through.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response};

use crate::model::limits;
use crate::outbound::failure::AttemptFailure;

use super::protocol::{Driver, RequestSender};
use super::stream::{Meter, MeteredStream, RawStream};

/// What one exchange may read until the head of its response has come. 1xx responses count, too.
const HEAD_ALLOWANCE: usize = limits::RESPONSE_HEAD + limits::RESPONSE_READ;

/// One connection.
pub struct HttpConnection {
    sender: RequestSender,
    /// `None` when the connection has ended.
    driver: Option<Driver>,
    meter: Arc<Meter>,
    /// What its peer could send since the last request began.
    allowed: usize,
    /// How long its peer keeps it when it is idle, where the peer announces it.
    kept_ms: Option<u64>,
}

impl HttpConnection {
    /// Begins HTTP over an open stream.
    pub async fn new(stream: RawStream) -> Result<Self, AttemptFailure> {
        let meter = Arc::new(Meter::default());
        meter.allow(HEAD_ALLOWANCE);

        let is_http2 = stream.negotiated_http2();
        let stream = MeteredStream::new(stream, meter.clone());
        let begun = if is_http2 {
            RequestSender::http2(stream).await
        } else {
            RequestSender::http1(stream).await
        };

        let (sender, driver) = begun.map_err(|e| AttemptFailure::exchange(&e, false))?;
        Ok(Self { sender, driver: Some(driver), meter, allowed: HEAD_ALLOWANCE, kept_ms: None })
    }

    /// Whether HTTP/2 is spoken.
    pub fn is_http2(&self) -> bool {
        self.sender.is_http2()
    }

    /// Sends a request and waits for the head of its response.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, AttemptFailure> {
        // Over HTTP/2 a peer asks for each part of a body, with a few bytes.
        let asks = if self.is_http2() { request.body().size_hint().lower() / 256 } else { 0 };
        self.allowed = HEAD_ALLOWANCE + usize::try_from(asks).unwrap_or(0);
        self.meter.allow(self.allowed);
        self.meter.begin();

        let Self { sender, driver, meter, .. } = self;
        let mut response = sender.send(request);
        let response = poll_fn(|cx| {
            drive(driver, cx);
            response.as_mut().poll(cx)
        })
        .await;
        response.map_err(|e| AttemptFailure::exchange(&e, meter.overrun()))
    }

    /// Whether no byte of the request has been taken since `send`, and none of a response has come:
    /// the peer had closed the connection already, and the request may be sent over another one as
    /// if it were for the first time.
    pub fn is_untouched(&self) -> bool {
        self.meter.written() == 0 && self.meter.left() == self.allowed
    }

    /// Sets the allowance for a body.
    pub fn expect_body(&self, wire: usize) {
        self.meter.allow(wire);
    }

    /// The peer closes it when it has been idle for so long.
    pub fn will_be_kept_for(&mut self, ms: u64) {
        self.kept_ms = Some(ms);
    }

    /// How long its peer keeps it when it is idle, where the peer announces it.
    pub fn kept_ms(&self) -> Option<u64> {
        self.kept_ms
    }

    /// The response was read. Where the request was written to its end as well, the connection is
    /// closed like any other from now on. Returns whether that is so.
    pub fn end_exchange(&self) -> bool {
        let is_whole = self.meter.is_flushed();
        if is_whole {
            self.meter.end();
        }
        is_whole
    }

    /// The response says that the request was accepted, whether or not all of it is written yet.
    pub fn request_was_accepted(&self) {
        self.meter.request_was_accepted();
    }

    /// Goes on writing the request until it is written, or cannot be: the receiver has responded
    /// before it read all of it, and may still want the rest.
    pub async fn finish_request(&mut self) {
        poll_fn(|cx| {
            drive(&mut self.driver, cx);
            let is_over =
                self.driver.is_none() || self.meter.is_flushed() || self.meter.is_broken();
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.end_exchange();
    }

    /// Whether the peer sent more around the body's bytes than is read.
    pub fn overrun(&self) -> bool {
        self.meter.overrun()
    }

    /// The next frame of the body of the response.
    pub async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|cx| {
            drive(&mut self.driver, cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
        .await
    }

    /// Whether it can take a request, after one look at what its peer has done meanwhile.
    pub async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.poll_usable(cx))).await
    }

    /// The same, for who has a context already.
    pub fn poll_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.meter.allow(HEAD_ALLOWANCE);
        drive(&mut self.driver, cx);
        self.driver.is_some() && self.sender.is_ready() && !self.meter.is_broken()
    }
}

/// Moves a connection on. One that has ended is dropped, which also ends the wait for its response.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    let ended = driver.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready());
    if ended {
        *driver = None;
    }
}
