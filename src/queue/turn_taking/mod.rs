//! Whose turn it is, as values: the queues in which endpoints wait, when they are woken, the pace
//! that they share, and how many slots are taken. How they are used stands in `attempts`.

pub(super) mod resumed_waits;
pub(super) mod schedule;
pub(super) mod shared_pace;
pub(super) mod slot_counts;
pub(super) mod turns;
pub(super) mod wait_queue;
