//! HTTP message signatures (RFC 9421), with the body's digest (RFC 9530).
//!
//! * Headers: `Signature-Input`, `Signature`, `Content-Digest`. Of several signatures `--set
//!   label=…` names the one that counts; without it the only one, or the one with our `--set
//!   keyid=…`.
//! * Algorithm: `--set alg=…`, one of `rsa-pss-sha512`, `rsa-v1_5-sha256`, `ecdsa-p256-sha256`,
//!   `ecdsa-p384-sha384` (raw `r||s`), `ed25519`, `hmac-sha256`; an `alg` in the signature must be
//!   the same. The key is the public key (PEM), or the secret for HMAC, read as `--set
//!   secret_encoding=…` tells. It is never the sender who chooses.
//! * Signed bytes: the signature base (2.5) of the covered components. The URL is the source's
//!   public one. Components that occur twice, that are missing, that a request cannot have (`;req`,
//!   `;tr`, `@status`), and parameters that are not known are refused. Of fields `;sf` is known for
//!   the dictionaries of RFC 9421 and RFC 9530, `;key` and `;bs` for all.
//! * `--set components=@method,@target-uri,content-digest` names what must be covered at least:
//!   names, or identifiers with their parameters as written in `Signature-Input`
//!   (`"@query-param";name="id"`).
//! * The body: `--set require_content_digest=true` (the default) asks that `content-digest` is
//!   covered and that every digest in it that is known (sha-256, sha-512) is the body's, at least
//!   one of them. A signature over one member alone (`"content-digest";key="md5"`) covers nothing
//!   but that member. With `false` the signature does not protect the body.
//! * Replay protection: `expires`, and `created`, which must be there (`--set
//!   require_created=false` waives it) and at most 60 s ahead (`--set skew_s=…`) and an hour old
//!   (`--set max_age_s=…`, `none` for any age). The RFC sets no age; without one a captured request
//!   would be good for ever.
//! * Dedupe id: `nonce`, if there is one; else a `webhook-id` or `idempotency-key` that is covered.
//!   Type: from the source's settings.
//! * Checked with: RFC 9421's examples (appendix B), http-message-signatures 3.0.0. Where the RFCs
//!   leave a choice: two digests of which one is wrong, and a `created` minutes ahead, are refused,
//!   as that library does.
//!
//! **What it proves.** Whoever holds the sender's key; with HMAC the recipient as well. A sender
//! who signs for many recipients with one key names this one only by what is covered: ask for
//! `@authority` or `@target-uri` with `--set components=…`, and give `--public-url`, for the
//! request's own Host is the sender's word. Signed is what is covered; nothing else is, and it is
//! not trusted. `nonce` names a message, or a covered `webhook-id` or `idempotency-key`; without
//! them a repetition is what was signed alike, or, signed at another time, has the same common id
//! and the same body.

use std::rc::Rc;

use crate::model::Source;

use super::crypto::{HashFunction, equal, fingerprint, hmac_matches, sha256, sha512};
use super::params::SchemeParams;
use super::public_key::{Algorithm, public_keys};
use super::scheme::public_url_names_recipient;
use super::secrets::{decode_secrets, required_secrets, secrets_in_words};
use super::signature_base::{Component, ComponentValues, components};
use super::structured::{Dictionary, Parameters, SfItem, SfMember, SfValue, write_item};
use super::timestamps::{not_ahead, not_older};
use super::{
    ANY_METHOD, Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult,
};

pub(super) const SCHEME: Scheme = Scheme {
    name: "rfc9421",
    header: "Signature, Signature-Input, Content-Digest",
    algorithm: "RSA, ECDSA, Ed25519, HMAC-SHA256",
    signed: "covered components",
    replay: "expires, created",
    dedupe: "nonce, a covered id, what was signed",
    kind: "the source's settings",
    checked_with: "RFC 9421's examples, http-message-signatures 3.0.0",
    methods: ANY_METHOD,
    secret: Need::Optional,
    public_key: Need::Optional,
    params: &[
        ("alg", "the algorithm, e.g. ed25519"),
        ("keyid", "the keyid that the signature must name"),
        ("label", "the label of the signature that counts"),
        (
            "require_content_digest",
            "whether the body's digest must be covered: true (by default), false",
        ),
        ("secret_encoding", "of an HMAC secret: text (by default), hex, base64"),
        (
            "require_created",
            "whether a signature must name the time of its creation: true (by default), false",
        ),
        ("max_age_s", "maximum age of created in seconds, 3600 by default, or none"),
        (
            "components",
            "what must be covered, separated by commas, e.g. @method,@target-uri,content-digest",
        ),
        ("skew_s", "seconds by which created may be ahead of the clock, 60 by default"),
    ],
    check,
    signs_url: true,
    advice,
    ..Scheme::new(verify, public_url_names_recipient, Scheme::no_secret_header)
};

