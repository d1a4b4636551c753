//! Questions about the state, each with what it is answered. They change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::explanation::{Explanation, on_the_wall};
use super::snapshot::{DeliverySnapshot, EndpointSnapshot, EventSnapshot, RetrySnapshot, Status};
use crate::model::{
    DeliveryId, DeliveryState, Endpoint, EndpointId, EventId, Now, Seq, SourceId, WallMs, limits,
};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::input::AliveRange;
use crate::queue::request::Query;
use crate::queue::retention::unsettled::Unsettled;
use crate::queue::stream::relocation::{RelocationSlice, SegmentRange};
use crate::record::Replay;

/// Counts over everything.
#[derive(Clone, Debug)]
pub struct StatusQuery;

impl Query for StatusQuery {
    type Answer = Status;

    fn answer(&self, queue: &Queue, now: Now) -> Status {
        queue.status(now)
    }
}

/// Whether the queue has nothing to do, now or later, unless something new comes: no delivery that
/// has not ended waits (those of an endpoint on hold wait for the operator), and no replay or
/// notice.
#[derive(Clone, Copy, Debug)]
pub struct IdleQuery;

impl Query for IdleQuery {
    type Answer = bool;

    fn answer(&self, queue: &Queue, now: Now) -> bool {
        let status = queue.status(now);
        status.pending == 0
            && status.in_flight == 0
            && status.replays == 0
            && queue.notices_due().is_none()
    }
}

/// All endpoints.
#[derive(Clone, Debug)]
pub struct EndpointsQuery;

impl Query for EndpointsQuery {
    type Answer = Vec<EndpointSnapshot>;

    fn answer(&self, queue: &Queue, now: Now) -> Vec<EndpointSnapshot> {
        queue.state.living().map(|endpoint| queue.endpoint_view(now, endpoint)).collect()
    }
}

/// Why a delivery stands where it stands. `key`: its lane, see
/// [`Keys::order_key`](crate::queue::Keys::order_key). `source`: that of its event, where it is
/// known.
#[derive(Clone, Debug)]
pub struct ExplainQuery {
    pub delivery: DeliveryId,
    pub key: Option<u64>,
    pub source: Option<SourceId>,
}

impl Query for ExplainQuery {
    type Answer = Explanation;

    fn answer(&self, queue: &Queue, now: Now) -> Explanation {
        queue.explain(now, self)
    }
}

/// Where each of these stands.
#[derive(Clone, Debug)]
pub struct DeliveriesQuery(pub Vec<DeliveryId>);

impl Query for DeliveriesQuery {
    type Answer = Vec<DeliverySnapshot>;

    fn answer(&self, queue: &Queue, now: Now) -> Vec<DeliverySnapshot> {
        let mut closes_at = BTreeMap::new();
        let ids = self.0.iter().map(|id| {
            let of_endpoint = closes_at.entry(id.endpoint);
            let closes_at = of_endpoint.or_insert_with(|| queue.batch_closes_at(id.endpoint, now));
            queue.delivery_view(*id, *closes_at)
        });
        ids.collect()
    }
}

/// The dead letters that died before this record, newest first, up to a limit.
#[derive(Clone, Debug)]
pub struct DeadLetterSeqsQuery {
    pub before: Seq,
    pub limit: usize,
}

impl Query for DeadLetterSeqsQuery {
    type Answer = Vec<Seq>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<Seq> {
        let all = &queue.state.dead_letter_seqs;
        let Some(last) = self.before.checked_sub(1) else { return Vec::new() };
        let mut newest = all.iter();
        newest.advance_back_to(last);
        newest.rev().take(self.limit).collect()
    }
}

/// The oldest dead letters that died after this record, up to a limit.
#[derive(Clone, Debug)]
pub struct OldestDeadLetterSeqsQuery {
    pub after: Seq,
    pub limit: usize,
}

impl Query for OldestDeadLetterSeqsQuery {
    type Answer = Vec<Seq>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<Seq> {
        let all = &queue.state.dead_letter_seqs;
        let Some(first) = self.after.checked_add(1) else { return Vec::new() };
        let mut oldest = all.iter();
        oldest.advance_to(first);
        oldest.take(self.limit).collect()
    }
}

/// Deliveries of one endpoint that wait for a retry, newest first, before this record.
#[derive(Clone, Debug)]
pub struct RetryingQuery {
    pub endpoint: EndpointId,
    pub before: Seq,
    pub limit: usize,
}

impl Query for RetryingQuery {
    type Answer = Vec<DeliverySnapshot>;

    fn answer(&self, queue: &Queue, now: Now) -> Vec<DeliverySnapshot> {
        let Some(endpoint) = queue.state.endpoints.get(&self.endpoint) else { return Vec::new() };
        let closes_at = queue.batch_closes_at(self.endpoint, now);
        let newest = endpoint.retrying.range(..self.before).rev().take(self.limit);
        let ids = newest.map(|(seq, _)| DeliveryId { seq: *seq, endpoint: self.endpoint });
        ids.map(|id| queue.delivery_view(id, closes_at)).collect()
    }
}

