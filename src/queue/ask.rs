//! Questions about the state. They change nothing.

use super::Queue;
use super::explain::on_the_wall;
use super::input::{DeliveryView, EndpointView, EventView, Query, Reply, RetryView, Status};
use super::state::Lane;
use crate::model::{DeliveryId, EndpointId, Now, Seq};

impl Queue {
    /// Answers a question about the state.
    #[must_use]
    pub fn ask(&self, now: Now, query: &Query) -> Reply {
        match query {
            Query::Status => Reply::Status(Box::new(self.status(now))),
            Query::Endpoints => {
                Reply::Endpoints(self.state.living().map(|lane| self.endpoint_view(now, lane)).collect())
            }
            Query::Explain { delivery, key } => Reply::Explained(Box::new(self.explain(now, *delivery, *key))),
            Query::Deliveries(ids) => Reply::Deliveries(ids.iter().map(|id| self.delivery_view(*id)).collect()),
            Query::Graves { before, limit } => {
                let graves = &self.state.graves;
                let below = before.checked_sub(1).map_or(0, |last| graves.rank(last));
                let first = below.saturating_sub(*limit as u64);
                Reply::Graves((first..below).rev().filter_map(|n| graves.select(n)).collect())
            }
            Query::OldestGraves { limit } => Reply::Graves(self.state.graves.iter().take(*limit).collect()),
            Query::Retrying { endpoint, before, limit } => Reply::Deliveries(self.retrying(*endpoint, *before, *limit)),
            Query::Events(seqs) => Reply::Events(seqs.iter().map(|seq| self.event_view(*seq)).collect()),
            Query::Replays => Reply::Replays(self.state.replays.values().cloned().collect()),
            Query::Lives { first, last, slice } => {
                let range = super::retire::Range { first: *first, last: *last };
                let (events, bytes) = self.lives(range, slice);
                Reply::Carried { events, bytes }
            }
            Query::Imported(identity) => Reply::Imported(self.imported(*identity)),
            Query::Alive { first, last } => {
                Reply::Alive(self.alive(super::retire::Range { first: *first, last: *last }))
            }
        }
    }

    /// Lanes with something to do, in words for a failing test.
    #[doc(hidden)]
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        let lanes = self.state.living().filter(|lane| lane.undone > 0);
        lanes
            .map(|lane| {
                let mut flow = String::new();
                if let Some(f) = self.flows.get(&lane.endpoint.id) {
                    flow = format!("{f:?}");
                }
                let waiting: Vec<String> = lane.retrying.iter().take(5).map(|w| format!("{w:?}")).collect();
                format!(
                    "{} undone {} hold {:?} low {} waiting {} {waiting:?} batches {:?} endpoint {:?} flow {flow}",
                    lane.endpoint.name,
                    lane.undone,
                    lane.hold,
                    lane.low,
                    lane.retrying.len(),
                    lane.batches,
                    lane.endpoint
                )
            })
            .collect()
    }

    /// Counts over everything.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let (state, lanes) = (&self.state, &self.state.lanes);
        let undone = |held: bool| lanes.values().filter(|l| l.hold.is_some() == held).map(|l| l.undone).sum();
        Status {
            events: state.counts.events,
            duplicates: state.counts.duplicates,
            pending: undone(false),
            in_flight: self.in_flight as u64,
            delivered: state.counts.delivered_elsewhere + lanes.values().map(|l| l.delivered).sum::<u64>(),
            dead: lanes.values().map(|l| l.dead.len()).sum(),
            held: undone(true),
            cancelled: state.counts.cancelled,
            attempts: state.counts.attempts,
            failed_attempts: state.counts.failed_attempts,
            retrying: lanes.values().filter(|l| l.hold.is_none()).map(|l| l.retrying.len() as u64).sum(),
            sources: state.sources.len(),
            endpoints: state.living().count(),
            replays: state.replays.len(),
            dedupe_keys: state.dedupe.len(),
            next_seq: state.next_seq,
            offline: self.link.offline.map(|o| (on_the_wall(now, o.since), on_the_wall(now, o.probe_at))),
            away: if self.link.offline.is_some() { self.link.away.len() } else { 0 },
            clock_suspect: self.clock.is_suspect(),
            clock_until: self.clock_until.map(|until| on_the_wall(now, until)),
            breakers_open: self.flows.values().filter(|flow| flow.breaker.open.is_some()).count(),
            parked_lanes: self.flows.values().map(|flow| flow.lanes.count().1).sum(),
            catching_up: self.flows.values().filter(|flow| flow.catching_up.is_some()).count(),
            leased: self.leased,
        }
    }

    fn endpoint_view(&self, now: Now, lane: &Lane) -> EndpointView {
        let flow = self.flows.get(&lane.endpoint.id);
        EndpointView {
            endpoint: lane.endpoint.clone(),
            hold: lane.hold.clone(),
            waiting: lane.undone,
            in_flight: flow.map_or(0, |flow| flow.under_way() as u64),
            retrying: lane.retrying.len() as u64,
            delivered: lane.delivered,
            dead: lane.dead.len(),
            last_error: lane.last_error.clone(),
            last_success_at: lane.last_success_at,
            flow: self.flow_view(now, lane),
        }
    }

    fn delivery_view(&self, delivery: DeliveryId) -> DeliveryView {
        let waiting = self.state.lanes.get(&delivery.endpoint).and_then(|lane| lane.retrying.get(&delivery.seq));
        let retry = waiting.map(|waiting| RetryView {
            attempts: waiting.attempts,
            due_at: waiting.due_at,
            last: waiting.last,
            event: waiting.event,
        });
        DeliveryView { delivery, state: self.delivery_state(delivery), retry }
    }

    fn retrying(&self, endpoint: EndpointId, before: Seq, limit: usize) -> Vec<DeliveryView> {
        let Some(lane) = self.state.lanes.get(&endpoint) else { return Vec::new() };
        let keys = lane.retrying.range(..before).rev().take(limit);
        keys.map(|(key, _)| self.delivery_view(DeliveryId { seq: *key, endpoint })).collect()
    }

    fn event_view(&self, seq: Seq) -> EventView {
        EventView {
            seq,
            duplicates: self.state.duplicates.get(&seq).copied().unwrap_or(0),
            stands_at: self.state.moved.get(&seq).copied().unwrap_or(seq),
        }
    }
}
