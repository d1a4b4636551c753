//! Where the deliveries of an endpoint end in the log, so that nobody looks for them behind that.

use super::candidates::Candidates;
use crate::model::{EndpointId, Now, Seq};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::request::Query;

/// The last record of the streams of these endpoints, 0 when they never had deliveries: behind it,
/// these are listed only where something was relocated to ([`RelocatedQuery`]). `None`: that is not
/// known.
#[derive(Clone, Debug)]
pub struct LastDeliveryQuery(pub Vec<EndpointId>);

impl Query for LastDeliveryQuery {
    type Answer = Option<Seq>;

    fn answer(&self, queue: &Queue, _: Now) -> Option<Seq> {
        let state = &queue.state;
        if !state.knows_where_ended_are_listed() {
            return None;
        }
        // Of one that is forgotten it is not known.
        let mut lasts = self.0.iter().map(|id| last_delivery(state.endpoints.get(id)?));
        lasts.try_fold(0, |last, of_one| Some(of_one?.max(last)))
    }
}

/// The records between these two to which retention has relocated events or positions, the newest
/// of them.
#[derive(Clone, Debug)]
pub struct RelocatedQuery {
    pub after: Seq,
    pub before: Seq,
}

impl Query for RelocatedQuery {
    type Answer = Candidates;

    fn answer(&self, queue: &Queue, _: Now) -> Candidates {
        let state = &queue.state;
        let newest = self.before.checked_sub(1).and_then(|last| state.last_relocated(last));
        let newest = newest.filter(|newest| *newest > self.after);
        let Some(window) = newest.and_then(|newest| state.window_of(newest)) else {
            return Candidates::default();
        };

        let mut records = state.relocated_in(window);
        records.remove_range(..=self.after);
        let from = Some(state.older_than(window)).filter(|from| *from > self.after + 1);
        Candidates { from: from.unwrap_or(0), records, endpoints: None }
    }
}

/// The last record of the endpoint's deliveries, 0 when it has none.
fn last_delivery(endpoint: &EndpointQueue) -> Option<Seq> {
    let ended = endpoint.delivered + endpoint.died + endpoint.dead.len();
    let has_any = endpoint.undone + ended > 0 || !endpoint.cancelled.is_empty();
    // A checkpoint of an earlier version does not say where the stream ends.
    (endpoint.stream_end > 0 || !has_any).then_some(endpoint.stream_end)
}

#[cfg(test)]
mod tests {
    use super::LastDeliveryQuery;
    use crate::model::{Endpoint, Source};
    use crate::queue::testing::TestQueue;
    use crate::queue::{CreateSource, Loss, SettleLoss};

    #[test]
    fn the_last_delivery_of_an_endpoint_bounds_its_list() {
        let endpoint = |name: &str| Endpoint::new(name, format!("http://{name}.example/"));
        let mut world = TestQueue::new([
            endpoint("app"),
            Endpoint { types: vec!["other".to_owned()], ..endpoint("never") },
        ]);
        let [first, second] = [world.accept("{}").seq, world.accept("{}").seq];
        world.input(CreateSource(Box::new(Source::new("another", "none"))));
        let last = |world: &TestQueue, ids: &[u32]| {
            world.queue.ask(world.now, &LastDeliveryQuery(ids.to_vec()))
        };
        assert_eq!((last(&world, &[1]), last(&world, &[1, 2])), (Some(second), Some(second)));
        assert_eq!((last(&world, &[2]), last(&world, &[])), (Some(0), Some(0)), "there are none");

        world.input(SettleLoss(Loss::Records { first, last: first }));
        assert_eq!(last(&world, &[1]), None, "an event may stand anywhere");
    }
}
