//! What was released: it is compared with what must hold, and performed.

use std::hash::Hash;

use hookbox::model::{AttemptFault, AttemptReport, Seq};
use hookbox::queue::{Accepted, Action, AttemptOrder, Input, Maintenance, ReadOrder, Refusal};
use hookbox::record::{Consequence, Record, encode};
use hookbox::scheduler::{Core, Released, read};
use rand::Rng;

use super::World;
use crate::sim::requests::{Watched, answer};
use crate::sim::store::Disk;

impl World {
    /// Looks at what was released, and plans what comes of it.
    pub(super) fn release(
        &mut self,
        core: &mut Core<&mut Disk>,
        watched: Vec<Watched>,
        mut released: Released,
    ) {
        self.take_down(&released);
        // Before anything is dropped.
        self.checker.read_news(core.store);

        released.send_answers();
        for watched in watched {
            self.see_answer(core, watched);
        }

        for (seq, record) in (released.first..).zip(&released.records) {
            self.see_record(core, seq, record);
        }

        for action in released.actions {
            self.perform(core, action);
        }
    }

    /// Writes down what was decided, and when.
    fn take_down(&mut self, released: &Released) {
        (self.now.mono_ms, self.now.wall_ms).hash(&mut self.trace);
        let mut bytes = Vec::new();
        released.records.iter().for_each(|record| encode(record, &mut bytes));
        bytes.hash(&mut self.trace);
        for action in &released.actions {
            match action {
                // Their events stand in the log.
                Action::Attempt(AttemptOrder::One { delivery, number, .. }) => {
                    (delivery, number).hash(&mut self.trace)
                }
                Action::Attempt(AttemptOrder::Batch { batch, number, .. }) => {
                    (batch, number).hash(&mut self.trace)
                }
                action => format!("{action:?}").hash(&mut self.trace),
            }
        }
    }

    fn see_answer(&mut self, core: &Core<&mut Disk>, watched: Watched) {
        let retired = match watched {
            Watched::Nothing => return,
            Watched::Accepted(accepted) => return self.see_accepted(core, answer(accepted)),
            Watched::Relocated(relocated) => answer(relocated).is_ok(),
            Watched::Retired(retired) => answer(retired).is_ok(),
        };
        if !retired {
            // It begins anew, as the real one does: what was refused was not relocated.
            self.retiring = None;
        }
    }

    fn see_accepted(&mut self, core: &Core<&mut Disk>, accepted: Result<Vec<Accepted>, Refusal>) {
        for Accepted { id, duplicate, .. } in accepted.into_iter().flatten() {
            self.totals.duplicates += u64::from(duplicate);
            self.totals.acknowledged += u64::from(!duplicate);
            if !duplicate {
                assert!(core.store.read(id.seq).is_some(), "{id} was answered but is not durable");
                self.checker.acknowledged.insert(id.seq, id);
            }
        }
    }

    fn see_record(&mut self, core: &Core<&mut Disk>, seq: Seq, record: &Record) {
        self.check_policy(core, record);
        self.restraints.record(core.queue.state(), self.now, seq, record);
        self.witnesses.record(core.queue.state(), self.now, seq, record);
        self.follow_lanes(core, seq, record);
        for attempt in record.attempts() {
            let delivery = attempt.delivery;
            self.totals.uncounted += u64::from(attempt.uncounted);
            match attempt.next {
                Consequence::Retry { delay_ms, .. } => {
                    self.checker.not_before.insert(delivery, self.now.mono_ms + delay_ms);
                }
                Consequence::Dead { .. } => self.totals.dead += 1,
                next => {
                    self.totals.parked += u64::from(matches!(next, Consequence::Parked { .. }));
                    self.totals.held += u64::from(matches!(next, Consequence::Held { .. }));
                    self.checker.not_before.remove(&delivery);
                }
            }
        }

        match record {
            Record::AttemptFinished(attempt) => {
                self.check_uncounted(core, &attempt.report, attempt.uncounted)
            }
            Record::BatchFinished(finished) => {
                self.check_uncounted(core, &finished.report, finished.uncounted);
                let halved =
                    matches!(finished.next, hookbox::record::BatchConsequence::Split { .. });
                self.totals.halved += u64::from(halved);
            }
            Record::Superseded { deliveries, .. } => {
                self.totals.superseded += deliveries.len() as u64
            }
            Record::DeliveryRetried { delivery, .. } => {
                self.checker.not_before.remove(delivery);
                self.backlog.urged(*delivery);
            }
            Record::EndpointReleased { endpoint, .. } => {
                self.checker.not_before.retain(|delivery, _| delivery.endpoint != *endpoint);
            }

            Record::DeliveriesRelocated { waiting } => {
                for relocated in waiting {
                    self.checker.not_before.remove(&relocated.delivery);
                }
            }
            Record::EndpointSet { endpoint } => {
                let (id, allowed) = (endpoint.id, endpoint.concurrency);
                self.checker.set_concurrency(id, allowed, self.now.mono_ms);
                self.backlog.settings_changed(id);
            }
            Record::SegmentDropped { .. } => self.totals.dropped_segments += 1,
            Record::EventRelocated { .. } => self.totals.relocated_events += 1,
            Record::StreamPositionRelocated { waiting } => {
                self.totals.relocated_positions += 1;
                self.backlog.moved(waiting.delivery);
            }
            Record::PositionsRelocated { waiting } => {
                self.totals.relocated_positions += waiting.len() as u64;
            }
            _ => {}
        }
    }

    /// What fails on the way while the daemon knows that it is offline burns no attempt.
    fn check_uncounted(&self, core: &Core<&mut Disk>, report: &AttemptReport, uncounted: bool) {
        let on_the_way =
            matches!(report.fault, Some(AttemptFault::Unreachable | AttemptFault::Unclear));
        if on_the_way && core.queue.is_offline() && !uncounted {
            // The one that showed it is the last that counts; from then on the link is to blame.
            assert!(
                core.queue.offline_since() >= Some(self.now.mono_ms),
                "an attempt was burnt offline: {report:?}"
            );
        }
    }

    fn perform(&mut self, core: &mut Core<&mut Disk>, action: Action) {
        match action {
            Action::Attempt(AttemptOrder::One { delivery, number, endpoint, event }) => {
                self.attempt(core, delivery, number, &endpoint, &event)
            }
            Action::Attempt(AttemptOrder::Batch { endpoint, batch, number, events, .. }) => {
                self.attempt_batch(core, &endpoint, batch, number, &events);
            }

            Action::Read(order) => {
                let within_ms = read_within_ms(&order);
                if self.rng.random_bool(0.5) {
                    return self.plan_read(within_ms, order);
                }
                let input = read(order, &*core.store);
                if let Input::Loaded { delivery, event } = &input {
                    assert!(
                        event.is_some(),
                        "{delivery} waits for an event that is not in the log"
                    );
                }
                self.plan(within_ms, input);
            }

            Action::Report(_) | Action::Maintain(Maintenance::Publish) => {}
            Action::Maintain(Maintenance::DropSegment { first, .. }) => {
                core.store.drop_segment(first)
            }
        }
    }
}

/// How long a read takes at most.
fn read_within_ms(order: &ReadOrder) -> u64 {
    match order {
        ReadOrder::Event { .. } | ReadOrder::Batch { .. } => 5,
        ReadOrder::Stream(_)
        | ReadOrder::Ages { .. }
        | ReadOrder::Replay { .. }
        | ReadOrder::ReplayLeft { .. } => 20,
    }
}
