//! Okta (and Auth0) event hooks.
//!
//! * Proof, by `--set mode=…`: `static_header` (the default) compares the header that `--set
//!   header=…` names (`Authorization` by default) whole with the secret: Okta sends the configured
//!   value without a scheme word. `jwt` is an Okta access token, see [`super::jwt`]; it must name
//!   its key (`kid`), and `exp` itself is still good, as in Okta's verifier.
//! * Replay protection: none (the token expires). Nothing of the body is signed.
//! * Dedupe id: `eventId`; of each element its `uuid`. Type: `eventType` of each element of
//!   `data.events`.
//! * Handshake: a GET with `x-okta-verification-challenge` is answered with it as JSON. It contains
//!   the proof, too.
//! * Answer: 200, for Okta counts nothing but 200 and 204.
//! * Source: developer.okta.com, event hook implementation. Checked with: cases of the rule,
//!   @okta/jwt-verifier 4.0.2.
//!
//! **What it proves.** Whoever holds the configured value; with `jwt` the issuer for the audience,
//! which names the recipient. Otherwise the value does. Nothing of the body is signed: it is
//! trusted as its bearer's word. `eventId` names a hook's delivery and is repeated by its retry;
//! `uuid` names a log event, which several hooks may deliver: in a split source that is the same
//! element once more, as long as its bytes are the same.

use crate::model::Source;
use crate::model::json::pointer::{self, PointerValue};

use super::json::scalars;
use super::params::SchemeParams;
use super::scheme::header_setting;
use super::secrets::prove_secret;
use super::{Need, Proven, ProviderAnswer, Request, Scheme, Verdict, VerifyResult, batch, jwt};

pub(super) const SCHEME: Scheme = Scheme {
    name: "okta",
    header: "Authorization",
    algorithm: "comparison, or RS256 access token",
    signed: "nothing",
    replay: "none; the token's exp",
    dedupe: "eventId, uuid of each element",
    kind: "eventType of each element",
    checked_with: "@okta/jwt-verifier 4.0.2; own cases for event hooks",
    methods: "POST, GET",
    secret: Need::Optional,
    public_key: Need::Unused,
    params: &[
        ("mode", "static_header (by default), jwt"),
        ("header", "the header that static_header compares"),
        ("jwks", "the issuer's keys, @FILE.json"),
        ("jwks_url", "the https URL of the issuer's keys, instead of a file"),
        ("allow_private", "true allows a private address in jwks_url"),
        ("issuer", "the token's iss"),
        ("issuers", "several, separated by commas"),
        ("audience", "the token's aud"),
        ("algorithms", "RS256 by default"),
        ("leeway_s", "tolerance for the token's times in seconds, 10 by default"),
    ],
    check,
    has_key_set: true,
    splits: true,
    ..Scheme::new(verify, Scheme::key_names_recipient, header_setting)
};

const MODES: &[&str] = &["static_header", "jwt"];

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    params.text("header")?;
    match params.word("mode", MODES)? {
        "jwt" => jwt::check_claims(source, &["issuer", "audience"]),
        _ if source.secrets.is_empty() => {
            Err("the scheme okta needs the value of the Authorization field; give it with \
                 --secret-file"
                .into())
        }
        _ => Ok(()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let params = SchemeParams(source);
    let hook = params.word("mode", MODES)? == "static_header";
    if hook {
        let name = params.text("header")?.unwrap_or("authorization").to_ascii_lowercase();
        prove_secret(
            source,
            now,
            &format!("the header {name}"),
            request.header(&name)?.as_bytes(),
        )?;
    } else {
        jwt::prove(source, request, now, jwt::Flavour::Okta)?;
    }

    if request.method == "GET" {
        let challenge = request.header("x-okta-verification-challenge")?;
        return Ok(Verdict::Handshake(ProviderAnswer::json(
            &serde_json::json!({ "verification": challenge }),
        )));
    }
    Ok(Verdict::Proven(describe(source, request)))
}

fn describe(source: &Source, request: &Request<'_>) -> Proven {
    let [id, kind] = scalars(request.body, ["/eventId", "/eventType"]);
    let events = events(request.body);
    let elements = batch::elements(&events, "application/json", |item| {
        let [kind, uuid] = scalars(item, ["/eventType", "/uuid"]);
        (kind, uuid)
    });

    let mut proven = batch::whole(source, request.body, elements);
    proven.dedupe_key = id.or(proven.dedupe_key.filter(|_| !events.is_empty()));
    proven.kind = proven.kind.or(kind);
    proven.answer = Some(ProviderAnswer::json(&serde_json::json!({})));
    proven
}

/// `data.events`, or the body itself when it is an array (Auth0's log streams).
fn events(body: &[u8]) -> Vec<&[u8]> {
    match pointer::find(body, [Some("/data/events")]) {
        Ok([Some(PointerValue::Other(begin, end))]) => {
            batch::items(body.get(begin..end).unwrap_or_default()).unwrap_or_default()
        }
        _ => batch::items(body).unwrap_or_default(),
    }
}
