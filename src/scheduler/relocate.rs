//! Relocation: how a segment that is to be dropped is read, slice by slice, so that what still
//! lives in it can be written anew. The queue decides what of a slice lives; here is only what may.
//! Between two slices everything else has its turn.

use crate::model::{Seq, limits};
use crate::queue::{AliveRange, Keys, Relocate, RelocatedEvent, RelocationSlice, RetireSegment};
use crate::record::{DeadLetter, Record};

/// Where the records of the segment are read from.
pub trait Records {
    type Error;

    /// One record; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, seq: Seq) -> Result<Option<Record>, Self::Error>;

    /// The next slice of the records `from` to `last`: [`slice()`] of them.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), Self::Error>;
}

/// A segment that is being retired.
#[derive(Clone, Debug)]
pub struct Retiring {
    pub first: Seq,
    pub last: Seq,
    head: [u8; 32],
    /// Where the walk through its records goes on.
    next: Seq,
    walked: bool,
}

impl Retiring {
    #[must_use]
    pub fn new(first: Seq, last: Seq, head: [u8; 32]) -> Self {
        Self { first, last, head, next: first, walked: false }
    }

    /// Whether events have to be relocated now: of dead letters only the notes are, and before all
    /// else.
    #[must_use]
    pub fn wants_events(&self, alive: &AliveRange) -> bool {
        alive.dead_letter_seqs.is_empty()
            && ((alive.walk && !self.walked) || !alive.events.is_empty())
    }

    /// What to ask of the queue next, from what it says is alive. `keep` says what becomes of a
    /// dead letter: `None` when its time is over. `None` when something that lives cannot be found:
    /// then the segment stays.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn next_step<R: Records>(
        &mut self,
        alive: &AliveRange,
        records: &R,
        keep: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
    ) -> Result<Option<RetirementStep>, R::Error> {
        let (first, last) = (self.first, self.last);

        let slice = if !alive.dead_letter_seqs.is_empty() {
            // Before all else: whatever is discarded now needs its event no more.
            dead_letters(&alive.dead_letter_seqs, records, keep)?
        } else if alive.walk && !self.walked {
            Some(self.next_slice(alive, records)?)
        } else if !alive.events.is_empty() {
            known_events(&alive.events, records)?
        } else {
            let retire = RetireSegment { first, last, head: self.head, walked: self.walked };
            return Ok(Some(RetirementStep::Drop(retire)));
        };
        Ok(slice.map(|slice| RetirementStep::Relocate(Relocate { first, last, slice })))
    }

    fn next_slice<R: Records>(
        &mut self,
        alive: &AliveRange,
        records: &R,
    ) -> Result<RelocationSlice, R::Error> {
        let (mut slice, next) = records.slice(self.next, self.last)?;
        slice.keys = Keys::of_positions(&alive.orders, &slice.positions, &slice.events);

        self.next = next;
        self.walked = next > self.last;
        Ok(slice)
    }
}

/// What is asked of the queue for a segment that goes.
#[derive(Clone, Debug)]
pub enum RetirementStep {
    /// Write anew what lives of a slice.
    Relocate(Relocate),
    /// Nothing lives in it any more.
    Drop(RetireSegment),
}

/// What may live among `records`, of which `from` is the first and `last` the last; and where to go
/// on.
pub fn slice<E>(
    records: impl Iterator<Item = Result<(Seq, Record), E>>,
    (from, last): (Seq, Seq),
) -> Result<(RelocationSlice, Seq), E> {
    let mut slice = RelocationSlice::default();
    let (mut next, mut bytes) = (from, 0);

    for (seen, record) in records.enumerate() {
        let full = seen >= limits::RELOCATE_RECORDS || bytes >= limits::RELOCATE_BYTES;
        if full || slice.positions.len() >= limits::RELOCATE_POSITIONS {
            return Ok((slice, next));
        }

        let (at, record) = record?;
        if at > last {
            break;
        }
        next = at + 1;
        bytes += take(&mut slice, at, &record);
    }
    Ok((slice, next.max(last + 1)))
}

/// Takes in a record; the bytes of its event.
fn take(slice: &mut RelocationSlice, at: Seq, record: &Record) -> usize {
    slice.positions.extend(record.stream_positions(at));

    let Some(held) = record.held_event() else { return 0 };
    let (event, fan_out) = (held.event.clone(), held.fan_out.to_vec());
    let bytes = event.cost();
    let seq = held.relocated_from.unwrap_or(at);
    slice.events.push(RelocatedEvent { seq, at, event, fan_out });
    bytes
}

fn known_events<R: Records>(
    stand_at: &[Seq],
    records: &R,
) -> Result<Option<RelocationSlice>, R::Error> {
    let mut slice = RelocationSlice::default();
    let mut bytes = 0;
    for at in stand_at {
        let Some(record) = records.read(*at)? else { return Ok(None) };
        bytes += take(&mut slice, *at, &record);
        if bytes >= limits::RELOCATE_BYTES {
            break;
        }
    }
    slice.positions.clear();
    Ok(Some(slice).filter(|slice| !slice.events.is_empty()))
}

