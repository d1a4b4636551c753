//! Where deliveries of a state can stand in the log, so that whoever lists them does not read the
//! records of all the others.
//!
//! The state knows of each endpoint what waits: what is to be attempted again, what is in memory,
//! and from where to where its stream has not been read. A delivery is listed at the record that
//! made it, or where that is gone, at the one that holds its event or its position by now: what
//! retention has relocated is remembered for as long as it stands in the log.

use std::ops::RangeInclusive;

use roaring::RoaringTreemap;

use super::counts::is_waiting;
use crate::model::{DeliveryState, EndpointId, Now, Seq, limits};
use crate::queue::Queue;
use crate::queue::endpoint::EndpointQueue;
use crate::queue::folding::state::State;
use crate::queue::request::Query;
use crate::queue::retention::retire::within;
use crate::queue::stream::relocation::SegmentRange;

/// Which of the records before this one can be of a delivery in this state, of all endpoints or of
/// those of one name. `None`: that is not known.
#[derive(Clone, Debug)]
pub struct CandidatesQuery {
    pub state: DeliveryState,
    pub endpoint: Option<String>,
    pub before: Seq,
}

/// A part of the records that can be, the newest that there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// From here up to the record that was asked for it is these alone; 0 when there are no older
    /// ones.
    pub from: Seq,
    pub records: RoaringTreemap,
    /// The endpoints that can have such deliveries, here or elsewhere; `None`: any, also those of
    /// which nothing is remembered.
    pub endpoints: Option<Vec<EndpointId>>,
}

impl Query for CandidatesQuery {
    type Answer = Option<Candidates>;

    fn answer(&self, queue: &Queue, _: Now) -> Option<Candidates> {
        let state = &queue.state;
        let has_ended = matches!(self.state, DeliveryState::Delivered | DeliveryState::Cancelled);
        // An endpoint is named by its number when nothing is remembered of it.
        let is_forgotten = self.endpoint.as_ref().is_some_and(|name| name.starts_with('#'));
        let is_known = is_waiting(self.state)
            || (has_ended && !is_forgotten && state.knows_where_ended_are_listed());
        if !is_known {
            return None;
        }

        let is_named =
            |e: &&EndpointQueue| self.endpoint.as_ref().is_none_or(|name| e.settings.name == *name);
        let can_have = |e: &&EndpointQueue| can_have(e, self.state);
        let found: Vec<_> = state.endpoints.values().filter(is_named).filter(can_have).collect();
        // What endpoints left behind of which nothing is remembered counts as cancelled.
        let is_any = self.state == DeliveryState::Cancelled && self.endpoint.is_none();
        let endpoints = (!is_any).then(|| found.iter().map(|e| e.settings.id).collect());

        let last = self.before.min(state.next_seq).saturating_sub(1);
        if found.is_empty() && !is_any {
            return Some(Candidates { endpoints, ..Candidates::default() });
        }
        let newest = found.iter().filter_map(|endpoint| newest(endpoint, self.state, last)).max();
        // Whose relocated events and positions are, their records say.
        let Some(newest) = newest.max(state.last_relocated(last)) else {
            return Some(Candidates { endpoints, ..Candidates::default() });
        };
        let Some(range) = state.window_of(newest) else {
            return Some(Candidates { endpoints, ..Candidates::default() });
        };
        let mut records = state.relocated_in(range);
        for endpoint in found {
            records |= within_range(endpoint, self.state, range);
        }
        Some(Candidates { from: state.older_than(range), records, endpoints })
    }
}

/// The dead deliveries of the endpoint of this name, and of those that had it before.
#[derive(Clone, Debug)]
pub struct DeadOfQuery(pub String);

impl Query for DeadOfQuery {
    type Answer = Vec<(EndpointId, RoaringTreemap)>;

