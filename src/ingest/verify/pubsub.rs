//! Google Cloud Pub/Sub push.
//!
//! * Proof: `Authorization: Bearer` with Google's OIDC token, RS256. Checked: the signature by a
//!   key of `--set jwks=@FILE.json`, `aud` against `--set audience=…`, `iss` (accounts.google.com
//!   with or without https), `exp`, `iat`, `email` against the service account of `--set email=…`,
//!   and `email_verified`. Any Google account can have a token made for any audience, so without
//!   the email it proves nothing. Nothing of the body is signed.
//! * Replay protection: none but `exp`; a token may be used for an hour.
//! * Dedupe id: `message.messageId` (`x-goog-pubsub-message-id` when the payload is unwrapped) with
//!   the subscription. Type: the attribute `eventType` or `ce-type`, if the publisher set one.
//! * Answer: 202 acknowledges.
//! * Source: cloud.google.com/pubsub/docs/authenticate-push-subscriptions. Checked with:
//!   google-auth 2.62.2, whose rules are followed: `exp` itself is still good, `iat` must not be in
//!   the future, `aud` is one text, and a token that names no key is tried with all of them.
//!
//! **What it proves.** Google, for the configured service account and audience; the audience names
//! the recipient. Whoever got hold of a token can use it until it expires. Nothing of the body is
//! signed: it is trusted as its bearer's word. `messageId` is shared by all subscriptions of a
//! topic, so it counts together with the subscription; a retry repeats both, and counts itself in
//! `deliveryAttempt`, which is not part of the content.

use crate::model::Source;

use super::json::{digest_without, scalars};
use super::jwt::{Flavour, check_claims, prove};
use super::params::SchemeParams;
use super::{Need, Proven, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "pubsub",
    header: "Authorization: Bearer",
    algorithm: "RS256 OIDC token",
    signed: "nothing",
    replay: "the token's exp",
    dedupe: "messageId and subscription",
    kind: "attribute eventType",
    checked_with: "google-auth 2.62.2, Google's documented token",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[
        ("mode", "google_id_token"),
        ("jwks", "Google's keys, @FILE.json"),
        ("jwks_url", "the https URL of the issuer's keys, instead of a file"),
        ("allow_private", "true allows a private address in jwks_url"),
        ("audience", "the push subscription's audience"),
        ("email", "the push subscription's service account"),
        ("issuers", "Google's by default"),
        ("issuer", "a single one"),
        ("algorithms", "RS256 by default"),
        ("leeway_s", "tolerance for the token's times in seconds, 10 by default"),
    ],
    check,
    // A message has 10 MB (cloud.google.com/pubsub/quotas), which are base64 here.
    max_body: 16 << 20,
    has_key_set: true,
    own_content: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// Members of the body that change from one attempt to the next.
const COUNTERS: &[&str] = &["deliveryAttempt"];

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).word("mode", &["google_id_token"])?;
    check_claims(source, &["audience", "email"])
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    prove(source, request, now, Flavour::Google)?;
    Ok(Verdict::Proven(describe(request)))
}

pub(super) fn describe(request: &Request<'_>) -> Proven {
    let paths = [
        "/subscription",
        "/message/messageId",
        "/message/message_id",
        "/message/attributes/eventType",
        "/message/attributes/ce-type",
    ];

    let [subscription, id, old_id, kind, ce_type] = scalars(request.body, paths);
    let subscription = request.key_header("x-goog-pubsub-subscription-name").or(subscription);
    let id = request.key_header("x-goog-pubsub-message-id").or(id).or(old_id);

    // A message goes to each of its topic's subscriptions, and two of them may push to this source.
    let dedupe_key = id.map(|id| match subscription {
        Some(subscription) => format!("{id} {subscription}"),
        None => id,
    });

    let content = digest_without(request.body, COUNTERS);
    Proven { kind: kind.or(ce_type), dedupe_key, content, ..Proven::default() }
}
