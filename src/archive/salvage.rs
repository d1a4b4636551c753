//! Salvage: what is readable in damaged segments, whether they were quarantined (`bad-seg-N`) or
//! not.
//!
//! A segment is searched without the store that wrote it (see `log::carve`), so nothing in it can
//! do harm, and nothing in it is changed: a daemon may be running. The output has a line for each
//! event, as `log import` takes it, with the states of its deliveries at the segment's end; for
//! each other record, with its kind; and for each missing range.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::{ArchiveError, ArchiveResult};
use super::fold::{DeadLetterLines, add_dead_letter, apply, delivery_lines, state_before};
use super::output::write_line;
use crate::log::{CarvedSegment, carve};
use crate::model::Seq;
use crate::queue::State;
use crate::record::line::EventLine;
use crate::record::{Consequence, HeldEvent, Record};

/// What was salvaged from one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageSummary {
    pub segment: PathBuf,
    pub records: u64,
    pub events: u64,
    /// First and last of each range that is missing.
    pub missing: Vec<(Seq, Seq)>,
    /// Why nothing of it can be read.
    pub unreadable: Option<String>,
}

impl SalvageSummary {
    fn new(segment: &Path) -> Self {
        let (missing, unreadable) = (Vec::new(), None);
        Self { segment: segment.to_path_buf(), records: 0, events: 0, missing, unreadable }
    }
}

/// The quarantined segments of a data folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn damaged(data: &Path) -> ArchiveResult<Vec<PathBuf>> {
    let log = data.join("log");
    let failed = |source| ArchiveError::Io { doing: "list", path: log.clone(), source };

    let entries = fs::read_dir(&log).map_err(failed)?.flatten().map(|entry| entry.path());
    let is_quarantined = |path: &PathBuf| number(path).is_some_and(|(_, quarantined)| quarantined);
    let mut found: Vec<_> = entries.filter(is_quarantined).collect();
    found.sort();
    Ok(found)
}

/// The folders in which these records lie, quarantined or not: a folder holds those from its number
/// to before that of the next.
///
/// # Errors
/// When the folder cannot be read.
pub fn holding(data: &Path, first: Seq, last: Seq) -> ArchiveResult<Vec<PathBuf>> {
    let log = data.join("log");
    let failed = |source| ArchiveError::Io { doing: "list", path: log.clone(), source };

    let entries = fs::read_dir(&log).map_err(failed)?.flatten().map(|entry| entry.path());
    let mut folders: Vec<(Seq, PathBuf)> = entries
        .filter(|path| path.is_dir())
        .filter_map(|path| number(&path).map(|(number, _)| (number, path)))
        .collect();
    folders.sort();

    let numbers: Vec<Seq> = folders.iter().map(|(number, _)| *number).collect();
    let is_asked = |begins: Seq| {
        let next = numbers.iter().copied().find(|number| *number > begins);
        begins <= last && next.is_none_or(|next| next > first)
    };
    let held = folders.into_iter().filter(|(begins, _)| is_asked(*begins));
    Ok(held.map(|(_, path)| path).collect())
}

/// Writes what can be read in one segment. When its file cannot be read, all of it is missing.
///
/// # Errors
/// When it is not a segment's folder, or the writer fails.
pub fn salvage(segment: &Path, out: &mut dyn Write) -> ArchiveResult<SalvageSummary> {
    let carved = match (carve(segment), number(segment)) {
        (Ok(carved), _) => carved,
        (Err(why), Some((first, _))) => return all_missing(segment, first, why.to_string(), out),
        (Err(error), None) => return Err(error.into()),
    };

    let state = state_at_end(&carved);
    let mut dead_letters = DeadLetterLines::new();
    for (seq, record) in carved.records() {
        if let Ok(record) = record {
            add_dead_letter(&state, seq, &record, &mut dead_letters);
        }
    }

    let mut summary = SalvageSummary::new(segment);
    for (seq, record) in carved.records() {
        let line = match record {
            Ok(record) => match record.held_event() {
                Some(HeldEvent { event, fan_out, .. }) => {
                    summary.events += 1;
                    let deliveries = delivery_lines(&state, event.id.seq, fan_out, &dead_letters);
                    let line = EventLine::new(event, deliveries);
                    let mut line = serde_json::to_value(line).unwrap_or_default();
                    line["record"] = json!(seq);
                    line
                }
                None => other_record(seq, &record),
            },
            Err(why) => json!({"what": "record", "record": seq, "kind": "unknown", "error": why}),
        };
        summary.records += 1;
        write_line(out, &line)?;
    }

    summary.missing = carved.missing(last_known(segment, carved.first));
    write_missing(&summary, carved.first, out)?;
    Ok(summary)
}