    fn answer(&self, queue: &Queue, _: Now) -> Vec<(EndpointId, RoaringTreemap)> {
        let named = queue.state.endpoints.values().filter(|e| e.settings.name == self.0);
        named
            .map(|endpoint| (endpoint.settings.id, RoaringTreemap::clone(&endpoint.dead)))
            .collect()
    }
}

impl State {
    /// Whether all records are known at which deliveries are listed that have ended: where they
    /// were made, and where their events and positions were relocated to. Behind records that are
    /// lost, others may be found again that nothing is known of.
    pub(super) fn knows_where_ended_are_listed(&self) -> bool {
        self.lost.is_empty() && self.position_records.are_known_from(self.first_seq)
    }

    /// The last record up to this one that holds a relocated event or relocated positions.
    pub(super) fn last_relocated(&self, last: Seq) -> Option<Seq> {
        self.moved.last_record(last).max(last_in(self.position_records.records(), last))
    }

    /// The records of a range that hold them.
    pub(super) fn relocated_in(&self, range: SegmentRange) -> RoaringTreemap {
        self.moved.records_in(range) | within(self.position_records.records(), range)
    }

    /// What one answer is about that begins with this record, as far as it stands in the log.
    pub(super) fn window_of(&self, newest: Seq) -> Option<SegmentRange> {
        let first = (newest - newest % limits::LIST_WINDOW).max(self.first_seq);
        (first <= newest).then_some(SegmentRange { first, last: newest })
    }

    /// Before which record there are others than those of this window; 0 when there are none.
    pub(super) fn older_than(&self, window: SegmentRange) -> Seq {
        if window.first > self.first_seq { window.first } else { 0 }
    }
}

fn can_have(endpoint: &EndpointQueue, state: DeliveryState) -> bool {
    let is_held = endpoint.hold.is_some();
    let waits = endpoint.deleted.is_none() && endpoint.undone > 0;
    match state {
        DeliveryState::Pending => waits && !is_held,
        DeliveryState::Held => waits && is_held,
        DeliveryState::InFlight => waits && endpoint.in_flight_records().next().is_some(),
        DeliveryState::Cancelled => endpoint.deleted.is_some() || !endpoint.cancelled.is_empty(),
        DeliveryState::Delivered | DeliveryState::Dead => true,
    }
}

/// The last record of the endpoint's deliveries in this state, up to this one.
fn newest(endpoint: &EndpointQueue, state: DeliveryState, last: Seq) -> Option<Seq> {
    let up_to = |seq: &Seq| *seq <= last;
    match state {
        DeliveryState::InFlight => endpoint.in_flight_records().filter(up_to).max(),
        DeliveryState::Delivered => {
            last_in(&endpoint.ahead, last).max(Some(endpoint.low.min(last)).filter(|low| *low > 0))
        }
        DeliveryState::Cancelled => {
            let left = left_by_deletion(endpoint, last).map(|left| *left.end());
            last_in(&endpoint.cancelled, last).max(left)
        }
        _ => {
            let retrying = endpoint.retrying.range(..=last).next_back().map(|(seq, _)| *seq);
            let unread = unread(endpoint, last).map(|unread| *unread.end());
            let in_memory = endpoint.outstanding_records().filter(up_to).max();
            let kept = endpoint.kept.records().filter(up_to).max();
            let revived = last_in(&endpoint.revived, last);
            retrying.max(unread).max(in_memory).max(kept).max(revived)
        }
    }
}

