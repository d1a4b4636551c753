//! An export: the events of a log, a line of JSON each, with where their deliveries stand.
//!
//! The newest segment is read first and folded into the state: that is the moment the export is of. Then all segments
//! are read from the oldest on; those in which dead letters stand once more before that, for their words. Deliveries
//! that a replay made are not told: an event goes with those of its own fan-out.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ArchiveError, Done, Pieces};
use crate::log::Piece;
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Event, EventId, Seq, WallMs, limits};
use crate::queue::{State, matcher};
use crate::record::Record;
use crate::record::line::{DeadLetterLine, DeliveryLine, EventLine};

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Records from this one to that one.
    pub from: Option<Seq>,
    pub to: Option<Seq>,
    /// Received from this time on, before that time.
    pub since: Option<WallMs>,
    pub until: Option<WallMs>,
    /// A source's name.
    pub source: Option<String>,
    /// A glob over the type.
    pub kind: Option<String>,
    pub event: Option<EventId>,
}

/// How they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What `log import` takes.
    #[default]
    Ndjson,
    /// The JSON format of CloudEvents 1.0; the body is in `data_base64`, bit for bit.
    CloudEvents,
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    pub events: u64,
    /// The last record that was looked at.
    pub last: Seq,
    /// Records that could not be had, in words.
    pub missing: Vec<String>,
}

/// Writes the events of a log that `filter` means.
///
/// # Errors
/// When the log cannot be read, or the writer fails.
pub fn export(source: &dyn Pieces, filter: &Filter, format: Format, out: &mut dyn Write) -> Done<Export> {
    let segments = source.segments()?;
    let state = fold(source, &segments)?;
    let end = state.next_seq - 1;
    let words = last_words(source, &segments, &state)?;
    let mut told = HashSet::new();
    let mut done = Export { last: end, ..Export::default() };
    // What has to follow; unknown before the first segment, and behind one that was not read.
    let mut next = None;
    // The first segment that can be read: what stood before it is told where it was carried to.
    let mut first = None;
    let behind = segments.iter().skip(1).copied().chain([Seq::MAX]);
    for (segment, behind) in segments.iter().copied().zip(behind) {
        // Retention drops the oldest segments; between two there is none that has to be missing.
        if let Some(gap) = next.filter(|next| *next < segment && filter.asks_for(*next, segment - 1)) {
            done.missing.push(format!("records {gap} to {}: no segment holds them", segment - 1));
        }
        next = None;
        if !filter.asks_for(segment, behind - 1) {
            first.get_or_insert(segment);
            continue;
        }
        source.pieces(segment, &mut |piece| {
            match &piece {
                Piece::Header(_) => _ = first.get_or_insert(segment),
                Piece::Missing(what) => done.missing.push(what.clone()),
                Piece::End(end) => next = Some(end.last + 1),
                Piece::Checkpoint(_) | Piece::Frame(_) => {}
            }
            for (at, record) in records(&piece)? {
                if at > end || filter.to.is_some_and(|to| at > to) || filter.from.is_some_and(|from| at < from) {
                    continue;
                }
                let (event, fan_out) = match record {
                    Record::EventAccepted { event, fan_out, .. } => (event, fan_out),
                    Record::EventCarried { seq, event, fan_out } if first.is_some_and(|first| seq < first) => {
                        let stands_at = state.moved.get(&seq).copied().unwrap_or(at);
                        if stands_at != at || !told.insert(seq) {
                            continue;
                        }
                        (event, fan_out)
                    }
                    _ => continue,
                };
                if filter.means(&event) {
                    let line = EventLine::new(&event, deliveries(&state, event.id.seq, &fan_out, &words));
                    write_line(out, &format.of(line))?;
                    done.events += 1;
                }
            }
            Ok(())
        })?;
    }
    Ok(done)
}

impl Filter {
    fn asks_for(&self, first: Seq, last: Seq) -> bool {
        self.from.is_none_or(|from| from <= last) && self.to.is_none_or(|to| to >= first)
    }

