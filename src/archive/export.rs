//! An export: the events of a log, a line of JSON each, with the states of their deliveries.
//!
//! The newest segment is read first and folded into the state: that is the moment the export is of.
//! Then all segments are read from the oldest on; before that, those in which dead letters are, for
//! their last attempts. When retention drops a segment before its turn comes, it has relocated what
//! is needed of it to the end of the log, behind that moment: there its events are looked for at
//! last. Deliveries that a replay made are not exported: an event has those of its own fan-out.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde_json::Value;

use super::cloud_event::to_cloud_event;
use super::error::ArchiveResult;
use super::fold::{DeadLetterLines, delivery_lines, read_behind, read_dead_letters, state_at_end};
use super::output::write_line;
use super::source::PieceSource;
use crate::log::Piece;
use crate::model::similar::nearest;
use crate::model::{EndpointId, Event, EventFilter, EventTraits, Seq, limits};
use crate::queue::{OWN_SOURCE, State};
use crate::record::Record;
use crate::record::line::EventLine;

/// Which events are exported.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    /// Records from `from` to `to`.
    pub from: Option<Seq>,
    pub to: Option<Seq>,
    pub events: EventFilter,
}

impl ExportFilter {
    /// Whether records from `first` to `last` can match.
    fn overlaps(&self, first: Seq, last: Seq) -> bool {
        self.from.is_none_or(|from| from <= last) && self.to.is_none_or(|to| to >= first)
    }
}

/// The format of the exported lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// The format of `log import`.
    #[default]
    Ndjson,
    /// The JSON format of CloudEvents 1.0; the body is in `data_base64`, bit for bit.
    CloudEvents,
}