/// The records of the endpoint's deliveries in this state, within a range.
fn within_range(
    endpoint: &EndpointQueue,
    state: DeliveryState,
    range: SegmentRange,
) -> RoaringTreemap {
    let retrying = || endpoint.retrying.range(range.first..=range.last).map(|(seq, _)| *seq);
    let mut found = RoaringTreemap::new();

    match state {
        DeliveryState::Cancelled => {
            if let Some(left) = left_by_deletion(endpoint, range.last) {
                found.insert_range(range.first.max(*left.start())..=*left.end());
                found -= &endpoint.ahead;
            }
            return found | within(&endpoint.cancelled, range);
        }

        DeliveryState::InFlight => {
            found.extend(endpoint.in_flight_records().filter(|seq| range.holds(*seq)));
        }

        // What was taken up was delivered, unless it is known to have come to something else.
        DeliveryState::Delivered => {
            found = within(&endpoint.ahead, range);
            if endpoint.low >= range.first {
                found.insert_range(range.first..=endpoint.low.min(range.last));
            }
            found -= &*endpoint.dead;
            found -= &endpoint.revived;
            retrying().for_each(|seq| {
                found.remove(seq);
            });
        }

        _ => {
            if let Some(unread) = unread(endpoint, range.last) {
                let first = range.first.max(*unread.start());
                if first <= *unread.end() {
                    found.insert_range(first..=*unread.end());
                    found -= &endpoint.ahead;
                }
            }
            found |= within(&endpoint.revived, range);
            found.extend(retrying());
            found.extend(endpoint.outstanding_records().filter(|seq| range.holds(*seq)));
            found.extend(endpoint.kept.records().filter(|record| range.holds(*record)));
        }
    }

    found -= &endpoint.cancelled;
    found
}

/// The part of the endpoint's stream that its deletion has cancelled, up to this record.
fn left_by_deletion(endpoint: &EndpointQueue, last: Seq) -> Option<RangeInclusive<Seq>> {
    let deleted = endpoint.deleted?;
    let end = if endpoint.stream_end > 0 { endpoint.stream_end } else { deleted };
    let first = endpoint.low + 1;
    Some(first..=end.min(last)).filter(|left| !left.is_empty())
}

/// The part of the endpoint's stream that was not read, up to this record.
fn unread(endpoint: &EndpointQueue, last: Seq) -> Option<RangeInclusive<Seq>> {
    // A checkpoint of an earlier version does not say where the stream ends.
    let end = if endpoint.stream_end > 0 { endpoint.stream_end.min(last) } else { last };
    let first = endpoint.first_unread()?.max(endpoint.low + 1);
    (endpoint.in_stream() > 0 && first <= end).then_some(first..=end)
}

