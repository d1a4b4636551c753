//! Deliveries as records hold them: those that wait, and those that are dead.

use serde::{Deserialize, Serialize};

use crate::model::{DeliveryId, Seq, SourceId, WallMs};

/// The reason of dead letters whose event, or whose own record, the log cannot give back.
pub const LOST: &str = "lost";

/// A delivery that goes on waiting while its position in the stream is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDelivery {
    pub delivery: DeliveryId,
    pub position: Seq,
    pub event: Seq,
    pub attempts: u32,
    pub last: Seq,
    #[serde(default)]
    pub key: Option<u64>,
    /// When it was accepted, by the run clock.
    #[serde(default)]
    pub born: u64,
    /// The source of its event; 0 when that is not known.
    #[serde(default)]
    pub source: SourceId,
}

impl WaitingDelivery {
    /// One that the operator asked for again at this time of the run clock: it stands at the end of
    /// the stream, at the position of the record that says so, which that record does not know.
    #[must_use]
    pub fn asked_again(
        delivery: DeliveryId,
        event: Seq,
        attempts: u32,
        last: Seq,
        ran_ms: u64,
    ) -> Self {
        Self { delivery, position: 0, event, attempts, last, key: None, born: ran_ms, source: 0 }
    }
}

/// What is kept of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub delivery: DeliveryId,
    pub event: Seq,
    pub attempts: u32,
    pub died_at: WallMs,
    pub reason: String,
    /// The record of its last attempt, for the history.
    pub last: Seq,
    /// From when on its age counts, by the retention clock: when the segment that first held it was
    /// seen sealed. Known once it has been relocated, and not written before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<WallMs>,
}
