//! The state of the queue at a point of the log, and what it says of an event's deliveries.

use std::collections::HashMap;

use super::error::{ArchiveError, ArchiveResult};
use super::source::{PieceSource, ROUNDS};
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

/// The segments of a log, and the state at its end.
pub(super) fn state_at_end(source: &dyn PieceSource) -> ArchiveResult<(Vec<Seq>, State)> {
    for _ in 0..ROUNDS {
        let segments = source.segments()?;
        if segments.is_empty() {
            return Ok((segments, State::new()));
        }
        if let Some(state) = state_behind(source, &segments)? {
            return Ok((segments, state));
        }
    }
    let what = "retention drops segments faster than they are read: try again";
    Err(ArchiveError::Garbled(what.to_owned()))
}

/// The state at the end of the last of the segments; `None` when one of those that are needed is
/// gone. It is folded from the newest one whose checkpoint is there: that of the last one may not
/// be complete yet.
fn state_behind(source: &dyn PieceSource, segments: &[Seq]) -> ArchiveResult<Option<State>> {
    for begin in (0..segments.len()).rev() {
        let mut fold = PieceFold { state: None, checkpoint: Vec::new(), needs: begin > 0 };
        for segment in &segments[begin..] {
            if !source.pieces(*segment, &mut |piece| fold.take(*segment, &piece))? {
                return Ok(None);
            }
        }
        if fold.state.is_some() {
            return Ok(fold.state);
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

/// Reads the segments in which dead letters are. Of those that retention drops meanwhile, the dead
/// letters are at the end of the log.
pub(super) fn read_dead_letters(
    source: &dyn PieceSource,
    segments: &[Seq],
    state: &State,
) -> ArchiveResult<DeadLetterLines> {
    let (mut dead_letters, mut is_one_gone) = (DeadLetterLines::new(), false);

    let ends = segments.iter().skip(1).copied().chain([Seq::MAX]);
    for (segment, end) in segments.iter().copied().zip(ends) {
        if state.dead_letter_seqs.range_cardinality(segment..end) == 0 {
            continue;
        }
        let there = source.pieces(segment, &mut |piece| {
            for (at, record) in piece.records()? {
                add_dead_letter(state, at, &record, &mut dead_letters);
            }
            Ok(())
        })?;
        is_one_gone |= !there;
    }

    if is_one_gone {
        let end = state.next_seq - 1;
        read_behind(source, end, &mut |piece| {
            for (at, record) in piece.records()? {
                if at > end {
                    add_relocated(state, at, &record, &mut dead_letters);
                }
            }
            Ok(())
        })?;
    }
    Ok(dead_letters)
}

/// Reads the segments that hold records behind `end`, which is where retention has relocated to
/// what is needed of the segments that it has dropped since; until none of these is dropped, too,
/// before it is read. `take` gets pieces more than once then, and some from before `end`.
pub(super) fn read_behind(
    source: &dyn PieceSource,
    end: Seq,
    take: &mut dyn FnMut(Piece) -> ArchiveResult<()>,
) -> ArchiveResult<()> {
    for _ in 0..ROUNDS {
        let segments = source.segments()?;
        let mut are_all_there = true;
        for (n, segment) in segments.iter().enumerate() {
            let is_behind = segments.get(n + 1).is_none_or(|next| *next > end + 1);
            are_all_there &= !is_behind || source.pieces(*segment, take)?;
        }
        if are_all_there {
            return Ok(());
        }
    }
    let what = "retention drops segments faster than they are read: try again";
    Err(ArchiveError::Garbled(what.to_owned()))
}

/// Adds a dead letter that was relocated behind the end of `state`, if it was one there.
fn add_relocated(state: &State, at: Seq, record: &Record, dead_letters: &mut DeadLetterLines) {
    let Record::DeadLetterRecorded { dead, .. } = record else { return };
    let DeliveryId { seq, endpoint } = dead.delivery;
    let was_dead = state.endpoints.get(&endpoint).is_some_and(|found| found.dead.contains(seq));
    if was_dead && !dead_letters.contains_key(&dead.delivery) {
        insert_line(at, record, dead_letters);
    }
}

/// Adds the dead letter that the record is about, if it is one still.
pub(super) fn add_dead_letter(
    state: &State,
    at: Seq,
    record: &Record,
    dead_letters: &mut DeadLetterLines,
) {
    if state.dead_letter_seqs.contains(at) {
        insert_line(at, record, dead_letters);
    }
}

fn insert_line(at: Seq, record: &Record, dead_letters: &mut DeadLetterLines) {
    if dead_letters.len() >= limits::EXPORTED_DEAD_LETTERS {
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
