//! What segments of format 2 promise: sled writes a value once, a commit that was not completed
//! cannot be seen, and a segment of format 1 is continued as it is.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::{
    blobs, commit, event, fill, forward, meddle, noise, open, open_whole, options, ranges, seen,
    seqs, small,
};
use crate::log::frame::{FramePacker, HEAD_LEN};
use crate::log::header::{NewSegment, SegmentHeader};
use crate::log::layout::{FrameLookup, Tampering};
use crate::log::segment::Segment;
use crate::log::segment_format::SegmentFormat;
use crate::log::watermark::{Mark, Watermark};
use crate::log::{Log, LogError, Options, Piece, Recovered, StoreFault, carve, folder};
use crate::model::{Seq, limits};

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
        packer.add(&event(noise(50_000, seq)), None).expect("fits");
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
    assert_eq!(formats(dir.path(), &[1, 5, 9]), [1, 1, 4]);

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

/// Changes the number with which a frame of one value begins.
fn number(value: &mut [u8], first: Seq) {
    value[3..11].copy_from_slice(&first.to_be_bytes());
}

#[test]
fn a_frame_with_a_wrong_number_hides_nothing_behind_it() {
    let changes: [fn(&mut Vec<u8>); 2] = [|value| number(value, 70_000), |value| number(value, 2)];
    for (sealed, change) in [true, false].into_iter().flat_map(|s| changes.map(|c| (s, c))) {
        let dir = tempfile::tempdir().expect("a folder");
        let Recovered { mut log, reader, .. } = open(dir.path());
        fill(&mut log, 40);
        if sealed {
            log.roll(b"state", 1).expect("rolls");
        }
        drop((log, reader));
        meddle(dir.path(), 1, Tampering::Beginning { first: 24, change });

        let Recovered { log, reader, problems, .. } = open(dir.path());
        assert_eq!((log.next_seq(), problems.len()), (41, usize::from(!sealed)), "{problems:?}");
        assert_eq!(ranges(&reader), [(24, 24)]);
        let expected: Vec<_> = (1..=40).filter(|seq| *seq != 24).collect();
        let mut backward: Vec<_> = seen(reader.backward(41)).into_iter().flatten().collect();
        backward.reverse();
        let forward: Vec<_> = seen(reader.forward(1)).into_iter().flatten().collect();
        assert_eq!((&forward, &backward), (&expected, &expected));
    }
}

#[test]
fn values_in_a_wrong_order_are_scanned_to_an_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 60);
    log.roll(b"state", 1).expect("rolls");
    drop((log, reader));

    // Each with a length that is not its own, so that neither can be read.
    let broken = |value: &mut Vec<u8>| value.truncate(value.len() - 1);
    meddle(dir.path(), 1, Tampering::Beginning { first: 49, change: broken });
    for first in 50..=60 {
        let change = |value: &mut Vec<u8>| {
            number(value, 3);
            value.truncate(value.len() - 1);
        };
        meddle(dir.path(), 1, Tampering::Beginning { first, change });
    }

    let Recovered { reader, .. } = open(dir.path());
    assert_eq!(ranges(&reader), [(49, 60)]);
}

#[test]
fn what_is_broken_at_the_end_is_reported_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    fill(&mut log, 5);
    commit(&mut log, &[small(6), small(7), small(8)]);
    drop((log, reader));
    let change = |value: &mut Vec<u8>| *value.last_mut().expect("not empty") ^= 1;
    meddle(dir.path(), 1, Tampering::Beginning { first: 6, change });
    // Without it, nobody knows that record 8 was acknowledged.
    fs::remove_file(dir.path().join("log/watermark")).expect("removes");

    let Recovered { mut log, reader, problems, .. } = open(dir.path());
    assert!(problems.iter().any(|p| (p.first, p.last) == (6, 8)), "{problems:?}");
    assert_eq!(log.next_seq(), 9);
    fill(&mut log, 2);
    assert_eq!(seqs(&reader), [1, 2, 3, 4, 5, 9, 10]);
    drop((log, reader));

    // What can be read of it may still be looked for.
    let segment = Segment::open_unmarked(&dir.path().join("log"), 1).expect("opens");
    let kept = segment.at_or_after(6).expect("reads");
    assert!(matches!(kept, Some(FrameLookup::Frame(frame)) if frame.head.count == 3));
}

#[test]
fn a_commit_of_too_many_frames_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = open(dir.path());
    let large = event(vec![b'a'; 530_000]);
    let most = vec![large.clone(); limits::COMMIT_FRAMES];
    commit(&mut log, &most);
    let refused = log.commit(&vec![large; most.len() + 1]).expect_err("too many");
    assert!(matches!(refused, LogError::TooManyFrames { .. }), "{refused}");
    drop((log, reader));

    let Recovered { mut log, .. } = open_whole(dir.path());
    assert_eq!(log.next_seq(), most.len() as Seq + 1);
    fill(&mut log, 1);
}

#[test]
fn the_folder_says_format_4_before_a_segment_has_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let old = Options { segment_format: SegmentFormat::Chunks, ..options(dir.path()) };
    let Recovered { mut log, .. } = Log::open(old, 1_000).expect("opens");
    fill(&mut log, 3);
    log.close().expect("closes");
    let first = serde_json::json!({"format": 1, "hookbox": "0.1.0"});
    folder::write_checked(&log_dir.join("format"), &first).expect("writes");

    // A gap, behind which a segment is begun; what comes next fails.
    let (mut watermark, _) = Watermark::open(&log_dir, true).expect("opens");
    watermark.set(Mark { seq: 5, head: [1; 32] }).expect("sets");
    drop(watermark);
    fs::create_dir_all(folder::seal(&log_dir, 1).join("in the way")).expect("makes");
    Log::open(options(dir.path()), 1_000).expect_err("it cannot be sealed");

    assert!(folder::segment(&log_dir, 6).exists());
    let format = fs::read_to_string(log_dir.join("format")).expect("reads");
    assert!(format.starts_with("{\"format\":4,"), "{format}");
}

