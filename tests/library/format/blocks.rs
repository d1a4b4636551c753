//! A log whose first segment has format 3, followed by one of format 4 with large bodies in blocks.

use std::path::Path;
use std::sync::Arc;

use hookbox::log::{BodyBlocks, Expect, Log, Options, Recovered, SegmentFormat};
use hookbox::queue::State;
use hookbox::record::Record;

use super::layouts::{accepted_with, commit, described};
use super::{AT, fold, options, pack, unpack};
use crate::support::rng::Rng;

const FIXTURE: &str = "tests/fixtures/log-5.json";

/// A body of some blocks. Most of it compresses well.
fn large(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let noise = std::iter::repeat_with(move || rng.next().to_le_bytes()).flatten();
    noise.take(20_000).chain(std::iter::repeat_n(b'a', 700_000)).collect()
}

/// Commits an event with a large body, which is in blocks.
fn commit_large(log: &mut Log, state: &mut State) -> Record {
    let seq = state.next_seq;
    let record = accepted_with(seq, large(seq));
    let body = record.held_event().expect("an event").event.body.clone();
    log.write_ahead(&Arc::new(BodyBlocks::new(body))).expect("writes");

    state.apply(seq, &record).expect("follows");
    let _durable = log.commit(std::slice::from_ref(&record)).expect("commits");
    record
}

/// Writes the fixture, unless it is there.
pub(super) fn write_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE);
    if fixture.exists() {
        return;
    }

    let dir = tempfile::tempdir().expect("a folder");
    let mut state = State::new();
    let old = Options { segment_format: SegmentFormat::Gradual, ..options(dir.path()) };
    let Recovered { mut log, .. } = Log::open(old, AT).expect("opens");
    let start = Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 7 };
    state.apply(1, &start).expect("follows");
    let _durable = log.commit(&[start]).expect("commits");
    commit(&mut log, &mut state, 4);
    log.close().expect("closes");

    let Recovered { mut log, reader, .. } = Log::open(options(dir.path()), AT).expect("opens");
    log.roll(state.checkpoint(), AT).expect("rolls");
    commit(&mut log, &mut state, 6);
    commit_large(&mut log, &mut state);
    commit(&mut log, &mut state, 8);
    commit_large(&mut log, &mut state);

    let head = reader.head();
    drop(reader);
    log.close().expect("closes");
    pack(&fixture, dir.path(), head, &described(&state));
}

#[test]
fn a_log_with_bodies_in_blocks_opens_folds_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = unpack(FIXTURE, dir.path());
    let recovered = Log::open(options(dir.path()), AT).expect("opens");
    assert_eq!(recovered.problems, []);
    let mut state = fold(&recovered);
    assert_eq!(described(&state), fixture["state"]);

    let Recovered { mut log, reader, .. } = recovered;
    let head = reader.head();
    let hash = crate::support::hex(&head.hash);
    assert_eq!(
        (fixture["record"].as_u64(), fixture["hash"].as_str()),
        (Some(head.seq), Some(&*hash))
    );
    for seq in [7, 9] {
        let record = reader.read(seq).expect("reads").expect("it is there");
        assert!(record.held_event().is_some_and(|held| held.event.body == large(seq)));
    }

    let seq = state.next_seq;
    let record = commit_large(&mut log, &mut state);
    assert!(reader.read(seq).expect("reads") == Some(record));
    let head = reader.head();
    let expect = Expect { seq: Some(head.seq), head: head.hash };
    let report = reader.verify_expecting(expect, &mut |_| {});
    assert!(report.ok, "{report:?}");
}
