//! The format for the future: a log written by this version stands in `tests/fixtures/log-1.json`
//! and has to open, verify, fold and go on in every later one.
//!
//! The fixture is a whole log folder, its files compressed (lz4) in base64, with what has to come
//! out of it. It holds every kind of record there was when it was written, a segment that was
//! dropped, carried events, and deliveries that wait. It is never written anew: a later format gets
//! a fixture of its own beside it, made with `cargo test --test library -- --ignored
//! write_the_fixture`. `log-2.json` has the records that came later: what restrains endpoints, the
//! run clock, what is lost, what no filter could tell. Where it is there already, it is not
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support;
use crate::support::{Home, Receiver, SOON, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookbox::log::{Expect, Log, Options, Recovered};
use hookbox::model::{
    AttemptReport, BatchId, CatchUp, CatchUpMode, DeliveryId, Endpoint, Event, EventId, Header,
    HoldReason, Outcome, RequestHead, ResponseHead, Source,
};
use hookbox::queue::State;
use hookbox::record::{
    AttemptFinished, BatchConsequence, BatchFinished, BatchMember, Consequence, DeadLetter,
    MemberFinished, OpenBreaker, Record, Replay, ReplayFilter, Restraint, Wait, WaitingDelivery,
};
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

fn event(seq: u64, kind: &str, body: &'static [u8]) -> Arc<Event> {
    Arc::new(Event {
        id: EventId { seq, tag: seq * 1_000_003 },
        source: 1,
        source_name: "in".into(),
        kind: kind.into(),
        received_at: AT + seq,
        dedupe_key: Some(format!("key-{seq}")),
        request_line: "POST /in/in?a=b".into(),
        remote: "127.0.0.1:5".into(),
        headers: vec![
            Header::new("content-type", "application/json"),
            Header::new("x-bytes", &b"\xff\x00"[..]),
        ],
        body: Bytes::from_static(body),
        from_provider: false,
        first_id: (seq == 12).then_some(EventId { seq: 77, tag: 99 }),
    })
}

fn accepted(seq: u64, kind: &str, body: &'static [u8], fan_out: &[u32]) -> Record {
    Record::EventAccepted {
        event: event(seq, kind, body),
        dedupe: Some(seq * 31),
        fan_out: fan_out.to_vec(),
        beside: Default::default(),
        ran_ms: 0,
    }
}

fn attempt(
    event: u64,
    next: Consequence,
    number: u32,
    status: u16,
    prev: u64,
    position: Option<u64>,
    low: u64,
) -> Record {
    let outcome = match next {
        Consequence::Delivered => Outcome::Delivered,
        _ => Outcome::Retryable { after_ms: None },
    };

    let report = AttemptReport {
        started_at: AT + 50,
        duration_ms: 5,
        connect_ms: Some(1),
        outcome,
        request: RequestHead {
            method: "POST".into(),
            url: "http://127.0.0.1:9/".into(),
            headers: Vec::new(),
        },
        response: Some(ResponseHead {
            status,
            headers: Vec::new(),
            body: Bytes::from_static(b"said"),
        }),
        error: None,
        fault: None,
        command: None,
    };

    let delivery = DeliveryId { seq: event, endpoint: 1 };
    Record::AttemptFinished(Box::new(AttemptFinished {
        delivery,
        event,
        number,
        report,
        next,
        prev,
        position,
        low,
        key: None,
        uncounted: false,
        failing_ms: 0,
        born: 0,
        ran_ms: 0,
        restraint: None,
    }))
}

fn endpoint(id: u32, name: &str) -> Record {
    let mut endpoint = Endpoint::new(name, "http://127.0.0.1:9/");
    (endpoint.id, endpoint.allow_private, endpoint.created_at) = (id, true, AT);
    Record::EndpointSet { endpoint: Box::new(endpoint) }
}

/// Every kind of record, as a queue could have decided them; the first commit is that of the first
/// segment.
fn story(head: [u8; 32]) -> Vec<Vec<Record>> {
    let source = |id: u32, name: &str| {
        let mut source = Source::new(name, "none");
        (source.id, source.created_at) = (id, AT);
        Record::SourceSet { source: Box::new(source) }
    };
    let on = |seq: u64| DeliveryId { seq, endpoint: 1 };
    let dead = |reason: &str| Consequence::Dead { reason: reason.into() };
    let filter = ReplayFilter { source: Some("in".into()), ..ReplayFilter::default() };

    let first = vec![
        Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 42 },
        source(1, "in"),
        source(2, "former"),
        endpoint(1, "app"),
        endpoint(2, "former"),
        accepted(6, "old", b"{\"carried\":true}", &[1]),
    ];

    let second = vec![
        Record::SourceDeleted { source: 2 },
        accepted(8, "done", b"{\"n\":8}", &[1]),
        attempt(8, Consequence::Delivered, 1, 204, 0, Some(8), 5),
        accepted(10, "retry", b"{\"n\":10}", &[1]),
        attempt(
            10,
            Consequence::Retry { due_at: AT, delay_ms: 1000, age_ms: 0 },
            1,
            503,
            0,
            Some(10),
            5,
        ),
        accepted(12, "imported", b"{\"n\":12}", &[1]),
        Record::EventImported { event: 12, identity: 4711, at: AT },
        Record::DuplicateSeen { event: 8, at: AT },
        accepted(15, "dead", b"{\"n\":15}", &[1]),
        attempt(15, dead("policy"), 1, 500, 0, Some(15), 5),
        Record::DeliveryRetried {
            delivery: on(15),
            at: AT,
            dead_letter_seq: Some(16),
            event: 15,
            attempts: 1,
            last: 16,
            in_stream: false,
            ran_ms: 0,
        },
        attempt(15, dead("policy again"), 2, 500, 16, None, 5),
        accepted(19, "cancelled", b"{\"n\":19}", &[1]),
        Record::DeliveryCancelled { delivery: on(19), at: AT, dead_letter_seq: None },
        Record::ReplayStarted {
            replay: Replay {
                id: 21,
                filter,
                next: 8,
                end: 20,
                rate: None,
                started_at: AT,
                due_at: 0,
                pause_ms: 0,
            },
        },
        Record::Replayed { event: 8, endpoint: 1, at: AT, ran_ms: 0 },
        Record::ReplayAdvanced { replay: 21, next: 21, due_at: 0, pause_ms: 0 },
        Record::EndpointDeleted { endpoint: 2, at: AT },
        Record::EndpointReleased { endpoint: 1, at: AT, ran_ms: 0 },
        Record::EndpointHeld { endpoint: 1, reason: HoldReason::Operator, at: AT, ran_ms: 0 },
    ];

    let letter = DeadLetter {
        delivery: on(15),
        event: 15,
        attempts: 2,
        died_at: AT,
        reason: "policy again".into(),
        last: 18,
    };
    let third = vec![
        Record::EventRelocated {
            seq: 6,
            event: event(6, "old", b"{\"carried\":true}"),
            fan_out: vec![1],
        },
        Record::DeliveriesRelocated {
            waiting: vec![WaitingDelivery {
                delivery: on(6),
                position: 6,
                event: 6,
                attempts: 0,
                last: 0,
                key: None,
                born: 0,
            }],
        },
        Record::DeadLetterRecorded { dead: letter, dead_letter_seq: 18 },
        Record::SegmentDropped { first: 1, last: 6, head, at: AT },
    ];

    vec![first, second, third, batches()]
}

