//! What is read of the log for the queue: an endpoint's stream, the events of a batch, old events
//! for a replay. Over any records, so that the simulation reads by the very same code.

use std::sync::Arc;

use crate::model::{EndpointId, Event, EventTraits, Seq, limits};
use crate::queue::{
    BatchSize, Input, KeptRead, Keys, Loaded, ReadOrder, ScannedEvent, StreamEntry, StreamRead,
};
use crate::record::{HeldEvent, Record, ReplayFilter};

/// A log to read from. Reading it never fails: what cannot be read is not there.
pub trait ReadLog {
    /// The oldest record that there is.
    fn first(&self) -> Seq;

    /// The newest.
    fn last(&self) -> Seq;

    /// The event that a record holds.
    fn event(&self, seq: Seq) -> Option<Arc<Event>>;

    /// Gives `take` the records from `from` on. It may be called again when something could not be
    /// read at the moment.
    fn forward<T>(
        &self,
        from: Seq,
        take: impl Fn(&mut dyn Iterator<Item = (Seq, Record)>) -> T,
    ) -> T;

    /// The same with the records before `before`, the latest first.
    fn backward<T>(
        &self,
        before: Seq,
        take: impl Fn(&mut dyn Iterator<Item = (Seq, Record)>) -> T,
    ) -> T;
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
                (None, None) => log.forward(from, |all| refill(all, (from, log.last()), &wanted)),
                (Some(until), None) => {
                    log.backward(from, |all| refill_back(all, (from, until), &wanted))
                }
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
                None => log.forward(from, |all| refill(all, (from, log.last()), &wanted)),
            };
            Input::AgesRead { endpoint, read: StreamRead { from, entries, next, kept } }
        }

        ReadOrder::Replay { replay, filter, from, end, max } => {
            let first = log.first();
            let (events, next) =
                log.forward(from, |all| scan(all, &filter, first, (from, end), max));
            Input::Scanned { replay, from, events, next }
        }
    }
}

/// How much of an endpoint's stream is read at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPart {
    pub endpoint: EndpointId,
    pub max_entries: usize,
    /// Of events, beyond which entries come without theirs.
    pub max_bytes: usize,
}

/// Reads an endpoint's stream forward in `records`, which begin at `from` and of which `end` is the
/// last. Returns the entries and where to go on.
pub(super) fn refill(
    records: impl Iterator<Item = (Seq, Record)>,
    (from, end): (Seq, Seq),
    wanted: &StreamPart,
) -> (Vec<StreamEntry>, Seq) {
    let mut found = StreamCollector::new(wanted);
    let mut next = from;

    for (scanned, (seq, record)) in records.enumerate() {
        if scanned >= limits::REFILL_SCAN || found.is_full() {
            return (found.entries, next);
        }
        next = seq + 1;
        found.take(seq, record);
    }

    (found.entries, next.max(end + 1))
}

/// Reads an endpoint's stream backward in `records`, which end before `from`, down to `until`.
/// Returns the entries, the latest first, and the last record that was looked at: `until` when all
/// was read.
fn refill_back(
    records: impl Iterator<Item = (Seq, Record)>,
    (from, until): (Seq, Seq),
    wanted: &StreamPart,
) -> (Vec<StreamEntry>, Seq) {
    let mut found = StreamCollector::new(wanted);
    let mut next = from;

    for (scanned, (seq, record)) in records.enumerate() {
        if seq < until {
            break;
        }
        if scanned >= limits::REFILL_SCAN || found.is_full() {
            return (found.entries, next);
        }
        next = seq;
        found.take(seq, record);
    }

    (found.entries, until)
}

/// Reads kept positions of an endpoint's stream, forward from `from`, or backward from before it
/// down to `until`. Returns the entries, in the order of the reading, and where to go on.
fn refill_kept(
    log: &impl ReadLog,
    kept: &KeptRead,
    (from, until): (Seq, Option<Seq>),
    wanted: &StreamPart,
    keys: &Keys,
) -> (Vec<StreamEntry>, Seq) {
    let is_asked = |position| match until {
        None => position >= from,
        Some(until) => until <= position && position < from,
    };

    let mut entries: Vec<StreamEntry> = Vec::new();
    for part in &kept.parts {
        // One that cannot be read is lost, which is settled apart.
        let record = log.forward(part.record, |all| all.next());
        let Some((_, record)) = record.filter(|(seq, _)| *seq == part.record) else { continue };
        let waiting = record.stream_positions(part.record).filter(|waiting| {
            let (position, endpoint) = (waiting.position, waiting.delivery.endpoint);
            let is_here = part.first <= position && position <= part.last;
            endpoint == wanted.endpoint && is_here && is_asked(position)
        });
        let mut here: Vec<StreamEntry> = waiting
            .map(|waiting| {
                let key = waiting.key;
                let mut entry = StreamEntry::new(waiting, None);
                keys.take_over(&mut entry, part.record, key);
                entry
            })
            .collect();
        if until.is_some() {
            here.reverse();
        }
        entries.extend(here);

        if entries.len() >= wanted.max_entries {
            entries.truncate(wanted.max_entries);
            let last = entries.last().map_or(from, |entry| entry.position);
            return (entries, if until.is_some() { last } else { last + 1 });
        }
    }
    (entries, until.map_or(kept.next, |until| kept.next.max(until)))
}