/// How often each of these events came again, and where its record stands now.
#[derive(Clone, Debug)]
pub struct EventsQuery(pub Vec<Seq>);

impl Query for EventsQuery {
    type Answer = Vec<EventSnapshot>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<EventSnapshot> {
        self.0.iter().map(|seq| queue.event_view(*seq)).collect()
    }
}

/// The replays under way.
#[derive(Clone, Debug)]
pub struct ReplaysQuery;

impl Query for ReplaysQuery {
    type Answer = Vec<Replay>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<Replay> {
        queue.state.replays.values().cloned().collect()
    }
}

/// Replays that ended before their end, because their endpoints were deleted: the last of this run.
#[derive(Clone, Debug)]
pub struct EndedReplaysQuery;

impl Query for EndedReplaysQuery {
    type Answer = Vec<(Replay, Arc<Endpoint>)>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<(Replay, Arc<Endpoint>)> {
        queue.ended_replays.iter().cloned().collect()
    }
}

/// How many events of a slice would be relocated, and their bytes, without doing so.
#[derive(Clone, Debug)]
pub struct LivesQuery {
    pub first: Seq,
    pub last: Seq,
    pub slice: RelocationSlice,
}

impl Query for LivesQuery {
    type Answer = (usize, u64);

    fn answer(&self, queue: &Queue, _: Now) -> (usize, u64) {
        queue.lives(SegmentRange { first: self.first, last: self.last }, &self.slice)
    }
}

/// The record of the event that was imported with this fingerprint of its first id.
#[derive(Clone, Debug)]
pub struct ImportedQuery(pub u64);

impl Query for ImportedQuery {
    type Answer = Option<Seq>;

    fn answer(&self, queue: &Queue, _: Now) -> Option<Seq> {
        queue.imported(self.0)
    }
}

/// What has to be settled when these records cannot be read.
#[derive(Clone, Debug)]
pub struct UnsettledQuery(pub RoaringTreemap);

impl Query for UnsettledQuery {
    type Answer = Box<Unsettled>;

    fn answer(&self, queue: &Queue, _: Now) -> Box<Unsettled> {
        Box::new(queue.unsettled(&self.0))
    }
}

/// What is still needed of a segment. `None`: it is not known, and the segment stays for now.
#[derive(Clone, Debug)]
pub struct AliveQuery {
    pub first: Seq,
    pub last: Seq,
}

impl Query for AliveQuery {
    type Answer = Option<AliveRange>;

    fn answer(&self, queue: &Queue, _: Now) -> Option<AliveRange> {
        queue.alive(SegmentRange { first: self.first, last: self.last })
    }
}

impl Queue {
    /// Lanes with something to do, in words for a failing test.
    #[doc(hidden)]
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        let endpoints = self.state.living().filter(|endpoint| endpoint.undone > 0);

