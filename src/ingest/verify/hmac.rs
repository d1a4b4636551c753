//! `hmac`: home-made senders that sign with a shared secret.
//!
//! * Header: `--set header=…` (`X-Signature` by default), its value after `--set prefix=…` (none by
//!   default).
//! * Algorithm: HMAC with `--set algorithm=sha256|sha1|sha512`, in `--set encoding=hex|base64` (hex
//!   in either case).
//! * Signed bytes: `--set signed=…`, a template of `{body}` (alone by default), `{timestamp}`,
//!   `{id}`, `{method}`, `{url}` and literal text, e.g. `{id}.{timestamp}.{body}`. It must hold
//!   `{body}`, and a text between `{id}` and its neighbours (or a time in RFC 3339 beside it). An
//!   id that holds the text beside a body or a URL, or that before a time and a time behind it, is
//!   refused: bytes of its neighbour may have been moved into it.
//! * Replay protection: with `{timestamp}`, the header `--set timestamp_header=…` must be within
//!   ±`tolerance_s` (300). It holds unix seconds, or what `--set timestamp_unit=ms|rfc3339` says.
//! * Handshakes: those of [`super::handshake`].
//! * Dedupe id: with `{id}`, the header `--set id_header=…`. Type: from the source's settings.
//! * The key is the secret's text, or what `--set secret_encoding=hex|base64` makes of it.
//! * Checked with: RFC 4231's and RFC 2202's values, own cases.
//!
//! **What it proves.** Whoever holds the secret, the recipient included. The recipient is named by
//! the secret, and by the URL where it is signed (then `--public-url` gives it). Signed is what the
//! template names; headers that are not in it are not trusted: a `webhook-id` beside it is not a
//! key. A repetition is what has the same signed id, or was signed alike to the last byte, or,
//! signed at another time, has the same `webhook-id`, `Idempotency-Key` or CloudEvents id *and* the
//! same body. A sender whose deliveries may have the same body under a body-only signature names
//! them with `--id-header`.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::model::Source;

use super::crypto::{HashFunction, fingerprint_of, hmac_matches, unbase64};
use super::handshake;
use super::params::SchemeParams;
use super::scheme::public_url_names_recipient;
use super::secrets::{required_secrets, secret_keys, secrets_in_words};
use super::timestamps::{TOLERANCE_S, TimestampUnit, not_ahead, not_older};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "hmac",
    header: "X-Signature, or a header of your own",
    algorithm: "HMAC-SHA256, -SHA1 or -SHA512, hex or base64",
    signed: "a template; body by default",
    replay: "timestamp, ±300 s, if signed",
    dedupe: "a signed header, what was signed",
    kind: "the source's settings",
    checked_with: "RFC 4231, RFC 2202, own cases",
    secret: Need::Required,
    public_key: Need::Unused,
    params: &[
        ("header", "the header with the signature, X-Signature by default"),
        ("algorithm", "sha256 (by default), sha1, sha512"),
        ("encoding", "hex (by default), base64"),
        ("prefix", "the text before the signature, e.g. sha256="),
        ("signed", "what is signed, e.g. {timestamp}.{body}; {body} by default"),
        ("timestamp_header", "the header with the time, for {timestamp}"),
        ("timestamp_unit", "s (by default), ms, rfc3339: how {timestamp} is written"),
        ("id_header", "the header with the delivery's id, for {id}"),
        ("tolerance_s", "seconds by which the timestamp may differ from the clock, 300 by default"),
        ("secret_encoding", "text (by default), hex, base64"),
        handshake::PARAM,
        handshake::TOKEN_PARAM,
    ],
    check,
    signs_url: true,
    ..Scheme::new(verify, recipient, Scheme::no_secret_header)
};

/// The settings, read once.
struct Rule<'s> {
    header: &'s str,
    hash: HashFunction,
    base64: bool,
    prefix: &'s str,
    template: &'s str,
    timestamp_header: Option<&'s str>,
    id_header: Option<&'s str>,
    tolerance_s: i64,
    unit: TimestampUnit,
}

