//! What the bridge asks of its daemon: leases and what becomes of them, and new events.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::{HookboxConfig, Via};
use super::unix_http::{SocketAnswer, SocketError, SocketRequest, UnixHttp};
use crate::api::given::GivenHeaders;
use crate::api::text::Line;
use crate::api::values::{Int, Span};
use crate::api::views::{EndpointView, LeasesView, ProblemView, SourceView};
use crate::api::{EmptyBody, ExtendBody, GivenUpBody, LeaseBody, RejectBody, SendEventBody};
use crate::model::limits;

/// Why the daemon did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    #[error("{0}")]
    Socket(#[from] SocketError),
    #[error("the daemon answered {status}: {detail}")]
    Refused { status: u16, detail: String, retry_after: Option<u64> },
    #[error("the daemon's answer is not understood: {0}: is it of this version?")]
    Answer(String),
}

impl BoxError {
    /// Whether the same may work in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Answer(_) => false,
        }
    }
}

/// An event that is to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxEvent {
    pub source: String,
    pub event_type: String,
    pub key: String,
    pub content_type: Option<String>,
    /// In lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// What the daemon answers to an event. Its ingress says only of a repetition that it is one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AcceptedAnswer {
    duplicate: bool,
}

/// The daemon of this box.
pub struct BoxClient {
    admin: UnixHttp,
    /// The long polls have connections of their own: what waits there does not delay the others.
    polls: UnixHttp,
    ingress: Option<UnixHttp>,
}

impl BoxClient {
    pub fn new(config: &HookboxConfig) -> Self {
        Self {
            admin: UnixHttp::new(&config.admin_socket),
            polls: UnixHttp::new(&config.admin_socket),
            ingress: config.ingress.as_deref().map(UnixHttp::new),
        }
    }

    pub async fn endpoint(&self, name: &str) -> Result<EndpointView, BoxError> {
        self.ask(&SocketRequest::get(format!("/v1/endpoints/{name}"))).await
    }

    pub async fn source(&self, name: &str) -> Result<SourceView, BoxError> {
        self.ask(&SocketRequest::get(format!("/v1/sources/{name}"))).await
    }

    pub async fn sources(&self) -> Result<Vec<SourceView>, BoxError> {
        let answer = self.admin.send(&SocketRequest::get("/v1/sources?limit=1000"), ANSWER).await?;
        let text = accepted(answer)?;
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(view).collect()
    }

    /// Leases up to `most` deliveries; none when none came in time.
    pub async fn lease(
        &self,
        endpoint: &str,
        most: u32,
        lease_ms: u64,
    ) -> Result<LeasesView, BoxError> {
        let body = LeaseBody {
            max: Some(Int::from_u32(most)),
            wait: Some(Span::from_ms(limits::NATS_POLL_MS)),
            lease: Some(Span::from_ms(lease_ms)),
        };
        let request = post(format!("/v1/endpoints/{endpoint}/lease"), &body)?;
        let within = ANSWER + Duration::from_millis(limits::NATS_POLL_MS);
        view(&accepted(self.polls.send(&request, within).await?)?)
    }

    pub async fn acknowledge(&self, lease: &str) -> Result<(), BoxError> {
        self.settle(lease, "ack", &EmptyBody {}).await
    }

    pub async fn extend(&self, lease: &str, lease_ms: u64) -> Result<(), BoxError> {
        self.settle(lease, "extend", &ExtendBody { lease: Some(Span::from_ms(lease_ms)) }).await
    }

    /// The delivery failed; `dead` says that it would fail each time.
    pub async fn reject(&self, lease: &str, reason: String, dead: bool) -> Result<(), BoxError> {
        let body = RejectBody { after: None, dead, reason: Line::of(&reason) };
        self.settle(lease, "reject", &body).await
    }

    async fn settle(&self, lease: &str, verb: &str, body: &impl Serialize) -> Result<(), BoxError> {
        let request = post(format!("/v1/leases/{lease}/{verb}"), body)?;
        accepted(self.admin.send(&request, ANSWER).await?).map(|_| ())
    }