struct StreamCollector<'a> {
    wanted: &'a StreamPart,
    entries: Vec<StreamEntry>,
    bytes: usize,
    /// Bytes of all events that were read, whoever gets them.
    read: usize,
}

impl<'a> StreamCollector<'a> {
    fn new(wanted: &'a StreamPart) -> Self {
        Self { wanted, entries: Vec::new(), bytes: 0, read: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.wanted.max_entries || self.read >= limits::LOG_READ_BYTES
    }

    fn take(&mut self, seq: Seq, record: Record) {
        self.read += record.held_event().map_or(0, |held| held.event.cost());
        let Some(mut entry) = stream_entry(seq, record, self.wanted.endpoint) else { return };
        let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
        if self.bytes + cost > self.wanted.max_bytes {
            // Its event is read again when its turn comes; what is asked of it now, `complete`
            // looks up.
            entry.loaded = None;
        } else {
            self.bytes += cost;
        }
        self.entries.push(entry);
    }
}

/// Writes into entries what their endpoint's pointers ask for, reading the events that are not at
/// hand. Where that is too much for once, the rest of the entries is left out; gives the position
/// of the first that was.
fn complete(
    entries: &mut Vec<StreamEntry>,
    keys: &Keys,
    mut read: impl FnMut(Seq) -> Option<Arc<Event>>,
) -> Option<Seq> {
    if keys.is_empty() {
        return None;
    }

    let mut bytes = 0;
    let read_on = |entry: &mut StreamEntry| {
        if bytes >= limits::LOG_READ_BYTES {
            return false;
        }
        if !keys.lacks(entry) {
            return true;
        }
        let at = keys.moved.get(&entry.event).copied().unwrap_or(entry.event);
        // One that is not there may have been relocated, which only the queue knows: it asks
        // again.
        if let Some(event) = entry.loaded.clone().or_else(|| read(at)) {
            bytes += event.cost();
            keys.fill(entry, &event);
        }
        true
    };
    let done = entries.iter_mut().map(read_on).take_while(|read| *read).count();

    let rest = entries.get(done).map(|entry| entry.position);
    entries.truncate(done);
    rest
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

/// What a record puts into the endpoint's stream.
fn stream_entry(seq: Seq, record: Record, endpoint: EndpointId) -> Option<StreamEntry> {
    // Positions that it holds for other records are read by `refill_kept`, in their order.
    let mut own = record.stream_positions(seq).filter(|waiting| waiting.position == seq);
    let waiting = own.find(|waiting| waiting.delivery.endpoint == endpoint)?;
    Some(StreamEntry::new(waiting, event_of(&record)))
}

/// The event that a record holds.
#[must_use]
pub fn event_of(record: &Record) -> Option<Arc<Event>> {
    record.held_event().map(|held| held.event.clone())
}

/// Reads events that match forward in `records`, which begin at `from`; `first` is the oldest of
/// the whole log. Returns them and where to go on, behind `end` when all was read.
fn scan(
    records: impl Iterator<Item = (Seq, Record)>,
    filter: &ReplayFilter,
    first: Seq,
    (from, end): (Seq, Seq),
    max: usize,
) -> (Vec<ScannedEvent>, Seq) {
    let filter = filter.events();
    let mut events = Vec::new();
    let mut next = from;
    let mut bytes = 0;

    for (scanned, (seq, record)) in records.enumerate() {
        if seq > end {
            break;
        }
        if scanned >= limits::REFILL_SCAN || events.len() >= max || bytes >= limits::LOG_READ_BYTES
        {
            return (events, next);
        }
        next = seq + 1;
        bytes += record.held_event().map_or(0, |held| held.event.cost());

        // An event that was relocated is met at its first record, as long as that is there.
        let held = record.held_event();
        let held = held.filter(|held| held.relocated_from.is_none_or(|seq| seq < first));
        if let Some(HeldEvent { event, fan_out, .. }) = held
            && filter.matches(&EventTraits::from(&**event))
        {
            events.push(ScannedEvent { at: seq, seq: event.id.seq, fan_out: fan_out.to_vec() });
        }
    }
    (events, next.max(end + 1))
}
