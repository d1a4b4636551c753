//! The log as it is shown: segments, and what a verification found.

use serde::{Deserialize, Serialize};

use crate::api::values::Time;

/// The log and its segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogStatView {
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes of the records.
    pub payload_bytes: u64,
    /// Bytes that the log may take.
    pub quota_bytes: u64,
    /// The first record that is there.
    pub first: u64,
    /// The last durable record.
    pub last: u64,
    pub segments: Vec<SegmentView>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SegmentView {
    pub number: u64,
    pub first: u64,
    /// Null while it is empty.
    pub last: Option<u64>,
    pub records: u64,
    pub payload_bytes: u64,
    /// Bytes on disk.
    pub bytes: u64,
    pub created_at: Time,
    /// Null while it is written to.
    pub sealed_at: Option<Time>,
    /// The end of the checksum chain, SHA-256 in hex.
    pub head: String,
    /// It cannot be opened; its records are lost.
    pub lost: bool,
}

/// The end of the checksum chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogHeadView {
    pub record: u64,
    /// SHA-256 in hex.
    pub hash: String,
}

/// A line of a verification: how far it is, or its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum VerifyLine {
    Progress { progress: ProgressView },
    Report(VerifyView),
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProgressView {
    pub segment: u64,
    pub segments: usize,
    pub records: u64,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifyView {
    pub ok: bool,
    pub records: u64,
    pub segments: usize,
    pub first: u64,
    pub last: u64,
    pub head: String,
    /// The record at which the expected head was found.
    pub expected_at: Option<u64>,
    pub problems: Vec<DamageView>,
}

/// Records that are damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DamageView {
    pub segment: u64,
    pub first: u64,
    pub last: u64,
    pub what: String,
    /// When an operator acknowledged it; null when nobody has.
    #[serde(default)]
    #[cfg_attr(test, schemars(!default))]
    pub acknowledged_at: Option<Time>,
}

/// Damage that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcknowledgedView {
    /// Ranges that had not been acknowledged before.
    pub acknowledged: usize,
    /// All ranges that were meant.
    pub damage: Vec<DamageView>,
}