/// The records of an endpoint that takes batches.
fn batches() -> Vec<Record> {
    let many = |seq: u64| DeliveryId { seq, endpoint: 3 };
    let member = |delivery: u64| BatchMember {
        delivery,
        event: delivery,
        position: Some(delivery),
        attempts: 0,
        last: 0,
        key: Some(delivery),
        age_ms: 0,
        born: 0,
    };
    let ended = |delivery: u64, next: Consequence| MemberFinished {
        delivery,
        event: delivery,
        number: 1,
        prev: 0,
        next,
    };

    let Record::AttemptFinished(attempt) = attempt(32, Consequence::Delivered, 1, 200, 0, None, 0)
    else {
        unreachable!()
    };

    let finished = BatchFinished {
        endpoint: 3,
        batch: BatchId { seq: 37, part: 0 },
        number: 1,
        report: attempt.report,
        members: vec![
            ended(32, Consequence::Delivered),
            ended(33, Consequence::Retry { due_at: AT, delay_ms: 1000, age_ms: 0 }),
        ],
        next: BatchConsequence::Over,
        uncounted: false,
        failing_ms: 0,
        ran_ms: 0,
        restraint: None,
    };

    let too_old = DeadLetter {
        delivery: many(33),
        event: 33,
        attempts: 1,
        died_at: AT,
        reason: "too old".into(),
        last: 38,
    };

    vec![
        endpoint(3, "many"),
        accepted(32, "many", b"{\"n\":32}", &[3]),
        accepted(33, "many", b"{\"n\":33}", &[3]),
        accepted(34, "many", b"{\"n\":34}", &[3]),
        accepted(35, "many", b"{\"n\":35}", &[3]),
        Record::RateSpent { endpoint: 3, at: AT },
        Record::BatchFormed {
            endpoint: 3,
            members: vec![member(32), member(33)],
            low: 33,
            format: None,
        },
        Record::BatchFinished(Box::new(finished)),
        Record::Superseded { endpoint: 3, deliveries: vec![34], low: 34, at: AT },
        Record::DeliveryDied { dead: too_old },
        Record::DeliveryCancelled { delivery: many(33), at: AT, dead_letter_seq: Some(40) },
        Record::EndpointHeld { endpoint: 3, reason: HoldReason::Receiver, at: AT, ran_ms: 0 },
    ]
}

