//! The chain: what it detects that no checksum does, and a head that was kept elsewhere.

use std::fs;
use std::path::Path;

use super::{
    commit, copy_tree, expecting, fill, meddle, open, open_whole, ranges, retire, sixty, small,
};
use crate::log::frame::{DecodedFrame, FramePacker};
use crate::log::layout::{FrameLookup, Tampering};
use crate::log::segment::Segment;
use crate::log::segment_summary::{DroppedRange, SegmentSummary};
use crate::log::watermark::{Mark, Watermark};
use crate::log::{Expect, Head, Recovered, folder};
use crate::model::Seq;
use crate::record::Record;

#[test]
fn a_frame_swapped_for_another_breaks_the_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(&mut open(dir.path()).log, 5);

    let mut packer = FramePacker::default();
    packer.add(&small(77), None).expect("fits");
    let bytes = packer.finish(3, [9; 32]).1.to_vec();
    meddle(dir.path(), 1, Tampering::Frame { first: 3, bytes });

    let Recovered { reader, problems, .. } = open(dir.path());
    assert_eq!(
        problems.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>(),
        [(3, 3), (4, 4)],
        "{problems:?}"
    );
    assert_eq!(ranges(&reader), [(3, 3), (4, 4)]);
}

fn hex(head: [u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&head)
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
        let unnumbered =
            reader.verify_expecting(Expect { seq: None, head: head.hash }, &mut |_| {});
        assert!(unnumbered.ok && unnumbered.expected_at == Some(head.seq), "{unnumbered:?}");
    }
    assert_eq!(hex(reader.verify(&mut |_| {}).head), hex(late.hash));

    let elsewhere = expecting(&reader, Head { seq: 1, hash: early.hash });
    assert!(
        !elsewhere.ok && elsewhere.problems[0].what.contains("stands at record 2"),
        "{elsewhere:?}"
    );
    let other = expecting(&reader, Head { seq: 2, hash: late.hash.map(|b| b ^ 1) });
    assert!(!other.ok && other.problems[0].what.contains("not on the chain"), "{other:?}");

    retire(&mut log, &reader, 1);
    assert!(expecting(&reader, early).ok, "the record that drops a segment signs its end off");

    drop((log, reader));

    let Recovered { reader, .. } = open_whole(dir.path());
    assert!(expecting(&reader, late).ok, "still there after opening anew");
}

/// C-06: an older copy of the whole folder, its watermark and all, cannot be noticed from inside.
#[test]
fn c06_an_older_state_is_reported_only_by_a_head_kept_elsewhere() {
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
fn a_segment_taken_away_is_reported_whatever_the_file_beside_the_chain_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let Recovered { mut log, reader, .. } = sixty(dir.path());
    retire(&mut log, &reader, 1);
    log.close().expect("closes");
    drop(reader);

    // The next one goes as well, by hand, with all that stands outside of the chain put right.
    let mut dropped: Vec<DroppedRange> =
        folder::read_checked(&log_dir.join("dropped")).expect("reads");
    let sealed: SegmentSummary = folder::read_checked(&folder::seal(&log_dir, 11)).expect("reads");
    dropped[0] = DroppedRange { first: 1, last: sealed.last, head: sealed.head };
    folder::write_checked(&log_dir.join("dropped"), &dropped).expect("writes");
    fs::remove_dir_all(folder::segment(&log_dir, 11)).expect("removes");
    fs::remove_file(folder::seal(&log_dir, 11)).expect("removes");

    let Recovered { reader, .. } = open_whole(dir.path());
    let report = reader.verify(&mut |_| {});
    assert!(!report.ok, "{report:?}");
    assert_eq!((report.problems[0].first, report.problems[0].last), (1, 20));
    assert!(report.problems[0].what.contains("no record says"), "{report:?}");
}

/// Replaces a record, and makes every checksum below and beside the chain right: its whole frame is
/// written anew, as the daemon would have written it, behind the frame it followed.
fn forge(log_dir: &Path, seq: Seq, forged_record: &Record) {
    let segments = folder::list(log_dir).expect("lists").segments;
    let first = segments.into_iter().rfind(|first| *first <= seq).expect("one");
    let segment = Segment::open_unmarked(log_dir, first).expect("opens");
    let found = segment.at_or_after(seq).expect("reads");
    let Some(FrameLookup::Frame(frame)) = found else { panic!("a frame") };

    let decoded = DecodedFrame::new(frame.clone()).expect("unpacks");
    let mut packer = FramePacker::default();
    for at in frame.head.first..=frame.head.last() {
        let original = decoded.record(at).expect("reads");
        packer.add(if at == seq { forged_record } else { &original }, None).expect("fits");
    }
    let (forged, bytes) = packer.finish(frame.head.first, frame.head.prev);

    segment.tamper(&Tampering::Frame { first: forged.first, bytes: bytes.to_vec() });
    segment.sync().expect("syncs");

    let (mut watermark, mark) = Watermark::open(log_dir, true).expect("opens");
    if mark.is_some_and(|mark| mark.seq == forged.last()) {
        watermark.set(Mark { seq: forged.last(), head: forged.own }).expect("sets");
    }
}

/// C-08: one stored byte changed, and every checksum below and beside the chain made right.
#[test]
fn c08_a_byte_changed_with_all_checksums_put_right_is_reported() {
    for seq in [3, 20, 45, 60, 61] {
        let dir = tempfile::tempdir().expect("a folder");
        let log_dir = dir.path().join("log");
        let Recovered { mut log, reader, .. } = sixty(dir.path());
        commit(&mut log, &[small(61)]);
        let head = reader.head();
        log.close().expect("closes");
        drop(reader);

        let forged = small(seq + 1000);
        forge(&log_dir, seq, &forged);

        let Recovered { reader, problems, .. } = open(dir.path());
        let read = reader.read(seq).expect("reads");
        assert_eq!(read, Some(forged), "the store finds nothing wrong");
        let report = expecting(&reader, head);
        assert!(!report.ok, "record {seq}: {report:?}, {problems:?}");

        // The very last commit has nothing behind it that vouches for it: only a head kept
        // elsewhere does.
        let unnoticed = reader.verify(&mut |_| {}).ok && problems.is_empty();
        assert_eq!(unnoticed, seq == 61, "record {seq}: {report:?}");
    }
}
