//! Large bodies, in blocks that are written ahead of their commits.

use std::fs;
use std::sync::Arc;

use super::{
    commit, copy_tree, event, expecting, fill, forward, meddle, noise, open, open_whole, options,
    ranges, seen, seqs, small,
};
use crate::log::append::active;
use crate::log::error::StoreFault;
use crate::log::frame::{FramePacker, HEAD_LEN, StoredFrame};
use crate::log::layout::Tampering;
use crate::log::{
    BodyBlocks, Log, LogCopy, LogError, Piece, Recovered, SegmentFormat, carve, folder,
};
use crate::model::limits::AHEAD_BYTES;
use crate::record::Record;

/// Too large to be written with its commit.
const LARGE: usize = 3 * AHEAD_BYTES + 12_345;

/// An event and its body in blocks.
fn large(body: Vec<u8>) -> (Record, Arc<BodyBlocks>) {
    let record = event(body);
    let body = record.held_event().expect("an event").event.body.clone();
    (record, Arc::new(BodyBlocks::new(body)))
}

/// Writes all of a body that is not left to its commit. Returns how often something was written.
fn write_ahead(log: &mut Log, body: &Arc<BodyBlocks>) -> usize {
    (0..).take_while(|_| log.write_ahead(body).expect("writes")).count()
}

#[test]
fn a_large_body_is_written_between_the_commits_of_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 2);
    let mut expected = forward(&reader, 1);

    for (seed, body) in
        [noise(LARGE, 1), vec![b'x'; LARGE], noise(AHEAD_BYTES, 2)].iter().enumerate()
    {
        let (record, blocks) = large(body.clone());
        let mut times = 0;
        while log.write_ahead(&blocks).expect("writes") {
            times += 1;
            let seq = log.next_seq();
            commit(&mut log, &[small(seq)]);
            expected.push((seq, small(seq)));
        }
        assert_eq!(times, [3, 0, 0][seed], "of body {seed}");
        assert_eq!(forward(&reader, 1), expected, "nothing of it can be seen");

        let seq = log.next_seq();
        commit(&mut log, &[record.clone(), small(seq + 1)]);
        expected.extend([(seq, record), (seq + 1, small(seq + 1))]);
        log.keep_ahead_of(None);
        assert_eq!(log.ahead_bytes(), 0);
    }

    assert!(forward(&reader, 1) == expected);
    let read_back: Vec<_> = reader.backward(u64::MAX).map(|r| r.expect("reads")).collect();
    assert!(read_back.into_iter().rev().eq(expected.iter().cloned()));
    let report = expecting(&reader, reader.head());
    assert!(report.ok, "{report:?}");
    drop((log, reader));

    let Recovered { reader, .. } = open_whole(dir.path());
    assert!(forward(&reader, 1) == expected);
}

#[test]
fn a_body_that_was_never_committed_is_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 3);
    let (_, lost) = large(noise(LARGE, 1));
    let used = log.disk_space().used;
    assert_eq!(write_ahead(&mut log, &lost), 3);
    assert!(log.disk_space().used > used, "it counts for the disk");
    // As after kill -9.
    let crashed = tempfile::tempdir().expect("a folder");
    copy_tree(dir.path(), crashed.path());
    drop((log, reader));

    // What does not fill a value yet waits for the next turn.
    let synced = 3 * AHEAD_BYTES - (32 << 10);
    let db = folder::segment(&crashed.path().join("log"), 1).join("db");
    let file = fs::read(db).expect("reads");
    let wanted = &lost.body()[synced..][..32];
    assert!(file.windows(32).any(|window| window == wanted), "it is durable before its commit");

    let Recovered { mut log, reader, .. } = open_whole(crashed.path());
    assert_eq!(seqs(&reader), [1, 2, 3]);
    let (_, replaced) = large(noise(LARGE, 2));
    assert!(log.write_ahead(&replaced).expect("writes"));
    let (record, blocks) = large(noise(LARGE, 3));
    assert_eq!(write_ahead(&mut log, &blocks), 3, "from its beginning");
    fill(&mut log, 1);
    commit(&mut log, std::slice::from_ref(&record));
    assert!(forward(&reader, 5) == [(5, record.clone())]);
    drop((log, reader));

    let Recovered { reader, .. } = open_whole(crashed.path());
    assert!(forward(&reader, 5) == [(5, record)]);
}

