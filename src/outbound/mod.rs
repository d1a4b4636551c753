//! Attempts go out: guard the address, sign, send, classify.
//!
//! Each kind of target has a transport: [`http`], [`exec`], [`pull`]. All implement
//! `transport::Transport`, and `prepared::transport` chooses between them by the endpoint's
//! `model::Target`.
//!
//! Invariants: every address goes through [`guard`] right before it is dialled, unless the endpoint
//! has `allow_private`; redirects are not followed; idle connections belong to one endpoint in one
//! configuration; secrets never reach a report. One attempt makes one request, and every request is
//! in the history. The limits stand in the transports' manuals.
//!
//! Things: [`Outbound`] (`attempts`) holds what is `prepared` for each endpoint; `settings` is what
//! the daemon gives it, `parsed_policy` its rules as they are used. `message` is what is sent, of
//! one event or of a `batch`, by a `template` or as it came; `sign` signs it. `classify` says what
//! a `response` means, `failure` why there is none, `redact` takes secrets out of reports. `guard`,
//! `own_address` and `resolve` are about addresses.
//!
//! Operations: [`Outbound::attempt`] and [`Outbound::attempt_batch`] make one attempt and always
//! report; [`Outbound::preview`] shows what an attempt would send; [`Outbound::fetch`] gets a URL
//! that is not an endpoint; [`Outbound::forget`] drops what belongs to endpoints that are gone;
//! [`check_endpoint`] is asked before an endpoint is created or changed; [`generate_secret`].
//!
//! Refused (trying again is of no use): URLs and secrets that cannot be used, literal addresses and
//! ports that may not be dialled. Retried by policy: everything else, also names that lead to
//! refused addresses, since names change. Nothing here is fatal.

mod attempts;
mod batch;
mod boxed;
mod check;
mod classify;
mod exec;
mod failure;
mod fetch;
mod guard;
mod http;
mod message;
mod own_address;
mod parsed_policy;
mod prepared;
mod preview;
pub mod pull;
mod redact;
mod resolve;
mod response;
mod settings;
mod sign;
mod template;
#[cfg(test)]
mod tests;
mod tls_words;
mod transport;

pub use attempts::Outbound;
pub use batch::failed_events;
pub use check::{check_endpoint, computed_secret};
pub use exec::supervise::supervise;
pub use failure::EndpointRefusal;
pub use preview::Preview;
pub use pull::hub::LeaseHub;
pub use resolve::{Resolve, SystemResolver};
pub use settings::{NoteShare, OutboundError, OutboundPolicy, OutboundSettings, SecretLookup};
pub use sign::{generate_secret, weak_secret};
