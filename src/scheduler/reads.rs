//! The reader: a thread that reads the log for the scheduler, so that the one thread which commits never waits for
//! a sealed segment. It loads events, refills windows, and scans for replays; between these it does retention and
//! closes segments that nobody reads.
//!
//! What is passed over here is never delivered. So only what is damaged is: an error of the moment (no descriptors, no
//! memory, a disk that fails once) is tried again until it is gone, or until the disk has said often enough that it
//! cannot read a segment; that segment alone is given up then, until the next start.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::handle::Handle;
use super::retention::{Keeper, Retention};
use super::thread::Clock;
use crate::log::{LogError, Reader};
use crate::model::{DeliveryId, EndpointId, Event, Seq, limits};
use crate::queue::{Action, Input, Keys, Loaded, ScannedEvent, StreamEntry, matcher};
use crate::record::{Record, ReplayFilter, Waiting};

/// How often the reader measures the room and looks for segments whose time is over, and how often it closes segments,
/// however busy it is; a shorter retention makes it look more often, down to the last number.
const LOOK_MS: u64 = 1_000;
const HOUSEKEEPING_MS: u64 = 5_000;
const LOOK_MIN_MS: u64 = 200;
/// Between two slices of what keeps the log small: the store gives back what it took for one before the next.
const BETWEEN: Duration = Duration::from_millis(20);
/// The pause after an error of the moment, and how often it may come back before a segment is given up.
const PAUSE: Duration = Duration::from_millis(200);
const TRIES: u32 = 50;

/// Reads until the scheduler lets go of its side.
pub(super) fn run(reader: &Reader, orders: &Receiver<Action>, handle: &Handle, clock: &Clock, retention: &Retention) {
    let mut keeper = Keeper::new(reader, handle, clock, retention);
    let look_ms = retention.delivered_ms.clamp(LOOK_MIN_MS, LOOK_MS);
    let mut looked_at = clock().mono_ms;
    let mut kept_at = looked_at;
    loop {
        // Orders come first; what keeps the log small is done between them.
        let pause = if keeper.is_busy() { BETWEEN } else { Duration::from_millis(look_ms) };
        match orders.recv_timeout(pause) {
            Ok(order) => obey(order, reader, handle),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return keeper.save(clock()),
        }
        keeper.step();
        if clock().mono_ms.saturating_sub(looked_at) >= look_ms {
            handle.health().room.see(reader.look());
            keeper.look();
            looked_at = clock().mono_ms;
        }
        if clock().mono_ms.saturating_sub(kept_at) >= HOUSEKEEPING_MS {
            reader.close_idle();
            kept_at = clock().mono_ms;
        }
    }
}

fn obey(order: Action, reader: &Reader, handle: &Handle) {
    match order {
        Action::Load { delivery, event } => {
            handle.report(Input::Loaded { delivery, event: read_event(reader, event) });
        }
        Action::LoadBatch { endpoint, batch, events, max_bytes } => {
            let events = load_batch(&events, max_bytes, |seq| read_event(reader, seq));
            handle.report(Input::BatchLoaded { endpoint, batch, events });
        }
        Action::Refill { endpoint, from, until, max_entries, max_bytes, keys } => {
            let wanted = Wanted { endpoint, max_entries, max_bytes };
            let (mut entries, next) = match until {
                None => patiently(reader, || {
                    readable(reader.forward(from), |all| refill(all, (from, reader.durable()), &wanted))
                }),
                Some(until) => patiently(reader, || {
                    readable(reader.backward(from), |all| refill_back(all, (from, until), &wanted))
                }),
            };
            complete(&mut entries, &keys, |seq| read_event(reader, seq));
            handle.report(Input::Refilled { endpoint, from, entries, next, keys });
        }
        Action::Scan { replay, filter, from, end, max } => {
            let first = reader.first();
            let (events, next) =
                patiently(reader, || readable(reader.forward(from), |all| scan(all, &filter, first, (from, end), max)));
            handle.report(Input::Scanned { replay, from, events, next });
        }
        Action::Attempt { .. } | Action::AttemptBatch { .. } | Action::Publish | Action::DropSegment { .. } => {}
    }
}

