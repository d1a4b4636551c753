//! Paddle.
//!
//! * Header: `Paddle-Signature: ts=<unix>;h1=<hex>[;h1=…]`.
//! * Algorithm and signed bytes: HMAC-SHA256 of `ts:body`; the key is the secret's whole text
//!   (`pdl_ntfset_…`).
//! * Replay protection: `ts` at most 5 s old, the limit included, as in the SDKs. `--set
//!   tolerance_s=…` changes it, and behind a proxy that queues it should be changed.
//! * Dedupe id: `notification_id`, else `event_id`. Type: `event_type`.
//! * Answer: 200.
//! * Source: developer.paddle.com, "Verify webhook signatures". Checked with: paddle-python-sdk
//!   1.16.1 and @paddle/paddle-node-sdk 3.10.0. They disagree in three things; each time we take
//!   what one of them takes, since all of it is signed by Paddle: any of several `h1` may hold
//!   (Python), unknown keys are passed over (Node), a `ts` in the future is taken (Node).
//!
//! **What it proves.** Whoever holds the destination's secret, the recipient included. The
//! recipient is named by the destination. Signed are time and body, with the ids in it; headers and
//! URL are not, and are not trusted. `event_id` is shared by all destinations and by what is
//! replayed from the dashboard; `notification_id` names one of them, and is the key. A retry
//! repeats it, signed at a new time.

use crate::model::Source;

use super::crypto::{HashFunction, hmacs, is_among, unhex};
use super::json::scalars;
use super::params::SchemeParams;
use super::secrets::{required_secrets, secrets_in_words};
use super::timestamps::{not_older, unix_seconds};
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "paddle",
    header: "Paddle-Signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "ts:body",
    replay: "timestamp, 5 s",
    dedupe: "notification_id",
    kind: "event_type",
    checked_with: "paddle-python-sdk 1.16.1, @paddle/paddle-node-sdk 3.10.0",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    params: &[("tolerance_s", "maximum age of the timestamp in seconds, 5 by default")],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

const TOLERANCE_S: i64 = 5;

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).number("tolerance_s")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let (timestamp, signatures) = read(request.header("paddle-signature")?)?;
    let tolerance = SchemeParams(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(unix_seconds(timestamp)?, now, tolerance)?;

    let secrets = required_secrets(source, now)?;
    let parts: &[&[u8]] = &[timestamp.as_bytes(), b":", request.body];
    let macs = hmacs(HashFunction::Sha256, &secrets, parts);
    if !signatures.iter().any(|given| is_among(&macs, given)) {
        return Err(ProofRefusal::mismatch(format!(
            "no h1 signature matches with {}",
            secrets_in_words(secrets.len())
        )));
    }

    Ok(Verdict::Proven(describe(request)))
}

/// The timestamp and every readable `h1`.
fn read(header: &str) -> Result<(&str, Vec<Vec<u8>>), ProofRefusal> {
    let pairs = || header.split(';').filter_map(|pair| pair.split_once('='));
    let mut timestamps = pairs().filter(|(name, _)| *name == "ts");
    let (_, timestamp) = timestamps
        .next()
        .ok_or_else(|| ProofRefusal::malformed("Paddle-Signature holds no ts="))?;
    if timestamps.next().is_some() {
        return Err(ProofRefusal::duplicate("Paddle-Signature holds more than one ts="));
    }

    let signatures: Vec<&str> =
        pairs().filter(|(name, _)| *name == "h1").map(|(_, hex)| hex).collect();
    if signatures.is_empty() {
        return Err(ProofRefusal::malformed("Paddle-Signature holds no h1 signature"));
    }
    Ok((timestamp, signatures.into_iter().filter_map(unhex).collect()))
}

fn describe(request: &Request<'_>) -> Proven {
    let [notification, event, kind] =
        scalars(request.body, ["/notification_id", "/event_id", "/event_type"]);
    let dedupe_key = notification.or(event);
    let answer = Some(ProviderAnswer::empty(200));
    Proven { kind, dedupe_key, signed: Some(Signed::Body), answer, ..Proven::default() }
}