fn dead_letters<R: Records>(
    dead_letter_seqs: &[Seq],
    records: &R,
    keep: &mut dyn FnMut(DeadLetter) -> Option<DeadLetter>,
) -> Result<Option<RelocationSlice>, R::Error> {
    let mut slice = RelocationSlice::default();
    for dead_letter_seq in dead_letter_seqs {
        let Some(dead) =
            records.read(*dead_letter_seq)?.and_then(|record| record.dead_letter(*dead_letter_seq))
        else {
            return Ok(None);
        };
        let delivery = dead.delivery;
        match keep(dead) {
            Some(dead) => slice.dead.push((*dead_letter_seq, dead)),
            None => slice.expired.push((*dead_letter_seq, delivery)),
        }
    }
    Ok(Some(slice))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::{Records, RetirementStep, Retiring, slice};
    use crate::model::{Endpoint, Now, Order, Seq, Source, limits};
    use crate::queue::matcher::Steps;
    use crate::queue::{
        Accept, AliveQuery, AliveRange, CreateEndpoint, CreateSource, HoldEndpoint, Keys, NewEvent,
        Queue, QueueRequest, Refusal, Relocate, RelocationSlice, State, UpdateEndpoint,
    };
    use crate::record::Record;

    const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };

    /// A queue, and the log of what it decided.
    struct RecordedQueue {
        queue: Queue,
        log: BTreeMap<Seq, Record>,
    }

    impl Records for &RecordedQueue {
        type Error = Infallible;

        fn read(&self, seq: Seq) -> Result<Option<Record>, Infallible> {
            Ok(self.log.get(&seq).cloned())
        }

        fn slice(&self, from: Seq, last: Seq) -> Result<(RelocationSlice, Seq), Infallible> {
            slice(
                self.log.range(from..).map(|(seq, record)| Ok((*seq, record.clone()))),
                (from, last),
            )
        }
    }

    impl RecordedQueue {
        fn ask<R: QueueRequest>(&mut self, request: R) -> Result<R::Answer, Refusal> {
            let first = self.queue.state().next_seq;
            let decision = self.queue.handle(NOW, request);
            self.log.extend((first..).zip(decision.records));
            decision.answer
        }

        fn alive(&self, last: Seq) -> AliveRange {
            self.queue.ask(NOW, &AliveQuery { first: 1, last }).expect("it is known")
        }
    }

    /// Two events that wait for an endpoint which keeps an order for each `/k`, and the last
    /// record.
    fn waiting() -> (RecordedQueue, Seq) {
        let mut world =
            RecordedQueue { queue: Queue::new(State::new(), 1, NOW), log: BTreeMap::new() };
        let keyed = Endpoint {
            order: Order::Key,
            order_key: Some("/k".into()),
            ..Endpoint::new("keyed", "http://a.example/")
        };

        world.ask(CreateSource(Box::new(Source::new("in", "none")))).expect("done");
        world.ask(CreateEndpoint(Box::new(keyed))).expect("done");
        world.ask(HoldEndpoint { name: "keyed".into() }).expect("done");

        for body in [r#"{"k":"a"}"#, r#"{"k":"b"}"#] {
            let source = Arc::clone(world.queue.state().sources.values().next().expect("there"));
            let event = NewEvent {
                source,
                kind: "t".into(),
                dedupe_key: None,
                dedupe: None,
                beside: Default::default(),
                request_line: String::new(),
                remote: String::new(),
                headers: Vec::new(),
                body: body.to_owned().into(),
            };
            let matched =
                world.queue.matcher().matched(event, &mut Steps::new(limits::FILTER_STEPS));
            world.ask(Accept(vec![matched])).expect("accepted");
        }
        let last = world.queue.state().next_seq - 1;
        (world, last)
    }

    fn first_slice(world: &RecordedQueue, last: Seq) -> Relocate {
        let alive = world.alive(last);
        assert_eq!(alive.orders.get(&1).map(String::as_str), Some("/k"));
        let mut retiring = Retiring::new(1, last, [0; 32]);
        let Ok(step) = retiring.next_step(&alive, &world, &mut Some);
        let Some(RetirementStep::Relocate(slice)) = step else { panic!("{step:?}") };
        slice
    }

    #[test]
    fn the_lanes_of_what_waits_are_found_by_whoever_reads_it() {
        let (mut world, last) = waiting();
        let slice = first_slice(&world, last);
        let relocated = world.ask(slice);
        assert!(matches!(relocated, Ok((2, _))), "{relocated:?}");

        let keys = Keys { order: Some("/k".into()), ..Keys::default() };
        let relocated = world.log.values().find_map(|record| match record {
            Record::DeliveriesRelocated { waiting } => Some(waiting.clone()),
            _ => None,
        });
        for waiting in relocated.expect("they wait among the retries") {
            let Some(Record::EventAccepted { event, .. }) = world.log.get(&waiting.event) else {
                panic!("no event")
            };
            assert!(waiting.key.is_some() && waiting.key == keys.order_key(event));
        }
    }

    #[test]
    fn lanes_that_are_not_those_of_the_endpoint_are_not_taken() {
        let (mut world, last) = waiting();
        let Relocate { first, last, slice } = first_slice(&world, last);
        let mut unread = slice.clone();
        unread.keys.found.clear();
        let refused = world.ask(Relocate { first, last, slice: unread });
        assert!(matches!(refused, Err(Refusal::Busy)), "{refused:?}");

        let mut endpoint = Endpoint::clone(&world.queue.state().endpoints[&1].settings);
        endpoint.order_key = Some("/other".into());
        world.ask(UpdateEndpoint(Box::new(endpoint))).expect("changed");
        let refused = world.ask(Relocate { first, last, slice });
        assert!(matches!(refused, Err(Refusal::Busy)), "{refused:?}");
    }
}
