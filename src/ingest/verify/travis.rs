//! Travis CI.
//!
//! * Header: `Signature`, base64.
//! * Algorithm and signed bytes: RSA PKCS#1 v1.5 with SHA-1 over the *decoded* form field `payload`. The public key
//!   is `config.notifications.webhook.public_key` of api.travis-ci.com/config, as PEM.
//! * Replay protection: none. Dedupe id: `id` and `state`, for one build is told of when it starts and when it ends.
//!   Type: the payload's `type`.
//! * Source: docs.travis-ci.com, "Verifying webhook requests"; travis-ci/travis-tasks `webhook/task.rb`.
//! * Checked with: a real delivery, and Node's crypto as in the sample that the documentation links to. That sample
//!   takes the first `payload` of two; we refuse two, because the event is kept and passed on as it came, and who
//!   reads it may take the other one.

use crate::model::Source;

use super::crypto::unbase64;
use super::keys::{Algorithm, public_keys};
use super::pick::pick;
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict, form};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "travis",
    header: "Signature",
    algorithm: "RSA PKCS#1 v1.5 SHA-1, base64",
    signed: "decoded form field payload",
    replay: "none",
    dedupe: "payload id and state",
    kind: "payload type",
    checked_with: "a captured delivery; Node's crypto as in Travis' sample",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Required,
    params: &[],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())?;
    let fits = keys.iter().all(|key| key.kind() == Algorithm::RsaSha1.kind());
    if fits { Ok(()) } else { Err("Travis CI's public key is an RSA key, and this one is not".into()) }
}

fn verify(source: &Source, request: &Request<'_>, _: i64) -> Outcome {
    let header = request.header("signature")?;
    let given = unbase64(header).ok_or_else(|| Refusal::malformed("Signature is not base64"))?;
    let fields = form::parse(request.body);
    let payload = form::single(&fields, "payload")
        .map_err(|_| Refusal::duplicate("the form field payload stands there more than once"))?
        .ok_or_else(|| Refusal::missing("the form field payload is missing"))?;
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default()).map_err(Refusal::settings)?;
    if !keys.iter().any(|key| key.verify(Algorithm::RsaSha1, payload, &given)) {
        return Err(Refusal::mismatch("the signature does not match with the public key"));
    }
    Ok(Verdict::Proven(describe(payload)))
}

fn describe(payload: &[u8]) -> Proven {
    let [id, state, kind] = pick(payload, ["/id", "/state", "/type"]);
    let dedupe_key = id.map(|id| format!("{id}:{}", state.as_deref().unwrap_or_default()));
    Proven { kind: kind.or(state), dedupe_key, ..Proven::default() }
}
