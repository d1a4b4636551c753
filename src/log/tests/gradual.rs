//! Large checkpoints: written in parts with the commits behind a roll, and complete or not when the
//! process ends.

use std::fs;
use std::path::Path;

use super::{commit, event, fill, forward, noise, open, open_whole, options, ranges, retire, seqs};
use crate::log::layout::Tampering;
use crate::log::{Log, LogCopy, LogError, Options, Reader, Recovered, carve, folder};
use crate::model::Seq;

/// A checkpoint takes this many commits, of two parts each, and the one that marks it.
const COMMITS: u64 = 5;

/// The checkpoints are larger than a step.
fn in_steps(dir: &Path) -> Options {
    Options { checkpoint_step: 20_000, ..options(dir) }
}

fn state() -> Vec<u8> {
    noise(100_000, 1)
}

/// Records 1 to 10 in a segment, and a second one whose checkpoint is being written.
fn rolled(dir: &Path) -> Recovered {
    let mut recovered = Log::open(in_steps(dir), 1_000).expect("opens");
    fill(&mut recovered.log, 10);
    recovered.log.roll(state(), 1).expect("rolls");
    assert!(recovered.log.is_writing_checkpoint());
    recovered
}

fn found(recovered: &Recovered) -> (Option<Vec<u8>>, Seq) {
    (recovered.checkpoint.clone(), recovered.first_to_fold)
}

fn copied(reader: &Reader, to: &Path) {
    let mut copy = LogCopy::begin(&to.join("log")).expect("begins");
    for segment in reader.segments() {
        let take = &mut |piece| copy.take(piece).map(|()| true).expect("takes");
        reader.pieces(segment.first, take).expect("reads");
    }
    assert_eq!(copy.finish().expect("ends"), reader.head());
}

#[test]
fn it_is_complete_some_commits_behind_the_roll() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    assert_eq!(reader.disk_space().unwritten, 100_000);

    let mut commits = 0;
    while log.is_writing_checkpoint() {
        // A start would need the records of the segment before.
        assert_eq!(reader.checkpoint_before(), 1);
        assert!(matches!(log.drop_segment(1), Err(LogError::StillNeeded { first: 1 })));
        fill(&mut log, 1);
        commits += 1;
    }
    assert_eq!((commits, reader.checkpoint_before()), (COMMITS, 11));
    let space = reader.disk_space();
    assert_eq!((space.checkpoint, space.unwritten), (100_000, 0));
    retire(&mut log, &reader, 1);
    assert_eq!(ranges(&reader), []);
    drop((log, reader));

    let recovered = open_whole(dir.path());
    assert_eq!(found(&recovered), (Some(state()), 11));
    assert_eq!(seqs(&recovered.reader), (11..=16).collect::<Vec<_>>());
}

#[test]
fn a_process_that_ends_at_any_commit_leaves_a_whole_log() {
    for commits in 0..=COMMITS {
        let dir = tempfile::tempdir().expect("a folder");
        let Recovered { mut log, reader, .. } = rolled(dir.path());
        fill(&mut log, commits);
        drop((log, reader));

        let recovered = Log::open(in_steps(dir.path()), 2).expect("opens");
        assert_eq!(recovered.problems, [], "{commits} commits");
        // When all of it is there, nothing else counts.
        let is_there = commits + 1 >= COMMITS;
        let expected = if is_there { (Some(state()), 11) } else { (None, 1) };
        assert_eq!(found(&recovered), expected, "{commits} commits");
        assert_eq!(ranges(&recovered.reader), []);

        // It is made up for with the next roll, which is due at once.
        let Recovered { mut log, reader, .. } = recovered;
        assert_eq!(log.wants_roll(2), !is_there);
        if !is_there {
            fill(&mut log, 1);
            assert!(matches!(log.drop_segment(1), Err(LogError::StillNeeded { first: 1 })));
            log.roll(state(), 2).expect("rolls");
            fill(&mut log, COMMITS);
            retire(&mut log, &reader, 1);
        }
        drop((log, reader));
        assert_eq!(open_whole(dir.path()).checkpoint, Some(state()));
    }
}

