use std::sync::Arc;

use super::{Relocate, RetireSegment};
use crate::model::{DeliveryId, Endpoint, Seq, limits};
use crate::queue::testing::TestQueue;
use crate::queue::{AliveQuery, RelocatedEvent, RelocationSlice};
use crate::record::Record;

impl TestQueue {
    /// What of these records may live, as whoever reads them finds it.
    fn slice_of(&self, first: Seq, last: Seq) -> RelocationSlice {
        let mut slice = RelocationSlice::default();
        for (at, record) in (1..).zip(&self.records).skip_while(|(at, _)| *at < first) {
            if at > last {
                break;
            }
            slice.positions.extend(record.stream_positions(at).map(|waiting| (at, waiting)));
            let Some(held) = record.held_event() else { continue };
            slice.events.push(RelocatedEvent {
                seq: held.relocated_from.unwrap_or(at),
                at,
                event: Arc::clone(held.event),
                fan_out: held.fan_out.to_vec(),
                known: false,
            });
        }
        slice
    }

    /// Relocates what lives of these records, and drops them.
    fn retire_all(&mut self, first: Seq, last: Seq) {
        let alive = self.queue.ask(self.now, &AliveQuery { first, last }).expect("it is known");
        let mut slice = self.slice_of(first, last);
        for event in &mut slice.events {
            event.known = alive.events.contains(event.at);
        }
        self.decide(Relocate { first, last, slice });
        let (head, without_events) = ([0; 32], Default::default());
        self.decide(RetireSegment { first, last, head, walked: true, without_events });
    }
}

/// Where retention has relocated the position of a delivery in flight, the record that holds it
/// keeps its segment: if the attempt fails with the process, nothing else says that it waits.
#[test]
fn a_delivery_in_flight_waits_at_the_record_that_holds_its_position() {
    let mut world = TestQueue::new([Endpoint::new("app", "http://app.example/")]);
    let event = world.accept("{}");
    let delivery = DeliveryId { seq: event.seq, endpoint: 1 };
    assert_eq!(world.attempts, [delivery]);

    let at = event.seq;
    let slice = world.slice_of(at, at);
    world.input(Relocate { first: at, last: at, slice });
    let last = world.records.last();
    assert!(matches!(last, Some(Record::PositionsRelocated { .. })), "{last:?}");

    let to = world.queue.state().next_seq - 1;
    world.accept("{}");
    let query = AliveQuery { first: to, last: to };
    let alive = world.queue.ask(world.now, &query).expect("it is known");
    assert!(alive.walk, "nothing waits there: {alive:?}");
    let query = AliveQuery { first: at, last: at };
    let alive = world.queue.ask(world.now, &query).expect("it is known");
    assert!(alive.events.is_empty(), "it was written again: {alive:?}");
}

/// All that is needed of a segment is said at once, so that nobody has to ask again for each slice.
#[test]
fn what_is_needed_is_said_once_for_a_whole_segment() {
    let mut world = TestQueue::new([Endpoint::new("app", "pull:")]);
    let first = world.accept("{}").seq;
    let count = 3 * limits::SLICE as u64;
    for _ in 1..count {
        world.accept("{}");
    }
    let last = world.queue.state().next_seq - 1;
    world.retire_all(first, last);

    // They stand elsewhere now, and all of them are known there.
    let (first, last) = (last + 1, world.queue.state().next_seq - 1);
    let alive = world.queue.ask(world.now, &AliveQuery { first, last }).expect("it is known");
    assert_eq!(alive.events.len(), count);
    assert!(alive.walk);
}
