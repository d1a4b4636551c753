//! The codec, with examples of records, and the rules of the format: which changes of the types
//! keep old logs readable.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde::{Deserialize, Serialize};

use super::codec::VERSION;
use super::{
    AttemptFinished, BatchConsequence, BatchFinished, Consequence, DeadLetter, OpenBreaker, Record,
    RecordError, Replay, ReplayFilter, Restraint, Wait, WaitingDelivery, decode, encode,
};
use crate::model::{
    AttemptReport, Batch, BatchFormat, CatchUp, CatchUpMode, ConnectSettings, DeliveryId, Endpoint,
    Event, EventId, Fingerprints, Header, HoldReason, Outcome, Rate, RequestHead, RequestTemplate,
    ResponseHead, RetryPolicy, Seq, Source,
};

/// The names of the variants in logs. A name is added to, and never removed from this list: a
/// variant that is renamed in the code keeps its name here by `#[serde(rename)]`.
const NAMES_IN_LOGS: [&str; 37] = [
    "AttemptFinished",
    "BatchFinished",
    "BatchFormed",
    "ClockRan",
    "DamageAcknowledged",
    "DeadCarried",
    "DeadLettersForgotten",
    "DeliveriesCarried",
    "DeliveryCancelled",
    "DeliveryRetried",
    "Died",
    "DuplicateSeen",
    "EndpointAway",
    "EndpointBack",
    "EndpointCaughtUp",
    "EndpointDeleted",
    "EndpointHeld",
    "EndpointLagged",
    "EndpointReleased",
    "EndpointSet",
    "EventAccepted",
    "EventCarried",
    "EventImported",
    "FilterUndecided",
    "KeysLearned",
    "LogStarted",
    "PlaceCarried",
    "PositionsRelocated",
    "RateSpent",
    "RecordsLost",
    "ReplayAdvanced",
    "ReplayStarted",
    "Replayed",
    "SegmentDropped",
    "SourceDeleted",
    "SourceSet",
    "Superseded",
];

/// A record as format 1 has it in logs, byte by byte: `{"Died": [[[[7, 3], 7, 2, 9, "lost", 0]]]}`.
const DIED: &[u8] = b"\x01\x81\xa4Died\x91\x96\x92\x07\x03\x07\x02\x09\xa4lost\x00";

/// Settings as logs of this version have them: the fields by their position. Each has the fields of
/// the first version of its type, and a field that came later has a default. What is added here
/// stays.
#[test]
fn settings_are_read_with_the_fields_that_older_logs_have() {
    fn read<T: serde::de::DeserializeOwned>(stored: &impl Serialize) -> T {
        let bytes = rmp_serde::to_vec(stored).expect("written");
        rmp_serde::from_slice(&bytes).expect("a new field is the last, and has a default")
    }

    let batch: Batch = read(&(10, 1024, 5000, "ndjson"));
    let format = BatchFormat::Ndjson;
    assert_eq!(batch, Batch { max_events: 10, max_bytes: 1024, max_wait_ms: 5000, format });

    let retry: RetryPolicy = read(&(1000, 2.0, 3_600_000, 0.2, 3 * 86_400_000, None::<u32>));
    assert_eq!(retry, RetryPolicy::default());

    let rate = Some(Rate { count: 5, per_ms: 1000 });
    let catch_up: CatchUp = read(&("latest", (5, 1000), "/k"));
    let (mode, key) = (CatchUpMode::Latest, Some("/k".to_owned()));
    assert_eq!(catch_up, CatchUp { mode, rate, key });

    let template: RequestTemplate = read(&("PUT", "/a", [("A", "b")], "{}", "text/plain"));
    assert_eq!(template.headers, [("A".to_owned(), "b".to_owned())]);
    let template = (template.method, template.path, template.body, template.content_type);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(template, (text("PUT"), text("/a"), text("{}"), text("text/plain")));

    let connect: ConnectSettings = read(&("http://p:1", "127.0.0.2", "/c", "/k", "/a"));
    assert_eq!(connect.bind, Some([127, 0, 0, 2].into()));
    let files = [connect.client_cert, connect.client_key, connect.ca];
    assert_eq!(files.map(|file| file.expect("a file")), ["/c", "/k", "/a"].map(PathBuf::from));
}

fn died() -> Record {
    Record::DeliveryDied {
        dead: DeadLetter {
            delivery: DeliveryId { seq: 7, endpoint: 3 },
            event: 7,
            attempts: 2,
            died_at: 9,
            reason: "lost".into(),
            last: 0,
            kept_since: None,
        },
    }
}

