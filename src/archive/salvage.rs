//! Salvage: what is readable in damaged segments, whether they were put aside (`bad-seg-N`) or stand in their place.
//!
//! A segment is searched without the store that it was written with (see `log::carve`), so nothing in it can do harm,
//! and nothing in it is changed: a daemon may be running. Lines: the events, as `log import` takes them, with where
//! their deliveries stood at the segment's end; other records by their kind; and what is missing, by its numbers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::export::{Words, begin, deliveries, follow, note_words, write_line};
use super::{ArchiveError, Done};
use crate::log::{Carved, carve};
use crate::model::Seq;
use crate::queue::State;
use crate::record::line::EventLine;
use crate::record::{Next, Record};

/// What was brought out of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    pub segment: PathBuf,
    pub records: u64,
    pub events: u64,
    /// First and last of each range that is not there.
    pub missing: Vec<(Seq, Seq)>,
    /// Why nothing of it can be read.
    pub unreadable: Option<String>,
}

/// The segments of a data folder that were put aside.
///
/// # Errors
/// When the folder cannot be read.
pub fn damaged(data: &Path) -> Done<Vec<PathBuf>> {
    let log = data.join("log");
    let failed = |source| ArchiveError::Io { doing: "list", path: log.clone(), source };
    let entries = fs::read_dir(&log).map_err(failed)?.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| number(path).is_some_and(|(_, aside)| aside)).collect();
    found.sort();
    Ok(found)
}

/// Writes what can be read in one segment; all of it as missing, when its file cannot be read.
///
/// # Errors
/// When it is no segment's folder, or the writer fails.
pub fn salvage(segment: &Path, out: &mut dyn Write) -> Done<Salvaged> {
    let carved = match (carve(segment), number(segment)) {
        (Ok(carved), _) => carved,
        (Err(why), Some((first, _))) => return nothing_of(segment, first, why.to_string(), out),
        (Err(error), None) => return Err(error.into()),
    };
    let state = state_at_end(&carved);
    let mut words = Words::new();
    for (seq, record) in carved.records() {
        if let Ok(record) = record {
            note_words(&state, seq, &record, &mut words);
        }
    }
    let mut done = Salvaged::of(segment);
    for (seq, record) in carved.records() {
        let line = match record {
            Ok(Record::EventAccepted { event, fan_out, .. } | Record::EventCarried { event, fan_out, .. }) => {
                done.events += 1;
                let line = EventLine::new(&event, deliveries(&state, event.id.seq, &fan_out, &words));
                let mut line = serde_json::to_value(line).unwrap_or_default();
                line["record"] = json!(seq);
                line
            }
            Ok(record) => told(seq, &record),
            Err(why) => json!({"what": "record", "record": seq, "kind": "unknown", "error": why}),
        };
        done.records += 1;
        write_line(out, &line)?;
    }
    done.missing = carved.missing(last_known(segment, carved.first));
    tell_missing(&done, carved.first, out)?;
    Ok(done)
}

impl Salvaged {
    fn of(segment: &Path) -> Self {
        Self { segment: segment.to_path_buf(), records: 0, events: 0, missing: Vec::new(), unreadable: None }
    }
}

fn nothing_of(segment: &Path, first: Seq, why: String, out: &mut dyn Write) -> Done<Salvaged> {
    let missing = last_known(segment, first).map(|last| (first, last));
    let done = Salvaged { missing: missing.into_iter().collect(), unreadable: Some(why), ..Salvaged::of(segment) };
    tell_missing(&done, first, out)?;
    Ok(done)
}

fn tell_missing(done: &Salvaged, segment: Seq, out: &mut dyn Write) -> Done<()> {
    for (first, last) in &done.missing {
        write_line(out, &json!({"what": "missing", "segment": segment, "first": first, "last": last}))?;
    }
    Ok(())
}

fn state_at_end(carved: &Carved) -> State {
    let checkpoint = carved.checkpoint.as_deref().unwrap_or_default();
    let mut state = begin(checkpoint, carved.first).unwrap_or_else(|_| State::new());
    for (seq, record) in carved.records() {
        if let Ok(record) = record {
            follow(&mut state, seq, &record);
        }
    }
    state
}

/// A record that is no event, without what is secret in it.
fn told(seq: Seq, record: &Record) -> Value {
    let value = serde_json::to_value(record).unwrap_or_default();
    let kind = value.as_object().and_then(|fields| fields.keys().next().cloned()).unwrap_or_default();
    let mut line = json!({"what": "record", "record": seq, "kind": kind});
    let attempts = record.attempts().map(|attempt| {
        json!({
            "delivery": attempt.delivery.to_string(),
            "event_record": attempt.event,
            "number": attempt.number,
            "next": match attempt.next {
                Next::Delivered => "delivered",
                Next::Retry { .. } => "retry",
                Next::Dead { .. } => "dead",
                Next::Held { .. } => "held",
                Next::Parked { .. } => "parked",
                Next::Ended => "ended",
            },
        })
    });
    let attempts: Vec<Value> = attempts.collect();
    if !attempts.is_empty() {
        line["attempts"] = Value::Array(attempts);
    }
    line
}

/// The last record that stood in the segment, as the one behind it says.
fn last_known(segment: &Path, first: Seq) -> Option<Seq> {
    let entries = fs::read_dir(segment.parent()?).ok()?.flatten();
    let behind = entries.filter_map(|entry| number(&entry.path())).map(|(number, _)| number).filter(|n| *n > first);
    behind.min().map(|next| next - 1)
}

/// The number in a segment's name, and whether it was put aside.
fn number(path: &Path) -> Option<(Seq, bool)> {
    let name = path.file_name()?.to_str()?;
    let (digits, aside) = match name.strip_prefix("bad-seg-") {
        Some(rest) => (rest.get(..20)?, true),
        None => (name.strip_prefix("seg-").filter(|rest| rest.len() == 20)?, false),
    };
    Some((digits.parse().ok()?, aside))
}
