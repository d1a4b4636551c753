//! `pull:` targets: consumers come for their deliveries, lease them, and report what became of
//! them.
//!
//! A consumer waits at most `limits::LEASE_WAIT_MS`. The [`hub`] reports to the queue how many
//! deliveries of an endpoint may be out: those that are leased, those that are offered, and those
//! that consumers wait for. The queue starts no more. A delivery is leased to the consumer that has
//! waited longest, under an unguessable name and for a time. One that comes when nobody waits any
//! more is offered to the next consumer, and goes back to the queue after `limits::OFFER_WAIT_MS`.
//! It ends when the consumer acknowledges it, and is tried again when the consumer rejects it or
//! lets the time run out.
//!
//! Leases are in memory alone: after a restart every delivery that was leased is due again, under
//! the same event's id.
//!
//! Limits: `limits::LEASES` at a time, `limits::CONSUMERS` waiting at a time, `limits::LEASE_MAX`
//! in one answer, and about `limits::LEASE_BYTES` of bodies; no more of these are asked for at a
//! time either. Invariant: each delivery is leased to one consumer at a time.

pub mod consumers;
pub mod hub;
pub mod report;
#[cfg(test)]
mod tests;
pub mod transport;
