//! One GET of a URL that is not an endpoint: key sets, confirmations of subscriptions. The same
//! guard and connector as for attempts; one deadline over all of it, redirects are not followed,
//! nothing is kept alive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};

use crate::model::limits;

use super::attempts::Outbound;
use super::failure::{AttemptFailure, Phase};
use super::http::client::HttpClient;
use super::http::connect::DialOptions;
use super::http::connection::HttpConnection;
use super::http::route::HttpRoute;
use super::http::url::HttpUrl;

impl Outbound {
    /// Fetches a URL: its status and at most `limits::FETCH_BYTES` of its body. https only, unless
    /// `allow_private`, which also lets it be a loopback, private or link-local address.
    ///
    /// # Errors
    /// Why there is no response, in words for the operator.
    pub async fn fetch(&self, url: &str, allow_private: bool) -> Result<(u16, Vec<u8>), String> {
        let url = HttpUrl::parse(url)?;
        if !url.tls && !allow_private {
            return Err("only https:// is fetched".to_owned());
        }

        let timeout_ms = limits::FETCH_TIMEOUT_MS;
        let route =
            HttpRoute { proxy: self.policy().proxy.proxy_for(&url), ..HttpRoute::default() };
        let options =
            DialOptions { url: &url, route: &route, allow_private, timeout_ms, offer_http2: false };

        let mut phase = Phase::Start;
        let timeout = Duration::from_millis(timeout_ms);
        let fetched = tokio::time::timeout(timeout, get(self.http(), &options, &mut phase)).await;
        match fetched.unwrap_or(Err(AttemptFailure::Timeout { after_ms: timeout_ms, phase })) {
            Ok((status, Some(body))) => Ok((status, body)),
            Ok((_, None)) => Err(format!("the answer has more than {} bytes", limits::FETCH_BYTES)),
            Err(failure) => Err(failure.to_string()),
        }
    }
}

/// The status and the body; `None` in its place when it is too large.
async fn get(
    client: &HttpClient,
    options: &DialOptions<'_>,
    phase: &mut Phase,
) -> Result<(u16, Option<Vec<u8>>), AttemptFailure> {
    let stream = client.connector.establish(options, phase).await?;
    let mut connection = HttpConnection::new(stream).await?;

    *phase = Phase::Sent;
    let (head, body) = connection.send(request(client, options)).await?.into_parts();

    let status = head.status.as_u16();
    *phase = Phase::Body(status);
    Ok((status, read_body(&mut connection, status, body).await?))
}

fn request(client: &HttpClient, options: &DialOptions<'_>) -> Request<Full<Bytes>> {
    let url = options.url;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = url.uri.clone();

    let headers = request.headers_mut();
    headers.insert(HOST, url.host.clone());
    headers.insert(USER_AGENT, client.agent.clone());
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));

    if let Some(proxy) = options.route.proxy.as_ref().filter(|_| !url.tls) {
        proxy.address_request(&mut request, &url.host);
    }
    request
}

/// The whole body; `None` when it is too large.
async fn read_body(
    connection: &mut HttpConnection,
    status: u16,
    mut body: Incoming,
) -> Result<Option<Vec<u8>>, AttemptFailure> {
    connection.expect_body(limits::RESPONSE_WIRE);
    let mut read = Vec::new();
    while !body.is_end_stream() {
        let frame = match connection.frame(&mut body).await {
            None => break,
            Some(Err(_)) if connection.overrun() => return Ok(None),
            Some(Err(error)) => return Err(AttemptFailure::body(status, &error)),
            Some(Ok(frame)) => frame,
        };

        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limits::FETCH_BYTES {
            return Ok(None);
        }
        read.extend_from_slice(&data);
    }
    Ok(Some(read))
}
