//! CloudEvents over HTTP webhooks.
//!
//! * Proof: the token as `Authorization: Bearer` or as the query field `access_token`, not both
//!   (RFC 6750, 2). Nothing is signed and there is no replay protection.
//! * Handshake: OPTIONS with `WebHook-Request-Origin`. An origin of `--set allowed_origins=…` (`*`
//!   for any) gets `WebHook-Allowed-Origin`, `Allow: POST` and, when it asked for a rate,
//!   `WebHook-Allowed-Rate` with `--set allowed_rate=…` (`*` by default). To any other the consent
//!   is withheld. A POST that names an origin which is not allowed is refused; consent by callback
//!   is not given.
//! * Dedupe id: `source` and `id`, separated by a space, which neither a URI nor most ids hold.
//!   Type: `type`. Structured, binary (`ce-…`) and batch mode.
//! * Source: cloudevents/spec, http-webhook.md and http-protocol-binding.md. Checked with: cases of
//!   the specification.
//!
//! **What it proves.** Whoever holds the token, and whoever saw a request with it. The recipient is
//! named by the token alone. Nothing is signed: attributes are trusted as the sender gives them.
//! `source` and `id` name an event and not a delivery; CloudEvents calls the same pair the same
//! event, so what has it and the same bytes is a repetition, and what has the pair and another body
//! is kept as an event of its own.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::model::Source;

use super::apikey::prove_bearer;
use super::json::scalars;
use super::params::SchemeParams;
use super::secrets::prove_secret;
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Verdict, VerifyResult, batch,
};

pub(super) const SCHEME: Scheme = Scheme {
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
        ("allowed_origins", "the origins that may deliver: DNS names separated by commas, or *"),
        ("allowed_rate", "requests a minute that senders are granted, or * (by default)"),
    ],
    check,
    splits: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).list("allowed_origins")?;
    allowed_rate(source)?;
    Ok(())
}

fn allowed_rate(source: &Source) -> Result<String, String> {
    let rate = match SchemeParams(source).value("allowed_rate") {
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

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    if request.method == "OPTIONS" {
        return handshake(source, request);
    }
    if let Some(origin) = request.header_opt("webhook-request-origin")? {
        allow_origin(source, origin)?;
    }

    match (request.header_opt("authorization")?, request.query_field("access_token")?) {
        (Some(_), Some(_)) => {
            return Err(ProofRefusal::duplicate("the token is in the header and in the query"));
        }
        (None, Some(token)) => prove_secret(source, now, "the query field access_token", &token)?,
        (_, None) => prove_bearer(source, request, now)?,
    }
    Ok(Verdict::Proven(describe(source, request)))
}

fn allow_origin(source: &Source, origin: &str) -> Result<(), ProofRefusal> {
    let Some(allowed) = SchemeParams(source).list("allowed_origins")? else { return Ok(()) };
    if allowed.iter().any(|name| *name == "*" || name.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(ProofRefusal::new(
        "not-allowed",
        format!("the origin {origin:?} is not in --set allowed_origins=…"),
    ))
}

fn handshake(source: &Source, request: &Request<'_>) -> VerifyResult {
    let origin = request.header("webhook-request-origin")?;
    if SchemeParams(source).value("allowed_origins").is_none() {
        return Err(ProofRefusal::new(
            "not-allowed",
            "nobody is allowed yet; name the origins with --set allowed_origins=…",
        ));
    }
    allow_origin(source, origin)?;

    let rate = request.header_opt("webhook-request-rate")?;
    if rate.is_some_and(|rate| rate != "*" && !is_rate(rate)) {
        return Err(ProofRefusal::malformed(
            "WebHook-Request-Rate is neither a positive number nor *",
        ));
    }

    let mut headers = vec![
        ("allow".to_owned(), "POST".to_owned()),
        ("webhook-allowed-origin".to_owned(), origin.to_owned()),
    ];
    if rate.is_some() {
        headers.push((
            "webhook-allowed-rate".to_owned(),
            allowed_rate(source).map_err(ProofRefusal::settings)?,
        ));
    }
    Ok(Verdict::Handshake(ProviderAnswer { status: 200, headers, body: Vec::new() }))
}

fn describe(source: &Source, request: &Request<'_>) -> Proven {
    let media_type = request.media_type();
    if media_type == "application/cloudevents-batch+json" {
        let items = batch::items(request.body).unwrap_or_default();
        let elements =
            batch::elements(&items, "application/cloudevents+json; charset=utf-8", structured);
        return batch::whole(source, request.body, elements);
    }

    let (kind, dedupe_key) = if media_type.starts_with("application/cloudevents") {
        structured(request.body)
    } else {
        let fact = |name| request.readable_header(name).map(|value| attribute(&value));
        let exact = |name| request.key_header(name).map(|value| attribute(&value));
        (fact("ce-type"), key(exact("ce-source"), exact("ce-id")))
    };
    Proven { kind, dedupe_key, ..Proven::default() }
}

/// Decodes an attribute in a header (HTTP binding, 3.1.3.2): perhaps in quotes, and percent-encoded
/// once. What cannot be decoded stays as it is.
pub(in crate::ingest) fn attribute(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = inner.map_or_else(
        || value.to_owned(),
        |inner| inner.replace("\\\"", "\"").replace("\\\\", "\\"),
    );
    if !plain.contains('%') {
        return plain;
    }

    let mut bytes = Vec::with_capacity(plain.len());
    let mut rest = plain.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let pair = tail
            .get(..2)
            .filter(|_| *byte == b'%')
            .and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex).ok());
        match pair.as_deref() {
            Some([decoded]) => {
                bytes.push(*decoded);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or(plain)
}

fn structured(body: &[u8]) -> (Option<String>, Option<String>) {
    let [kind, source, id] = scalars(body, ["/type", "/source", "/id"]);
    (kind, key(source, id))
}

/// A source is a URI reference, which holds no space, so that no two pairs look alike.
fn key(source: Option<String>, id: Option<String>) -> Option<String> {
    source.zip(id).map(|(source, id)| format!("{} {id}", source.replace(' ', "%20")))
}
