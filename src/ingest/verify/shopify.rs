//! Shopify.
//!
//! * Header: `X-Shopify-Hmac-Sha256`, base64; newer deliveries leave the `X-` out of all their headers.
//! * Algorithm and signed bytes: HMAC-SHA256 of the body, keyed by the app's client secret.
//! * Beside it topic, shop domain, API version and webhook id must be there (of newer deliveries the event id, too), and
//!   the body must not be empty, as the SDK asks. When both families of headers are there the newer one counts, as in
//!   the SDK.
//! * Replay protection: none. Dedupe id: `X-Shopify-Event-Id`; `shopify-webhook-id` of newer deliveries. Type: the
//!   topic, for newer deliveries with `/action` after it.
//! * Answer: 200.
//! * Source: shopify.dev, "Verify webhooks"; @shopify/shopify-api. Checked with: @shopify/shopify-api 13.1.0. Base64
//!   without its padding is refused, as it does.

use crate::model::Source;

use super::crypto::{Hash, unbase64};
use super::settings::{nothing_more, prove_hmac};
use super::{Answer, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "shopify",
    header: "X-Shopify-Hmac-Sha256",
    algorithm: "HMAC-SHA256, base64",
    signed: "body",
    replay: "none",
    dedupe: "X-Shopify-Event-Id",
    kind: "X-Shopify-Topic",
    checked_with: "@shopify/shopify-api 13.1.0",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[],
    verify,
    check: nothing_more,
};

/// What stands beside the signature; the last one in newer deliveries alone.
const NEEDED: &[&str] = &["topic", "shop-domain", "api-version", "webhook-id", "event-id"];

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let newer = request.header_opt("shopify-hmac-sha256")?.is_some();
    let (prefix, needed) = if newer { ("shopify", NEEDED) } else { ("x-shopify", &NEEDED[..4]) };
    let header = request.header(&format!("{prefix}-hmac-sha256"))?;
    for name in needed {
        request.header(&format!("{prefix}-{name}"))?;
    }
    if request.body.is_empty() {
        return Err(Refusal::missing("the body is empty"));
    }
    let given = unbase64(header).ok_or_else(|| Refusal::malformed("the signature is not base64"))?;
    prove_hmac(source, now, Hash::Sha256, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request, prefix)))
}

fn describe(request: &Request<'_>, prefix: &str) -> Proven {
    let fact = |name: &str| request.fact(&format!("{prefix}-{name}"));
    let (id, action) = if prefix == "shopify" { ("webhook-id", fact("action")) } else { ("event-id", None) };
    let kind = match (fact("topic"), action) {
        (Some(topic), Some(action)) => Some(format!("{topic}/{action}")),
        (topic, _) => topic,
    };
    Proven { kind, dedupe_key: fact(id), answer: Some(Answer::empty(200)), ..Proven::default() }
}