#[test]
fn it_is_completed_without_commits_and_when_the_log_is_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    let mut writes = 0;
    while log.is_writing_checkpoint() {
        log.go_on_with_checkpoint().expect("writes");
        writes += 1;
    }
    assert_eq!((writes, reader.checkpoint_before()), (COMMITS, 11));
    fill(&mut log, 3);
    log.roll(noise(50_000, 2), 2).expect("rolls");
    log.close().expect("closes");
    drop(reader);
    assert_eq!(found(&open_whole(dir.path())), (Some(noise(50_000, 2)), 14));
}

#[test]
fn a_large_commit_writes_as_much_of_it_as_it_has_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = rolled(dir.path());
    commit(&mut log, &[event(noise(120_000, 3))]);
    fill(&mut log, 1);
    assert!(!log.is_writing_checkpoint());
}

#[test]
fn no_segment_is_rolled_before_its_checkpoint_is_complete() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = Options { segment_bytes: 100, ..in_steps(dir.path()) };
    let Recovered { mut log, .. } = Log::open(small, 1_000).expect("opens");
    fill(&mut log, 10);
    log.roll(state(), 1).expect("rolls");
    for _ in 0..COMMITS {
        assert!(!log.wants_roll(1));
        fill(&mut log, 1);
    }
    assert!(log.wants_roll(1));
}

#[test]
fn where_records_are_missing_it_is_written_when_the_segment_is_begun() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = Log::open(in_steps(dir.path()), 1).expect("opens");
    fill(&mut log, 10);
    log.report_gaps();
    log.roll(state(), 1).expect("rolls");
    assert!(!log.is_writing_checkpoint());
    assert_eq!(reader.checkpoint_before(), 11);
    fill(&mut log, 1);
    log.roll(state(), 1).expect("rolls");
    assert!(log.is_writing_checkpoint(), "a fold of the next segment gives the state again");
}

#[test]
fn one_that_was_complete_and_is_damaged_is_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    fill(&mut log, COMMITS);
    drop((log, reader));
    super::meddle(dir.path(), 11, Tampering::Checkpoint(b"other".to_vec()));

    let recovered = open(dir.path());
    assert_eq!(found(&recovered), (None, 1));
    assert_eq!(recovered.problems.len(), 1, "{:?}", recovered.problems);
    assert_eq!(ranges(&recovered.reader), [(11, 15)]);
}

#[test]
fn nothing_is_folded_in_silence_when_there_is_no_other_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    // As if it were complete: what came before goes.
    reader.segments.checkpoint_complete(11, 100_000);
    retire(&mut log, &reader, 1);
    drop((log, reader));

    let recovered = open(dir.path());
    assert_eq!(recovered.checkpoint, None);
    assert_eq!(recovered.problems.len(), 1, "{:?}", recovered.problems);
}

#[test]
fn a_copy_has_what_there_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    fill(&mut log, 2);
    copied(&reader, &dir.path().join("early"));
    fill(&mut log, COMMITS);
    copied(&reader, &dir.path().join("late"));

    for (name, expected) in [("early", (None, 1)), ("late", (Some(state()), 11))] {
        let recovered = open_whole(&dir.path().join(name));
        assert_eq!(found(&recovered), expected, "{name}");
        assert_eq!(ranges(&recovered.reader), []);
    }
    let late = open(&dir.path().join("late"));
    assert!(forward(&late.reader, 1) == forward(&reader, 1));
}

#[test]
fn it_is_found_among_the_frames_without_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled(dir.path());
    let segment = folder::segment(&dir.path().join("log"), 11);
    for n in 0..COMMITS {
        commit(&mut log, &[event(noise(9_000, n))]);
    }
    drop((log, reader));

    let carved = carve(&segment).expect("reads");
    assert_eq!(carved.records().count() as u64, COMMITS);
    assert_eq!(carved.checkpoint, Some(state()));
    assert!(fs::exists(segment).expect("it is there"));
}
