//! One GET to a URL that is no endpoint: key sets, confirmations of subscriptions. The same guard and connector as for
//! attempts; one deadline over all of it, redirects are not followed, nothing is kept alive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};

use crate::model::limits;

use super::Outbound;
use super::connect::Wanted;
use super::failure::{Failure, Phase};
use super::pool::Conn;
use super::url::{self, Place};
use super::via::Route;

impl Outbound {
    /// Fetches a URL: its status and at most `limits::FETCH_BYTES` of its body. https only, unless `allow_private`, which
    /// also lets it be a loopback, private or link-local address.
    ///
    /// # Errors
    /// Why there is no answer, in words for the operator.
    pub async fn fetch(&self, url: &str, allow_private: bool) -> Result<(u16, Vec<u8>), String> {
        let target = url::parse(url)?;
        if matches!(target.place, Place::Socket(_)) || !(target.tls || allow_private) {
            return Err("only https:// is fetched".to_owned());
        }
        let timeout_ms = limits::FETCH_TIMEOUT_MS;
        let route = Route { proxy: self.permits().common.proxy_for(&target), ..Route::default() };
        let wanted = Wanted { target: &target, route: &route, allow_private, timeout_ms };
        let mut phase = Phase::Start;
        let fetched = tokio::time::timeout(Duration::from_millis(timeout_ms), self.get(&wanted, &mut phase)).await;
        let fetched = fetched.unwrap_or(Err(Failure::Timeout { after_ms: timeout_ms, phase }));
        match fetched {
            Ok((status, body)) => body
                .map(|body| (status, body))
                .ok_or_else(|| format!("the answer has more than {} bytes", limits::FETCH_BYTES)),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// The status and the body; `None` in its place when it is too large.
    async fn get(&self, wanted: &Wanted<'_>, phase: &mut Phase) -> Result<(u16, Option<Vec<u8>>), Failure> {
        let wire = self.connector.establish(wanted, phase).await?;
        let mut conn = Conn::new(wire).await?;
        *phase = Phase::Sent;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = wanted.target.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, wanted.target.host.clone());
        headers.insert(USER_AGENT, self.agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(proxy) = wanted.route.proxy.as_ref().filter(|_| !wanted.target.tls) {
            proxy.address(&mut request, &wanted.target.host);
        }
        let (head, mut body) = conn.send(request).await?.into_parts();
        let status = head.status.as_u16();
        *phase = Phase::Body(status);
        conn.expect_body();
        let mut read = Vec::new();
        while !body.is_end_stream() {
            let frame = match conn.frame(&mut body).await {
                None => break,
                Some(Err(_)) if conn.overrun() => return Ok((status, None)),
                Some(Err(error)) => return Err(Failure::body(status, &error)),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if read.len() + data.len() > limits::FETCH_BYTES {
                return Ok((status, None));
            }
            read.extend_from_slice(&data);
        }
        Ok((status, Some(read)))
    }
}
