//! What segments of format 2 promise: sled writes a value once, a commit that was not completed
//! cannot be seen, and a segment of format 1 is continued as it is.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::{
    blobs, commit, event, fill, forward, noise, open, open_whole, options, ranges, seqs, small,
};
use crate::log::frame::{FramePacker, HEAD_LEN};
use crate::log::layout::{FrameLookup, SegmentFormat, Tampering};
use crate::log::segment::Segment;
use crate::log::{Log, Options, Recovered, folder};
use crate::model::Seq;

/// How often each of these markers of eight bytes is in a file.
fn occurrences(file: &Path, markers: &[[u8; 8]]) -> Vec<usize> {
    let mut found: HashMap<[u8; 8], usize> = markers.iter().map(|marker| (*marker, 0)).collect();
    for window in fs::read(file).expect("reads").windows(8) {
        if let Some(count) = found.get_mut(window) {
            *count += 1;
        }
    }
    markers.iter().map(|marker| found[marker]).collect()
}

#[test]
fn every_value_is_in_the_file_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut markers = Vec::new();
    for round in 0..2 {
        let Recovered { mut log, .. } = open_whole(dir.path());
        for n in 0..700 {
            let size = [60, 300, 900, 3_000, 9_000, 13_000, 30_000][n % 7];
            let body = noise(size, (round * 1_000 + n) as u64);
            markers.push(*body.first_chunk().expect("eight bytes"));
            commit(&mut log, &[event(body)]);
        }
        log.close().expect("closes");
    }

    let db = folder::segment(&dir.path().join("log"), 1).join("db");
    let found = occurrences(&db, &markers);
    assert!(found.iter().all(|count| *count == 1), "{found:?}");
    assert_eq!(blobs(dir.path()), 0);
}

#[test]
fn a_commit_that_was_not_completed_cannot_be_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 5);

    // Three frames of several parts, all of them written, and none of their heads.
    let segment = Segment::open(&dir.path().join("log"), 1, false).expect("opens");
    let mut writer = segment.commit();
    let mut packer = FramePacker::default();
    for seq in 6..9 {
        packer.add(&event(noise(50_000, seq))).expect("fits");
        let (head, bytes) = packer.finish(seq, [0; 32]);
        writer.frame(&head, bytes).expect("writes");
    }
    drop(writer);
    segment.sync().expect("syncs");
    drop(segment);

    let Recovered { mut log, reader, .. } = open_whole(dir.path());
    assert_eq!((log.next_seq(), seqs(&reader)), (6, (1..=5).collect()));
    commit(&mut log, &[event(noise(50_000, 1)), event(noise(600_000, 2)), small(8)]);
    drop((log, reader));

    let Recovered { reader, .. } = open_whole(dir.path());
    assert_eq!(seqs(&reader), (1..=8).collect::<Vec<_>>());
    assert_eq!(ranges(&reader), []);
}

#[test]
fn the_beginning_of_a_commit_of_several_frames_is_read_without_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 2);
    commit(&mut log, &[3, 4, 5].map(|seq| event(noise(600_000, seq))));
    fill(&mut log, 2);
    drop((log, reader));

    let segment = Segment::open(&dir.path().join("log"), 1, false).expect("opens");
    let first = |found: Option<FrameLookup>| match found {
        Some(FrameLookup::Frame(frame)) => Some(frame.head.first),
        None => None,
        Some(broken) => panic!("{broken:?}"),
    };
    assert_eq!(first(segment.at_or_after(4).expect("reads")), Some(4));
    segment.tamper(&Tampering::CutFrom { first: 4 });
    assert_eq!(first(segment.at_or_before(9).expect("reads")), Some(3));
    assert_eq!(first(segment.at_or_after(4).expect("reads")), None);
}

fn formats(dir: &Path, segments: &[Seq]) -> Vec<u8> {
    let format = |first: &Seq| {
        let segment = Segment::open_unmarked(&dir.join("log"), *first).expect("opens");
        segment.header.format(dir).expect("known").number()
    };
    segments.iter().map(format).collect()
}

#[test]
fn a_segment_of_format_1_is_continued_as_it_is_until_it_is_rolled() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = Options { segment_format: SegmentFormat::Chunks, ..options(dir.path()) };
    let Recovered { mut log, .. } = Log::open(old, 1_000).expect("opens");
    fill(&mut log, 4);
    log.roll(b"state", 1).expect("rolls");
    commit(&mut log, &[small(5), event(noise(20_000, 1))]);
    drop(log);

    let Recovered { mut log, reader, checkpoint, .. } = open_whole(dir.path());
    assert_eq!(checkpoint.as_deref(), Some(&b"state"[..]));
    commit(&mut log, &[small(7), event(noise(20_000, 2))]);
    log.roll(b"more", 2).expect("rolls");
    commit(&mut log, &[small(9), event(noise(20_000, 3))]);
    let written = forward(&reader, 1);
    assert_eq!(written.len(), 10);
    drop((log, reader));
    assert_eq!(formats(dir.path(), &[1, 5, 9]), [1, 1, 2]);

    let Recovered { reader, checkpoint, .. } = open_whole(dir.path());
    assert_eq!(checkpoint.as_deref(), Some(&b"more"[..]));
    assert!(forward(&reader, 1) == written);
    assert_eq!(ranges(&reader), []);
}

#[test]
fn a_small_commit_is_one_insert() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, .. } = open(dir.path());
    commit(&mut log, &[small(1), event(noise(12_000, 1))]);
    log.close().expect("closes");

    // Its head and its whole payload lie together in the file.
    let db = fs::read(folder::segment(&dir.path().join("log"), 1).join("db")).expect("reads");
    let head = [&[0xE1, 1, 0][..], &1u64.to_be_bytes(), &2u32.to_be_bytes()].concat();
    let at = db.windows(head.len()).position(|window| window == head).expect("a frame");
    let body = noise(12_000, 1);
    let behind = &db[at + 1 + HEAD_LEN..at + 14_000];
    assert!(behind.windows(body.len()).any(|window| window == body));
}

#[test]
fn what_is_being_written_is_read_at_the_same_time() {
    const RECORDS: Seq = 600;
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());

    std::thread::scope(|scope| {
        for backward in [false, true] {
            let reader = reader.clone();
            scope.spawn(move || {
                while reader.durable() < RECORDS {
                    let end = reader.durable();
                    let read: Vec<Seq> = if backward {
                        reader.backward(end + 1).map(|item| item.expect("reads").0).collect()
                    } else {
                        forward(&reader, 1).into_iter().map(|(seq, _)| seq).collect()
                    };
                    assert!(read.len() as Seq >= end, "{} of {end}", read.len());
                    assert!(read.windows(2).all(|two| two[0].abs_diff(two[1]) == 1));
                }
            });
        }
        while log.next_seq() <= RECORDS {
            let seq = log.next_seq();
            let size = [40, 500, 5_000, 30_000][(seq % 4) as usize];
            commit(&mut log, &[event(noise(size, seq))]);
        }
    });
    assert_eq!(seqs(&reader), (1..=RECORDS).collect::<Vec<_>>());
}