/// The MessagePack of a record, without the version byte.
fn payload(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes.split_off(1)
}

#[test]
fn variants_have_the_names_in_logs_that_they_always_had() {
    // The error of an unknown name lists all known ones.
    let unknown = rmp_serde::from_slice::<Record>(b"\x81\xabMoonSettled\x91\x01");
    let message = unknown.expect_err("no such variant").to_string();
    let quoted: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
    assert_eq!(quoted, BTreeSet::from(NAMES_IN_LOGS), "{message}");
}

/// The age of a dead letter is written once it is known, behind what earlier versions wrote.
#[test]
fn a_dead_letter_is_written_with_its_age_once_that_is_known() {
    let Record::DeliveryDied { mut dead } = died() else { panic!("it died") };
    dead.kept_since = Some(77);
    let record = Record::DeliveryDied { dead };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes);
    assert_eq!(decode(&bytes).expect("reads"), record);
    assert_eq!(bytes.len(), DIED.len() + 1);
}

#[test]
fn a_record_of_format_1_is_read_and_written_byte_by_byte() {
    assert_eq!(decode(DIED).expect("reads"), died());
    let mut bytes = Vec::new();
    encode(&died(), &mut bytes);
    assert_eq!(bytes, DIED);
}

/// A later version of `Record`, as far as these tests need it: another order, a new variant before
/// the others, a variant with another name in the code, and a new field at the end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum LaterRecord {
    MoonSettled {
        crew: u32,
    },
    ClockRan {
        ran_ms: u64,
        #[serde(default)]
        boots: u32,
    },
    #[serde(rename = "SourceDeleted")]
    SourceRemoved {
        source: u32,
    },
    DuplicateSeen {
        event: Seq,
        at: u64,
        #[serde(default)]
        note: Option<String>,
    },
}

#[test]
fn a_later_version_may_reorder_add_and_rename_variants_and_add_fields() {
    let read = |record: &Record| rmp_serde::from_slice::<LaterRecord>(&payload(record));
    let seen = read(&Record::DuplicateSeen { event: 5, at: 8 }).expect("reads");
    assert_eq!(seen, LaterRecord::DuplicateSeen { event: 5, at: 8, note: None });
    let removed = read(&Record::SourceDeleted { source: 4 }).expect("reads");
    assert_eq!(removed, LaterRecord::SourceRemoved { source: 4 });
    let ran = read(&Record::ClockRan { ran_ms: 77 }).expect("reads");
    assert_eq!(ran, LaterRecord::ClockRan { ran_ms: 77, boots: 0 });
}

/// An enum inside of a record, in another order and with a variant more.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum LaterConsequence {
    Postponed { by: String },
    Dead { reason: String },
    Delivered,
}

#[test]
fn enums_inside_of_records_are_written_by_name_too() {
    let bytes = rmp_serde::to_vec(&Consequence::Dead { reason: "no".into() }).expect("writes");
    let read: LaterConsequence = rmp_serde::from_slice(&bytes).expect("reads");
    assert_eq!(read, LaterConsequence::Dead { reason: "no".into() });
    let bytes = rmp_serde::to_vec(&Consequence::Delivered).expect("writes");
    let read: LaterConsequence = rmp_serde::from_slice(&bytes).expect("reads");
    assert_eq!(read, LaterConsequence::Delivered);
}

/// `BatchFinished` as a version wrote it that had no run clock and no restraints: two fields fewer.
#[derive(Serialize)]
struct EarlierBatchFinished {
    endpoint: u32,
    batch: crate::model::BatchId,
    number: u32,
    report: AttemptReport,
    members: Vec<super::MemberFinished>,
    next: BatchConsequence,
    uncounted: bool,
    failing_ms: u64,
}

#[test]
fn fields_that_an_earlier_version_did_not_write_have_their_defaults() {
    let earlier = EarlierBatchFinished {
        endpoint: 3,
        batch: crate::model::BatchId { seq: 9, part: 1 },
        number: 2,
        report: AttemptReport {
            started_at: 1,
            duration_ms: 2,
            connect_ms: None,
            outcome: Outcome::Delivered,
            request: Default::default(),
            response: None,
            error: None,
            fault: None,
            command: None,
        },
        members: Vec::new(),
        next: BatchConsequence::Split { first: 1 },
        uncounted: true,
        failing_ms: 5,
    };

    let bytes = rmp_serde::to_vec(&earlier).expect("writes");
    let read: BatchFinished = rmp_serde::from_slice(&bytes).expect("reads");
    assert_eq!((read.next, read.uncounted, read.failing_ms), (earlier.next, true, 5));
    assert_eq!((read.ran_ms, read.restraint), (0, None));
}

