//! CircleCI.
//!
//! * Header: `circleci-signature: v1=<hex>[,v2=…]`; only `v1`, the newest version that is known, is
//!   looked at. Of several the last counts, as in CircleCI's sample.
//! * Algorithm and signed bytes: HMAC-SHA256 of the body, keyed by the secret's text.
//! * Replay protection: none. Dedupe id: the body's `id`. Type: `circleci-event-type`, or the
//!   body's `type`.
//! * Source: circleci-docs, "Outbound webhooks". Checked with: the values published there.
//!
//! **What it proves.** Whoever holds the webhook's secret, the recipient included. The recipient is
//! named by the secret. Signed is the body with its `id` and `happened_at`; the header
//! `circleci-event-type` is not, and is trusted for the type alone. There is no signed time
//! outside the body, so a captured request stays good. A retry repeats `id` and body; two webhooks
//! with one secret differ in `webhook` of the body, and are two events.

use crate::model::Source;

use super::crypto::{HashFunction, unhex};
use super::json::scalars;
use super::secrets::prove_hmac;
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "circleci",
    header: "circleci-signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "body",
    replay: "none",
    dedupe: "body id",
    kind: "circleci-event-type",
    checked_with: "CircleCI's documented values",
    secret: Need::Required,
    public_key: Need::Unused,

    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let header = request.header("circleci-signature")?;
    let mut pairs = header.split(',').filter_map(|pair| pair.split_once('='));
    let (_, hex) = pairs
        .rfind(|(version, _)| *version == "v1")
        .ok_or_else(|| ProofRefusal::malformed("circleci-signature holds no v1 signature"))?;

    let given = unhex(hex)
        .ok_or_else(|| ProofRefusal::malformed("the v1 signature is not hex in lower case"))?;

    prove_hmac(source, now, HashFunction::Sha256, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = scalars(request.body, ["/id", "/type"]);
    let kind = request.readable_header("circleci-event-type").or(kind);
    Proven { kind, dedupe_key, signed: Some(Signed::Body), ..Proven::default() }
}
