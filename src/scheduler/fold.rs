//! The fold: the state as the log gives it, from one checkpoint and the records behind it. A start
//! takes up its state so, and each checkpoint is made so while the daemon runs.

use crate::log::{FoldBase, LogError, Reader};
use crate::model::Seq;
use crate::queue::{State, StateError};

/// Records between two looks at whether to go on.
const LOOK: u64 = 256;

/// A state that was folded.
#[derive(Debug)]
pub struct Folded {
    pub state: State,
    /// Records are missing or cannot be read: what the queue makes of that while it runs, no fold
    /// gives.
    pub has_gaps: bool,
}

/// Why there is no state.
#[derive(Debug)]
pub enum FoldError {
    Checkpoint(StateError),
    Read(LogError),
    Record(StateError),
    /// It was not to go on.
    Stopped,
    /// The disk has no space for what would be written.
    NoSpace,
}

/// Folds the records before `end`, as long as `go_on` says so.
///
/// # Errors
/// When the checkpoint or a record is of a later version, or cannot be read now but perhaps later,
/// and when it was stopped. Damage is no error: it is reported and passed over.
pub fn fold_log(
    reader: &Reader,
    base: &FoldBase,
    end: Seq,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Folded, FoldError> {
    let checkpoint = base.state.as_deref().map(State::from_checkpoint);
    let mut state =
        checkpoint.transpose().map_err(FoldError::Checkpoint)?.unwrap_or_else(State::new);
    let mut has_gaps = false;

    for item in reader.forward(base.fold_from) {
        let (seq, record) = match item {
            Ok(item) => item,
            // It may be readable at the next start, so nothing may be left out now.
            Err(error) if error.is_newer() || !error.is_damage() => {
                return Err(FoldError::Read(error));
            }
            Err(error) => {
                tracing::error!(%error, "records that cannot be read are left out");
                has_gaps = true;
                continue;
            }
        };
        if seq >= end {
            break;
        }
        if seq.is_multiple_of(LOOK) && !go_on() {
            return Err(FoldError::Stopped);
        }

        let lost = state.skip_lost(seq);
        if lost > 0 {
            tracing::error!(before = seq, lost, "records are lost; see `hookboxctl log verify`");
            has_gaps = true;
        }
        state.apply(seq, &record).map_err(FoldError::Record)?;
    }

    has_gaps |= state.skip_lost(end) > 0;
    Ok(Folded { state, has_gaps })
}