#[test]
fn a_leaf_that_cannot_be_read_ends_no_scan() {
    // The first record behind the first of the leaves may name itself wrongly as well.
    for (wrong, first_range) in [(false, (10, 27)), (true, (10, 28))] {
        let dir = tempfile::tempdir().expect("a folder");
        let Recovered { mut log, reader, .. } = open(dir.path());
        fill(&mut log, 60);
        log.roll(b"state", 1).expect("rolls");
        drop((log, reader));
        if wrong {
            let change = |value: &mut Vec<u8>| number(value, 70_000);
            meddle(dir.path(), 1, Tampering::Beginning { first: 28, change });
        }

        // Leaves of nine records: two together, and one alone.
        let Recovered { reader, .. } = open_whole(dir.path());
        let slot = reader.segments.get(1).expect("it is there");
        let segment = reader.segments.acquire(&slot).expect("opens").expect("it is there");
        let tree = [&b"r"[..], &[0; 6]].concat();
        for cells in [9..=26, 36..=44] {
            segment.fail_reads((tree.clone(), cells, StoreFault::Corrupt));
        }
        assert_eq!(ranges(&reader), [first_range, (37, 45)]);

        let (mut frames, mut missing) = (Vec::new(), 0);
        let taken = reader.pieces(1, &mut |piece| {
            frames.extend(piece.records().expect("reads").into_iter().map(|(seq, _)| seq));
            missing += usize::from(matches!(piece, Piece::Missing(_)));
            true
        });
        assert!(taken.expect("reads"));
        let expected = (1..=9).chain(first_range.1 + 1..=36).chain(46..=60);
        assert_eq!((frames, missing), (expected.collect::<Vec<_>>(), 2));
    }
}

/// A frame with another record, as somebody may send it who knows the number.
fn forged(first: Seq) -> Vec<u8> {
    let mut packer = FramePacker::default();
    packer.add(&small(4_711), None).expect("fits");
    packer.finish(first, [9; 32]).1.to_vec()
}

#[test]
fn salvage_prefers_what_was_written_to_what_was_sent() {
    for format in SegmentFormat::ALL {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { segment_format: format, ..options(dir.path()) };
        let Recovered { mut log, reader, .. } = Log::open(options, 1_000).expect("opens");
        fill(&mut log, 1);
        log.roll(b"state", 1).expect("rolls");

        // Before and behind the records: a frame as a cell, and as a chunk.
        let frame = forged(3);
        let cell = [&[0xE1], &frame[..]].concat();
        let key = [&[0, 13, b'r'][..], &3u64.to_be_bytes(), &[0; 4]].concat();
        let chunk = [&key[..], &[u8::try_from(frame.len()).expect("small")], &frame].concat();
        let body = |seed| [&noise(300, seed), &cell, &chunk, &noise(300, seed)[..]].concat();
        commit(&mut log, &[event(body(1))]);
        fill(&mut log, 4);
        commit(&mut log, &[event(body(2))]);
        let all = forward(&reader, 2);
        drop(reader);
        log.close().expect("closes");

        let segment = folder::segment(&dir.path().join("log"), 2);
        let whole = fs::read(segment.join("db")).expect("reads");
        let headers = SegmentHeader::find(&whole);
        assert_eq!((headers.len(), headers[0].format), (1, format));
        let mut headless = whole.clone();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        for at in 0..whole.len() - version.len() {
            if whole[at..].starts_with(version) {
                headless[at..at + version.len()].fill(0);
            }
        }
        assert_eq!(SegmentHeader::find(&headless).len(), 0);

        for bytes in [whole, headless] {
            fs::write(segment.join("db"), bytes).expect("writes");
            let carved = carve(&segment).expect("reads");
            let found: Vec<_> =
                carved.records().map(|(seq, record)| (seq, record.expect("reads"))).collect();
            assert!(found == all, "{format:?}: {} of {}", found.len(), all.len());
            assert_eq!(carved.checkpoint.as_deref(), Some(&b"state"[..]));
        }
    }
}

#[test]
fn a_header_that_was_sent_and_is_in_the_checkpoint_is_not_taken_for_that_of_the_segment() {
    for format in SegmentFormat::ALL {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { segment_format: format, ..options(dir.path()) };
        let Recovered { mut log, reader, .. } = Log::open(options, 1_000).expect("opens");
        fill(&mut log, 1);
        let (first, prev, gap_from, created_at) = (2, [9; 32], None, 1);
        let checkpoint = b"forged";
        let sent = NewSegment {
            format,
            first,
            prev,
            fold_from: 2,
            gap_from,
            created_at,
            checkpoint,
            is_gradual: false,
        };
        let sent = sent.header_bytes(dir.path()).expect("encodes");
        log.roll(&sent, 1).expect("rolls");
        fill(&mut log, 3);
        drop(reader);
        log.close().expect("closes");

        let segment = folder::segment(&dir.path().join("log"), 2);
        let found = SegmentHeader::find(&fs::read(segment.join("db")).expect("reads"));
        assert_eq!(carve(&segment).expect("reads").checkpoint, Some(sent));
        let opened = Segment::open_unmarked(&dir.path().join("log"), 2).expect("opens");
        assert_eq!((found.len(), &found[0].header), (2, &opened.header), "{format:?}");
    }
}
