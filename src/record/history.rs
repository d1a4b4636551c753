//! What a record says about single deliveries: the attempts it reports, and the dead letter it
//! holds.

use super::attempt::{AttemptFinished, Consequence};
use super::batch::BatchFinished;
use super::delivery::DeadLetter;
use super::variants::Record;
use crate::model::{AttemptReport, BatchId, DeliveryId, Outcome, Seq};

/// The error of an event that a receiver named in `failed`, when it took others of the batch.
pub const OTHERS_TAKEN: &str = "the receiver took others of its batch, but not this one";
/// The error of an event that a receiver named in `failed`, when it took none of the batch.
pub const NONE_TAKEN: &str = "the receiver did not take it (it took none of its batch)";

/// An attempt from the view of one delivery, whether it was made for it alone or for its batch.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryAttempt<'a> {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub number: u32,
    pub report: &'a AttemptReport,
    pub next: &'a Consequence,
    pub batch: Option<BatchId>,
    pub uncounted: bool,
    /// Whether the receiver took any of the batch.
    pub any_taken: bool,
}

impl DeliveryAttempt<'_> {
    /// Whether a 2xx was the answer and this event is one that it named as not taken.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.report.outcome == Outcome::Delivered
            && matches!(self.next, Consequence::Retry { .. } | Consequence::Dead { .. })
    }

    /// The error of the attempt for this delivery.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match (self.is_left_out(), self.any_taken) {
            (true, true) => Some(OTHERS_TAKEN),
            (true, false) => Some(NONE_TAKEN),
            (false, _) => self.report.error.as_deref(),
        }
    }

    /// The outcome of the attempt for this delivery.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.is_left_out() {
            Outcome::Retryable { after_ms: None }
        } else {
            self.report.outcome.clone()
        }
    }
}

impl Record {
    /// The attempts that this record reports: one, one for each member of a batch, or none.
    pub fn attempts(&self) -> impl Iterator<Item = DeliveryAttempt<'_>> {
        let (single, batch) = self.ended_attempt();
        let of_single = single.map(|attempt| DeliveryAttempt {
            delivery: attempt.delivery,
            event: attempt.event,
            number: attempt.number,
            report: &attempt.report,
            next: &attempt.next,
            batch: None,
            uncounted: attempt.uncounted,
            any_taken: false,
        });

        let of_batch = batch.into_iter().flat_map(|finished| {
            let any_taken =
                finished.members.iter().any(|member| member.next == Consequence::Delivered);
            finished.members.iter().map(move |member| DeliveryAttempt {
                delivery: DeliveryId { seq: member.delivery, endpoint: finished.endpoint },
                event: member.event,
                number: member.number,
                report: &finished.report,
                next: &member.next,
                batch: Some(finished.batch),
                uncounted: finished.uncounted,
                any_taken,
            })
        });

        of_single.into_iter().chain(of_batch)
    }

    /// The attempt that this record ends, for one delivery or for a batch.
    fn ended_attempt(&self) -> (Option<&AttemptFinished>, Option<&BatchFinished>) {
        match self {
            Self::AttemptFinished(attempt) => (Some(&**attempt), None),
            Self::BatchFinished(finished) => (None, Some(&**finished)),

            Self::LogStarted { .. }
            | Self::SourceSet { .. }
            | Self::SourceDeleted { .. }
            | Self::EndpointSet { .. }
            | Self::EndpointDeleted { .. }
            | Self::EndpointHeld { .. }
            | Self::EndpointReleased { .. }
            | Self::EventAccepted { .. }
            | Self::DuplicateSeen { .. }
            | Self::DeliveryCancelled { .. }
            | Self::DeliveryRetried { .. }
            | Self::ReplayStarted { .. }
            | Self::Replayed { .. }
            | Self::ReplayAdvanced { .. }
            | Self::EventRelocated { .. }
            | Self::DeliveriesRelocated { .. }
            | Self::DeadLetterRecorded { .. }
            | Self::SegmentDropped { .. }
            | Self::BatchFormed { .. }
            | Self::RateSpent { .. }
            | Self::Superseded { .. }
            | Self::DeliveryDied { .. }
            | Self::EventImported { .. }
            | Self::StreamPositionRelocated { .. }
            | Self::RecordsLost { .. }
            | Self::DeadLettersForgotten { .. }
            | Self::FilterUndecided { .. }
            | Self::EndpointAway { .. }
            | Self::EndpointBack { .. }
            | Self::ClockRan { .. }
            | Self::KeysLearned { .. } => (None, None),
        }
    }

    /// The dead letter that this record, number `seq`, holds, when it holds one.
    #[must_use]
    pub fn dead_letter(&self, seq: Seq) -> Option<DeadLetter> {
        match self {
            Self::DeadLetterRecorded { dead, .. } | Self::DeliveryDied { dead } => {
                Some(dead.clone())
            }
            Self::AttemptFinished(attempt) => {
                let Consequence::Dead { reason } = &attempt.next else { return None };
                Some(DeadLetter {
                    delivery: attempt.delivery,
                    event: attempt.event,
                    attempts: attempt.number,
                    died_at: attempt.report.started_at + attempt.report.duration_ms,
                    reason: reason.clone(),
                    last: seq,
                })
            }

            Self::LogStarted { .. }
            | Self::SourceSet { .. }
            | Self::SourceDeleted { .. }
            | Self::EndpointSet { .. }
            | Self::EndpointDeleted { .. }
            | Self::EndpointHeld { .. }
            | Self::EndpointReleased { .. }
            | Self::EventAccepted { .. }
            | Self::DuplicateSeen { .. }
            | Self::DeliveryCancelled { .. }
            | Self::DeliveryRetried { .. }
            | Self::ReplayStarted { .. }
            | Self::Replayed { .. }
            | Self::ReplayAdvanced { .. }
            | Self::EventRelocated { .. }
            | Self::DeliveriesRelocated { .. }
            | Self::SegmentDropped { .. }
            | Self::BatchFormed { .. }
            | Self::BatchFinished(_)
            | Self::RateSpent { .. }
            | Self::Superseded { .. }
            | Self::EventImported { .. }
            | Self::StreamPositionRelocated { .. }
            | Self::RecordsLost { .. }
            | Self::DeadLettersForgotten { .. }
            | Self::FilterUndecided { .. }
            | Self::EndpointAway { .. }
            | Self::EndpointBack { .. }
            | Self::ClockRan { .. }
            | Self::KeysLearned { .. } => None,
        }
    }
}
