//! What a record says of one delivery.

use super::attempt::{AttemptFinished, Consequence};
use super::batch::{BatchConsequence, BatchFinished};
use super::delivery::DeadLetter;
use crate::model::{AttemptReport, BatchId, DeliveryId, Endpoint, Outcome, Seq, WallMs};

/// The error of an event that a receiver named in `failed`, when it took others of the batch.
pub const OTHERS_TAKEN: &str = "the receiver accepted others of its batch, but not this one";
/// The error of an event that a receiver named in `failed`, when it took none of the batch.
pub const NONE_TAKEN: &str = "the receiver did not accept it (it accepted none of its batch)";

/// What a record says of a delivery that was made before.
#[derive(Clone, Copy, Debug)]
pub enum DeliveryFact<'a> {
    Attempted(DeliveryAttempt<'a>),
    /// It joined a batch.
    Batched,
    /// The operator cancelled it, or discarded its dead letter.
    Cancelled {
        at: WallMs,
    },
    /// The operator asked for it to be attempted again.
    Retried {
        at: WallMs,
    },
    /// Catching up left it out, because a later event of the same key replaces it.
    Superseded {
        at: WallMs,
    },
    /// It waits, and its position in the stream was relocated.
    Relocated,
    /// It died by this record.
    Died(&'a DeadLetter),
    /// It is dead, and this record holds its dead letter from now on.
    WasDead(&'a DeadLetter),
}

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
    /// Whether it goes on alone, if it does: the batch of this attempt is over.
    pub goes_alone: bool,
}

impl<'a> DeliveryAttempt<'a> {
    pub(super) fn of_single(attempt: &'a AttemptFinished) -> Self {
        Self {
            delivery: attempt.delivery,
            event: attempt.event,
            number: attempt.number,
            report: &attempt.report,
            next: &attempt.next,
            batch: None,
            uncounted: attempt.uncounted,
            any_taken: false,
            goes_alone: true,
        }
    }

    /// One for each member.
    pub(super) fn of_batch(finished: &'a BatchFinished) -> impl Iterator<Item = Self> {
        let any_taken = finished.members.iter().any(|member| member.next == Consequence::Delivered);
        finished.members.iter().map(move |member| Self {
            delivery: DeliveryId { seq: member.delivery, endpoint: finished.endpoint },
            event: member.event,
            number: member.number,
            report: &finished.report,
            next: &member.next,
            batch: Some(finished.batch),
            uncounted: finished.uncounted,
            any_taken,
            goes_alone: finished.next == BatchConsequence::Over,
        })
    }
}

impl DeliveryAttempt<'_> {
    /// Whether a 2xx was the answer and this event is one that it named as not taken.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.report.outcome == Outcome::Delivered
            && matches!(self.next, Consequence::Retry { .. } | Consequence::Dead { .. })
    }

    /// When it goes out again at the latest, where it has to join a batch of its endpoint first.
    #[must_use]
    pub fn joins_batch_by(&self, endpoint: &Endpoint) -> Option<WallMs> {
        let Consequence::Retry { due_at, .. } = self.next else { return None };
        let batch = endpoint.batch.filter(|_| self.goes_alone)?;
        Some(due_at.saturating_add(batch.max_wait_ms))
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
