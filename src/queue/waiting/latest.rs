//! `--catch-up latest`: of each key only the latest counts, and never is an old value the last that
//! a receiver sees.
//!
//! Two of a key are never under way at a time (the key is a lane, see `lanes`), except in one
//! batch, in their order; what the receiver did not take of it is left out when it took a newer
//! one. While a backlog is worked off, an event is left out as soon as a newer one of its key is
//! known; at any other time only one that has failed, as soon as a newer one is at hand. What the
//! operator asked for again, and replays, have no key: they stand for themselves. So does an event
//! that has no value at the key: another one without is not a newer state of the same thing.

use std::collections::BTreeMap;

use crate::model::{BatchId, DeliveryState, EndpointId, Now, Seq};
use crate::queue::endpoint::MemberInFlight;
use crate::queue::{Draft, Queue};
use crate::record::Record;

impl Queue {
    /// One has failed: it waits only as long as there is no newer one of its key.
    pub(in crate::queue) fn leave_stale(
        &mut self,
        id: EndpointId,
        failed: impl IntoIterator<Item = Seq>,
        now: Now,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint(id);
        if !endpoint.is_latest() {
            return;
        }

        let mut stale = Vec::new();
        for delivery in failed {
            let Some(key) = endpoint.lane_of_waiting(delivery) else { continue };
            stale.extend(endpoint.older_waiting(key, delivery));
            if endpoint.has_newer(key, delivery) {
                stale.push(delivery);
            }
        }
        self.supersede(id, stale, now, draft);
    }

    /// A batch of several of a key has ended: what was not taken of it is left out where a newer
    /// one was.
    pub(in crate::queue) fn leave_overtaken(
        &mut self,
        id: EndpointId,
        members: &[MemberInFlight],
        now: Now,
        draft: &mut Draft,
    ) {
        let endpoint = self.state.endpoint(id);
        if !endpoint.is_latest() {
            return;
        }

        // The newest of each key that was taken.
        let mut taken: BTreeMap<u64, Seq> = BTreeMap::new();
        for MemberInFlight { delivery, lane, .. } in members {
            let is_taken = endpoint.state_of(*delivery) == DeliveryState::Delivered;
            if let Some(key) = lane.filter(|_| is_taken) {
                let newest = taken.entry(key).or_default();
                *newest = (*newest).max(*delivery);
            }
        }

        let overtaken = members.iter().filter(|member| {
            let newest = member.lane.and_then(|key| taken.get(&key));
            let is_older = newest.is_some_and(|newest| *newest > member.delivery);
            is_older && endpoint.retrying.contains_key(&member.delivery)
        });
        let overtaken = overtaken.map(|member| member.delivery).collect();
        self.supersede(id, overtaken, now, draft);
    }

    /// Ends deliveries because newer ones of their keys stand for them.
    pub(in crate::queue) fn supersede(
        &mut self,
        id: EndpointId,
        mut deliveries: Vec<Seq>,
        now: Now,
        draft: &mut Draft,
    ) {
        deliveries.sort_unstable();
        deliveries.dedup();

        // Each batch that loses members is another one from then on.
        let endpoint = self.state.endpoint(id);
        let mut groups: BTreeMap<Option<BatchId>, Vec<Seq>> = BTreeMap::new();
        let mut keys = Vec::new();
        for delivery in deliveries.into_iter().filter(|delivery| !endpoint.is_in_flight(*delivery))
        {
            let batch = endpoint.retrying.get(&delivery).and_then(|waiting| waiting.batch);
            keys.extend(endpoint.lane_of_waiting(delivery).map(|key| (key, delivery)));
            groups.entry(batch).or_default().push(delivery);
        }

        for (batch, deliveries) in groups {
            let next_seq = self.state.next_seq;
            let endpoint = self.state.endpoint_mut(id);
            deliveries.iter().for_each(|delivery| endpoint.withdraw(*delivery));

            let low = endpoint.low_for_record(next_seq);
            let record = Record::Superseded { endpoint: id, deliveries, low, at: now.wall_ms };
            let seq = self.remember(record, draft);
            if let Some(batch) = batch {
                self.state.endpoint_mut(id).rename_batch(batch, BatchId { seq, part: 0 });
            }
        }

        let endpoint = self.state.endpoint_mut(id);
        for (key, delivery) in keys {
            endpoint.wait_no_more(Some(key), delivery);
            endpoint.free_lane(Some(key), now.mono_ms);
        }
    }
}
