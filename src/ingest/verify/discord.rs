//! Discord: webhook events and interactions.
//!
//! * Headers: `X-Signature-Ed25519` (hex, either case, as the SDK reads it),
//!   `X-Signature-Timestamp`.
//! * Algorithm and signed bytes: Ed25519 over the timestamp's text and the body. The public key is
//!   64 hex digits.
//! * Replay protection: timestamp within ±1 day. No tolerance is documented, the SDK checks none,
//!   and retries go on for ten minutes; `--set tolerance_s=…` sets another, `none` takes it away.
//!   Dedupe id: none is documented; interactions have their `id`.
//! * Type: `event.type`, else the number in `type`.
//! * Handshake, signed like everything else: webhook events' PING (`type` 0) gets 204;
//!   interactions' PING (`type` 1 without an `event`) gets `{"type":1}`. Discord also probes with
//!   wrong signatures and wants 401.
//! * Answer: 204 for events; interactions get "deferred" so that the user sees that something goes
//!   on.
//! * Source: discord-api-docs. Checked with: discord-interactions 4.4.0.
//!
//! **What it proves.** Discord alone: the key pair is the application's, and its private half never
//! leaves Discord. The public key so names the recipient. Signed are timestamp and body; the URL
//! and other headers are not, and are not trusted. An interaction's `id` names it and is in the
//! body; webhook events have no id, and are known by what was signed: one that is repeated with a
//! new timestamp is a new event, for nothing shows that it is not. Applications share neither key
//! nor deliveries.

use serde_json::json;

use crate::model::Source;

use super::crypto::fingerprint;
use super::json::scalars;
use super::params::SchemeParams;
use super::public_key::{Algorithm, ed25519_keys};
use super::timestamps::{not_ahead, not_older, unix_seconds};
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "discord",
    header: "X-Signature-Ed25519, -Timestamp",
    algorithm: "Ed25519, hex",
    signed: "timestamp, body",
    replay: "timestamp, ±1 d",
    dedupe: "interaction id",
    kind: "event.type, type",
    checked_with: "discord-interactions 4.4.0",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[(
        "tolerance_s",
        "seconds by which the timestamp may differ from the clock, 86400 by default, or none",
    )],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// A captured request is not good for ever; nothing shorter is published.
const TOLERANCE_S: i64 = 86_400;

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).age("tolerance_s", TOLERANCE_S)?;
    ed25519_keys(source.public_key.as_deref().unwrap_or_default()).map(|_| ())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let signature = request.header("x-signature-ed25519")?;
    let timestamp = request.header("x-signature-timestamp")?;
    let given = data_encoding::HEXLOWER_PERMISSIVE
        .decode(signature.as_bytes())
        .map_err(|_| ProofRefusal::malformed("X-Signature-Ed25519 is not hex"))?;

    // Nothing stands between the time and the body: without a look at its digits, bytes could be
    // moved from one to the other under the same signature.
    let at = unix_seconds(timestamp)?;
    if request.body.first().is_some_and(u8::is_ascii_digit) {
        return Err(ProofRefusal::malformed(
            "the body begins with a digit, which could be one of the signed time",
        ));
    }
    if let Some(tolerance) = SchemeParams(source).age("tolerance_s", TOLERANCE_S)? {
        not_older(at, now, tolerance)?;
        not_ahead(at, now, tolerance)?;
    }

    let keys = ed25519_keys(source.public_key.as_deref().unwrap_or_default())
        .map_err(ProofRefusal::settings)?;
    let message = [timestamp.as_bytes(), request.body].concat();
    if !keys.iter().any(|key| key.verify(Algorithm::Ed25519, &message, &given)) {
        return Err(ProofRefusal::mismatch("the signature does not match with the public key"));
    }
    Ok(describe(request, &message))
}

fn describe(request: &Request<'_>, message: &[u8]) -> Verdict {
    let [kind, event, id] = scalars(request.body, ["/type", "/event/type", "/id"]);
    let answer = match (kind.as_deref(), &event) {
        (Some("0"), None) => return Verdict::Handshake(ProviderAnswer::empty(204)),
        (Some("1"), None) => {
            return Verdict::Handshake(ProviderAnswer::json(&json!({ "type": 1 })));
        }
        (Some("2" | "5"), None) => ProviderAnswer::json(&json!({ "type": 5 })),
        (Some("3"), None) => ProviderAnswer::json(&json!({ "type": 6 })),
        (Some("4"), None) => ProviderAnswer::json(&json!({ "type": 8, "data": { "choices": [] } })),
        _ => ProviderAnswer::empty(204),
    };

    let signed = Some(Signed::Digest(fingerprint(message)));
    Verdict::Proven(Proven {
        kind: event.or(kind),
        dedupe_key: id,
        signed,
        answer: Some(answer),
        ..Proven::default()
    })
}
