//! The daemon's own history: what it did and how it stood, by time, so that plots need nothing
//! beside it.
//!
//! Limits: over all 10 s for an hour, a minute for a day and an hour for thirty days; a minute for
//! a day for each of the [`limits::HISTORY_ENDPOINTS`] busiest endpoints. All rings together take
//! at most [`limits::HISTORY_BYTES`], and so does their file; while it is replaced there are two of
//! it. Slots in which nothing happened take nothing, so a quiet daemon's rings reach back farther.
//!
//! Invariants: every ring gets the same figures, so sums over coarse slots are the sums over fine
//! ones. A clock that is set loses nothing: what happens while it shows a time is counted there,
//! and a time that comes twice adds up. What is not known is not 0: times in which the daemon did
//! not run, or of which something was dropped.
//!
//! Things: [`Figures`](figures::Figures) of a slot, a [`Ring`](ring::Ring) of them in few bytes,
//! the [`Busiest`](busiest::Busiest) endpoints, [`Runs`](runs::Runs) of the daemon, and the
//! [`History`](book::History) of all. These are pure. The [`HistoryKeeper`] gives them the time and
//! what happened.
//!
//! Operations: [`HistoryKeeper::run`] looks at the end of each ten seconds in which something
//! happened, and sleeps while nothing does; `answer` makes rows; `book` reads and writes the file.
//! Nothing here is fatal: a file that cannot be read is put aside, one that cannot be written is
//! left, each with a line in the log.
//!
//! [`limits::HISTORY_ENDPOINTS`]: crate::model::limits::HISTORY_ENDPOINTS
//! [`limits::HISTORY_BYTES`]: crate::model::limits::HISTORY_BYTES

mod answer;
mod block;
mod book;
mod busiest;
mod figures;
mod history_file;
mod keeper;
mod ring;
mod runs;
#[cfg(test)]
mod tests;
mod varint;

pub use keeper::HistoryKeeper;
