//! The state of the queue at a point of the log, and what it says of an event's deliveries.

use std::collections::HashMap;

use super::error::{ArchiveError, ArchiveResult};
use super::source::PieceSource;
use crate::log::Piece;
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, DeliveryState, EndpointId, Seq, limits};
use crate::queue::State;
use crate::record::Record;
use crate::record::line::{DeadLetterLine, DeliveryLine};

/// The last attempts of dead letters.
pub(super) type DeadLetterLines = HashMap<DeliveryId, DeadLetterLine>;

/// The state that a segment begins with.
pub(super) fn state_before(checkpoint: &[u8], first: Seq) -> ArchiveResult<State> {
    let mut state = match checkpoint {
        [] => State::new(),
        bytes => {
            let state = State::from_checkpoint(bytes);
            state.map_err(|error| ArchiveError::Garbled(error.to_string()))?
        }
    };

    // Without a checkpoint nothing says what retention has dropped.
    if checkpoint.is_empty() {
        state.first_seq = first;
    }
    state.skip_lost(first);
    Ok(state)
}

/// Applies a record. Behind a gap a record may refer to something unknown; it then changes nothing.
pub(super) fn apply(state: &mut State, at: Seq, record: &Record) {
    state.skip_lost(at);
    let _ = state.apply(at, record);
}

/// The state at the log's end. It is folded from the newest segment whose checkpoint is there: that
/// of the last one may not be complete yet.
pub(super) fn state_at_end(source: &dyn PieceSource, segments: &[Seq]) -> ArchiveResult<State> {
    if segments.is_empty() {
        return Ok(State::new());
    }

    for begin in (0..segments.len()).rev() {
        let mut fold = PieceFold { state: None, checkpoint: Vec::new(), needs: begin > 0 };
        for segment in &segments[begin..] {
            let is_there = source.pieces(*segment, &mut |piece| fold.take(*segment, &piece))?;
            // What was before the others is not known then.
            fold.needs |= !is_there;
        }
        if let Some(state) = fold.state {
            return Ok(state);
        }
    }
    let what = "the log's newest segment came without its end: try again";
    Err(ArchiveError::Garbled(what.to_owned()))
}

/// The state, folded from the pieces of segments.
struct PieceFold {
    /// `None` until a segment came from which it can begin.
    state: Option<State>,
    checkpoint: Vec<u8>,
    /// Whether it begins only with a checkpoint.
    needs: bool,
}

impl PieceFold {
    fn take(&mut self, segment: Seq, piece: &Piece) -> ArchiveResult<()> {
        match piece {
            Piece::Checkpoint(bytes) if self.state.is_none() => {
                self.checkpoint.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Frame(_) | Piece::End(_) => self.fold(segment, piece),
            Piece::Checkpoint(_) | Piece::Header(_) | Piece::Missing(_) => Ok(()),
        }
    }

    fn fold(&mut self, segment: Seq, piece: &Piece) -> ArchiveResult<()> {
        let state = match &mut self.state {
            Some(state) => state,
            None if self.needs && self.checkpoint.is_empty() => return Ok(()),
            None => {
                let checkpoint = std::mem::take(&mut self.checkpoint);
                self.state.insert(state_before(&checkpoint, segment)?)
            }
        };
        for (at, record) in piece.records()? {
            apply(state, at, &record);
        }
        Ok(())
    }
}

/// Reads the segments in which dead letters are.
pub(super) fn read_dead_letters(
    source: &dyn PieceSource,
    segments: &[Seq],
    state: &State,
) -> ArchiveResult<DeadLetterLines> {
    let mut dead_letters = DeadLetterLines::new();

    let ends = segments.iter().skip(1).copied().chain([Seq::MAX]);
    for (segment, end) in segments.iter().copied().zip(ends) {
        if state.dead_letter_seqs.range_cardinality(segment..end) == 0 {
            continue;
        }
        source.pieces(segment, &mut |piece| {
            for (at, record) in piece.records()? {
                add_dead_letter(state, at, &record, &mut dead_letters);
            }
            Ok(())
        })?;
    }
    Ok(dead_letters)
}

/// Adds the dead letter that the record is about, if it is one still.
pub(super) fn add_dead_letter(
    state: &State,
    at: Seq,
    record: &Record,
    dead_letters: &mut DeadLetterLines,
) {
    let is_full = dead_letters.len() >= limits::EXPORTED_DEAD_LETTERS;
    if !state.dead_letter_seqs.contains(at) || is_full {
        return;
    }

    if let Some(dead) = record.dead_letter(at) {
        let died_at = Some(rfc3339(dead.died_at));
        let line = DeadLetterLine { attempts: dead.attempts, died_at, reason: dead.reason };
        dead_letters.insert(dead.delivery, line);
    }
}

/// The states of the deliveries of an event's own fan-out.
pub(super) fn delivery_lines(
    state: &State,
    event: Seq,
    fan_out: &[EndpointId],
    dead_letters: &DeadLetterLines,
) -> Vec<DeliveryLine> {
    fan_out.iter().map(|id| delivery_line(state, event, *id, dead_letters)).collect()
}

fn delivery_line(
    state: &State,
    event: Seq,
    id: EndpointId,
    dead_letters: &DeadLetterLines,
) -> DeliveryLine {
    let Some(endpoint) = state.endpoints.get(&id) else {
        let (endpoint, state) = (format!("#{id}"), "unknown".to_owned());
        return DeliveryLine { endpoint, state, dead_letter: None };
    };

    let state = match endpoint.state_of(event) {
        DeliveryState::Pending | DeliveryState::InFlight => "pending",
        DeliveryState::Delivered => "delivered",
        // A dead letter of an endpoint that was deleted cannot be retried any more.
        DeliveryState::Dead if endpoint.deleted.is_some() => "cancelled",
        DeliveryState::Dead => "dead",
        DeliveryState::Held => "held",
        DeliveryState::Cancelled => "cancelled",
    };
    let delivery = DeliveryId { seq: event, endpoint: id };
    let dead_letter = dead_letters.get(&delivery).filter(|_| state == "dead").cloned();
    let name = endpoint.settings.name.clone();
    DeliveryLine { endpoint: name, state: state.to_owned(), dead_letter }
}
