//! The log as a whole, on a real folder.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::{Strategy, any, proptest};
use proptest::test_runner::Config;

use super::frame::{Decoded, HEAD_LEN, Packer};
use super::segment::{Batch, Found, Segment};
use super::shelf::{Dropped, Facts};
use super::watermark::{Mark, Watermark};
use super::{
    Expect, Head, Log, LogCopy, LogError, Options, Piece, Problem, Reader, Recovered, Report, carve, folder, sums,
};
use crate::model::{Event, EventId, Seq, limits};
use crate::record::{self, Record};

fn options(dir: &Path) -> Options {
    Options { dir: dir.join("log"), ..Options::default() }
}

fn open(dir: &Path) -> Recovered {
    Log::open(options(dir), 1_000).expect("the log opens")
}

/// Opens a log in which nothing is wrong.
fn open_whole(dir: &Path) -> Recovered {
    let recovered = open(dir);
    assert_eq!(recovered.problems, []);
    recovered
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn event(body: Vec<u8>) -> Record {
    let event = Event {
        id: EventId { seq: 1, tag: 2 },
        source: 1,
        source_name: "s".into(),
        kind: "push".into(),
        received_at: 3,
        dedupe_key: None,
        request_line: "POST /in/s".into(),
        remote: "127.0.0.1:1".into(),
        headers: Vec::new(),
        body: Bytes::from(body),
        from_provider: false,
        first_id: None,
    };
    Record::EventAccepted { event: event.into(), dedupe: None, fan_out: vec![1] }
}

fn small(n: u64) -> Record {
    Record::DuplicateSeen { event: n, at: n }
}

fn commit(log: &mut Log, records: &[Record]) {
    let expected = log.next_seq();
    let committed = log.commit(records).expect("commits");
    assert_eq!((committed.first, committed.last + 1), (expected, log.next_seq()));
}

/// Commits one record at a time: record N is `small(N)`.
fn fill(log: &mut Log, count: u64) {
    for _ in 0..count {
        let seq = log.next_seq();
        commit(log, &[small(seq)]);
    }
}

fn forward(reader: &Reader, from: Seq) -> Vec<(Seq, Record)> {
    reader.forward(from).map(|item| item.expect("reads")).collect()
}

fn seqs(reader: &Reader) -> Vec<Seq> {
    forward(reader, 1).into_iter().map(|(seq, _)| seq).collect()
}

fn blobs(dir: &Path) -> usize {
    let segments = fs::read_dir(dir.join("log")).expect("lists").flatten();
    segments.filter_map(|e| fs::read_dir(e.path().join("blobs")).ok()).map(Iterator::count).sum()
}

#[test]
fn l03_records_of_all_sizes_read_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert_eq!((checkpoint, first_to_fold, problems), (None, 1, Vec::new()));
    assert_eq!((reader.first(), reader.durable()), (1, 0));
    let mut written = Vec::new();
    let mut sizes: Vec<usize> = (0..20).map(|n| (n * n * 7919) % 200_000).collect();
    sizes.push(5 << 20);
    for (n, size) in sizes.iter().enumerate() {
        let body = if n % 3 == 0 { vec![b'a'; *size] } else { noise(*size, n as u64) };
        written.push(event(body));
    }
    commit(&mut log, &written[..5]);
    commit(&mut log, &written[5..20]);
    commit(&mut log, &written[20..]);
    assert_eq!(reader.durable(), 21);
    let numbered: Vec<_> = (1..).zip(written.iter().cloned()).collect();
    assert_eq!(forward(&reader, 0), numbered);
    for (seq, record) in &numbered {
        assert_eq!(reader.read(*seq).expect("reads").as_ref(), Some(record));
    }
    assert_eq!(reader.read(0).expect("reads"), None);
    assert_eq!(reader.read(22).expect("reads"), None);
    assert_eq!(blobs(dir.path()), 0);
    let report = reader.verify(&mut |_| {});
    assert!(report.ok, "{report:?}");
    assert_eq!((report.records, report.first, report.last), (21, 1, 21));
}

#[test]
fn chunk_boundaries_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let mut empty = Vec::new();
    record::encode(&event(Vec::new()), &mut empty);
    // What surrounds the body: the frame's head, the record's prefix, the record; a body's length takes 3 more bytes.
    let around = HEAD_LEN + 8 + empty.len();
    let mut written = Vec::new();
    for chunks in 1..=3 {
        for delta in -6i64..=6 {
            let len = i64::try_from(chunks * limits::CHUNK - around).expect("fits") + delta;
            let record = event(noise(usize::try_from(len).expect("fits"), len.unsigned_abs()));
            commit(&mut log, std::slice::from_ref(&record));
            written.push(record);
        }
    }
    let read: Vec<_> = forward(&reader, 1).into_iter().map(|(_, record)| record).collect();
    assert_eq!(read, written);
    assert_eq!(blobs(dir.path()), 0);
}

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
fn an_empty_commit_is_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let committed = log.commit(&[]).expect("commits");
    assert_eq!((committed.first, committed.last, reader.durable()), (1, 0, 0));
}

#[test]
fn it_rolls_and_starts_from_its_checkpoint() {
    let dir = tempfile::tempdir().expect("a folder");
    let small_segments = || Options { segment_bytes: 400, ..options(dir.path()) };
    let Recovered { mut log, reader, .. } = Log::open(small_segments(), 1_000).expect("opens");
    let state = noise(3 * limits::CHUNK + 5, 1);
    for n in 0..90 {
        fill(&mut log, 1);
        if log.wants_roll(1_000) {
            log.roll(&state, 2_000 + n).expect("rolls");
        }
    }
    let infos = reader.segments();
    assert!(infos.len() > 5, "{}", infos.len());
    for pair in infos.windows(2) {
        assert_eq!(pair[0].last.map(|last| last + 1), Some(pair[1].first));
        assert!(pair[0].sealed_at.is_some() && pair[0].disk_bytes > 0 && pair[0].records > 0);
    }
    assert_eq!(infos.last().and_then(|info| info.sealed_at), None);
    assert_eq!(seqs(&reader), (1..=90).collect::<Vec<_>>());
    let newest = infos.last().expect("a segment").first;
    drop((log, reader));
    let Recovered { log, reader, checkpoint, first_to_fold, problems } =
        Log::open(small_segments(), 1_000).expect("opens");
    assert_eq!((checkpoint, first_to_fold, problems), (Some(state), newest, Vec::new()));
    let without_sizes = |mut infos: Vec<super::SegmentInfo>| {
        infos.iter_mut().for_each(|info| info.disk_bytes = 0);
        infos
    };
    assert_eq!(without_sizes(reader.segments()), without_sizes(infos), "sled's snapshots come and go");
    assert_eq!(log.next_seq(), 91);
    assert!(reader.verify(&mut |_| {}).ok);
}