/// The event that record `seq` holds.
pub(super) fn read_event(reader: &Reader, seq: Seq) -> Option<Arc<Event>> {
    patiently(reader, || match reader.read(seq) {
        Ok(Some(Record::EventAccepted { event, .. } | Record::EventCarried { event, .. })) => Ok(Some(event)),
        Ok(_) => Ok(None),
        Err(error) if error.is_lasting() => {
            tracing::error!(seq, %error, "cannot read an event from the log");
            Ok(None)
        }
        Err(error) => Err(error),
    })
}

/// Reads, and reads again as long as the moment is to blame.
fn patiently<T>(reader: &Reader, mut read: impl FnMut() -> Result<T, LogError>) -> T {
    let mut tries = 0u32;
    loop {
        let error = match read() {
            Ok(done) => return done,
            Err(error) => error,
        };
        if tries.is_multiple_of(TRIES / 5) {
            tracing::error!(%error, "cannot read the log at the moment; trying again");
        }
        tries += 1;
        if tries.is_multiple_of(TRIES) && reader.give_up(&error) {
            tracing::error!(%error, "going on without a segment that the disk does not give back");
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Takes what it wants of a walk over the log. What is damaged is skipped with an error in the log; any other
/// error ends it, and what was taken is not to be used.
fn readable<T>(
    walk: impl Iterator<Item = Result<(Seq, Record), LogError>>,
    take: impl FnOnce(&mut dyn Iterator<Item = (Seq, Record)>) -> T,
) -> Result<T, LogError> {
    let mut failed = None;
    let mut records = walk.filter_map(|item| match item {
        Ok(item) => Some(item),
        Err(error) => {
            if error.is_lasting() {
                tracing::error!(%error, "skipping what cannot be read of the log");
            } else {
                failed = Some(error);
            }
            None
        }
    });
    let taken = take(&mut records);
    drop(records);
    failed.map_or(Ok(taken), Err)
}

/// What a refill is to bring.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub endpoint: EndpointId,
    pub max_entries: usize,
    /// Of events, beyond which entries come without theirs.
    pub max_bytes: usize,
}

/// Reads an endpoint's stream forward in `records`, which begin at `from` and of which `end` is the last. Returns
/// the entries and where to go on.
pub fn refill(
    records: impl Iterator<Item = (Seq, Record)>,
    (from, end): (Seq, Seq),
    wanted: &Wanted,
) -> (Vec<StreamEntry>, Seq) {
    let mut found = Found::new(wanted);
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

/// Reads an endpoint's stream backward in `records`, which end before `from`, down to `until`. Returns the entries, the
/// latest first, and the last record that was looked at: `until` when all was read.
pub fn refill_back(
    records: impl Iterator<Item = (Seq, Record)>,
    (from, until): (Seq, Seq),
    wanted: &Wanted,
) -> (Vec<StreamEntry>, Seq) {
    let mut found = Found::new(wanted);
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

struct Found<'a> {
    wanted: &'a Wanted,
    entries: Vec<StreamEntry>,
    bytes: usize,
}

impl<'a> Found<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        Self { wanted, entries: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.wanted.max_entries
    }

    fn take(&mut self, seq: Seq, record: Record) {
        let Some(mut entry) = stream_entry(seq, record, self.wanted.endpoint) else { return };
        let cost = entry.loaded.as_ref().map_or(0, |event| event.cost());
        if self.bytes + cost > self.wanted.max_bytes {
            // Its event is read again when its turn comes; what is asked of it now, `complete` looks up.
            entry.loaded = None;
        } else {
            self.bytes += cost;
        }
        self.entries.push(entry);
    }
}

/// Writes into entries what their endpoint's pointers ask for, reading the events that are not at hand.
pub fn complete(entries: &mut [StreamEntry], keys: &Keys, mut read: impl FnMut(Seq) -> Option<Arc<Event>>) {
    if keys.is_empty() {
        return;
    }
    for entry in entries {
        let at = keys.moved.get(&entry.event).copied().unwrap_or(entry.event);
        // One that is not there may have been carried forward, which only the queue knows: it asks again.
        if let Some(event) = entry.loaded.clone().or_else(|| read(at)) {
            keys.fill(entry, &event);
        }
    }
}

/// Reads the events of a batch, in their order, until it is full.
pub fn load_batch(events: &[Seq], max_bytes: u64, mut read: impl FnMut(Seq) -> Option<Arc<Event>>) -> Vec<Loaded> {
    let mut bytes = 0;
    let mut load = |seq: &Seq| {
        if bytes > max_bytes {
            return Loaded::NotRead;
        }
        match read(*seq) {
            Some(event) => {
                bytes += event.body.len() as u64;
                Loaded::Event(event)
            }
            None => Loaded::Gone,
        }
    };
    events.iter().map(&mut load).collect()
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
            key: None,
            latest_key: None,
        }),
        Record::Replayed { event, endpoint: to, .. } => (to == endpoint).then(|| StreamEntry {
            position: seq,
            delivery: DeliveryId { seq, endpoint },
            event,
            loaded: None,
            attempts: 0,
            last: 0,
            key: None,
            latest_key: None,
        }),
        Record::DeliveryRetried { delivery, event, attempts, last, in_stream: true, .. }
        | Record::PlaceCarried { waiting: Waiting { delivery, event, attempts, last, .. } } => {
            (delivery.endpoint == endpoint).then_some(StreamEntry {
                position: seq,
                delivery,
                event,
                loaded: None,
                attempts,
                last,
                key: None,
                latest_key: None,
            })
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{Wanted, patiently, readable, refill};
    use crate::log::{Log, LogError, Options, Reader, Recovered};
    use crate::model::{Event, EventId, Seq};
    use crate::record::Record;

    fn accepted(seq: Seq) -> Record {
        let event = Event {
            id: EventId { seq, tag: 2 },
            source: 1,
            source_name: "s".into(),
            kind: "push".into(),
            received_at: 3,
            dedupe_key: None,
            request_line: "POST /in/s".into(),
            remote: "127.0.0.1:1".into(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            from_provider: false,
            first_id: None,
        };
        Record::EventAccepted { event: Arc::new(event), dedupe: None, fan_out: vec![1] }
    }

    /// Three segments of two events each; only the last one is open.
    fn log(dir: &Path) -> (Log, Reader) {
        let Recovered { mut log, reader, .. } =
            Log::open(Options { dir: dir.join("log"), ..Options::default() }, 1).expect("opens");
        for first in [1, 3, 5] {
            if first > 1 {
                log.roll(b"checkpoint", 1).expect("rolls");
            }
            let _durable = log.commit(&[accepted(first), accepted(first + 1)]).expect("commits");
        }
        reader.close_idle();
        (log, reader)
    }

    fn positions(reader: &Reader) -> Result<(Vec<Seq>, Seq), LogError> {
        let wanted = Wanted { endpoint: 1, max_entries: 100, max_bytes: 1 << 20 };
        readable(reader.forward(1), |all| refill(all, (1, reader.durable()), &wanted))
            .map(|(entries, next)| (entries.iter().map(|e| e.position).collect(), next))
    }

    #[test]
    fn an_error_of_the_moment_skips_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_log, reader) = log(dir.path());
        // A loop of links: an error that is not the files' fault, and gone once the file is back.
        let db = dir.path().join("log/seg-00000000000000000003/db");
        let away = db.with_extension("away");
        fs::rename(&db, &away).expect("renames");
        symlink("db", &db).expect("links");
        let error = positions(&reader).expect_err("a segment cannot be opened");
        assert!(!error.is_damage(), "{error}");
        let mut tries = 0;
        let read = patiently(&reader, || {
            tries += 1;
            if tries == 3 {
                fs::rename(&away, &db).expect("renames");
            }
            positions(&reader)
        });
        assert_eq!(read, (vec![1, 2, 3, 4, 5, 6], 7));
        assert_eq!(tries, 3);
    }

    #[test]
    fn a_segment_that_the_disk_does_not_give_back_is_given_up_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_log, reader) = log(dir.path());
        let path = dir.path().join("log/seg-00000000000000000003/db");
        let failed =
            |code| LogError::Io { doing: "read", path: path.clone(), source: std::io::Error::from_raw_os_error(code) };
        // EMFILE passes; EIO says that the disk cannot.
        assert!(!reader.give_up(&failed(24)));
        assert!(reader.give_up(&failed(5)));
        assert_eq!(positions(&reader).expect("goes on"), (vec![1, 2, 5, 6], 7));
        let report = reader.verify(&mut |_| {});
        assert!(!report.ok);
        assert_eq!((report.problems[0].first, report.problems[0].last), (3, 4));
    }
}
