//! Handshakes of senders that ask before they post, for the schemes of home-made senders (`--set
//! handshake=…`):
//!
//! * `head`: HEAD is answered 200 (Trello asks so when a webhook is made).
//! * `get`: GET is answered 200.
//! * `meta`: `GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…` is answered with the
//!   challenge, when the token is that of `--set verify_token=…` (Meta: Graph API,
//!   WhatsApp). WebSub looks alike and has no token, only a topic: it is refused.
//! * `crc`: `GET ?crc_token=…` is answered with `{"response_token":"sha256=…"}`, the base64 of the
//!   HMAC-SHA256 of the token under the secret (X, account activity API). Whoever asks gets a
//!   signature, so only that of a token is made: letters, digits and `+/=_-`, of which no JSON
//!   object consists; and an event of nothing else is refused.
//!
//! A method of a handshake makes no event, whatever its query: it is answered or refused.

use data_encoding::BASE64;
use serde_json::json;

use crate::model::Source;

use super::crypto::{HashFunction, hmac as mac, is_one_of};
use super::params::SchemeParams;
use super::secrets::{required_secrets, secret_keys};
use super::{ProofRefusal, ProviderAnswer, Request, Verdict, VerifyResult};

/// The settings, as a scheme lists them.
pub(super) const PARAM: (&str, &str) = (
    "handshake",
    "none (by default), head, get, meta, crc: how the sender tests the URL before \
                   it posts",
);
pub(super) const TOKEN_PARAM: (&str, &str) =
    ("verify_token", "the token that handshake=meta shows, as it was given to the sender");

const KINDS: &[&str] = &["none", "head", "get", "meta", "crc"];
/// Bytes of a challenge that is answered, and of a token that is signed.
const CHALLENGE_BYTES: usize = 512;
const TOKEN_BYTES: usize = 256;

fn kind(source: &Source) -> &str {
    source.params.get("handshake").and_then(|kind| kind.as_str()).unwrap_or("none")
}

/// The method of the source's handshake, if it has one.
pub(super) fn method(source: &Source) -> Option<&'static str> {
    match kind(source) {
        "head" => Some("HEAD"),
        "get" | "meta" | "crc" => Some("GET"),
        _ => None,
    }
}

/// Whether a handshake is answered with a signature.
pub(super) fn signs_tokens(source: &Source) -> bool {
    kind(source) == "crc"
}

pub(super) fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    let is_meta = params.word("handshake", KINDS)? == "meta";
    match (is_meta, params.text("verify_token")?.is_some()) {
        (true, false) => {
            Err("handshake=meta needs the token that the sender shows: --set verify_token=…".into())
        }
        (false, true) => Err("verify_token has no effect without --set handshake=meta".into()),
        _ => Ok(()),
    }
}

/// The check of a scheme that signs nothing.
pub(super) fn check_without_secret(source: &Source) -> Result<(), String> {
    check(source)?;
    if signs_tokens(source) {
        return Err("handshake=crc answers with a signature: it goes with --verify hmac".into());
    }
    Ok(())
}

/// The end of a request that is a handshake; `None` when it is none.
pub(super) fn answered(source: &Source, request: &Request<'_>, now: i64) -> Option<VerifyResult> {
    let kind = kind(source);
    let method = method(source)?;
    if kind == "crc" && request.method != method && is_token(request.body) {
        let reason = "the body is a single word, which handshake=crc signs for everybody";
        return Some(Err(ProofRefusal::malformed(reason)));
    }
    if request.method != method {
        return None;
    }

    Some(match kind {
        "meta" => challenge(source, request),
        "crc" => signed_token(source, request, now),
        _ => Ok(Verdict::Handshake(ProviderAnswer::empty(200))),
    })
}

fn challenge(source: &Source, request: &Request<'_>) -> VerifyResult {
    let field = |name: &str| {
        let missing = || ProofRefusal::missing(format!("the query has no field {name}"));
        request.query_field(name)?.ok_or_else(missing)
    };
    if field("hub.mode")? != b"subscribe" {
        return Err(ProofRefusal::malformed("hub.mode is not subscribe"));
    }

    let expected = SchemeParams(source).text("verify_token")?;
    let expected = expected.ok_or_else(|| ProofRefusal::settings("there is no verify_token"))?;
    if !is_one_of(&[expected], &field("hub.verify_token")?) {
        return Err(ProofRefusal::mismatch("hub.verify_token is not that of the source"));
    }
    let challenge = field("hub.challenge")?;
    if challenge.len() > CHALLENGE_BYTES {
        return Err(ProofRefusal::malformed("hub.challenge is too long"));
    }

    // What stands in the URL goes back: as text, whatever a browser would make of it.
    let mut answer = ProviderAnswer::with_body(200, "text/plain; charset=utf-8", challenge);
    answer.headers.push(("x-content-type-options".into(), "nosniff".into()));
    Ok(Verdict::Handshake(answer))
}

fn signed_token(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let token = request.query_field("crc_token")?;
    let token = token.ok_or_else(|| ProofRefusal::missing("the query has no field crc_token"))?;
    if !is_token(&token) {
        return Err(ProofRefusal::malformed("crc_token is not a token"));
    }

    let secrets = required_secrets(source, now)?;
    let keys = secret_keys(source, secrets).map_err(ProofRefusal::settings)?;
    let newest = keys.first().map(Vec::as_slice).unwrap_or_default();
    let signature = BASE64.encode(&mac(HashFunction::Sha256, newest, &[&token]));
    let answer = json!({ "response_token": format!("sha256={signature}") });
    Ok(Verdict::Handshake(ProviderAnswer::json(&answer)))
}

/// Whether this is a token that is signed.
fn is_token(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    (1..=TOKEN_BYTES).contains(&text.len()) && text.iter().all(plain)
}