impl LineFormat {
    fn encode(self, line: EventLine) -> Value {
        match self {
            Self::Ndjson => serde_json::to_value(line).unwrap_or_default(),
            Self::CloudEvents => to_cloud_event(line),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSummary {
    pub events: u64,
    /// The last record that was read.
    pub last: Seq,
    /// Records that could not be read, in words.
    pub missing: Vec<String>,
    /// The last record that retention dropped before its turn came: what was needed up to there is
    /// exported all the same.
    pub dropped_to: Option<Seq>,
    /// What the filter names and nothing is, in words; where something was exported, nothing is
    /// asked.
    pub unknown: Option<String>,
}

/// Writes the events of a log that match the filter.
///
/// # Errors
/// When the log cannot be read, or the writer fails.
pub fn export(
    source: &dyn PieceSource,
    filter: &ExportFilter,
    format: LineFormat,
    out: &mut dyn Write,
) -> ArchiveResult<ExportSummary> {
    let (segments, state) = state_at_end(source)?;
    let dead_letters = read_dead_letters(source, &segments, &state)?;
    let end = state.next_seq - 1;
    let mut exporter = Exporter {
        filter,
        format,
        out,
        next: Some(state.first_seq),
        state,
        dead_letters,
        done: RoaringTreemap::new(),
        gone: RoaringTreemap::new(),
        kinds: BTreeSet::new(),
        summary: ExportSummary { last: end, ..ExportSummary::default() },
    };

    let behind = segments.iter().skip(1).copied().chain([end + 1]);
    for (segment, behind) in segments.iter().copied().zip(behind) {
        exporter.check_gap(segment);
        if !filter.overlaps(segment, behind - 1) {
            exporter.done.insert_range(segment..behind);
        } else if !source.pieces(segment, &mut |piece| exporter.piece(&piece))? {
            exporter.gone.insert_range(segment..behind);
        }
    }

    exporter.summary.dropped_to = exporter.gone.max();
    if !exporter.gone.is_empty() {
        read_behind(source, end, &mut |piece| exporter.piece_behind(&piece))?;
    }
    exporter.summary.unknown = exporter.unknown();
    Ok(exporter.summary)
}

/// An export under way.
struct Exporter<'a> {
    filter: &'a ExportFilter,
    format: LineFormat,
    out: &'a mut dyn Write,
    /// At the end of the log.
    state: State,
    dead_letters: DeadLetterLines,
    /// The record that has to follow; at the beginning the first one that retention has not
    /// dropped. Unknown behind a segment that was not read.
    next: Option<Seq>,
    /// The events that were met, whether they were exported or not, and those whose own records
    /// were left out: another record that holds one of them is a copy.
    done: RoaringTreemap,
    /// The records that retention dropped before their turn came.
    gone: RoaringTreemap,
    /// Types that were met, the first of them.
    kinds: BTreeSet<String>,
    summary: ExportSummary,
}

impl Exporter<'_> {
    /// Reports what is missing before a segment. Retention drops the oldest segments, so between
    /// two none is missing.
    fn check_gap(&mut self, segment: Seq) {
        let gap = self.next.take().filter(|next| *next < segment);
        if let Some(gap) = gap.filter(|gap| self.filter.overlaps(*gap, segment - 1)) {
            let what = format!("records {gap} to {}: no segment holds them", segment - 1);
            self.summary.missing.push(what);
        }
    }

    fn piece(&mut self, piece: &Piece) -> ArchiveResult<()> {
        match piece {
            Piece::Missing(what) => self.summary.missing.push(what.clone()),
            Piece::End(end) => self.next = Some(end.last + 1),
            Piece::Header(_) | Piece::Checkpoint(_) | Piece::Frame(_) => {}
        }

        for (at, record) in piece.records()? {
            if at <= self.summary.last {
                self.record(at, &record)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, at: Seq, record: &Record) -> ArchiveResult<()> {
        let Some(held) = record.held_event() else { return Ok(()) };
        let original = held.relocated_from.unwrap_or(at);
        // An event is exported at its own record as long as that can be read, and otherwise at the
        // newest copy.
        if original != at && self.place_of(original).is_some_and(|newest| newest != at) {
            return Ok(());
        }

        let is_wanted = self.filter.overlaps(at, at);
        // One that is passed over at its own record is not taken at a copy, either.
        let is_first = (is_wanted || original == at) && self.done.insert(original);
        if is_first && is_wanted {
            self.event(held.event, held.fan_out)?;
        }
        Ok(())
    }

    /// The piece of a segment behind the moment of the export: what was relocated to there since.
    fn piece_behind(&mut self, piece: &Piece) -> ArchiveResult<()> {
        if let Piece::Missing(what) = piece
            && !self.summary.missing.contains(what)
        {
            self.summary.missing.push(what.clone());
        }

        for (at, record) in piece.records()? {
            let Some(held) = record.held_event().filter(|_| at > self.summary.last) else {
                continue;
            };
            let Some(original) = held.relocated_from else { continue };
            // Where it stood at that moment.
            let place = self.place_of(original).unwrap_or(original);
            let is_wanted = self.gone.contains(place) && self.filter.overlaps(place, place);
            if is_wanted && self.done.insert(original) {
                self.event(held.event, held.fan_out)?;
            }
        }
        Ok(())
    }

    /// Why nothing was exported, where the filter names what is not there. As in lists, a source or
    /// a type that is there and has no events is no mistake, and neither is a type that an endpoint
    /// waits for.
    fn unknown(&self) -> Option<String> {
        let EventFilter { source, kind, event, .. } = &self.filter.events;
        // What could not be read may have been it, and what lies outside of the range.
        let is_whole = self.filter.from.is_none() && self.filter.to.is_none();
        if self.summary.events > 0 || !self.summary.missing.is_empty() || !is_whole {
            return None;
        }

        if let Some(id) = event {
            return Some(format!("there is no event '{id}'"));
        }
        let mut sources = self.state.sources.values().map(|source| source.name.as_str());
        if let Some(name) = source
            && name != OWN_SOURCE
            && !sources.any(|source| source == name)
        {
            let sources = self.state.sources.values().map(|source| source.name.as_str());
            return Some(format!("there is no source '{name}'{}", meant(name, sources)));
        }

        let kind = kind.as_deref().filter(|kind| !kind.contains(['*', '?']))?;
        let mut awaited = self.state.living().flat_map(|endpoint| &endpoint.settings.types);
        let is_known = awaited.any(|glob| glob == kind) || self.kinds.contains(kind);
        if is_known || self.kinds.len() >= limits::TYPES_REMEMBERED {
            return None;
        }
        let kinds = self.kinds.iter().map(String::as_str);
        Some(format!("no event in the log has the type '{kind}'{}", meant(kind, kinds)))
    }

    /// Where the copy of this event stands that counts.
    fn place_of(&self, original: Seq) -> Option<Seq> {
        self.state.moved.get(original)
    }

    fn event(&mut self, event: &Arc<Event>, fan_out: &[EndpointId]) -> ArchiveResult<()> {
        if self.kinds.len() < limits::TYPES_REMEMBERED && !self.kinds.contains(&event.kind) {
            self.kinds.insert(event.kind.clone());
        }
        if !self.filter.events.matches(&EventTraits::from(&**event)) {
            return Ok(());
        }

        let deliveries = delivery_lines(&self.state, event.id.seq, fan_out, &self.dead_letters);
        let line = EventLine::new(event, deliveries);
        write_line(self.out, &self.format.encode(line))?;
        self.summary.events += 1;
        Ok(())
    }
}

/// Which one was probably meant.
fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    let meant = nearest(name, names);
    meant.map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
