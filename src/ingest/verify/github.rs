//! GitHub webhooks.
//!
//! * Header: `X-Hub-Signature-256: sha256=<hex>`; the SHA-1 header `X-Hub-Signature` is never looked at.
//! * Algorithm and signed bytes: HMAC-SHA256 of the raw body (JSON or form alike), keyed by the secret's text.
//! * Replay protection: none in the signature; the delivery's GUID is the dedupe key and stays the same when GitHub
//!   delivers again.
//! * Type: `X-GitHub-Event`; the body's `action` is left to filters. Handshake: `ping` is an ordinary delivery.
//! * Source: docs.github.com, "Validating webhook deliveries"; `@octokit/webhooks-methods`.
//! * Checked with: GitHub's published value, `@octokit/webhooks-methods` 6.0.0. It compares the hex as text, so
//!   upper case is refused here too.

use crate::model::Source;

use super::crypto::{Hash, unhex};
use super::settings::{nothing_more, prove_hmac};
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "github",
    header: "X-Hub-Signature-256",
    algorithm: "HMAC-SHA256, hex",
    signed: "body",
    replay: "none (dedupe id)",
    dedupe: "X-GitHub-Delivery",
    kind: "X-GitHub-Event",
    checked_with: "GitHub's documented value; @octokit/webhooks-methods 6.0.0",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[],
    verify,
    check: nothing_more,
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let header = request.header("x-hub-signature-256")?;
    let hex = header
        .strip_prefix("sha256=")
        .ok_or_else(|| Refusal::malformed("X-Hub-Signature-256 does not begin with \"sha256=\""))?;
    let given = unhex(hex).ok_or_else(|| Refusal::malformed("X-Hub-Signature-256 is not hex in lower case"))?;
    prove_hmac(source, now, Hash::Sha256, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    Proven { kind: request.fact("x-github-event"), dedupe_key: request.fact("x-github-delivery"), ..Proven::default() }
}
