//! GitLab.
//!
//! * Proof: with a signing token (`whsec_…`), the Standard Webhooks headers `webhook-id`,
//!   `webhook-timestamp` and `webhook-signature`, see [`super::standard_webhooks`]; there is no
//!   falling back from it. With `--set mode=secret_token`, the header `X-Gitlab-Token`, compared
//!   with the secret; nothing is signed then.
//! * Replay protection: timestamp within ±300 s with a signing token, none with a secret token.
//! * Dedupe id: `Idempotency-Key` (the same as `webhook-id`). Type: `X-Gitlab-Event`.
//! * Source: docs.gitlab.com, webhooks; gitlabhq `web_hook_service.rb`. Checked with:
//!   standardwebhooks, own cases.
//!
//! **What it proves.** Whoever holds the token, the recipient included. The recipient is named by
//! the token. With a signing token id, time and body are signed; with a secret token nothing is.
//! `X-Gitlab-Event` is never signed and trusted for the type alone. A retry repeats
//! `Idempotency-Key` (and `webhook-id`), which names one hook's delivery; what hooks share is
//! `X-Gitlab-Event-UUID`, which is not looked at.

use crate::model::Source;

use super::params::SchemeParams;
use super::secrets::prove_secret;
use super::{Need, Proven, Request, Scheme, Signed, Verdict, VerifyResult, standard_webhooks};

pub(super) const SCHEME: Scheme = Scheme {
    name: "gitlab",
    header: "webhook-signature, or X-Gitlab-Token",
    algorithm: "HMAC-SHA256, base64; or comparison",
    signed: "id.timestamp.body",
    replay: "timestamp, ±300 s (signing token)",
    dedupe: "Idempotency-Key",
    kind: "X-Gitlab-Event",
    checked_with: "standardwebhooks libraries; own cases",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("mode", "signing_token (by default), secret_token"),
        ("tolerance_s", "seconds by which the timestamp may differ from the clock, 300 by default"),
    ],
    check,
    // Its documentation names 25 MB, and a body is JSON (docs.gitlab.com, webhooks).
    max_body: 25 << 20,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

const MODES: &[&str] = &["signing_token", "secret_token"];

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    let signing = params.word("mode", MODES)? == "signing_token";
    if !signing && params.value("tolerance_s").is_some() {
        return Err("a secret token signs no time, so --set tolerance_s=… has no effect with \
                    mode=secret_token; leave it out"
            .into());
    }
    let signing_token = |text: &str| text.starts_with("whsec_");
    match source.secrets.iter().all(|timed| signing_token(&timed.secret.0)) {
        _ if !signing => Ok(()),
        true => standard_webhooks::check(source),
        false => Err("a signing token begins with whsec_; for a plain secret token use --set \
                      mode=secret_token"
            .into()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let (id, signed) = if SchemeParams(source).word("mode", MODES)? == "secret_token" {
        prove_secret(source, now, "X-Gitlab-Token", request.header("x-gitlab-token")?.as_bytes())?;
        (request.key_header("idempotency-key"), None)
    } else {
        let id = standard_webhooks::prove(source, request, now, &["webhook"])?;
        (Some(id.to_owned()), Some(Signed::Body))
    };

    let kind = request.readable_header("x-gitlab-event");
    Ok(Verdict::Proven(Proven { kind, dedupe_key: id, signed, ..Proven::default() }))
}