const ALGORITHMS: &[&str] = &[
    "ed25519",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
    "rsa-pss-sha512",
    "rsa-v1_5-sha256",
    "hmac-sha256",
];

const SKEW_S: i64 = 60;
const MAX_AGE_S: i64 = 3600;
/// Headers that name a delivery, when they are covered.
const IDS: &[&str] = &["webhook-id", "idempotency-key"];

fn asymmetric(name: &str) -> Option<Algorithm> {
    Some(match name {
        "ed25519" => Algorithm::Ed25519,
        "ecdsa-p256-sha256" => Algorithm::P256Fixed,
        "ecdsa-p384-sha384" => Algorithm::P384Fixed,
        "rsa-pss-sha512" => Algorithm::PssSha512,
        "rsa-v1_5-sha256" => Algorithm::RsaSha256,
        _ => return None,
    })
}

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    if params.value("alg").is_none() {
        return Err(format!(
            "the scheme rfc9421 needs --set alg=…, one of {}",
            ALGORITHMS.join(", ")
        ));
    }

    let name = params.word("alg", ALGORITHMS)?;
    params.text("keyid")?;
    params.text("label")?;
    params.flag("require_content_digest", true)?;
    params.flag("require_created", true)?;
    params.age("max_age_s", MAX_AGE_S)?;
    params.number("skew_s")?;
    params.list("components")?;

    let encoding = params.word("secret_encoding", &["text", "hex", "base64"])?;
    let Some(algorithm) = asymmetric(name) else {
        if source.secrets.is_empty() {
            return Err(format!("alg {name} needs a secret; give it with --secret-file"));
        }
        let secrets = source.secrets.iter().map(|timed| timed.secret.0.as_str()).collect();
        return decode_secrets(encoding, secrets).map(|_| ());
    };

    let Some(text) = &source.public_key else {
        return Err(format!(
            "alg {name} needs the sender's public key; give it with --public-key-file"
        ));
    };
    if public_keys(text)?.iter().any(|key| key.kind() != algorithm.kind()) {
        return Err(format!("the public key is of another kind than alg {name} needs"));
    }
    Ok(())
}

fn advice(source: &Source) -> Option<String> {
    let may_be_shared = source.public_key.is_some() && source.secrets.is_empty();
    let names_components = source.params.contains_key("components");
    (may_be_shared && !names_components).then(|| {
        "a sender may sign for many with this key: have the signature name this source with \
         --set components=@target-uri,content-digest"
            .to_owned()
    })
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let mut values = ComponentValues::of(request);
    let inputs = field_dictionary(request, &mut values, "signature-input")?;
    let signatures = field_dictionary(request, &mut values, "signature")?;
    let label = chosen(source, &inputs)?;
    let (items, parameters) = match member(&inputs, label) {
        Some(SfMember::Inner(items, parameters)) => (items, parameters),
        Some(SfMember::Item(_)) => {
            return Err(ProofRefusal::malformed("Signature-Input is not a list of components"));
        }
        None => {
            return Err(ProofRefusal::missing(format!(
                "Signature-Input has no signature {label:?}"
            )));
        }
    };

    let given = match member(&signatures, label) {
        Some(SfMember::Item(SfItem { value: SfValue::Bytes(bytes), .. })) => bytes,
        Some(_) => return Err(ProofRefusal::malformed("the signature is not a byte sequence")),
        None => return Err(ProofRefusal::missing(format!("Signature has no signature {label:?}"))),
    };

    check_parameters(source, parameters, now)?;
    let components = components(items)?;
    check_covered(source, items, &components)?;
    let base = values.signature_base(&components, items, parameters)?;
    prove(source, &base, given, now)?;

    let covers_body = SchemeParams(source).flag("require_content_digest", true)?;
    if covers_body {
        check_digest(request, &mut values, &components)?;
    }

    let signed = covers_body.then(|| Signed::Digest(fingerprint(&base)));
    Ok(Verdict::Proven(Proven { signed, ..describe(request, &components, parameters) }))
}

