//! The scheduler's test world: a log in a folder, and a thread that decides and commits as the real
//! one does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use tempfile::TempDir;

use super::core::Core;
use super::envelope::Envelope;
use super::handle::{Handle, channel};
use super::retention::{LogAccess, Retention};
use crate::log::testing::{log_options, open_log};
use crate::log::{Log, LogError, Reader, Recovered};
use crate::model::limits;
use crate::model::{Clock, Endpoint, EndpointId, Event, EventId, Now, Seq, Source};
use crate::queue::matcher::Steps;
use crate::queue::testing::new_event;
use crate::queue::{
    Accept, Action, CreateEndpoint, CreateSource, HoldEndpoint, ImportEvents, ImportedDead,
    ImportedEvent, Maintenance, Queue, QueueRequest, State,
};
use crate::record::Record;

const WALL_MS: u64 = 1_700_000_000_000;

/// A scheduler without attempts and orders to read. It ends with this.
pub(super) struct TestScheduler {
    pub reader: Reader,
    pub handle: Handle,
    pub clock: Clock,
    mono_ms: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl TestScheduler {
    /// One with the source `in` and the endpoint `app`, which is held, and whatever `prepare` does.
    pub fn new(prepare: impl FnOnce(&mut TestCore)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = log_options(dir.path()).dir;
        let Recovered { log, reader, .. } = open_log(dir.path(), WALL_MS);

        let mono_ms = Arc::new(AtomicU64::new(1_000));
        let read = mono_ms.clone();
        let clock: Clock = Arc::new(move || now(&read));
        let queue = Queue::new(State::new(), 1, clock());

        let core = Core { queue, store: log };
        let mut core = TestCore { core, reader: reader.clone(), folder, imported: 0 };
        core.ask(CreateSource(Box::new(Source::new("in", "none"))));
        core.ask(CreateEndpoint(Box::new(Endpoint::new("app", "http://app.example/"))));
        core.ask(HoldEndpoint { name: "app".into() });
        prepare(&mut core);

        let (handle, channels) = channel();
        let thread_clock = clock.clone();
        let thread = std::thread::spawn(move || {
            while !channels.health.stopping.load(Ordering::Acquire)
                && let Ok(envelope) = channels.requests.recv()
            {
                core.step(thread_clock(), envelope);
            }
        });
        Self { reader, handle, clock, mono_ms, thread: Some(thread), _dir: dir }
    }

    /// Lets time pass.
    pub fn pass(&self, ms: u64) {
        self.mono_ms.fetch_add(ms, Ordering::AcqRel);
    }

    /// What retention works with.
    pub fn access<'a>(&'a self, retention: &'a Retention) -> LogAccess<'a> {
        LogAccess { reader: &self.reader, handle: &self.handle, clock: &self.clock, retention }
    }
}

impl Drop for TestScheduler {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the thread panicked");
    }
}

fn now(mono_ms: &AtomicU64) -> Now {
    let mono_ms = mono_ms.load(Ordering::Acquire);
    Now { mono_ms, wall_ms: WALL_MS + mono_ms }
}

/// The queue and the log of a test world that is not running yet.
pub(super) struct TestCore {
    core: Core<Log>,
    reader: Reader,
    folder: PathBuf,
    imported: u64,
}

impl TestCore {
    fn step(&mut self, now: Now, envelope: Envelope) {
        let mut released = self.core.step(now, vec![envelope], false).expect("commits");
        for action in std::mem::take(&mut released.actions) {
            if let Action::Maintain(Maintenance::DropSegment { first, .. }) = action {
                self.core.store.drop_segment(first).expect("drops");
            }
        }
        released.send_answers();
    }

    /// Has the queue do something.
    pub fn ask<R: QueueRequest>(&mut self, request: R) -> R::Answer {
        let (envelope, mut answer) = Envelope::ask(request, None);
        self.step(Now { mono_ms: 1_000, wall_ms: WALL_MS }, envelope);
        answer.try_recv().expect("an answer").expect("it is not refused")
    }

    /// Accepts an event, which waits for the held endpoint.
    pub fn accept_for_held(&mut self) {
        let state = self.core.queue.state();
        let source = state.sources.values().next().expect("the source").clone();
        let event = new_event(source, Vec::new(), "{}".into());
        let matcher = self.core.queue.matcher();
        let matched = matcher.matched(event, &mut Steps::new(limits::FILTER_STEPS));
        self.ask(Accept(vec![matched]));
    }

    /// Imports so many events that are dead letters of the endpoint.
    pub fn import_dead(&mut self, count: u64) {
        let events = (0..count).map(|_| self.dead_event()).collect();
        assert_eq!(self.ask(ImportEvents { events }) as u64, count);
    }

    fn dead_event(&mut self) -> ImportedEvent {
        self.imported += 1;
        let id = EventId { seq: self.imported, tag: 1 };
        let event = Event {
            id,
            source: 1,
            source_name: "in".into(),
            kind: "t".into(),
            received_at: 1,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: "{}".into(),
            from_provider: false,
            first_id: Some(id),
        };

        let reason = "refused".to_owned();
        let dead = vec![ImportedDead { endpoint: 1, attempts: 1, died_at: 1, reason }];
        let (dedupe, content, deliver_to) = (None, None, Vec::new());
        ImportedEvent { event, dedupe, content, identity: self.imported, deliver_to, dead }
    }

    /// Begins a new segment.
    pub fn roll(&mut self) {
        let checkpoint = self.core.queue.state().checkpoint();
        self.core.store.roll(checkpoint, WALL_MS).expect("rolls");
    }

    /// Begins a new segment whose checkpoint is still to be written.
    pub fn roll_gradually(&mut self) {
        let checkpoint = vec![0; 2 * limits::CHECKPOINT_STEP];
        self.core.store.roll(checkpoint, WALL_MS).expect("rolls");
        assert!(self.core.store.is_writing_checkpoint());
    }

    /// The disk does not give back the oldest segment any more, whose records are lost.
    pub fn give_up_oldest(&mut self) {
        let (doing, path) = ("read", self.database(1));
        let source = std::io::Error::from_raw_os_error(5);
        assert!(self.reader.give_up(&LogError::Io { doing, path, source }));
    }

    /// The oldest segment cannot be opened: a loop of links, which is not the files' fault.
    pub fn hide_oldest(&mut self) {
        self.reader.close_idle();
        let path = self.database(1);
        fs::rename(&path, path.with_extension("away")).expect("renames");
        symlink("db", &path).expect("links");
    }

    fn database(&self, first: u64) -> PathBuf {
        self.folder.join(format!("seg-{first:020}/db"))
    }
}

/// An event that was accepted for these endpoints.
pub(super) fn accepted(seq: Seq, fan_out: Vec<EndpointId>) -> Record {
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

    Record::EventAccepted {
        event: Arc::new(event),
        dedupe: None,
        fan_out,
        beside: Default::default(),
        ran_ms: 0,
    }
}
