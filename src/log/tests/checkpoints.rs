//! Checkpoints beside their segments: written while the log goes on, and found by the next start.

use std::fs;
use std::path::Path;

use super::{commit, fill, forward, open, open_whole, options, ranges, retire, seqs, sixty, small};
use crate::log::{
    FoldBase, Log, LogCopy, LogError, Options, Reader, Recovered, SegmentFormat, folder,
};
use crate::model::Seq;

fn write(reader: &Reader, before: Seq, state: &[u8]) {
    let written = reader.write_checkpoint(before, &mut |out| out.write_all(state));
    assert_eq!(written.expect("it is written"), state.len() as u64);
}

/// Ten records in each of two segments, of which the second was begun without a checkpoint.
fn rolled_ahead(dir: &Path) -> Recovered {
    let mut recovered = open(dir);
    fill(&mut recovered.log, 10);
    recovered.log.roll_ahead(1).expect("rolls");
    fill(&mut recovered.log, 10);
    recovered
}

fn found(recovered: &Recovered) -> (Option<&[u8]>, Seq) {
    (recovered.checkpoint.as_deref(), recovered.first_to_fold)
}

fn files(dir: &Path) -> Vec<Seq> {
    folder::list(&dir.join("log")).expect("lists").checkpoints
}

#[test]
fn a_start_folds_from_the_checkpoint_before_until_the_next_one_is_complete() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled_ahead(dir.path());
    assert_eq!(reader.wanted_checkpoint(), Some(11));
    assert_eq!(reader.fold_base(), FoldBase { state: None, fold_from: 1 });
    // A start would need its records.
    assert!(matches!(log.drop_segment(1), Err(LogError::StillNeeded { first: 1 })));
    drop((log, reader));

    let recovered = open_whole(dir.path());
    assert_eq!(found(&recovered), (None, 1));
    assert!(!recovered.log.wants_roll(1), "a fold gives the state");
    let Recovered { mut log, reader, .. } = recovered;
    assert_eq!(reader.wanted_checkpoint(), Some(11));
    fill(&mut log, 5);
    write(&reader, 11, b"before 11");
    assert_eq!((reader.wanted_checkpoint(), reader.checkpoint_bytes()), (None, 9));
    retire(&mut log, &reader, 1);
    drop((log, reader));

    let recovered = open_whole(dir.path());
    assert_eq!(found(&recovered), (Some(&b"before 11"[..]), 11));
    assert_eq!(seqs(&recovered.reader), (11..=26).collect::<Vec<_>>());
    assert_eq!(ranges(&recovered.reader), []);
}

#[test]
fn one_that_is_overtaken_by_the_next_roll_is_not_wanted_any_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled_ahead(dir.path());
    log.roll_ahead(2).expect("rolls");
    assert_eq!(reader.wanted_checkpoint(), Some(21));
    // It may be complete nevertheless, when it was begun before.
    write(&reader, 11, b"before 11");
    assert_eq!(reader.wanted_checkpoint(), Some(21));
    let base = FoldBase { state: Some(b"before 11".to_vec()), fold_from: 11 };
    assert_eq!(reader.fold_base(), base);
    write(&reader, 21, b"before 21");
    write(&reader, 11, b"late");
    assert_eq!((reader.checkpoint_before(), files(dir.path())), (21, vec![11, 21]));
    drop((log, reader));
}

#[test]
fn what_was_being_written_when_the_process_died_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(rolled_ahead(dir.path()));
    let tmp = folder::temporary(&folder::checkpoint(&dir.path().join("log"), 11));
    fs::write(&tmp, b"half").expect("writes");
    assert_eq!(found(&open_whole(dir.path())), (None, 1));
    assert!(!tmp.exists());
}

#[test]
fn a_damaged_one_is_reported_and_the_one_before_it_stands_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = rolled_ahead(dir.path());
    write(&reader, 11, b"before 11");
    log.roll_ahead(2).expect("rolls");
    write(&reader, 21, b"before 21");
    fill(&mut log, 3);
    drop((log, reader));
    let path = folder::checkpoint(&dir.path().join("log"), 21);
    let mut bytes = fs::read(&path).expect("reads");
    bytes[3] ^= 1;
    fs::write(&path, bytes).expect("writes");

    let recovered = open(dir.path());
    assert_eq!(found(&recovered), (Some(&b"before 11"[..]), 11));
    assert_eq!(recovered.problems.len(), 1, "{:?}", recovered.problems);
    assert_eq!(ranges(&recovered.reader), [(21, 23)]);
    // The queue's own state is written down then, and nothing else before.
    let Recovered { mut log, reader, .. } = recovered;
    assert!(log.wants_roll(1) && log.roll_needs_state());
    assert_eq!(reader.wanted_checkpoint(), None);
    log.roll(b"before 24", 3).expect("rolls");
    assert!(!log.wants_roll(3) && !log.roll_needs_state());
    drop((log, reader));
    assert_eq!(found(&open_whole(dir.path())), (Some(&b"before 24"[..]), 24));
}

