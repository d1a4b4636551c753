//! What is read of the log for the queue: endpoints' streams, the events of a batch, old events
//! for a replay. Over any records, so that the simulation reads by the very same code.

use std::sync::Arc;

use super::read_log::{ReadLog, Walk};
use super::stream_reads::{
    StreamPart, WalkBudget, complete, refill, refill_back, refill_kept, stream_sieve,
};
use crate::model::{EndpointId, Event, EventTraits, Seq, limits};
use crate::queue::{
    BatchSize, Input, Keys, Loaded, ReadOrder, ScannedEvent, ScannedLeft, StreamEntry, StreamRead,
};
use crate::record::{HeldEvent, Record, ReplayFilter, Sieve};

/// A read of an endpoint's stream forward, at positions that are records themselves.
#[derive(Debug)]
struct ForwardRead {
    endpoint: EndpointId,
    from: Seq,
    max_entries: usize,
    max_bytes: usize,
    keys: Keys,
}

impl ForwardRead {
    fn of(order: ReadOrder) -> Option<Self> {
        match order {
            ReadOrder::Stream {
                endpoint,
                from,
                until: None,
                kept: None,
                max_entries,
                max_bytes,
                keys,
            } => Some(Self { endpoint, from, max_entries, max_bytes, keys }),
            _ => None,
        }
    }
}

/// Where a read begins that can share its walk with others of the kind; `None` for other reads.
pub fn forward_from(order: &ReadOrder) -> Option<Seq> {
    match order {
        ReadOrder::Stream { from, until: None, kept: None, .. } => Some(*from),
        _ => None,
    }
}

/// Reads streams in one walk, all of them orders that have a `forward_from`, and gives what is to
/// be reported.
pub fn read_streams(orders: Vec<ReadOrder>, log: &impl ReadLog) -> Vec<Input> {
    let reads: Vec<_> = orders.into_iter().filter_map(ForwardRead::of).collect();
    let part = |read: &ForwardRead| {
        let ForwardRead { endpoint, from, max_entries, max_bytes, .. } = *read;
        (from, StreamPart { endpoint, max_entries, max_bytes })
    };
    let wanted: Vec<_> = reads.iter().map(part).collect();
    let Some(first) = reads.iter().map(|read| read.from).min() else { return Vec::new() };
    let sieve = stream_sieve(reads.iter().map(|read| read.endpoint).collect());
    let found = log.forward(first, &sieve, |all| refill(all, log.last(), &wanted));

    let report = |(ForwardRead { endpoint, from, keys, .. }, (mut entries, mut next))| {
        if let Some(rest) = complete(&mut entries, &keys, |seq| log.event(seq)) {
            next = rest;
        }
        Input::Refilled { endpoint, read: StreamRead { from, entries, next, kept: None }, keys }
    };
    reads.into_iter().zip(found).map(report).collect()
}

/// Reads what is ordered, and gives what is to be reported.
pub fn read(order: ReadOrder, log: &impl ReadLog) -> Input {
    match order {
        ReadOrder::Event { delivery, event } => Input::Loaded { delivery, event: log.event(event) },
        ReadOrder::Batch { endpoint, batch, events, max_bytes } => {
            let events = load_batch(&events, max_bytes, |seq| log.event(seq));
            Input::BatchLoaded { endpoint, batch, events }
        }

        ReadOrder::Stream { endpoint, from, until, kept, max_entries, max_bytes, keys } => {
            let wanted = StreamPart { endpoint, max_entries, max_bytes };
            let (mut entries, mut next) = match (until, &kept) {
                (_, Some(kept)) => refill_kept(log, kept, (from, until), &wanted, &keys),
                (None, None) => refill_one(log, from, wanted),
                (Some(until), None) => log.backward(from, &stream_sieve(vec![endpoint]), |all| {
                    refill_back(all, (from, until), &wanted)
                }),
            };

            if let Some(rest) = complete(&mut entries, &keys, |seq| log.event(seq)) {
                // What is left of them is read next, which goes on behind the last that is given.
                next = if until.is_none() { rest } else { rest + 1 };
            }
            Input::Refilled { endpoint, read: StreamRead { from, entries, next, kept }, keys }
        }
        ReadOrder::Ages { endpoint, from, kept, max_entries } => {
            let wanted = StreamPart { endpoint, max_entries, max_bytes: 0 };
            let (entries, next) = match &kept {
                Some(kept) => refill_kept(log, kept, (from, None), &wanted, &Keys::default()),
                None => refill_one(log, from, wanted),
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

/// Reads one endpoint's stream forward.
fn refill_one(log: &impl ReadLog, from: Seq, wanted: StreamPart) -> (Vec<StreamEntry>, Seq) {
    let sieve = stream_sieve(vec![wanted.endpoint]);
    let wanted = [(from, wanted)];
    let mut found = log.forward(from, &sieve, |all| refill(all, log.last(), &wanted));
    found.pop().unwrap_or_default()
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
