//! What several tests of the log need. The format of the segments is that of the parent module.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::FORMAT;
use crate::log::layout::Tampering;
use crate::log::segment::Segment;
use crate::log::testing::log_options;
pub(super) use crate::log::testing::noise;
use crate::log::{Expect, Head, Log, LogError, LogProblem, Options, Reader, Recovered, Report};
use crate::model::{Event, EventId, Seq};
use crate::record::Record;

pub(super) fn options(dir: &Path) -> Options {
    Options { segment_format: FORMAT, ..log_options(dir) }
}

pub(super) fn open(dir: &Path) -> Recovered {
    Log::open(options(dir), 1_000).expect("the log opens")
}

/// Opens a log in which nothing is wrong.
pub(super) fn open_whole(dir: &Path) -> Recovered {
    let recovered = open(dir);
    assert_eq!(recovered.problems, []);
    recovered
}

pub(super) fn event(body: Vec<u8>) -> Record {
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

    Record::EventAccepted {
        event: event.into(),
        dedupe: None,
        fan_out: vec![1],
        beside: Default::default(),
        ran_ms: 0,
    }
}

pub(super) fn small(n: u64) -> Record {
    Record::DuplicateSeen { event: n, at: n }
}

pub(super) fn commit(log: &mut Log, records: &[Record]) {
    let expected = log.next_seq();
    let committed = log.commit(records).expect("commits");
    assert_eq!((committed.first, committed.last + 1), (expected, log.next_seq()));
}

/// Commits one record at a time: record N is `small(N)`.
pub(super) fn fill(log: &mut Log, count: u64) {
    for _ in 0..count {
        let seq = log.next_seq();
        commit(log, &[small(seq)]);
    }
}

pub(super) fn forward(reader: &Reader, from: Seq) -> Vec<(Seq, Record)> {
    reader.forward(from).map(|item| item.expect("reads")).collect()
}

pub(super) fn seqs(reader: &Reader) -> Vec<Seq> {
    forward(reader, 1).into_iter().map(|(seq, _)| seq).collect()
}

pub(super) fn blobs(dir: &Path) -> usize {
    let segments = fs::read_dir(dir.join("log")).expect("lists").flatten();
    segments.filter_map(|e| fs::read_dir(e.path().join("blobs")).ok()).map(Iterator::count).sum()
}

/// A log of records 1 to 60 in segments of ten, the last one (61) empty.
pub(super) fn sixty(dir: &Path) -> Recovered {
    let mut recovered = open(dir);
    for n in 0..6 {
        fill(&mut recovered.log, 10);
        recovered.log.roll(b"state", n).expect("rolls");
    }
    recovered
}

/// Drops a segment as retention does: with a record of it first.
pub(super) fn retire(log: &mut Log, reader: &Reader, first: Seq) {
    let found = reader.segments().into_iter().find(|s| s.first == first).expect("the segment");
    let last = found.last.expect("it is not empty");
    commit(log, &[Record::SegmentDropped { first, last, head: found.head, at: 1 }]);
    loop {
        match log.drop_segment(first) {
            Err(LogError::BeingOpened { .. }) => std::thread::yield_now(),
            done => return done.expect("drops"),
        }
    }
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
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

/// Changes a segment of a log that is closed.
pub(super) fn meddle(dir: &Path, first: Seq, with: Tampering) {
    let segment = Segment::open(&dir.join("log"), first, false).expect("opens");
    segment.tamper(&with);
    segment.sync().expect("syncs");
}

/// The numbers of the records that a walk reads, and the ranges of its errors.
pub(super) fn seen(
    walk: impl Iterator<Item = Result<(Seq, Record), LogError>>,
) -> Vec<Result<Seq, (Seq, Seq)>> {
    let item = |item| match item {
        Ok((seq, _)) => Ok(seq),
        Err(LogError::Damaged(LogProblem { first, last, .. })) => Err((first, last)),
        Err(other) => panic!("{other}"),
    };
    walk.map(item).collect()
}

/// The ranges of the problems that a verification finds.
pub(super) fn ranges(reader: &Reader) -> Vec<(Seq, Seq)> {
    let report = reader.verify(&mut |_| {});
    assert_eq!(report.ok, report.problems.is_empty());
    report.problems.iter().map(|p| (p.first, p.last)).collect()
}

pub(super) fn expecting(reader: &Reader, head: Head) -> Report {
    reader.verify_expecting(Expect { seq: Some(head.seq), head: head.hash }, &mut |_| {})
}