fn all_missing(
    segment: &Path,
    first: Seq,
    why: String,
    out: &mut dyn Write,
) -> ArchiveResult<SalvageSummary> {
    let mut summary = SalvageSummary::new(segment);
    summary.missing.extend(last_known(segment, first).map(|last| (first, last)));
    summary.unreadable = Some(why);

    write_missing(&summary, first, out)?;
    Ok(summary)
}

fn write_missing(summary: &SalvageSummary, segment: Seq, out: &mut dyn Write) -> ArchiveResult<()> {
    for (first, last) in &summary.missing {
        let line = json!({"what": "missing", "segment": segment, "first": first, "last": last});
        write_line(out, &line)?;
    }
    Ok(())
}

/// The state at the end of a segment, as far as its records were found.
fn state_at_end(carved: &CarvedSegment) -> State {
    let checkpoint = carved.checkpoint.as_deref().unwrap_or_default();
    let mut state = state_before(checkpoint, carved.first).unwrap_or_else(|_| State::new());
    for (seq, record) in carved.records() {
        if let Ok(record) = record {
            apply(&mut state, seq, &record);
        }
    }
    state
}

/// The line of a record that is not an event, without its secrets.
fn other_record(seq: Seq, record: &Record) -> Value {
    let value = serde_json::to_value(record).unwrap_or_default();
    let kind = value.as_object().and_then(|fields| fields.keys().next().cloned());
    let mut line = json!({"what": "record", "record": seq, "kind": kind.unwrap_or_default()});

    let attempts = record.attempts().map(|attempt| {
        json!({
            "delivery": attempt.delivery.to_string(),
            "event_record": attempt.event,
            "number": attempt.number,
            "next": match attempt.next {
                Consequence::Delivered => "delivered",
                Consequence::Retry { .. } => "retry",
                Consequence::Dead { .. } => "dead",
                Consequence::Held { .. } => "held",
                Consequence::Parked { .. } => "parked",
                Consequence::Ended => "ended",
            },
        })
    });
    let attempts: Vec<Value> = attempts.collect();
    if !attempts.is_empty() {
        line["attempts"] = Value::Array(attempts);
    }
    line
}

/// The last record that the segment had: the one before the next segment.
fn last_known(segment: &Path, first: Seq) -> Option<Seq> {
    let entries = fs::read_dir(segment.parent()?).ok()?.flatten();
    let numbers = entries.filter_map(|entry| number(&entry.path())).map(|(number, _)| number);
    numbers.filter(|number| *number > first).min().map(|next| next - 1)
}

/// The number in the name of a segment's folder, and whether it is quarantined.
fn number(path: &Path) -> Option<(Seq, bool)> {
    let name = path.file_name()?.to_str()?;
    let (digits, quarantined) = match name.strip_prefix("bad-seg-") {
        Some(rest) => (rest.get(..20)?, true),
        None => (name.strip_prefix("seg-").filter(|rest| rest.len() == 20)?, false),
    };
    Some((digits.parse().ok()?, quarantined))
}

#[cfg(test)]
mod tests {
    use super::holding;

    #[test]
    fn damage_is_looked_for_in_the_folders_that_hold_its_records() {
        let data = tempfile::tempdir().expect("a folder");
        for name in
            ["seg-00000000000000000001", "bad-seg-00000000000000000011", "seg-00000000000000000021"]
        {
            std::fs::create_dir_all(data.path().join("log").join(name)).expect("a folder");
        }
        std::fs::write(data.path().join("log/seg-00000000000000000031"), "").expect("a file");

        let found = |first, last| -> Vec<String> {
            let found = holding(data.path(), first, last).expect("listed");
            let name = |path: &std::path::PathBuf| path.file_name()?.to_str().map(str::to_owned);
            found.iter().filter_map(name).collect()
        };
        assert_eq!(found(25, 40), ["seg-00000000000000000021"], "a scratch copy goes on in 40");
        assert_eq!(found(10, 10), ["seg-00000000000000000001"]);
        assert_eq!(found(11, 21).len(), 2);
        assert_eq!(found(1, u64::MAX).len(), 3);
    }
}