    fn means(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.received_at >= since)
            && self.until.is_none_or(|until| event.received_at < until)
            && self.source.as_ref().is_none_or(|source| *source == event.source_name)
            && self.kind.as_ref().is_none_or(|kind| matcher::glob(kind, &event.kind))
            && self.event.is_none_or(|id| id == event.id || id == event.webhook_id())
    }
}

impl Format {
    fn of(self, line: EventLine) -> Value {
        match self {
            Self::Ndjson => serde_json::to_value(line).unwrap_or_default(),
            Self::CloudEvents => cloud_event(line),
        }
    }
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>; `hookboxdue`,
/// `hookboxdead` and `hookboxended` are the endpoints that it still has to be delivered to, those of which it is a dead
/// letter, and the others.
fn cloud_event(line: EventLine) -> Value {
    let endpoints = |which: &dyn Fn(&DeliveryLine) -> bool| {
        let names = line.deliveries.iter().filter(|d| which(d)).map(|d| d.endpoint.as_str());
        names.collect::<Vec<_>>().join(",")
    };
    let content_type = line.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.clone());
    let mut event = json!({
        "specversion": "1.0",
        "id": line.id,
        "source": format!("/in/{}", line.source),
        // An event type is not to be empty.
        "type": if line.kind.is_empty() { "hookbox.event" } else { &line.kind },
        "time": line.received_at,
        "hookboxdue": endpoints(&DeliveryLine::waits),
        "hookboxdead": endpoints(&DeliveryLine::is_dead),
        "hookboxended": endpoints(&|delivery| !delivery.waits() && !delivery.is_dead()),
        "data_base64": line.body_base64,
    });
    if let Some(content_type) = content_type {
        event["datacontenttype"] = content_type;
    }
    event
}

/// An exported CloudEvent as the line that it would have been, as far as it goes; `None` when it is none.
///
/// # Errors
/// What is wrong with an attribute: what cannot be read would be lost without a word.
pub(super) fn from_cloud_event(event: &Value) -> Result<Option<Value>, String> {
    match &event["specversion"] {
        Value::Null => return Ok(None),
        Value::String(version) if version == "1.0" => {}
        other => return Err(format!("specversion has to be \"1.0\", not {other}")),
    }
    for attribute in ["id", "source", "type", "time"] {
        if !event[attribute].is_string() {
            return Err(format!("{attribute} has to be there, and a string"));
        }
    }
    if !matches!(event["data_base64"], Value::Null | Value::String(_)) {
        return Err("data_base64 has to be a string".to_owned());
    }
    if event.get("data").is_some() && event.get("data_base64").is_some() {
        return Err("data and data_base64 exclude each other".to_owned());
    }
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let mut deliveries = Vec::new();
    for (attribute, state) in [("hookboxdue", "pending"), ("hookboxdead", "dead"), ("hookboxended", "delivered")] {
        let names = match &event[attribute] {
            Value::Null => "",
            Value::String(names) => names,
            _ => return Err(format!("{attribute} has to be a string: names of endpoints with commas between them")),
        };
        let names = names.split(',').filter(|name| !name.is_empty());
        deliveries.extend(names.map(|name| json!({"endpoint": name, "state": state})));
    }
    let body = match (&event["data_base64"], &event["data"]) {
        (Value::String(encoded), _) => encoded.clone(),
        (_, Value::Null) => String::new(),
        (_, data) => STANDARD.encode(data.to_string()),
    };
    let kind = text("type");
    Ok(Some(json!({
        "what": "event",
        "id": text("id"),
        "source": text("source").rsplit('/').next().unwrap_or_default(),
        "type": if kind == "hookbox.event" { "" } else { kind },
        "received_at": text("time"),
        "headers": event.get("datacontenttype").map(|value| vec![("content-type", value)]).unwrap_or_default(),
        "body_base64": body,
        "deliveries": deliveries,
    })))
}

/// What dead letters say of themselves.
pub(super) type Words = HashMap<DeliveryId, DeadLetterLine>;

