//! Mailchimp Transactional (Mandrill).
//!
//! * Header: `X-Mandrill-Signature`, base64.
//! * Algorithm and signed bytes: HMAC-SHA1 of the URL exactly as configured in Mandrill (query,
//!   trailing slash; see `--public-url`) and of every form field sorted by its name, name and
//!   decoded value without delimiters.
//! * Replay protection: none. Dedupe id: `_id`, `ts` and `event` of each element; a batch that is
//!   not split is known by its hash. Type: `event` of each element (`type` for sync events).
//! * Handshake: HEAD, and a POST of an empty batch signed with the webhook's key or, while it is
//!   being created, with the literal key `test-webhook`, which is good for nothing else. Both get
//!   200 and are not logged.
//! * Answer: 200.
//! * Source: mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks.
//! * Checked with: real deliveries kept in django-anymail, mandrill-rails and Mandrill.net;
//!   django-anymail 15.2.
//!
//! **What it proves.** Whoever holds the webhook's key, the recipient included. The recipient is
//! named by the key and by the signed URL, for which `--public-url` is needed. Signed are the URL
//! and all decoded fields; how the form is spelled and all headers are not, and are not trusted,
//! so a body that only spells them in another way is the same batch. A retry repeats the batch.
//! `_id` names a message, which many events share; `ts` and `event` are beside it in the key, and
//! two clicks in one second on different links differ in content.

use crate::model::{Source, limits};

use super::crypto::{HashFunction, equal, fingerprint, hmac, unbase64};
use super::json::scalars;
use super::scheme::public_url_names_recipient;
use super::secrets::prove_hmac;
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
    batch, form,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "mandrill",
    header: "X-Mandrill-Signature",
    algorithm: "HMAC-SHA1, base64",
    signed: "URL, sorted form fields",
    replay: "none",
    dedupe: "_id, ts and event of each element",
    kind: "event of each element",
    checked_with: "captured deliveries; django-anymail 15.2",
    methods: "POST, HEAD",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    // A batch has up to 1,000 events in a form, inbound mail its attachments; no limit is
    // published.
    max_body: limits::MAX_BODY,
    signs_url: true,
    splits: true,
    own_content: true,
    ..Scheme::new(verify, public_url_names_recipient, Scheme::no_secret_header)
};

/// What Mandrill signs its empty test batch with, before the webhook has a key.
const TEST_KEY: &[u8] = b"test-webhook";

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    if request.method == "HEAD" {
        return Ok(Verdict::Handshake(ProviderAnswer::empty(200)));
    }

    let header = request.header("x-mandrill-signature")?;
    let given = unbase64(header)
        .ok_or_else(|| ProofRefusal::malformed("X-Mandrill-Signature is not base64"))?;

    let fields = form::parse(request.body)?;
    let events = form::single(&fields, "mandrill_events")
        .map_err(|_| {
            ProofRefusal::duplicate("the form field mandrill_events occurs more than once")
        })?
        .ok_or_else(|| ProofRefusal::missing("the form field mandrill_events is missing"))?;

    let signed = signed(request.url, &fields);
    let empty = batch::items(events).is_some_and(|items| items.is_empty());
    if !(empty && equal(&hmac(HashFunction::Sha1, TEST_KEY, &[&signed]), &given)) {
        prove_hmac(source, now, HashFunction::Sha1, &[&signed], &given)?;
    }

    if empty {
        return Ok(Verdict::Handshake(ProviderAnswer::empty(200)));
    }
    Ok(Verdict::Proven(describe(source, events)))
}

fn signed(url: &str, fields: &[form::FormField]) -> Vec<u8> {
    let mut sorted: Vec<&form::FormField> = fields.iter().collect();
    sorted.sort_by(|left, right| left.0.cmp(&right.0));

    let mut signed = url.as_bytes().to_vec();
    for (name, value) in sorted {
        signed.extend_from_slice(name);
        signed.extend_from_slice(value);
    }
    signed
}

fn describe(source: &Source, events: &[u8]) -> Proven {
    let items = batch::items(events).unwrap_or_default();
    let elements = batch::elements(&items, "application/json", |item| {
        let [event, kind, id, ts] = scalars(item, ["/event", "/type", "/_id", "/ts"]);
        let kind = event.or(kind);
        let key =
            id.zip(ts).map(|(id, ts)| format!("{id}:{ts}:{}", kind.as_deref().unwrap_or_default()));
        (kind, key)
    });

    let content = Some(fingerprint(events));
    let (signed, answer) = (Some(Signed::Body), Some(ProviderAnswer::empty(200)));
    Proven { content, signed, answer, ..batch::whole(source, events, elements) }
}
