//! Shopify.
//!
//! * Header: `X-Shopify-Hmac-Sha256`, base64; newer deliveries leave the `X-` out of all their
//!   headers.
//! * Algorithm and signed bytes: HMAC-SHA256 of the body, keyed by the app's client secret.
//! * Beside it topic, shop domain, API version and webhook id must be there (of newer deliveries
//!   the event id, too), and the body must not be empty, as the SDK asks. When both families of
//!   headers are there the newer one counts, as in the SDK.
//! * Replay protection: none. Dedupe id: `X-Shopify-Webhook-Id` (`shopify-webhook-id`). Type: the
//!   topic, for newer deliveries with `/action` after it.
//! * Answer: 200.
//! * Source: shopify.dev, "Verify webhooks"; @shopify/shopify-api. Checked with:
//!   @shopify/shopify-api 13.1.0. Base64 without its padding is refused, as it does.
//!
//! **What it proves.** Whoever holds the app's client secret, the recipient included. The recipient
//! is named by the app: all shops that installed it are signed for alike. Signed is the body alone;
//! topic, shop, ids and times are in headers and are trusted for what they are worth.
//! `X-Shopify-Event-Id` is shared by all that one action caused, across topics;
//! `X-Shopify-Webhook-Id` names one delivery, is repeated by its retries, and is the key. Bodies of
//! different topics may be the same to the last byte (`orders/create` and `orders/paid`), so the
//! body alone is not a key.

use crate::model::Source;

use super::crypto::{HashFunction, unbase64};
use super::secrets::prove_hmac;
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "shopify",
    header: "X-Shopify-Hmac-Sha256",
    algorithm: "HMAC-SHA256, base64",
    signed: "body",
    replay: "none",
    dedupe: "X-Shopify-Webhook-Id",
    kind: "X-Shopify-Topic",
    checked_with: "@shopify/shopify-api 13.1.0",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    // No limit is published; Shopify's staff speak of more than a megabyte for large orders.
    max_body: 16 << 20,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// The headers that are required beside the signature; the last one in newer deliveries alone.
const NEEDED: &[&str] = &["topic", "shop-domain", "api-version", "webhook-id", "event-id"];

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let newer = request.header_opt("shopify-hmac-sha256")?.is_some();
    let (prefix, needed) = if newer { ("shopify", NEEDED) } else { ("x-shopify", &NEEDED[..4]) };
    let header = request.header(&format!("{prefix}-hmac-sha256"))?;

    for name in needed {
        request.header(&format!("{prefix}-{name}"))?;
    }
    if request.body.is_empty() {
        return Err(ProofRefusal::missing("the body is empty"));
    }

    let given =
        unbase64(header).ok_or_else(|| ProofRefusal::malformed("the signature is not base64"))?;
    prove_hmac(source, now, HashFunction::Sha256, &[request.body], &given)?;

    Ok(Verdict::Proven(describe(request, prefix)))
}

fn describe(request: &Request<'_>, prefix: &str) -> Proven {
    let fact = |name: &str| request.readable_header(&format!("{prefix}-{name}"));
    let action = fact("action").filter(|_| prefix == "shopify");
    let kind = match (fact("topic"), action) {
        (Some(topic), Some(action)) => Some(format!("{topic}/{action}")),
        (topic, _) => topic,
    };

    let answer = Some(ProviderAnswer::empty(200));
    Proven {
        kind,
        dedupe_key: request.key_header(&format!("{prefix}-webhook-id")),
        signed: Some(Signed::Body),
        answer,
        ..Proven::default()
    }
}
