use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};

use tempfile::TempDir;

use super::{
    CommitClock, Core, Doze, Gathering, Postponed, Retention, SchedulerParts, Thread, start,
    start_watched,
};
use crate::log::testing::{log_options, noise, slow_file};
use crate::log::{BodyBlocks, DiskBudget, Log, Options, Recovered};
use crate::model::{Now, Source, limits};
use crate::queue::matcher::FanOut;
use crate::queue::testing::new_event;
use crate::queue::{Accept, CreateSource, DeleteSource, Input, Matched, Queue, State};
use crate::scheduler::Handle;
use crate::scheduler::envelope::{AnswerReceiver, Envelope};

fn parts(options: Options) -> (SchedulerParts, Handle) {
    let Recovered { log, reader, .. } = Log::open(options, 1).expect("opens");
    let now = Now { mono_ms: 1, wall_ms: 1 };
    let (handle, channels) = crate::scheduler::channel();

    let parts = SchedulerParts {
        log,
        reader,
        queue: Queue::new(State::new(), 1, now),
        channels,
        handle: handle.clone(),
        clock: Arc::new(move || now),
        attempts: tokio::sync::mpsc::channel(1).0,
        retention: Retention::default(),
        fatal: Arc::new(|what: &str| panic!("{what}")),
    };
    (parts, handle)
}

#[test]
fn reading_the_files_through_at_the_end_is_no_commit_that_hangs() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { probe: Some("/bin/true".into()), ..log_options(dir.path()) };
    let folder = options.dir.clone();
    let (parts, handle) = parts(options);
    let slow = slow_file(&folder.join(format!("seg-{:020}", 1)));

    let commit = CommitClock::default();
    let thread = start_watched(parts, commit.clone()).expect("threads");
    handle.stop();
    let reading = slow.await_reader();
    assert!(!commit.is_watched(), "the watchdog would end the process");
    drop(reading);
    thread.join().expect("no panic").expect("closes");
}

#[test]
fn the_retention_clock_is_saved_when_the_thread_has_ended() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = log_options(dir.path());
    let note = options.dir.join("calendar");
    let (parts, handle) = parts(options);
    let thread = start(parts).expect("threads");
    handle.stop();
    thread.join().expect("no panic").expect("closes");
    assert!(note.exists());
}

/// A thread that a test drives, step by step, with a source.
struct DrivenThread {
    thread: Thread,
    handle: Handle,
    source: Arc<Source>,
    _dir: TempDir,
}

fn driven(budget: DiskBudget) -> DrivenThread {
    let dir = tempfile::tempdir().expect("a folder");
    let (parts, handle) = parts(Options { budget, ..log_options(dir.path()) });
    let SchedulerParts { log, queue, channels, clock, attempts, fatal, .. } = parts;
    let mut thread = Thread {
        core: Core { queue, store: log },
        channels,
        clock,
        attempts,
        reads: sync_channel(limits::READS).0,
        reader_doze: Doze::default(),
        fatal,
        postponed: Postponed::default(),
        gathering: Gathering::default(),
        commit: CommitClock::default(),
        looping: 0,
        measured_at: 0,
    };

    let create = CreateSource(Box::new(Source::new("in", "none")));
    thread.step(vec![Envelope::ask(create, None).0]);
    thread.measure_disk();
    let source = thread.core.queue.state().sources.values().next().expect("a source").clone();
    DrivenThread { thread, handle, source, _dir: dir }
}

impl DrivenThread {
    /// A request with a large body, which waits for its turn.
    fn post(&mut self, body: Vec<u8>, dedupe: Option<u64>) -> AnswerReceiver<Accept> {
        let event = new_event(self.source.clone(), Vec::new(), body.into());
        let blocks = BodyBlocks::new(event.body.clone());
        let event = crate::queue::NewEvent { dedupe, ..event };
        let accept = Accept(vec![Matched { event, fan_out: FanOut::default() }]);
        let (envelope, answer) = Envelope::ask(accept, None);

        let (_, nobody_else) = channel();
        let envelope = envelope.with_body(Some(Arc::new(blocks)));
        let admitted = self.thread.gathering.gather(envelope, &nobody_else, |r, n| Some((r, n)));
        assert!(admitted.is_empty(), "it is large");
        answer
    }