#[test]
fn age_wants_a_roll_but_not_of_an_empty_segment() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    assert!(!log.wants_roll(u64::MAX));
    fill(&mut log, 1);
    assert!(!log.wants_roll(0), "a clock that stands in 1970 rolls nothing");
    assert!(!log.wants_roll(1_000 + limits::SEGMENT_AGE_MS - 1));
    assert!(log.wants_roll(1_000 + limits::SEGMENT_AGE_MS));
    log.roll(b"", 5).expect("rolls");
    assert!(!log.wants_roll(6));
}

/// A log of records 1 to 60 in segments of ten, the last one (61) empty.
fn sixty(dir: &Path) -> Recovered {
    let mut recovered = open(dir);
    for n in 0..6 {
        fill(&mut recovered.log, 10);
        recovered.log.roll(b"state", n).expect("rolls");
    }
    recovered
}

#[test]
fn what_is_written_and_sealed_during_a_verification_does_not_confuse_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    fill(&mut log, 3);
    let mut goes_on = Some(log);
    let report = reader.verify(&mut |_| {
        // While the first segment is read, the last one grows and is sealed.
        if let Some(mut log) = goes_on.take() {
            fill(&mut log, 5);
            log.roll(b"state", 100).expect("rolls");
        }
    });
    assert_eq!(report.problems, []);
    assert_eq!((report.last, report.records), (63, 63));
}

#[test]
fn it_reads_forward_and_backward_over_segments() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    fill(&mut log, 5);
    for from in [0, 1, 9, 10, 11, 60, 61, 65, 66, 1000] {
        let got: Vec<_> = reader.forward(from).map(|item| item.expect("reads").0).collect();
        assert_eq!(got, (from.max(1)..=65).collect::<Vec<_>>());
        let got: Vec<_> = reader.backward(from).map(|item| item.expect("reads").0).collect();
        assert_eq!(got, (1..from.min(66)).rev().collect::<Vec<_>>());
    }
    let mut walk = reader.backward(u64::MAX);
    assert_eq!(walk.next().expect("one").expect("reads"), (65, small(65)));
    assert!(walk.bytes_read() > 0);
    for seq in (1..=65).rev() {
        assert_eq!(reader.read(seq).expect("reads"), Some(small(seq)));
    }
    reader.close_idle();
    assert_eq!(reader.read(3).expect("reads"), Some(small(3)));
}

/// Drops a segment as retention does: the record that says so first.
fn retire(log: &mut Log, reader: &Reader, first: Seq) {
    let found = reader.segments().into_iter().find(|s| s.first == first).expect("the segment");
    let last = found.last.expect("it is not empty");
    commit(log, &[Record::SegmentDropped { first, last, head: found.head, at: 1 }]);
    log.drop_segment(first).expect("drops");
}

#[test]
fn dropped_segments_are_gone_for_good() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    let mut walk = reader.forward(5);
    assert_eq!(walk.next().expect("one").expect("reads").0, 5);
    assert!(matches!(log.drop_segment(2), Err(LogError::NoSuchSegment { first: 2 })));
    assert!(matches!(log.drop_segment(61), Err(LogError::NoSuchSegment { first: 61 })), "the active one");
    retire(&mut log, &reader, 1);
    retire(&mut log, &reader, 31);
    assert_eq!(reader.first(), 11);
    assert_eq!(reader.read(10).expect("reads"), None);
    assert_eq!(reader.read(35).expect("reads"), None);
    let rest: Vec<_> = walk.map(|item| item.expect("reads").0).collect();
    assert_eq!(rest.last(), Some(&60), "a walk that was under way goes on");
    let left: Vec<_> = (11..=30).chain(41..=62).collect();
    assert_eq!(seqs(&reader), left);
    let back: Vec<_> = reader.backward(100).map(|item| item.expect("reads").0).collect();
    assert_eq!(back, left.iter().rev().copied().collect::<Vec<_>>());
    assert!(!folder::segment(&dir.path().join("log"), 1).exists());
    let report = reader.verify(&mut |_| {});
    assert!(report.ok, "{report:?}");
    assert_eq!((report.first, report.records), (11, 42));
    retire(&mut log, &reader, 11);
    drop((log, reader));
    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(reader.first(), 21);
    assert!(reader.verify(&mut |_| {}).ok);
}

#[test]
fn a_drop_that_was_cut_short_is_finished() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log_dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    reader.close_idle();
    let (segment, seal) = (folder::segment(&log_dir, 1), folder::seal(&log_dir, 1));
    fs::rename(&segment, &copy).expect("moves");
    let note = fs::read(&seal).expect("reads");
    log.drop_segment(1).expect("drops");
    drop((log, reader));
    fs::rename(&copy, &segment).expect("moves");
    fs::write(&seal, note).expect("writes");
    fs::create_dir(folder::making(&log_dir, 7)).expect("makes");
    fs::create_dir(folder::deleting(&log_dir, 8)).expect("makes");
    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(reader.first(), 11);
    assert!(!segment.exists() && !seal.exists());
    assert!(!folder::making(&log_dir, 7).exists() && !folder::deleting(&log_dir, 8).exists());
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

fn set_mark(dir: &Path, seq: Seq) {
    let (mut watermark, before) = Watermark::open(&dir.join("log"), false).expect("opens");
    watermark.set(Mark { seq, head: before.map_or([1; 32], |m| m.head) }).expect("writes");
}

