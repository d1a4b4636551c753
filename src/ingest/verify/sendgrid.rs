//! Twilio SendGrid: Event Webhook and Inbound Parse.
//!
//! * Headers: `X-Twilio-Email-Event-Webhook-Signature` (base64 of an ASN.1 DER ECDSA signature) and
//!   `X-Twilio-Email-Event-Webhook-Timestamp`.
//! * Algorithm and signed bytes: ECDSA P-256 with SHA-256 over the timestamp's text and the raw
//!   body; for Inbound Parse the body is the multipart as it came. The public key is base64 SPKI.
//! * Replay protection: timestamp within ±3 days. No tolerance is published, the SDKs check none,
//!   and retries go on for up to 24 h; `--set tolerance_s=…` sets another, `none` takes it away.
//! * Dedupe id and type: `sg_event_id` and `event` of each element; a batch that is not split is
//!   known by its hash.
//! * Source: twilio.com/docs/sendgrid, "Getting started with the Event Webhook security features".
//! * Checked with: sendgrid-python 6.12.5, @sendgrid/eventwebhook 8.0.0.
//!
//! **What it proves.** SendGrid, with a key pair of the account's own webhook: its public key names
//! the recipient. Signed are timestamp and body; the URL and other headers are not, and are not
//! trusted. `sg_event_id` names an event and is in the body. A retry repeats the batch; different
//! events never share an id, and that the next batch holds one again is a repetition of the element
//! in split sources alone.

use crate::model::{Source, limits};

use super::crypto::{fingerprint, unbase64};
use super::json::scalars;
use super::params::SchemeParams;
use super::public_key::{Algorithm, public_keys};
use super::timestamps::{not_ahead, not_older, unix_seconds};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult, batch};

pub(super) const SCHEME: Scheme = Scheme {
    name: "sendgrid",
    header: "X-Twilio-Email-Event-Webhook-Signature",
    algorithm: "ECDSA P-256 SHA-256, base64 DER",
    signed: "timestamp, body",
    replay: "timestamp, ±3 d",
    dedupe: "sg_event_id of each element",
    kind: "event of each element",
    checked_with: "sendgrid-python 6.12.5, @sendgrid/eventwebhook 8.0.0",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[(
        "tolerance_s",
        "seconds by which the timestamp may differ from the clock, 259200 by default, or none",
    )],
    check,
    // Inbound Parse: 30 MB of message and attachments, in a form (twilio.com/docs/sendgrid).
    max_body: limits::MAX_BODY,
    splits: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// A captured request is not good for ever; nothing shorter is published.
const TOLERANCE_S: i64 = 3 * 86_400;

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).age("tolerance_s", TOLERANCE_S)?;
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())?;
    let fits = keys.iter().all(|key| key.kind() == Algorithm::P256Der.kind());
    if fits {
        Ok(())
    } else {
        Err("SendGrid's public key is an ECDSA P-256 key, and this one is not".into())
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let signature = request.header("x-twilio-email-event-webhook-signature")?;
    let timestamp = request.header("x-twilio-email-event-webhook-timestamp")?;

    let given = unbase64(signature)
        .ok_or_else(|| ProofRefusal::malformed("the signature is not base64"))?;

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

    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())
        .map_err(ProofRefusal::settings)?;
    let message = [timestamp.as_bytes(), request.body].concat();
    if !keys.iter().any(|key| key.verify(Algorithm::P256Der, &message, &given)) {
        return Err(ProofRefusal::mismatch("the signature does not match with the public key"));
    }
    Ok(Verdict::Proven(describe(source, request)))
}

fn describe(source: &Source, request: &Request<'_>) -> Proven {
    let Some(items) = batch::items(request.body) else {
        let signed = Some(Signed::Body);
        return Proven { dedupe_key: Some(fingerprint(request.body)), signed, ..Proven::default() };
    };

    let elements = batch::elements(&items, "application/json", |item| {
        let [kind, id] = scalars(item, ["/event", "/sg_event_id"]);
        (kind, id)
    });
    Proven { signed: Some(Signed::Body), ..batch::whole(source, request.body, elements) }
}
