//! Refusals as their senders see them: problem documents (RFC 9457).

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::BodyError;
use super::verify::ProviderAnswer;
use crate::model::{Rate, limits};
use crate::queue::Refusal;

/// The response to one connection too many, written before there is a request.
pub(super) const TOO_MANY_CONNECTIONS: &[u8] = concat!(
    "HTTP/1.1 503 Service Unavailable\r\n",
    "retry-after: 1\r\n",
    "connection: close\r\n",
    "content-type: application/problem+json\r\n",
    "content-length: 110\r\n",
    "\r\n",
    "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,",
    "\"detail\":\"too many connections; try later\"}  "
)
.as_bytes();

/// A request that was refused: the response to the sender, and the reason for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestProblem {
    pub status: StatusCode,
    /// For the sender.
    pub detail: Cow<'static, str>,
    /// A short stable word for the counter.
    pub kind: &'static str,
    /// It was refused for its proof or its address: many of these are worth a notice.
    pub is_unproven: bool,
    /// For the operator, where `detail` says too little.
    pub reason: Option<String>,
    pub retry_after_s: Option<u32>,
    pub allow: Option<&'static str>,
    /// The connection cannot be used any more.
    pub close: bool,
    /// The provider wants this answer instead of a problem document.
    pub instead: Option<ProviderAnswer>,
}

