//! What follows from an attempt for a batch and for each of its members. Pure.

use std::collections::BTreeSet;

use crate::model::{AttemptFault, AttemptReport, EventId, HoldReason, Now, Outcome};
use crate::queue::attempts::attempt_retry::{AttemptRetry, FailureVerdict, RetryProgress};
use crate::queue::endpoint::{BatchInFlight, MemberInFlight};
use crate::queue::reports::{DROPPED, error_summary, refusal_reason};
use crate::record::{BatchConsequence, Consequence, NONE_TAKEN, OTHERS_TAKEN};

/// What follows for a batch and for its members.
pub(super) struct BatchOutcome {
    pub batch: BatchConsequence,
    pub each: MemberOutcome,
}

/// What is known of the receiver besides the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prospects {
    /// It makes sense to try the halves of a batch that is given up.
    pub halves_may_succeed: bool,
    /// It has taken something since it first refused this, and since it last failed: then this
    /// alone is to blame. A receiver that refuses everything for a while is to blame itself.
    pub takes_others: bool,
}

/// What follows for the members of a batch.
pub(super) enum MemberOutcome {
    Delivered,
    /// All but `failed` are delivered. These are retried, or are dead.
    Partly {
        failed: BTreeSet<EventId>,
        any_taken: bool,
    },
    Retry {
        delay_ms: u64,
    },
    /// The policy decides for each member: one that has been tried for long does not end the
    /// others. `is_head`: it is the only one, and others of its lane wait for it.
    Own {
        is_head: bool,
    },
    Dead {
        reason: String,
    },
    Held(HoldReason),
}

impl MemberOutcome {
    /// The outcome of an attempt that succeeded; `None` of any other.
    pub fn of_success(
        batch: &BatchInFlight,
        report: &AttemptReport,
        failed: &[EventId],
    ) -> Option<Self> {
        if report.outcome != Outcome::Delivered {
            return None;
        }
        if failed.is_empty() {
            return Some(Self::Delivered);
        }

        let failed: BTreeSet<EventId> = failed.iter().copied().collect();
        let is_taken = |member: &MemberInFlight| !member.ended && !is_among(member, &failed);
        let any_taken = batch.members.iter().any(is_taken);
        Some(Self::Partly { failed, any_taken })
    }
}

impl BatchOutcome {
    /// The outcome of an attempt that succeeded, at least for some members.
    pub fn of_success(each: MemberOutcome) -> Self {
        Self { batch: BatchConsequence::Over, each }
    }

    /// The outcome of an attempt that failed. `together` is the progress of the members.
    pub fn of_failure(
        batch: &BatchInFlight,
        report: &AttemptReport,
        retry: &AttemptRetry,
        together: RetryProgress,
        prospects: Prospects,
    ) -> Self {
        let living = batch.members.iter().filter(|member| !member.ended).count();
        // Of several it is not known which one is to blame: only one that is alone counts as the
        // head of its lane.
        let mut members = batch.members.iter().filter(|member| !member.ended);
        let keeps_back = members.any(|member| member.lane.is_some());
        let is_head = living == 1 && keeps_back;

        let halves = || Self {
            batch: BatchConsequence::Split {
                first: u32::try_from(living.div_ceil(2)).unwrap_or(u32::MAX),
            },
            each: MemberOutcome::Retry { delay_ms: retry.halves_in(together.attempts) },
        };
        let over = |each| Self { batch: BatchConsequence::Over, each };
        let dead = |reason: String| over(MemberOutcome::Dead { reason });
        let held =
            |reason| Self { batch: BatchConsequence::Again, each: MemberOutcome::Held(reason) };

        let status = report.response.as_ref().map(|response| response.status);
        let blames_content = matches!(status, Some(400 | 413 | 422));
        // A receiver or command that refuses several events may mean only one of them, and one
        // alone may keep the template from making a request: in the end each is sent alone.
        let is_unwanted = is_unwanted(report);
        // Nothing but the attempts that failed says that one of several is to blame.
        let may_blame_one = living > 1 && may_be_content(report);

        match &report.outcome {
            _ if is_unwanted && living > 1 => halves(),
            Outcome::Delivered => over(MemberOutcome::Delivered),
            Outcome::Gone => held(HoldReason::Gone),
            Outcome::Hold => held(HoldReason::Receiver),
            Outcome::Drop => dead(DROPPED.to_owned()),
            Outcome::Refused => dead(refusal_reason(report)),
            Outcome::Retryable { .. } if blames_content && living > 1 => halves(),
            Outcome::Retryable { .. }
                if blames_content
                    && prospects.takes_others
                    && (batch.halved || status == Some(413)) =>
            {
                dead(format!("the receiver refuses it alone: {}", error_summary(report)))
            }

            // So that its head is alone, about which `--head-of-line` decides.
            Outcome::Retryable { .. }
                if living > 1 && keeps_back && retry.head_is_due(together.attempts) =>
            {
                halves()
            }

            Outcome::Retryable { .. } => match retry.verdict(together, is_head) {
                // One of them may be what the receiver breaks on, and must not end the others.
                FailureVerdict::RetryIn { .. }
                    if may_blame_one && retry.split_is_due(together.attempts) =>
                {
                    halves()
                }
                FailureVerdict::RetryIn { delay_ms } => {
                    Self { batch: BatchConsequence::Again, each: MemberOutcome::Retry { delay_ms } }
                }
                // Perhaps one of them is to blame: each half gets a last attempt of its own.
                FailureVerdict::GiveUp { .. }
                    if (may_blame_one || (living > 1 && status.is_some()))
                        && prospects.halves_may_succeed =>
                {
                    halves()
                }
                FailureVerdict::GiveUp { .. } | FailureVerdict::Park { .. } => {
                    over(MemberOutcome::Own { is_head })
                }
            },
        }
    }

