//! What the events of a batch add up to.

use crate::model::{Event, limits};

/// The size of the events that were gathered so far: their bodies, which the endpoint's setting
/// bounds, and what they take in memory with their headers, which a sender can make large while the
/// bodies are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchSize {
    bodies: u64,
    memory: u64,
}

impl BatchSize {
    pub fn add(&mut self, event: &Event) {
        self.bodies += event.body.len() as u64;
        self.memory += event.cost() as u64;
    }

    /// Whether it is larger than a batch whose bodies may have so many bytes.
    #[must_use]
    pub fn exceeds(&self, max_bytes: u64) -> bool {
        self.bodies > max_bytes || self.memory > max_bytes.max(limits::BATCH_OUT_MEMORY)
    }
}
