//! The thread: one thread decides and remembers; everything else transports.
//!
//! A step drains the bounded channel, asks the queue, commits all records of the step as one
//! durable group commit, and only then releases actions and answers. The commit gives a token and
//! the release demands it, so the type system keeps the order.
//!
//! Things: [`Core`] (one step, over any [`Store`], so that the simulation drives the very same
//! code), the thread around it (`thread`, `watchdog`), which requests share a step (`gathering`),
//! the [`Handle`] that the other modules hold and the [`Envelope`] in which a request travels with
//! the place of its answer, the workers that find out where events go before they come to the
//! thread (`matching`, `unreadable_bodies`), the reader of the log that refills prefetches and
//! scans for replays (`reader`, `patient`, `reads`), retention (`retention`, `relocate`,
//! `retention_clock`), the loss of records (`losses`), how threads sleep that have nothing to do
//! (`doze`), the gate before all listeners (`accept_gate`), what follows from how full the disk
//! is (`disk_level`, `disk_thresholds`, `disk_reports`), and what is measured (`meters`).
//!
//! Limits: `limits::STEP_INPUTS` requests and about `limits::STEP_BYTES` of events a step; a
//! channel of fixed size. Fatal: an error of the log, or a write that does not return within
//! `limits::COMMIT_TIMEOUT_MS`; the process ends at once, because an fsync must never be tried
//! again. Refused: more requests than the channel holds (`Refusal::Busy`).

mod accept_gate;
mod core;
mod directory;
mod disk_level;
mod disk_reports;
mod disk_thresholds;
mod doze;
mod envelope;
mod gathering;
mod handle;
mod health;
mod losses;
mod matching;
mod meters;
mod patient;
mod pending_reads;
mod read_log;
mod reader;
mod reads;
mod relocate;
mod retention;
mod retention_clock;
mod shares;
mod stream_reads;
mod tail;
mod tally;
#[cfg(test)]
mod testing;
mod thread;
mod unreadable_bodies;
mod wanted;
mod watchdog;

pub use self::core::{Core, Released, Store};
pub use accept_gate::{AcceptGate, Entered};
pub use directory::Directory;
pub use disk_level::DiskState;
pub use disk_thresholds::DiskLevel;
pub use envelope::{AnswerReceiver, Envelope, HeldAnswer};
pub use handle::{Channels, Handle, channel};
pub use health::Health;
pub use losses::{AskQueue, settle_at_start};
pub use meters::Meters;
pub use read_log::{ReadLog, Walk, event_of};
pub use reads::{read, read_streams};
pub use relocate::{Records, RetirementStep, Retiring, slice};
pub use retention::Retention;
pub use shares::ShareCounts;
pub use tail::TailLine;
pub use tally::{Counted, DURATIONS, DurationCounts, LATENCY_MS, SHORT_MS, Tally};
pub use thread::{SchedulerParts, start};
pub use unreadable_bodies::UnreadableBodies;
pub use watchdog::Fatal;

pub use crate::model::Clock;
pub use crate::queue::AttemptOrder;
