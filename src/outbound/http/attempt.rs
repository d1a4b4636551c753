//! One request and its response: take or make a connection, send, read.
//!
//! The caller sets the deadline over all of it. What has been learned by then stands in the
//! [`Trace`], which outlives an attempt that is cut off.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use hyper::{Request, Response, Version};

use crate::model::{Header, Now, limits};
use crate::outbound::failure::{AttemptFailure, Phase};
use crate::outbound::response::{ReadLimits, ReceivedResponse};

use super::connect::{Connector, DialOptions};
use super::connection::HttpConnection;
use super::headers::{self, HeaderContext, response_head};
use super::pool::Pool;

/// How a receiver wants to be treated from now on.
const WEBHOOK_DELIVERY: HeaderName = HeaderName::from_static("webhook-delivery");

/// How far an attempt has come, and what it has learned.
#[derive(Debug, Default)]
pub struct Trace {
    pub phase: Phase,
    pub connect_ms: Option<u64>,
    /// The request's headers for the log.
    pub request_headers: Vec<Header>,
    pub response: Option<ReceivedResponse>,
    /// The response was read as far as it is read.
    pub is_read: bool,
}

/// All that one attempt needs.
pub struct HttpAttempt<'a> {
    pub connector: &'a Connector,
    pub pool: &'a Pool,
    pub options: DialOptions<'a>,
    pub headers: HeaderContext<'a>,
    pub clock: &'a (dyn Fn() -> Now + Send + Sync),
    pub started: Now,
    pub read_limits: ReadLimits,
}

impl HttpAttempt<'_> {
    /// Makes the attempt. `Ok` when a response came and was read as far as it is read.
    pub async fn run(&self, trace: &mut Trace) -> Result<(), AttemptFailure> {
        let (mut headers, shown) = headers::build(&self.headers);
        trace.request_headers = shown;

        if let Some(mut connection) = self.pool.take(self.started.mono_ms).await {
            trace.phase = Phase::Sent;
            match self.send(&mut connection, headers).await {
                Ok(response) => return self.read(connection, response, trace).await,
                // Its peer had closed it already: the request goes out over a new one, as if for
                // the first time.
                Err(_) if connection.is_untouched() => headers = headers::build(&self.headers).0,
                Err(failure) => return Err(failure),
            }
        }

        let stream = self.connector.establish(&self.options, &mut trace.phase).await?;
        let mut connection = HttpConnection::new(stream).await?;
        trace.connect_ms = Some((self.clock)().mono_ms.saturating_sub(self.started.mono_ms));

        trace.phase = Phase::Sent;
        let response = self.send(&mut connection, headers).await?;
        self.read(connection, response, trace).await
    }

    async fn send(
        &self,
        connection: &mut HttpConnection,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, AttemptFailure> {
        let begun = connection.is_http2().then(|| self.pool.begin_http2());

        let response = connection.send(self.request(headers)).await?;
        if let Some(begun) = begun {
            begun.succeed();
        }
        Ok(response)
    }

    fn request(&self, headers: HeaderMap) -> Request<Full<Bytes>> {
        let (message, url) = (self.headers.message, self.options.url);
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = message.method.clone();
        *request.uri_mut() = message.path.as_ref().unwrap_or(&url.uri).clone();
        *request.headers_mut() = headers;

        if let Some(proxy) = self.options.route.proxy.as_ref().filter(|_| !url.tls) {
            proxy.address_request(&mut request, &url.host);
        }
        request
    }

    /// Reads the response, and gives the connection back when it can be used again.
    async fn read(
        &self,
        mut connection: HttpConnection,
        response: Response<Incoming>,
        trace: &mut Trace,
    ) -> Result<(), AttemptFailure> {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        trace.phase = Phase::Body(status);
        let is_success = (200..300).contains(&status);
        if is_success {
            connection.request_was_accepted();
        }

        let received = trace.response.insert(received(status, &head.headers));
        let ends_with_connection = is_closed_at_end(head.version, &head.headers);
        let can_be_reused = match read_body(&mut connection, body, received, self.read_limits).await
        {
            // Where only the end of the connection is the end of the body, it is so however that
            // comes: many such receivers close TLS, or a connection with something unread,
            // without ado.
            Err(_) if ends_with_connection => false,
            read => read?,
        };
        trace.is_read = true;

        if let Some(ms) = keep_alive_ms(&head.headers) {
            connection.will_be_kept_for(ms);
        }
        // A receiver that accepts an event before it has read all of the request gets the rest.
        if !connection.end_exchange() && is_success {
            connection.finish_request().await;
        }
        if can_be_reused {
            self.pool.put(connection, (self.clock)().mono_ms).await;
        }
        Ok(())
    }
}