#[test]
fn a_log_behind_its_watermark_is_told_and_goes_on_behind_it() {
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
    assert_eq!((checkpoint.as_deref(), first_to_fold, log.next_seq()), (Some(&b"state"[..]), 11, 21));
    assert!(log.wants_roll(0), "it needs a checkpoint of its own");
    assert!(matches!(log.drop_segment(11), Err(LogError::StillNeeded { first: 11 })));
    fill(&mut log, 2);
    drop((log, reader));

    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert_eq!((problems, first_to_fold), (Vec::new(), 11), "it is told once, and remembered");
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
fn a_missing_watermark_is_told() {
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
fn a_log_put_back_from_elsewhere_is_told() {
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
    let facts = |infos: &[super::SegmentInfo]| -> Vec<_> {
        infos.iter().map(|i| (i.first, i.last, i.records, i.payload_bytes, i.head, i.sealed_at.is_some())).collect()
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
    // Not half-made, but garbage that claims to be the newest: put aside.
    fs::write(segment.join("snap.0FFFFFFFFFFFFFF0"), [7; 100]).expect("writes");
    let Recovered { log, .. } = open_whole(dir.path());
    assert_eq!(log.next_seq(), 4);
}

#[test]
fn a_lost_sealed_segment_is_told_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(sixty(dir.path()));
    let log_dir = dir.path().join("log");
    fs::remove_dir_all(folder::segment(&log_dir, 21)).expect("removes");
    fs::remove_file(folder::segment(&log_dir, 41).join("db")).expect("removes");
    let Recovered { reader, problems, log, .. } = open(dir.path());
    assert_eq!(problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), [(21, 30)]);
    assert_eq!(log.next_seq(), 61);
    let expected_damage = [(21, 30), (41, 50)];
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    for item in reader.forward(1) {
        match item {
            Ok((seq, _)) => read.push(seq),
            Err(LogError::Damaged(Problem { first, last, .. })) => damage.push((first, last)),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(read, (1..=20).chain(31..=40).chain(51..=60).collect::<Vec<_>>());
    assert_eq!(damage, expected_damage);
    assert!(log_dir.join("bad-seg-00000000000000000041").exists());
    let report = reader.verify(&mut |_| {});
    assert_eq!(report.problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), expected_damage);
    assert!(!report.ok);
    assert!(reader.read(45).is_err());
}

#[test]
fn a_lost_active_segment_is_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = sixty(dir.path());
        fill(&mut log, 4);
    }
    let log_dir = dir.path().join("log");
    fs::remove_file(folder::segment(&log_dir, 61).join("db")).expect("removes");
    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = open(dir.path());
    assert!(problems.iter().any(|p| (p.first, p.last) == (61, 64)), "{problems:?}");
    assert_eq!((log.next_seq(), first_to_fold, checkpoint.as_deref()), (65, 51, Some(&b"state"[..])));
    fill(&mut log, 1);
    assert_eq!(seqs(&reader), (1..=60).chain([65]).collect::<Vec<_>>());
}

/// Every byte position tried must be found, or be harmless. Where sled panics (nearly always in `Config::open`, now
/// and then in a read), the panic is caught at the seam to sled, and the segment counts as damaged.
#[test]
fn flipped_bits_in_a_sealed_segment_are_found() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        for n in 0..40 {
            commit(&mut log, &[event(noise(3_000, n))]);
        }
        log.roll(b"state", 1).expect("rolls");
        fill(&mut log, 3);
    }
    let db = folder::segment(&dir.path().join("log"), 1).join("db");
    let good = fs::read(&db).expect("reads");
    let used = good.iter().rposition(|b| *b != 0).expect("not empty");
    let (mut found, mut harmless) = (0, 0);
    for n in 0..24 {
        let copy = tempfile::tempdir().expect("a folder");
        copy_tree(&dir.path().join("log"), &copy.path().join("log"));
        let db = folder::segment(&copy.path().join("log"), 1).join("db");
        let at = used * (n * 2 + 1) / 48;
        let file = fs::OpenOptions::new().write(true).open(&db).expect("opens");
        file.write_all_at(&[good[at] ^ 0x10], at as u64).expect("writes");
        let Recovered { reader, log, .. } = open(copy.path());
        assert_eq!(log.next_seq(), 44);
        let report = reader.verify(&mut |_| {});
        let read: Vec<_> = reader.forward(1).filter_map(Result::ok).collect();
        if report.ok {
            harmless += 1;
            assert_eq!(read.len(), 43, "what verify finds whole is whole");
        } else {
            found += 1;
            assert!(report.problems.iter().all(|p| p.first >= 1 && p.last <= 43 && p.first <= p.last), "{report:?}");
            assert!(read.len() >= 3, "the other segment can be read");
        }
    }
    assert!(found > 0, "{found} found, {harmless} harmless");
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// Writes into a segment behind the log's back.
fn meddle(dir: &Path, first: Seq, with: impl FnOnce(&mut Batch)) {
    let segment = Segment::open(&dir.join("log"), first, false).expect("opens");
    let mut batch = Batch::default();
    with(&mut batch);
    segment.apply(batch).expect("applies");
    segment.sync().expect("syncs");
}

#[test]
fn remains_of_a_commit_that_never_was_are_swept_away() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 5);
    meddle(dir.path(), 1, |batch| {
        // The later chunks of two frames, without their first ones.
        batch.chunk(6, 1, &[1; 100]);
        (1..250).for_each(|number| batch.chunk(16, number, &[2; 10]));
    });
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
fn a_frame_that_lost_its_middle_is_told_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        fill(&mut log, 3);
        commit(&mut log, &[event(noise(50_000, 1)), event(noise(50_000, 2))]);
        fill(&mut log, 2);
    }
    meddle(dir.path(), 1, |batch| batch.chunk(4, 2, &[]));
    let Recovered { log, reader, problems, .. } = open(dir.path());
    assert_eq!(problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), [(4, 5)], "{problems:?}");
    assert_eq!(log.next_seq(), 8);
    let expected = [Ok(1), Ok(2), Ok(3), Err((4, 5)), Ok(6), Ok(7)];
    assert_eq!(seen(reader.forward(1)), expected);
    assert_eq!(seen(reader.backward(8)), expected.iter().rev().copied().collect::<Vec<_>>());
    assert!(reader.read(5).is_err());
    assert_eq!(ranges(&reader), [(4, 5)]);
}

#[test]
fn a_changed_record_is_found_though_the_store_thinks_it_good() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let Recovered { mut log, .. } = open(dir.path());
        commit(&mut log, &[small(1), small(2), small(3)]);
        log.roll(b"state", 1).expect("rolls");
        commit(&mut log, &[small(4), small(5)]);
    }
    // Frames made by hand, with a bit of the second record changed; the second one with a chain head that fits it.
    let mut packer = Packer::default();
    (1..=3).for_each(|n| packer.add(&small(n)).expect("fits"));
    let chain = Segment::open(&dir.path().join("log"), 1, false).expect("opens").chain;
    let mut bytes = packer.finish(1, chain).1.to_vec();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    meddle(dir.path(), 1, |batch| batch.chunk(1, 0, &bytes));
    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(ranges(&reader), [(1, 3)], "the whole frame does not match its head");
    assert_eq!(seen(reader.forward(1)), [Ok(1), Ok(2), Err((3, 3)), Ok(4), Ok(5)], "its other records read");
}

#[test]
fn a_frame_swapped_for_another_breaks_the_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 5);
    let mut packer = Packer::default();
    packer.add(&small(77)).expect("fits");
    let bytes = packer.finish(3, [9; 32]).1.to_vec();
    meddle(dir.path(), 1, |batch| batch.chunk(3, 0, &bytes));
    let Recovered { reader, problems, .. } = open(dir.path());
    assert_eq!(problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(), [(3, 3), (4, 4)], "{problems:?}");
    assert_eq!(ranges(&reader), [(3, 3), (4, 4)]);
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
    meddle(dir.path(), 9, |batch| batch.put(&[b'c', 0, 0, 0, 0], b"seconds"));
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

