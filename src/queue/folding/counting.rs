//! When the totals over all endpoints are counted.
//!
//! Each endpoint keeps what was counted of it last. After a record, that is replaced at the
//! endpoints that the record has changed: whatever changes an endpoint gets it by
//! [`State::changing`].
//!
//! Invariant: between two records the totals are what a walk over all endpoints would count.
//! `Queue::assert_counts` compares them.

use super::state::State;
use crate::model::size::format_bytes;
use crate::model::{EndpointId, Source};
use crate::queue::remembered::endpoint_state::EndpointState;
use crate::queue::remembered::totals::{EndpointPart, EndpointTotals};

impl State {
    /// What is counted over all endpoints.
    #[must_use]
    pub fn totals(&self) -> &EndpointTotals {
        &self.totals
    }

    /// Why this source has to leave what disk space there is to the others; `None` when it holds no
    /// more than its share.
    #[must_use]
    pub fn is_over_share(&self, source: &Source) -> Option<String> {
        let alive = self.totals.alive();
        self.shares.is_over(source.id, self.sources.len(), alive).then(|| {
            format!(
                "disk space is scarce, and source '{}' holds more than its share of it ({}): its \
                 waiting deliveries and dead letters have to be delivered or discarded first",
                source.name,
                format_bytes(self.shares.held_by(source.id))
            )
        })
    }

    /// An endpoint that the record at hand may change.
    pub(in crate::queue) fn changing(&mut self, id: EndpointId) -> Option<&mut EndpointState> {
        let endpoint = self.endpoints.get_mut(&id)?;
        if self.changed.last() != Some(&id) {
            self.changed.push(id);
        }
        Some(endpoint.remembered_mut())
    }

    /// Counts the endpoints that the last record has changed.
    pub(in crate::queue) fn count_changed(&mut self) {
        for id in self.changed.drain(..) {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.remembered_mut().count_in(&mut self.totals);
            }
        }
    }

    /// Counts all endpoints, which a checkpoint leaves to its reader.
    pub(in crate::queue) fn count_all(&mut self) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.remembered_mut().count_in(&mut self.totals);
        }
    }

    /// The totals, as a walk over all endpoints counts them.
    pub(in crate::queue) fn totals_by_looking(&self) -> EndpointTotals {
        let mut all = EndpointTotals::default();
        for endpoint in self.endpoints.values() {
            all.replace(&endpoint.settings.name, None, endpoint.part());
        }
        all
    }
}

impl EndpointState {
    /// What it adds to the totals.
    fn part(&self) -> EndpointPart {
        EndpointPart {
            undone: self.undone,
            retrying: self.retrying.len() as u64,
            delivered: self.delivered,
            dead: self.dead.len(),
            is_held: self.hold.is_some(),
            is_deleted: self.deleted.is_some(),
        }
    }

    /// Counts it as it is by now.
    fn count_in(&mut self, totals: &mut EndpointTotals) {
        let part = self.part();
        if self.counted != Some(part) {
            totals.replace(&self.settings.name, self.counted, part);
            self.counted = Some(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{DeliveryId, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{
        CancelDeliveries, DeleteEndpoint, HoldEndpoint, ReleaseEndpoint, State, StatusQuery,
    };

    /// As the log gives it back after a restart, with the totals of a checkpoint.
    fn restarted(world: &TestQueue) -> State {
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        let again = State::from_checkpoint(&state.checkpoint()).expect("it reads back");
        assert_eq!(again, state, "the totals are those of the fold");
        again
    }

    #[test]
    fn totals_follow_what_endpoints_go_through() {
        let endpoint = |name: &str| Endpoint::new(name, format!("http://{name}.example/"));
        let mut world = TestQueue::new([endpoint("app"), endpoint("sick"), endpoint("kept")]);
        let totals = |world: &TestQueue| {
            let totals = world.queue.state().totals();
            assert_eq!(*totals, restarted(world).totals_by_looking());
            (totals.pending, totals.held, totals.retrying, totals.delivered, totals.dead)
        };

        world.input(HoldEndpoint { name: "kept".to_owned() });
        let events = [world.accept("{}").seq, world.accept("{}").seq];
        assert_eq!(totals(&world), (4, 2, 0, 0, 0));
        let at = |n: usize, endpoint| DeliveryId { seq: events[n], endpoint };
        world.finish(at(0, 1), report(world.now, Outcome::Delivered));
        world.finish(at(1, 1), report(world.now, Outcome::Refused));
        world.finish(at(0, 2), report(world.now, Outcome::Retryable { after_ms: None }));
        assert_eq!(totals(&world), (2, 2, 1, 1, 1));

        world.input(CancelDeliveries { deliveries: vec![at(0, 3)] });
        world.input(ReleaseEndpoint { name: "kept".to_owned() });
        assert_eq!(totals(&world), (3, 0, 1, 1, 1));
        world.input(DeleteEndpoint { name: "app".to_owned() });
        let status = world.queue.ask(world.now, &StatusQuery);
        assert_eq!((status.dead, status.dead_of_deleted, status.endpoints), (1, 1, 2));
        assert_eq!(status.deleted_with_dead, [("app".to_owned(), 1)]);
        assert_eq!(totals(&world), (3, 0, 1, 1, 1));
    }
}
