//! API keys: a secret that the sender shows with every request.
//!
//! * Proof, by `--set in=…`: `header` (the default, named by `--set name=…`, `X-API-Key` by
//!   default), `query` (the decoded field of that name), `bearer` (`Authorization: Bearer`, RFC
//!   6750), `basic` (`Authorization: Basic`, the secret being `user:password` in UTF-8, RFC 7617).
//! * It proves who posts, not what; there is no replay protection. A key that occurs twice is
//!   refused.
//! * Type and dedupe id: from the source's settings or the request's own headers. Handshakes: those
//!   of [`super::handshake`] that sign nothing.
//! * Source: RFC 6750, RFC 7617. Checked with: the RFCs' examples and cases of the rule.
//!
//! **What it proves.** Whoever holds the key, the recipient included, and whoever saw a request
//! with it; give each sender a key of its own. The recipient is named by the key alone. Nothing is
//! signed: the sender is trusted with all that it sends, ids and types in headers included, as far
//! as the connection is trusted. A key names no delivery: a repetition is known by the common
//! headers or the source's settings, and another body under the same id is an event of its own.

use crate::model::Source;

use super::crypto::unbase64;
use super::handshake;
use super::params::SchemeParams;
use super::secrets::prove_secret;
use super::{Need, ProofRefusal, Proven, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "apikey",
    header: "X-API-Key, Authorization, or the query",
    algorithm: "comparison",
    signed: "nothing",
    replay: "none",
    dedupe: "the source's settings",
    kind: "the source's settings",
    checked_with: "RFC 7617's example, own cases",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("in", "header (by default), query, bearer, basic"),
        ("name", "the header or query field, X-API-Key by default"),
        handshake::PARAM,
        handshake::TOKEN_PARAM,
    ],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, secret_header)
};

const PLACES: &[&str] = &["header", "query", "bearer", "basic"];

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    let named = params.text("name")?.is_some();
    handshake::check_without_secret(source)?;
    match params.word("in", PLACES)? {
        "basic" => check_basic(source),
        "query" if !named => {
            Err("in=query needs the field's name; give it with --set name=…".into())
        }
        _ => Ok(()),
    }
}

pub(super) fn check_basic(source: &Source) -> Result<(), String> {
    if source.secrets.iter().all(|timed| timed.secret.0.contains(':')) {
        return Ok(());
    }
    Err("for Basic authentication the secret is user:password, and this one has no colon".into())
}

fn secret_header(source: &Source) -> Option<&str> {
    let is_query = source.params.get("in").and_then(|value| value.as_str()) == Some("query");
    source.params.get("name").and_then(|value| value.as_str()).filter(|_| !is_query)
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let params = SchemeParams(source);
    let name = params.text("name")?.unwrap_or("X-API-Key");

    match params.word("in", PLACES)? {
        "basic" => prove_basic(source, request, now)?,
        "bearer" => prove_bearer(source, request, now)?,
        "query" => {
            let given = request.query_field(name)?.ok_or_else(|| {
                ProofRefusal::missing(format!("the URL has no query field {name}"))
            })?;
            prove_secret(source, now, &format!("the query field {name}"), &given)?;
        }
        _ => {
            let given = request
                .header_bytes(&name.to_ascii_lowercase())?
                .filter(|value| !value.is_empty())
                .ok_or_else(|| ProofRefusal::missing(format!("the header {name} is missing")))?;
            prove_secret(source, now, &format!("the header {name}"), given)?;
        }
    }
    Ok(Verdict::Proven(Proven::default()))
}

pub(super) fn prove_bearer(
    source: &Source,
    request: &Request<'_>,
    now: i64,
) -> Result<(), ProofRefusal> {
    prove_secret(source, now, "the bearer token", request.authorization("Bearer")?.as_bytes())
}

pub(super) fn prove_basic(
    source: &Source,
    request: &Request<'_>,
    now: i64,
) -> Result<(), ProofRefusal> {
    let credentials = unbase64(request.authorization("Basic")?).ok_or_else(|| {
        ProofRefusal::malformed("the credentials of Authorization: Basic are not base64")
    })?;
    prove_secret(source, now, "user:password", &credentials)
}
