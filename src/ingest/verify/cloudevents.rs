//! CloudEvents over HTTP webhooks.
//!
//! * Proof: the token as `Authorization: Bearer` or as the query field `access_token`, not both (RFC 6750, 2). Nothing
//!   is signed and there is no replay protection.
//! * Handshake: OPTIONS with `WebHook-Request-Origin`. An origin of `--set allowed_origins=…` (`*` for any) gets
//!   `WebHook-Allowed-Origin`, `Allow: POST` and, when it asked for a rate, `WebHook-Allowed-Rate` with
//!   `--set allowed_rate=…` (`*` by default). To any other the consent is withheld. A POST that names an origin which
//!   is not allowed is refused; consent by callback is not given.
//! * Dedupe id: `source` and `id`, separated by a space, which neither a URI nor most ids hold. Type: `type`.
//!   Structured, binary (`ce-…`) and batch mode.
//! * Source: cloudevents/spec, http-webhook.md and http-protocol-binding.md. Checked with: cases of the specification.

use crate::model::Source;

use super::apikey::prove_bearer;
use super::params::Params;
use super::pick::pick;
use super::settings::prove_secret;
use super::{Answer, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict, batch};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "cloudevents",
    header: "Authorization, or access_token in the query",
    algorithm: "comparison",
    signed: "nothing",
    replay: "none",
    dedupe: "source and id",
    kind: "type",
    checked_with: "own cases, from the specification",
    methods: "POST, OPTIONS",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("allowed_origins", "who may deliver: DNS names separated by commas, or *"),
        ("allowed_rate", "requests a minute that are granted, or * (by default)"),
    ],
    verify,
    check,
};

fn check(source: &Source) -> Result<(), String> {
    Params(source).list("allowed_origins")?;
    allowed_rate(source)?;
    Ok(())
}

fn allowed_rate(source: &Source) -> Result<String, String> {
    let rate = match Params(source).value("allowed_rate") {
        None => return Ok("*".to_owned()),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if rate == "*" || is_rate(&rate) {
        Ok(rate)
    } else {
        Err("--set allowed_rate=… must be a positive number or *".into())
    }
}

fn is_rate(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|rate| rate > 0) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    if request.method == "OPTIONS" {
        return handshake(source, request);
    }
    if let Some(origin) = request.header_opt("webhook-request-origin")? {
        allow_origin(source, origin)?;
    }
    match (request.header_opt("authorization")?, request.query_field("access_token")?) {
        (Some(_), Some(_)) => return Err(Refusal::duplicate("the token stands in the header and in the query")),
        (None, Some(token)) => prove_secret(source, now, "the query field access_token", &token)?,
        (_, None) => prove_bearer(source, request, now)?,
    }
    Ok(Verdict::Proven(describe(source, request)))
}

fn allow_origin(source: &Source, origin: &str) -> Result<(), Refusal> {
    let Some(allowed) = Params(source).list("allowed_origins")? else { return Ok(()) };
    if allowed.iter().any(|name| *name == "*" || name.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Refusal::new("not-allowed", format!("the origin {origin:?} is not in --set allowed_origins=…")))
}

fn handshake(source: &Source, request: &Request<'_>) -> Outcome {
    let origin = request.header("webhook-request-origin")?;
    if Params(source).value("allowed_origins").is_none() {
        return Err(Refusal::new(
            "not-allowed",
            "nobody is allowed yet; name the origins with --set allowed_origins=…",
        ));
    }
    allow_origin(source, origin)?;
    let rate = request.header_opt("webhook-request-rate")?;
    if rate.is_some_and(|rate| rate != "*" && !is_rate(rate)) {
        return Err(Refusal::malformed("WebHook-Request-Rate is neither a positive number nor *"));
    }
    let mut headers =
        vec![("allow".to_owned(), "POST".to_owned()), ("webhook-allowed-origin".to_owned(), origin.to_owned())];
    if rate.is_some() {
        headers.push(("webhook-allowed-rate".to_owned(), allowed_rate(source).map_err(Refusal::settings)?));
    }
    Ok(Verdict::Handshake(Answer { status: 200, headers, body: Vec::new() }))
}

fn describe(source: &Source, request: &Request<'_>) -> Proven {
    let media_type = request.media_type();
    if media_type == "application/cloudevents-batch+json" {
        let items = batch::items(request.body).unwrap_or_default();
        let elements = batch::elements(&items, "application/cloudevents+json; charset=utf-8", structured);
        return batch::whole(source, request.body, elements);
    }
    let (kind, dedupe_key) = if media_type.starts_with("application/cloudevents") {
        structured(request.body)
    } else {
        (request.fact("ce-type"), key(request.fact("ce-source"), request.fact("ce-id")))
    };
    Proven { kind, dedupe_key, ..Proven::default() }
}

fn structured(body: &[u8]) -> (Option<String>, Option<String>) {
    let [kind, source, id] = pick(body, ["/type", "/source", "/id"]);
    (kind, key(source, id))
}

fn key(source: Option<String>, id: Option<String>) -> Option<String> {
    source.zip(id).map(|(source, id)| format!("{source} {id}"))
}
