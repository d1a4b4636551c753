//! `hmac`: home-made senders that sign with a shared secret.
//!
//! * Header: `--set header=…` (`X-Signature` by default), its value after `--set prefix=…` (none by default).
//! * Algorithm: HMAC with `--set algorithm=sha256|sha1|sha512`, in `--set encoding=hex|base64` (hex in either case).
//! * Signed bytes: `--set signed=…`, a template of `{body}` (alone by default), `{timestamp}`, `{id}`, `{method}`,
//!   `{url}` and literal text, e.g. `{id}.{timestamp}.{body}`. It must hold `{body}`.
//! * Replay protection: with `{timestamp}`, the header `--set timestamp_header=…` must be within ±`tolerance_s` (300).
//! * Dedupe id: with `{id}`, the header `--set id_header=…`. Type: what the source's settings say.
//! * The key is the secret's text, or what `--set secret_encoding=hex|base64` makes of it.
//! * Checked with: RFC 4231's and RFC 2202's values, own cases.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use crate::model::Source;

use super::crypto::{Hash, hmac_matches, unbase64};
use super::params::Params;
use super::settings::{TOLERANCE_S, need_secrets, not_ahead, not_older, tried, unix_seconds};
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "hmac",
    header: "X-Signature, or a header of your own",
    algorithm: "HMAC-SHA256, -SHA1 or -SHA512, hex or base64",
    signed: "a template; body by default",
    replay: "timestamp, ±300 s, if signed",
    dedupe: "a header, if signed",
    kind: "the source's settings",
    checked_with: "RFC 4231, RFC 2202, own cases",
    methods: "POST",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("header", "the header with the signature, X-Signature by default"),
        ("algorithm", "sha256 (by default), sha1, sha512"),
        ("encoding", "hex (by default), base64"),
        ("prefix", "what stands before the signature, e.g. sha256="),
        ("signed", "what is signed, e.g. {timestamp}.{body}; {body} by default"),
        ("timestamp_header", "the header with the unix time, for {timestamp}"),
        ("id_header", "the header with the delivery's id, for {id}"),
        ("tolerance_s", "seconds that the timestamp may be off, 300 by default"),
        ("secret_encoding", "text (by default), hex, base64"),
    ],
    verify,
    check,
};

/// The settings, read once.
struct Rule<'s> {
    header: &'s str,
    hash: Hash,
    base64: bool,
    prefix: &'s str,
    template: &'s str,
    timestamp_header: Option<&'s str>,
    id_header: Option<&'s str>,
    tolerance_s: i64,
}

impl<'s> Rule<'s> {
    fn of(source: &'s Source) -> Result<Self, String> {
        let params = Params(source);
        Ok(Self {
            header: params.text("header")?.unwrap_or("X-Signature"),
            hash: match params.word("algorithm", &["sha256", "sha1", "sha512"])? {
                "sha1" => Hash::Sha1,
                "sha512" => Hash::Sha512,
                _ => Hash::Sha256,
            },
            base64: params.word("encoding", &["hex", "base64"])? == "base64",
            prefix: params.text("prefix")?.unwrap_or_default(),
            template: params.text("signed")?.unwrap_or("{body}"),
            timestamp_header: params.text("timestamp_header")?,
            id_header: params.text("id_header")?,
            tolerance_s: params.number("tolerance_s")?.unwrap_or(TOLERANCE_S),
        })
    }
}

/// The template as literal texts and names, in turn.
fn pieces(template: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("--set signed=… has a { without its }")?;
        if !["body", "timestamp", "id", "method", "url"].contains(&name) {
            return Err(format!(
                "--set signed=… knows {{body}}, {{timestamp}}, {{id}}, {{method}}, {{url}}, not {{{name}}}"
            ));
        }
        pieces.push((literal, Some(name)));
        rest = tail;
    }
    pieces.push((rest, None));
    Ok(pieces)
}

fn check(source: &Source) -> Result<(), String> {
    let rule = Rule::of(source)?;
    let pieces = pieces(rule.template)?;
    let holds = |wanted| pieces.iter().any(|(_, name)| *name == Some(wanted));
    if !holds("body") {
        return Err("--set signed=… must hold {body}, or anything could be sent under an old signature".into());
    }
    for (name, header) in [("timestamp", rule.timestamp_header), ("id", rule.id_header)] {
        match (holds(name), header.is_some()) {
            (true, false) => {
                return Err(format!("{{{name}}} is signed, so say where it stands: --set {name}_header=…"));
            }
            (false, true) => return Err(format!("{name}_header means nothing unless {{{name}}} is in --set signed=…")),
            _ => {}
        }
    }
    secret_keys(source, source.secrets.iter().map(|timed| timed.secret.0.as_str()).collect()).map(|_| ())
}

fn secret_keys(source: &Source, secrets: Vec<&str>) -> Result<Vec<Vec<u8>>, String> {
    let encoding = Params(source).word("secret_encoding", &["text", "hex", "base64"])?;
    decode_secrets(encoding, secrets)
}

/// The keys that the secrets' texts stand for.
pub(super) fn decode_secrets(encoding: &str, secrets: Vec<&str>) -> Result<Vec<Vec<u8>>, String> {
    let key = |secret: &str| match encoding {
        "hex" => HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok(),
        "base64" => BASE64.decode(secret.as_bytes()).ok(),
        _ => Some(secret.as_bytes().to_vec()),
    };
    let keys: Option<Vec<Vec<u8>>> =
        secrets.into_iter().map(|secret| key(secret).filter(|key| !key.is_empty())).collect();
    keys.ok_or_else(|| format!("a secret is not {encoding}, as --set secret_encoding={encoding} says"))
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let rule = Rule::of(source).map_err(Refusal::settings)?;
    let value = request.header(&rule.header.to_ascii_lowercase())?;
    let text = value.strip_prefix(rule.prefix).ok_or_else(|| {
        Refusal::malformed(format!("the header {} does not begin with {:?}", rule.header, rule.prefix))
    })?;
    let given = if rule.base64 { unbase64(text) } else { HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok() };
    let given = given.ok_or_else(|| {
        let encoding = if rule.base64 { "base64" } else { "hex" };
        Refusal::malformed(format!("the signature in {} is not {encoding}", rule.header))
    })?;
    let id = rule.id_header.map(|name| request.header(&name.to_ascii_lowercase())).transpose()?;
    let timestamp = rule.timestamp_header.map(|name| request.header(&name.to_ascii_lowercase())).transpose()?;
    if let Some(timestamp) = timestamp {
        let at = unix_seconds(timestamp)?;
        not_older(at, now, rule.tolerance_s)?;
        not_ahead(at, now, rule.tolerance_s)?;
    }

    let mut parts: Vec<&[u8]> = Vec::new();
    for (literal, name) in pieces(rule.template).map_err(Refusal::settings)? {
        parts.push(literal.as_bytes());
        parts.push(match name {
            Some("body") => request.body,
            Some("timestamp") => timestamp.unwrap_or_default().as_bytes(),
            Some("id") => id.unwrap_or_default().as_bytes(),
            Some("method") => request.method.as_bytes(),
            Some("url") => request.url.as_bytes(),
            _ => b"",
        });
    }
    let keys = secret_keys(source, need_secrets(source, now)?).map_err(Refusal::settings)?;
    if !hmac_matches(rule.hash, &keys, &parts, &given) {
        return Err(Refusal::mismatch(format!("the signature does not match with {}", tried(keys.len()))));
    }
    Ok(Verdict::Proven(Proven { dedupe_key: id.map(str::to_owned), ..Proven::default() }))
}