#[test]
fn one_of_another_log_and_one_from_behind_the_end_are_not_used() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    drop(rolled_ahead(dir.path()));
    {
        let Recovered { mut log, reader, .. } = open(other.path());
        commit(&mut log, &(1..=10).map(|_| small(77)).collect::<Vec<_>>());
        log.roll_ahead(1).expect("rolls");
        write(&reader, 11, b"of another");
        fill(&mut log, 20);
        log.roll_ahead(1).expect("rolls");
        write(&reader, 31, b"of another");
    }

    for before in [11, 31] {
        let at = |dir: &Path| folder::checkpoint(&dir.join("log"), before);
        fs::copy(at(other.path()), at(dir.path())).expect("copies");
        let recovered = open(dir.path());
        assert_eq!(found(&recovered), (None, 1));
        assert_eq!(recovered.problems.len(), 1, "{:?}", recovered.problems);
        fs::remove_file(at(dir.path())).expect("removes");
    }
}

#[test]
fn the_state_that_was_written_for_a_roll_counts_though_the_roll_was_not_done() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, reader, .. } = rolled_ahead(dir.path());
        reader.require_state();
        // In the place of the new segment.
        fs::create_dir_all(folder::segment(&dir.path().join("log"), 21).join("x")).expect("makes");
        log.roll(b"before 21", 2).expect_err("it cannot be named");
    }
    fs::remove_dir_all(folder::segment(&dir.path().join("log"), 21)).expect("removes");

    let Recovered { mut log, reader, checkpoint, first_to_fold, .. } = open_whole(dir.path());
    assert_eq!((checkpoint.as_deref(), first_to_fold), (Some(&b"before 21"[..]), 21));
    assert_eq!((log.next_seq(), reader.wanted_checkpoint()), (21, None));
    fill(&mut log, 1);
    drop((log, reader));
    assert_eq!(found(&open_whole(dir.path())).1, 21);
}

#[test]
fn a_copy_has_the_checkpoints_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { reader, log, .. } = sixty(dir.path());
    let mut copy = LogCopy::begin(&dir.path().join("copied/log")).expect("begins");
    for segment in reader.segments() {
        let take = &mut |piece| copy.take(piece).map(|()| true).expect("takes");
        reader.pieces(segment.first, take).expect("reads");
    }
    assert_eq!(copy.finish().expect("ends"), reader.head());
    drop(log);

    let recovered = open_whole(&dir.path().join("copied"));
    assert_eq!(found(&recovered), (Some(&b"state"[..]), 61));
    assert!(forward(&recovered.reader, 1) == forward(&reader, 1));
}

#[test]
fn a_segment_that_holds_its_checkpoint_is_followed_by_one_that_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = Options { segment_format: SegmentFormat::Cells, ..options(dir.path()) };
    {
        let Recovered { mut log, .. } = Log::open(old, 1_000).expect("opens");
        fill(&mut log, 10);
        log.roll(b"before 11", 1).expect("rolls");
        fill(&mut log, 10);
    }
    assert!(files(dir.path()).is_empty());

    let recovered = open_whole(dir.path());
    assert_eq!(found(&recovered), (Some(&b"before 11"[..]), 11));
    let Recovered { mut log, reader, .. } = recovered;
    assert_eq!(reader.wanted_checkpoint(), None);
    log.roll_ahead(2).expect("rolls");
    fill(&mut log, 1);
    assert_eq!(reader.wanted_checkpoint(), Some(21));
    let base = FoldBase { state: Some(b"before 11".to_vec()), fold_from: 11 };
    assert_eq!(reader.fold_base(), base);
    drop((log, reader));

    assert_eq!(found(&open_whole(dir.path())), (Some(&b"before 11"[..]), 11));
}
