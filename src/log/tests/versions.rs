//! What a later version wrote is refused, and nothing is changed.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{fill, open_whole, options};
use crate::log::layout::Tampering;
use crate::log::segment::Segment;
use crate::log::watermark::{Mark, Watermark};
use crate::log::{Log, LogError, Recovered, folder};
use crate::model::Seq;
use crate::record;

const LATER: &str = "0.9.0";

/// Changes a log of two segments, and checks that it is refused as a later version's, and left as
/// it is.
fn is_refused(change: &dyn Fn(&Path)) {
    let dir = tempfile::tempdir().expect("a folder");
    let log_dir = dir.path().join("log");
    let Recovered { mut log, .. } = open_whole(dir.path());
    fill(&mut log, 4);
    log.roll(b"checkpoint", 1).expect("rolls");
    fill(&mut log, 4);
    log.close().expect("closes");
    change(&log_dir);

    let before = names(&log_dir);
    let opened = Log::open(options(dir.path()), 1_000);
    let folded = opened.and_then(|Recovered { reader, first_to_fold, .. }| {
        reader.forward(first_to_fold).collect::<Result<Vec<_>, _>>()
    });

    let error = folded.expect_err("it is refused");
    assert!(matches!(error, LogError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("written by hookbox 0.9.0"), "{error}");
    assert!(error.to_string().contains("use hookbox 0.9.0, or a later one"), "{error}");
    assert_eq!(names(&log_dir), before, "nothing is quarantined or added");
}

fn names(dir: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(dir).expect("lists").flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name()).collect();
    names.sort();
    names
}

/// Writes the file `format` as a later version does.
fn write_format(dir: &Path, format: u32) {
    let written = serde_json::json!({"format": format, "hookbox": LATER});
    folder::write_checked(&dir.join("format"), &written).expect("writes");
}

/// The folder's format is read before anything is opened.
#[test]
fn what_a_later_version_wrote_is_refused_and_not_touched() {
    is_refused(&|dir| write_format(dir, 7));
}

#[test]
fn a_segment_of_a_later_format_is_refused_and_not_touched() {
    is_refused(&|dir| {
        let header = (7u8, LATER, 5u64, "and what nobody knows yet");
        let mut bytes = rmp_serde::to_vec(&header).expect("writes");
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());

        let segment = Segment::open_unmarked(dir, 5).expect("opens");
        segment.replace_header(&bytes);
        segment.sync().expect("syncs");
    });
}

/// In a folder that a later version has written to.
#[test]
fn a_record_that_cannot_be_read_is_the_later_versions() {
    let version = record::codec::VERSION;
    let unknown = [&[version, 0x81, 0xAB][..], b"MoonSettled", &[0x91, 1]].concat();
    let grown = [&[version, 0x81, 0xAD][..], b"SourceDeleted", &[0x92, 1, 2]].concat();

    for bytes in [unknown, grown, vec![9, 1, 2, 3]] {
        is_refused(&|dir| {
            write_format(dir, 1);
            let (mut watermark, mark) = Watermark::open(dir, true).expect("opens");
            let mark = mark.expect("a mark");
            let seq = mark.seq + 1;

            let segment = Segment::open_unmarked(dir, 5).expect("opens");
            let frame = raw_frame(seq, mark.head, &bytes);
            segment.tamper(&Tampering::Frame { first: seq, bytes: frame.clone() });
            segment.sync().expect("syncs");
            let head = frame[46..78].try_into().expect("a head");
            watermark.set(Mark { seq, head }).expect("sets");
        });
    }
}

/// A frame with one record, of any bytes.
fn raw_frame(first: Seq, prev: [u8; 32], record: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let length = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
    let payload =
        [&length(record.len())[..], &crc32fast::hash(record).to_be_bytes(), record].concat();
    let facts = [&[1u8, 0][..], &first.to_be_bytes(), &1u32.to_be_bytes()].concat();
    let lengths = [length(payload.len()), length(payload.len())].concat();
    let own: [u8; 32] = Sha256::digest([&prev[..], &facts, &lengths, &payload].concat()).into();
    [&facts[..], &prev, &own, &lengths, &payload].concat()
}
