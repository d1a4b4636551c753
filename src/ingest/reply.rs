//! Responses to requests that were accepted.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::budget::Claim;
use super::verify::ProviderAnswer;
use crate::queue::Accepted;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body of a response, which holds its request's claim on memory until it is sent: a client
/// that does not read its responses still has requests here.
pub(super) struct ClaimedBody {
    body: Full<Bytes>,
    _claim: Claim,
}

impl ClaimedBody {
    pub fn new(response: Response<Full<Bytes>>, claim: Claim) -> Response<Self> {
        response.map(|body| Self { body, _claim: claim })
    }
}

impl Body for ClaimedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// 202 with the ids of what is durable now. Of a batch, `id` is the first one's; it is a duplicate
/// when all of it is.
pub(super) fn accepted(accepted: &[Accepted]) -> Response<Full<Bytes>> {
    let mut body = String::with_capacity(64 + accepted.len() * 34);
    let mut id = String::new();
    if let Some(first) = accepted.first() {
        // Writing to a String does not fail.
        let _ = write!(id, "{}", first.id);
        let _ = write!(body, "{{\"id\":\"{id}\"");
    } else {
        body.push_str("{\"id\":null");
    }

    if accepted.len() > 1 {
        for (index, one) in accepted.iter().enumerate() {
            let _ = write!(body, "{}\"{}\"", if index == 0 { ",\"ids\":[" } else { "," }, one.id);
        }
        body.push(']');
    }

    if !accepted.is_empty() && accepted.iter().all(|one| one.duplicate) {
        body.push_str(",\"duplicate\":true");
    }
    body.push('}');

    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(id)) {
        response.headers_mut().insert(WEBHOOK_ID, value);
    }
    response
}

/// The answer a provider insists on. A header that is not valid is left out: it came from a
/// setting.
pub(super) fn provider_answer(answer: ProviderAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);

    for (name, value) in answer.headers {
        let header = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        if let (Ok(name), Ok(value)) = header {
            response.headers_mut().append(name, value);
        } else {
            tracing::debug!(name, "an answer has an invalid header");
        }
    }
    response
}

/// 200 for `/healthz` and `/readyz`.
pub(super) fn ok() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"ok\"}")));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::{accepted, provider_answer};
    use crate::ingest::verify::ProviderAnswer;
    use crate::model::EventId;
    use crate::queue::Accepted;

    async fn text(of: hyper::Response<http_body_util::Full<bytes::Bytes>>) -> String {
        let body = of.into_body().collect().await.expect("infallible").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    fn one(seq: u64, duplicate: bool) -> Accepted {
        Accepted { id: EventId { seq, tag: 7 }, duplicate, conflicts_with: None }
    }

    #[tokio::test]
    async fn a_batch_names_all_and_the_first() {
        let response = accepted(&[one(1, false), one(2, true)]);
        let first = one(1, false).id.to_string();
        assert_eq!(response.headers()["webhook-id"], first.as_str());

        let body: serde_json::Value = serde_json::from_str(&text(response).await).expect("JSON");
        assert_eq!(body["id"], first);
        assert_eq!(body["ids"].as_array().map(Vec::len), Some(2));
        assert_eq!(body.get("duplicate"), None);
    }

    #[tokio::test]
    async fn a_duplicate_says_so() {
        let body: serde_json::Value =
            serde_json::from_str(&text(accepted(&[one(9, true)])).await).expect("JSON");
        assert_eq!(body, serde_json::json!({"id": one(9, true).id.to_string(), "duplicate": true}));
    }

    #[test]
    fn an_answers_header_that_is_none_is_left_out() {
        let headers = vec![
            ("x-a".into(), "1".into()),
            ("x b".into(), "2".into()),
            ("x-c".into(), "3\r\nx-d: 4".into()),
        ];
        let response = provider_answer(ProviderAnswer { status: 204, headers, body: Vec::new() });
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers().len(), 1);
    }
}
