//! The report of a delivery that was leased.

use crate::model::{AttemptFault, AttemptReport, Now, Outcome, RequestHead, Settlement};

/// The end of a delivery's lease or offer.
pub struct LeaseResult {
    pub outcome: Outcome,
    pub error: Option<String>,
    pub fault: Option<AttemptFault>,
}

impl LeaseResult {
    /// No consumer came for it.
    pub fn not_taken() -> Self {
        Self {
            outcome: Outcome::Retryable { after_ms: None },
            error: Some("no consumer came for it".to_owned()),
            fault: Some(AttemptFault::NotTaken),
        }
    }

    /// Its consumer let the lease run out.
    pub fn expired() -> Self {
        let error = "its lease ran out before the consumer reported a result";
        Self {
            outcome: Outcome::Retryable { after_ms: None },
            error: Some(error.to_owned()),
            fault: None,
        }
    }

    /// Its consumer has settled it.
    pub fn settled(settlement: Settlement) -> Self {
        let (outcome, error) = match settlement {
            Settlement::Ack | Settlement::Extend { .. } => (Outcome::Delivered, None),
            Settlement::Reject { after_ms, reason } => {
                (Outcome::Retryable { after_ms }, Some(reason))
            }
            Settlement::Dead { reason } => (Outcome::Refused, Some(reason)),
        };
        Self { outcome, error, fault: None }
    }
}

/// The report of an attempt that was a lease.
pub fn lease_report(leased: Now, now: Now, result: LeaseResult) -> AttemptReport {
    AttemptReport {
        started_at: leased.wall_ms,
        duration_ms: now.mono_ms.saturating_sub(leased.mono_ms),
        connect_ms: None,
        outcome: result.outcome,
        request: RequestHead {
            method: "LEASE".to_owned(),
            url: "pull:".to_owned(),
            headers: Vec::new(),
        },
        response: None,
        error: result.error,
        fault: result.fault,
        command: None,
    }
}
