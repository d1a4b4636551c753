//! Intercom.
//!
//! * Header: `X-Hub-Signature: sha1=<hex>`.
//! * Algorithm and signed bytes: HMAC-SHA1 of the body, keyed by the app's client secret.
//! * Replay protection: none. Dedupe id: the body's `id`, which a ping has not. Type: the body's `topic`.
//! * Handshake: Intercom validates the URL by a HEAD without a signature; it gets 200 and nothing is logged.
//! * Source: developers.intercom.com/docs/webhooks; intercom/intercom-webhooks. Checked with: that sample, for the
//!   official SDK has no verifier.

use crate::model::Source;

use super::crypto::{Hash, unhex};
use super::pick::pick;
use super::settings::{nothing_more, prove_hmac};
use super::{Answer, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
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
    public_key: Need::Unused,
    params: &[],
    verify,
    check: nothing_more,
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    if request.method == "HEAD" {
        return Ok(Verdict::Handshake(Answer::empty(200)));
    }
    let header = request.header("x-hub-signature")?;
    let hex = header
        .strip_prefix("sha1=")
        .ok_or_else(|| Refusal::malformed("X-Hub-Signature does not begin with \"sha1=\""))?;
    let given = unhex(hex).ok_or_else(|| Refusal::malformed("X-Hub-Signature is not hex in lower case"))?;
    prove_hmac(source, now, Hash::Sha1, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = pick(request.body, ["/id", "/topic"]);
    Proven { kind, dedupe_key, ..Proven::default() }
}
