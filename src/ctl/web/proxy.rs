//! Requests to the daemon: those of the page under `/api`, as they are, and nothing of their
//! headers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::gate::PageRefusal;
use crate::model::limits;

/// How long a request may take to come: its head, and its body.
pub(super) const PATIENCE: Duration = Duration::from_millis(limits::WEB_TIMEOUT_MS);
/// Where the daemon's API begins here.
const API: &str = "/api";

/// The path that the daemon knows for a path of ours: `/api/v1/status` is its `/v1/status`. `None`
/// for what is no path of its API.
pub(super) fn upstream_path(path: &str) -> Option<&str> {
    let path = path.strip_prefix(API)?;
    let is_known = path == "/metrics" || path.starts_with("/v1/");
    (is_known && path.split('/').skip(1).all(is_segment)).then_some(path)
}

/// Whether a segment names something: not the folder itself nor the one above, and with no
/// separator hidden in it.
fn is_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    let hides = ["%2f", "%5c", "%00", "\\"].iter().any(|hidden| plain.contains(hidden));
    !plain.is_empty() && plain != "." && plain != ".." && !hides
}

/// Reads the body of a request.
pub(super) async fn read(body: Incoming) -> Result<Bytes, PageRefusal> {
    let read = tokio::time::timeout(PATIENCE, read_all(body)).await;
    read.unwrap_or(Err(PageRefusal::TooSlow))
}

/// Of a body that is too large, as much again is read: whoever sends it can then read why.
async fn read_all(mut body: Incoming) -> Result<Bytes, PageRefusal> {
    let mut whole = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| PageRefusal::TooSlow)?.into_data() else { continue };
        size += data.len();
        match size {
            size if size <= limits::WEB_BODY => whole.extend_from_slice(&data),
            size if size > 2 * limits::WEB_BODY => break,
            _ => {}
        }
    }
    if size > limits::WEB_BODY { Err(PageRefusal::TooLarge) } else { Ok(whole.freeze()) }
}

/// The body of an answer that is passed on. While it lasts, the request counts.
pub(super) struct PassedBody {
    inner: Incoming,
    _permit: OwnedSemaphorePermit,
}

impl PassedBody {
    pub(super) fn new(inner: Incoming, permit: OwnedSemaphorePermit) -> Self {
        Self { inner, _permit: permit }
    }
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::upstream_path;

    #[test]
    fn only_the_daemons_own_api_is_behind_ours() {
        assert_eq!(upstream_path("/api/v1/status"), Some("/v1/status"));
        assert_eq!(upstream_path("/api/metrics"), Some("/metrics"));
        assert_eq!(upstream_path("/api/v1/sources/a%20b.c"), Some("/v1/sources/a%20b.c"));

        for path in [
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/v1/status",
            "/api/metrics/",
            "/api//v1/status",
            "/apiv1/status",
            "/api/v1/../metrics",
            "/api/v1/./status",
            "/api/v1/%2e%2E/metrics",
            "/api/v1/.%2e/x",
            "/api/v1/a%2f..%2fb",
            "/api/v1/a%5Cb",
            "/api/v1/a\\b",
            "/api/v1/a%00",
            "/api/../v1/status",
            "/api/v1//status",
        ] {
            assert_eq!(upstream_path(path), None, "{path}");
        }
    }
}