fn field_dictionary(
    request: &Request<'_>,
    values: &mut ComponentValues<'_>,
    name: &str,
) -> Result<Rc<Dictionary>, ProofRefusal> {
    if !request.headers.iter().any(|header| header.name == name) {
        return Err(ProofRefusal::missing(format!("the header {name} is missing")));
    }
    values.dictionary(name).ok_or_else(|| {
        ProofRefusal::malformed(format!("the header {name} is not a structured dictionary"))
    })
}

fn member<'d>(dictionary: &'d Dictionary, label: &str) -> Option<&'d SfMember> {
    dictionary.iter().find(|(name, _)| name == label).map(|(_, member)| member)
}

fn chosen<'d>(source: &'d Source, inputs: &'d Dictionary) -> Result<&'d str, ProofRefusal> {
    if let Some(label) = SchemeParams(source).text("label")? {
        return Ok(label);
    }
    if let [(only, _)] = inputs.as_slice() {
        return Ok(only);
    }

    let keyid = SchemeParams(source).text("keyid")?;
    let ours = |member: &SfMember| match member {
        SfMember::Inner(_, parameters) => {
            keyid.is_some() && text(parameters, "keyid").ok().flatten() == keyid
        }
        SfMember::Item(_) => false,
    };

    let mut labels =
        inputs.iter().filter(|(_, member)| ours(member)).map(|(label, _)| label.as_str());
    match (labels.next(), labels.next()) {
        (Some(label), None) => Ok(label),
        _ => Err(ProofRefusal::new(
            "unknown-key",
            "there are several signatures; name the one that counts with --set label=…",
        )),
    }
}

fn text<'p>(parameters: &'p Parameters, name: &str) -> Result<Option<&'p str>, ProofRefusal> {
    match parameters.iter().find(|(key, _)| key == name) {
        None => Ok(None),
        Some((_, SfValue::Text(text))) => Ok(Some(text)),
        Some(_) => Err(ProofRefusal::malformed(format!("the signature's {name} is not a string"))),
    }
}

fn time(parameters: &Parameters, name: &str) -> Result<Option<i64>, ProofRefusal> {
    match parameters.iter().find(|(key, _)| key == name) {
        None => Ok(None),
        Some((_, SfValue::Integer(time))) => Ok(Some(*time)),
        Some(_) => {
            Err(ProofRefusal::malformed(format!("the signature's {name} is not an integer")))
        }
    }
}

fn check_parameters(
    source: &Source,
    parameters: &Parameters,
    now: i64,
) -> Result<(), ProofRefusal> {
    let known = ["created", "expires", "nonce", "alg", "keyid", "tag"];
    let is_unknown = |(name, _): &&(String, SfValue)| !known.contains(&name.as_str());
    if let Some((unknown, _)) = parameters.iter().find(is_unknown) {
        return Err(ProofRefusal::malformed(format!(
            "the signature's parameter {unknown:?} is not known"
        )));
    }
    for name in ["nonce", "tag"] {
        text(parameters, name)?;
    }

    let params = SchemeParams(source);
    let (keyid, wanted) = (text(parameters, "keyid")?, params.text("keyid")?);
    if wanted.is_some() && keyid != wanted {
        return Err(ProofRefusal::unknown_key(format!(
            "the signature's keyid is {keyid:?}, not {wanted:?}"
        )));
    }
    let (alg, wanted) = (text(parameters, "alg")?, params.word("alg", ALGORITHMS)?);
    if alg.is_some_and(|alg| alg != wanted) {
        return Err(ProofRefusal::new(
            "algorithm",
            format!("the signature's alg is {alg:?}, not {wanted:?}"),
        ));
    }

    check_times(params, parameters, now)
}

