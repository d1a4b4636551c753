//! Deliveries whose own records are gone: a scan of the log does not come by them.

use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::model::{DeliveryId, EndpointId, Now, Seq, limits};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::request::Query;

/// Dead letters and endpoints that are looked at for one answer.
const LOOKED_AT: usize = 16 * limits::SLICE;

/// Which records cannot be read, as far as the state knows it.
#[derive(Clone, Copy, Debug)]
pub struct GoneQuery;

impl Query for GoneQuery {
    type Answer = GoneRecords;

    fn answer(&self, queue: &Queue, _: Now) -> GoneRecords {
        GoneRecords { below: queue.state.first_seq, others: queue.state.lost.clone() }
    }
}

/// Records that cannot be read: all below the first number, and others.
#[derive(Clone, Debug, Default)]
pub struct GoneRecords {
    pub below: Seq,
    pub others: RoaringTreemap,
}

impl GoneRecords {
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        seq < self.below || self.others.contains(seq)
    }

    /// Behind the last one.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.others.max().map_or(self.below, |last| self.below.max(last.saturating_add(1)))
    }
}

/// The dead deliveries that records which are gone have made, from this one on in the order of
/// endpoints.
#[derive(Clone, Debug)]
pub struct OrphansQuery {
    pub gone: Arc<GoneRecords>,
    pub from: DeliveryId,
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orphans {
    pub dead: Vec<(EndpointId, RoaringTreemap)>,
    /// From where there may be others.
    pub next: Option<DeliveryId>,
}

impl Query for OrphansQuery {
    type Answer = Orphans;

    fn answer(&self, queue: &Queue, _: Now) -> Orphans {
        let mut left = LOOKED_AT;
        let mut found = Orphans::default();

        for (id, endpoint) in queue.state.endpoints.range(self.from.endpoint..) {
            let from = if *id == self.from.endpoint { self.from.seq } else { 0 };
            let next = self.look_at(endpoint, from, &mut left, &mut found.dead);
            found.next = next.map(|seq| DeliveryId { seq, endpoint: *id });
            if found.next.is_some() {
                break;
            }
        }
        found
    }
}

impl OrphansQuery {
    /// Adds those of one endpoint. Returns where others may be, when enough was looked at.
    fn look_at(
        &self,
        endpoint: &EndpointQueue,
        from: Seq,
        left: &mut usize,
        found: &mut Vec<(EndpointId, RoaringTreemap)>,
    ) -> Option<Seq> {
        if *left == 0 {
            return Some(from);
        }
        *left -= 1;

        // Most have none before that, which costs no more than a look at the first.
        let end = self.gone.end();
        if endpoint.dead.min().is_none_or(|first| first >= end) {
            return None;
        }
        let mut dead = endpoint.dead.iter();
        dead.advance_to(from);
        let mut here = RoaringTreemap::new();
        let mut next = None;
        for seq in dead.take_while(|seq| *seq < end) {
            if *left == 0 {
                next = Some(seq);
                break;
            }
            *left -= 1;
            if self.gone.contains(seq) {
                here.insert(seq);
            }
        }
        if !here.is_empty() {
            found.push((endpoint.settings.id, here));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roaring::RoaringTreemap;

    use super::{GoneRecords, LOOKED_AT, Orphans, OrphansQuery};
    use crate::model::{DeliveryId, Endpoint, EndpointId, Outcome, Seq};
    use crate::queue::testing::{TestQueue, report};

    fn dead_world(endpoints: EndpointId, events: usize) -> (TestQueue, Vec<Seq>) {
        let named = |n| Endpoint::new(format!("e{n}"), "http://app.example/");
        let mut world = TestQueue::new((0..endpoints).map(named));
        let seqs: Vec<Seq> = (0..events).map(|_| world.accept("{}").seq).collect();
        for seq in &seqs {
            for endpoint in 1..=endpoints {
                let refused = report(world.now, Outcome::Refused);
                world.finish(DeliveryId { seq: *seq, endpoint }, refused);
            }
        }
        (world, seqs)
    }

    fn ask(world: &TestQueue, gone: GoneRecords, from: DeliveryId) -> Orphans {
        world.queue.ask(world.now, &OrphansQuery { gone: Arc::new(gone), from })
    }

    #[test]
    fn only_those_whose_records_cannot_be_read_are_orphans() {
        let (world, events) = dead_world(1, 2);
        let orphans = |below: Seq, others: &[Seq]| {
            let others: RoaringTreemap = others.iter().copied().collect();
            ask(&world, GoneRecords { below, others }, DeliveryId { seq: 0, endpoint: 0 })
        };

        assert_eq!(orphans(1, &[]), Orphans::default());
        let one = Orphans { dead: vec![(1, [events[0]].into_iter().collect())], next: None };
        assert_eq!(orphans(0, &[events[0], 1_000]), one);
        assert_eq!(orphans(events[0] + 1, &[]), one);
    }

    #[test]
    fn many_are_answered_in_parts_of_what_is_looked_at() {
        let (mut world, _) = dead_world(2, 1);
        // As if they had died long ago.
        for endpoint in world.queue.state.endpoints.values_mut() {
            (1..=LOOKED_AT as Seq).for_each(|seq| _ = endpoint.remembered_mut().dead.insert(seq));
        }

        let gone = GoneRecords { below: LOOKED_AT as Seq + 1, others: RoaringTreemap::new() };
        let mut from = Some(DeliveryId { seq: 0, endpoint: 0 });
        let (mut found, mut parts) = (0, 0);
        while let Some(begin) = from {
            let part = ask(&world, gone.clone(), begin);
            let here: u64 = part.dead.iter().map(|(_, dead)| dead.len()).sum();
            assert!(here <= LOOKED_AT as u64, "an answer is bounded: {here}");
            (found, parts, from) = (found + here, parts + 1, part.next);
        }
        assert_eq!((found, parts), (2 * LOOKED_AT as u64, 3));
    }
}