    /// Goes on until nothing is left to be done. Returns how many requests each step had, and how
    /// many times some of a body was written before it.
    fn run(&mut self, mut before_each: impl FnMut(&Handle)) -> Vec<(usize, usize)> {
        let mut steps = Vec::new();
        loop {
            before_each(&self.handle);
            let Some(requests) = self.thread.gather(true) else { return steps };
            steps
                .push((requests.len(), self.thread.core.store.ahead_bytes() / limits::AHEAD_BYTES));
            self.thread.step(requests);
        }
    }
}

const LARGE: usize = 3 * limits::AHEAD_BYTES + 1;

fn announce() -> Input {
    let (kind, data) = ("hookbox.test".to_owned(), serde_json::json!({}));
    Input::Announce { kind, data }
}

#[test]
fn a_large_body_is_written_by_turns_with_the_commits_of_others() {
    let mut driven = driven(DiskBudget::default());
    let mut answer = driven.post(noise(LARGE, 1), None);

    // As long as the body waits, somebody else wants something.
    let mut accepted = None;
    let steps = driven.run(|handle| {
        accepted = accepted.take().or_else(|| answer.try_recv().ok());
        if accepted.is_none() {
            handle.report(announce());
        }
    });
    // Some of the body and then others, and at last the body's own commit.
    assert_eq!(steps[..7], [(0, 1), (2, 1), (0, 2), (2, 2), (0, 3), (2, 3), (1, 3)]);
    assert!(!accepted.expect("an answer").expect("accepted")[0].duplicate);
    assert_eq!(driven.thread.core.store.ahead_bytes(), 0);
}

#[test]
fn a_body_that_would_not_be_accepted_is_not_written() {
    let mut driven = driven(DiskBudget::default());
    let mut first = driven.post(noise(LARGE, 1), Some(7));
    let mut again = driven.post(noise(LARGE, 1), Some(7));
    let steps = driven.run(|_| ());
    assert!(!first.try_recv().expect("an answer").expect("accepted")[0].duplicate);
    assert!(again.try_recv().expect("an answer").expect("accepted")[0].duplicate);
    assert_eq!(steps, [(0, 1), (0, 2), (0, 3), (1, 3), (1, 0)]);

    let nearly_full = DiskBudget { quota: Some(24 << 20), ..DiskBudget::default() };
    let mut driven = self::driven(nearly_full);
    let mut answer = driven.post(noise(8 * LARGE, 1), None);
    let steps = driven.run(|_| ());
    assert!(answer.try_recv().expect("an answer").is_err());
    assert_eq!(steps, [(0, 0)]);
}

#[test]
fn what_was_written_of_a_body_does_not_count_again() {
    let bytes = 3 * LARGE;
    let empty = driven(DiskBudget::default());
    let used = empty.thread.core.store.disk_space().used;

    // A large request may have half of what is left.
    let reserve = limits::DISK_RESERVE_MIN;
    let quota = used + reserve + 2 * bytes as u64 + limits::AHEAD_BYTES as u64;
    let budget = DiskBudget { quota: Some(quota), reserve: Some(reserve) };
    let mut driven = driven(budget);
    let mut answer = driven.post(noise(bytes, 1), None);
    let steps = driven.run(|_| ());
    assert!(answer.try_recv().expect("an answer").is_ok());
    assert!(steps.into_iter().eq((1..=9).map(|written| (0, written)).chain([(1, 9)])));
}

#[test]
fn what_was_written_of_a_body_that_is_refused_then_is_forgotten() {
    let mut driven = driven(DiskBudget::default());
    let mut answer = driven.post(noise(LARGE, 1), None);
    let requests = driven.thread.gather(true).expect("some of it is written");
    driven.thread.step(requests);
    assert_eq!(driven.thread.core.store.ahead_bytes(), limits::AHEAD_BYTES);

    let delete = DeleteSource { name: "in".to_owned() };
    driven.thread.step(vec![Envelope::ask(delete, None).0]);
    driven.run(|_| ());
    assert!(answer.try_recv().expect("an answer").is_err());
    assert_eq!(driven.thread.core.store.ahead_bytes(), 0, "it would count for the next one");
}
