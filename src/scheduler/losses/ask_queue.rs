//! Asking the queue from a thread that may wait.

use crate::queue::QueueRequest;

/// Whoever can ask the queue and wait for the answer.
pub trait AskQueue {
    /// The answer; `None` when the queue cannot give one now.
    fn ask<R: QueueRequest>(&mut self, request: R) -> Option<R::Answer>;
}
