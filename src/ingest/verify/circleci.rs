//! CircleCI.
//!
//! * Header: `circleci-signature: v1=<hex>[,v2=…]`; only `v1`, the newest version that is known, is looked at. Of
//!   several the last counts, as in CircleCI's sample.
//! * Algorithm and signed bytes: HMAC-SHA256 of the body, keyed by the secret's text.
//! * Replay protection: none. Dedupe id: the body's `id`. Type: `circleci-event-type`, or the body's `type`.
//! * Source: circleci-docs, "Outbound webhooks". Checked with: the values published there.

use crate::model::Source;

use super::crypto::{Hash, unhex};
use super::pick::pick;
use super::settings::{nothing_more, prove_hmac};
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "circleci",
    header: "circleci-signature",
    algorithm: "HMAC-SHA256, hex",
    signed: "body",
    replay: "none",
    dedupe: "body id",
    kind: "circleci-event-type",
    checked_with: "CircleCI's documented values",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[],
    verify,
    check: nothing_more,
};

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let header = request.header("circleci-signature")?;
    let mut pairs = header.split(',').filter_map(|pair| pair.split_once('='));
    let (_, hex) = pairs
        .rfind(|(version, _)| *version == "v1")
        .ok_or_else(|| Refusal::malformed("circleci-signature holds no v1 signature"))?;
    let given = unhex(hex).ok_or_else(|| Refusal::malformed("the v1 signature is not hex in lower case"))?;
    prove_hmac(source, now, Hash::Sha256, &[request.body], &given)?;
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = pick(request.body, ["/id", "/type"]);
    Proven { kind: request.fact("circleci-event-type").or(kind), dedupe_key, ..Proven::default() }
}