    /// Makes an event. Whether hookbox had it already.
    pub async fn accept(&self, event: &BoxEvent, via: Via) -> Result<bool, BoxError> {
        let answer = match (via, &self.ingress) {
            (Via::Ingress, Some(ingress)) => ingress.send(&ingress_request(event), ANSWER).await?,
            _ => self.admin.send(&admin_request(event)?, ANSWER).await?,
        };
        let is_stored = answer.status == StatusCode::ACCEPTED;
        if answer.status.is_success() && !is_stored {
            // A preset answers its provider so also where nothing is stored.
            return Err(BoxError::Refused {
                status: answer.status.as_u16(),
                detail: ONLY_202.to_owned(),
                retry_after: None,
            });
        }
        // A source may have a body of its own for its senders (`--answer-body`), or none: the
        // status is what says that the event is stored.
        let text = accepted(answer)?;
        Ok(serde_json::from_slice::<AcceptedAnswer>(&text).unwrap_or_default().duplicate)
    }

    /// Reports a message that the source refused, so that its operator is notified.
    pub async fn report_given_up(
        &self,
        source: &str,
        from: String,
        reason: String,
    ) -> Result<(), BoxError> {
        let body = GivenUpBody { from: Some(Line(from)), reason: Some(Line(reason)) };
        let request = post(format!("/v1/sources/{source}/given-up"), &body)?;
        accepted(self.admin.send(&request, ANSWER).await?).map(|_| ())
    }

    async fn ask<T: DeserializeOwned>(&self, request: &SocketRequest) -> Result<T, BoxError> {
        view(&accepted(self.admin.send(request, ANSWER).await?)?)
    }
}

/// Of a source that answers its senders otherwise.
pub const ONLY_202: &str = "only 202 says that an event is stored: a message comes in by the \
                            ingress through a source without a preset and --answer";

const ANSWER: Duration = Duration::from_millis(limits::NATS_ANSWER_MS);

fn post(path: String, body: &impl Serialize) -> Result<SocketRequest, BoxError> {
    let body = serde_json::to_vec(body).map_err(|error| BoxError::Answer(error.to_string()))?;
    Ok(SocketRequest::post(path, "application/json", body.into()))
}

fn view<T: DeserializeOwned>(text: &[u8]) -> Result<T, BoxError> {
    serde_json::from_slice(text).map_err(|error| BoxError::Answer(error.to_string()))
}

/// The text of an answer, when it is one that says yes.
fn accepted(answer: SocketAnswer) -> Result<Bytes, BoxError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let problem = serde_json::from_slice::<ProblemView>(&answer.body).ok();
    let said = problem.map(|problem| problem.detail).unwrap_or_default();
    Err(BoxError::Refused {
        status: answer.status.as_u16(),
        detail: said.chars().take(limits::NATS_REASON).collect(),
        retry_after: answer.retry_after,
    })
}

/// An event for the admin socket, which asks for no proof: who may open it may do that.
fn admin_request(event: &BoxEvent) -> Result<SocketRequest, BoxError> {
    let mut headers = GivenHeaders::default();
    event.headers.iter().for_each(|(name, value)| headers.push(name.as_str(), value.as_str()));
    let body = SendEventBody {
        source: Line::of(&event.source),
        event_type: Line::of(&event.event_type),
        id: Line::of(&event.key),
        data: None,
        data_base64: Some(STANDARD.encode(&event.body)),
        content_type: event.content_type.as_deref().and_then(Line::of),
        headers,
    };
    post("/v1/events".to_owned(), &body)
}

/// An event as any sender posts it. Type and key are in the headers that need no settings.
fn ingress_request(event: &BoxEvent) -> SocketRequest {
    let kind = event.content_type.as_deref().unwrap_or("application/octet-stream");
    let path = format!("/in/{}", event.source);
    let mut request = SocketRequest::post(path, kind, event.body.clone());
    // CloudEvents have their values percent-encoded: the source decodes this one.
    let kind = event.event_type.replace('%', "%25");
    let own = [("webhook-id", &event.key), ("ce-type", &kind)];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    let all = event.headers.iter().map(|(name, value)| (name.as_str(), value)).chain(own);

    for (name, value) in all {
        let header = (HeaderName::try_from(name), HeaderValue::try_from(value.as_str()));
        if let (Ok(name), Ok(value)) = header {
            request.headers.push((name, value));
        }
    }
    request
}
