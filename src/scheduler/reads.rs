//! What is read of the log for the queue: endpoints' streams, the events of a batch, old events
//! for a replay. Over any records, so that the simulation reads by the very same code.

use std::sync::Arc;

use super::read_log::{ReadLog, Walk};
use super::stream_reads::{
    StreamPart, WalkBudget, complete, refill, refill_back, refill_kept, stream_sieve,
};
use crate::model::{Event, EventTraits, Seq, limits};
use crate::queue::{
    BatchSize, Input, Keys, Loaded, ReadOrder, ScannedEvent, ScannedLeft, StreamEntry, StreamOrder,
    StreamRead,
};
use crate::record::{HeldEvent, Record, ReplayFilter, Sieve};

/// Reads streams in one walk, which all of them have to share, and gives what is to be reported.
pub fn read_streams(orders: Vec<StreamOrder>, log: &impl ReadLog) -> Vec<Input> {
    let wanted: Vec<_> = orders.iter().map(|order| (order.from, part_of(order))).collect();
    let found = refill_all(log, &wanted);
    orders.into_iter().zip(found).map(|(order, found)| refilled(order, found, log)).collect()
}

/// Reads what is ordered, and gives what is to be reported.
pub fn read(order: ReadOrder, log: &impl ReadLog) -> Input {
    match order {
        ReadOrder::Event { delivery, event } => Input::Loaded { delivery, event: log.event(event) },
        ReadOrder::Batch { endpoint, batch, events, max_bytes } => {
            let events = load_batch(&events, max_bytes, |seq| log.event(seq));
            Input::BatchLoaded { endpoint, batch, events }
        }

        ReadOrder::Stream(order) => read_stream(order, log),
        ReadOrder::Ages { endpoint, from, kept, max_entries } => {
            let wanted = StreamPart { endpoint, max_entries, max_bytes: 0 };
            let (entries, next) = match &kept {
                Some(kept) => refill_kept(log, kept, (from, None), &wanted, &Keys::default()),
                None => refill_all(log, &[(from, wanted)]).pop().unwrap_or_default(),
            };
            Input::AgesRead { endpoint, read: StreamRead { from, entries, next, kept } }
        }

        ReadOrder::Replay { replay, filter, from, end, max } => {
            let (events, next) = log.forward(from, &Sieve::events(&filter.events()), |all| {
                scan(all, &filter, (from, end), max)
            });
            Input::Scanned { replay, from, events, next }
        }
        ReadOrder::ReplayLeft { replay, filter, events } => {
            let events = scan_left(log, &filter, &events);
            Input::LeftScanned { replay, events }
        }
    }
}

fn part_of(order: &StreamOrder) -> StreamPart {
    let StreamOrder { endpoint, max_entries, max_bytes, .. } = *order;
    StreamPart { endpoint, max_entries, max_bytes }
}

fn read_stream(order: StreamOrder, log: &impl ReadLog) -> Input {
    let (from, wanted) = (order.from, part_of(&order));

    let found = match (order.until, &order.kept) {
        (until, Some(kept)) => refill_kept(log, kept, (from, until), &wanted, &order.keys),
        (None, None) => refill_all(log, &[(from, wanted)]).pop().unwrap_or_default(),
        (Some(until), None) => {
            let sieve = stream_sieve(vec![order.endpoint]);
            log.backward(from, &sieve, |all| refill_back(all, (from, until), &wanted))
        }
    };
    refilled(order, found, log)
}

/// Reads streams forward in one walk, each from its position on.
fn refill_all(log: &impl ReadLog, wanted: &[(Seq, StreamPart)]) -> Vec<(Vec<StreamEntry>, Seq)> {
    let Some(first) = wanted.iter().map(|(from, _)| *from).min() else { return Vec::new() };
    let sieve = stream_sieve(wanted.iter().map(|(_, part)| part.endpoint).collect());
    log.forward(first, &sieve, |all| refill(all, log.last(), wanted))
}

/// What is reported of a stream's entries that were found.
fn refilled(
    order: StreamOrder,
    (mut entries, mut next): (Vec<StreamEntry>, Seq),
    log: &impl ReadLog,
) -> Input {
    let StreamOrder { endpoint, from, until, kept, keys, .. } = order;
    if let Some(rest) = complete(&mut entries, &keys, |seq| log.event(seq)) {
        // What is left of them is read next, which goes on behind the last that is given.
        next = if until.is_none() { rest } else { rest + 1 };
    }
    Input::Refilled { endpoint, read: StreamRead { from, entries, next, kept }, keys }
}

/// Reads the events of a batch, in their order, until it is full.
fn load_batch(
    events: &[Seq],
    max_bytes: u64,
    mut read: impl FnMut(Seq) -> Option<Arc<Event>>,
) -> Vec<Loaded> {
    let mut size = BatchSize::default();
    let mut load = |seq: &Seq| {
        if size.exceeds(max_bytes) {
            return Loaded::NotRead;
        }
        match read(*seq) {
            Some(event) => {
                size.add(&event);
                Loaded::Event(event)
            }
            None => Loaded::Gone,
        }
    };
    events.iter().map(&mut load).collect()
}

/// Reads events that match forward in `records`, which begin at `from`. Returns them and where to
/// go on, behind `end` when all was read. Of an event that was relocated this may be its own record
/// and another one: the queue knows which of them counts.
fn scan(
    records: Walk<'_>,
    filter: &ReplayFilter,
    (from, end): (Seq, Seq),
    max: usize,
) -> (Vec<ScannedEvent>, Seq) {
    let filter = filter.events();
    let mut events = Vec::new();
    let mut next = from;
    let mut budget = WalkBudget::default();

    for (seq, record) in records {
        if seq > end {
            break;
        }
        if budget.is_spent() || events.len() >= max {
            return (events, next);
        }
        budget.charge(record.as_ref());
        next = seq + 1;

        if let Some(HeldEvent { event, fan_out, .. }) = record.as_ref().and_then(Record::held_event)
            && filter.matches(&EventTraits::from(&**event))
        {
            events.push(ScannedEvent { at: seq, seq: event.id.seq, fan_out: fan_out.to_vec() });
        }
    }
    (events, next.max(end + 1))
}

/// Reads events, each at the record that holds it. Not all of them, where they are large.
fn scan_left(log: &impl ReadLog, filter: &ReplayFilter, events: &[(Seq, Seq)]) -> Vec<ScannedLeft> {
    let filter = filter.events();
    let sieve = Sieve::events(&filter);
    let mut bytes = 0;

    let mut left = Vec::new();
    for (seq, at) in events.iter().copied() {
        if bytes >= limits::LOG_READ_BYTES {
            break;
        }
        let record = log.forward(at, &sieve, |all| all.next()).filter(|(found, _)| *found == at);
        let record = record.and_then(|(_, record)| record);
        let held = record.as_ref().and_then(Record::held_event);
        bytes += held.map_or(0, |held| held.event.cost());
        let wanted = held.filter(|held| filter.matches(&EventTraits::from(&**held.event)));
        let fan_out = wanted.map(|held| held.fan_out.to_vec());
        left.push(ScannedLeft { at, seq, fan_out });
    }
    left
}
