//! An attempt as it is shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::admin::context::Admin;
use crate::admin::resources::redaction::{headers_view, redacted_url, request_headers};
use crate::api::values::Time;
use crate::api::views::{AttemptView, NextStep, RequestView, ResponseView};
use crate::model::CommandEnd;
use crate::record::{Consequence, DeliveryAttempt};

pub fn attempt_view(admin: &Admin, attempt: &DeliveryAttempt<'_>) -> AttemptView {
    let report = attempt.report;
    let Aftermath { next, next_at, reason } = aftermath(attempt.next);
    let response = report.response.as_ref().map(|response| ResponseView {
        status: response.status,
        headers: headers_view(&response.headers),
        body_base64: STANDARD.encode(&response.body),
        trimmed: report.is_trimmed(),
    });
    let output = |command: &CommandEnd| String::from_utf8_lossy(&command.output).into_owned();

    AttemptView {
        number: attempt.number,
        started_at: Time(report.started_at),
        duration_ms: report.duration_ms,
        outcome: attempt.outcome().name().to_owned(),
        status: report.response.as_ref().map(|r| r.status),
        error: attempt.error().map(str::to_owned),
        next_at,
        next: next.into(),
        reason,
        counted: !attempt.uncounted,
        batch: attempt.batch.map(|batch| batch.to_string()),
        connect_ms: report.connect_ms,
        request: RequestView {
            method: report.request.method.clone(),
            url: redacted_url(admin, &report.request.url),
            headers: request_headers(admin, &report.request.headers),
        },
        response,
        answer: report.words(),
        exit: report.command.as_ref().and_then(|command| command.exit),
        output: report.command.as_ref().map(output),
    }
}

/// What followed from an attempt, as it is shown.
pub struct Aftermath {
    pub next: NextStep,
    pub next_at: Option<Time>,
    /// Why it was given up, or why its lane stopped.
    pub reason: Option<String>,
}

pub fn aftermath(consequence: &Consequence) -> Aftermath {
    let (next, next_at, reason) = match consequence {
        Consequence::Parked { reason } => (NextStep::Parked, None, Some(reason.clone())),
        Consequence::Delivered => (NextStep::Delivered, None, None),
        Consequence::Retry { due_at, .. } => (NextStep::Retry, Some(Time(*due_at)), None),
        Consequence::Dead { reason } => (NextStep::Dead, None, Some(reason.clone())),
        Consequence::Held { .. } => (NextStep::Held, None, None),
        Consequence::Ended => (NextStep::Ended, None, None),
    };
    Aftermath { next, next_at, reason }
}
