//! Lists of deliveries in some state read the records that the queue names, and no others: none of
//! the deliveries may stand elsewhere.

use std::collections::BTreeMap;

use hookbox::model::{DeliveryId, DeliveryState, Seq};
use hookbox::queue::{CandidatesQuery, DeliveriesQuery, LastDeliveryQuery, RelocatedQuery};
use hookbox::scheduler::Core;
use roaring::RoaringTreemap;

use super::World;
use super::ends::story;
use crate::sim::store::Disk;

const STATES: [DeliveryState; 5] = [
    DeliveryState::Pending,
    DeliveryState::InFlight,
    DeliveryState::Held,
    DeliveryState::Delivered,
    DeliveryState::Cancelled,
];

impl World {
    pub(super) fn check_candidates(&self, core: &Core<&mut Disk>) {
        let listed = listed(core);
        let candidates = STATES.map(|state| self.candidates(core, state));
        let ids = listed.chunk_by(|one, other| one.0 == other.0).map(|same| same[0].0).collect();

        for view in core.queue.ask(self.now, &DeliveriesQuery(ids)) {
            let Some(at) = STATES.iter().position(|state| *state == view.state) else { continue };
            // Nothing is known: all records are read.
            let Some(candidates) = &candidates[at] else { continue };
            let id = view.delivery;
            let from = listed.partition_point(|(other, _)| *other < id);
            let records = listed[from..].iter().take_while(|(other, _)| *other == id);
            let records: Vec<Seq> = records.map(|(_, at)| *at).collect();
            let is_met = |at: &Seq| candidates.contains(*at);
            // Those that wait for a retry, and have no record of their own, are listed at the end.
            let is_met = match records.contains(&id.seq) {
                true => candidates.contains(id.seq),
                false => view.retry.is_some() || records.iter().any(is_met),
            };
            assert!(
                is_met,
                "{id} is {:?}, stands at {records:?}, and is looked for elsewhere: {}",
                view.state,
                story(core.store, id)
            );
        }

        // Behind the end of its endpoint's stream it is listed where it was relocated to.
        let mut last_of = BTreeMap::new();
        for same in listed.chunk_by(|one, other| one.0 == other.0) {
            let id = same[0].0;
            let ask = || core.queue.ask(self.now, &LastDeliveryQuery(vec![id.endpoint]));
            let Some(last) = *last_of.entry(id.endpoint).or_insert_with(ask) else { continue };
            let is_met = |at: Seq| at <= last || self.is_relocated(core, last, at);
            assert!(same.iter().any(|(_, at)| is_met(*at)), "{id}: {same:?}, behind {last}");
        }
    }

    fn is_relocated(&self, core: &Core<&mut Disk>, after: Seq, at: Seq) -> bool {
        let query = RelocatedQuery { after, before: at + 1 };
        core.queue.ask(self.now, &query).records.contains(at)
    }

    /// The records that can be of deliveries in this state.
    fn candidates(&self, core: &Core<&mut Disk>, state: DeliveryState) -> Option<RoaringTreemap> {
        let mut query = CandidatesQuery { state, endpoint: None, before: Seq::MAX };
        let mut all = RoaringTreemap::new();
        while query.before > 0 {
            let part = core.queue.ask(self.now, &query)?;
            all |= part.records;
            query.before = part.from;
        }
        Some(all)
    }
}

/// All deliveries, each with the records at which a list may come by it, in order.
fn listed(core: &Core<&mut Disk>) -> Vec<(DeliveryId, Seq)> {
    let mut listed = Vec::new();
    for (at, record) in core.store.refs(core.queue.state().first_seq) {
        let placed = record.stream_positions(at).map(|waiting| waiting.delivery);
        let held = record.held_event();
        let relocated = held.and_then(|held| Some((held.relocated_from?, held.fan_out)));
        let relocated = relocated.into_iter().flat_map(|(seq, endpoints)| {
            endpoints.iter().map(move |endpoint| DeliveryId { seq, endpoint: *endpoint })
        });
        listed.extend(placed.chain(relocated).map(|id| (id, at)));
    }
    listed.sort_unstable();
    listed.dedup();
    listed
}
