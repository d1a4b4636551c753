//! A request bin: takes whatever comes, to look at it.
//!
//! * Proof, by `--set mode=…`: `open` (the default) asks none but the unguessable URL;
//!   `custom_token` wants `Authorization: Bearer <secret>`.
//! * Type and dedupe id: none of the preset's own. Replay protection: none.
//! * Handshake: OPTIONS is answered as a CORS preflight, without a proof, and not kept: browsers
//!   send it without one.
//! * Answer: 200 with a short page.
//! * Source: Pipedream's documentation of HTTP triggers. Checked with: cases of the rule.
//!
//! **What it proves.** Anybody who knows the URL, or holds the token with `custom_token`. The
//! recipient is named by the unguessable path. Nothing is signed and nothing is trusted: a bin is
//! for inspection. The sender names what repeats by the common headers; the same id with another
//! body is kept as well.

use crate::model::Source;

use super::apikey::prove_bearer;
use super::params::SchemeParams;
use super::{ANY_METHOD, Need, Proven, ProviderAnswer, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "bin",
    header: "none, or Authorization",
    algorithm: "none, or comparison",
    signed: "nothing",
    replay: "none",
    dedupe: "none",
    kind: "none",
    checked_with: "own cases, from Pipedream's documentation",
    methods: ANY_METHOD,
    secret: Need::Optional,
    public_key: Need::Unused,
    params: &[("mode", "open (by default), custom_token")],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

const MODES: &[&str] = &["open", "custom_token"];
const PAGE: &str = "<p><b>Success!</b></p>\n<p>The request was kept.</p>\n";

fn check(source: &Source) -> Result<(), String> {
    match (SchemeParams(source).word("mode", MODES)?, source.secrets.is_empty()) {
        ("custom_token", true) => {
            Err("mode custom_token needs the token; give it with --secret-file".into())
        }
        ("open", false) => {
            Err("an open bin does not use a secret; use --set mode=custom_token, or leave the \
                 secret out"
                .into())
        }
        _ => Ok(()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    if request.method == "OPTIONS" {
        return Ok(Verdict::Handshake(preflight()));
    }
    if SchemeParams(source).word("mode", MODES)? == "custom_token" {
        prove_bearer(source, request, now)?;
    }

    let answer = Some(ProviderAnswer::with_body(200, "text/html; charset=utf-8", PAGE));
    Ok(Verdict::Proven(Proven { answer, ..Proven::default() }))
}

fn preflight() -> ProviderAnswer {
    let headers = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
        ("access-control-allow-headers", "*"),
    ];
    ProviderAnswer {
        status: 200,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Vec::new(),
    }
}