#[test]
fn a_failed_commit_is_the_last_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 2);
    let refused = log.commit(&[small(3), event(vec![0; super::frame::RECORD_MAX])]).expect_err("too large");
    assert!(matches!(refused, LogError::TooLarge { .. }), "{refused}");
    assert!(matches!(log.commit(&[small(3)]), Err(LogError::Poisoned)));
    assert!(matches!(log.roll(b"", 1), Err(LogError::Poisoned)));
    assert_eq!(reader.durable(), 2);
}

fn seen(walk: impl Iterator<Item = Result<(Seq, Record), LogError>>) -> Vec<Result<Seq, (Seq, Seq)>> {
    let item = |item| match item {
        Ok((seq, _)) => Ok(seq),
        Err(LogError::Damaged(Problem { first, last, .. })) => Err((first, last)),
        Err(other) => panic!("{other}"),
    };
    walk.map(item).collect()
}

/// The ranges of the problems that a verification finds.
fn ranges(reader: &Reader) -> Vec<(Seq, Seq)> {
    let report = reader.verify(&mut |_| {});
    assert_eq!(report.ok, report.problems.is_empty());
    report.problems.iter().map(|p| (p.first, p.last)).collect()
}

#[test]
fn readers_on_other_threads_see_whole_commits_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let reader = reader.clone();
                scope.spawn(move || {
                    while reader.durable() < 300 {
                        let durable = reader.durable();
                        let got = reader.forward(1).map(|item| item.expect("reads"));
                        let last = got.enumerate().map(|(n, (seq, _))| assert_eq!(seq, n as u64 + 1)).count() as u64;
                        assert!(last >= durable);
                        assert_eq!(last % 3, 0, "a commit is there as a whole");
                    }
                })
            })
            .collect();
        for n in 0..100 {
            commit(&mut log, &[small(n), small(n), small(n)]);
            if n % 20 == 19 {
                log.roll(b"s", n).expect("rolls");
            }
        }
        for reader in readers {
            reader.join().expect("no reader panicked");
        }
    });
}

/// What is dropped while it is being opened is gone, not damaged.
#[test]
fn reading_while_segments_are_dropped_finds_no_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    reader.close_idle();
                    assert_eq!(reader.verify(&mut |_| {}).problems, []);
                    reader.forward(1).for_each(|item| drop(item.expect("reads")));
                }
            });
        }
        for n in 0..60 {
            fill(&mut log, 5);
            log.roll(b"s", n).expect("rolls");
            if n > 2 {
                retire(&mut log, &reader, reader.segments()[0].first);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(reader.damage(), []);
}

/// What is done to the log, in order.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, bool)>),
    Roll,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = proptest::prop_oneof![8 => 0usize..200, 3 => 0usize..40_000, 1 => 100_000usize..700_000];
    let commit = proptest::collection::vec((size, any::<bool>()), 1..12).prop_map(Step::Commit);
    let step = proptest::prop_oneof![6 => commit, 2 => proptest::strategy::Just(Step::Roll), 1 => proptest::strategy::Just(Step::Reopen)];
    proptest::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(Config { cases: 12, failure_persistence: None, ..Config::default() })]
    #[test]
    fn what_was_written_reads_back(steps in steps()) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut recovered = open_whole(dir.path());
        let mut written: Vec<Record> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(sizes) => {
                    let records: Vec<_> = sizes
                        .iter()
                        .map(|(size, plain)| event(if *plain { vec![b'x'; *size] } else { noise(*size, *size as u64) }))
                        .collect();
                    commit(&mut recovered.log, &records);
                    written.extend(records);
                }
                Step::Roll => recovered.log.roll(format!("state {}", written.len()).as_bytes(), 1).expect("rolls"),
                Step::Reopen => {
                    drop(recovered);
                    recovered = open_whole(dir.path());
                    let folded = forward(&recovered.reader, recovered.first_to_fold).len();
                    let state = recovered.checkpoint.clone().map(|c| String::from_utf8(c).expect("text"));
                    let before = written.len() - folded;
                    proptest::prop_assert_eq!(state, (before > 0).then(|| format!("state {before}")));
                }
            }
            let read: Vec<_> = forward(&recovered.reader, 1).into_iter().map(|(_, record)| record).collect();
            proptest::prop_assert!(read == written);
        }
        drop(recovered);
        let recovered = open_whole(dir.path());
        let read: Vec<_> = forward(&recovered.reader, 1).into_iter().map(|(_, record)| record).collect();
        proptest::prop_assert!(read == written);
        proptest::prop_assert_eq!(recovered.log.next_seq(), written.len() as u64 + 1);
        let report = recovered.reader.verify(&mut |_| {});
        proptest::prop_assert!(report.ok, "{:?}", report);
        proptest::prop_assert_eq!(blobs(dir.path()), 0);
    }
}

#[test]
#[ignore = "measurement"]
fn measure_commits() {
    let base = std::env::var_os("HOOKBOX_MEASURE_DIR").map_or_else(std::env::temp_dir, Into::into);
    for (size, noisy) in [(1024, true), (1024, false)] {
        for per_commit in [1usize, 16, 64, 256] {
            let dir = tempfile::tempdir_in(&base).expect("a folder");
            let Recovered { mut log, .. } = open(dir.path());
            let text =
                |n: u64| (0..).flat_map(move |i: u64| format!("{{\"id\":{},\"k\":\"v\"}},", n * 31 + i).into_bytes());
            let body = |n| if noisy { noise(size, n) } else { text(n).take(size).collect() };
            let records: Vec<_> = (0..per_commit as u64).map(|n| event(body(n))).collect();
            let started = std::time::Instant::now();
            let mut commits = 0u32;
            while started.elapsed().as_secs() < 3 {
                let _ = log.commit(&records).expect("commits");
                commits += 1;
                if log.wants_roll(1_000) {
                    log.roll(b"state", 1_000).expect("rolls");
                }
            }
            let seconds = started.elapsed().as_secs_f64();
            let rate = f64::from(commits) * per_commit as f64 / seconds;
            let each = seconds * 1e6 / f64::from(commits);
            println!("{per_commit:4} x {size} B, noise {noisy}: {rate:9.0} events/s, {each:7.0} us a commit");
        }
    }
}

fn rss_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("is there");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

