//! Sources and endpoints as files: `[source.NAME]` and `[endpoint.NAME]`, in TOML or JSON.
//!
//! Things: a [`ConfigurationSet`] is what files ask for, an [`Entry`] one source or endpoint of it:
//! its settings, under the keys of the options, and the name that it had before. A set is read from
//! text ([`FileFormat`]) and written as text ([`toml_text`]); [`ApplyBody`] is the request.
//!
//! Invariants: what is written reads back as the same settings. A setting that an entry leaves out
//! has its default, but for the secret, which stays as it is. Nothing here reads a file.
//!
//! Refused, with the file and the line ([`SetFileError`]): what is not TOML or JSON, a table that
//! is neither a source nor an endpoint, an unknown key, a value out of its range, a name that is
//! given twice.

mod body;
mod configuration_set;
mod file;
mod json_lines;
pub mod unique_keys;
mod written;

pub use body::ApplyBody;
#[cfg(test)]
pub use body::{SchemaOfEndpoints, SchemaOfSources};
pub use configuration_set::{ConfigurationSet, Entry, entry_json};
pub use file::{FileFormat, SetFileError};
pub use written::toml_text;
