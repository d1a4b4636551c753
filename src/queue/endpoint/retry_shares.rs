//! Each source's share of an endpoint's places for deliveries that wait for a retry
//! (`limits::RETRYING`).
//!
//! When these are full no first attempts are made, so a source whose events are refused must not
//! take all of them. What it has beyond its share is left in the stream, untried, and is read again
//! from there once enough of its retries have ended. What others sent goes past it, except where
//! the order forbids that: in its lane. A strict endpoint has no shares. What waits there is one
//! delivery or one batch.

use std::collections::BTreeSet;

use super::delivery::ActiveDelivery;
use super::endpoint_queue::EndpointQueue;
use crate::model::{Order, Seq, SourceId, limits};

impl EndpointQueue {
    /// Whether what this source sent is not attempted for the first time now, because it has its
    /// share of the retries.
    #[must_use]
    pub fn leaves_out(&self, source: SourceId) -> bool {
        self.settings.order != Order::Strict
            && (self.runtime.left_out.first.contains_key(&source)
                || self.has_retries(source, limits::RETRYING_SHARE))
    }

    /// Whether at least `times` as many retries are of this source as others may still have.
    fn has_retries(&self, source: SourceId, times: usize) -> bool {
        let own = self.retrying.of_source(source);
        own > 0 && own >= times * self.free_for_retries()
    }

    fn free_for_retries(&self) -> usize {
        limits::RETRYING.saturating_sub(self.retrying.len())
    }

    /// Sources that have their share from now on leave the prefetch to others; those that have less
    /// again are read again.
    pub fn share_retries(&mut self) {
        let times = limits::RETRYING_SHARE_AGAIN;
        let mut left = std::mem::take(&mut self.runtime.left_out.first);
        left.retain(|source, first| {
            let own = self.retrying.of_source(*source);
            let stays = own > times * self.free_for_retries();
            if !stays {
                self.read_again_from(*first);
            }
            stays
        });
        self.runtime.left_out.first = left;

        // Nobody can have a share of what is free while so few wait.
        if self.retrying.len() >= limits::RETRYING_SHARE * self.free_for_retries() {
            self.leave_prefetch_to_others();
        }
    }

    /// Puts back into the stream what sources with their share have in the prefetch, and what is
    /// behind it in its lane.
    fn leave_prefetch_to_others(&mut self) {
        let mut lanes = BTreeSet::new();
        let mut at = 0;
        while let Some(job) = self.prefetch().get(at) {
            let is_behind = job.lane.is_some_and(|lane| lanes.contains(&lane));
            if !is_behind && !self.leaves_out(job.source) {
                at += 1;
                continue;
            }

            lanes.extend(job.lane);
            let Some(job) = self.runtime.prefetch.take_out(at) else { break };
            self.runtime.lanes.leave_prefetch(job.lane);
            self.runtime.prefetch.release_position(&job);
            self.leave_in_stream(&job);
        }
    }

    /// A delivery that came from the stream, and whose position is nobody's any more, goes back to
    /// it.
    pub fn leave_in_stream(&mut self, job: &ActiveDelivery) {
        if let Some(position) = job.position {
            self.leave_at(position, job.lane, job.source);
            self.runtime.ages.left_in_stream(position, job.born);
        }
    }

    /// The entry at this position is left in the stream, and in its lane what is behind it as well.
    pub(super) fn leave_at(&mut self, position: Seq, lane: Option<u64>, source: SourceId) {
        if self.leaves_out(source) {
            self.runtime.left_out.leave(source, position);
        }
        if let Some(lane) = lane {
            self.runtime.lanes.skip(lane, position);
        }
    }