impl<'s> Rule<'s> {
    fn of(source: &'s Source) -> Result<Self, String> {
        let params = SchemeParams(source);
        let unit = match params.word("timestamp_unit", &["s", "ms", "rfc3339"])? {
            "ms" => TimestampUnit::Milliseconds,
            "rfc3339" => TimestampUnit::Rfc3339,
            _ => TimestampUnit::Seconds,
        };

        Ok(Self {
            header: params.text("header")?.unwrap_or("X-Signature"),
            hash: match params.word("algorithm", &["sha256", "sha1", "sha512"])? {
                "sha1" => HashFunction::Sha1,
                "sha512" => HashFunction::Sha512,
                _ => HashFunction::Sha256,
            },
            base64: params.word("encoding", &["hex", "base64"])? == "base64",
            prefix: params.text("prefix")?.unwrap_or_default(),
            template: params.text("signed")?.unwrap_or("{body}"),
            timestamp_header: params.text("timestamp_header")?,
            id_header: params.text("id_header")?,
            tolerance_s: params.number("tolerance_s")?.unwrap_or(TOLERANCE_S),
            unit,
        })
    }

    /// The signature in the request's header, decoded.
    fn signature(&self, request: &Request<'_>) -> Result<Vec<u8>, ProofRefusal> {
        let value = request.header(&self.header.to_ascii_lowercase())?;
        let text = value.strip_prefix(self.prefix).ok_or_else(|| {
            ProofRefusal::malformed(format!(
                "the header {} does not begin with {:?}",
                self.header, self.prefix
            ))
        })?;

        let (encoding, decoded) = if self.base64 {
            ("base64", unbase64(text))
        } else {
            ("hex", HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok())
        };
        decoded.ok_or_else(|| {
            ProofRefusal::malformed(format!("the signature in {} is not {encoding}", self.header))
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
                "--set signed=… knows {{body}}, {{timestamp}}, {{id}}, {{method}}, {{url}}, not \
                 {{{name}}}"
            ));
        }
        pieces.push((literal, Some(name)));
        rest = tail;
    }
    pieces.push((rest, None));
    Ok(pieces)
}

/// What stands beside `{id}` in the template: the text between, and the placeholder behind that
/// text.
fn beside_id<'t>(pieces: &[(&'t str, Option<&'t str>)]) -> Vec<(&'t str, &'t str)> {
    let mut found = Vec::new();
    for pair in pieces.windows(2) {
        match (pair[0].1, pair[1]) {
            (Some("id"), (between, Some(other))) => found.push((between, other)),
            (Some(other), (between, Some("id"))) => found.push((between, other)),
            _ => {}
        }
    }
    found
}

/// Refuses a template in which nothing tells where the id ends: whoever has one delivery could send
/// it again under other ids. A time in RFC 3339 tells.
fn check_id_is_apart(rule: &Rule<'_>, pieces: &[(&str, Option<&str>)]) -> Result<(), String> {
    let tells = |name| name == "timestamp" && rule.unit == TimestampUnit::Rfc3339;
    match beside_id(pieces).into_iter().find(|(between, name)| between.is_empty() && !tells(*name))
    {
        None => Ok(()),
        Some((_, name)) => Err(format!(
            "--set signed=… has {{id}} beside {{{name}}} with nothing between them, so that bytes \
             could be moved from one to the other under the same signature: such a sender's \
             deliveries cannot be distinguished by that id"
        )),
    }
}

/// Refuses an id that holds what stands between it and its neighbour in the template: bytes of the
/// neighbour could have been moved into it under the same signature.
fn check_id(
    id: &str,
    body: &[u8],
    rule: &Rule<'_>,
    pieces: &[(&str, Option<&str>)],
) -> Result<(), ProofRefusal> {
    let is_moved = |(between, name): (&str, &str)| match name {
        // A time has one length, so only one that is whole can have been moved.
        "timestamp" if between.is_empty() => {
            rule.unit == TimestampUnit::Rfc3339 && id.contains(':')
        }
        "timestamp" => id
            .match_indices(between)
            .any(|(at, between)| rule.unit.behind(&id.as_bytes()[at + between.len()..]).is_some()),
        "body" | "url" => !between.is_empty() && id.contains(between),
        _ => false,
    };
    if beside_id(pieces).into_iter().any(is_moved) {
        return Err(ProofRefusal::malformed(
            "the id holds what stands beside {id} in --set signed=…, so that nobody can say \
             where the signed id ends",
        ));
    }

    // `{id}.{timestamp}.{body}`: the end of an id like `a.1770000000` can have been moved here.
    let behind_time = pieces.windows(3).any(|three| {
        let names = (three[0].1, three[1].1, three[2].1);
        let between = three[2].0.as_bytes();
        let rest = rule.unit.behind(body);
        names == (Some("id"), Some("timestamp"), Some("body"))
            && !between.is_empty()
            && rest.is_some_and(|rest| rest.starts_with(between))
    });
    if behind_time {
        return Err(ProofRefusal::malformed(
            "the body begins with a time and what stands before {body} in --set signed=…, so that \
             nobody can say where the signed id ends",
        ));
    }
    Ok(())
}