#[test]
#[ignore = "measurement"]
fn measure_reading() {
    let base = std::env::var_os("HOOKBOX_MEASURE_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(&base).expect("a folder");
    let lap = |what: &str, since: std::time::Instant| {
        println!("{what}: {} ms, RSS {} KiB", since.elapsed().as_millis(), rss_kib());
    };
    {
        let Recovered { mut log, .. } = open(dir.path());
        let state = noise(5 << 20, 1);
        for _ in 0..20 {
            while log.slot.facts().payload_bytes < 16 << 20 {
                let records: Vec<_> = (0..64).map(|n| event(noise(1024, n + log.next_seq()))).collect();
                commit(&mut log, &records);
            }
            let started = std::time::Instant::now();
            log.roll(&state, 1).expect("rolls");
            lap("roll with a checkpoint of 5 MiB", started);
        }
        while log.slot.facts().payload_bytes < 64 << 20 {
            let records: Vec<_> = (0..64).map(|n| event(noise(1024, n + log.next_seq()))).collect();
            commit(&mut log, &records);
        }
    }
    for round in ["first", "second"] {
        let started = std::time::Instant::now();
        let Recovered { reader, first_to_fold, log, .. } = open(dir.path());
        lap(&format!("{round} open, 64 MiB active"), started);
        let started = std::time::Instant::now();
        let count = reader.forward(first_to_fold).count();
        lap(&format!("fold of {count}"), started);
        let started = std::time::Instant::now();
        let count = reader.forward(1).count();
        lap(&format!("forward over {count}"), started);
        let started = std::time::Instant::now();
        let count = reader.backward(Seq::MAX).count();
        lap(&format!("backward over {count}"), started);
        let started = std::time::Instant::now();
        assert!(reader.verify(&mut |_| {}).ok);
        lap("verify", started);
        let started = std::time::Instant::now();
        for n in 0..1000u64 {
            assert!(reader.read(1 + first_to_fold + n * 7919 % (reader.durable() - first_to_fold)).is_ok());
        }
        lap("1000 random reads of the active segment", started);
        let disk: u64 = reader.segments().iter().map(|s| s.disk_bytes).sum();
        let payload: u64 = reader.segments().iter().map(|s| s.payload_bytes).sum();
        println!("disk {disk}, payload {payload}");
        reader.close_idle();
        drop(log);
        println!("closed: RSS {} KiB", rss_kib());
    }
}

/// A program that does as a process does that dies of what it reads.
fn killer(dir: &Path) -> Options {
    let script = dir.join("dies");
    fs::write(&script, "#!/bin/sh\necho 'bad news' >&2\nkill -ABRT $$\n").expect("writes");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("may be run");
    Options { probe: Some(script), ..options(dir) }
}

#[test]
fn a_segment_that_a_child_dies_of_is_put_aside_when_a_process_had_died_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    fill(&mut log, 3);
    let last = reader.durable();
    drop(reader);
    log.close().expect("closes");
    // Closed well: nobody is asked.
    let Recovered { log, problems, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    assert_eq!(problems, []);
    log.close().expect("closes");
    fs::write(folder::opened(&dir.path().join("log"), 1), b"").expect("writes");
    let Recovered { log, reader, problems, .. } = Log::open(probed, 1_000).expect("opens");
    assert_eq!((problems[0].first, problems[0].last), (1, last), "{problems:?}");
    assert!(problems[0].what.contains("signal 6, bad news"), "{problems:?}");
    assert_eq!(reader.damage(), problems, "status tells of it");
    assert_eq!(log.next_seq(), last + 1, "no number is used twice");
    assert!(dir.path().join("log/bad-seg-00000000000000000001").is_dir(), "it is kept");
}

#[test]
fn a_closed_segment_that_changed_is_opened_by_a_child_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let log_dir = dir.path().join("log");
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    for round in 0..3 {
        fill(&mut log, 4);
        log.roll(b"checkpoint", round).expect("rolls");
    }
    let first = |n: u64| n * 4 + 1;
    reader.close_idle();
    assert_eq!(reader.read(first(0)).expect("reads"), Some(small(1)), "what was open before is known");
    flip(&folder::segment(&log_dir, first(1)).join("db"));
    for _ in 0..2 {
        assert!(matches!(reader.read(first(1)), Err(LogError::Damaged(_))), "this very process is spared");
    }
    assert_eq!(reader.damage().len(), 1);
    assert!(log_dir.join("bad-seg-00000000000000000005").is_dir(), "it is kept");
    log.close().expect("closes");
    drop(reader);
    flip(&folder::segment(&log_dir, first(2)).join("db"));
    let Recovered { log, reader, .. } = Log::open(probed, 1_000).expect("opens");
    assert!(matches!(reader.read(first(2)), Err(LogError::Damaged(_))), "and the next one");
    assert_eq!(reader.read(first(0)).expect("reads"), Some(small(1)), "a good one is opened at once");
    assert!(!reader.verify(&mut |_| {}).ok);
    drop(log);
}

/// A program that does as one that has found this.
fn finder(dir: &Path, exit: u8) -> Options {
    let script = dir.join(format!("finds-{exit}"));
    fs::write(&script, format!("#!/bin/sh\nexit {exit}\n")).expect("writes");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("may be run");
    Options { probe: Some(script), ..options(dir) }
}

#[test]
fn the_copy_of_a_changed_segment_goes_once_it_is_found_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let (bad, whole) = (finder(dir.path(), 1), finder(dir.path(), 0));
    let Recovered { mut log, reader, .. } = Log::open(bad.clone(), 1_000).expect("opens");
    for round in 0..2 {
        fill(&mut log, 4);
        log.roll(b"checkpoint", round).expect("rolls");
    }
    log.close().expect("closes");
    drop(reader);
    let copies = || [1, 5, 9].map(|first| folder::segment(&log_dir, first).join("db.as-found").exists());
    for first in [1, 5, 9] {
        fs::write(folder::sums(&log_dir, first), "of other files").expect("writes");
    }
    let reads = |options: Options| {
        let Recovered { log, reader, problems, .. } = Log::open(options, 1_000).expect("opens");
        assert_eq!(problems, []);
        assert_eq!(reader.read(1).expect("reads"), Some(small(1)));
        log.close().expect("closes");
    };
    reads(bad.clone());
    assert_eq!(copies(), [true, false, false], "the active one is read by the process itself, and one is never opened");
    // By now its files are noted anew: what is left of the copy is looked at nevertheless.
    reads(bad);
    assert_eq!(copies(), [true, false, false]);
    reads(whole);
    assert_eq!(copies(), [false; 3]);
}

#[test]
fn a_probe_tells_a_whole_segment_from_one_that_lacks_something() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { log, reader, .. } = sixty(dir.path());
    drop((log, reader));
    let log_dir = dir.path().join("log");
    super::probe(&folder::segment(&log_dir, 11)).expect("it is whole");
    let said = |first| super::probe(&folder::segment(&log_dir, first)).expect_err("it is not").to_string();
    assert!(said(61).contains("it has no seal"), "{}", said(61));
    let segment = Segment::open_unmarked(&log_dir, 21).expect("opens");
    segment.remove_from(28).expect("removes");
    segment.sync().expect("syncs");
    drop(segment);
    assert!(said(21).contains("does not hold what it was sealed with"), "{}", said(21));
}

