//! Deliveries and batches that wait for an attempt, as the state remembers them.

use serde::{Deserialize, Serialize};

use super::age::RUN_START;
use crate::model::{BatchFormat, BatchId, Seq, SourceId, WallMs};

/// A delivery that waits for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    pub event: Seq,
    pub attempts: u32,
    pub due_at: WallMs,
    pub delay_ms: u64,
    /// How long it had been tried when there was no run clock yet; 0 by now.
    pub age_ms: u64,
    /// The record of its last attempt.
    pub last: Seq,
    /// The lane it is the head of, where the endpoint keeps an order.
    #[serde(default)]
    pub key: Option<u64>,
    /// The batch it waits with; the batch's own times count then.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Waits for the operator, and so does its lane.
    #[serde(default)]
    pub parked: bool,
    /// When it was accepted, by the run clock; see [`Retrying::born`].
    #[serde(default)]
    pub born: u64,
    /// The operator asked for it again: it stands for itself, whatever came later.
    #[serde(default)]
    pub asked: bool,
    /// Its position in its lane, where that is not its own number: the record that put it at the
    /// end of the stream again.
    #[serde(default)]
    pub position: Option<Seq>,
    /// The source of its event; 0 when that is not known. It never changes: see
    /// [`super::retries::Retries`].
    #[serde(default)]
    pub source: SourceId,
}

/// A batch that waits for an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingBatch {
    /// By the records that made the deliveries, in their order.
    pub members: Vec<Seq>,
    pub attempts: u32,
    pub due_at: WallMs,
    pub delay_ms: u64,
    /// Its members' own count; 0 by now.
    pub age_ms: u64,
    /// It is part of a larger one that was refused.
    pub halved: bool,
    /// How it is written, whatever its endpoint says by now; `None` where an older version formed
    /// it.
    #[serde(default)]
    pub format: Option<BatchFormat>,
    /// The attempt after which the whole was halved.
    #[serde(default)]
    pub halved_at: Seq,
}

impl Retrying {
    /// The position in the stream that a delivery was taken from, where that is not its own number.
    #[must_use]
    pub fn position_if_moved(delivery: Seq, position: Seq) -> Option<Seq> {
        (position != delivery).then_some(position)
    }

    /// One that is due at once and has not been tried for any time that counts.
    #[must_use]
    pub fn due(event: Seq, attempts: u32, last: Seq, due_at: WallMs) -> Self {
        Self {
            event,
            attempts,
            due_at,
            delay_ms: 0,
            age_ms: 0,
            last,
            key: None,
            batch: None,
            parked: false,
            born: 0,
            asked: false,
            position: None,
            source: 0,
        }
    }

    /// The same, asked for again by the operator's record `seq`: it begins a life of its own.
    #[must_use]
    pub fn asked_again(self, seq: Seq, ran_ms: u64) -> Self {
        Self { born: ran_ms, asked: true, position: Some(seq), ..self }
    }

    /// When it was accepted, by the run clock.
    #[must_use]
    pub fn born(&self) -> u64 {
        if self.born > 0 { self.born } else { RUN_START.saturating_sub(self.age_ms) }
    }
}
