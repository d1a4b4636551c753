//! Why a request was refused, as RFC 9457 has it.

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::response::{AdminBody, line, respond};
use crate::admin::log_source::LogReadError;
use crate::api::SpecError;
use crate::api::views::ProblemView;
use crate::queue::Refusal;

/// Why a request was not done, as the caller reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: String,
    /// The methods that the path knows, for 405.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), allow: None }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn missing(what: &'static str, name: &str) -> Self {
        Refusal::NotFound { what, name: name.chars().take(80).collect() }.into()
    }

    /// Whether it cannot be done as things are.
    pub fn is_conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
    }

    /// When the asker has gone; nobody reads it.
    pub fn gone() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the caller went away")
    }

    pub fn view(&self) -> ProblemView {
        ProblemView {
            problem_type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }

    pub fn into_response(self) -> Response<AdminBody> {
        let mut response =
            respond(self.status, "application/problem+json", line(&self.view()).into());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow.and_then(|a| a.parse().ok()) {
            response.headers_mut().insert(ALLOW, allow);
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
            | Refusal::Impossible(_)
            | Refusal::TooMany { .. }
            | Refusal::BinFull { .. }
            | Refusal::Ended => StatusCode::CONFLICT,
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Busy | Refusal::NoDiskSpace(_) | Refusal::Stopping => {
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
