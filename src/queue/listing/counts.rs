//! How many deliveries there are in a state, so that a list can say it before it is at its end.

use std::collections::BTreeSet;

use crate::model::{DeliveryState, EndpointId, Now, Seq};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::folding::state::State;
use crate::queue::request::Query;

/// How many deliveries are in this state, of all endpoints or of those of these numbers; `None`
/// where the state does not know it.
#[derive(Clone, Debug)]
pub struct CountQuery {
    pub state: DeliveryState,
    pub endpoints: Option<Vec<EndpointId>>,
}

impl Query for CountQuery {
    type Answer = Option<u64>;

    fn answer(&self, queue: &Queue, _: Now) -> Option<u64> {
        match &self.endpoints {
            None => count_all(&queue.state, self.state),
            Some(ids) => {
                let meant: BTreeSet<EndpointId> = ids.iter().copied().collect();
                let meant = meant.iter().filter_map(|id| queue.state.endpoints.get(id));
                let mut counts = meant.map(|endpoint| count(endpoint, self.state));
                counts.try_fold(0, |all, of_one| Some(all + of_one?))
            }
        }
    }
}

fn count_all(state: &State, wanted: DeliveryState) -> Option<u64> {
    let totals = state.totals();
    let in_flight = |is_meant: &dyn Fn(&EndpointQueue) -> bool| {
        let meant = state.living().filter(|endpoint| is_meant(endpoint));
        meant.map(in_flight).sum::<u64>()
    };

    match wanted {
        DeliveryState::Pending => {
            Some(totals.pending.saturating_sub(in_flight(&|e| e.hold.is_none())))
        }
        DeliveryState::Held => Some(totals.held.saturating_sub(in_flight(&|e| e.hold.is_some()))),
        DeliveryState::InFlight => Some(in_flight(&|_| true)),
        DeliveryState::Dead => Some(totals.dead),
        DeliveryState::Delivered | DeliveryState::Cancelled => None,
    }
}

fn count(endpoint: &EndpointQueue, state: DeliveryState) -> Option<u64> {
    let waits = |is_held: bool| match endpoint.hold.is_some() == is_held {
        true => endpoint.undone.saturating_sub(in_flight(endpoint)),
        false => 0,
    };

    match state {
        DeliveryState::Pending => Some(waits(false)),
        DeliveryState::Held => Some(waits(true)),
        DeliveryState::InFlight => Some(in_flight(endpoint)),
        DeliveryState::Dead => Some(endpoint.dead.len()),
        DeliveryState::Delivered | DeliveryState::Cancelled => None,
    }
}

/// Only what has not ended counts: the operator may have ended what is in flight.
fn in_flight(endpoint: &EndpointQueue) -> u64 {
    if endpoint.under_way() == 0 {
        return 0;
    }
    let known: BTreeSet<Seq> = endpoint.in_flight_records().collect();
    let is_open = |seq: &&Seq| endpoint.is_in_flight(**seq) && is_waiting(endpoint.state_of(**seq));
    known.iter().filter(is_open).count() as u64
}

/// Whether a delivery in this state has not ended.
pub(super) fn is_waiting(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::InFlight | DeliveryState::Held)
}

#[cfg(test)]
mod tests {
    use super::CountQuery;
    use crate::model::{DeliveryId, DeliveryState, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{CancelDeliveries, HoldEndpoint};

    #[test]
    fn deliveries_are_counted_by_state_without_a_list() {
        let endpoint = |name: &str| Endpoint::new(name, format!("http://{name}.example/"));
        let mut world = TestQueue::new([endpoint("app"), endpoint("sick"), endpoint("kept")]);
        world.input(HoldEndpoint { name: "kept".to_owned() });
        let count = |world: &TestQueue, state, endpoints: Option<&[u32]>| {
            let query = CountQuery { state, endpoints: endpoints.map(<[u32]>::to_vec) };
            world.queue.ask(world.now, &query)
        };
        let all = |world: &TestQueue, state| count(world, state, None);

        let first = world.accept("{}").seq;
        let at = |endpoint| DeliveryId { seq: first, endpoint };
        assert_eq!(all(&world, DeliveryState::InFlight), Some(2));
        assert_eq!(all(&world, DeliveryState::Pending), Some(0), "what is in flight counts there");
        assert_eq!(all(&world, DeliveryState::Held), Some(1));
        assert_eq!(count(&world, DeliveryState::Held, Some(&[1, 2])), Some(0));
        assert_eq!(all(&world, DeliveryState::Delivered), None, "not all of them are listed");

        world.finish(at(1), report(world.now, Outcome::Refused));
        assert_eq!(all(&world, DeliveryState::Dead), Some(1));
        assert_eq!(count(&world, DeliveryState::Dead, Some(&[2])), Some(0));
        assert_eq!(all(&world, DeliveryState::InFlight), Some(1));
        world.input(CancelDeliveries { deliveries: vec![at(2)] });
        assert_eq!(all(&world, DeliveryState::InFlight), Some(0), "its attempt means nothing now");

        let second = DeliveryId { seq: world.accept("{}").seq, endpoint: 1 };
        world.finish(second, report(world.now, Outcome::Retryable { after_ms: None }));
        let of_app = count(&world, DeliveryState::Pending, Some(&[1]));
        assert_eq!(of_app, Some(1), "it waits for a retry");
    }
}
