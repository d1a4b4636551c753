//! The record of one attempt for one delivery.

use serde::{Deserialize, Serialize};

use super::restraint::Restraint;
use crate::model::{AttemptReport, DeliveryId, HoldReason, Now, Seq, SourceId, WallMs};

/// One attempt and its consequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFinished {
    pub delivery: DeliveryId,
    /// The record that holds its event: the delivery's own, except for replays.
    pub event: Seq,
    /// 1 for the first.
    pub number: u32,
    pub report: AttemptReport,
    pub next: Consequence,
    /// The record of the attempt before this one, 0 when there is none: history reads backwards.
    pub prev: Seq,
    /// The delivery's position in its endpoint's stream, when this was its first attempt from
    /// there.
    pub position: Option<Seq>,
    /// Everything in the endpoint's stream up to here has been taken up by now.
    pub low: Seq,
    /// The lane it is the head of, when the endpoint keeps an order.
    #[serde(default)]
    pub key: Option<u64>,
    /// The link was to blame, so this does not count as an attempt.
    #[serde(default, rename = "spared")]
    pub uncounted: bool,
    /// How long every attempt of the endpoint has failed by now, counted while the daemon ran and
    /// was online.
    #[serde(default)]
    pub failing_ms: u64,
    /// When the delivery was accepted, by the run clock.
    #[serde(default)]
    pub born: u64,
    /// When this attempt ended, by the run clock.
    #[serde(default)]
    pub ran_ms: u64,
    /// What restrains the endpoint from now on; `None` when nothing does.
    #[serde(default)]
    pub restraint: Option<Box<Restraint>>,
    /// The source of its event, where it waits for another attempt; 0 when that is not known.
    #[serde(default)]
    pub source: SourceId,
}

/// What follows from an attempt for a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consequence {
    Delivered,
    /// Attempt again in `delay_ms` from this record, which is `due_at` by the wall clock. `age_ms`:
    /// how long the delivery has been tried by now, counted while the daemon ran.
    Retry {
        due_at: WallMs,
        delay_ms: u64,
        age_ms: u64,
    },
    Dead {
        reason: String,
    },
    /// This record puts the endpoint on hold; the delivery waits.
    Held {
        reason: HoldReason,
    },
    /// The operator had ended it while the attempt was in flight.
    Ended,
    /// Its lane waits behind it until the operator decides.
    Parked {
        reason: String,
    },
}

impl Consequence {
    /// Whether the delivery waits for another attempt.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Held { .. } | Self::Parked { .. })
    }

    /// Why it puts the endpoint on hold, if it does.
    #[must_use]
    pub fn holds(&self) -> Option<&HoldReason> {
        match self {
            Self::Held { reason } => Some(reason),
            _ => None,
        }
    }

    /// Attempt again in `delay_ms` from now.
    #[must_use]
    pub fn retry(now: Now, delay_ms: u64, age_ms: u64) -> Self {
        Self::Retry { due_at: now.wall_ms.saturating_add(delay_ms), delay_ms, age_ms }
    }
}
