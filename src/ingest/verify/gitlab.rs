//! GitLab.
//!
//! * Proof: with a signing token (`whsec_…`), the Standard Webhooks headers `webhook-id`, `webhook-timestamp` and
//!   `webhook-signature`, see [`super::standard_webhooks`]; there is no falling back from it. With
//!   `--set mode=secret_token`, the header `X-Gitlab-Token`, compared with the secret; nothing is signed then.
//! * Replay protection: timestamp within ±300 s with a signing token, none with a secret token.
//! * Dedupe id: `Idempotency-Key` (the same as `webhook-id`). Type: `X-Gitlab-Event`.
//! * Source: docs.gitlab.com, webhooks; gitlabhq `web_hook_service.rb`. Checked with: standardwebhooks, own cases.

use crate::model::Source;

use super::params::Params;
use super::settings::prove_secret;
use super::{Need, Outcome, Proven, Request, SchemeFacts, Verdict, standard_webhooks};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "gitlab",
    header: "webhook-signature, or X-Gitlab-Token",
    algorithm: "HMAC-SHA256, base64; or comparison",
    signed: "id.timestamp.body",
    replay: "timestamp, ±300 s (signing token)",
    dedupe: "Idempotency-Key",
    kind: "X-Gitlab-Event",
    checked_with: "standardwebhooks libraries; own cases",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("mode", "signing_token (by default), secret_token"),
        ("tolerance_s", "seconds that the timestamp may be off, 300 by default"),
    ],
    verify,
    check,
};

const MODES: &[&str] = &["signing_token", "secret_token"];

fn check(source: &Source) -> Result<(), String> {
    let signing = Params(source).word("mode", MODES)? == "signing_token";
    let signing_token = |text: &str| text.starts_with("whsec_");
    match source.secrets.iter().all(|timed| signing_token(&timed.secret.0)) {
        _ if !signing => Ok(()),
        true => standard_webhooks::check(source),
        false => Err("a signing token begins with whsec_; for a plain secret token say --set mode=secret_token".into()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let id = if Params(source).word("mode", MODES)? == "secret_token" {
        prove_secret(source, now, "X-Gitlab-Token", request.header("x-gitlab-token")?.as_bytes())?;
        request.fact("idempotency-key")
    } else {
        Some(standard_webhooks::prove(source, request, now, &["webhook"])?.to_owned())
    };
    Ok(Verdict::Proven(Proven { kind: request.fact("x-gitlab-event"), dedupe_key: id, ..Proven::default() }))
}
