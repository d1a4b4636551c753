//! Mailchimp Marketing.
//!
//! * No header, algorithm or signed bytes: the secret is in the URL's query, in the field that
//!   `--set secret_query_param=…` names (`secret` by default). It proves who posts, not what.
//! * Replay protection: none. Dedupe id: there is none, so a hash of the body. Type: the form field
//!   `type`.
//! * Handshake: Mailchimp sends a GET when the webhook is set up and needs 200. It contains the
//!   secret, too.
//! * Answer: 200.
//! * Source: mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks. Checked with:
//!   cases of the rule, for Mailchimp ships no verifier. The field twice in the URL is refused.
//!
//! **What it proves.** Whoever knows the URL with its secret, and every log that contains it. The
//! recipient is named by that secret. Nothing is signed; `type` and all else is trusted with the
//! sender. There is no id: a retry repeats the body, and two events differ in `fired_at` or what
//! they tell of, so the body's hash is the key.

use crate::model::Source;

use super::crypto::fingerprint;
use super::params::SchemeParams;
use super::secrets::prove_secret;
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Verdict, VerifyResult, form,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "mailchimp",
    header: "secret in the URL's query",
    algorithm: "comparison",
    signed: "nothing",
    replay: "none",
    dedupe: "hash of the body",
    kind: "form field type",
    checked_with: "own cases (there is no SDK)",
    methods: "POST, GET, HEAD",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[("secret_query_param", "the query field with the secret, \"secret\" by default")],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).text("secret_query_param")?;
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let name = SchemeParams(source).text("secret_query_param")?.unwrap_or("secret");

    let given = request.query_field(name)?.ok_or_else(|| {
        ProofRefusal::missing(format!("the URL has no query field {name} with the secret"))
    })?;
    prove_secret(source, now, &format!("the query field {name}"), &given)?;

    if matches!(request.method, "GET" | "HEAD") {
        return Ok(Verdict::Handshake(ProviderAnswer::empty(200)));
    }
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let fields = form::parse(request.body).unwrap_or_default();
    let kind = form::single(&fields, "type")
        .ok()
        .flatten()
        .and_then(|kind| String::from_utf8(kind.to_vec()).ok());
    Proven {
        kind,
        dedupe_key: Some(fingerprint(request.body)),
        answer: Some(ProviderAnswer::empty(200)),
        ..Proven::default()
    }
}
