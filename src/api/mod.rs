//! The contract: what is written and shown over the admin socket, on the command line and in files.
//!
//! A setting is one field of a spec ([`SourceSpec`], [`EndpointSpec`]). The field is the option of
//! `hookboxctl`, the key in JSON and in files, the property in `openapi.json` and the row in
//! `docs/reference/settings.md`; its doc comment is the help text of all of them, and its type
//! states the range. Answers are the types of [`views`].
//!
//! Invariants:
//! * A name is spelled once: the option `--retry-base` is the key `retry_base`, and in `--reset`
//!   either.
//! * Durations and sizes are text (`"1s"`, `"25MiB"`); numbers are taken, too (seconds, bytes).
//! * Changes are a JSON merge patch (RFC 7396): what is absent stays, `null` restores the default.
//! * Nothing here reads a clock, a file or a socket. Only `model` is known.
//!
//! Refused: a value out of its range, an unknown key, settings that contradict each other
//! ([`SpecError`] names the setting and what to do).

pub mod apply;
pub mod bodies;
pub mod body;
mod endpoint_checks;
pub mod endpoint_spec;
pub mod given;
#[cfg(test)]
mod schema;
mod secret_choice;
pub mod source_spec;
pub mod source_warnings;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod text;
pub mod values;
pub mod views;

pub use crate::model::{DeliveryFilter, EventFilter};
pub use apply::{ApplyBody, ConfigurationSet};
pub use bodies::{
    CheckBody, DeadLettersBody, EmptyBody, ExtendBody, GivenUpBody, IdsBody, LeaseBody, RejectBody,
    ReplayBody, RotateBody, SendEventBody, TestEndpointBody,
};
pub use endpoint_spec::EndpointSpec;
pub use secret_choice::SecretChoice;
pub use source_spec::SourceSpec;
pub use spec::{Patch, Spec, SpecError};