/// The records that logs of the first fixture's time did not have, and what others say since.
fn restraints() -> Vec<Vec<Record>> {
    let born = |record: Record, at: u64| match record {
        Record::EventAccepted { event, dedupe, fan_out, beside, .. } => {
            Record::EventAccepted { event, dedupe, fan_out, beside, ran_ms: RUN + at }
        }
        other => other,
    };

    let wait = Wait { until: AT + 60_000, wait_ms: 60_000 };
    let restraint = Restraint {
        failures: 12,
        failing_since: AT - 20_000,
        breaker: Some(OpenBreaker { since: AT - 1_000, probes: 3, probe: wait }),
        paused: Some(wait),
    };

    let retry = |due_at| Consequence::Retry { due_at, delay_ms: 1_000, age_ms: 0 };
    let failed = |event: u64, to: u32, at: u64, restraint: Option<&Restraint>| {
        let Record::AttemptFinished(finished) =
            attempt(event, retry(AT + 1_000), 1, 503, 0, Some(event), event)
        else {
            unreachable!()
        };
        Record::AttemptFinished(Box::new(AttemptFinished {
            delivery: DeliveryId { seq: event, endpoint: to },
            born: RUN + 1_000,
            ran_ms: RUN + at,
            restraint: restraint.cloned().map(Box::new),
            ..*finished
        }))
    };

    let mut source = Source::new("in", "none");
    (source.id, source.created_at) = (1, AT);
    let mut latest = Endpoint::new("latest", "http://127.0.0.1:9/");
    (latest.id, latest.allow_private, latest.created_at) = (2, true, AT);
    latest.catch_up = CatchUp { mode: CatchUpMode::Latest, key: Some("/k".into()), rate: None };

    let filter = ReplayFilter::default();
    let replay = Replay {
        id: 15,
        filter,
        next: 5,
        end: 6,
        rate: Some(1),
        started_at: AT,
        due_at: 0,
        pause_ms: 0,
    };

    let first = vec![
        Record::LogStarted { at: AT, version: "0.1.0".into(), salt: 7 },
        Record::SourceSet { source: Box::new(source) },
        endpoint(1, "app"),
        Record::EndpointSet { endpoint: Box::new(latest) },
        born(accepted(5, "first", b"{\"k\":1}", &[1, 2]), 1_000),
        born(accepted(6, "second", b"{\"k\":2}", &[1, 2]), 1_000),
        failed(5, 1, 2_000, Some(&restraint)),
        failed(6, 2, 3_000, None),
        Record::EndpointAway { endpoint: 1, at: AT, ran_ms: RUN + 4_000 },
        Record::ClockRan { ran_ms: RUN + 6_000 },
    ];

    let second = vec![
        Record::EndpointBack { endpoint: 1, at: AT, ran_ms: RUN + 7_000 },
        Record::KeysLearned { endpoint: 2, keys: vec![(6, 77)] },
        Record::FilterUndecided { event: 6, endpoints: vec![2], at: AT },
        Record::EndpointHeld {
            endpoint: 1,
            reason: HoldReason::Operator,
            at: AT,
            ran_ms: RUN + 8_000,
        },
        Record::ReplayStarted { replay },
        Record::ReplayAdvanced { replay: 15, next: 6, due_at: AT + 1_000, pause_ms: 1_000 },
        Record::RecordsLost { first: 3, last: 3, kept: Vec::new(), at: AT },
        Record::ClockRan { ran_ms: RUN + 9_000 },
    ];

    vec![first, second]
}

