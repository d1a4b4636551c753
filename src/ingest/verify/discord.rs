//! Discord: webhook events and interactions.
//!
//! * Headers: `X-Signature-Ed25519` (hex, either case, as the SDK reads it), `X-Signature-Timestamp`.
//! * Algorithm and signed bytes: Ed25519 over the timestamp's text and the body. The public key is 64 hex digits.
//! * Replay protection: none by default. No tolerance is documented, the SDK checks none, and retries go on for ten
//!   minutes; `--set tolerance_s=…` asks for one. Dedupe id: none is documented; interactions have their `id`.
//! * Type: `event.type`, else the number in `type`.
//! * Handshake, signed like everything else: webhook events' PING (`type` 0) gets 204; interactions' PING (`type` 1
//!   without an `event`) gets `{"type":1}`. Discord also probes with wrong signatures and wants 401.
//! * Answer: 204 for events; interactions get "deferred" so that the user sees that something goes on.
//! * Source: discord-api-docs. Checked with: discord-interactions 4.4.0.

use serde_json::json;

use crate::model::Source;

use super::keys::{Algorithm, ed25519_keys};
use super::params::Params;
use super::pick::pick;
use super::settings::{not_ahead, not_older, unix_seconds};
use super::{Answer, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "discord",
    header: "X-Signature-Ed25519, -Timestamp",
    algorithm: "Ed25519, hex",
    signed: "timestamp, body",
    replay: "none; tolerance_s if set",
    dedupe: "interaction id",
    kind: "event.type, type",
    checked_with: "discord-interactions 4.4.0",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[("tolerance_s", "seconds that the timestamp may be off; not checked by default")],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    Params(source).number("tolerance_s")?;
    ed25519_keys(source.public_key.as_deref().unwrap_or_default()).map(|_| ())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let signature = request.header("x-signature-ed25519")?;
    let timestamp = request.header("x-signature-timestamp")?;
    let given = data_encoding::HEXLOWER_PERMISSIVE
        .decode(signature.as_bytes())
        .map_err(|_| Refusal::malformed("X-Signature-Ed25519 is not hex"))?;
    if let Some(tolerance) = Params(source).number("tolerance_s")? {
        let at = unix_seconds(timestamp)?;
        not_older(at, now, tolerance)?;
        not_ahead(at, now, tolerance)?;
    }
    let keys = ed25519_keys(source.public_key.as_deref().unwrap_or_default()).map_err(Refusal::settings)?;
    let message = [timestamp.as_bytes(), request.body].concat();
    if !keys.iter().any(|key| key.verify(Algorithm::Ed25519, &message, &given)) {
        return Err(Refusal::mismatch("the signature does not match with the public key"));
    }
    Ok(describe(request))
}

fn describe(request: &Request<'_>) -> Verdict {
    let [kind, event, id] = pick(request.body, ["/type", "/event/type", "/id"]);
    let answer = match (kind.as_deref(), &event) {
        (Some("0"), None) => return Verdict::Handshake(Answer::empty(204)),
        (Some("1"), None) => return Verdict::Handshake(Answer::json(&json!({ "type": 1 }))),
        (Some("2" | "5"), None) => Answer::json(&json!({ "type": 5 })),
        (Some("3"), None) => Answer::json(&json!({ "type": 6 })),
        (Some("4"), None) => Answer::json(&json!({ "type": 8, "data": { "choices": [] } })),
        _ => Answer::empty(204),
    };
    Verdict::Proven(Proven { kind: event.or(kind), dedupe_key: id, answer: Some(answer), ..Proven::default() })
}
