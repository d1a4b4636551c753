//! What is remembered: the facts that the log holds, in past tense, and their codec.
//!
//! A record is a resolved fact: times are absolute, jitter is drawn, the fan-out is matched.
//! Folding the same records years later gives the same state. One record holds a result *and* its
//! consequence, so that no crash falls between the two.
//!
//! **Format** (see [`codec`]): a version byte, then MessagePack as rmp-serde writes it. Variants
//! are written by *name*, fields by *position*. It follows what may change:
//!
//! * A variant may be added anywhere, and variants may be reordered. An older version refuses a log
//!   that holds a variant it does not know, and says so.
//! * A variant may be renamed in the code, with `#[serde(rename = "…")]` and the name it has in
//!   logs. A name is never reused with another meaning.
//! * A field may be added at the end, with `#[serde(default)]`. Fields are never reordered,
//!   removed, or added elsewhere.
//! * A field may be renamed: its name is not in the log. Where records are shown as JSON
//!   (`hookboxctl log salvage`) it is, so a renamed field keeps its old name there by
//!   `#[serde(rename = "…")]`.
//!
//! The tests of this module hold these rules, and `tests/library/format.rs` reads a log of each
//! format there was. `docs/internals/log-format.md` has the table.
//!
//! Files: `variants` ([`Record`]), then what its variants hold (`attempt`, `batch`, `delivery`,
//! `replay`, `restraint`), `contents` (the table of kinds by what they hold), `history` (one
//! delivery's view of a record), [`codec`] (records to bytes), [`Sieve`] (which bytes need not be
//! decoded), and [`mod@line`] (events as lines of JSON).

mod attempt;
mod batch;
pub mod codec;
mod contents;
mod delivery;
mod history;
pub mod line;
mod raw_fields;
mod replay;
mod restraint;
mod sieve;
mod variants;

#[cfg(test)]
mod tests;

pub use attempt::{AttemptFinished, Consequence};
pub use batch::{BatchConsequence, BatchFinished, BatchMember, MemberFinished};
pub use codec::{RecordError, decode, encode, encode_around};
pub use contents::{HeldEvent, NewDelivery};
pub use delivery::{DeadLetter, LOST, WaitingDelivery};
pub use history::{DeliveryAttempt, DeliveryFact, NONE_TAKEN, OTHERS_TAKEN};
pub use replay::{Replay, ReplayFilter};
pub use restraint::{OpenBreaker, Restraint, Wait};
pub use sieve::Sieve;
pub use variants::Record;
