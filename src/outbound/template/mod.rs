//! Templates: what is sent instead of the event's own request.
//!
//! Limits: a template of at most `limits::TEMPLATE_LEN` bytes, `limits::TEMPLATE_FUEL` of work for
//! each rendering (the engine charges steps and every byte it makes, so that memory is bounded,
//! too), `limits::TEMPLATE_BODY_BYTES` of a body that is read or made,
//! `limits::TEMPLATE_HEADER_BYTES` of a header. How deep its expressions go is bounded before they
//! are compiled ([`limits`]), for the engine recurses into them. No includes, no macros, no files.
//!
//! Invariants: a value that is missing is an error, never an empty text; whoever wants that writes
//! `default('')`. What comes from an event cannot leave its place: it is percent-encoded in a path,
//! where `..` is refused, and a header with a control character is refused. A template that fails
//! for an event refuses its delivery: the same event would fail again.
//!
//! Secrets: `secret('env:NAME')` is looked up when it is used. A text is secret when the function
//! was called for it, however the template spells that. It is made a second time with `…` in the
//! place of every secret: that is what is shown of it, and what stood there instead is redacted in
//! every report (`redact`). Headers with the name of a secret one are redacted as well.
//!
//! Things: [`compiled`] has the templates of one endpoint and applies them; [`engine`] compiles
//! one, with its [`filters`] and [`secrets`]; [`context`] has the values of an event,
//! [`json`] its body; [`rendered`] is a result, [`path`] puts one behind a URL.

pub mod compiled;
pub mod context;
pub mod engine;
pub mod filters;
pub mod json;
pub mod limits;
pub mod literal_names;
pub mod path;
pub mod rendered;
pub mod secrets;
#[cfg(test)]
mod tests;
pub mod unreadable;