#[test]
fn a_segment_from_which_much_was_read_is_opened_again_without_a_child() {
    let dir = tempfile::tempdir().expect("a folder");
    let probed = killer(dir.path());
    let Recovered { mut log, reader, .. } = Log::open(probed.clone(), 1_000).expect("opens");
    let large = |seq| event(noise(40_000, seq));
    let last = limits::READ_FROM_SEGMENT / 40_000 * 3;
    for seq in 1..=last {
        commit(&mut log, &[large(seq)]);
    }
    log.roll(b"checkpoint", 2_000).expect("rolls");
    drop(reader);
    log.close().expect("closes");
    // Opened for the first time since it was sealed: sled writes its snapshot, so the files are not as noted any more.
    let Recovered { log, reader, .. } = Log::open(probed, 1_000).expect("opens");
    let segment = folder::segment(&dir.path().join("log"), 1);
    for seq in 1..=last {
        assert_eq!(reader.read(seq).expect("reads"), Some(large(seq)));
    }
    assert!(!sums::has_evidence(&segment), "nothing was suspicious");
    assert_eq!(reader.damage(), []);
    drop(log);
}

fn flip(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("opens");
    let at = file.metadata().expect("it is there").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ 16], at).expect("writes");
}

#[test]
fn what_a_later_version_wrote_is_refused_and_not_touched() {
    let written = |change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().expect("a folder");
        let Recovered { mut log, .. } = open_whole(dir.path());
        fill(&mut log, 4);
        log.roll(b"checkpoint", 1).expect("rolls");
        fill(&mut log, 4);
        log.close().expect("closes");
        change(&dir.path().join("log"));
        let listing = || {
            let entries = fs::read_dir(dir.path().join("log")).expect("lists").flatten();
            let mut names: Vec<_> = entries.map(|e| e.file_name()).collect();
            names.sort();
            names
        };
        let before = listing();
        let opened = Log::open(options(dir.path()), 1_000);
        let folded = opened.and_then(|recovered| {
            recovered.reader.forward(recovered.first_to_fold).collect::<Result<Vec<_>, _>>().map(|_| ())
        });
        let error = folded.expect_err("it is refused");
        assert!(matches!(error, LogError::Newer { .. }), "{error}");
        assert!(error.to_string().contains("written by hookbox 0.9.0"), "{error}");
        assert!(error.to_string().contains("use hookbox 0.9.0, or a later one"), "{error}");
        assert_eq!(listing(), before, "nothing is put aside or added");
        dir
    };
    // The folder's format, read before anything is opened.
    let later = |format: u32| serde_json::json!({"format": format, "hookbox": "0.9.0"});
    written(&|log| folder::write_checked(&log.join("format"), &later(7)).expect("writes"));
    // A segment's.
    written(&|log| {
        let segment = Segment::open_unmarked(log, 5).expect("opens");
        let mut bytes = rmp_serde::to_vec(&(7u8, "0.9.0", 5u64, "and what nobody knows yet")).expect("writes");
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let mut batch = Batch::default();
        batch.put(b"h", &bytes);
        segment.apply(batch).expect("writes");
        segment.sync().expect("syncs");
    });
    // A record that cannot be read, in a folder that a later version has written to.
    let unknown = [&[record::codec::VERSION, 0x81, 0xAB][..], b"MoonSettled", &[0x91, 1]].concat();
    let grown = [&[record::codec::VERSION, 0x81, 0xAD][..], b"SourceDeleted", &[0x92, 1, 2]].concat();
    for bytes in [unknown, grown, vec![9, 1, 2, 3]] {
        written(&|log| {
            folder::write_checked(&log.join("format"), &later(1)).expect("writes");
            let (mut watermark, mark) = Watermark::open(log, true).expect("opens");
            let mark = mark.expect("a mark");
            let segment = Segment::open_unmarked(log, 5).expect("opens");
            let frame = raw_frame(mark.seq + 1, mark.head, &bytes);
            let mut batch = Batch::default();
            batch.chunk(mark.seq + 1, 0, &frame);
            segment.apply(batch).expect("writes");
            segment.sync().expect("syncs");
            watermark.set(Mark { seq: mark.seq + 1, head: frame[46..78].try_into().expect("a head") }).expect("sets");
        });
    }
}

/// A frame with one record, of any bytes.
fn raw_frame(first: Seq, prev: [u8; 32], record: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let length = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let payload = [&length(record.len())[..], &crc32fast::hash(record).to_be_bytes(), record].concat();
    let facts = [&[1u8, 0][..], &first.to_be_bytes(), &1u32.to_be_bytes()].concat();
    let lengths = [length(payload.len()), length(payload.len())].concat();
    let own: [u8; 32] = Sha256::digest([&prev[..], &facts, &lengths, &payload].concat()).into();
    [&facts[..], &prev, &own, &lengths, &payload].concat()
}

fn hex(head: [u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&head)
}

fn expecting(reader: &Reader, head: Head) -> Report {
    reader.verify_expecting(Expect { seq: Some(head.seq), head: head.hash }, &mut |_| {})
}

#[test]
fn a_head_kept_elsewhere_is_found_on_the_way() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    assert_eq!(reader.head(), Head { seq: 0, hash: [0; 32] });
    commit(&mut log, &[small(1), small(2)]);
    let early = reader.head();
    assert_eq!(early.seq, 2);
    log.roll(b"checkpoint", 1).expect("rolls");
    assert_eq!(reader.head(), early, "a new segment changes nothing");
    commit(&mut log, &[small(3)]);
    let late = reader.head();
    for head in [early, late] {
        let report = expecting(&reader, head);
        assert!(report.ok && report.expected_at == Some(head.seq), "{report:?}");
        let unnumbered = reader.verify_expecting(Expect { seq: None, head: head.hash }, &mut |_| {});
        assert!(unnumbered.ok && unnumbered.expected_at == Some(head.seq), "{unnumbered:?}");
    }
    assert_eq!(hex(reader.verify(&mut |_| {}).head), hex(late.hash));
    let elsewhere = expecting(&reader, Head { seq: 1, hash: early.hash });
    assert!(!elsewhere.ok && elsewhere.problems[0].what.contains("stands at record 2"), "{elsewhere:?}");
    let other = expecting(&reader, Head { seq: 2, hash: late.hash.map(|b| b ^ 1) });
    assert!(!other.ok && other.problems[0].what.contains("not on the chain"), "{other:?}");
    retire(&mut log, &reader, 1);
    assert!(expecting(&reader, early).ok, "the record that drops a segment signs its end off");
    drop((log, reader));
    let Recovered { reader, .. } = open_whole(dir.path());
    assert!(expecting(&reader, late).ok, "still there after opening anew");
}

