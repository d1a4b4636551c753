//! Key material that is kept elsewhere than in the log: secrets in the environment or in the
//! service manager's credentials, key sets that an issuer publishes (JWKS, RFC 7517), and
//! certificates that a provider publishes.
//!
//! * `env:NAME`, `cred:NAME` and `file:/path` take the place of a secret in a source ([`Origins`]).
//!   What they refer to is looked up when the source is used, is never remembered, and is looked up
//!   again when the source changes and on SIGHUP. What is not found any more stays as it was in
//!   memory, and is looked up again after `limits::LOOKUP_AGAIN_MS`.
//! * `--set jwks_url=…` names a key set. It is fetched when the source is created or the daemon
//!   starts, again after `limits::JWKS_REFRESH_MS`, and when a token names a key that is not in it,
//!   but at most once in `limits::JWKS_AGAIN_MS`, whatever senders do. The last good one is kept,
//!   also over a restart (in the data folder), so that the issuer may be away. A set without a
//!   usable key is not a good one. Until there is a first one the source answers 503, so that
//!   senders try again.
//! * `--set certs=fetch` has the certificates fetched that a provider's requests name (SNS,
//!   PayPal): from the provider's own hosts alone, when a request names one that is not here, and
//!   at most `limits::CERTIFICATE_FETCHES` in that time for a source. They are kept until they or
//!   the daemon end; those that have proven a message also over a restart.
//!
//! Invariants: nothing that was looked up reaches a log, a list or a file; a set is fetched through
//! the guarded outbound client that the daemon provides (private addresses only with `--set
//! allow_private=true`), over https, without following redirects, up to `limits::FETCH_BYTES`.

mod cache;
mod certificates;
mod generation;
mod key_sets;
mod keyring;
mod origins;

#[cfg(test)]
mod tests;

pub use keyring::Keyring;
pub use origins::{Fetch, Origins};
