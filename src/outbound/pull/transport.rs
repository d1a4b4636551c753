//! The transport of a `pull:` endpoint: nothing is sent, consumers lease the deliveries from the
//! hub.

use std::future::ready;

use crate::model::Outcome;
use crate::outbound::boxed::Boxed;
use crate::outbound::transport::{Attempt, RequestPreview, SentAttempt, Transport};

use super::report::{LeaseResult, lease_report};

/// Why there is nothing to send.
const NOTHING_IS_SENT: &str =
    "nothing is sent to a pull endpoint: its consumers lease the deliveries";

/// Sends nothing.
pub struct PullTransport;

impl Transport for PullTransport {
    fn send<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, SentAttempt> {
        let result = LeaseResult {
            outcome: Outcome::Refused,
            error: Some(NOTHING_IS_SENT.to_owned()),
            fault: None,
        };
        let report = lease_report(attempt.started, attempt.started, result);
        Box::pin(ready(SentAttempt { report, response: None }))
    }

    fn preview(&self, _attempt: &Attempt<'_>) -> Result<RequestPreview, String> {
        Err(NOTHING_IS_SENT.to_owned())
    }
}
