//! Retention: whole segments are dropped, oldest first, when everything in them has had its time.
//! What is still needed in one (undelivered events, dead letters that are kept longer) is relocated
//! first, see `relocate`.
//!
//! The oldest segment goes when one of these holds: it is older than `delivered_ms` by the
//! retention clock; so many events or so many bytes came after it that the budget for what has
//! ended is full without it; or the disk needs the space. For the last two it is surveyed first: a
//! segment of which most lives would only be written anew, so it stays, unless there is much behind
//! it that has ended.
//!
//! Dead letters go when they are older than `dead_ms`, which is looked at when their segment goes,
//! and the oldest of them as soon as there are more than `dead_events`, or more than `dead_bytes`
//! of their events.
//!
//! When so little space is left that relocation would take the last of it, a segment goes all the
//! same if dropping it gives back more than what lives in it takes, or if much behind it has ended:
//! it is surveyed for that, after its dead letters have been looked at, for those whose time is
//! over need no event any more. So a full log gets its space back without anybody's help, unless
//! nearly all of it lives.
//!
//! All of it is done in small steps, between the orders of the scheduler. Things: the
//! [`RetentionKeeper`] chooses what to do next; a `Survey`, a `SegmentRetirement` and
//! `DeadLetterWork` each do one thing step by step.

mod access;
mod dead_letters;
mod keeper;
mod segment;
mod stays;
mod survey;

#[cfg(test)]
pub(super) use access::LogAccess;
pub(super) use keeper::RetentionKeeper;

/// How long, how many, and how much is kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Events that have been delivered or cancelled, and the history of their attempts.
    pub delivered_ms: u64,
    pub delivered_events: Option<u64>,
    pub delivered_bytes: Option<u64>,
    /// Dead letters.
    pub dead_ms: u64,
    pub dead_events: Option<u64>,
    pub dead_bytes: Option<u64>,
}
