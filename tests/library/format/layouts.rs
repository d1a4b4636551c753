//! A log whose first segment has format 1, was continued after format 2 came, and is followed by
//! two of format 2: with commits of one value, of several, and of several frames.

use std::path::Path;

use bytes::Bytes;
use hookbox::log::{Expect, Log, Options, Recovered, SegmentFormat};
use hookbox::model::{Event, EventId};
use hookbox::queue::State;
use hookbox::record::Record;
use serde_json::{Value, json};

use super::{AT, fold, options, options_of_the_first_format, pack, unpack};
use crate::support::rng::Rng;

const FIXTURE: &str = "tests/fixtures/log-3.json";

fn body(seq: u64) -> Vec<u8> {
    let mut rng = Rng::new(seq);
    let noise = std::iter::repeat_with(move || rng.next().to_le_bytes()).flatten();
    match seq {
        // Several values, and several frames, in either format.
        3 | 19 => noise.take(15_000).collect(),
        5 | 21 => noise.take(15_000).chain(std::iter::repeat_n(b'a', 600_000)).collect(),
        _ => noise.take(100).collect(),
    }
}

fn accepted(seq: u64) -> Record {
    accepted_with(seq, body(seq))
}

/// The record of an event with this body.
pub(super) fn accepted_with(seq: u64, body: Vec<u8>) -> Record {
    let event = Event {
        id: EventId { seq, tag: seq * 7 },
        source: 1,
        source_name: "in".into(),
        kind: "push".into(),
        received_at: AT + seq,
        dedupe_key: None,
        request_line: "POST /in/in".into(),
        remote: "127.0.0.1:5".into(),
        headers: Vec::new(),
        body: Bytes::from(body),
        from_provider: false,
        first_id: None,
    };
    let (fan_out, beside) = (Vec::new(), Default::default());
    Record::EventAccepted { event: event.into(), dedupe: None, fan_out, beside, ran_ms: 0 }
}

/// Commits the events up to this one, some in a commit of their own.
pub(super) fn commit(log: &mut Log, state: &mut State, upto: u64) {
    while state.next_seq <= upto {
        let first = state.next_seq;
        let mut records = vec![accepted(first)];
        if first % 4 == 1 {
            records.push(accepted(first + 1));
        }
        for record in &records {
            state.apply(state.next_seq, record).expect("follows");
        }
        let _durable = log.commit(&records).expect("commits");
    }
}

pub(super) fn described(state: &State) -> Value {
    json!({ "next": state.next_seq, "events": state.counts.events })
}

/// Writes the fixture, unless it is there.
pub(super) fn write_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE);
    if fixture.exists() {
        return;
    }

    let dir = tempfile::tempdir().expect("a folder");
    let mut state = State::new();
    let old = options_of_the_first_format(dir.path());
    let Recovered { mut log, .. } = Log::open(old, AT).expect("opens");
    let start = Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 7 };
    state.apply(1, &start).expect("follows");
    let _durable = log.commit(&[start]).expect("commits");
    commit(&mut log, &mut state, 8);
    log.close().expect("closes");

    let Recovered { mut log, reader, .. } = Log::open(options(dir.path()), AT).expect("opens");
    for upto in [16, 24, 40] {
        commit(&mut log, &mut state, upto);
        if upto < 40 {
            log.roll(state.checkpoint(), AT).expect("rolls");
        }
    }
    let head = reader.head();
    drop(reader);
    log.close().expect("closes");
    pack(&fixture, dir.path(), head, &described(&state));
}

#[test]
fn a_log_with_segments_of_both_formats_opens_reads_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = unpack(FIXTURE, dir.path());
    let recovered = Log::open(options(dir.path()), AT).expect("opens");
    assert_eq!(recovered.problems, []);
    let mut state = fold(&recovered);
    assert_eq!(described(&state), fixture["state"]);

    let Recovered { mut log, reader, .. } = recovered;
    let expect = |head: hookbox::log::Head| Expect { seq: Some(head.seq), head: head.hash };
    let hash = crate::support::hex(&reader.head().hash);
    assert_eq!(
        (fixture["record"].as_u64(), fixture["hash"].as_str()),
        (Some(reader.head().seq), Some(&*hash))
    );

    commit(&mut log, &mut state, 48);
    log.roll(state.checkpoint(), AT).expect("rolls");
    commit(&mut log, &mut state, 56);
    let report = reader.verify_expecting(expect(reader.head()), &mut |_| {});
    assert!(report.ok, "{report:?}");

    for item in reader.forward(2) {
        let (seq, record) = item.expect("reads");
        let Record::EventAccepted { event, .. } = record else { panic!("an event") };
        assert!(event.id.seq == seq && event.body == body(seq), "event {seq}");
    }
}

/// What tells a version that knows only earlier formats to stay away.
#[test]
fn the_folder_has_the_newest_format_from_the_first_start_on() {
    let dir = tempfile::tempdir().expect("a folder");
    unpack(FIXTURE, dir.path());
    let log = dir.path().join("log");
    let format = std::fs::read_to_string(log.join("format")).expect("reads");
    assert!(format.starts_with("{\"format\":2,"), "{format}");

    for segment_format in [SegmentFormat::NEWEST, SegmentFormat::Chunks] {
        let options = Options { segment_format, ..options(dir.path()) };
        let Recovered { log: open, .. } = Log::open(options, AT).expect("opens");
        open.close().expect("closes");
        let again = std::fs::read_to_string(log.join("format")).expect("reads");
        assert!(again.starts_with("{\"format\":4,"), "it never becomes smaller: {again}");
    }
}
