//! What is folded while the log is being verified, and when that counts.

use std::fs;
use std::path::Path;

use super::{commit, event, fill, forward, meddle, noise, options, seen, sixty, small};
use crate::log::layout::Tampering;
use crate::log::watermark::{Mark, Watermark};
use crate::log::{FoldAhead, Log, Recovered, folder};
use crate::model::Seq;
use crate::record::Record;

/// Remembers what it was given.
#[derive(Debug, Default)]
struct FoldedRecords {
    checkpoint: Option<Vec<u8>>,
    records: Vec<(Seq, Record)>,
    /// It takes no record behind this one.
    upto: Option<Seq>,
    is_confirmed: bool,
}

impl FoldAhead for FoldedRecords {
    fn begin(&mut self, checkpoint: &[u8]) -> bool {
        self.checkpoint = Some(checkpoint.to_vec());
        self.records.clear();
        true
    }

    fn fold(&mut self, seq: Seq, record: &Record) -> bool {
        self.records.push((seq, record.clone()));
        self.upto.is_none_or(|upto| seq < upto)
    }

    fn confirm(&mut self) {
        self.is_confirmed = true;
    }
}

fn open_folding(dir: &Path, mut taken: FoldedRecords) -> (Recovered, FoldedRecords) {
    let recovered = Log::open_folding(options(dir), 1_000, &mut taken).expect("opens");
    (recovered, taken)
}

#[test]
fn the_newest_segment_is_folded_while_it_is_verified() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, nothing) = open_folding(dir.path(), FoldedRecords::default());
    assert!(!nothing.is_confirmed, "there was no segment");
    let Recovered { mut log, reader, .. } = first;
    fill(&mut log, 3);
    log.roll(b"state", 1).expect("rolls");

    // More than may wait, frames of any size, and one that passes alone.
    for n in 0..400 {
        commit(&mut log, &[small(n), event(noise(20_000, n))]);
    }
    commit(&mut log, &[event(noise(3 << 20, 1)), small(1), event(noise(600_000, 2))]);
    fill(&mut log, 500);
    drop((log, reader));

    let (Recovered { reader, problems, .. }, taken) =
        open_folding(dir.path(), FoldedRecords::default());
    assert_eq!(problems, []);
    assert!(taken.is_confirmed);
    assert_eq!(taken.checkpoint.as_deref(), Some(&b"state"[..]));
    assert_eq!(taken.records.len(), 1_303);
    assert!(taken.records == forward(&reader, 4), "as a walk over the log reads them");
}

#[test]
fn a_log_without_a_checkpoint_is_folded_from_its_first_record() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open_folding(dir.path(), FoldedRecords::default()).0.log, 3);
    let (_, taken) = open_folding(dir.path(), FoldedRecords::default());
    assert!(taken.is_confirmed);
    assert_eq!((taken.checkpoint.as_deref(), taken.records.len()), (Some(&b""[..]), 3));
}

#[test]
fn nothing_counts_when_a_record_cannot_be_folded() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open_folding(dir.path(), FoldedRecords::default()).0;
    // Far more than may wait for somebody who takes it.
    for n in 0..300 {
        commit(&mut log, &[event(noise(20_000, n))]);
    }
    drop(log);

    let taken = FoldedRecords { upto: Some(2), ..FoldedRecords::default() };
    let (Recovered { reader, problems, .. }, taken) = open_folding(dir.path(), taken);
    assert_eq!((problems, taken.is_confirmed, taken.records.len()), (Vec::new(), false, 2));
    assert_eq!(forward(&reader, 1).len(), 300);
}

#[test]
fn nothing_counts_when_a_frame_is_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open_folding(dir.path(), FoldedRecords::default()).0;
    fill(&mut log, 3);
    commit(&mut log, &[event(noise(50_000, 1)), event(noise(50_000, 2))]);
    fill(&mut log, 2);
    drop(log);
    meddle(dir.path(), 1, Tampering::LoseMiddle { first: 4 });

    let (Recovered { reader, problems, .. }, taken) =
        open_folding(dir.path(), FoldedRecords::default());
    assert!(!taken.is_confirmed, "{taken:?}");
    assert_eq!((problems[0].first, problems[0].last), (4, 5), "{problems:?}");
    let expected = [Ok(1), Ok(2), Ok(3), Err((4, 5)), Ok(6), Ok(7)];
    assert_eq!(seen(reader.forward(1)), expected);
}

#[test]
fn nothing_counts_when_the_end_is_damaged_or_missing() {
    let changed = |value: &mut Vec<u8>| *value.last_mut().expect("not empty") ^= 1;
    for is_missing in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        fill(&mut open_folding(dir.path(), FoldedRecords::default()).0.log, 5);
        if is_missing {
            let log_dir = dir.path().join("log");
            let (mut watermark, mark) = Watermark::open(&log_dir, false).expect("opens");
            let head = mark.expect("a mark").head;
            watermark.set(Mark { seq: 9, head }).expect("writes");
        } else {
            meddle(dir.path(), 1, Tampering::Beginning { first: 5, change: changed });
        }

        let (Recovered { problems, .. }, taken) =
            open_folding(dir.path(), FoldedRecords::default());
        assert!(!taken.is_confirmed && problems.len() == 1, "{taken:?}, {problems:?}");

        // The segment that has been begun repeats the checkpoint before the gap.
        let (Recovered { first_to_fold, .. }, taken) =
            open_folding(dir.path(), FoldedRecords::default());
        assert_eq!((first_to_fold, taken.is_confirmed), (1, false));
    }
}

#[test]
fn an_older_segment_is_not_folded_ahead_in_the_place_of_the_newest() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = sixty(dir.path());
    fill(&mut log, 4);
    drop(log);
    fs::remove_file(folder::segment(&dir.path().join("log"), 61).join("db")).expect("removes");

    let (Recovered { log, problems, .. }, taken) =
        open_folding(dir.path(), FoldedRecords::default());
    assert_eq!((log.next_seq(), taken.is_confirmed), (65, false), "{problems:?}");
}

#[test]
fn nothing_counts_when_the_checkpoint_is_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    meddle(dir.path(), 61, Tampering::Checkpoint(b"seats".to_vec()));

    let (Recovered { first_to_fold, problems, .. }, taken) =
        open_folding(dir.path(), FoldedRecords::default());
    assert_eq!((first_to_fold, problems.len()), (51, 1), "{problems:?}");
    assert!(!taken.is_confirmed && taken.checkpoint.is_none(), "{taken:?}");
}
