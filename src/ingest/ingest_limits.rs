//! The limits of ingest that tests make smaller.

use crate::model::limits;

/// How much ingest accepts at a time, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    /// Connections at a time, over all listeners.
    pub connections: usize,
    /// A connection without a request in service is cut after this: slow heads, idleness, answers
    /// not read.
    pub head_timeout_ms: u64,
    /// For a whole body.
    pub body_timeout_ms: u64,
    /// How often the pace of a body is checked.
    pub body_pace_ms: u64,
    /// Heads and bodies in memory at a time, over all requests.
    pub ingest_bytes: usize,
    /// Requests of one address that wait for the scheduler.
    pub accepts_each: usize,
    /// Of one source likewise.
    pub accepts_of_source: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            head_timeout_ms: limits::HEAD_TIMEOUT_MS,
            body_timeout_ms: limits::BODY_TIMEOUT_MS,
            body_pace_ms: limits::BODY_PACE_MS,
            ingest_bytes: limits::INGEST_BYTES,
            accepts_each: limits::ACCEPTS_EACH,
            accepts_of_source: limits::ACCEPTS_OF_SOURCE,
        }
    }
}
