//! The pace that all endpoints share which work off a backlog, and the queue of those who wait for
//! it. See `pace`.

use super::wait_queue::WaitQueue;
use crate::model::{EndpointId, Rate};
use crate::queue::endpoint::bucket::TokenBucket;

/// Attempts in a second of an overall limit, and who waits for one.
#[derive(Debug)]
pub struct SharedPace {
    pub rate: Rate,
    pub bucket: TokenBucket,
    pub waiting: WaitQueue,
    /// Whose turn it is.
    pub turn: Option<EndpointId>,
}

impl SharedPace {
    /// When the next token is there, on the monotonic clock.
    #[must_use]
    pub fn ready_at(&self) -> u64 {
        self.bucket.ready_at(self.rate, 1)
    }

    /// A deleted endpoint waits for nothing.
    pub fn leave(&mut self, id: EndpointId) {
        self.waiting.remove(id);
    }
}
