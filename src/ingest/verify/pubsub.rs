//! Google Cloud Pub/Sub push.
//!
//! * Proof: `Authorization: Bearer` with Google's OIDC token, RS256. Checked: the signature by a key of
//!   `--set jwks=@FILE.json`, `aud` against `--set audience=…`, `iss` (accounts.google.com with or without https),
//!   `exp`, `iat`, `email` against the service account of `--set email=…`, and `email_verified`. Any Google account can
//!   have a token made for any audience, so without the email it proves nothing. Nothing of the body is signed.
//! * Replay protection: none but `exp`; a token may be used for an hour.
//! * Dedupe id: `message.messageId`, or `x-goog-pubsub-message-id` when the payload is unwrapped. Type: the attribute
//!   `eventType` or `ce-type`, if the publisher set one.
//! * Answer: 202 acknowledges.
//! * Source: cloud.google.com/pubsub/docs/authenticate-push-subscriptions. Checked with: google-auth 2.62.2, whose
//!   rules are followed: `exp` itself is still good, `iat` must not be in the future, `aud` is one text, and a token that
//!   names no key is tried with all of them.

use crate::model::Source;

use super::jwt::{Flavour, check_claims, prove};
use super::params::Params;
use super::pick::pick;
use super::{Need, Outcome, Proven, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "pubsub",
    header: "Authorization: Bearer",
    algorithm: "RS256 OIDC token",
    signed: "nothing",
    replay: "the token's exp",
    dedupe: "message.messageId",
    kind: "attribute eventType",
    checked_with: "google-auth 2.62.2, Google's documented token",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[
        ("mode", "google_id_token"),
        ("jwks", "Google's keys, @FILE.json"),
        ("jwks_url", "where they are published (https), instead of a file"),
        ("allow_private", "true: jwks_url may be a private address"),
        ("audience", "the push subscription's audience"),
        ("email", "the push subscription's service account"),
        ("issuers", "Google's by default"),
        ("issuer", "one instead of several"),
        ("algorithms", "RS256 by default"),
        ("leeway_s", "seconds of grace, 0 by default"),
    ],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    Params(source).word("mode", &["google_id_token"])?;
    check_claims(source, &["audience", "email"])
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    prove(source, request, now, Flavour::Google)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let paths =
        ["/message/messageId", "/message/message_id", "/message/attributes/eventType", "/message/attributes/ce-type"];
    let [id, old_id, kind, ce_type] = pick(request.body, paths);
    let dedupe_key = request.fact("x-goog-pubsub-message-id").or(id).or(old_id);
    Proven { kind: kind.or(ce_type), dedupe_key, ..Proven::default() }
}
