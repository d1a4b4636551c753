//! Stripe.
//!
//! * Header: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=…]`. Any `v1` may hold (two while a secret is
//!   rolled); `v0` and every other scheme is passed over.
//! * Algorithm and signed bytes: HMAC-SHA256 of `t.body`. The key is the secret's whole text with
//!   its `whsec_`, not the base64 in it as in Standard Webhooks.
//! * Replay protection: `t` at most 300 s old, the limit included (`--set tolerance_s=…`). A `t` in
//!   the future is taken, as both official SDKs do: it is signed, and a clock that runs behind
//!   should not lose payments.
//! * Dedupe id and type: the body's `id` and `type`.
//! * Source: stripe-python `_webhook.py`; docs.stripe.com/webhooks.
//! * Checked with: stripe-python 16.1.0, stripe-node 23.1.0. Hex in upper case is refused, as they
//!   do.
//!
//! **What it proves.** Whoever holds the endpoint's secret, the recipient included. The recipient
//! is named by it. Signed are time and body; headers and URL are not, and are not trusted. `id`
//! names an event, which all endpoints of an account share, each with its secret. A retry repeats
//! it, signed at a new time; `pending_webhooks` in it counts the endpoints that still wait, changes
//! meanwhile, and is not part of the content.

use crate::model::Source;

use super::crypto::{HashFunction, hmacs, is_among, unhex};
use super::json::{digest_without, scalars};
use super::params::SchemeParams;
use super::secrets::{required_secrets, secrets_in_words};
use super::timestamps::{TOLERANCE_S, not_older, unix_seconds};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "stripe",
    header: "Stripe-Signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "t.body",
    replay: "timestamp, 300 s",
    dedupe: "body id",
    kind: "body type",
    checked_with: "stripe-python 16.1.0, stripe-node 23.1.0",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    params: &[("tolerance_s", "maximum age of the timestamp in seconds, 300 by default")],
    check,
    own_content: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// Members of the body that change from one attempt to the next.
const COUNTERS: &[&str] = &["pending_webhooks"];

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).number("tolerance_s")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let (timestamp, signatures) = read(request.header("stripe-signature")?)?;
    let tolerance = SchemeParams(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(unix_seconds(timestamp)?, now, tolerance)?;

    let secrets = required_secrets(source, now)?;
    let parts: &[&[u8]] = &[timestamp.as_bytes(), b".", request.body];
    let macs = hmacs(HashFunction::Sha256, &secrets, parts);
    if !signatures.iter().any(|given| is_among(&macs, given)) {
        return Err(ProofRefusal::mismatch(format!(
            "no v1 signature matches with {}",
            secrets_in_words(secrets.len())
        )));
    }

    Ok(Verdict::Proven(describe(request)))
}

/// The timestamp and every readable `v1`.
fn read(header: &str) -> Result<(&str, Vec<Vec<u8>>), ProofRefusal> {
    let pairs = || header.split(',').filter_map(|pair| pair.split_once('='));
    let mut timestamps = pairs().filter(|(name, _)| *name == "t");
    let (_, timestamp) =
        timestamps.next().ok_or_else(|| ProofRefusal::malformed("Stripe-Signature holds no t="))?;
    if timestamps.next().is_some() {
        return Err(ProofRefusal::duplicate("Stripe-Signature holds more than one t="));
    }

    let signatures: Vec<&str> =
        pairs().filter(|(name, _)| *name == "v1").map(|(_, hex)| hex).collect();
    if signatures.is_empty() {
        return Err(ProofRefusal::malformed("Stripe-Signature holds no v1 signature"));
    }
    Ok((timestamp, signatures.into_iter().filter_map(unhex).collect()))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = scalars(request.body, ["/id", "/type"]);
    let content = digest_without(request.body, COUNTERS);
    Proven { kind, dedupe_key, content, signed: Some(Signed::Body), ..Proven::default() }
}