/// A response of which the head has come.
fn received(status: u16, headers: &HeaderMap) -> ReceivedResponse {
    let field = |name| headers.get(name).map(|v| Bytes::copy_from_slice(v.as_bytes()));
    ReceivedResponse {
        head: response_head(status, headers),
        retry_after: field(RETRY_AFTER),
        location: field(LOCATION),
        webhook_delivery: field(WEBHOOK_DELIVERY),
        body: Vec::new(),
        is_whole: false,
        coding: field(CONTENT_ENCODING),
        content_type: field(CONTENT_TYPE),
    }
}

/// Whether a body has no other end than that of its connection (RFC 9112 section 6.3).
fn is_closed_at_end(version: Version, headers: &HeaderMap) -> bool {
    version <= Version::HTTP_11
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

/// How long a peer keeps an idle connection, by its own account (`keep-alive: timeout=5`).
fn keep_alive_ms(headers: &HeaderMap) -> Option<u64> {
    let fields = headers.get("keep-alive")?.to_str().ok()?;
    let mut pairs = fields.split(',').filter_map(|pair| pair.split_once('='));
    let (_, seconds) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;

    let seconds = seconds.trim().trim_matches('"').parse::<u64>().ok()?;
    Some(seconds.saturating_mul(1000))
}

/// Reads a body within the limits, and keeps its first bytes for the log. True when its end came.
async fn read_body(
    connection: &mut HttpConnection,
    mut body: Incoming,
    received: &mut ReceivedResponse,
    read_limits: ReadLimits,
) -> Result<bool, AttemptFailure> {
    connection.expect_body(read_limits.wire);
    let mut read = 0;
    while !body.is_end_stream() {
        let frame = match connection.frame(&mut body).await {
            None => break,
            // More chunks than bytes: read enough of those, too.
            Some(Err(_)) if connection.overrun() => return Ok(false),
            Some(Err(error)) => return Err(AttemptFailure::body(received.head.status, &error)),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();

        // Copied, so that the few bytes that are kept do not hold on to the connection's whole
        // buffer.
        let rest = read_limits.bytes.saturating_sub(received.body.len());
        received.body.extend_from_slice(&data[..data.len().min(rest)]);
        let kept = received.body.len().min(limits::RESPONSE_KEPT);
        if received.head.body.len() < kept {
            received.head.body = Bytes::copy_from_slice(&received.body[..kept]);
        }

        if read >= read_limits.bytes && !body.is_end_stream() {
            return Ok(false);
        }
    }

    received.is_whole = read <= read_limits.bytes;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderValue};

    use super::keep_alive_ms;

    #[test]
    fn a_peer_says_how_long_it_keeps_a_connection() {
        for (field, ms) in [
            ("timeout=5", Some(5_000)),
            ("max=100, Timeout = 72", Some(72_000)),
            ("timeout=\"3\"", Some(3_000)),
            ("timeout=soon", None),
            ("max=5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", HeaderValue::from_static(field));
            assert_eq!(keep_alive_ms(&headers), ms, "{field}");
        }
        assert_eq!(keep_alive_ms(&HeaderMap::new()), None);
    }
}
