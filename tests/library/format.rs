//! The format for the future: a log written by this version stands in `tests/fixtures/log-1.json`
//! and has to open, verify, fold and go on in every later one.
//!
//! The fixture is a whole log folder, its files compressed (lz4) in base64, with what has to come
//! out of it. It holds every kind of record there was when it was written, a segment that was
//! dropped, relocated events, and deliveries that wait. It is never written anew: a later format
//! gets a fixture of its own beside it, made with `cargo test --test library -- --ignored
//! write_the_fixture`. `log-2.json` has the records that came later: what restrains endpoints, the
//! run clock, what is lost, what no filter could decide. `log-3.json` has segments of formats 1 and
//! 2 (see [`layouts`]), `log-4.json` of formats 2 and 3 (see [`gradual`]), `log-5.json` of formats
//! 3 and 4 (see [`blocks`]). Where one is there already, it is not written.

mod blocks;
mod gradual;
mod layouts;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support;
use crate::support::{Home, Receiver, SOON, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbox::log::{Expect, Head, Log, Options, Recovered, SegmentFormat};
use hookbox::model::EventId;
use hookbox::queue::State;
use hookbox::record::Record;
use records::{restraints, story};
use serde_json::{Value, json};

const FIXTURE: &str = "tests/fixtures/log-1.json";
const SECOND: &str = "tests/fixtures/log-2.json";
/// Where the run clock of a log begins.
const RUN: u64 = 1 << 42;
/// The kinds of records that the fixture has to hold.
const KINDS: [&str; 25] = [
    "AttemptFinished",
    "BatchFinished",
    "BatchFormed",
    "Died",
    "RateSpent",
    "Superseded",
    "DeadCarried",
    "DeliveriesCarried",
    "DeliveryCancelled",
    "DeliveryRetried",
    "DuplicateSeen",
    "EndpointDeleted",
    "EndpointHeld",
    "EndpointReleased",
    "EndpointSet",
    "EventAccepted",
    "EventCarried",
    "EventImported",
    "LogStarted",
    "ReplayAdvanced",
    "ReplayStarted",
    "Replayed",
    "SegmentDropped",
    "SourceDeleted",
    "SourceSet",
];
const AT: u64 = 1_795_000_000_000;

/// What is asked of the state that the second fixture gives.
fn restraints_of(state: &State) -> Value {
    let age = |id: u32, seq: u64| {
        let endpoint = &state.endpoints[&id];
        endpoint.age_ms(endpoint.retrying[&seq].born(), state.ran_ms)
    };

    let app = &state.endpoints[&1];
    let restraint = app.restraint.as_deref().expect("it is restrained");
    let replays = state.replays.values().map(|r| (r.next, r.due_at, r.pause_ms));
    json!({
        "next": state.next_seq,
        "ran_ms": state.ran_ms - RUN,
        "age_of_what_is_held": age(1, 5),
        "age": age(2, 6),
        "key": state.endpoints[&2].retrying[&6].key,
        "failures": restraint.failures,
        "probe": restraint.breaker.map(|breaker| {
            (breaker.probes, breaker.probe.until, breaker.probe.wait_ms)
        }),
        "paused": restraint.paused.map(|paused| (paused.until, paused.wait_ms)),
        "restraint_of_the_other": state.endpoints[&2].restraint.is_some(),
        "replay": replays.collect::<Vec<_>>(),
        "undecided": state.endpoints[&2].undecided,
        "lost": state.lost.iter().collect::<Vec<_>>(),
        "undone": state.endpoints.values().map(|endpoint| endpoint.undone).collect::<Vec<_>>(),
    })
}

/// Folds what is in a log.
fn fold(recovered: &Recovered) -> State {
    let mut state = recovered
        .checkpoint
        .as_ref()
        .map_or_else(State::new, |b| State::from_checkpoint(b).expect("reads"));
    for item in recovered.reader.forward(recovered.first_to_fold) {
        let (seq, record) = item.expect("reads");
        state.apply(seq, &record).expect("follows");
    }
    state
}

/// What is asked of the state, in words that no later version has a reason to change.
fn state_of(state: &State) -> Value {
    let deliveries = |id: u32, seqs: &[u64]| -> BTreeMap<String, String> {
        let endpoint = &state.endpoints[&id];
        let named =
            |seq: &u64| (seq.to_string(), format!("{:?}", endpoint.state_of(*seq)).to_lowercase());
        seqs.iter().map(named).collect()
    };

    let app = &state.endpoints[&1];
    json!({
        "next": state.next_seq,
        "first": state.first_seq,
        "sources": state.sources.values().map(|source| source.name.clone()).collect::<Vec<_>>(),
        "deliveries": deliveries(1, &[6, 8, 10, 12, 15, 19, 22]),
        "deliveries_of_batches": deliveries(3, &[32, 33, 34, 35]),
        "undone": app.undone,
        "delivered": app.delivered,
        "held": app.hold.is_some(),
        "graves": state.dead_letter_seqs.iter().collect::<Vec<_>>(),
        "moved": state.moved.iter().map(|(seq, at)| format!("{seq} at {at}")).collect::<Vec<_>>(),
        "duplicates_of_8": state.duplicates.get(&8),
        "known_key": state.dedupe.find(8 * 31, 0),
        "known_import": state.dedupe.find(4711, 0),
        "events": state.counts.events,
    })
}

fn options(dir: &Path) -> Options {
    Options { dir: dir.join("log"), ..Options::default() }
}

/// Those with which the first two fixtures were written.
fn options_of_the_first_format(dir: &Path) -> Options {
    Options { segment_format: SegmentFormat::Chunks, ..options(dir) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("lists").flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

#[test]
#[ignore = "writes the fixtures that are not there: once for each format, never anew"]
fn write_the_fixture() {
    write(FIXTURE, story, state_of, Some(1));
    write(SECOND, |_| restraints(), restraints_of, None);
    layouts::write_fixture();
    gradual::write_fixture();
    blocks::write_fixture();
}

/// Writes a log of these records, the first of them in a segment of their own, which may be
/// dropped, as a fixture.
fn write(
    name: &str,
    story: impl Fn([u8; 32]) -> Vec<Vec<Record>>,
    described: impl Fn(&State) -> Value,
    dropped: Option<u64>,
) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if fixture.exists() {
        return;
    }

    let dir = tempfile::tempdir().expect("a folder");
    let options = options_of_the_first_format(dir.path());
    let Recovered { mut log, reader, .. } = Log::open(options, AT).expect("opens");
    let mut state = State::new();
    let commit = |log: &mut Log, state: &mut State, records: &[Record]| {
        for record in records {
            state.apply(state.next_seq, record).expect("follows");
        }
        let _durable = log.commit(records).expect("commits");
    };

    let first = story([0; 32]).remove(0);
    commit(&mut log, &mut state, &first);
    let head = reader.head();
    log.roll(state.checkpoint(), AT).expect("rolls");
    for records in story(head.hash).split_off(1) {
        // Several commits, so that the chain has several links.
        records.chunks(7).for_each(|some| commit(&mut log, &mut state, some));
    }
    if let Some(segment) = dropped {
        log.drop_segment(segment).expect("drops");
    }
    let head = reader.head();
    drop(reader);
    log.close().expect("closes");
    pack(&fixture, dir.path(), head, &described(&state));
}

/// Writes a log's folder as a fixture, with what has to come out of it.
fn pack(fixture: &Path, dir: &Path, head: Head, described: &Value) {
    let log_dir = dir.join("log");
    let packed: BTreeMap<String, String> = files(&log_dir)
        .into_iter()
        .map(|path| {
            (path.strip_prefix(&log_dir).expect("in it").to_string_lossy().into_owned(), path)
        })
        // What only takes room is made anew.
        .filter(|(name, _)| !name.starts_with("ballast"))
        .map(|(name, path)| {
            let bytes = fs::read(&path).expect("reads");
            (name, STANDARD.encode(lz4_flex::block::compress_prepend_size(&bytes)))
        })
        .collect();

    let written = json!({
        "written_by": env!("CARGO_PKG_VERSION"),
        "record": head.seq,
        "hash": support::hex(&head.hash),
        "state": described,
        "files": packed,
    });
    let text = serde_json::to_string_pretty(&written).expect("writes");
    fs::write(fixture, text + "\n").expect("writes");
}

/// Unpacks a fixture into a data folder.
fn unpack(name: &str, data: &Path) -> Value {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("the fixture");
    let fixture: Value = serde_json::from_str(&text).expect("JSON");
    for (name, packed) in fixture["files"].as_object().expect("files") {
        let path = data.join("log").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        let packed = STANDARD.decode(packed.as_str().expect("text")).expect("base64");
        fs::write(path, lz4_flex::block::decompress_size_prepended(&packed).expect("lz4"))
            .expect("writes");
    }
    for segment in fs::read_dir(data.join("log"))
        .expect("lists")
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        // An empty folder has no files that could have been packed.
        fs::create_dir_all(segment.path().join("blobs")).expect("makes");
    }
    fixture
}

fn kind(record: &Record) -> String {
    let value = serde_json::to_value(record).expect("writes");
    value.as_object().and_then(|fields| fields.keys().next().cloned()).expect("a name")
}

#[test]
fn a_log_of_the_first_format_opens_and_folds() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = unpack(FIXTURE, dir.path());
    let recovered = Log::open(options(dir.path()), AT).expect("opens");
    assert_eq!(recovered.problems, []);

    let state = fold(&recovered);
    assert_eq!(state_of(&state), fixture["state"]);

    // It knows of no run clock and no restraints: nothing in it is old, and its checkpoint is one
    // of this version.
    assert_eq!(state.ran_ms, RUN);
    for endpoint in state.endpoints.values() {
        assert_eq!((&endpoint.restraint, endpoint.age_pauses.away), (&None, false));
        assert!(
            endpoint
                .retrying
                .values()
                .all(|waiting| endpoint.age_ms(waiting.born(), state.ran_ms) < 1_000),
            "{endpoint:?}"
        );
    }

    assert_eq!(State::from_checkpoint(&state.checkpoint()).expect("reads back"), state);
    let hash = (0..32).map(|n| {
        u8::from_str_radix(&fixture["hash"].as_str().expect("text")[2 * n..2 * n + 2], 16)
    });
    let head: Vec<u8> = hash.map(|byte| byte.expect("hex")).collect();
    let expect =
        Expect { seq: fixture["record"].as_u64(), head: head.try_into().expect("32 bytes") };
    let report = recovered.reader.verify_expecting(expect, &mut |_| {});
    assert!(report.ok, "{report:?}");

    let found: BTreeSet<String> =
        recovered.reader.forward(1).map(|item| kind(&item.expect("reads").1)).collect();
    // Those of the first segment are gone with it, and folded into the checkpoint.
    let gone = ["LogStarted", "SourceSet", "EndpointSet"];
    for kind in KINDS.iter().filter(|kind| !gone.contains(kind)) {
        assert!(found.contains(*kind), "{kind}");
    }
}