/// C-06: an older copy of the whole folder, its watermark and all, cannot be told from inside.
#[test]
fn c06_an_older_state_is_told_only_by_a_head_kept_elsewhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log_dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    fill(&mut log, 10);
    log.close().expect("closes");
    drop(reader);
    copy_tree(&log_dir, &copy);
    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    fill(&mut log, 10);
    let head = reader.head();
    log.close().expect("closes");
    drop(reader);
    fs::remove_dir_all(&log_dir).expect("removes");
    fs::rename(&copy, &log_dir).expect("moves");
    let Recovered { log, reader, .. } = open_whole(dir.path());
    assert!(reader.verify(&mut |_| {}).ok, "from inside it is whole");
    let report = expecting(&reader, head);
    assert!(!report.ok && report.problems[0].what.contains("ends with record 10"), "{report:?}");
    drop((log, reader));
}

#[test]
fn a_segment_taken_away_is_told_whatever_the_file_beside_the_chain_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    retire(&mut log, &reader, 1);
    log.close().expect("closes");
    drop(reader);
    // The next one goes as well, by hand, with all that stands outside of the chain put right.
    let mut dropped: Vec<Dropped> = folder::read_checked(&log_dir.join("dropped")).expect("reads");
    let sealed: Facts = folder::read_checked(&folder::seal(&log_dir, 11)).expect("reads");
    dropped[0] = Dropped { first: 1, last: sealed.last, head: sealed.head };
    folder::write_checked(&log_dir.join("dropped"), &dropped).expect("writes");
    fs::remove_dir_all(folder::segment(&log_dir, 11)).expect("removes");
    fs::remove_file(folder::seal(&log_dir, 11)).expect("removes");
    let Recovered { reader, .. } = open_whole(dir.path());
    let report = reader.verify(&mut |_| {});
    assert!(!report.ok, "{report:?}");
    assert_eq!((report.problems[0].first, report.problems[0].last), (1, 20));
    assert!(report.problems[0].what.contains("no record says"), "{report:?}");
}

/// C-08: one stored byte changed, and every checksum below and beside the chain made right.
#[test]
fn c08_a_byte_changed_with_all_checksums_put_right_is_told() {
    for seq in [3, 20, 45, 60, 61] {
        let dir = tempfile::tempdir().expect("a folder");
        let log_dir = dir.path().join("log");
        let Recovered { mut log, reader, .. } = sixty(dir.path());
        commit(&mut log, &[small(61)]);
        let head = reader.head();
        log.close().expect("closes");
        drop(reader);
        // The whole frame is written anew, as the daemon would have written it, behind the frame it followed.
        let first = folder::list(&log_dir).expect("lists").segments.into_iter().rfind(|f| *f <= seq).expect("one");
        let segment = Segment::open_unmarked(&log_dir, first).expect("opens");
        let Some(Found::Frame(frame)) = segment.at_or_after(seq).expect("reads") else { panic!("a frame") };
        let decoded = Decoded::new(frame.clone()).expect("unpacks");
        let mut packer = Packer::default();
        for at in frame.head.first..=frame.head.last() {
            let record = if at == seq { small(at + 1000) } else { decoded.record(at).expect("reads") };
            packer.add(&record).expect("fits");
        }
        let (forged, bytes) = packer.finish(frame.head.first, frame.head.prev);
        let mut batch = Batch::default();
        for (number, chunk) in bytes.chunks(limits::CHUNK).enumerate() {
            batch.chunk(forged.first, number, chunk);
        }
        segment.apply(batch).expect("writes");
        segment.sync().expect("syncs");
        drop(segment);
        let (mut watermark, mark) = Watermark::open(&log_dir, true).expect("opens");
        if mark.is_some_and(|mark| mark.seq == forged.last()) {
            watermark.set(Mark { seq: forged.last(), head: forged.own }).expect("sets");
        }
        let Recovered { reader, problems, .. } = open(dir.path());
        assert_eq!(reader.read(seq).expect("reads"), Some(small(seq + 1000)), "the store thinks it good");
        let report = expecting(&reader, head);
        assert!(!report.ok, "record {seq}: {report:?}, {problems:?}");
        // The very last commit has nothing behind it that vouches for it: only a head kept elsewhere does.
        assert_eq!(reader.verify(&mut |_| {}).ok && problems.is_empty(), seq == 61, "record {seq}: {report:?}");
    }
}

#[test]
fn everything_is_found_in_a_segment_without_opening_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    let mut seed = 1;
    for round in 0..60 {
        let records: Vec<_> = (0..round % 7 + 1)
            .map(|n| {
                seed += 1;
                event(noise([10, 700, 3_000, 40_000][(round + n) % 4], seed))
            })
            .collect();
        commit(&mut log, &records);
    }
    let all = forward(&reader, 1);
    log.close().expect("closes");
    let segment = folder::segment(&dir.path().join("log"), 1);
    let carved = carve(&segment).expect("reads");
    let found: Vec<_> = carved.records().map(|(seq, record)| (seq, record.expect("reads"))).collect();
    assert_eq!(carved.missing(Some(reader.durable())), []);
    assert!(found == all, "{} of {}", found.len(), all.len());
    // One flipped bit costs one commit at most, wherever it is.
    let whole = fs::read(segment.join("db")).expect("reads");
    let mut lost = 0;
    for case in 0..20 {
        let mut bytes = whole.clone();
        let at = bytes.len() / 20 * case + 77;
        bytes[at] ^= 4;
        fs::write(segment.join("db"), bytes).expect("writes");
        let carved = carve(&segment).expect("reads");
        let missing = carved.missing(Some(reader.durable()));
        assert!(missing.len() <= 1, "byte {at}: {missing:?}");
        lost += missing.len();
        for (seq, record) in carved.records() {
            assert_eq!(record.expect("reads"), all[usize::try_from(seq - 1).expect("small")].1);
        }
    }
    println!("carved: of 20 flips {lost} cost a commit");
}

#[test]
fn garbage_is_searched_without_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let segment = dir.path().join("bad-seg-00000000000000000007-2");
    fs::create_dir(&segment).expect("makes");
    for seed in 0..40 {
        let mut bytes = noise(20_000, seed);
        // Thick with what messages begin with.
        for at in (0..bytes.len()).step_by(7) {
            bytes[at] = [8, 10, 0, 13, b'r', 255, 249][(at / 7) % 7];
        }
        fs::write(segment.join("db"), bytes).expect("writes");
        let carved = carve(&segment).expect("reads");
        assert_eq!((carved.first, carved.records().count()), (7, 0));
        assert_eq!(carved.missing(Some(9)), [(7, 9)]);
    }
}