#[test]
fn a_body_is_written_anew_where_its_segment_is_sealed_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 3);
    let (record, blocks) = large(noise(LARGE, 1));
    assert!(log.write_ahead(&blocks).expect("writes"));
    log.roll(b"state", 1).expect("rolls");
    assert_eq!(log.ahead_bytes(), 0);

    // Not a byte of it is needed for the commit.
    let (other, other_blocks) = large(noise(LARGE, 2));
    assert!(log.write_ahead(&other_blocks).expect("writes"));
    log.roll(b"state", 2).expect("rolls");
    commit(&mut log, std::slice::from_ref(&other));
    assert_eq!(write_ahead(&mut log, &blocks), 3);
    commit(&mut log, std::slice::from_ref(&record));

    assert!(forward(&reader, 4) == [(4, other), (5, record)]);
    assert!(expecting(&reader, reader.head()).ok);
}

#[test]
fn a_body_of_several_trees_is_read_and_found_without_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let (record, blocks) = large(noise(18 * AHEAD_BYTES, 1));
    assert_eq!(write_ahead(&mut log, &blocks), 17);
    commit(&mut log, std::slice::from_ref(&record));
    assert!(forward(&reader, 1) == [(1, record.clone())]);
    drop(reader);
    log.close().expect("closes");

    let carved = carve(&folder::segment(&dir.path().join("log"), 1)).expect("reads");
    let found: Vec<_> = carved.records().map(|(seq, r)| (seq, r.expect("reads"))).collect();
    assert!(found == [(1, record)]);
}

#[test]
fn blocks_belong_to_the_first_frame_of_a_commit_and_to_one_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let (record, blocks) = large(noise(LARGE, 1));
    let other = event(noise(LARGE / 2, 2));

    // In a later frame the body is written as any other.
    assert_eq!(write_ahead(&mut log, &blocks), 3);
    commit(&mut log, &[other.clone(), record.clone()]);
    log.keep_ahead_of(None);
    assert_eq!(write_ahead(&mut log, &blocks), 3);
    commit(&mut log, &[record.clone(), record.clone()]);

    assert!(
        forward(&reader, 1) == [(1, other), (2, record.clone()), (3, record.clone()), (4, record)]
    );
    assert!(expecting(&reader, reader.head()).ok);
}

#[test]
fn a_body_whose_request_does_not_wait_any_more_is_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    let ((_, blocks), (_, other)) = (large(noise(LARGE, 1)), large(noise(LARGE, 2)));
    for waiting in [None, Some(&other)] {
        assert!(log.write_ahead(&blocks).expect("writes"));
        log.keep_ahead_of(Some(&blocks));
        assert_eq!(log.ahead_bytes(), AHEAD_BYTES);
        log.keep_ahead_of(waiting);
        assert_eq!(log.ahead_bytes(), 0);
    }
}

#[test]
fn a_body_that_cannot_be_written_ends_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    active(&log.active).expect("a segment").tamper(&Tampering::NoTreesAhead);
    let (_, blocks) = large(noise(LARGE, 1));
    assert!(!matches!(log.write_ahead(&blocks), Ok(_) | Err(LogError::Poisoned)));
    assert!(matches!(log.write_ahead(&blocks), Err(LogError::Poisoned)));
    assert!(matches!(log.commit(&[small(1)]), Err(LogError::Poisoned)));
}

#[test]
fn the_chain_covers_the_blocks_and_their_table() {
    let (record, blocks) = large(noise(LARGE, 1));
    let mut packer = FramePacker::default();
    packer.add(&record, Some(&blocks)).expect("fits");
    let (head, frame) = packer.finish(1, [0; 32]);
    let stored = [&noise(LARGE, 1), &frame[HEAD_LEN..]].concat();
    let frame = StoredFrame { head, stored };
    assert!(frame.is_whole());

    let end = frame.stored.len();
    for at in (0..end).step_by(99_991).chain(end - 400..end) {
        let mut changed = frame.clone();
        changed.stored[at] ^= 1;
        assert!(!changed.is_whole(), "byte {at} of {end}");
    }
}