fn check_times(
    params: SchemeParams<'_>,
    parameters: &Parameters,
    now: i64,
) -> Result<(), ProofRefusal> {
    let undated = || ProofRefusal::missing("the signature does not say when it was created");
    let created = time(parameters, "created")?;
    if let Some(created) = created {
        not_ahead(created, now, params.number("skew_s")?.unwrap_or(SKEW_S))?;
    } else if params.flag("require_created", true)? {
        return Err(undated());
    }

    match (params.age("max_age_s", MAX_AGE_S)?, created) {
        (Some(max_age), Some(created)) => not_older(created, now, max_age)?,
        // An age that the operator asks for needs a time.
        (Some(_), None) if params.value("max_age_s").is_some() => return Err(undated()),
        _ => {}
    }

    match time(parameters, "expires")? {
        Some(expires) if expires < now => Err(ProofRefusal::stale(format!(
            "the signature expired {} s ago",
            now.saturating_sub(expires)
        ))),
        _ => Ok(()),
    }
}

/// Whether everything is covered that the source asks for.
fn check_covered(
    source: &Source,
    items: &[SfItem],
    components: &[Component],
) -> Result<(), ProofRefusal> {
    let identifiers: Vec<String> = items
        .iter()
        .map(|item| {
            let mut text = String::new();
            write_item(&mut text, item);
            text
        })
        .collect();

    for wanted in SchemeParams(source).list("components")?.unwrap_or_default() {
        let whole = components.iter().any(|component| component.is_whole(wanted));
        if !whole && !identifiers.iter().any(|identifier| identifier == wanted) {
            return Err(ProofRefusal::missing(format!(
                "the signature does not cover {wanted}, as --set components=… asks"
            )));
        }
    }
    Ok(())
}

fn prove(source: &Source, base: &[u8], given: &[u8], now: i64) -> Result<(), ProofRefusal> {
    let params = SchemeParams(source);
    if params.value("alg").is_none() {
        return Err(ProofRefusal::settings("the source has no --set alg=…"));
    }

    let Some(algorithm) = asymmetric(params.word("alg", ALGORITHMS)?) else {
        let encoding = params.word("secret_encoding", &["text", "hex", "base64"])?;
        let keys = decode_secrets(encoding, required_secrets(source, now)?)
            .map_err(ProofRefusal::settings)?;
        if hmac_matches(HashFunction::Sha256, &keys, &[base], given) {
            return Ok(());
        }
        return Err(ProofRefusal::mismatch(format!(
            "the signature does not match with {}",
            secrets_in_words(keys.len())
        )));
    };

    let keys = public_keys(source.public_key.as_deref().unwrap_or_default())
        .map_err(ProofRefusal::settings)?;
    if keys.iter().any(|key| key.verify(algorithm, base, given)) {
        return Ok(());
    }
    Err(ProofRefusal::mismatch("the signature does not match with the public key"))
}

fn check_digest(
    request: &Request<'_>,
    values: &mut ComponentValues<'_>,
    components: &[Component],
) -> Result<(), ProofRefusal> {
    let covering = || components.iter().filter(|component| component.name == "content-digest");
    if covering().next().is_none() {
        return Err(ProofRefusal::missing(
            "the signature does not cover content-digest, so nothing protects the body",
        ));
    }

    let is_covered = |digest: &str| covering().any(|component| component.covers_member(digest));
    let digests = field_dictionary(request, values, "content-digest")?;
    let mut known = 0;

    for (name, member) in digests.iter() {
        let expected = match name.as_str() {
            "sha-256" => sha256(request.body),
            "sha-512" => sha512(request.body),
            _ => continue,
        };
        known += usize::from(is_covered(name));
        match member {
            SfMember::Item(SfItem { value: SfValue::Bytes(given), .. })
                if equal(given, &expected) => {}
            _ => {
                return Err(ProofRefusal::mismatch(format!(
                    "the {name} of Content-Digest is not the body's"
                )));
            }
        }
    }

    if known == 0 {
        return Err(ProofRefusal::new(
            "algorithm",
            "the covered part of Content-Digest holds neither sha-256 nor sha-512",
        ));
    }
    Ok(())
}

fn describe(request: &Request<'_>, components: &[Component], parameters: &Parameters) -> Proven {
    let nonce = text(parameters, "nonce").ok().flatten();
    let keyid = text(parameters, "keyid").ok().flatten().unwrap_or_default();
    let covered = |name: &&&str| components.iter().any(|component| component.is_whole(name));
    let id = || IDS.iter().find(covered).and_then(|name| request.key_header(name));
    let dedupe_key = nonce.map(|nonce| format!("{keyid}:{nonce}")).or_else(id);
    Proven { dedupe_key, ..Proven::default() }
}
