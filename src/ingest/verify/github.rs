//! GitHub webhooks.
//!
//! * Header: `X-Hub-Signature-256: sha256=<hex>`; the SHA-1 header `X-Hub-Signature` is never
//!   looked at.
//! * Algorithm and signed bytes: HMAC-SHA256 of the raw body (JSON or form alike), keyed by the
//!   secret's text.
//! * Replay protection: none in the signature. Dedupe id: the delivery's GUID with its hook's id,
//!   both of which stay the same when GitHub delivers again.
//! * Type: `X-GitHub-Event`; the body's `action` is left to filters. Handshake: `ping` is an
//!   ordinary delivery.
//! * Source: docs.github.com, "Validating webhook deliveries"; `@octokit/webhooks-methods`.
//! * Checked with: GitHub's published value, `@octokit/webhooks-methods` 6.0.0. It compares the hex
//!   as text, so upper case is refused here too.
//!
//! **What it proves.** Whoever holds the hook's secret, the recipient included; GitHub signs
//! nothing with a key of its own. The recipient is named by the secret: hooks that share one can be
//! given each other's deliveries. Signed is the body alone. `X-GitHub-Event`, `-Delivery` and
//! `-Hook-ID` are not: the type is trusted for what it is worth, and the other two for telling
//! deliveries apart. The GUID is shared by all hooks that an event goes to, so it counts together
//! with the hook; GitHub repeats both, and the body, when it delivers again. A repetition is what
//! has the same GUID, hook and body. The body alone is not a key: different deliveries may be the
//! same to the last byte (a `repository_dispatch` that is sent every hour), and dropping one of
//! them is worse than taking one again from somebody who got hold of a signed body and can only
//! repeat it. An id that is used before its time takes nothing away: what has it and another body
//! is kept.

use crate::model::{Source, limits};

use super::crypto::{HashFunction, unhex};
use super::secrets::prove_hmac;
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "github",
    header: "X-Hub-Signature-256",
    algorithm: "HMAC-SHA256, hex",
    signed: "body",
    replay: "none (dedupe id)",
    dedupe: "X-GitHub-Delivery and -Hook-ID",
    kind: "X-GitHub-Event",
    checked_with: "GitHub's documented value; @octokit/webhooks-methods 6.0.0",
    secret: Need::Required,
    public_key: Need::Unused,
    // "Payloads are capped at 25 MB" (docs.github.com, webhook events and payloads), and a form
    // writes some bytes of them as three.
    max_body: limits::MAX_BODY,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let header = request.header("x-hub-signature-256")?;
    let hex = header.strip_prefix("sha256=").ok_or_else(|| {
        ProofRefusal::malformed("X-Hub-Signature-256 does not begin with \"sha256=\"")
    })?;
    let given = unhex(hex)
        .ok_or_else(|| ProofRefusal::malformed("X-Hub-Signature-256 is not hex in lower case"))?;

    prove_hmac(source, now, HashFunction::Sha256, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let (guid, hook) =
        (request.key_header("x-github-delivery"), request.key_header("x-github-hook-id"));

    let dedupe_key =
        guid.map(|guid| hook.map_or_else(|| guid.clone(), |hook| format!("{guid} {hook}")));
    Proven {
        kind: request.readable_header("x-github-event"),
        dedupe_key,
        signed: Some(Signed::Body),
        ..Proven::default()
    }
}
