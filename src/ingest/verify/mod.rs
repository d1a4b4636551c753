//! Verification: is this request what its provider sent? One file a scheme, each with the same
//! functions in the same order: `check` (are the settings complete), `recipient` (do they name the
//! recipient of a proof), `verify` (handshake, then what is signed, by which key, when), `describe`
//! (which type, which dedupe key, which answer).
//!
//! Invariants:
//! * Pure. No clock (`now_unix` is an argument), no network, no randomness, no panic on any input.
//! * What is signed is verified over the bytes as they came, before anything is parsed out of them.
//! * Secrets and MACs are compared in constant time, see [`crypto`].
//! * A header that holds a proof occurs exactly once; twice is refused, for it is unknown which one
//!   counts.
//! * All live secrets of a source are tried. A handshake is answered without a proof only where the
//!   provider signs none (HEAD of Intercom and Mandrill, OPTIONS of CloudEvents and bins, what
//!   `--set handshake=…` asks for), and nothing is logged for it.
//! * Strictness where nothing else is documented: hex in lower case, base64 with its padding, as
//!   the official SDKs compare them. Each file says where its SDKs disagree and what was chosen.
//!
//! Files: `table` (all schemes, and [`verify()`]), `scheme` (the description of one), `settings`
//! (their check), `request`, `verdict`, `refusal`; then what schemes share: `params` (`--set`),
//! `secrets`, `timestamps`, `crypto`, `public_key`, `pinned_certificates`, `jws` and `token_keys`,
//! `handshake`, `body_part`, `json`, `form`, `batch`, `structured` and `signature_base`.
//!
//! Refused, as data: every request that is not proven ([`Verdict::Refused`], whose `reason` is for
//! the operator only). Nothing here is fatal, and nothing is retried: the sender does that.

mod apikey;
mod batch;
mod bin;
mod body_part;
mod bounds;
mod braintree;
mod certificate;
mod circleci;
mod cloudevents;
mod crypto;
mod dialogflow;
mod discord;
mod form;
#[cfg(fuzzing)]
pub mod fuzzing;
mod github;
mod gitlab;
mod handshake;
mod hmac;
mod intercom;
mod json;
mod jws;
mod jwt;
mod mailchimp;
mod mandrill;
mod mtls;
mod none;
mod okta;
mod paddle;
mod params;
mod paypal;
mod pinned_certificates;
mod public_key;
mod pubsub;
mod refusal;
mod request;
mod rfc9421;
mod scheme;
mod secrets;
mod sendgrid;
mod settings;
mod shopify;
mod signature_base;
mod slack;
mod sns;
mod standard_webhooks;
mod stripe;
mod structured;
mod svix;
mod table;
mod timestamps;
mod token_keys;
mod travis;
mod twilio;
mod verdict;

#[cfg(test)]
mod tests;

pub(super) use cloudevents::attribute as cloudevents_attribute;
pub(super) use crypto::fingerprint as digest;

pub use certificate::{AlternativeName, CertificateLapse, ClientCert};
pub use request::Request;
pub use scheme::{ANY_METHOD, Need, Scheme};
pub use settings::{advice, check_settings};
pub use table::{
    SCHEMES, TABLE, answers, certificate_end, certificate_url, check_key_set, default_max_body,
    fetches_certificates, has_own_content, key_set, methods, needs_recipient_first,
    provider_makes_secret, scheme, secret_header, signs_url, unnamed, unnamed_recipient,
    uses_secret, verify,
};
pub use token_keys::{JWKS_URL, TokenKeys};
pub use verdict::{
    BodyPart, FollowUp, Proven, ProviderAnswer, REFUSAL_KINDS, Signed, SplitEvent, Verdict,
};

pub use refusal::uncheckable;
use refusal::{ProofRefusal, VerifyResult};