/// Reads the segments in which dead letters stand.
fn last_words(source: &dyn Pieces, segments: &[Seq], state: &State) -> Done<Words> {
    let mut words = Words::new();
    let ends = segments.iter().skip(1).copied().chain([Seq::MAX]);
    for (segment, end) in segments.iter().copied().zip(ends) {
        if state.graves.range_cardinality(segment..end) == 0 {
            continue;
        }
        source.pieces(segment, &mut |piece| {
            for (at, record) in records(&piece)? {
                note_words(state, at, &record, &mut words);
            }
            Ok(())
        })?;
    }
    Ok(words)
}

/// Keeps what the record says, when it is a grave.
pub(super) fn note_words(state: &State, at: Seq, record: &Record, words: &mut Words) {
    if !state.graves.contains(at) || words.len() >= limits::EXPORTED_WORDS {
        return;
    }
    if let Some(dead) = record.dead_letter(at) {
        let died_at = Some(rfc3339(dead.died_at));
        words.insert(dead.delivery, DeadLetterLine { attempts: dead.attempts, died_at, reason: dead.reason });
    }
}

/// The state at the log's end.
fn fold(source: &dyn Pieces, segments: &[Seq]) -> Done<State> {
    let Some(newest) = segments.last() else { return Ok(State::new()) };
    let (mut checkpoint, mut state) = (Vec::new(), None);
    source.pieces(*newest, &mut |piece| {
        match &piece {
            Piece::Checkpoint(bytes) => checkpoint.extend_from_slice(bytes),
            Piece::Frame(_) | Piece::End(_) => {
                let state = match &mut state {
                    Some(state) => state,
                    None => state.insert(begin(&std::mem::take(&mut checkpoint), *newest)?),
                };
                for (at, record) in records(&piece)? {
                    follow(state, at, &record);
                }
            }
            Piece::Header(_) | Piece::Missing(_) => {}
        }
        Ok(())
    })?;
    state.ok_or_else(|| ArchiveError::Garbled("the log's newest segment broke off: try again".to_owned()))
}

/// The state that a segment begins with.
pub(super) fn begin(checkpoint: &[u8], first: Seq) -> Done<State> {
    let mut state = match checkpoint {
        [] => State::new(),
        bytes => State::from_checkpoint(bytes).map_err(|error| ArchiveError::Garbled(error.to_string()))?,
    };
    state.skip_lost(first);
    Ok(state)
}

/// Goes on with a record. Behind a gap one may speak of what is not known; it then says nothing.
pub(super) fn follow(state: &mut State, at: Seq, record: &Record) {
    state.skip_lost(at);
    let _ = state.apply(at, record);
}

/// Where the deliveries of an event's own fan-out stand.
pub(super) fn deliveries(state: &State, event: Seq, fan_out: &[EndpointId], words: &Words) -> Vec<DeliveryLine> {
    let line = |id: &EndpointId| match state.lanes.get(id) {
        None => DeliveryLine { endpoint: format!("#{id}"), state: "unknown".to_owned(), dead_letter: None },
        Some(lane) => {
            let state = match lane.state_of(event) {
                DeliveryState::Pending | DeliveryState::InFlight => "pending",
                DeliveryState::Delivered => "delivered",
                // Nobody can ask again for what died at an endpoint that was deleted.
                DeliveryState::Dead if lane.deleted.is_some() => "cancelled",
                DeliveryState::Dead => "dead",
                DeliveryState::Held => "held",
                DeliveryState::Cancelled => "cancelled",
            };
            let delivery = DeliveryId { seq: event, endpoint: *id };
            let dead_letter = words.get(&delivery).filter(|_| state == "dead").cloned();
            DeliveryLine { endpoint: lane.endpoint.name.clone(), state: state.to_owned(), dead_letter }
        }
    };
    fan_out.iter().map(line).collect()
}

fn records(piece: &Piece) -> Done<Vec<(Seq, Record)>> {
    Ok(piece.records()?)
}

pub(super) fn write_line(out: &mut dyn Write, value: &Value) -> Done<()> {
    writeln!(out, "{value}").map_err(|source| match source.kind() {
        std::io::ErrorKind::BrokenPipe => ArchiveError::NobodyReads,
        _ => ArchiveError::Io { doing: "write", path: "the output".into(), source },
    })
}
