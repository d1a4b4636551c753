//! The thread: one thread decides and remembers; everything else carries.
//!
//! A step drains the bounded door, asks the queue, commits all records of the step as one durable group commit,
//! and only then releases actions and answers. The commit gives a token and the release demands it, so the type
//! system keeps the order.
//!
//! Things: [`Core`] (one step, over any [`Store`], so that the simulation drives the very same code), the thread
//! around it (`thread`), the [`Handle`] that the other rooms hold, the readers of the log that refill windows and
//! scan for replays (`reads`), retention (`retention`, `carry`, `calendar`), and what follows from how full it is (`room`).
//!
//! Limits: `limits::STEP_INPUTS` inputs and about `limits::STEP_BYTES` of events a step; a door of fixed size.
//! Fatal: an error of the log, or a commit that takes longer than `limits::COMMIT_TIMEOUT_MS`; the process ends at
//! once, because an fsync must never be tried again. Refused: more requests than the door holds (`Refusal::Busy`).

pub mod calendar;
pub mod carry;
pub mod core;
pub mod handle;
mod reads;
mod retention;
pub mod room;
mod tail;
mod thread;

pub use self::core::{Core, Released, Store};
pub use carry::{Records, Retiring};
pub use handle::{Directory, Door, Envelope, Handle, Health, TailLine};
pub use reads::{Wanted, complete, load_batch, refill, refill_back, scan, scan_matches};
pub use retention::Retention;
pub use room::{Level, RoomState};
pub use thread::{AttemptOrder, Clock, Fatal, Parts, start};