/// The last of a set, up to this one.
fn last_in(set: &RoaringTreemap, last: Seq) -> Option<Seq> {
    set.select(set.rank(last).checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::{Candidates, CandidatesQuery};
    use crate::model::{DeliveryId, DeliveryState, Endpoint, Outcome, Seq, Source};
    use crate::queue::testing::{TestQueue, report};
    use crate::queue::{
        CancelDeliveries, CreateSource, DeleteEndpoint, HoldEndpoint, LastDeliveryQuery, Loss,
        Queue, RelocatedQuery, SettleLoss, State,
    };
    use crate::record::{Record, WaitingDelivery};

    const FAILED: Outcome = Outcome::Retryable { after_ms: None };

    /// Two events of which `app` took both, `sick` fails the first, and `kept`, on hold, waits for
    /// both; then many records of other things.
    fn world() -> (TestQueue, [Seq; 2]) {
        let endpoint = |name: &str| Endpoint::new(name, format!("http://{name}.example/"));
        let mut world = TestQueue::new([endpoint("app"), endpoint("sick"), endpoint("kept")]);
        world.input(HoldEndpoint { name: "kept".to_owned() });
        let events = [world.accept("{}").seq, world.accept("{}").seq];
        for seq in events {
            let at = |endpoint| DeliveryId { seq, endpoint };
            world.finish(at(1), report(world.now, Outcome::Delivered));
            let outcome = if seq == events[0] { FAILED } else { Outcome::Delivered };
            world.finish(at(2), report(world.now, outcome));
        }
        for n in 0..100 {
            world.input(CreateSource(Box::new(Source::new(format!("s{n}"), "none"))));
        }
        (world, events)
    }

    fn candidates(queue: &Queue, world: &TestQueue, state: DeliveryState) -> RoaringTreemap {
        let mut query = CandidatesQuery { state, endpoint: None, before: Seq::MAX };
        let mut all = RoaringTreemap::new();
        while query.before > 0 {
            let part = queue.ask(world.now, &query).expect("the log is whole");
            assert!(part.from < query.before, "it goes on");
            all |= part.records;
            query.before = part.from;
        }
        all
    }

    fn seqs(seqs: &[Seq]) -> RoaringTreemap {
        seqs.iter().copied().collect()
    }

    #[test]
    fn of_what_waits_only_its_records_are_candidates() {
        let (world, [first, second]) = world();
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        // What waits is known after a restart as well.
        for queue in [&world.queue, &Queue::new(state, 1, world.now)] {
            let of = |state| candidates(queue, &world, state);
            assert_eq!(of(DeliveryState::Pending), seqs(&[first]), "one waits for a retry");
            let held = of(DeliveryState::Held);
            assert!(held.contains(first) && held.max() == Some(second), "{held:?}");
            assert!(held.len() <= 3, "nothing behind the end of its stream: {held:?}");
            assert!(of(DeliveryState::InFlight).is_empty());
        }
    }

    #[test]
    fn what_was_delivered_stands_where_streams_were_taken_up() {
        let (mut world, [first, second]) = world();
        let delivered = candidates(&world.queue, &world, DeliveryState::Delivered);
        assert!(delivered.contains(first) && delivered.contains(second), "{delivered:?}");
        assert!(delivered.max() < Some(second + 20), "{delivered:?}");

        let gone = world.queue.state().next_seq - 1;
        world.input(SettleLoss(Loss::Records { first, last: first }));
        let query =
            CandidatesQuery { state: DeliveryState::Delivered, endpoint: None, before: gone };
        assert_eq!(world.queue.ask(world.now, &query), None, "its event may stand anywhere");
    }

    #[test]
    fn an_endpoint_is_asked_about_by_its_name() {
        let (world, [first, second]) = world();
        let held = |name: &str| {
            let query = CandidatesQuery {
                state: DeliveryState::Held,
                endpoint: Some(name.to_owned()),
                before: second,
            };
            world.queue.ask(world.now, &query).expect("it is known")
        };
        let (kept, app) = (held("kept"), held("app"));
        assert_eq!((kept.records, kept.endpoints), (seqs(&[first]), Some(vec![3])));
        assert_eq!((app.from, app.records, app.endpoints), (0, seqs(&[]), Some(vec![])));
    }

    #[test]
    fn what_is_under_way_is_in_flight_and_pending() {
        let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
        let event = world.accept("{}").seq;
        for state in [DeliveryState::InFlight, DeliveryState::Pending] {
            assert_eq!(candidates(&world.queue, &world, state), seqs(&[event]), "{state:?}");
        }
    }

    #[test]
    fn what_was_cancelled_stands_where_it_was_made() {
        let (mut world, [first, second]) = world();
        assert!(candidates(&world.queue, &world, DeliveryState::Cancelled).is_empty());

        let at = |seq, endpoint| DeliveryId { seq, endpoint };
        world.input(CancelDeliveries { deliveries: vec![at(first, 3)] });
        let cancelled = candidates(&world.queue, &world, DeliveryState::Cancelled);
        assert_eq!(cancelled, seqs(&[first]));

        // What waited at an endpoint that is gone.
        world.input(DeleteEndpoint { name: "kept".to_owned() });
        let mut state = State::new();
        for (seq, record) in (1..).zip(&world.records) {
            state.apply(seq, record).expect("it follows");
        }
        for queue in [&world.queue, &Queue::new(state, 1, world.now)] {
            let cancelled = candidates(queue, &world, DeliveryState::Cancelled);
            assert!(cancelled.contains(first) && cancelled.contains(second), "{cancelled:?}");
            assert!(cancelled.max() == Some(second), "nothing behind its stream: {cancelled:?}");
        }
    }

    /// Retention has dropped the first event's record after it was relocated for `sick`, and what
    /// was cancelled there belongs to an endpoint of which nothing is remembered.
    #[test]
    fn what_was_relocated_is_a_candidate_and_what_was_dropped_is_none() {
        let (mut world, [first, second]) = world();
        let id = world.event_id(first);
        world.relocate(id);
        let stands_at = world.queue.state().held_at(first);
        let dropped = Record::SegmentDropped { first: 1, last: first, head: [0; 32], at: 1 };
        world.remember(dropped);

        for state in [DeliveryState::Delivered, DeliveryState::Cancelled, DeliveryState::Pending] {
            let found = candidates(&world.queue, &world, state);
            assert!(found.contains(stands_at), "{state:?}: {found:?}");
            assert!(found.min() > Some(first), "{state:?}: {found:?}");
            let is_there = found.contains(second);
            assert_eq!(is_there, state == DeliveryState::Delivered, "{state:?}: {found:?}");
            assert!(found.len() < 20, "{state:?}: not all records: {found:?}");
        }
        let of = |endpoint: Option<&str>, state| {
            let endpoint = endpoint.map(ToOwned::to_owned);
            let query = CandidatesQuery { state, endpoint, before: Seq::MAX };
            world.queue.ask(world.now, &query)
        };
        let any = of(None, DeliveryState::Cancelled).expect("it is known");
        assert_eq!(any.endpoints, None, "also of those that are forgotten");
        assert_eq!(of(Some("#7"), DeliveryState::Cancelled), None, "it may stand anywhere");
    }

    /// It died, was asked for again in an ordered stream, and was put away there.
    #[test]
    fn what_was_asked_for_again_is_a_candidate_where_it_stands_when_it_has_ended() {
        let (mut world, [first, _]) = world();
        let delivery = DeliveryId { seq: first, endpoint: 2 };
        let retried = world.queue.state().next_seq;
        world.remember(Record::DeliveryRetried {
            delivery,
            at: 1,
            dead_letter_seq: None,
            event: first,
            attempts: 1,
            last: 0,
            in_stream: true,
            ran_ms: 1,
        });
        world.input(CancelDeliveries { deliveries: vec![delivery] });

        let found = candidates(&world.queue, &world, DeliveryState::Cancelled);
        assert!(found.contains(retried), "{found:?}");
        assert!(found.len() < 10, "not all records: {found:?}");
    }

    #[test]
    fn records_that_hold_positions_of_replays_are_candidates_when_these_have_ended() {
        let (mut world, [first, second]) = world();
        let waiting = |seq, event| WaitingDelivery {
            delivery: DeliveryId { seq, endpoint: 1 },
            position: seq,
            event,
            attempts: 0,
            last: 0,
            key: None,
            born: 0,
            source: 0,
        };
        let replayed = world.queue.state().next_seq;
        world.remember(Record::Replayed { event: first, endpoint: 1, at: 1, ran_ms: 1 });
        let held = world.queue.state().next_seq;
        world.remember(Record::PositionsRelocated { waiting: vec![waiting(replayed, first)] });

        for state in [DeliveryState::Delivered, DeliveryState::Cancelled] {
            assert!(candidates(&world.queue, &world, state).contains(held), "{state:?}");
        }
        let query = LastDeliveryQuery(vec![1]);
        assert_eq!(world.queue.ask(world.now, &query), Some(replayed), "the end of its stream");
        let above = RelocatedQuery { after: second, before: Seq::MAX };
        let found = world.queue.ask(world.now, &above);
        assert_eq!((found.from, found.records), (0, seqs(&[held])));
        let none = RelocatedQuery { after: held, before: Seq::MAX };
        assert_eq!(world.queue.ask(world.now, &none), Candidates::default());
    }
}
