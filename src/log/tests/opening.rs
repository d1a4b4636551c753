//! Opening a log that was closed, killed or damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{commit, fill, meddle, open, open_whole, options, seqs, sixty, small};
use crate::log::layout::Tampering;
use crate::log::{Log, LogError, Recovered, SegmentInfo, folder};

#[test]
fn a_log_dropped_without_closing_opens_again() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 50);
    }

    for round in 0..3 {
        let Recovered { mut log, reader, first_to_fold, .. } = open_whole(dir.path());
        assert_eq!((log.next_seq(), first_to_fold), (51 + round, 1));
        assert_eq!(seqs(&reader), (1..=50 + round).collect::<Vec<_>>());
        fill(&mut log, 1);
        if round == 1 {
            log.close().expect("closes");
        }
    }
}

#[test]
fn c07_a_second_open_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    let refused = Log::open(options(dir.path()), 1).expect_err("in use");
    assert!(matches!(refused, LogError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");

    drop(first);
    open_whole(dir.path());
}

#[test]
fn the_folder_is_its_owners_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    let mode = fs::metadata(dir.path().join("log")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_missing_seal_is_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { log, reader, .. } = sixty(dir.path());
    let before = reader.segments();
    drop((log, reader));

    let log_dir = dir.path().join("log");
    fs::remove_file(folder::seal(&log_dir, 51)).expect("removes");
    fs::write(folder::seal(&log_dir, 21), "{\"first\":1}\n00000000\n").expect("writes");

    let Recovered { reader, .. } = open_whole(dir.path());
    let after = reader.segments();
    let facts = |infos: &[SegmentInfo]| -> Vec<_> {
        infos
            .iter()
            .map(|i| (i.first, i.last, i.records, i.payload_bytes, i.head, i.sealed_at.is_some()))
            .collect()
    };

    assert_eq!(facts(&before), facts(&after));
    assert!(folder::seal(&log_dir, 51).exists());
    assert!(reader.verify(&mut |_| {}).ok);
}

#[test]
fn half_made_snapshots_are_swept_away() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 3);
    let segment = folder::segment(&dir.path().join("log"), 1);
    fs::write(segment.join("snap.FFFFFFFFFFFFFFF0.generating"), b"half").expect("writes");

    drop(open_whole(dir.path()));

    // Not half-made, but garbage that claims to be the newest: it is set aside.
    fs::write(segment.join("snap.0FFFFFFFFFFFFFF0"), [7; 100]).expect("writes");
    let Recovered { log, .. } = open_whole(dir.path());
    assert_eq!(log.next_seq(), 4);
}

#[test]
fn remains_of_a_commit_that_never_was_are_swept_away() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 5);
    // Of two commits, without what completes them.
    meddle(dir.path(), 1, Tampering::Remains { first: 6, parts: 1 });
    meddle(dir.path(), 1, Tampering::Remains { first: 16, parts: 249 });

    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    assert_eq!(log.next_seq(), 6);
    commit(&mut log, &(6..=40).map(small).collect::<Vec<_>>());
    for seq in 1..=40 {
        assert_eq!(reader.read(seq).expect("reads"), Some(small(seq)));
    }
    drop((log, reader));

    let Recovered { reader, .. } = open_whole(dir.path());
    assert!(reader.verify(&mut |_| {}).ok);
    assert_eq!(seqs(&reader), (1..=40).collect::<Vec<_>>());
}

#[test]
fn an_older_checkpoint_stands_in_for_a_damaged_one() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 4);
        log.roll(b"first", 1).expect("rolls");
        fill(&mut log, 4);
        log.roll(b"second", 1).expect("rolls");
        fill(&mut log, 4);
    }

    meddle(dir.path(), 9, Tampering::Checkpoint(b"seconds".to_vec()));

    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((checkpoint.as_deref(), first_to_fold), (Some(&b"first"[..]), 5));
    assert!(log.wants_roll(1));
    assert!(matches!(log.drop_segment(5), Err(LogError::StillNeeded { .. })));
    assert!(!reader.verify(&mut |_| {}).ok);

    log.roll(b"third", 1).expect("rolls");

    drop((log, reader));
    assert_eq!(open_whole(dir.path()).checkpoint.as_deref(), Some(&b"third"[..]));
}