    /// The sources of which something was left in the stream since this was last asked.
    pub fn take_left_out(&mut self) -> BTreeSet<SourceId> {
        std::mem::take(&mut self.runtime.left_out.lately)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::EndpointQueue;
    use crate::model::share::{Share, ShareHolder};
    use crate::model::{
        Batch, BatchFormat, DeliveryId, Endpoint, EventId, Order, Outcome, Seq, Source, limits,
    };
    use crate::queue::folding::state::{EndpointState, Retrying};
    use crate::queue::remembered::age::RUN_START;
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{CancelDeliveries, CreateSource, ExplainQuery, StatusQuery, WaitReason};
    use crate::record::{AttemptFinished, Consequence, Record};

    /// What one source has at most while it is alone.
    const MOST: usize = limits::RETRYING * limits::RETRYING_SHARE / (1 + limits::RETRYING_SHARE);
    const HOUR: u64 = 3_600_000;

    /// Many events of the source `in` were refused: as many as one source may have. `more` of its
    /// events were not attempted yet, and `others` of another one come after these.
    struct RefusedEvents {
        world: TestQueue,
        refused: Vec<DeliveryId>,
        more: Vec<Seq>,
        others: Vec<Seq>,
    }

    fn refused(endpoint: Endpoint, more: &[&str], others: &[&str]) -> RefusedEvents {
        let mut world = TestQueue::new([endpoint]);
        world.decide(CreateSource(Box::new(Source::new("other", "none"))));
        let accept = |world: &mut TestQueue, source: &str, body: &str| {
            let event = world.matched_of(source, Vec::new(), body.to_owned());
            let accepted: EventId = world.decide(crate::queue::Accept(vec![event]))[0].id;
            accepted.seq
        };
        let refused: Vec<Seq> = (0..MOST)
            .map(|number| accept(&mut world, "in", &format!("{{\"k\":{}}}", 1_000 + number)))
            .collect();
        let more = more.iter().map(|body| accept(&mut world, "in", body)).collect();
        let others = others.iter().map(|body| accept(&mut world, "other", body)).collect();

        let refused: Vec<DeliveryId> =
            refused.into_iter().map(|seq| DeliveryId { seq, endpoint: 1 }).collect();
        for delivery in &refused {
            let failed = attempt(&world, *delivery);
            world.remember(Record::AttemptFinished(Box::new(failed)));
        }
        RefusedEvents { world, refused, more, others }
    }

    /// An attempt that was refused, and is made again after an hour.
    fn attempt(world: &TestQueue, delivery: DeliveryId) -> AttemptFinished {
        let next =
            Consequence::Retry { due_at: world.now.wall_ms + HOUR, delay_ms: HOUR, age_ms: 0 };
        let order = &world.queue.state().endpoints[&1].settings.order;

        AttemptFinished {
            delivery,
            event: delivery.seq,
            number: 1,
            report: report(world.now, Outcome::Retryable { after_ms: None }),
            next,
            prev: 0,
            position: Some(delivery.seq),
            low: delivery.seq,
            // Each in a lane of its own.
            key: (*order == Order::Key).then_some(delivery.seq << 8),
            uncounted: false,
            failing_ms: 0,
            born: RUN_START + 1_000,
            ran_ms: RUN_START + 1_000,
            restraint: None,
            source: 1,
        }
    }

    fn app(order: Order, batch: Option<u32>) -> Endpoint {
        let mut app = Endpoint::new("app", "http://127.0.0.1:1/");
        (app.order, app.retry.jitter) = (order, 0.0);
        app.order_key = (order == Order::Key).then(|| "/k".into());
        app.batch = batch.map(|max_events| Batch {
            max_events,
            max_bytes: 1 << 20,
            max_wait_ms: 1,
            format: BatchFormat::Json,
        });
        app
    }

    impl RefusedEvents {
        /// Lets everything go that may go, each of it taken. Says what was attempted.
        fn taken(&mut self) -> Vec<Seq> {
            let (mut ended, mut ended_batches) = (0, 0);
            let mut taken = Vec::new();
            for _ in 0..50 {
                self.world.pass(10);
                while let Some(delivery) = self.world.attempts.get(ended).copied() {
                    ended += 1;
                    taken.push(delivery.seq);
                    self.world.finish(delivery, report(self.world.now, Outcome::Delivered));
                }
                while let Some(batch) = self.world.batches.get(ended_batches) {
                    ended_batches += 1;
                    taken.extend(batch.events.iter().map(|event| event.seq));
                    self.world.finish_batch(report(self.world.now, Outcome::Delivered), vec![]);
                }
            }
            self.world.attempts.clear();
            self.world.batches.clear();
            taken
        }

        /// The first reason why the next delivery of the source is not attempted.
        fn why_is_more_left(&self) -> Option<WaitReason> {
            let delivery = DeliveryId { seq: self.more[0], endpoint: 1 };
            let asked = ExplainQuery { delivery, key: None, source: Some(1) };
            self.world.queue.ask(self.world.now, &asked).reasons.into_iter().next()
        }

        /// So many retries of the source have ended.
        fn end(&mut self, count: usize) {
            let deliveries = self.refused.drain(..count).collect();
            self.world.input(CancelDeliveries { deliveries });
        }

        fn restart(&mut self) {
            let now = self.world.now;
            self.world.restart(now);
        }
    }

    #[test]
    fn a_source_whose_events_are_refused_leaves_others_their_places() {
        for batch in [None, Some(10)] {
            let mut refused = refused(app(Order::None, batch), &["{}"; 300], &["{}"; 3]);
            refused.restart();
            assert_eq!(refused.taken(), refused.others, "of 300 others none, {batch:?}");
            let share = WaitReason::SourceRetries { waiting: MOST };
            assert_eq!(refused.why_is_more_left(), Some(share));
            let status = refused.world.queue.ask(refused.world.now, &StatusQuery);
            let full = status.full.lately(refused.world.now);
            let of: Vec<_> = full.iter().map(|full| (full.share, full.of.clone())).collect();
            assert_eq!(of, [(Share::Retries, ShareHolder::Source(1))]);

            // A few places are not worth reading all of it again.
            refused.end(limits::RETRYING / 100);
            assert_eq!(refused.taken(), [0; 0]);
            refused.end(limits::RETRYING / 10);
            assert_eq!(refused.taken(), refused.more, "in their order, {batch:?}");
        }
    }

    #[test]
    fn however_many_sources_are_refused_the_next_one_finds_places() {
        let settings = Endpoint { id: 1, ..app(Order::None, None) };
        let mut endpoint = EndpointQueue::new(EndpointState::new(Arc::new(settings), 1));
        let mut next = 1;
        let mut fill = |source| {
            let before = next;
            while !endpoint.leaves_out(source) {
                let waiting = Retrying { source, ..Retrying::due(next, 1, 0, 0) };
                endpoint.remembered_mut().retrying.insert(next, waiting);
                next += 1;
            }
            next - before
        };
        assert_eq!([1, 2, 3, 4, 5].map(&mut fill), [MOST as Seq, 1_536, 384, 96, 24]);

        // One that has no retries has not too many of them, even where no place is left.
        while endpoint.retrying.len() < limits::RETRYING {
            let waiting = Retrying { source: 6, ..Retrying::due(next, 1, 0, 0) };
            endpoint.remembered_mut().retrying.insert(next, waiting);
            next += 1;
        }
        assert!(endpoint.leaves_out(6) && !endpoint.leaves_out(7));
    }

    #[test]
    fn what_a_source_is_left_out_of_keeps_its_order() {
        let more = [r#"{"k":1}"#, r#"{"k":2}"#];
        let mut refused = refused(
            app(Order::Key, None),
            &more,
            &[r#"{"k":1}"#, r#"{"k":3}"#, r#"{"k":1}"#, r#"{"k":2}"#],
        );
        refused.restart();
        let others = refused.others.clone();
        assert_eq!(refused.taken(), [others[1]], "the others are behind what is left out");

        refused.end(limits::RETRYING / 10);
        let taken = refused.taken();
        let lane = |of: &[Seq]| -> Vec<Seq> {
            taken.iter().copied().filter(|seq| of.contains(seq)).collect()
        };
        let (first, second) =
            ([refused.more[0], others[0], others[2]], [refused.more[1], others[3]]);
        assert_eq!(lane(&first), first);
        assert_eq!(lane(&second), second);
    }

    #[test]
    fn a_strict_endpoint_has_no_shares() {
        let settings = Endpoint { id: 1, ..app(Order::Strict, None) };
        let mut endpoint = EndpointQueue::new(EndpointState::new(Arc::new(settings), 1));
        for delivery in 1..=limits::RETRYING as Seq {
            let waiting = Retrying { source: 1, ..Retrying::due(delivery, 1, 0, 0) };
            endpoint.remembered_mut().retrying.insert(delivery, waiting);
        }
        assert!(!endpoint.leaves_out(1), "others must not go past it");
    }

    /// Of a replay it is not known whose it is before its event is read.
    #[test]
    fn a_replay_takes_no_more_than_its_source_may() {
        for batch in [None, Some(10)] {
            let mut refused = refused(app(Order::None, batch), &[], &[]);
            let first = refused.refused[0].seq;
            for _ in 0..20 {
                let (at, ran_ms) = (refused.world.now.wall_ms, RUN_START + 1_000);
                let replayed = Record::Replayed { event: first, endpoint: 1, at, ran_ms };
                refused.world.remember(replayed);
            }
            refused.restart();
            assert_eq!(refused.taken(), [0; 0], "{batch:?}");
            refused.end(limits::RETRYING / 10);
            assert_eq!(refused.taken().len(), 20, "{batch:?}");
        }
    }
}