#[test]
fn what_restrains_endpoints_is_found_in_a_log_of_its_first_format() {
    let dir = tempfile::tempdir().expect("a folder");
    let fixture = unpack(SECOND, dir.path());
    let recovered = Log::open(options(dir.path()), AT).expect("opens");
    assert_eq!(recovered.problems, []);

    let state = fold(&recovered);
    assert_eq!(restraints_of(&state), fixture["state"]);
    assert_eq!(State::from_checkpoint(&state.checkpoint()).expect("reads back"), state);
    assert!(recovered.reader.verify(&mut |_| {}).ok);

    let found: BTreeSet<String> =
        recovered.reader.forward(1).map(|item| kind(&item.expect("reads").1)).collect();
    for kind in [
        "ClockRan",
        "EndpointAway",
        "EndpointBack",
        "FilterUndecided",
        "KeysLearned",
        "RecordsLost",
    ] {
        assert!(found.contains(kind), "{kind}");
    }
}

#[test]
fn a_daemon_goes_on_with_a_log_of_the_first_format() {
    let home = Home::new();
    unpack(FIXTURE, &home.data());
    let daemon = home.start();

    let receiver = Receiver::start();
    let listed = daemon.lines(&["delivery", "list", "--state", "held"]);
    assert_eq!(listed.len(), 5, "{listed:?}");
    daemon.json(&["endpoint", "update", "app", "--url", &receiver.url("/app")]);
    daemon.done(&["endpoint", "release", "app"]);

    let wanted = [6u64, 10, 8].map(|seq| EventId { seq, tag: seq * 1_000_003 }.to_string());
    let imported = EventId { seq: 77, tag: 99 }.to_string();
    let wanted: BTreeSet<String> = wanted.into_iter().chain([imported]).collect();
    let seen = until("what waited", SOON, || {
        let seen: BTreeSet<String> =
            receiver.seen("/app").iter().map(|seen| seen.id().to_owned()).collect();
        (seen.len() >= wanted.len()).then_some(seen)
    });
    assert_eq!(seen, wanted);

    let dead = daemon.json(&["dlq", "list"]);
    assert_eq!(dead["reason"], "policy again", "{dead}");
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
}
