//! An export: the events of a log, a line of JSON each, with the states of their deliveries.
//!
//! The newest segment is read first and folded into the state: that is the moment the export is of.
//! Then all segments are read from the oldest on; before that, those in which dead letters are, for
//! their last attempts. Deliveries that a replay made are not exported: an event has those of its
//! own fan-out.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use serde_json::Value;

use super::cloud_event::to_cloud_event;
use super::error::ArchiveResult;
use super::fold::{DeadLetterLines, delivery_lines, read_dead_letters, state_at_end};
use super::output::write_line;
use super::source::PieceSource;
use crate::log::Piece;
use crate::model::{EndpointId, Event, EventFilter, EventTraits, Seq};
use crate::queue::State;
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
    let segments = source.segments()?;
    let state = state_at_end(source, &segments)?;
    let dead_letters = read_dead_letters(source, &segments, &state)?;
    let end = state.next_seq - 1;
    let mut exporter = Exporter {
        filter,
        format,
        out,
        next: Some(state.first_seq),
        state,
        dead_letters,
        first_readable: None,
        relocated: HashSet::new(),
        summary: ExportSummary { last: end, ..ExportSummary::default() },
    };

    let behind = segments.iter().skip(1).copied().chain([Seq::MAX]);
    for (segment, behind) in segments.iter().copied().zip(behind) {
        exporter.check_gap(segment);
        if filter.overlaps(segment, behind - 1) {
            source.pieces(segment, &mut |piece| exporter.piece(segment, &piece))?;
        } else {
            exporter.first_readable.get_or_insert(segment);
        }
    }
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
    /// The first segment that can be read: an event from before it is exported where it was
    /// relocated to.
    first_readable: Option<Seq>,
    /// The relocated events that were exported.
    relocated: HashSet<Seq>,
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

    fn piece(&mut self, segment: Seq, piece: &Piece) -> ArchiveResult<()> {
        match piece {
            Piece::Header(_) => _ = self.first_readable.get_or_insert(segment),
            Piece::Missing(what) => self.summary.missing.push(what.clone()),
            Piece::End(end) => self.next = Some(end.last + 1),
            Piece::Checkpoint(_) | Piece::Frame(_) => {}
        }

        for (at, record) in piece.records()? {
            if at <= self.summary.last && self.filter.overlaps(at, at) {
                self.record(at, record)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, at: Seq, record: Record) -> ArchiveResult<()> {
        let Some(held) = record.held_event() else { return Ok(()) };
        if held.relocated_from.is_some_and(|original| !self.is_to_export(original, at)) {
            return Ok(());
        }
        self.event(held.event, held.fan_out)
    }

    /// Whether this copy of a relocated event is the one to export: its original cannot be read,
    /// and it is the newest.
    fn is_to_export(&mut self, original: Seq, at: Seq) -> bool {
        let is_before = self.first_readable.is_some_and(|first| original < first);
        let newest = self.state.moved.get(original).unwrap_or(at);
        is_before && newest == at && self.relocated.insert(original)
    }

    fn event(&mut self, event: &Arc<Event>, fan_out: &[EndpointId]) -> ArchiveResult<()> {
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
