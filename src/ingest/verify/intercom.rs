//! Intercom.
//!
//! * Header: `X-Hub-Signature: sha1=<hex>`.
//! * Algorithm and signed bytes: HMAC-SHA1 of the body, keyed by the app's client secret.
//! * Replay protection: none. Dedupe id: the body's `id`, which a ping has not. Type: the body's
//!   `topic`.
//! * Handshake: Intercom validates the URL by a HEAD without a signature; it gets 200 and nothing
//!   is logged.
//! * Source: developers.intercom.com/docs/webhooks; intercom/intercom-webhooks. Checked with: that
//!   sample, for the official SDK has no verifier.
//!
//! **What it proves.** Whoever holds the app's client secret, the recipient included. The recipient
//! is named by the app. Signed is the body; headers and URL are not, and are not trusted. `id`
//! names a notification; a retry repeats it and counts itself in `delivery_attempts`,
//! `delivery_status` and `delivered_at`, which therefore do not count as content. One topic's
//! notification is shared by nothing else.

use crate::model::Source;

use super::crypto::{HashFunction, unhex};
use super::json::{digest_without, scalars};
use super::secrets::prove_hmac;
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "intercom",
    header: "X-Hub-Signature",
    algorithm: "HMAC-SHA1, hex",
    signed: "body",
    replay: "none",
    dedupe: "body id",
    kind: "body topic",
    checked_with: "intercom-webhooks (Intercom's sample)",
    methods: "POST, HEAD",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,

    own_content: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// Members of the body that change from one attempt to the next.
const COUNTERS: &[&str] = &["delivery_attempts", "delivery_status", "delivered_at"];

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    if request.method == "HEAD" {
        return Ok(Verdict::Handshake(ProviderAnswer::empty(200)));
    }

    let header = request.header("x-hub-signature")?;
    let hex = header
        .strip_prefix("sha1=")
        .ok_or_else(|| ProofRefusal::malformed("X-Hub-Signature does not begin with \"sha1=\""))?;
    let given = unhex(hex)
        .ok_or_else(|| ProofRefusal::malformed("X-Hub-Signature is not hex in lower case"))?;

    prove_hmac(source, now, HashFunction::Sha1, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = scalars(request.body, ["/id", "/topic"]);
    let content = digest_without(request.body, COUNTERS);
    Proven { kind, dedupe_key, content, signed: Some(Signed::Body), ..Proven::default() }
}
