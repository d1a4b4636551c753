//! The rules of the format: which changes of the types keep old logs readable.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{BatchConsequence, BatchFinished, Consequence, DeadLetter, Record, decode, encode};
use crate::model::{DeliveryId, Seq};

/// The names of the variants in logs. A name is added to, and never removed from this list: a
/// variant that is renamed in the code keeps its name here by `#[serde(rename)]`.
const NAMES_IN_LOGS: [&str; 33] = [
    "AttemptFinished",
    "BatchFinished",
    "BatchFormed",
    "ClockRan",
    "DeadCarried",
    "DeadLettersForgotten",
    "DeliveriesCarried",
    "DeliveryCancelled",
    "DeliveryRetried",
    "Died",
    "DuplicateSeen",
    "EndpointAway",
    "EndpointBack",
    "EndpointDeleted",
    "EndpointHeld",
    "EndpointReleased",
    "EndpointSet",
    "EventAccepted",
    "EventCarried",
    "EventImported",
    "FilterUndecided",
    "KeysLearned",
    "LogStarted",
    "PlaceCarried",
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

fn died() -> Record {
    Record::DeliveryDied {
        dead: DeadLetter {
            delivery: DeliveryId { seq: 7, endpoint: 3 },
            event: 7,
            attempts: 2,
            died_at: 9,
            reason: "lost".into(),
            last: 0,
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
    report: crate::model::AttemptReport,
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
        report: crate::model::AttemptReport {
            started_at: 1,
            duration_ms: 2,
            connect_ms: None,
            outcome: crate::model::Outcome::Delivered,
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
