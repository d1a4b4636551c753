//! The filters of endpoints (`--where`): one logical expression of RFC 9535 over `{type, source,
//! headers, query, body}`.
//!
//! The sender of an event decides how much a filter has to look at, so all work is counted: a
//! filter is given [`Steps`], each value, comparison, character and automaton state that it touches
//! takes one, and when none are left it stops with an error. There is no clock: the same event and
//! the same steps give the same result everywhere.
//!
//! Differences from a query library: numbers are compared exactly; names of headers match in any
//! case; only `limits::FILTER_BYTES` and `limits::FILTER_NODES` of a body are parsed, and a filter
//! that needs more is an error.
//!
//! Limits: `limits::FILTER_LEN` bytes of an expression, nested `limits::FILTER_DEPTH` times;
//! `limits::FILTER_PATTERN` bytes for its compiled regular expressions.
//!
//! Files: `compiled` ([`Filter`]), `parse` (text to `syntax`, in one pass without backtracking),
//! `input` (the event), `eval` (logic and queries), `value` (comparisons), `pattern` (regular
//! expressions), `budget` (steps), `roots` (the members of the event that are named).

mod budget;
mod compiled;
mod eval;
mod input;
mod parse;
mod pattern;
mod roots;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

pub use budget::{Steps, Stop};
pub use compiled::Filter;
pub use input::FilterInput;
