//! Dialogflow ES and CX.
//!
//! * Proof, by `--set mode=…`: `static_header` compares the header that `--set header=…` names
//!   (`Authorization` by default) whole with the secret; `basic` takes `user:password` as secret;
//!   `google_id_token` is the service agent's ID token, see [`super::pubsub`] for its rules; `jwt`
//!   any other token, see [`super::jwt`]. Client certificates are the listener's business.
//! * Replay protection: none (the token expires). Nothing of the body is signed.
//! * Dedupe id: `responseId` (ES) or `detectIntentResponseId` (CX). Type: the intent's name, or the
//!   tag.
//! * Answer: 200 with `{}`, a legal WebhookResponse, for the caller waits for one.
//! * Source: cloud.google.com/dialogflow, fulfillment and webhook pages. Checked with: PyJWT and
//!   google-auth for tokens, RFC 7617 for Basic.
//!
//! **What it proves.** With a header or Basic whoever holds the secret; with an ID token Google's
//! service agent of the configured email, for the configured audience, which names the recipient.
//! Nothing of the body is signed. The response's id is in the body and trusted, because there is
//! nothing better; a call is answered at once and not repeated, so one id with two bodies is two
//! events.

use crate::model::Source;

use super::json::scalars;
use super::params::SchemeParams;
use super::scheme::header_setting;
use super::secrets::prove_secret;
use super::{Need, Proven, ProviderAnswer, Request, Scheme, Verdict, VerifyResult, apikey, jwt};

pub(super) const SCHEME: Scheme = Scheme {
    name: "dialogflow",
    header: "Authorization, or a header of your own",
    algorithm: "comparison, or RS256 ID token",
    signed: "nothing",
    replay: "none; the token's exp",
    dedupe: "responseId, detectIntentResponseId",
    kind: "intent, tag",
    checked_with: "google-auth 2.62.2; RFC 7617",
    secret: Need::Optional,
    public_key: Need::Unused,
    params: &[
        ("mode", "static_header (by default), basic, google_id_token, jwt"),
        ("header", "the header that static_header compares"),
        ("jwks", "Google's keys, @FILE.json"),
        ("jwks_url", "the https URL of the issuer's keys, instead of a file"),
        ("allow_private", "true allows a private address in jwks_url"),
        ("audience", "the webhook's URL"),
        ("email", "the service agent"),
        ("issuers", "Google's by default"),
        ("issuer", "a single one"),
        ("algorithms", "RS256 by default"),
        ("leeway_s", "tolerance for the token's times in seconds, 10 by default"),
    ],
    check,
    has_key_set: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, header_setting)
};

const MODES: &[&str] = &["static_header", "basic", "google_id_token", "jwt"];

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    match params.word("mode", MODES)? {
        "google_id_token" => jwt::check_claims(source, &["audience", "email"]),
        "jwt" => jwt::check_claims(source, &["audience"]),
        mode if source.secrets.is_empty() => {
            Err(format!("mode {mode} needs a secret; give it with --secret-file"))
        }
        "basic" => apikey::check_basic(source),
        _ => params.text("header").map(|_| ()).map_err(String::from),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let params = SchemeParams(source);
    match params.word("mode", MODES)? {
        "google_id_token" => _ = jwt::prove(source, request, now, jwt::Flavour::Google)?,
        "jwt" => _ = jwt::prove(source, request, now, jwt::Flavour::Plain)?,
        "basic" => apikey::prove_basic(source, request, now)?,
        _ => {
            let name = params.text("header")?.unwrap_or("authorization").to_ascii_lowercase();
            prove_secret(
                source,
                now,
                &format!("the header {name}"),
                request.header(&name)?.as_bytes(),
            )?;
        }
    }
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let paths = [
        "/responseId",
        "/detectIntentResponseId",
        "/queryResult/intent/displayName",
        "/fulfillmentInfo/tag",
    ];
    let [es_id, cx_id, intent, tag] = scalars(request.body, paths);

    let answer = Some(ProviderAnswer::json(&serde_json::json!({})));
    Proven { kind: intent.or(tag), dedupe_key: es_id.or(cx_id), answer, ..Proven::default() }
}
