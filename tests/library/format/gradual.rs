//! A log whose first segments have format 2, followed by segments of format 3: one whose checkpoint
//! was written when it was begun, one into which it was written later, and one of which the process
//! ended before it was complete.

use std::path::Path;

use hookbox::log::{Expect, Log, Options, Piece, Recovered, SegmentFormat};
use hookbox::queue::State;
use hookbox::record::Record;

use super::layouts::{commit, described};
use super::{AT, fold, options, pack, unpack};

const FIXTURE: &str = "tests/fixtures/log-4.json";

/// Writes the fixture, unless it is there.
pub(super) fn write_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE);
    if fixture.exists() {
        return;
    }

    let dir = tempfile::tempdir().expect("a folder");
    let mut state = State::new();
    let old = Options { segment_format: SegmentFormat::Cells, ..options(dir.path()) };
    let Recovered { mut log, .. } = Log::open(old, AT).expect("opens");
    let start = Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 7 };
    state.apply(1, &start).expect("follows");
    let _durable = log.commit(&[start]).expect("commits");
    commit(&mut log, &mut state, 8);
    log.roll(state.checkpoint(), AT).expect("rolls");
    commit(&mut log, &mut state, 12);
    log.close().expect("closes");

    let Recovered { mut log, .. } = Log::open(options(dir.path()), AT).expect("opens");
    commit(&mut log, &mut state, 16);
    log.roll(state.checkpoint(), AT).expect("rolls");
    commit(&mut log, &mut state, 24);
    log.close().expect("closes");

    let in_steps = Options { checkpoint_step: 100, ..options(dir.path()) };
    let Recovered { mut log, reader, .. } = Log::open(in_steps, AT).expect("opens");
    log.roll(state.checkpoint(), AT).expect("rolls");
    assert!(log.is_writing_checkpoint());
    commit(&mut log, &mut state, 40);
    assert!(!log.is_writing_checkpoint());
    log.roll(state.checkpoint(), AT).expect("rolls");
    assert!(log.is_writing_checkpoint());

    // It ends here.
    let head = reader.head();
    drop((reader, log));
    pack(&fixture, dir.path(), head, &described(&state));
}

#[test]
fn a_log_with_gradual_checkpoints_opens_folds_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = unpack(FIXTURE, dir.path());
    let recovered = Log::open(options(dir.path()), AT).expect("opens");
    assert_eq!(recovered.problems, []);
    assert!(recovered.first_to_fold > 16, "from the newest complete checkpoint");
    let mut state = fold(&recovered);
    assert_eq!(described(&state), fixture["state"]);

    let Recovered { mut log, reader, first_to_fold, .. } = recovered;
    let head = reader.head();
    let hash = crate::support::hex(&head.hash);
    assert_eq!(
        (fixture["record"].as_u64(), fixture["hash"].as_str()),
        (Some(head.seq), Some(&*hash))
    );
    assert!(first_to_fold < head.seq, "that of the last segment is not complete");
    assert!(log.wants_roll(AT));

    commit(&mut log, &mut state, 48);
    log.roll(state.checkpoint(), AT).expect("rolls");
    commit(&mut log, &mut state, 56);
    let head = reader.head();
    let expect = Expect { seq: Some(head.seq), head: head.hash };
    let report = reader.verify_expecting(expect, &mut |_| {});
    assert!(report.ok, "{report:?}");
    let last = reader.forward(1).map(|item| item.expect("reads").0).last();
    assert_eq!(last, Some(head.seq));
}

/// Neither a version that knows only format 2, nor one that does not find the file `format`, takes
/// a checkpoint that is not complete for a damaged one.
#[test]
fn the_folder_and_each_new_segment_say_format_3() {
    let dir = tempfile::tempdir().expect("a folder");
    unpack(FIXTURE, dir.path());
    let format = std::fs::read_to_string(dir.path().join("log/format")).expect("reads");
    assert!(format.starts_with("{\"format\":3,"), "{format}");

    let Recovered { reader, .. } = Log::open(options(dir.path()), AT).expect("opens");
    let mut formats = Vec::new();
    for segment in reader.segments() {
        let first_piece = &mut |piece| {
            if let Piece::Header(bytes) = piece {
                formats.push(bytes[1]);
            }
            false
        };
        assert!(reader.pieces(segment.first, first_piece).expect("opens"));
    }
    assert_eq!(formats, [2, 2, 3, 3, 3]);
}
