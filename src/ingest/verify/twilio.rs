//! Twilio.
//!
//! * Header: `X-Twilio-Signature`, base64.
//! * Algorithm and signed bytes: HMAC-SHA1, keyed by the auth token, of the full public URL
//!   (`--public-url` behind a proxy) and of the form's fields sorted by name in byte order, each
//!   name followed by its value; of a repeated name the values are sorted and each counts once. The
//!   URL is tried as it is, with the scheme's own port, and without a port, since what Twilio signs
//!   has changed over time.
//! * With `X-Twilio-Webhooks-Signature-Settings: key=…,algorithm=HMAC_SHA256` it is HMAC-SHA256,
//!   keyed by the shared key's secret instead of the auth token; an algorithm that is not known is
//!   refused.
//! * JSON: the query holds `bodySHA256`; the URL alone is signed, and the body's digest is compared
//!   with it, whatever the content type says, which nobody signs. A body that neither a form nor
//!   such a digest covers is refused.
//! * Replay protection: none. Dedupe id: `I-Twilio-Idempotency-Token`. Type: the body's
//!   `EventType`, if any.
//! * Answer: an empty TwiML document for form posts and GETs, which voice and messaging wait for.
//! * Source: twilio.com/docs/usage/security. Checked with: twilio-python 9.13.0, twilio-node 6.2.0.
//!
//! **What it proves.** Whoever holds the account's auth token, the recipient included. The
//! recipient is named by the account and by the signed URL, for which `--public-url` is needed.
//! Signed are the URL and the form's fields (or, by its digest, the body); how the form is spelled
//! and all headers are not, nor where in the form a name ends and its value begins: forms that
//! differ in that are different deliveries. `I-Twilio-Idempotency-Token` is not signed, and tells
//! deliveries apart: a call that is made in a loop is the same to the last byte, so the fields
//! alone are not a key. A retry repeats token and fields. A token that is used before its time
//! takes nothing away: what has it and other fields is kept.

use std::collections::BTreeSet;

use crate::model::Source;
use crate::model::secret::without_login;

use super::crypto::{HashFunction, equal, fingerprint_of, hmac_matches, sha256, unbase64, unhex};
use super::json::scalars;
use super::scheme::public_url_names_recipient;
use super::secrets::{required_secrets, secrets_in_words};
use super::{
    Need, ProofRefusal, Proven, ProviderAnswer, Request, Scheme, Signed, Verdict, VerifyResult,
    form,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "twilio",
    header: "X-Twilio-Signature",
    algorithm: "HMAC-SHA1 or -SHA256, base64",
    signed: "URL, sorted form fields",
    replay: "none (dedupe id)",
    dedupe: "I-Twilio-Idempotency-Token",
    kind: "none",
    checked_with: "twilio-python 9.13.0, twilio-node 6.2.0",
    methods: "POST, GET",
    secret: Need::Required,
    provider_makes_secret: true,
    public_key: Need::Unused,
    signs_url: true,
    own_content: true,
    ..Scheme::new(verify, public_url_names_recipient, Scheme::no_secret_header)
};

const TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let header = request.header("x-twilio-signature")?;
    let given = unbase64(header)
        .ok_or_else(|| ProofRefusal::malformed("X-Twilio-Signature is not base64"))?;
    let hash = named_hash(request)?;

    let form = request.is_form() && request.method != "GET";
    check_digest(request, form)?;
    let fields = if form { sorted_fields(request.body)? } else { BTreeSet::new() };
    let signed: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [name, value]).flatten().copied().collect();

    let secrets = required_secrets(source, now)?;
    let holds = |url: &String| hmac_matches(hash, &secrets, &[url.as_bytes(), &signed], &given);
    if !url_forms(request.url).iter().any(holds) {
        let reason = format!(
            "the signature does not match with {} and the URL {}",
            secrets_in_words(secrets.len()),
            shown(request.url)
        );
        return Err(ProofRefusal::mismatch(reason));
    }

    Ok(Verdict::Proven(describe(request, form, &fields)))
}

