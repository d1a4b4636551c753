//! One attempt: take or make a connection, send, read the answer.
//!
//! The caller sets the deadline over all of it. What has been learned until then stands in the [`Trace`], which
//! outlives an attempt that is cut off.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderMap, HeaderName, LOCATION, RETRY_AFTER};

use crate::model::{Header, Now, ResponseHead, limits};

use super::connect::{Connector, Wanted};
use super::failure::{Failure, Phase};
use super::headers::{self, Facts, response_head};
use super::pool::{Conn, Pool};

/// How a receiver steers what it is sent.
const WEBHOOK_DELIVERY: HeaderName = HeaderName::from_static("webhook-delivery");

/// How far an attempt has come, and what it has learned.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) phase: Phase,
    pub(super) connect_ms: Option<u64>,
    /// The request's headers for the log.
    pub(super) shown: Vec<Header>,
    pub(super) answer: Option<Answer>,
}

/// An answer, or as much of it as came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: ResponseHead,
    pub(super) retry_after: Option<Bytes>,
    pub(super) location: Option<Bytes>,
    /// What the receiver wishes for (`webhook-delivery`).
    pub(super) wish: Option<Bytes>,
    /// What was read of the body: more than the log keeps.
    pub(super) body: Vec<u8>,
}

/// All that one attempt needs.
pub(super) struct Attempt<'a> {
    pub(super) connector: &'a Connector,
    pub(super) pool: &'a Pool,
    pub(super) wanted: Wanted<'a>,
    pub(super) facts: Facts<'a>,
    pub(super) clock: &'a (dyn Fn() -> Now + Send + Sync),
    pub(super) started: Now,
}

impl Attempt<'_> {
    /// Makes the attempt. `Ok` when an answer came and was read as far as it is read.
    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let (map, shown) = headers::build(&self.facts);
        trace.shown = shown;
        let map = match self.pool.take(self.started.mono_ms).await {
            None => map,
            Some(mut conn) => {
                trace.phase = Phase::Sent;
                match conn.send(self.request(map)).await {
                    Err(_) if conn.unanswered() => headers::build(&self.facts).0,
                    Err(failure) => return Err(failure),
                    Ok(answer) => return self.read(conn, answer, trace).await,
                }
            }
        };
        let wire = self.connector.establish(&self.wanted, &mut trace.phase).await?;
        let mut conn = Conn::new(wire).await?;
        trace.connect_ms = Some((self.clock)().mono_ms.saturating_sub(self.started.mono_ms));
        trace.phase = Phase::Sent;
        let answer = conn.send(self.request(map)).await?;
        self.read(conn, answer, trace).await
    }

    fn request(&self, headers: HeaderMap) -> Request<Full<Bytes>> {
        let message = self.facts.message;
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = message.method.clone();
        *request.uri_mut() = message.path.as_ref().unwrap_or(&self.wanted.target.uri).clone();
        *request.headers_mut() = headers;
        if let Some(proxy) = self.wanted.route.proxy.as_ref().filter(|_| !self.wanted.target.tls) {
            proxy.address(&mut request, &self.wanted.target.host);
        }
        request
    }

    /// Reads the answer and gives the connection back when it can be used again.
    async fn read(&self, mut conn: Conn, answer: hyper::Response<Incoming>, trace: &mut Trace) -> Result<(), Failure> {
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let field = |name| head.headers.get(name).map(|v| Bytes::copy_from_slice(v.as_bytes()));
        trace.phase = Phase::Body(status);
        let answer = trace.answer.insert(Answer {
            head: response_head(status, &head.headers),
            retry_after: field(RETRY_AFTER),
            location: field(LOCATION),
            wish: field(WEBHOOK_DELIVERY),
            body: Vec::new(),
        });
        if read_body(&mut conn, body, answer).await? {
            self.pool.put(conn, (self.clock)().mono_ms).await;
        }
        Ok(())
    }
}

/// Reads a body up to `limits::RESPONSE_READ` and keeps its first bytes. True when it was read to its end.
async fn read_body(conn: &mut Conn, mut body: Incoming, answer: &mut Answer) -> Result<bool, Failure> {
    conn.expect_body();
    let mut read = 0;
    while !body.is_end_stream() {
        let frame = match conn.frame(&mut body).await {
            None => break,
            // More chunks than bytes: read enough of those, too.
            Some(Err(_)) if conn.overrun() => return Ok(false),
            Some(Err(error)) => return Err(Failure::body(answer.head.status, &error)),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        // Copied, so that the few bytes that are kept do not hold on to the connection's whole buffer.
        let room = limits::RESPONSE_READ.saturating_sub(answer.body.len());
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        let kept = answer.body.len().min(limits::RESPONSE_KEPT);
        if answer.head.body.len() < kept {
            answer.head.body = Bytes::copy_from_slice(&answer.body[..kept]);
        }
        if read >= limits::RESPONSE_READ && !body.is_end_stream() {
            return Ok(false);
        }
    }
    Ok(true)
}
