use std::sync::Arc;

use super::{CommitClock, Retention, SchedulerParts, start, start_watched};
use crate::log::testing::{log_options, slow_file};
use crate::log::{Log, Options, Recovered};
use crate::model::Now;
use crate::queue::{Queue, State};
use crate::scheduler::Handle;

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