fn check(source: &Source) -> Result<(), String> {
    let rule = Rule::of(source)?;
    let pieces = pieces(rule.template)?;
    let holds = |wanted| pieces.iter().any(|(_, name)| *name == Some(wanted));
    if !holds("body") {
        return Err(
            "--set signed=… must hold {body}, or anything could be sent under an old signature"
                .into(),
        );
    }

    for (name, header) in [("timestamp", rule.timestamp_header), ("id", rule.id_header)] {
        match (holds(name), header.is_some()) {
            (true, false) => {
                return Err(format!(
                    "{{{name}}} is signed, so name its header with --set {name}_header=…"
                ));
            }
            (false, true) => {
                return Err(format!(
                    "{name}_header has no effect unless {{{name}}} is in --set signed=…"
                ));
            }
            _ => {}
        }
    }

    if SchemeParams(source).value("timestamp_unit").is_some() && !holds("timestamp") {
        return Err("timestamp_unit has no effect unless {timestamp} is in --set signed=…".into());
    }
    handshake::check(source)?;
    if handshake::signs_tokens(source) && rule.template != "{body}" {
        return Err("handshake=crc is for senders that sign the body alone: leave --set signed=… \
                    out"
        .into());
    }

    check_id_is_apart(&rule, &pieces)?;
    secret_keys(source, source.secrets.iter().map(|timed| timed.secret.0.as_str()).collect())
        .map(|_| ())
}

fn recipient(source: &Source) -> Result<(), String> {
    let signs_url =
        pieces(Rule::of(source)?.template)?.iter().any(|(_, name)| *name == Some("url"));
    if signs_url { public_url_names_recipient(source) } else { Ok(()) }
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let rule = Rule::of(source).map_err(ProofRefusal::settings)?;
    let given = rule.signature(request)?;
    let id = header_opt(request, rule.id_header)?;
    let timestamp = header_opt(request, rule.timestamp_header)?;
    if let Some(timestamp) = timestamp {
        let at = rule.unit.read(timestamp)?;
        not_older(at, now, rule.tolerance_s)?;
        not_ahead(at, now, rule.tolerance_s)?;
    }

    let pieces = pieces(rule.template).map_err(ProofRefusal::settings)?;
    check_id(id.unwrap_or_default(), request.body, &rule, &pieces)?;
    let mut parts: Vec<&[u8]> = Vec::new();
    for (literal, name) in pieces {
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

    let secrets = required_secrets(source, now)?;
    let keys = secret_keys(source, secrets).map_err(ProofRefusal::settings)?;
    if !hmac_matches(rule.hash, &keys, &parts, &given) {
        return Err(ProofRefusal::mismatch(format!(
            "the signature does not match with {}",
            secrets_in_words(keys.len())
        )));
    }
    Ok(Verdict::Proven(describe(id, &parts)))
}

fn header_opt<'r>(
    request: &Request<'r>,
    name: Option<&str>,
) -> Result<Option<&'r str>, ProofRefusal> {
    name.map(|name| request.header(&name.to_ascii_lowercase())).transpose()
}

fn describe(id: Option<&str>, signed: &[&[u8]]) -> Proven {
    let signed = Some(Signed::Digest(fingerprint_of(signed)));
    Proven { dedupe_key: id.map(str::to_owned), signed, ..Proven::default() }
}
