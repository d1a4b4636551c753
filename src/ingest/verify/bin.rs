//! A request bin: takes whatever comes, to look at it.
//!
//! * Proof, by `--set mode=…`: `open` (the default) asks none but the unguessable URL; `custom_token` wants
//!   `Authorization: Bearer <secret>`.
//! * Type and dedupe id: none of the preset's own. Replay protection: none.
//! * Handshake: OPTIONS is answered as a CORS preflight, without a proof, and not kept: browsers send it without one.
//! * Answer: 200 with a short page.
//! * Source: Pipedream's documentation of HTTP triggers. Checked with: cases of the rule.

use crate::model::Source;

use super::apikey::prove_bearer;
use super::params::Params;
use super::{ANY_METHOD, Answer, Need, Outcome, Proven, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
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
    verify,
    check,
};

const MODES: &[&str] = &["open", "custom_token"];
const PAGE: &str = "<p><b>Success!</b></p>\n<p>The request was kept.</p>\n";

fn check(source: &Source) -> Result<(), String> {
    match (Params(source).word("mode", MODES)?, source.secrets.is_empty()) {
        ("custom_token", true) => Err("mode custom_token needs the token; give it with --secret-file".into()),
        ("open", false) => Err("an open bin asks for no secret; say --set mode=custom_token, or leave it out".into()),
        _ => Ok(()),
    }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    if request.method == "OPTIONS" {
        return Ok(Verdict::Handshake(preflight()));
    }
    if Params(source).word("mode", MODES)? == "custom_token" {
        prove_bearer(source, request, now)?;
    }
    let answer = Some(Answer::with_body(200, "text/html; charset=utf-8", PAGE));
    Ok(Verdict::Proven(Proven { answer, ..Proven::default() }))
}

fn preflight() -> Answer {
    let headers = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
        ("access-control-allow-headers", "*"),
    ];
    Answer {
        status: 200,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Vec::new(),
    }
}