impl IngestProblem {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            kind,
            is_unproven: false,
            reason: None,
            retry_after_s: None,
            allow: None,
            close: false,
            instead: None,
        }
    }

    pub fn malformed(detail: &'static str) -> Self {
        Self { close: true, ..Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail) }
    }

    /// The detail is the same whatever was wrong with the proof. What could not be checked for want
    /// of a setting is not the sender's fault.
    pub fn unproven(kind: &'static str, reason: String, instead: Option<ProviderAnswer>) -> Self {
        if kind == "settings" || instead.as_ref() == Some(&ProviderAnswer::try_again()) {
            let detail = "the proof cannot be checked at the moment: try again later";
            let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail);
            let (reason, retry_after_s) = (Some(reason), Some(30));
            return Self { is_unproven: true, reason, retry_after_s, ..problem };
        }
        let detail = "the proof that this source asks for is missing or wrong";
        let problem = Self::new(StatusCode::UNAUTHORIZED, kind, detail);
        Self { is_unproven: true, reason: Some(reason), instead, ..problem }
    }

    /// `client`: its address, without a port, as a proxy names it.
    pub fn not_allowed(client: &str) -> Self {
        let reason = Some(format!("{client} is not in the allow-list"));
        Self {
            is_unproven: true,
            reason,
            ..Self::new(StatusCode::FORBIDDEN, "address", "this address may not post here")
        }
    }

    pub fn too_often(after_ms: u64, rate: Rate) -> Self {
        let reason =
            Some(format!("more than {} in {} ms, as --rate says", rate.count, rate.per_ms));
        let often =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "rate", "too many requests: try again later");
        let seconds = u32::try_from(after_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        Self { reason, retry_after_s: Some(seconds), ..often }
    }

    /// The source refused so many requests without a proof that their reasons are not reported one
    /// by one.
    pub fn unproven_too_often(after_ms: u64, rate: Rate, reason: &str) -> Self {
        let often = Self::too_often(after_ms, rate);
        let reason = format!(
            "more than {} without a proof in {} ms, the last: {reason}",
            rate.count, rate.per_ms
        );
        Self { kind: "rate-unproven", is_unproven: true, reason: Some(reason), ..often }
    }

    pub fn nowhere() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing here: post events to /in/{source}",
        )
    }

    pub fn no_such_source() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-source",
            "there is no such source: post events to /in/{source}",
        )
    }

    pub fn method(allow: &'static str) -> Self {
        let allowed =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", format!("allowed here: {allow}"));
        Self { allow: Some(allow), ..allowed }
    }

    pub fn target_too_long(limit: usize) -> Self {
        let detail = format!("the request target may have {limit} bytes");
        Self { close: true, ..Self::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail) }
    }

    pub fn too_many_fields(limit: usize) -> Self {
        let detail = format!("a head may have {limit} fields");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self { close: true, ..Self::new(status, "head-too-large", detail) }
    }

    pub fn head_too_large(limit: usize) -> Self {
        let detail = format!("a head may have {limit} bytes and {} fields", limits::HEADERS);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self { close: true, ..Self::new(status, "head-too-large", detail) }
    }

    pub fn slow_head() -> Self {
        let slow =
            Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the head was not received in time");
        Self { close: true, ..slow }
    }

    pub fn too_large(limit: u64) -> Self {
        let detail = format!("a body may have {limit} bytes here");
        Self { close: true, ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail) }
    }

    pub fn too_many_events(limit: usize) -> Self {
        let detail = format!("a request may hold {limit} events here");
        let reason = Some(format!("the batch has more than {limit} events, the limit of --split"));
        Self { reason, ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-events", detail) }
    }

    pub fn no_memory() -> Self {
        let busy = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many requests at once: try again in a moment",
        );
        Self { retry_after_s: Some(1), close: true, ..busy }
    }

    /// Whoever asks may be a stranger: the reason, which may have figures, is for the operator.
    pub fn not_ready(reason: String) -> Self {
        let detail = "not accepting events at the moment: `hookboxctl status` says why";
        Self {
            retry_after_s: Some(5),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail)
        }
    }

    pub fn internal(reason: &str) -> Self {
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error");
        Self { reason: Some(reason.to_owned()), ..problem }
    }

    pub(super) fn of_body(error: BodyError, limit: u64) -> Self {
        match error {
            BodyError::TooLarge => Self::too_large(limit),
            BodyError::NoMemory => Self::no_memory(),
            BodyError::TooSlow => Self::slow_body(),
            BodyError::Broken(reason) => Self::broken_body(&reason),
        }
    }

    fn slow_body() -> Self {
        let detail = "the body was not received in time";
        Self { close: true, ..Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail) }
    }

    fn broken_body(reason: &str) -> Self {
        let detail = "the body is malformed or incomplete";
        Self {
            reason: Some(format!("the body could not be read: {reason}")),
            close: true,
            ..Self::new(StatusCode::BAD_REQUEST, "broken-body", detail)
        }
    }

    /// The scheduler did not accept the events.
    pub fn of_refusal(refusal: &Refusal) -> Self {
        let unavailable = |kind, detail, after| Self {
            retry_after_s: Some(after),
            reason: Some(refusal.to_string()),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
        };

        match refusal {
            Refusal::Busy => {
                unavailable("busy", "too many requests at once: try again in a moment", 1)
            }
            Refusal::NoDiskSpace(_) => unavailable(
                "no-disk-space",
                "there is no disk space left for events: try again later",
                30,
            ),
            Refusal::Stopping => {
                unavailable("stopping", "the daemon is stopping: try again in a moment", 5)
            }
            // The source went away between the look-up and the decision.
            Refusal::NotFound { .. } => {
                Self { reason: Some(refusal.to_string()), ..Self::no_such_source() }
            }
            Refusal::BinFull { .. } => {
                let full = Self::new(StatusCode::TOO_MANY_REQUESTS, "bin-full", "this bin is full");
                Self { retry_after_s: Some(3600), reason: Some(refusal.to_string()), ..full }
            }
            Refusal::TooMany { what, limit } => {
                let detail = format!("at most {limit} {what} are possible: send smaller batches");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-deliveries", detail)
            }
            Refusal::Exists { .. }
            | Refusal::Invalid(_)
            | Refusal::Impossible(_)
            | Refusal::Ended => {
                let refused = Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "refused",
                    "the event was not accepted",
                );
                Self { reason: Some(refusal.to_string()), ..refused }
            }
        }
    }

    /// The reason, for the operator.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.detail)
    }

    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Refused")
    }

    /// The problem document (RFC 9457).
    pub fn document(&self) -> String {
        let status = self.status.as_u16();
        let title = self.title();
        let detail = &self.detail;
        serde_json::json!({
            "type": "about:blank", "title": title, "status": status, "detail": detail,
        })
        .to_string()
    }

    /// All of what the sender is answered.
    pub fn answer(&self) -> ProviderAnswer {
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let (parts, _) = self.response().into_parts();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        ProviderAnswer {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: self.document().into_bytes(),
        }
    }

    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.document())));
        *response.status_mut() = self.status;

        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{IngestProblem, ProviderAnswer, Rate, Refusal};
    use crate::ingest::verify::REFUSAL_KINDS;

    /// The texts in quotes that are short stable words.
    fn words(code: &str) -> impl Iterator<Item = &str> {
        let is_word = |text: &&str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        code.split('"').skip(1).step_by(2).filter(|text| !text.is_empty()).filter(is_word)
    }

    #[test]
    fn the_reference_has_a_row_for_each_kind_and_no_others() {
        let page = include_str!("../../docs/reference/refusals.md");
        let row = |line: &'static str| Some(line.strip_prefix("| `")?.split_once('`')?.0);
        let rows: BTreeSet<&str> = page.lines().filter_map(row).collect();

        let code = |file: &'static str| file.split("#[cfg(test)]").next().unwrap_or_default();
        let members = ["type", "title", "status", "detail"];
        let here = words(code(include_str!("problem.rs"))).filter(|word| !members.contains(word));
        let kinds = words(code(include_str!("preamble.rs"))).chain(here);
        let kinds: BTreeSet<&str> = kinds.chain(REFUSAL_KINDS.iter().copied()).collect();
        assert_eq!(rows, kinds);
    }

    #[test]
    fn what_cannot_be_checked_is_a_problem_document_that_asks_to_try_again() {
        for kind in ["settings", "no-keys", "unknown-key"] {
            let again = Some(ProviderAnswer::try_again());
            let answer = IngestProblem::unproven(kind, "no key".into(), again).answer();
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status == 503 && text.contains("try again later"), "{kind}: {text}");
            let retry = ("retry-after".to_owned(), "30".to_owned());
            assert!(answer.headers.contains(&retry), "{answer:?}");
        }
        let own = ProviderAnswer::empty(403);
        let answer = IngestProblem::unproven("mismatch", "no".into(), Some(own.clone())).answer();
        assert_eq!(answer, own, "what a provider insists on");
    }

    #[test]
    fn what_says_nothing_about_the_sender_is_no_missing_proof() {
        let rate = Rate { count: 1, per_ms: 1_000 };
        let unproven = [
            IngestProblem::unproven("mismatch", "no".into(), None),
            IngestProblem::not_allowed("192.0.2.1"),
            IngestProblem::unproven_too_often(1, rate, "mismatch"),
        ];
        assert!(unproven.iter().all(|problem| problem.is_unproven));

        let busy = IngestProblem::of_refusal(&Refusal::Busy);
        let others = [IngestProblem::internal("x"), IngestProblem::no_such_source(), busy];
        assert!(!others.iter().any(|problem| problem.is_unproven));
        assert!(!IngestProblem::too_often(1, rate).is_unproven);
    }

    #[test]
    fn a_missing_proof_is_explained_to_the_operator_alone() {
        let problem = IngestProblem::unproven("stale", "timestamp is 412 s old".into(), None);
        let response = format!("{:?}", problem.response());
        assert!(!response.contains("412") && !problem.detail.contains("stale"));
        assert!(problem.reason().contains("412"));
    }
}
