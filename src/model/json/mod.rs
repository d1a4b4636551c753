//! JSON as senders write it: one reader for the JSON Pointers of sources and endpoints, for the
//! filters of endpoints and for templates, so that all of them see the same.
//!
//! It is as strict as RFC 8259, with four exceptions, each of which would otherwise hide a whole
//! document for the sake of one field: a byte order mark at the start, half of a surrogate pair
//! (`"\ud83d"`), bytes that are not UTF-8, and control characters within a string. Where a text is
//! read, what has no character is U+FFFD there, and the reader says that the text is not exact.
//! Numbers keep their text.
//!
//! Things: `JsonReader` (tokens, without recursion and without memory but one bit for each level),
//! `Doc` (a tree of 16 bytes for each value, which points into the body), [`Number`] (compared
//! exactly), `pointer` (RFC 6901, without a tree), `pieces` (members and elements as they stand).

pub mod number;
pub mod pieces;
pub mod pointer;
mod read;
mod tree;
mod widely_read;
mod write;

pub use number::Number;
pub use read::{JsonError, JsonText};
pub use tree::{Bounds, Children, Doc, JsonKind, Node};
pub use widely_read::is_widely_read;
pub use write::compact;
