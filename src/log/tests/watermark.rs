//! The watermark: a log that comes back shorter than it was.

use std::fs;
use std::path::Path;

use super::{commit, fill, meddle, open, open_whole, seqs, sixty, small};
use crate::log::layout::Tampering;
use crate::log::watermark::{Mark, Watermark};
use crate::log::{LogError, Recovered};
use crate::model::Seq;

fn set_mark(dir: &Path, seq: Seq) {
    let (mut watermark, before) = Watermark::open(&dir.join("log"), false).expect("opens");
    watermark.set(Mark { seq, head: before.map_or([1; 32], |m| m.head) }).expect("writes");
}

#[test]
fn a_log_behind_its_watermark_is_reported_and_goes_on_behind_it() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 10);
        log.roll(b"state", 1).expect("rolls");
        fill(&mut log, 5);
    }

    set_mark(dir.path(), 20);
    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    let ranges: Vec<_> = problems.iter().map(|p| (p.first, p.last)).collect();
    assert_eq!(ranges, [(16, 20)], "{problems:?}");
    assert_eq!(
        (checkpoint.as_deref(), first_to_fold, log.next_seq()),
        (Some(&b"state"[..]), 11, 21)
    );

    assert!(log.wants_roll(0), "it needs a checkpoint of its own");
    assert!(matches!(log.drop_segment(11), Err(LogError::StillNeeded { first: 11 })));
    fill(&mut log, 2);
    drop((log, reader));

    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert_eq!((problems, first_to_fold), (Vec::new(), 11), "it is reported once, and remembered");
    assert_eq!(checkpoint.as_deref(), Some(&b"state"[..]));

    let expected: Vec<_> = (1..=15).chain(21..=22).collect();
    assert_eq!(seqs(&reader), expected);
    let back: Vec<_> = reader.backward(u64::MAX).map(|item| item.expect("reads").0).collect();
    assert_eq!(back, expected.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(reader.read(18).expect("reads"), None);

    let report = reader.verify(&mut |_| {});
    let ranges: Vec<_> = report.problems.iter().map(|p| (p.first, p.last)).collect();
    assert_eq!(ranges, [(16, 20)], "{report:?}");

    log.roll(b"later", 1).expect("rolls");
    assert!(!log.wants_roll(1));
    log.drop_segment(11).expect("drops");
    drop((log, reader));
    assert_eq!(open_whole(dir.path()).first_to_fold, 23);
}

#[test]
fn a_gap_reaches_as_far_as_what_cannot_be_read_behind_the_watermark() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 5);
        commit(&mut log, &[small(6), small(7), small(8)]);
    }
    let change = |value: &mut Vec<u8>| *value.last_mut().expect("not empty") ^= 1;
    meddle(dir.path(), 1, Tampering::Beginning { first: 6, change });

    // The watermark is an older one.
    set_mark(dir.path(), 6);
    let Recovered { mut log, reader, problems, .. } = open(dir.path());
    let ranges: Vec<_> = problems.iter().map(|p| (p.first, p.last)).collect();
    assert_eq!((ranges, log.next_seq()), (vec![(6, 8)], 9), "{problems:?}");
    fill(&mut log, 1);
    assert_eq!(seqs(&reader), [1, 2, 3, 4, 5, 9]);
}

#[test]
fn a_gap_at_the_very_end_can_be_rolled_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    set_mark(dir.path(), 70);

    let Recovered { mut log, reader, first_to_fold, .. } = open(dir.path());
    assert_eq!((log.next_seq(), first_to_fold), (71, 61));

    log.roll(b"now", 1).expect("rolls an empty segment");
    fill(&mut log, 1);
    drop((log, reader));

    let Recovered { log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert_eq!((problems, first_to_fold, log.next_seq()), (Vec::new(), 71, 72));
    assert_eq!(checkpoint.as_deref(), Some(&b"now"[..]));
    assert_eq!(seqs(&reader), (1..=60).chain([71]).collect::<Vec<_>>());
}

#[test]
fn a_missing_watermark_is_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 3);
    let path = dir.path().join("log/watermark");
    fs::write(&path, [7; 128]).expect("writes");

    let Recovered { log, problems, .. } = open(dir.path());
    assert_eq!((log.next_seq(), problems.len()), (4, 1), "{problems:?}");
}

#[test]
fn a_first_start_that_was_cut_short_before_its_first_mark_is_no_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    fs::write(dir.path().join("log/watermark"), b"").expect("writes");
    open_whole(dir.path());
}

#[test]
fn a_log_put_back_from_elsewhere_is_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 3);
    commit(&mut open(other.path()).log, &[small(9), small(9), small(9)]);
    fs::copy(other.path().join("log/watermark"), dir.path().join("log/watermark")).expect("copies");

    let Recovered { log, problems, .. } = open(dir.path());
    let ranges: Vec<_> = problems.iter().map(|p| (p.first, p.last)).collect();
    assert_eq!((log.next_seq(), ranges), (4, vec![(3, 3)]));
}

#[test]
fn a_watermark_behind_all_numbers_is_none() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    set_mark(dir.path(), Seq::MAX);

    let Recovered { mut log, reader, problems, .. } = open(dir.path());
    assert!(!problems.is_empty(), "the end of the log is unverified");
    assert_eq!(log.next_seq(), 61);
    fill(&mut log, 1);
    assert_eq!(seqs(&reader), (1..=61).collect::<Vec<_>>());
}
