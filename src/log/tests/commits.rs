//! Commits: what was written reads back, whatever its size.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::test_runner::Config;
use tempfile::TempDir;

use super::{blobs, commit, event, fill, forward, noise, open, open_whole, small};
use crate::log::frame::{DecodedFrame, FramePacker, HEAD_LEN, RECORD_MAX, StoredFrame};
use crate::log::{LogError, Recovered};
use crate::model::limits;
use crate::record::{self, Record};

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
fn boundaries_of_values_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let mut empty = Vec::new();
    record::encode(&event(Vec::new()), &mut empty);

    // What surrounds the body: the frame's head, the record's prefix, the record; a body's length
    // takes 3 more bytes.
    let around = HEAD_LEN + 8 + empty.len();

    let mut written = Vec::new();
    let chunks = [1, 2, 3].map(|count| count * limits::CHUNK);
    // A part has 19 bytes before its own, and a frame's head is not in the parts.
    let parts = [1, 2, 3].map(|count| count * (limits::VALUE - 19) + HEAD_LEN);
    for boundary in chunks.into_iter().chain([limits::VALUE]).chain(parts) {
        for delta in -6i64..=6 {
            let len = i64::try_from(boundary - around).expect("fits") + delta;
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
fn an_empty_commit_is_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let committed = log.commit(&[]).expect("commits");
    assert_eq!((committed.first, committed.last, reader.durable()), (1, 0, 0));
}

#[test]
fn a_failed_commit_is_the_last_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 2);

    let refused = log.commit(&[small(3), event(vec![0; RECORD_MAX])]).expect_err("too large");
    assert!(matches!(refused, LogError::TooLarge { .. }), "{refused}");
    assert!(matches!(log.commit(&[small(3)]), Err(LogError::Poisoned)));
    assert!(matches!(log.roll(b"", 1), Err(LogError::Poisoned)));
    assert_eq!(reader.durable(), 2);
}

/// What is done to the log, in order.
#[derive(Clone, Debug)]
enum LogOperation {
    /// Sizes of bodies, and whether they compress.
    Commit(Vec<(usize, bool)>),
    Roll,
    Reopen,
}

fn operations() -> impl Strategy<Value = Vec<LogOperation>> {
    let size =
        proptest::prop_oneof![8 => 0usize..200, 3 => 0usize..40_000, 1 => 100_000usize..700_000];
    let sizes = proptest::collection::vec((size, any::<bool>()), 1..12);
    let operation = proptest::prop_oneof![
        6 => sizes.prop_map(LogOperation::Commit),
        2 => Just(LogOperation::Roll),
        1 => Just(LogOperation::Reopen),
    ];
    proptest::collection::vec(operation, 1..20)
}

/// The log, and what it has to hold.
struct WrittenLog {
    dir: TempDir,
    recovered: Option<Recovered>,
    written: Vec<Record>,
}

impl WrittenLog {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let recovered = Some(open_whole(dir.path()));
        Self { dir, recovered, written: Vec::new() }
    }

    fn opened(&mut self) -> &mut Recovered {
        self.recovered.as_mut().expect("it is open")
    }

    fn perform(&mut self, operation: LogOperation) {
        match operation {
            LogOperation::Commit(sizes) => {
                let body = |(size, plain): (usize, bool)| match plain {
                    true => vec![b'x'; size],
                    false => noise(size, size as u64),
                };
                let records: Vec<_> = sizes.into_iter().map(|size| event(body(size))).collect();
                commit(&mut self.opened().log, &records);
                self.written.extend(records);
            }
            LogOperation::Roll => {
                let state = format!("state {}", self.written.len());
                self.opened().log.roll(state.as_bytes(), 1).expect("rolls");
            }
            LogOperation::Reopen => {
                self.reopen();
                let Recovered { reader, first_to_fold, checkpoint, .. } = self.opened();
                let folded = forward(reader, *first_to_fold).len();
                let state = checkpoint.clone().map(|c| String::from_utf8(c).expect("text"));

                let before = self.written.len() - folded;
                assert_eq!(state, (before > 0).then(|| format!("state {before}")));
            }
        }
    }

    fn reopen(&mut self) {
        drop(self.recovered.take());
        self.recovered = Some(open_whole(self.dir.path()));
    }

    fn reads_back(&mut self) -> bool {
        let read = forward(&self.opened().reader, 1);
        read.into_iter().map(|(_, record)| record).eq(self.written.iter().cloned())
    }
}

proptest! {
    #![proptest_config(Config { cases: 12, failure_persistence: None, ..Config::default() })]
    #[test]
    fn what_was_written_reads_back(operations in operations()) {
        let mut log = WrittenLog::new();
        for operation in operations {
            log.perform(operation);
            prop_assert!(log.reads_back());
        }

        log.reopen();
        prop_assert!(log.reads_back());
        let expected = log.written.len() as u64 + 1;
        prop_assert_eq!(log.opened().log.next_seq(), expected);
        let report = log.opened().reader.verify(&mut |_| {});
        prop_assert!(report.ok, "{:?}", report);
        prop_assert_eq!(blobs(log.dir.path()), 0);
    }
}

#[test]
fn a_large_body_is_copied_into_memory_that_is_allocated_once() {
    const LEN: usize = 8 << 20;
    for body in [noise(LEN, 7), vec![b'a'; LEN], b"small".to_vec()] {
        let record = event(body);
        let mut packer = FramePacker::default();
        packer.add(&record, None).expect("it is not too large");
        let spare = packer.spare_bytes();
        assert!(spare < 64 << 10, "{spare} bytes of new memory that nobody needs");

        let (head, frame) = packer.finish(1, [0; 32]);
        let stored = frame[HEAD_LEN..].to_vec();
        let frame = DecodedFrame::new(StoredFrame { head, stored }).expect("a frame");
        assert_eq!(frame.record(1), Ok(record));
    }
}
