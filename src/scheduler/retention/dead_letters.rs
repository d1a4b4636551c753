//! Too many dead letters, or too many bytes of them: the oldest are discarded.

use super::access::LogAccess;
use crate::model::{Seq, limits};
use crate::queue::{
    DeadLetterSeqsQuery, DiscardDeadLetters, OldestDeadLetterSeqsQuery, Revive, StatusQuery,
};
use crate::record::DeadLetter;
use crate::scheduler::losses::AskQueue;

/// Dead letters weighed in one step.
const WEIGHED: usize = 32;

/// Work under way on dead letters.
#[derive(Clone, Copy, Debug)]
pub(super) enum DeadLetterWork {
    /// Adds up their bytes, the newest first.
    Weigh { before: Seq, bytes: u64 },
    /// Discards those that died up to this record; with 0 as many as there are too many.
    Discard { upto: Seq },
}

impl DeadLetterWork {
    /// Does a little of it. `None` when there is no more to do.
    pub fn step(self, access: LogAccess<'_>) -> Option<Self> {
        match self {
            Self::Weigh { before, bytes } => weigh(access, before, bytes),
            Self::Discard { upto } => discard(access, upto),
        }
    }
}

/// Adds up the events of dead letters until they are too many bytes; what is older is discarded.
fn weigh(mut access: LogAccess<'_>, before: Seq, mut bytes: u64) -> Option<DeadLetterWork> {
    let most = access.retention.dead_bytes.unwrap_or(u64::MAX);
    let seqs = access.ask(DeadLetterSeqsQuery { before, limit: WEIGHED })?;

    for seq in &seqs {
        let dead = access.dead_letter(*seq);
        bytes += dead.and_then(|dead| access.event_bytes(dead.event)).unwrap_or(0);
        if bytes > most {
            return Some(DeadLetterWork::Discard { upto: *seq });
        }
    }
    seqs.last().map(|last| DeadLetterWork::Weigh { before: *last, bytes })
}

/// Discards some of the oldest dead letters: up to `upto`, or as many as there are too many.
fn discard(mut access: LogAccess<'_>, upto: Seq) -> Option<DeadLetterWork> {
    let limit = if upto > 0 { limits::SLICE } else { too_many(access).min(limits::SLICE) };
    let mut seqs = access.ask(OldestDeadLetterSeqsQuery { limit })?;
    seqs.retain(|seq| upto == 0 || *seq <= upto);

    let revive = |seq: &Seq| {
        let DeadLetter { delivery, event, attempts, last, .. } = access.dead_letter(*seq)?;
        Some(Revive { delivery, event, attempts, last, dead_letter_seq: Some(*seq) })
    };
    let deliveries: Vec<Revive> = seqs.iter().filter_map(revive).collect();
    if deliveries.is_empty() {
        return None;
    }

    let count = deliveries.len();
    let discarded = access.ask(DiscardDeadLetters { deliveries })?;
    if discarded == 0 {
        return None;
    }
    tracing::info!(count, "discarded the oldest dead letters: there were more than are kept");
    Some(DeadLetterWork::Discard { upto })
}

fn too_many(mut access: LogAccess<'_>) -> usize {
    let Some(status) = access.ask(StatusQuery) else { return 0 };
    let most = access.retention.dead_events.unwrap_or(u64::MAX);
    usize::try_from(status.dead.saturating_sub(most)).unwrap_or(usize::MAX)
}
