//! Why a segment that should go stays for now, and what is logged about it: each reason once for a
//! segment, because it is tried again every few seconds.

use std::collections::BTreeSet;

use crate::log::LogError;
use crate::model::Seq;
use crate::queue::Refusal;

/// Why a segment stays for now.
#[derive(Debug, thiserror::Error)]
pub(in crate::scheduler) enum StayReason {
    #[error("the scheduler gave no answer")]
    NoAnswer,
    #[error("replays that an earlier version began may need its events")]
    NeedUnknown,
    #[error("an event that is still needed cannot be found in it")]
    NotFound,
    #[error("there is no disk space to relocate what is still needed in it")]
    NoSpace,
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] LogError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl StayReason {
    /// Whether it passes by itself at once, and says nothing about the segment.
    fn is_momentary(&self) -> bool {
        matches!(self, Self::NoAnswer | Self::Refused(Refusal::Busy | Refusal::Stopping))
    }
}

/// What was logged about the oldest segment.
#[derive(Debug, Default)]
pub(super) struct StayReports {
    segment: Seq,
    reported: BTreeSet<String>,
}

/// Different reasons that are logged for one segment: an error may be worded anew each time.
const REPORTED: usize = 8;

impl StayReports {
    /// Logs why the segment stays. Returns whether it was a warning.
    pub fn report(&mut self, (first, last): (Seq, Seq), why: &StayReason) -> bool {
        if self.segment != first {
            *self = Self { segment: first, ..Self::default() };
        }

        let is_new = !why.is_momentary()
            && self.reported.len() < REPORTED
            && self.reported.insert(why.to_string());
        if is_new {
            tracing::warn!(first, last, "the oldest segment cannot be dropped yet: {why}");
        } else {
            tracing::debug!(first, last, %why, "a segment cannot be dropped yet");
        }
        is_new
    }

    /// Whether there was a warning.
    #[cfg(test)]
    pub fn has_warned(&self) -> bool {
        !self.reported.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{StayReason, StayReports};
    use crate::queue::Refusal;

    #[test]
    fn each_reason_is_a_warning_once_for_a_segment() {
        let too_many = || Refusal::TooMany { what: "deliveries", limit: 3 }.into();
        let mut reports = StayReports::default();
        let mut warns = |first, why: StayReason| reports.report((first, first + 9), &why);

        assert!(warns(1, StayReason::NotFound) && !warns(1, StayReason::NotFound));
        assert!(warns(1, too_many()) && !warns(1, too_many()) && !warns(1, StayReason::NotFound));
        assert!(!warns(1, Refusal::Busy.into()) && !warns(1, StayReason::NoAnswer));
        assert!(warns(11, StayReason::NotFound), "it is another segment");
    }
}