#[test]
fn a_copy_has_the_same_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    retire(&mut log, &reader, 1);
    commit(&mut log, &[event(noise(100_000, 5)), small(7)]);
    let copied = dir.path().join("copied/log");
    let mut copy = LogCopy::begin(&copied).expect("begins");
    let mut wire = Vec::new();
    for segment in reader.segments() {
        reader
            .pieces(segment.first, &mut |piece| {
                wire.extend(piece.to_wire());
                true
            })
            .expect("reads");
    }
    let mut at = 0;
    while let Some((piece, length)) = Piece::from_wire(&wire[at..]).expect("pieces") {
        copy.take(piece).expect("takes");
        at += length;
    }
    assert_eq!(at, wire.len());
    assert_eq!(copy.finish().expect("ends"), reader.head());
    let Recovered { reader: other, .. } = open_whole(&dir.path().join("copied"));
    let report = expecting(&other, reader.head());
    assert!(report.ok, "{report:?}");
    assert_eq!((report.first, report.last), (11, reader.durable()));
    assert!(forward(&other, 1) == forward(&reader, 1));
    assert_eq!(other.segments().len(), reader.segments().len());
    let refused = LogCopy::begin(&copied).expect_err("it is not empty");
    assert!(refused.to_string().contains("choose another folder"), "{refused}");
    for cut in [3, 200, wire.len() - 1] {
        let mut copy = LogCopy::begin(&dir.path().join(format!("cut-{cut}"))).expect("begins");
        let mut at = 0;
        while let Ok(Some((piece, length))) = Piece::from_wire(&wire[at..cut]) {
            copy.take(piece).expect("takes");
            at += length;
        }
        assert!(copy.finish().is_err(), "a copy that broke off is none");
    }
}

/// What became of a log that was damaged: every record is there as it was, or its number is in a range that is told.
/// Returns how many are not there.
fn nothing_is_lost_in_silence(dir: &Path, written: &[Record], at: &str) -> usize {
    let Recovered { log, reader, problems, .. } = open(dir);
    let report = reader.verify(&mut |_| {});
    let named = |seq: Seq| problems.iter().chain(&report.problems).any(|p| (p.first..=p.last).contains(&seq));
    let mut lost = 0;
    for (seq, record) in (1..).zip(written) {
        match reader.read(seq) {
            Ok(Some(found)) => assert!(found == *record, "{at}: record {seq} is another one"),
            _ if named(seq) => lost += 1,
            gone => panic!("{at}: record {seq} is lost in silence: {gone:?}, {problems:?}, {report:?}"),
        }
    }
    assert!(log.next_seq() > written.len() as Seq || named(written.len() as Seq), "{at}: numbers would come again");
    lost
}

/// A small log of four segments, closed or left as a killed process leaves it, and what is in it.
fn log_to_damage(dir: &Path, closed: bool) -> Vec<Record> {
    let Recovered { mut log, reader, .. } = open_whole(dir);
    for round in 0..4 {
        for n in 0..6 {
            commit(&mut log, &[event(noise(3_000 * (n + 1), (round * 10 + n) as u64 + 1)), small(n as u64)]);
        }
        if round < 3 {
            log.roll(b"a checkpoint", 1).expect("rolls");
        }
    }
    let written = forward(&reader, 1).into_iter().map(|(_, record)| record).collect();
    if closed {
        log.close().expect("closes");
    } else {
        // The copy is made while it is open: what a killed process leaves.
        copy_tree(&dir.join("log"), &dir.join("killed"));
        drop(log);
        fs::remove_dir_all(dir.join("log")).expect("removes");
        fs::rename(dir.join("killed"), dir.join("log")).expect("moves");
    }
    written
}

fn cases() -> usize {
    std::env::var("HOOKBOX_FLIPS").map_or(60, |n| n.parse().expect("a number of flips"))
}

/// The files of sled's in a log's folder.
fn store_files(log: &Path) -> Vec<std::path::PathBuf> {
    let segments = folder::list(log).expect("lists").segments;
    let inside = segments.iter().flat_map(|first| fs::read_dir(folder::segment(log, *first)).expect("lists").flatten());
    let mut files: Vec<_> = inside.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// C-01 and C-02. With `HOOKBOX_FLIPS=1000`: see the end of this file's results in `tests/damage`.
#[test]
fn c01_c02_no_flipped_bit_loses_anything_in_silence() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let written = log_to_damage(dir.path(), closed);
        let (mut lost, mut costly) = (0, 0);
        for case in 0..cases() {
            let copy = tempfile::tempdir().expect("a folder");
            copy_tree(&dir.path().join("log"), &copy.path().join("log"));
            let draw = u64::from_le_bytes(noise(8, case as u64 + 77).try_into().expect("eight"));
            let files = store_files(&copy.path().join("log"));
            let dbs: Vec<_> = files.iter().filter(|path| path.ends_with("db")).collect();
            let path = dbs[usize::try_from(draw % dbs.len() as u64).expect("small")];
            let mut bytes = fs::read(path).expect("reads");
            let at = usize::try_from((draw >> 8) % bytes.len() as u64).expect("small");
            bytes[at] ^= 1 << (draw >> 56 & 7);
            fs::write(path, bytes).expect("writes");
            let at = format!("closed {closed}, case {case}: byte {at} of {}", path.display());
            let cost = nothing_is_lost_in_silence(copy.path(), &written, &at);
            lost += cost;
            costly += usize::from(cost > 0);
        }
        println!("flips, closed {closed}: {} cases, {costly} cost records, {lost} records, all named", cases());
    }
}

/// C-03: every file of sled's, cut at every 4 KiB (at every 64 KiB in a short run).
#[test]
fn c03_no_torn_file_loses_anything_in_silence() {
    let step = if cases() >= 1000 { 4096 } else { 1 << 16 };
    for closed in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let written = log_to_damage(dir.path(), closed);
        let (mut count, mut costly) = (0, 0);
        for file in store_files(&dir.path().join("log")) {
            let length = fs::metadata(&file).expect("it is there").len();
            for cut in (0..length).step_by(step) {
                let copy = tempfile::tempdir().expect("a folder");
                copy_tree(&dir.path().join("log"), &copy.path().join("log"));
                let path = copy.path().join(file.strip_prefix(dir.path()).expect("in it"));
                fs::OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(cut)).expect("cuts");
                let at = format!("closed {closed}: {} cut to {cut} of {length}", file.display());
                costly += usize::from(nothing_is_lost_in_silence(copy.path(), &written, &at) > 0);
                count += 1;
            }
        }
        println!("torn, closed {closed}: {count} cases, {costly} cost records, all named");
    }
}
