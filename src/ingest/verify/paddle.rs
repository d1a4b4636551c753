//! Paddle.
//!
//! * Header: `Paddle-Signature: ts=<unix>;h1=<hex>[;h1=…]`.
//! * Algorithm and signed bytes: HMAC-SHA256 of `ts:body`; the key is the secret's whole text (`pdl_ntfset_…`).
//! * Replay protection: `ts` at most 5 s old, the limit included, as in the SDKs. `--set tolerance_s=…` changes it, and
//!   behind a proxy that queues it should be changed.
//! * Dedupe id: `event_id`. Type: `event_type`.
//! * Answer: 200.
//! * Source: developer.paddle.com, "Verify webhook signatures". Checked with: paddle-python-sdk 1.16.1 and
//!   @paddle/paddle-node-sdk 3.10.0. They disagree in three things; each time we take what one of them takes, since all
//!   of it is signed by Paddle: any of several `h1` may hold (Python), unknown keys are passed over (Node), a `ts` in
//!   the future is taken (Node).

use crate::model::Source;

use super::crypto::{Hash, hmacs, is_among, unhex};
use super::params::Params;
use super::pick::pick;
use super::settings::{need_secrets, not_older, tried, unix_seconds};
use super::{Answer, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "paddle",
    header: "Paddle-Signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "ts:body",
    replay: "timestamp, 5 s",
    dedupe: "event_id",
    kind: "event_type",
    checked_with: "paddle-python-sdk 1.16.1, @paddle/paddle-node-sdk 3.10.0",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[("tolerance_s", "seconds that the timestamp may be old, 5 by default")],
    verify,
    check,
};

const TOLERANCE_S: i64 = 5;

fn check(source: &Source) -> Result<(), String> {
    Params(source).number("tolerance_s")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let (timestamp, signatures) = read(request.header("paddle-signature")?)?;
    let tolerance = Params(source).number("tolerance_s")?.unwrap_or(TOLERANCE_S);
    not_older(unix_seconds(timestamp)?, now, tolerance)?;
    let secrets = need_secrets(source, now)?;
    let parts: &[&[u8]] = &[timestamp.as_bytes(), b":", request.body];
    let macs = hmacs(Hash::Sha256, &secrets, parts);
    if !signatures.iter().any(|given| is_among(&macs, given)) {
        return Err(Refusal::mismatch(format!("no h1 signature matches with {}", tried(secrets.len()))));
    }
    Ok(Verdict::Proven(describe(request)))
}

/// The timestamp and every readable `h1`.
fn read(header: &str) -> Result<(&str, Vec<Vec<u8>>), Refusal> {
    let pairs = || header.split(';').filter_map(|pair| pair.split_once('='));
    let mut timestamps = pairs().filter(|(name, _)| *name == "ts");
    let (_, timestamp) = timestamps.next().ok_or_else(|| Refusal::malformed("Paddle-Signature holds no ts="))?;
    if timestamps.next().is_some() {
        return Err(Refusal::duplicate("Paddle-Signature holds more than one ts="));
    }
    let signatures: Vec<&str> = pairs().filter(|(name, _)| *name == "h1").map(|(_, hex)| hex).collect();
    if signatures.is_empty() {
        return Err(Refusal::malformed("Paddle-Signature holds no h1 signature"));
    }
    Ok((timestamp, signatures.into_iter().filter_map(unhex).collect()))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = pick(request.body, ["/event_id", "/event_type"]);
    Proven { kind, dedupe_key, answer: Some(Answer::empty(200)), ..Proven::default() }
}
