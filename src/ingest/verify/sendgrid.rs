//! Twilio SendGrid: Event Webhook and Inbound Parse.
//!
//! * Headers: `X-Twilio-Email-Event-Webhook-Signature` (base64 of an ASN.1 DER ECDSA signature) and
//!   `X-Twilio-Email-Event-Webhook-Timestamp`.
//! * Algorithm and signed bytes: ECDSA P-256 with SHA-256 over the timestamp's text and the raw body; for Inbound
//!   Parse the body is the multipart as it came. The public key is base64 SPKI.
//! * Replay protection: none by default. No tolerance is published, the SDKs check none, and retries go on for up
//!   to 24 h; `--set tolerance_s=…` asks for one.
//! * Dedupe id and type: `sg_event_id` and `event` of each element; a batch that is not split is known by its hash.
//! * Source: twilio.com/docs/sendgrid, "Getting started with the Event Webhook security features".
//! * Checked with: sendgrid-python 6.12.5, @sendgrid/eventwebhook 8.0.0.

use crate::model::Source;

use super::crypto::{fingerprint, unbase64};
use super::keys::{Algorithm, public_keys};
use super::params::Params;
use super::pick::pick;
use super::settings::{not_ahead, not_older, unix_seconds};
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict, batch};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "sendgrid",
    header: "X-Twilio-Email-Event-Webhook-Signature",
    algorithm: "ECDSA P-256 SHA-256, base64 DER",
    signed: "timestamp, body",
    replay: "none; tolerance_s if set",
    dedupe: "sg_event_id of each element",
    kind: "event of each element",
    checked_with: "sendgrid-python 6.12.5, @sendgrid/eventwebhook 8.0.0",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[("tolerance_s", "seconds that the timestamp may be off; not checked by default")],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    Params(source).number("tolerance_s")?;
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())?;
    let fits = keys.iter().all(|key| key.kind() == Algorithm::P256Der.kind());
    if fits { Ok(()) } else { Err("SendGrid's public key is an ECDSA P-256 key, and this one is not".into()) }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let signature = request.header("x-twilio-email-event-webhook-signature")?;
    let timestamp = request.header("x-twilio-email-event-webhook-timestamp")?;
    let given = unbase64(signature).ok_or_else(|| Refusal::malformed("the signature is not base64"))?;
    if let Some(tolerance) = Params(source).number("tolerance_s")? {
        let at = unix_seconds(timestamp)?;
        not_older(at, now, tolerance)?;
        not_ahead(at, now, tolerance)?;
    }
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default()).map_err(Refusal::settings)?;
    let message = [timestamp.as_bytes(), request.body].concat();
    if !keys.iter().any(|key| key.verify(Algorithm::P256Der, &message, &given)) {
        return Err(Refusal::mismatch("the signature does not match with the public key"));
    }
    Ok(Verdict::Proven(describe(source, request)))
}

fn describe(source: &Source, request: &Request<'_>) -> Proven {
    let Some(items) = batch::items(request.body) else {
        return Proven { dedupe_key: Some(fingerprint(request.body)), ..Proven::default() };
    };
    let elements = batch::elements(&items, "application/json", |item| {
        let [kind, id] = pick(item, ["/event", "/sg_event_id"]);
        (kind, id)
    });
    batch::whole(source, request.body, elements)
}