#[test]
fn a_segment_of_an_earlier_format_gets_no_blocks() {
    for format in [SegmentFormat::Chunks, SegmentFormat::Cells, SegmentFormat::Gradual] {
        let dir = tempfile::tempdir().expect("a folder");
        let old = crate::log::Options { segment_format: format, ..options(dir.path()) };
        let Recovered { mut log, reader, .. } = Log::open(old, 1_000).expect("opens");
        let (record, blocks) = large(noise(LARGE, 1));
        assert_eq!(write_ahead(&mut log, &blocks), 0);
        commit(&mut log, std::slice::from_ref(&record));
        assert!(forward(&reader, 1) == [(1, record)]);
        assert!(expecting(&reader, reader.head()).ok);
    }
}

/// A log of a small record, a large event with a small record, and a small one.
fn with_large(dir: &std::path::Path, body: Vec<u8>) -> Vec<(u64, Record)> {
    let Recovered { mut log, reader, .. } = open(dir);
    fill(&mut log, 1);
    let (record, blocks) = large(body);
    write_ahead(&mut log, &blocks);
    commit(&mut log, &[record, small(3)]);
    fill(&mut log, 1);
    let all = forward(&reader, 1);
    drop(reader);
    log.close().expect("closes");
    all
}

#[test]
fn a_body_in_blocks_is_copied_and_found_without_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let body = [noise(LARGE, 1), vec![b'x'; LARGE]].concat();
    let all = with_large(dir.path(), body);

    let carved = carve(&folder::segment(&dir.path().join("log"), 1)).expect("reads");
    let found: Vec<_> = carved.records().map(|(seq, r)| (seq, r.expect("reads"))).collect();
    assert!(found == all, "{} of {}", found.len(), all.len());

    let Recovered { reader, .. } = open_whole(dir.path());
    let mut copy = LogCopy::begin(&dir.path().join("copied/log")).expect("begins");
    let mut take = |piece: Piece| {
        let wire = piece.to_wire();
        let (piece, _) = Piece::from_wire(&wire).expect("a piece").expect("all of it");
        copy.take(piece).expect("takes");
        true
    };
    reader.pieces(1, &mut take).expect("reads");
    assert_eq!(copy.finish().expect("ends"), reader.head());
    let Recovered { reader: copied, .. } = open_whole(&dir.path().join("copied"));
    assert!(forward(&copied, 1) == all && expecting(&copied, reader.head()).ok);
}

#[test]
fn a_damaged_body_is_reported_with_its_range_and_the_rest_is_read() {
    type Change = fn(&mut Vec<u8>);
    let cut: Change = |value| value.truncate(400);
    let other: Change = |value| value[30] ^= 1;
    for change in [None, Some(cut), Some(other)] {
        let dir = tempfile::tempdir().expect("a folder");
        with_large(dir.path(), noise(LARGE, 1));
        meddle(dir.path(), 1, Tampering::Ahead { part: 7, change });

        let Recovered { reader, .. } = open(dir.path());
        assert_eq!(ranges(&reader), [(2, 2)]);
        assert_eq!(seen(reader.forward(1)), [Ok(1), Err((2, 2)), Ok(3), Ok(4)]);
    }
}

#[test]
fn a_body_that_the_store_cannot_read_is_reported_with_its_range() {
    let dir = tempfile::tempdir().expect("a folder");
    with_large(dir.path(), noise(LARGE, 1));
    let Recovered { mut log, .. } = open_whole(dir.path());
    log.roll(b"state", 1).expect("rolls");
    drop(log);

    let Recovered { reader, .. } = open_whole(dir.path());
    let slot = reader.segments.get(1).expect("it is there");
    let segment = reader.segments.acquire(&slot).expect("opens").expect("it is there");
    // Each part is so large that it has a leaf to itself.
    segment.fail_reads((b"a\0\0".to_vec(), 63..=71, StoreFault::Corrupt));
    assert_eq!(ranges(&reader), [(2, 2)]);
    assert_eq!(seen(reader.forward(1)), [Ok(1), Err((2, 2)), Ok(3), Ok(4)]);
}
