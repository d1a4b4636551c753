//! What is folded while the log is being verified is what a walk over the log folds.

use std::fs;
use std::path::Path;

use super::{StateAhead, fold};
use crate::log::testing::{log_options, open_log};
use crate::log::{FoldAhead, Log, Recovered};
use crate::model::{Endpoint, Now, Source};
use crate::queue::{CreateEndpoint, CreateSource, HoldEndpoint, Queue, QueueRequest, State};

const NOW: Now = Now { mono_ms: 1, wall_ms: 1_000 };

fn ask(log: &mut Log, queue: &mut Queue, request: impl QueueRequest) {
    let decision = queue.handle(NOW, request);
    let _durable = log.commit(&decision.records).expect("commits");
}

/// A log with a source and endpoints, some of them in its checkpoint.
fn fill(dir: &Path) {
    let Recovered { mut log, .. } = open_log(dir, 1);
    let mut queue = Queue::new(State::new(), 1, NOW);
    let begun = queue.begin(NOW, "0");
    let _durable = log.commit(&begun.records).expect("commits");

    ask(&mut log, &mut queue, CreateSource(Box::new(Source::new("in", "none"))));
    for name in ["a", "b", "c", "d"] {
        let endpoint = Endpoint::new(name, "http://app.example/");
        ask(&mut log, &mut queue, CreateEndpoint(Box::new(endpoint)));
        if name == "b" {
            log.roll(queue.state().checkpoint(), 1).expect("rolls");
        }
    }
    ask(&mut log, &mut queue, HoldEndpoint { name: "a".into() });
}

#[test]
fn what_is_folded_ahead_is_what_a_walk_folds() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(dir.path());

    let mut ahead = StateAhead::default();
    let Recovered { mut log, reader, checkpoint, first_to_fold, .. } =
        Log::open_folding(log_options(dir.path()), 1, &mut ahead).expect("opens");
    let walked = fold(&mut log, &reader, checkpoint.as_deref(), first_to_fold).expect("folds");
    let ahead = ahead.complete(&log).expect("nothing is wrong with the log");
    assert!(ahead.endpoints.len() == 4 && ahead.checkpoint() == walked.checkpoint());
}

#[test]
fn records_that_are_missing_at_the_end_are_not_folded_ahead() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(dir.path());
    let log_dir = dir.path().join("log");
    for segment in fs::read_dir(&log_dir).expect("lists").flatten() {
        if segment.path().is_dir() {
            fs::remove_dir_all(segment.path()).expect("removes");
        }
    }
    // A segment is begun behind all that is lost, and is empty at the next start.
    drop(open_log(dir.path(), 1));

    let mut ahead = StateAhead::default();
    let Recovered { mut log, reader, checkpoint, first_to_fold, .. } =
        Log::open_folding(log_options(dir.path()), 1, &mut ahead).expect("opens");
    let next = log.next_seq();
    assert!(next > 1 && ahead.is_confirmed);
    assert!(ahead.complete(&log).is_none(), "it goes on as if there had been no records");
    let walked = fold(&mut log, &reader, checkpoint.as_deref(), first_to_fold).expect("folds");
    assert_eq!(walked.next_seq, next);
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_no_beginning() {
    let mut ahead = StateAhead::default();
    assert!(ahead.begin(&State::new().checkpoint()));
    assert!(!ahead.begin(b"no checkpoint") && ahead.state.is_none());
}
