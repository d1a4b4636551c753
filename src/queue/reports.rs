//! The report of an attempt, in the words of dead letters and errors.

use crate::model::{AttemptFault, AttemptReport, Now, Outcome, RequestHead};
use crate::record::LOST;

/// The error of an attempt whose event the log cannot give back.
const UNREADABLE: &str = "its event cannot be read from the log: see `hookboxctl log verify`";

/// The reason of a dead letter that its receiver asked to drop.
pub(super) const DROPPED: &str = "the receiver asked for it to be dropped (webhook-delivery: drop)";

/// A failed attempt in one line.
pub(super) fn error_summary(report: &AttemptReport) -> String {
    match (&report.error, &report.response) {
        (Some(error), _) => error.clone(),
        (None, Some(response)) => format!("answered {}", response.status),
        (None, None) => "no answer".to_owned(),
    }
}

/// The same, with what the receiver answered or the command said, made harmless.
pub(super) fn error_with_words(report: &AttemptReport) -> String {
    let error = error_summary(report);
    match report.words() {
        Some(words) => format!("{error}: {words}"),
        None => error,
    }
}

/// The reason of a dead letter that was refused before it was sent.
pub(super) fn refusal_reason(report: &AttemptReport) -> String {
    match report.error.as_deref() {
        Some(UNREADABLE) => LOST.to_owned(),
        Some(error) => error.to_owned(),
        None => "refused before it was sent".to_owned(),
    }
}

/// The pause that the receiver asked for.
pub(super) fn requested_pause_ms(report: &AttemptReport) -> Option<u64> {
    match report.outcome {
        Outcome::Retryable { after_ms } => after_ms,
        _ => None,
    }
}

/// The report of an attempt that could not be made, because the log cannot give its event back.
pub(super) fn event_unreadable(now: Now) -> AttemptReport {
    AttemptReport {
        started_at: now.wall_ms,
        duration_ms: 0,
        connect_ms: None,
        outcome: Outcome::Refused,
        request: RequestHead::default(),
        response: None,
        error: Some(UNREADABLE.to_owned()),
        fault: Some(AttemptFault::NotMade),
        command: None,
    }
}

/// Whether the receiver took the event, or said that it never wants it. Either way it does its
/// work: whoever can send it unwanted events must not make it look ill.
pub(super) fn has_decided(report: &AttemptReport) -> bool {
    match report.outcome {
        Outcome::Delivered | Outcome::Drop => true,
        Outcome::Refused => report.command.is_some(),
        Outcome::Retryable { .. } | Outcome::Gone | Outcome::Hold => false,
    }
}