fn event() -> impl Strategy<Value = Arc<Event>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..2000);
    (any::<[u64; 3]>(), "\\PC{0,20}", proptest::option::of("\\PC{0,40}"), bytes).prop_map(
        |(n, name, key, body)| {
            Arc::new(Event {
                id: EventId { seq: n[0], tag: n[1] },
                source: 7,
                source_name: name.clone(),
                kind: name.clone(),
                received_at: n[2],
                dedupe_key: key,
                request_line: format!("POST /in/{name}"),
                remote: String::new(),
                headers: vec![Header::new(name, body.clone())],
                body: Bytes::from(body),
                from_provider: n[0] % 2 == 0,
                first_id: (n[0] % 3 == 0).then_some(EventId { seq: n[1], tag: n[2] }),
            })
        },
    )
}

fn attempt() -> impl Strategy<Value = Record> {
    let next = prop_oneof![
        any::<[u64; 3]>().prop_map(|n| Consequence::Retry {
            due_at: n[0],
            delay_ms: n[1],
            age_ms: n[2]
        }),
        "\\PC{0,20}".prop_map(|reason| Consequence::Dead { reason }),
        Just(Consequence::Held { reason: HoldReason::Gone }),
        Just(Consequence::Delivered),
    ];
    let after = proptest::option::of(any::<u64>());
    (any::<[u64; 6]>(), next, any::<u16>(), after).prop_map(|(n, next, status, after)| {
        let report = AttemptReport {
            started_at: n[2],
            duration_ms: n[3],
            connect_ms: after,
            outcome: Outcome::Retryable { after_ms: after },
            request: RequestHead {
                method: "POST".into(),
                url: "http://x/".into(),
                headers: Vec::new(),
            },
            response: Some(ResponseHead {
                status,
                headers: Vec::new(),
                body: Bytes::from_static(b"no"),
            }),
            error: None,
            fault: None,
            command: None,
        };

        let delivery = DeliveryId { seq: n[0], endpoint: 3 };
        let (event, prev, position, low) = (n[1], n[4], after, n[5]);
        Record::AttemptFinished(Box::new(AttemptFinished {
            delivery,
            event,
            number: 9,
            report,
            next,
            prev,
            position,
            low,
            key: after,
            uncounted: n[5] % 2 == 0,
            failing_ms: n[4],
            born: n[3],
            ran_ms: n[4],
            restraint: (n[5] % 3 == 0).then(|| Box::new(restraint(n[4]))),
            source: u32::from(n[5] % 3 == 1),
        }))
    })
}

fn restraint(n: u64) -> Restraint {
    let probe = Wait { until: n, wait_ms: 9 };
    let breaker = Some(OpenBreaker { since: n, probes: 2, probe });
    Restraint { failures: 12, failing_since: n, breaker, paused: Some(probe) }
}

fn waiting(n: [u64; 4]) -> WaitingDelivery {
    let delivery = DeliveryId { seq: n[0], endpoint: 1 };
    WaitingDelivery {
        delivery,
        position: n[1],
        event: n[2],
        attempts: 2,
        last: n[3],
        key: Some(n[0]),
        born: n[1],
        source: u32::from(n[2] % 3 == 1),
    }
}

fn replay(n: [u64; 4]) -> Replay {
    let filter = ReplayFilter { since: Some(n[1]), ..ReplayFilter::default() };
    Replay {
        id: n[0],
        filter,
        next: n[2],
        end: n[3],
        rate: None,
        started_at: 0,
        due_at: 7,
        pause_ms: 8,
        member: u32::try_from(n[3] % 3).ok().filter(|user| *user > 0),
        to: Some(4),
        left: [n[0], n[1]].into_iter().collect(),
    }
}

