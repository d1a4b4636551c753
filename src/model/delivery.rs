//! Deliveries, attempts and their outcomes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::safe_text::excerpt;
use super::{Header, WallMs, limits};

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum DeliveryState {
    /// Not ended and not held: waiting for its first attempt or for a retry.
    Pending,
    /// Handed to outbound, with no result yet.
    InFlight,
    Delivered,
    /// Given up by policy, kept for the operator.
    Dead,
    /// Waiting behind an endpoint on hold.
    Held,
    /// Ended by the operator, or by the deletion of its endpoint.
    Cancelled,
}

/// Why an endpoint is on hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum HoldReason {
    Operator,
    /// The receiver answered 410.
    Gone,
    /// Nothing but failure for days.
    Failing,
    /// The receiver asked for it (`webhook-delivery: hold`).
    Receiver,
    /// Its one lane is parked behind a head that fails.
    Parked,
}

impl HoldReason {
    /// The reason as people read it.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Operator => "by the operator",
            Self::Gone => "the receiver answered 410 Gone",
            Self::Failing => "no success for hold_after",
            Self::Receiver => "the receiver asked for it",
            Self::Parked => "a lane is parked behind a delivery that fails",
        }
    }
}

/// What an attempt came to. Data, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Delivered,
    /// Try again by policy; not before `after_ms` from now, when the receiver asked for that.
    Retryable {
        after_ms: Option<u64>,
    },
    /// 410: the endpoint is put on hold, the delivery waits.
    Gone,
    /// No use in trying again: the address is refused, the URL is not one.
    Refused,
    /// The receiver asks that the endpoint be put on hold (`webhook-delivery: hold`); the delivery
    /// waits.
    Hold,
    /// The receiver never wants to see it (`webhook-delivery: drop`).
    Drop,
}

impl Outcome {
    /// As it is shown.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retryable { .. } => "retryable",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Hold => "hold",
            Self::Drop => "drop",
        }
    }
}

/// What an attempt says of the way rather than of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptFault {
    /// The system itself knows no way there: no route, the network is down.
    NoRoute,
    /// Nobody answered on the way: the name could not be looked up, the connection timed out.
    Unreachable,
    /// It does not say whether anybody can be reached: a connection stood, and then nothing came on
    /// it; or this machine did not let it be made.
    Unclear,
    /// It was lent out, and no consumer took it.
    NotTaken,
    /// No request could be made of its event, so nobody was asked: the event cannot be read, or the
    /// template has no answer to it.
    NotMade,
}

/// The request of an attempt, secrets left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHead {
    pub method: String,
    pub url: String,
    pub headers: Vec<Header>,
}

impl RequestHead {
    /// The header that names the trace which the attempt belongs to.
    #[must_use]
    pub fn traceparent(&self) -> Option<&Header> {
        self.headers.iter().find(|header| header.name == "traceparent")
    }
}

/// The response of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHead {
    pub status: u16,
    pub headers: Vec<Header>,
    /// The first bytes of the body, see `limits::RESPONSE_KEPT`.
    pub body: Bytes,
}

/// How a command ended that took a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandEnd {
    /// `None` when it was killed.
    pub exit: Option<i32>,
    pub signal: Option<i32>,
    /// The end of its output, see `limits::OUTPUT_KEPT`.
    pub output: Bytes,
}

/// What outbound reports of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    pub started_at: WallMs,
    pub duration_ms: u64,
    /// Until the connection stood; `None` when one from the pool was used or none came about.
    pub connect_ms: Option<u64>,
    pub outcome: Outcome,
    pub request: RequestHead,
    pub response: Option<ResponseHead>,
    /// In plain words, when there is no response or it could not be read.
    pub error: Option<String>,
    /// When it failed on the way.
    #[serde(default)]
    pub fault: Option<AttemptFault>,
    /// How the command of an `exec:` endpoint ended.
    #[serde(default)]
    pub command: Option<CommandEnd>,
}

impl AttemptReport {
    /// Leaves out what can be done without, where disk space is scarce.
    pub fn trim(&mut self) {
        self.request.headers = Vec::new();
        if let Some(response) = &mut self.response {
            response.headers = Vec::new();
            response.body = Bytes::new();
        }
    }

    /// Whether an answer came of which that was left out: every request that is answered has
    /// headers.
    #[must_use]
    pub fn is_trimmed(&self) -> bool {
        let is_bare = |answer: &ResponseHead| answer.headers.is_empty() && answer.body.is_empty();
        self.request.headers.is_empty() && self.response.as_ref().is_some_and(is_bare)
    }

    /// What the receiver answered, or the command said: its beginning in one harmless line. `None`
    /// where the error says the same, as that of a command that printed one line.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let answer = self.response.as_ref().map(|response| &response.body);
        let output = self.command.as_ref().map(|command| &command.output);
        let words = excerpt(answer.or(output)?, limits::WORDS)?;
        let is_said =
            self.error.as_ref().is_some_and(|error| error.contains(&format!(": {words}")));
        (!is_said).then_some(words)
    }
}
