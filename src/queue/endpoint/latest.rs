//! Of each key only the latest counts: what is newer, and what is not worth an attempt any more.
//! See `latest`.

use std::cmp::Reverse;

use super::backlog::CatchingUp;
use super::endpoint_queue::EndpointQueue;
use crate::model::Seq;
use crate::queue::stream::stream_entry::StreamEntry;

impl EndpointQueue {
    /// Whether one of this key that came later is at hand, or was seen while catching up.
    #[must_use]
    pub fn has_newer(&self, key: u64, delivery: Seq) -> bool {
        let is_newer = |newest: Option<Seq>| newest.is_some_and(|newest| newest > delivery);
        let noted = |catching: &CatchingUp| catching.newest(key);
        is_newer(self.catching_up().and_then(noted))
            || is_newer(self.lanes().newest_waiting(key))
            || self
                .prefetch()
                .iter()
                .chain(self.runtime.in_flight.values())
                .any(|job| job.lane == Some(key) && job.delivery.seq > delivery)
    }

    /// Those of this key that came before `delivery`, wait, and are not worth an attempt any more
    /// now that it is known.
    #[must_use]
    pub fn older_waiting(&self, key: u64, delivery: Seq) -> Vec<Seq> {
        let failed = self.lanes().waiting(key).filter(|other| *other < delivery);
        let mut older: Vec<Seq> =
            failed.filter(|other| self.retrying.contains_key(other)).collect();

        let backward = self.reads_back().is_some();
        let fresh = self.prefetch().iter().filter(|job| job.lane == Some(key));
        let fresh = fresh.map(|job| job.delivery.seq).filter(|other| *other < delivery);
        older.extend(fresh.filter(|other| backward || self.is_backlog(*other)));
        older
    }

    /// Sorts what waits so that the newest comes first; of one lane they stay in their order,
    /// behind one another.
    pub(super) fn sort_newest_lane_first(&self, waiting: &mut [Seq]) {
        let newest = |delivery: Seq| {
            let key = self.lane_of_waiting(delivery)?;
            self.lanes().newest_waiting(key)
        };
        waiting
            .sort_by_key(|delivery| (Reverse(newest(*delivery).unwrap_or(*delivery)), *delivery));
    }

    /// An entry of the stream is about to be prefetched: adds what it makes superfluous, itself
    /// included. Says whether it is to be taken.
    pub fn is_worth_taking(&mut self, entry: &StreamEntry, superseded: &mut Vec<Seq>) -> bool {
        let Some(key) = entry.key.filter(|_| self.is_latest()) else { return true };
        let delivery = entry.delivery.seq;
        if !self.stands_in_stream(entry) || self.is_at_hand(delivery) {
            return true;
        }

        if self.is_backlog(delivery) && self.has_newer(key, delivery) {
            superseded.push(delivery);
            return false;
        }
        superseded.extend(self.older_waiting(key, delivery));
        self.note_latest(key, delivery);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::{CatchUp, CatchUpMode, Endpoint};
    use crate::queue::endpoint::EndpointQueue;
    use crate::queue::folding::state::{EndpointState, Retrying};

    #[test]
    fn the_newest_lane_comes_first_and_within_it_the_oldest() {
        let catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };
        let settings = Endpoint { catch_up, ..Endpoint::new("app", "http://app.example/") };
        let mut endpoint = EndpointQueue::new(EndpointState::new(Arc::new(settings), 1));
        for (delivery, key) in [(10, Some(7)), (20, Some(8)), (25, None), (30, Some(7))] {
            let waiting = Retrying { key, ..Retrying::due(delivery, 1, 0, 0) };
            endpoint.remembered_mut().retrying.insert(delivery, waiting);
            endpoint.runtime.lanes.wait(key, delivery, delivery, false);
        }

        let mut waiting = [10, 20, 25, 30];
        endpoint.sort_newest_lane_first(&mut waiting);
        assert_eq!(waiting, [10, 30, 25, 20]);
    }
}