/// The algorithm that the settings header names; without one, that of the auth token.
fn named_hash(request: &Request<'_>) -> Result<HashFunction, ProofRefusal> {
    let settings = request.header_opt("x-twilio-webhooks-signature-settings")?.unwrap_or_default();
    let mut pairs = settings.split(',').filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, value)| name.trim() == "algorithm" && !value.trim().is_empty());
    match named.map(|(_, value)| value.trim().to_ascii_uppercase()).as_deref() {
        None | Some("HMAC_SHA1") => Ok(HashFunction::Sha1),
        Some("HMAC_SHA256") => Ok(HashFunction::Sha256),
        Some(other) => Err(ProofRefusal::new(
            "algorithm",
            format!("the signature's algorithm {other:?} is not known"),
        )),
    }
}

/// The URL, as a reason shows it: without its login and its query, which may hold what is
/// confidential.
fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((before, _)) => format!("{}?…", without_login(before)),
        None => without_login(url),
    }
}

fn sorted_fields(body: &[u8]) -> Result<BTreeSet<form::FormField>, ProofRefusal> {
    Ok(form::parse(body)?.into_iter().collect())
}

/// A digest that the URL holds is that of the body, whatever its content type says: that is not
/// signed, and a form without fields would be proven by the URL alone. Of a body that is no form
/// nothing else is signed, so that the URL must hold its digest.
fn check_digest(request: &Request<'_>, form: bool) -> Result<(), ProofRefusal> {
    let fields = form::parse(request.query().unwrap_or_default().as_bytes())?;
    match fields.iter().find(|(name, _)| name == b"bodySHA256") {
        None if form || request.body.is_empty() => Ok(()),
        None => Err(ProofRefusal::missing(
            "the body is not a form, and the URL has no bodySHA256 that covers it",
        )),
        Some((_, digest)) => {
            let digest = std::str::from_utf8(digest).ok().and_then(unhex).unwrap_or_default();
            if equal(&digest, &sha256(request.body)) {
                return Ok(());
            }
            Err(ProofRefusal::mismatch("the body's digest is not the bodySHA256 of the URL"))
        }
    }
}

/// The URL as it is, with the scheme's own port if it names none, and without its port.
fn url_forms(url: &str) -> Vec<String> {
    let url = url.split('#').next().unwrap_or_default();
    let mut forms = vec![url.to_owned()];

    let Some((scheme, rest)) = url.split_once("://") else { return forms };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);

    let port = authority
        .rfind(':')
        .filter(|colon| *colon >= host_at && !authority[*colon..].contains(']'));
    forms.push(match port {
        Some(colon) => format!("{scheme}://{}{tail}", &authority[..colon]),
        None if scheme.eq_ignore_ascii_case("http") => format!("{scheme}://{authority}:80{tail}"),
        None => format!("{scheme}://{authority}:443{tail}"),
    });
    forms
}

fn describe(request: &Request<'_>, form: bool, fields: &BTreeSet<form::FormField>) -> Proven {
    let [kind] = if form { [None] } else { scalars(request.body, ["/EventType"]) };
    let wants_twiml = form || request.method == "GET";
    let answer =
        wants_twiml.then(|| ProviderAnswer::with_body(200, "text/xml; charset=utf-8", TWIML));

    // The form may be written in other ways that are signed alike, and a GET has nothing but its
    // query. Names and values are signed without anything between them, so that bytes can be moved
    // from one to the other under one signature: with their lengths they differ.
    let mut distinct = Vec::new();
    for part in fields.iter().flat_map(|(name, value)| [name, value]) {
        distinct.extend_from_slice(&(part.len() as u64).to_be_bytes());
        distinct.extend_from_slice(part);
    }
    let query = request.query().unwrap_or_default();
    let content = fingerprint_of(&[query.as_bytes(), b"\n", &distinct]);
    let dedupe_key = request.readable_header("i-twilio-idempotency-token");
    let signed = Some(Signed::Digest(content.clone()));
    Proven { kind, dedupe_key, content: Some(content), signed, answer, ..Proven::default() }
}