        endpoints
            .map(|endpoint| {
                let waiting: Vec<String> =
                    endpoint.retrying.iter().take(5).map(|w| format!("{w:?}")).collect();
                format!(
                    "{} undone {} hold {:?} low {} waiting {} {waiting:?} batches {:?} endpoint \
                     {:?} {endpoint:?}",
                    endpoint.settings.name,
                    endpoint.undone,
                    endpoint.hold,
                    endpoint.low,
                    endpoint.retrying.len(),
                    endpoint.batches,
                    endpoint.settings
                )
            })
            .collect()
    }

    /// Asserts that what is counted over all endpoints agrees with them.
    ///
    /// # Panics
    /// When it does not, with both numbers.
    #[doc(hidden)]
    pub fn assert_counts(&self) {
        let held: usize =
            self.state.endpoints.values().map(|endpoint| endpoint.prefetch().bytes()).sum();
        assert_eq!(
            self.prefetch_memory.bytes(),
            held,
            "the bytes of prefetched events, as counted and as the endpoints hold them"
        );

        assert_eq!(
            *self.state.totals(),
            self.state.totals_by_looking(),
            "what is counted over all endpoints, as it was kept and by looking at each of them"
        );
        for endpoint in self.state.endpoints.values() {
            assert_eq!(
                endpoint.attempted_since(),
                endpoint.attempted_since_by_looking(),
                "the oldest that is attempted, by the index of endpoint '{}' and by looking",
                endpoint.settings.name
            );
        }
    }

    /// Counts over everything.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let (state, totals) = (&self.state, self.state.totals());
        let deleted_with_dead = totals.deleted_with_dead().take(limits::WORST_SHOWN);

        Status {
            events: state.counts.events,
            duplicates: state.counts.duplicates,
            pending: totals.pending,
            in_flight: (self.slots.in_flight + self.slots.first) as u64,
            delivered: state.counts.delivered_elsewhere + totals.delivered,
            dead: totals.dead,
            dead_of_deleted: totals.dead_of_deleted,
            deleted_with_dead: deleted_with_dead.map(|(name, n)| (name.to_owned(), n)).collect(),
            held: totals.held,
            cancelled: state.counts.cancelled,
            attempts: state.counts.attempts,
            failed_attempts: state.counts.failed_attempts,
            retrying: self.waiting_for_retry(),
            sources: state.sources.len(),
            endpoints: totals.living,
            replays: state.replays.len(),
            dedupe_keys: state.dedupe.len(),
            dedupe_conflicts: state.counts.conflicts,
            next_seq: state.next_seq,
            first_seq: state.first_seq,
            lost: state.counts.lost,
            over_share: self.over_share(),
            settings_bytes: self.settings.all(),
            offline: self
                .link
                .offline
                .map(|o| (on_the_wall(now, o.since), on_the_wall(now, o.probe_at))),
            away: if self.link.offline.is_some() { self.link.away.len() } else { 0 },
            clock_suspect: self.clock.is_suspect(),
            clock_until: self.clock_until.map(|until| on_the_wall(now, until)),
            breakers_open: state.living().filter(|e| e.breaker().open.is_some()).count(),
            parked_lanes: state.living().map(|e| e.lanes().count().1).sum(),
            catching_up: state.living().filter(|e| e.catching_up().is_some()).count(),
            leased: self.slots.leased,
            full: self.full_shares.clone(),
            acknowledged: state.acknowledged.clone(),
        }
    }

    /// Deliveries that wait for a retry, of endpoints that are not on hold.
    fn waiting_for_retry(&self) -> u64 {
        let going_on = self.state.living().filter(|endpoint| endpoint.hold.is_none());
        let under_way: usize = going_on.map(EndpointQueue::retries_under_way).sum();
        self.state.totals().retrying.saturating_sub(under_way as u64)
    }

    fn over_share(&self) -> Vec<String> {
        let sources = self.state.sources.values();
        sources
            .filter(|s| self.state.is_over_share(s).is_some())
            .map(|source| source.name.clone())
            .collect()
    }

    pub(in crate::queue) fn endpoint_view(
        &self,
        now: Now,
        endpoint: &EndpointQueue,
    ) -> EndpointSnapshot {
        let undecided_last = endpoint.undecided_last;
        let undecided = EventId { seq: undecided_last, tag: self.tag_of(undecided_last) };

        EndpointSnapshot {
            endpoint: endpoint.settings.clone(),
            hold: endpoint.hold.clone(),
            waiting: endpoint.undone,
            in_flight: endpoint.under_way() as u64,
            retrying: endpoint.retrying.len().saturating_sub(endpoint.retries_under_way()) as u64,
            delivered: endpoint.delivered,
            dead: endpoint.dead.len(),
            last_error: endpoint.last_error.clone(),
            last_failure: endpoint.last_failure,
            last_success_at: endpoint.last_success_at,
            undecided: endpoint.undecided,
            undecided_last: (endpoint.undecided > 0).then_some(undecided),
            lagging_since: endpoint.lagging_since(),
            troubled_since: super::worst::troubled_since(endpoint),
            flow: self.endpoint_activity(now, endpoint),
        }
    }

    /// When the batch closes that is open at this endpoint, by the wall clock.
    fn batch_closes_at(&self, endpoint: EndpointId, now: Now) -> Option<WallMs> {
        let endpoint = self.state.endpoints.get(&endpoint)?;
        endpoint.batch_closes_at(now.mono_ms).map(|at| on_the_wall(now, at))
    }

    /// Where a delivery stands; `closes_at`: the open batch of its endpoint.
    fn delivery_view(&self, delivery: DeliveryId, closes_at: Option<WallMs>) -> DeliverySnapshot {
        let waiting = self
            .state
            .endpoints
            .get(&delivery.endpoint)
            .and_then(|endpoint| endpoint.retrying.get(&delivery.seq));
        let state = self.delivery_state(delivery);
        let waits_alone = waiting.is_none_or(|waiting| waiting.batch.is_none() && !waiting.parked);
        let may_join = waits_alone && state == DeliveryState::Pending;
        let retry = waiting.map(|waiting| RetrySnapshot {
            attempts: waiting.attempts,
            due_at: waiting.due_at,
            last: waiting.last,
            event: waiting.event,
        });
        let batch_closes_at = closes_at.filter(|_| may_join);
        DeliverySnapshot { delivery, state, retry, batch_closes_at }
    }

    fn event_view(&self, seq: Seq) -> EventSnapshot {
        EventSnapshot {
            seq,
            duplicates: self.state.duplicates.get(&seq).copied().unwrap_or(0),
            stands_at: self.state.held_at(seq),
        }
    }
}
