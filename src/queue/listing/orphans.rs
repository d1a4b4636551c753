//! Deliveries whose own records are gone: a scan of the log does not come by them.

use roaring::RoaringTreemap;

use crate::model::{EndpointId, Now};
use crate::queue::Queue;
use crate::queue::request::Query;

/// What a scan of the log does not come by, because its own record cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Orphans {
    /// Records that cannot be read.
    pub gone: RoaringTreemap,
    /// The dead deliveries that such records made.
    pub dead: Vec<(EndpointId, RoaringTreemap)>,
}

/// Where deliveries can be without a record of their own; `unreadable` are records that the log
/// knows to be so, besides those of which the state knows it.
#[derive(Clone, Debug)]
pub struct OrphansQuery {
    pub unreadable: RoaringTreemap,
}

impl Query for OrphansQuery {
    type Answer = Orphans;

    fn answer(&self, queue: &Queue, _: Now) -> Orphans {
        let mut gone = &self.unreadable | &queue.state.lost;
        gone.insert_range(..queue.state.first_seq);
        let endpoints = queue.state.endpoints.values();
        let dead = endpoints.map(|endpoint| (endpoint.settings.id, &endpoint.dead & &gone));
        let dead = dead.filter(|(_, dead)| !dead.is_empty()).collect();
        Orphans { gone, dead }
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::OrphansQuery;
    use crate::model::{DeliveryId, Endpoint, Outcome};
    use crate::queue::testing::{TestQueue, report};

    #[test]
    fn only_those_whose_records_cannot_be_read_are_orphans() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let events = [world.accept("{}").seq, world.accept("{}").seq];
        for seq in events {
            let refused = report(world.now, Outcome::Refused);
            world.finish(DeliveryId { seq, endpoint: 1 }, refused);
        }
        let orphans = |unreadable: &[u64]| {
            let unreadable: RoaringTreemap = unreadable.iter().copied().collect();
            world.queue.ask(world.now, &OrphansQuery { unreadable })
        };

        let none = orphans(&[]);
        assert!(none.dead.is_empty() && !none.gone.contains(events[0]));
        let one = orphans(&[events[0], 1_000]);
        assert_eq!(one.dead, [(1, [events[0]].into_iter().collect())]);
        assert!(one.gone.contains(events[0]) && !one.gone.contains(events[1]));
    }
}
