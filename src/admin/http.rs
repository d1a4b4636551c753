//! Requests as the handlers see them, and answers: JSON, a stream of JSON lines, or a problem (RFC
//! 9457).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::log_source::LogReadError;
use super::peer::Caller;
use crate::api::SpecError;
use crate::api::body::read;
use crate::api::views::ProblemView;
use crate::queue::Refusal;

/// One request, with its body read.
pub(super) struct ApiRequest {
    pub(super) caller: Caller,
    /// What stood in the place of `{name}` or `{id}`.
    pub(super) arg: String,
    pub(super) params: RequestParams,
    pub(super) body: Bytes,
    /// True once the daemon stops: long streams end then.
    pub(super) stop: watch::Receiver<bool>,
}

impl ApiRequest {
    /// The body as JSON of a known shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Problem::bad(format!("the body is not as asked for: {e}")))
    }

    /// The body as one of [`crate::api::bodies`].
    pub(super) fn fields<T: Default + Serialize + DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(read(self.object()?)?)
    }

    /// The body as a JSON object; an absent body is an empty one.
    pub(super) fn object(&self) -> Result<serde_json::Map<String, Value>, Problem> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(serde_json::Map::new());
        }
        self.json()
    }
}

/// An answer before it is HTTP.
pub(super) enum ApiResponse {
    /// JSON, with a line's end.
    Json(StatusCode, Bytes),
    Text(&'static str, Bytes),
    /// JSON lines, as they come.
    Lines(mpsc::Receiver<Bytes>),
    /// Bytes, as they come.
    Raw(mpsc::Receiver<Bytes>),
}

impl ApiResponse {
    pub(super) fn ok(value: impl Serialize) -> Self {
        Self::Json(StatusCode::OK, line(&value))
    }

    pub(super) fn created(value: impl Serialize) -> Self {
        Self::Json(StatusCode::CREATED, line(&value))
    }

    pub(super) fn accepted(value: impl Serialize) -> Self {
        Self::Json(StatusCode::ACCEPTED, line(&value))
    }

    /// A list that stands ready.
    pub(super) fn lines(lines: impl Iterator<Item = Bytes>) -> Self {
        Self::Text("application/x-ndjson", lines.collect::<Vec<_>>().concat().into())
    }

    pub(super) fn into_response(self) -> Response<AdminBody> {
        match self {
            Self::Json(status, value) => respond(status, "application/json", value.into()),
            Self::Text(kind, text) => respond(StatusCode::OK, kind, text.into()),
            Self::Lines(lines) => {
                respond(StatusCode::OK, "application/x-ndjson", AdminBody::Lines(lines))
            }
            Self::Raw(bytes) => {
                respond(StatusCode::OK, "application/octet-stream", AdminBody::Lines(bytes))
            }
        }
    }
}

/// One JSON value and a line's end.
pub(super) fn line(value: &impl Serialize) -> Bytes {
    // What is shown has only text as keys, and no number that JSON cannot hold: it can always be
    // written.
    let mut text = serde_json::to_vec(value).expect("a view is JSON");
    text.push(b'\n');
    text.into()
}

fn respond(status: StatusCode, kind: &'static str, body: AdminBody) -> Response<AdminBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers
        .insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

/// Why a request was not done, as the caller reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    /// The methods that the path knows, for 405.
    pub(super) allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), allow: None }
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn missing(what: &'static str, name: &str) -> Self {
        Refusal::NotFound { what, name: name.chars().take(80).collect() }.into()
    }

    /// When the asker has gone; nobody reads it.
    pub(super) fn gone() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the caller went away")
    }

    pub(super) fn view(&self) -> ProblemView {
        ProblemView {
            problem_type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }

    pub(super) fn into_response(self) -> Response<AdminBody> {
        let mut response =
            respond(self.status, "application/problem+json", line(&self.view()).into());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(hyper::header::RETRY_AFTER, hyper::header::HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow.and_then(|a| a.parse().ok()) {
            response.headers_mut().insert(hyper::header::ALLOW, allow);
        }
        response
    }
}

impl From<SpecError> for Problem {
    fn from(error: SpecError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
            Refusal::Exists { .. }
            | Refusal::TooMany { .. }
            | Refusal::BinFull { .. }
            | Refusal::Ended => StatusCode::CONFLICT,
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Busy | Refusal::NoRoom(_) | Refusal::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<LogReadError> for Problem {
    fn from(fault: LogReadError) -> Self {
        let detail = format!("the log cannot be read: {fault}: see `hookboxctl log verify`");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

/// A body that stands ready, or comes line by line.
pub(super) enum AdminBody {
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

/// The query's parameters. Each handler takes those it knows; what is left over is refused by name.
#[derive(Debug, Default)]
pub(super) struct RequestParams {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl RequestParams {
    /// Reads `a=b&c`; an absent value is empty.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((percent_decode(key, true)?, percent_decode(value, true)?));
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.pairs.iter().position(|(k, _)| k == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// A switch: there at all, or `true` or `1`.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool, Problem> {
        match self.take(key).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(other) => Err(Problem::bad(format!("'{key}' is true or false, not '{other}'"))),
        }
    }

    /// Refuses what nobody took: unknown names, and names given twice.
    pub(super) fn done(&mut self) -> Result<(), Problem> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        if self.known.contains(&key.as_str()) {
            return Err(Problem::bad(format!(
                "the parameter '{key}' is given twice: give it once"
            )));
        }
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Problem::bad(format!("unknown parameter '{key}': the parameters here are {known}")))
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1); `form` also turns `+` into a space.
pub(super) fn percent_decode(text: &str, form: bool) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let pair =
                    tail.get(..2).and_then(|p| data_encoding::HEXLOWER_PERMISSIVE.decode(p).ok());
                let Some(decoded) = pair else {
                    return Err(Problem::bad(
                        "a '%' in the address is not followed by two hex digits",
                    ));
                };
                bytes.extend(decoded);
                rest = &tail[2..];
            }
            b'+' if form => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::bad("the address is not UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::{RequestParams, percent_decode};

    #[test]
    fn parameters_are_decoded_and_leftovers_named() {
        let mut params =
            RequestParams::parse("type=a%2Fb*&limit=3&x=1&follow").expect("well-formed");
        assert_eq!(params.take("type").as_deref(), Some("a/b*"));
        assert_eq!(params.take("limit").as_deref(), Some("3"));
        assert_eq!(params.flag("follow"), Ok(true));
        let refusal = params.done().expect_err("x is left over");
        assert!(
            refusal.detail.contains("'x'") && refusal.detail.contains("limit"),
            "{}",
            refusal.detail
        );
    }

    #[test]
    fn broken_percent_signs_are_refused() {
        for text in ["%", "%2", "%zz", "%ff", "%é"] {
            assert!(percent_decode(text, true).is_err(), "{text}");
        }
        assert_eq!(percent_decode("a+b", false).as_deref(), Ok("a+b"));
    }
}
