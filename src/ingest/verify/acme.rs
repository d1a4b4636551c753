//! Acme, a provider that does not exist.
//!
//! * Header: `X-Acme-Signature: <hex>`.
//! * Algorithm and signed bytes: HMAC-SHA256 of the body, keyed by the secret's text.
//! * Replay protection: none. Dedupe id: the body's `id`. Type: the body's `type`.
//! * Source: none. Checked with: two vectors made for the purpose.
//!
//! **What it proves.** Whoever holds the secret, the recipient included. The recipient is named by
//! the secret. Signed is the body; headers and URL are not, and are not believed. A retry repeats
//! `id` and body; different deliveries share nothing.

use crate::model::Source;

use super::crypto::{HashFunction, unhex};
use super::json::scalars;
use super::secrets::prove_hmac;
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "acme",
    header: "X-Acme-Signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "body",
    replay: "none",
    dedupe: "body id",
    kind: "body type",
    checked_with: "vectors made for it",
    secret: Need::Required,
    public_key: Need::Unused,

    ..Scheme::new(verify)
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let given = unhex(request.header("x-acme-signature")?)
        .ok_or_else(|| ProofRefusal::malformed("X-Acme-Signature is not hex in lower case"))?;

    prove_hmac(source, now, HashFunction::Sha256, &[request.body], &given)?;
    let [dedupe_key, kind] = scalars(request.body, ["/id", "/type"]);
    let signed = Some(Signed::Body);
    Ok(Verdict::Proven(Proven { kind, dedupe_key, signed, ..Proven::default() }))
}
