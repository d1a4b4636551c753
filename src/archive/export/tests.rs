//! Exports of a log that retention shortens while it is read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{ExportFilter, LineFormat, export};
use crate::archive::testing::BusyLog;
use crate::model::{DeliveryId, Endpoint, Event, EventFilter, EventId, Seq, Source};
use crate::record::{DeadLetter, Record};

const EVENTS: Seq = 8;

/// Its segments hold the records 1 to 10 (a source, an endpoint and the events 3 to 10), 11 and 12,
/// and it ends with 13. Of the event 3 there is a dead letter, by the last record.
fn busy(dir: &Path, before: fn(&BusyLog, Seq), behind: fn(&BusyLog, Seq)) -> BusyLog {
    let busy = BusyLog::new(dir, before, behind);
    let (mut source, mut endpoint) = (Source::new("in", "none"), Endpoint::new("app", "pull:"));
    (source.id, endpoint.id) = (1, 1);
    busy.commit(Record::SourceSet { source: Box::new(source) });
    busy.commit(Record::EndpointSet { endpoint: Box::new(endpoint) });

    for _ in 0..EVENTS {
        let seq = busy.state.borrow().next_seq;
        let event = Arc::new(Event {
            id: EventId { seq, tag: 7 },
            source: 1,
            source_name: "in".into(),
            kind: "t".into(),
            received_at: 1,
            dedupe_key: None,
            request_line: String::new(),
            remote: String::new(),
            headers: Vec::new(),
            body: "{}".into(),
            from_provider: false,
            first_id: None,
        });
        let (fan_out, beside) = (vec![1], Default::default());
        busy.commit(Record::EventAccepted { event, dedupe: None, fan_out, beside, ran_ms: 1 });
    }
    busy.roll();
    busy.commit(Record::DeliveryDied { dead: dead_letter() });
    busy.fill(1);
    busy.roll();
    busy.fill(1);
    busy
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        delivery: DeliveryId { seq: 3, endpoint: 1 },
        event: 3,
        attempts: 9,
        died_at: 5,
        reason: "the server says 500".into(),
        last: 0,
        kept_since: None,
    }
}

/// As retention does: events of the segment are written again, and its dead letter, and it goes.
fn retire(busy: &BusyLog, segment: Seq) {
    let held: Vec<Record> = busy
        .reader
        .forward(segment)
        .map(|item| item.expect("it can be read").1)
        .filter(|record| record.held_event().is_some())
        .collect();
    for record in &held {
        let held = record.held_event().expect("it was chosen so");
        let (event, fan_out) = (held.event.clone(), held.fan_out.to_vec());
        busy.commit(Record::EventRelocated { seq: event.id.seq, event, fan_out });
    }
    if segment == 11 {
        let (dead, dead_letter_seq) = (dead_letter(), 11);
        busy.commit(Record::DeadLetterRecorded { dead, dead_letter_seq });
    }
    busy.drop_segment(segment);
}

/// The lines of an export, and the numbers of their events.
fn exported(busy: &BusyLog, filter: &ExportFilter) -> (Vec<Value>, BTreeSet<Seq>) {
    let mut out = Vec::new();
    let summary = export(busy, filter, LineFormat::Ndjson, &mut out).expect("it exports");
    assert_eq!(summary.missing, Vec::<String>::new());

    let text = String::from_utf8(out).expect("it is text");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let id = |line: &Value| line["id"].as_str().and_then(|id| id.parse::<EventId>().ok());
    let seqs: BTreeSet<Seq> = lines.iter().map(|line| id(line).expect("an id").seq).collect();
    assert_eq!(lines.len(), seqs.len(), "each once");
    assert_eq!(summary.events, lines.len() as u64);
    (lines, seqs)
}

fn all() -> BTreeSet<Seq> {
    (3..3 + EVENTS).collect()
}

fn nothing(_: &BusyLog, _: Seq) {}

#[test]
fn events_that_retention_relocates_before_their_turn_comes_are_exported() {
    let dir = tempfile::tempdir().expect("a folder");
    // Behind the state, which is that of the third segment, and before the rest of the log.
    let behind = |busy: &BusyLog, segment| {
        if segment == 13 && busy.reader.first() == 1 {
            busy.roll();
            retire(busy, 1);
            retire(busy, 11);
        }
    };
    let busy = busy(dir.path(), nothing, behind);
    let (lines, seqs) = exported(&busy, &ExportFilter::default());
    assert_eq!(seqs, all());

    let dead = &lines.iter().find(|line| line["deliveries"][0]["state"] == "dead");
    let reason = &dead.expect("the dead letter")["deliveries"][0]["dead_letter"]["reason"];
    assert_eq!(reason, "the server says 500");
}

#[test]
fn events_that_are_relocated_again_and_again_are_exported_once() {
    let dir = tempfile::tempdir().expect("a folder");
    // Each segment that is about to be read goes before, as often as there is time for it.
    let before = |busy: &BusyLog, segment| {
        if segment != 13 && busy.reader.first() == segment && busy.reader.durable() < 60 {
            busy.roll();
            retire(busy, segment);
        }
    };
    let busy = busy(dir.path(), before, nothing);
    assert_eq!(exported(&busy, &ExportFilter::default()).1, all());
}

#[test]
fn what_was_read_before_it_was_relocated_is_not_exported_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let behind = |busy: &BusyLog, segment| {
        if segment == 1 {
            busy.roll();
            retire(busy, 1);
            retire(busy, 11);
        }
    };
    let busy = busy(dir.path(), nothing, behind);
    assert_eq!(exported(&busy, &ExportFilter::default()).1, all());
}

#[test]
fn a_range_of_records_is_that_of_the_moment_of_the_export() {
    let dir = tempfile::tempdir().expect("a folder");
    let behind = |busy: &BusyLog, segment| {
        if segment == 13 && busy.reader.first() == 1 {
            busy.roll();
            retire(busy, 1);
        }
    };
    let busy = busy(dir.path(), nothing, behind);
    let filter = ExportFilter { from: Some(5), to: Some(8), ..ExportFilter::default() };
    assert_eq!(exported(&busy, &filter).1, (5..=8).collect());
}

#[test]
fn what_a_filter_names_and_nothing_is_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let busy = busy(dir.path(), nothing, nothing);
    let unknown = |filter: EventFilter| {
        let filter = ExportFilter { events: filter, ..ExportFilter::default() };
        let done = export(&busy, &filter, LineFormat::Ndjson, &mut Vec::new());
        done.expect("it exports").unknown
    };
    let by = |source: &str, kind: &str| EventFilter {
        source: Some(source.to_owned()).filter(|name| !name.is_empty()),
        kind: Some(kind.to_owned()).filter(|kind| !kind.is_empty()),
        ..EventFilter::default()
    };

    for (source, kind) in [("in", ""), ("", "t"), ("", "x*"), ("hookbox", ""), ("in", "t")] {
        assert_eq!(unknown(by(source, kind)), None, "{source} {kind}");
    }
    assert_eq!(unknown(by("im", "")), Some("there is no source 'im'; did you mean 'in'?".into()));
    let why = unknown(by("", "nope")).expect("there is none");
    assert!(why.starts_with("no event in the log has the type 'nope'"), "{why}");
    let event = Some(EventId { seq: 4, tag: 1 });
    let why = unknown(EventFilter { event, ..EventFilter::default() }).expect("there is none");
    assert!(why.starts_with("there is no event 'evt_"), "{why}");
}
