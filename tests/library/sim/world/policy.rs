//! What the retry policy says holds for every delay that was decided, of halves of a batch as well;
//! and a batch is halved only where something is taken.

use hookbox::model::{
    AttemptFault, AttemptReport, DeliveryId, EndpointId, HeadOfLine, Order, Outcome, backoff,
};
use hookbox::record::{BatchConsequence, Consequence, Record};
use hookbox::scheduler::Core;

use super::World;
use crate::sim::store::Disk;

/// A delay that ends so close to the max age of its delivery was made to end there.
const AT_THE_END_MS: u64 = 2_000;

impl World {
    /// Looks at a record before the others learn from it.
    pub(super) fn check_policy(&self, core: &Core<&mut Disk>, record: &Record) {
        for attempt in record.attempts().filter(|attempt| !attempt.uncounted) {
            if let Consequence::Retry { delay_ms, .. } = attempt.next {
                self.check_delay(core, attempt.delivery, attempt.number, *delay_ms, attempt.report);
            }
        }

        let delivered = record.attempts().filter(|of| *of.next == Consequence::Delivered);
        for delivery in delivered.map(|attempt| attempt.delivery) {
            let taken = self.checker.taken.contains(&delivery);
            assert!(taken, "{delivery} is called delivered: its receiver never took it");
        }

        if let Record::BatchFinished(finished) = record
            && matches!(finished.next, BatchConsequence::Split { .. })
            && !blames_content(&finished.report)
            && !is_for_its_head(core, finished.endpoint, record)
        {
            assert!(
                !self.restraints.is_open(finished.endpoint),
                "{} is halved although its endpoint's breaker is open: {:?} {:?}",
                finished.batch,
                finished.report,
                core.queue.state().endpoints.get(&finished.endpoint).map(|found| &found.settings)
            );
        }
    }

    fn check_delay(
        &self,
        core: &Core<&mut Disk>,
        delivery: DeliveryId,
        number: u32,
        delay_ms: u64,
        report: &AttemptReport,
    ) {
        let endpoint = core.queue.state().endpoints.get(&delivery.endpoint);
        // What is deleted in the same step has no settings any more.
        let endpoint = endpoint.filter(|endpoint| endpoint.deleted.is_none());
        let (Some(endpoint), Some(age_ms)) = (endpoint, self.restraints.age(self.now, delivery))
        else {
            return;
        };
        let policy = &endpoint.settings.retry;
        let is_last = age_ms + delay_ms + AT_THE_END_MS >= policy.max_age_ms;
        if is_last || report.fault == Some(AttemptFault::NotTaken) {
            return;
        }

        let least = backoff::delay_ms(policy, number) as f64 * (1.0 - policy.jitter);
        assert!(
            delay_ms as f64 + 1.0 >= least,
            "the delay of {delivery} after attempt {number} is {delay_ms} ms, shorter than its \
             policy has it, {least} ms: {policy:?} {report:?}"
        );
    }
}

/// Whether the batch of a lane was tried so often that its head has to be alone, about which
/// `--head-of-line` decides.
fn is_for_its_head(core: &Core<&mut Disk>, endpoint: EndpointId, record: &Record) -> bool {
    let Some(endpoint) = core.queue.state().endpoints.get(&endpoint) else { return false };
    let after = match endpoint.settings.head_of_line {
        HeadOfLine::Block => return false,
        HeadOfLine::Skip { after } | HeadOfLine::Park { after } => after,
    };
    let most = record.attempts().map(|attempt| attempt.number).max();
    endpoint.settings.order != Order::None && most.is_some_and(|most| most >= after)
}

/// Whether what is in a batch is to blame, so that smaller ones may be taken wherever it is.
fn blames_content(report: &AttemptReport) -> bool {
    let status = report.response.as_ref().map(|response| response.status);
    matches!(status, Some(400 | 413 | 422)) || matches!(report.outcome, Outcome::Drop)
}