    /// The outcome where the endpoint has done nothing but fail for too long: it is put on hold
    /// instead of being attempted again.
    pub fn or_hold(self) -> Self {
        match (&self.batch, &self.each) {
            (BatchConsequence::Again, MemberOutcome::Retry { .. })
            | (
                BatchConsequence::Over,
                MemberOutcome::Partly { any_taken: false, .. } | MemberOutcome::Own { .. },
            ) => Self { batch: self.batch, each: MemberOutcome::Held(HoldReason::Failing) },
            _ => self,
        }
    }

    /// What follows for one member.
    pub fn for_member(
        &self,
        now: Now,
        member: &MemberInFlight,
        progress: RetryProgress,
        retry: &AttemptRetry,
        report: &AttemptReport,
    ) -> Consequence {
        if member.ended {
            return Consequence::Ended;
        }

        let age_ms = progress.age_ms;

        match &self.each {
            MemberOutcome::Delivered => Consequence::Delivered,
            MemberOutcome::Partly { failed, .. } if !is_among(member, failed) => {
                Consequence::Delivered
            }
            // The receiver has named it.
            MemberOutcome::Partly { any_taken, .. } => {
                let last = if *any_taken { OTHERS_TAKEN } else { NONE_TAKEN };
                retry.verdict(progress, member.lane.is_some()).consequence(now, age_ms, last)
            }
            MemberOutcome::Retry { delay_ms } => Consequence::retry(now, *delay_ms, age_ms),
            MemberOutcome::Own { is_head } => {
                retry.verdict(progress, *is_head).after(now, age_ms, report)
            }
            MemberOutcome::Dead { reason } => Consequence::Dead { reason: reason.clone() },
            MemberOutcome::Held(reason) => Consequence::Held { reason: reason.clone() },
        }
    }
}

/// Whether the receiver or the command wants it never, or no request could be made of it.
fn is_unwanted(report: &AttemptReport) -> bool {
    let is_refused = report.outcome == Outcome::Refused;
    report.outcome == Outcome::Drop
        || (is_refused && report.command.is_some())
        || (is_refused && report.fault == Some(AttemptFault::NotMade))
}

/// Whether the receiver, or the command, had the request, so that what it failed for may be in it.
/// One that says that it is busy says nothing of what it got.
fn may_be_content(report: &AttemptReport) -> bool {
    match &report.response {
        Some(response) => !matches!(response.status, 429 | 503),
        None => report.connect_ms.is_some() || report.command.is_some(),
    }
}

/// Whether the event of a member is one of these.
fn is_among(member: &MemberInFlight, events: &BTreeSet<EventId>) -> bool {
    member.event_id.is_some_and(|id| events.contains(&id))
}
