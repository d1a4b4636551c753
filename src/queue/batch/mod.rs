//! Batches: deliveries of one endpoint that are sent in one request, and what follows from an
//! attempt for each of them.
//!
//! A batch closes by the number of its events, by their size, or when the oldest has waited long
//! enough. Its members are remembered before it is sent, so that it is the same batch, under the
//! same id, at every attempt. Each delivery keeps its own count of attempts, its own history and
//! its own end.
//!
//! A receiver may take all events but some (`failed`): these go on alone, and join other batches. A
//! batch that is refused for its content (400, 413, 422), or that is given up although its receiver
//! answers, is split in halves, until the event that it was refused for is alone and dies alone.
//!
//! Files, in the order of a batch's life: `gather` (deliveries become a batch), `send` (it is sent,
//! and sent again), `finish` (an attempt has ended), with `outcome` (what follows for the batch and
//! its members) and `size` (when it is full), which are pure. When they are attempted again says
//! `attempts::attempt_retry`, as for single deliveries.

mod finish;
mod gather;
mod outcome;
mod send;
mod size;

pub use size::BatchSize;

#[cfg(test)]
mod tests;
