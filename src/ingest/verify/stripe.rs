//! Stripe.
//!
//! * Header: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=…]`. Any `v1` may hold (two while a secret is rolled); `v0`
//!   and every other scheme is passed over.
//! * Algorithm and signed bytes: HMAC-SHA256 of `t.body`. The key is the secret's whole text with its `whsec_`,
//!   not the base64 in it as in Standard Webhooks.
//! * Replay protection: `t` at most 300 s old, the limit included (`--set tolerance_s=…`). A `t` in the future is
//!   taken, as both official SDKs do: it is signed, and a clock that runs behind should not lose payments.
//! * Dedupe id and type: the body's `id` and `type`.
//! * Source: stripe-python `_webhook.py`; docs.stripe.com/webhooks.
//! * Checked with: stripe-python 16.1.0, stripe-node 23.1.0. Hex in upper case is refused, as they do.

use crate::model::Source;

use super::crypto::{Hash, hmacs, is_among, unhex};
use super::params::Params;
use super::pick::pick;
use super::settings::{TOLERANCE_S, need_secrets, not_older, tried, unix_seconds};
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "stripe",
    header: "Stripe-Signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "t.body",
    replay: "timestamp, 300 s",
    dedupe: "body id",
    kind: "body type",
    checked_with: "stripe-python 16.1.0, stripe-node 23.1.0",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[("tolerance_s", "seconds that the timestamp may be old, 300 by default")],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    Params(source).number("tolerance_s")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let (timestamp, signatures) = read(request.header("stripe-signature")?)?;
    let tolerance = Params(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(unix_seconds(timestamp)?, now, tolerance)?;
    let secrets = need_secrets(source, now)?;
    let parts: &[&[u8]] = &[timestamp.as_bytes(), b".", request.body];
    let macs = hmacs(Hash::Sha256, &secrets, parts);
    if !signatures.iter().any(|given| is_among(&macs, given)) {
        return Err(Refusal::mismatch(format!("no v1 signature matches with {}", tried(secrets.len()))));
    }
    Ok(Verdict::Proven(describe(request)))
}

/// The timestamp and every readable `v1`.
fn read(header: &str) -> Result<(&str, Vec<Vec<u8>>), Refusal> {
    let pairs = || header.split(',').filter_map(|pair| pair.split_once('='));
    let mut timestamps = pairs().filter(|(name, _)| *name == "t");
    let (_, timestamp) = timestamps.next().ok_or_else(|| Refusal::malformed("Stripe-Signature holds no t="))?;
    if timestamps.next().is_some() {
        return Err(Refusal::duplicate("Stripe-Signature holds more than one t="));
    }
    let signatures: Vec<&str> = pairs().filter(|(name, _)| *name == "v1").map(|(_, hex)| hex).collect();
    if signatures.is_empty() {
        return Err(Refusal::malformed("Stripe-Signature holds no v1 signature"));
    }
    Ok((timestamp, signatures.into_iter().filter_map(unhex).collect()))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = pick(request.body, ["/id", "/type"]);
    Proven { kind, dedupe_key, ..Proven::default() }
}
