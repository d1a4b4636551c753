//! Answers before they are HTTP, and their bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::api::views::TOTAL_HEADER;

/// The rows that a list has in all, however many are shown.
const TOTAL: HeaderName = HeaderName::from_static(TOTAL_HEADER);

/// An answer before it is HTTP.
pub enum ApiResponse {
    /// JSON, with a line's end.
    Json(StatusCode, Bytes),
    Text(&'static str, Bytes),
    /// JSON lines, as they come, and how many there are in all where that is known.
    Lines(mpsc::Receiver<Bytes>, Option<u64>),
    /// Bytes, as they come.
    Raw(mpsc::Receiver<Bytes>),
}

impl ApiResponse {
    pub fn ok(value: impl Serialize) -> Self {
        Self::Json(StatusCode::OK, line(&value))
    }

    pub fn created(value: impl Serialize) -> Self {
        Self::Json(StatusCode::CREATED, line(&value))
    }

    pub fn accepted(value: impl Serialize) -> Self {
        Self::Json(StatusCode::ACCEPTED, line(&value))
    }

    /// A list that stands ready.
    pub fn lines(lines: impl Iterator<Item = Bytes>) -> Self {
        Self::Text("application/x-ndjson", lines.collect::<Vec<_>>().concat().into())
    }

    /// A list with the number of rows that it has in all.
    pub fn with_total(self, total: Option<u64>) -> Self {
        match self {
            Self::Lines(lines, _) => Self::Lines(lines, total),
            other => other,
        }
    }

    pub fn into_response(self) -> Response<AdminBody> {
        match self {
            Self::Json(status, value) => respond(status, "application/json", value.into()),
            Self::Text(kind, text) => respond(StatusCode::OK, kind, text.into()),
            Self::Lines(lines, total) => {
                let lines = AdminBody::Lines(lines);
                let mut response = respond(StatusCode::OK, "application/x-ndjson", lines);
                if let Some(total) = total {
                    response.headers_mut().insert(TOTAL, total.into());
                }
                response
            }
            Self::Raw(bytes) => {
                respond(StatusCode::OK, "application/octet-stream", AdminBody::Lines(bytes))
            }
        }
    }
}

/// One JSON value and a line's end.
pub fn line(value: &impl Serialize) -> Bytes {
    // What is shown has only text as keys, and no number that JSON cannot hold: it can always be
    // written.
    let mut text = serde_json::to_vec(value).expect("a view is JSON");
    text.push(b'\n');
    text.into()
}

/// An answer with its content type; nobody may keep it.
pub fn respond(status: StatusCode, kind: &'static str, body: AdminBody) -> Response<AdminBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that stands ready, or comes line by line.
pub enum AdminBody {
    Ready(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl From<Bytes> for AdminBody {
    fn from(bytes: Bytes) -> Self {
        Self::Ready(Some(bytes).filter(|b| !b.is_empty()))
    }
}

impl From<String> for AdminBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl hyper::body::Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Lines(lines) => {
                lines.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Ready(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ready(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Lines(_) => SizeHint::default(),
        }
    }
}
