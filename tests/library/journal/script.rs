//! What the child process does to its log, and how every record of it looks.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookbox::log::{BodyBlocks, Log, Options, Reader, Recovered};
use hookbox::model::{Event, EventId, Seq};
use hookbox::record::Record;

use super::support::rng::Rng;

/// Two lives of the process: the second opens what the first has closed.
const LIVES: [u64; 2] = [40, 30];
/// Stored payload of a segment.
const SEGMENT_BYTES: u64 = 60_000;
/// Checkpoints of no more are written when their segment is begun, and larger ones with the commits
/// behind it.
const CHECKPOINT_STEP: usize = 10_000;
/// One record in so many has a body that is written ahead of its commit, in three parts.
const LARGE_EVERY: u64 = 100;
const LARGE_BYTES: usize = 1_200_000;
/// Sealed segments beyond which the oldest is dropped.
const KEPT: usize = 2;

pub fn options(root: &Path) -> Options {
    Options {
        dir: root.join("log"),
        segment_bytes: SEGMENT_BYTES,
        checkpoint_step: CHECKPOINT_STEP,
        ..Options::default()
    }
}

/// Record `seq`: as large as it says, and never the same.
pub fn record(seq: Seq) -> Record {
    record_of(event(seq))
}

/// Whether a record has a body of which some blocks are written ahead of its commit.
fn is_large(seq: Seq) -> bool {
    seq % LARGE_EVERY == LARGE_EVERY / 2
}

fn event(seq: Seq) -> Event {
    let mut rng = Rng::new(seq);
    let small = [10, 60, 300, 900, 900, 3_000, 9_000][rng.index(7)];
    let size = if is_large(seq) { LARGE_BYTES } else { small };
    let body: Vec<u8> =
        std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(size).collect();

    Event {
        id: EventId { seq, tag: rng.next() },
        source: 1,
        source_name: "in".into(),
        kind: "push".into(),
        received_at: seq,
        dedupe_key: None,
        request_line: "POST /in/in".into(),
        remote: "127.0.0.1:1".into(),
        headers: Vec::new(),
        body: Bytes::from(body),
        from_provider: false,
        first_id: None,
    }
}

fn record_of(event: Event) -> Record {
    Record::EventAccepted {
        event: event.into(),
        dedupe: None,
        fan_out: vec![1],
        beside: Default::default(),
        ran_ms: 0,
    }
}

/// The state before record `seq`.
pub fn checkpoint(seq: Seq) -> Vec<u8> {
    let mut rng = Rng::new(!seq);
    let size = 200 + rng.index(60_000);
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(size).collect()
}

/// Plays the script below `root`. `acked N` is noted after record N was committed, `drops N` before
/// the records up to N are dropped.
pub fn play(root: &Path, notes: &Path) {
    let mut notes = File::create(notes).expect("a file for notes");
    // One write for each, so that the trace has it at its place among the others.
    let mut note = |text: String| notes.write_all(text.as_bytes()).expect("a note");

    let mut ahead = 0;
    for (life, commits) in LIVES.into_iter().enumerate() {
        let Recovered { mut log, reader, problems, .. } =
            Log::open(options(root), 1).expect("the log opens");
        assert_eq!(problems, [], "nothing has happened to it");

        let mut rng = Rng::new(life as u64);
        for number in 0..commits {
            let most = 1 + if rng.below(4) == 0 { rng.below(24) } else { rng.below(3) };
            let next = log.next_seq();
            // A commit ends in front of the record before a large one.
            let count = (1..=most).find(|count| is_large(next + count + 1)).unwrap_or(most);
            if is_large(next + 1) {
                commit_with_body_ahead(&mut log, &mut note);
                ahead += 1;
            } else {
                let records: Vec<Record> = (next..next + count).map(record).collect();
                let committed = log.commit(&records).expect("it commits");
                note(format!("acked {}", committed.last));
            }
            if log.wants_roll(number) {
                log.roll(checkpoint(log.next_seq()), number).expect("it rolls");
            }
            if number % 16 == 15 {
                // Readers open sealed segments, in which sled then writes.
                assert_eq!(
                    reader.forward(reader.first()).count() as u64,
                    log.next_seq() - reader.first()
                );
            }
            drop_oldest(&mut log, &reader, &mut note);
        }

        log.close().expect("it closes");
    }
    assert!(ahead > 1, "{ahead} bodies were written ahead");
}

/// Commits two records: the body of the second one is written ahead, before and behind the first.
fn commit_with_body_ahead(log: &mut Log, note: &mut dyn FnMut(String)) {
    let next = log.next_seq();
    let large = event(next + 1);
    let blocks = Arc::new(BodyBlocks::new(large.body.clone()));

    assert!(log.write_ahead(&blocks).expect("it writes"), "too small to be written ahead");
    let committed = log.commit(&[record(next)]).expect("it commits");
    note(format!("acked {}", committed.last));
    while log.write_ahead(&blocks).expect("it writes") {}
    let committed = log.commit(&[record_of(large)]).expect("it commits");
    note(format!("acked {}", committed.last));
}

fn drop_oldest(log: &mut Log, reader: &Reader, note: &mut dyn FnMut(String)) {
    let segments = reader.segments();
    let sealed: Vec<_> = segments.iter().filter(|segment| segment.sealed_at.is_some()).collect();
    let [oldest, rest @ ..] = &sealed[..] else { return };
    let last = oldest.last.expect("a sealed segment has records");
    if rest.len() >= KEPT && last < reader.checkpoint_before() {
        // The chain vouches for the drop, as it does in the daemon.
        let vouched = log.commit(&[Record::SegmentDropped {
            first: oldest.first,
            last,
            head: oldest.head,
            at: 1,
        }]);
        note(format!("acked {}", vouched.expect("it commits").last));
        note(format!("drops {last}"));
        log.drop_segment(oldest.first).expect("it drops");
    }
}
