//! The reader: a thread that reads the log for the scheduler, so that the one thread which commits never waits for
//! a sealed segment. It loads events, refills windows, and scans for replays; between these it does retention and
//! closes segments that nobody reads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::handle::Handle;
use super::retention::{Retention, retire_oldest};
use super::thread::Clock;
use crate::log::Reader;
use crate::model::{DeliveryId, EndpointId, Event, Seq, limits};
use crate::queue::{Action, Input, ScannedEvent, StreamEntry, matcher};
use crate::record::{Record, ReplayFilter};

/// How often the reader looks for segments whose time is over, however busy it is.
const HOUSEKEEPING_MS: u64 = 5_000;

/// Reads until the scheduler lets go of its side.
pub(super) fn run(reader: &Reader, orders: &Receiver<Action>, handle: &Handle, clock: &Clock, retention: &Retention) {
    let mut kept_at = clock().mono_ms;
    loop {
        match orders.recv_timeout(Duration::from_millis(HOUSEKEEPING_MS)) {
            Ok(Action::Load { delivery, event }) => {
                handle.report(Input::Loaded { delivery, event: read_event(reader, event) });
            }
            Ok(Action::Refill { endpoint, from, max_entries, max_bytes }) => {
                let range = (from, reader.durable());
                let (entries, next) = refill(readable(reader, from), range, endpoint, max_entries, max_bytes);
                handle.report(Input::Refilled { endpoint, from, entries, next });
            }
            Ok(Action::Scan { replay, filter, from, end, max }) => {
                let (events, next) = scan(readable(reader, from), &filter, reader.first(), (from, end), max);
                handle.report(Input::Scanned { replay, from, events, next });
            }
            Ok(Action::Attempt { .. } | Action::Publish | Action::DropSegment { .. }) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if clock().mono_ms.saturating_sub(kept_at) >= HOUSEKEEPING_MS {
            reader.close_idle();
            retire_oldest(reader, handle, clock, retention);
            kept_at = clock().mono_ms;
        }
    }
}

/// The event that record `seq` holds.
pub(super) fn read_event(reader: &Reader, seq: Seq) -> Option<Arc<Event>> {
    match reader.read(seq) {
        Ok(Some(Record::EventAccepted { event, .. } | Record::EventCarried { event, .. })) => Some(event),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(seq, %error, "cannot read an event from the log");
            None
        }
    }
}

/// The log from `from` on. What cannot be read is skipped with an error in the log; it was reported when the segment
/// was opened.
fn readable(reader: &Reader, from: Seq) -> impl Iterator<Item = (Seq, Record)> {
    reader.forward(from).filter_map(|item| match item {
        Ok(item) => Some(item),
        Err(error) => {
            tracing::error!(%error, "skipping what cannot be read of the log");
            None
        }
    })
}

/// Reads an endpoint's stream forward in `records`, which begin at `from` and of which `end` is the last. Returns
/// the entries and where to go on.
pub fn refill(
    records: impl Iterator<Item = (Seq, Record)>,
    (from, end): (Seq, Seq),
    endpoint: EndpointId,
    max_entries: usize,
    max_bytes: usize,
) -> (Vec<StreamEntry>, Seq) {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut next = from;
    for (scanned, (seq, record)) in records.enumerate() {
        if scanned >= limits::REFILL_SCAN || entries.len() >= max_entries {
            return (entries, next);
        }
        next = seq + 1;
        if let Some(mut entry) = stream_entry(seq, record, endpoint) {
            let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
            if bytes + cost > max_bytes {
                entry.loaded = None;
            } else {
                bytes += cost;
            }
            entries.push(entry);
        }
    }
    (entries, next.max(end + 1))
}

/// What a record puts into the endpoint's stream.
fn stream_entry(seq: Seq, record: Record, endpoint: EndpointId) -> Option<StreamEntry> {
    match record {
        Record::EventAccepted { event, fan_out, .. } => fan_out.contains(&endpoint).then(|| StreamEntry {
            position: seq,
            delivery: DeliveryId { seq, endpoint },
            event: seq,
            loaded: Some(event),
            attempts: 0,
            last: 0,
        }),
        Record::Replayed { event, endpoint: to, .. } => (to == endpoint).then(|| StreamEntry {
            position: seq,
            delivery: DeliveryId { seq, endpoint },
            event,
            loaded: None,
            attempts: 0,
            last: 0,
        }),
        Record::DeliveryRetried { delivery, event, attempts, last, in_stream: true, .. } => (delivery.endpoint
            == endpoint)
            .then_some(StreamEntry { position: seq, delivery, event, loaded: None, attempts, last }),
        _ => None,
    }
}

/// Whether an old event is one that the filter means.
#[must_use]
pub fn scan_matches(filter: &ReplayFilter, event: &Event) -> bool {
    filter.since.is_none_or(|since| event.received_at >= since)
        && filter.until.is_none_or(|until| event.received_at < until)
        && filter.source.as_ref().is_none_or(|source| *source == event.source_name)
        && filter.kind.as_ref().is_none_or(|kind| matcher::glob(kind, &event.kind))
        && filter.event.is_none_or(|id| id == event.id)
}

/// The event that a record holds: its own, or one carried there because its own record, before `first`, is gone.
fn standing_event(record: Record, first: Seq) -> Option<(Arc<Event>, Vec<EndpointId>)> {
    match record {
        Record::EventAccepted { event, fan_out, .. } => Some((event, fan_out)),
        Record::EventCarried { seq, event, fan_out } => (seq < first).then_some((event, fan_out)),
        _ => None,
    }
}

/// Reads events that match forward in `records`, which begin at `from`; `first` is the oldest of the whole log.
/// Returns them and where to go on, behind `end` when all was read.
pub fn scan(
    records: impl Iterator<Item = (Seq, Record)>,
    filter: &ReplayFilter,
    first: Seq,
    (from, end): (Seq, Seq),
    max: usize,
) -> (Vec<ScannedEvent>, Seq) {
    let mut events = Vec::new();
    let mut next = from;
    for (scanned, (seq, record)) in records.enumerate() {
        if seq > end {
            break;
        }
        if scanned >= limits::REFILL_SCAN || events.len() >= max {
            return (events, next);
        }
        next = seq + 1;
        if let Some((event, fan_out)) = standing_event(record, first)
            && scan_matches(filter, &event)
        {
            events.push(ScannedEvent { seq: event.id.seq, fan_out });
        }
    }
    (events, next.max(end + 1))
}