/// What is asked of the state that the second fixture gives.
fn told_of_restraints(state: &State) -> Value {
    let age = |id: u32, seq: u64| {
        let lane = &state.endpoints[&id];
        lane.age_ms(lane.retrying[&seq].born(), state.ran_ms)
    };

    let app = &state.endpoints[&1];
    let restraint = app.restraint.as_deref().expect("it is restrained");
    json!({
        "next": state.next_seq,
        "ran_ms": state.ran_ms - RUN,
        "age_of_what_is_held": age(1, 5),
        "age": age(2, 6),
        "key": state.endpoints[&2].retrying[&6].key,
        "failures": restraint.failures,
        "probe": restraint.breaker.map(|breaker| (breaker.probes, breaker.probe.until, breaker.probe.wait_ms)),
        "paused": restraint.paused.map(|paused| (paused.until, paused.wait_ms)),
        "restraint_of_the_other": state.endpoints[&2].restraint.is_some(),
        "replay": state.replays.values().map(|r| (r.next, r.due_at, r.pause_ms)).collect::<Vec<_>>(),
        "undecided": state.endpoints[&2].undecided,
        "lost": state.lost.iter().collect::<Vec<_>>(),
        "undone": state.endpoints.values().map(|lane| lane.undone).collect::<Vec<_>>(),
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
fn told(state: &State) -> Value {
    let deliveries = |id: u32, seqs: &[u64]| -> BTreeMap<String, String> {
        let lane = &state.endpoints[&id];
        let named =
            |seq: &u64| (seq.to_string(), format!("{:?}", lane.state_of(*seq)).to_lowercase());
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
    write(FIXTURE, story, told, Some(1));
    write(SECOND, |_| restraints(), told_of_restraints, None);
}

/// Writes a log of these records, the first of them in a segment of their own, which may be
/// dropped, as a fixture.
fn write(
    name: &str,
    story: impl Fn([u8; 32]) -> Vec<Vec<Record>>,
    told: impl Fn(&State) -> Value,
    dropped: Option<u64>,
) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if fixture.exists() {
        return;
    }

    let dir = tempfile::tempdir().expect("a folder");
    let Recovered { mut log, reader, .. } = Log::open(options(dir.path()), AT).expect("opens");
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
    log.roll(&state.checkpoint(), AT).expect("rolls");
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

    let log_dir = dir.path().join("log");
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
        "state": told(&state),
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
    assert_eq!(told(&state), fixture["state"]);

    // It knows of no run clock and no restraints: nothing in it is old, and its checkpoint is one
    // of this version.
    assert_eq!(state.ran_ms, RUN);
    for lane in state.endpoints.values() {
        assert_eq!((&lane.restraint, lane.age_pauses.away), (&None, false));
        assert!(
            lane.retrying.values().all(|waiting| lane.age_ms(waiting.born(), state.ran_ms) < 1_000),
            "{lane:?}"
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
    assert_eq!(told_of_restraints(&state), fixture["state"]);
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
