//! The records of batches.

use serde::{Deserialize, Serialize};

use super::attempt::Consequence;
use super::restraint::Restraint;
use crate::model::{AttemptReport, BatchId, EndpointId, Seq, SourceId};

/// A delivery that joins a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMember {
    /// The record that made the delivery.
    pub delivery: Seq,
    pub event: Seq,
    /// Its position in the endpoint's stream, when it comes from there.
    pub position: Option<Seq>,
    pub attempts: u32,
    /// The record of its last attempt, or 0.
    pub last: Seq,
    pub key: Option<u64>,
    pub age_ms: u64,
    /// When it was accepted, by the run clock.
    #[serde(default)]
    pub born: u64,
    /// The source of its event; 0 when that is not known.
    #[serde(default)]
    pub source: SourceId,
}

/// One attempt for a batch and its consequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchFinished {
    pub endpoint: EndpointId,
    pub batch: BatchId,
    /// 1 for the batch's first attempt.
    pub number: u32,
    pub report: AttemptReport,
    pub members: Vec<MemberFinished>,
    pub next: BatchConsequence,
    /// The link was to blame, so this does not count as an attempt.
    #[serde(rename = "spared")]
    pub uncounted: bool,
    pub failing_ms: u64,
    /// When it ended, by the run clock.
    #[serde(default)]
    pub ran_ms: u64,
    /// What restrains the endpoint from now on; `None` when nothing does.
    #[serde(default)]
    pub restraint: Option<Box<Restraint>>,
}

/// What the attempt for a batch means for one of its deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFinished {
    pub delivery: Seq,
    pub event: Seq,
    /// The delivery's own count of attempts.
    pub number: u32,
    /// The record of its attempt before this one, or 0.
    pub prev: Seq,
    pub next: Consequence,
}

/// What follows from an attempt for a batch as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchConsequence {
    /// It is over; members that go on do so on their own.
    Over,
    /// The same batch is attempted again, under the same id.
    Again,
    /// Its members go on in two batches: the first so many as `(this record's seq, 0)`, the others
    /// as `(this record's seq, 1)`.
    Split { first: u32 },
}