/// Records that put a delivery of an older event into a stream, and one that may.
fn in_stream() -> impl Strategy<Value = Record> {
    prop_oneof![
        any::<[u64; 4]>().prop_map(|n| Record::StreamPositionRelocated { waiting: waiting(n) }),
        any::<[u64; 3]>().prop_map(|n| Record::Replayed {
            event: n[0],
            endpoint: 3,
            at: n[1],
            ran_ms: n[2]
        }),
        any::<[u64; 4]>().prop_map(|n| Record::DeliveryRetried {
            delivery: DeliveryId { seq: n[0], endpoint: 3 },
            at: n[1],
            dead_letter_seq: None,
            event: n[2],
            attempts: 1,
            last: n[3],
            in_stream: n[1] % 2 == 0,
            ran_ms: 5
        }),
    ]
}

pub(super) fn record() -> impl Strategy<Value = Record> {
    let ids = proptest::collection::vec(any::<u32>(), 0..20);
    let dedupe = proptest::option::of(any::<u64>());
    let id = any::<Option<[u64; 2]>>().prop_map(|id| id.map(|[seq, tag]| EventId { seq, tag }));
    let beside = (any::<[Option<u64>; 2]>(), id).prop_map(|([content, also], conflicts_with)| {
        Fingerprints { content, also, conflicts_with, also_for_ms: content.unwrap_or(0) }
    });

    let accepted = (event(), dedupe, ids.clone(), beside);
    prop_oneof![
        accepted.prop_map(|(event, dedupe, fan_out, beside)| Record::EventAccepted {
            event,
            dedupe,
            fan_out,
            beside,
            ran_ms: 5
        }),
        (event(), ids).prop_map(|(event, fan_out)| Record::EventRelocated {
            seq: 4,
            event,
            fan_out
        }),
        attempt(),
        "\\PC{0,20}"
            .prop_map(|name| Record::SourceSet { source: Box::new(Source::new(name, "none")) }),
        "\\PC{0,20}".prop_map(|name| Record::EndpointSet {
            endpoint: Box::new(Endpoint::new(name, "http://x/"))
        }),
        any::<[u64; 3]>().prop_map(|n| Record::EventImported {
            event: n[0],
            identity: n[1],
            at: n[2]
        }),
        (any::<[u64; 2]>(), proptest::collection::vec(any::<u32>(), 0..20)).prop_map(
            |(n, endpoints)| { Record::FilterUndecided { event: n[0], endpoints, at: n[1] } }
        ),
        any::<[u64; 3]>()
            .prop_map(|n| Record::DeadLettersForgotten { dead_letter_seqs: n.to_vec() }),
        any::<[u64; 4]>().prop_map(|n| Record::DeliveriesRelocated { waiting: vec![waiting(n)] }),
        any::<[u64; 4]>().prop_map(|n| Record::PositionsRelocated { waiting: vec![waiting(n)] }),
        in_stream(),
        any::<[u64; 4]>().prop_map(|n| Record::RecordsLost {
            first: n[0],
            last: n[1],
            kept: vec![(3, n[2])],
            at: n[3]
        }),
        any::<[u64; 3]>()
            .prop_map(|n| Record::DamageAcknowledged { ranges: vec![(n[0], n[1])], at: n[2] }),
        any::<[u64; 4]>().prop_map(|n| Record::ReplayStarted { replay: replay(n) }),
        (any::<[u64; 3]>(), any::<[u8; 32]>()).prop_map(|(n, head)| Record::SegmentDropped {
            first: n[0],
            last: n[1],
            head,
            at: n[2]
        }),
    ]
}

proptest! {
    #[test]
    fn every_record_reads_back_as_it_was_written(record in record()) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        prop_assert_eq!(decode(&bytes).expect("reads back"), record);
    }

    #[test]
    fn damaged_bytes_never_panic(
        record in record(),
        at in any::<proptest::sample::Index>(),
        bit in 0u8..8,
        cut in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        let _ = decode(&bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&[&[VERSION], &bytes[..]].concat());
    }
}

#[test]
fn bytes_that_are_no_record_are_refused_by_kind() {
    assert!(matches!(decode(&[]), Err(RecordError::Empty)));
    assert!(matches!(decode(&[VERSION + 1, 0]), Err(RecordError::Newer(_))));
    let mut bytes = Vec::new();
    encode(&Record::SourceDeleted { source: 1 }, &mut bytes);
    bytes.push(0);
    assert!(matches!(decode(&bytes), Err(RecordError::Trailing)));
    let bytes = [&[VERSION, 0x81, 0xAB][..], b"MoonSettled", &[0x91, 1]].concat();
    assert!(matches!(decode(&bytes), Err(RecordError::UnknownKind(_))), "{:?}", decode(&bytes));
}
