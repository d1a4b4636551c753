//! One endpoint in the queue, as one value: [`EndpointQueue`].
//!
//! It has two halves. What is *remembered* of the endpoint, an
//! [`EndpointState`](super::remembered::endpoint_state::EndpointState), is a fold of records: it
//! stands in checkpoints, everybody may read it (the value derefs to it), and only `State::apply`
//! changes it.
//! What the endpoint does *right now*, its runtime, is volatile: after a restart it is made anew
//! from what is remembered, and attempts that were under way are simply due again.
//!
//! Things: the `prefetch` (read ahead from the stream), the `timers` of what waits, its ordering
//! lanes, what is in flight, the concurrency window, the breaker, the rate, its ages, and how far
//! its backlog is worked off.
//!
//! Operations, one file each: `start` (after a restart), `stream` (what comes in and goes out of
//! the prefetch), `turns` (lanes and timers), `pick` (what is attempted next), `batching` (what may
//! join a batch), `flight` (attempts begin and end), `health` (what an attempt says of the
//! endpoint), `aging`, `catching_up` and `latest`.
//!
//! Invariants: an endpoint that was deleted has an empty runtime; nothing outside this folder sees
//! the fields. Limits: `limits::PREFETCH` deliveries and `limits::PREFETCH_BYTES` are read ahead.

mod ages;
mod aging;
mod backlog;
mod batching;
pub(super) mod breaker;
pub(super) mod bucket;
mod catching_up;
mod delivery;
mod endpoint_queue;
mod flight;
mod health;
mod latest;
mod left_out;
mod pick;
mod prefetch;
mod prefetch_memory;
mod retry_shares;
mod start;
mod stream;
mod timers;
mod turns;

pub use aging::OldestWaiting;
pub use delivery::{
    ActiveDelivery, BatchInFlight, MemberInFlight, NextAttempt, SlotKind, TimerKey,
};
pub use endpoint_queue::EndpointQueue;
pub use pick::Picked;
pub use prefetch_memory::PrefetchMemory;
