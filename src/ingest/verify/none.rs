//! `none`: no proof is asked.
//!
//! * Header, algorithm, signed bytes: none. Whoever reaches the URL is trusted; use `--allow` or
//!   `--token`.
//! * Type and dedupe key: from the source's settings or the request's own `webhook-id` (not decided
//!   here).
//! * Handshakes: those of [`super::handshake`] that need no secret.
//! * Checked with: tests of its own.
//!
//! **What it proves.** Anybody who reaches the URL; `--token` makes it unguessable, `--allow`
//! restricts the addresses. Nothing names a recipient, nothing is signed, and everything is
//! trusted. A repetition is what the common headers, or the source's settings, call the same.
//! Somebody else's id can be used, but takes nothing away: an event that has it and another body is
//! kept.

use crate::model::Source;

use super::handshake;
use super::{Need, Proven, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "none",
    header: "none",
    algorithm: "none",
    signed: "nothing",
    replay: "none",
    dedupe: "the source's settings",
    kind: "the source's settings",
    checked_with: "own tests",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[handshake::PARAM, handshake::TOKEN_PARAM],
    check: handshake::check_without_secret,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn verify(_: &Source, _: &Request<'_>, _: i64) -> VerifyResult {
    Ok(Verdict::Proven(Proven::default()))
}
