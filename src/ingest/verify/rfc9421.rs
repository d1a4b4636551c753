//! HTTP message signatures (RFC 9421), with the body's digest (RFC 9530).
//!
//! * Headers: `Signature-Input`, `Signature`, `Content-Digest`. Of several signatures `--set label=…` names the
//!   one that counts; without it the only one, or the one with our `--set keyid=…`.
//! * Algorithm: `--set alg=…`, one of `rsa-pss-sha512`, `rsa-v1_5-sha256`, `ecdsa-p256-sha256`,
//!   `ecdsa-p384-sha384` (raw `r||s`), `ed25519`, `hmac-sha256`; an `alg` in the signature must be the same. The
//!   key is the public key (PEM), or the secret for HMAC, read as `--set secret_encoding=…` says. It is never the
//!   sender who chooses.
//! * Signed bytes: the signature base (2.5) of the covered components. The URL is the source's public one.
//!   Components that stand twice, that are not there, that a request has not (`;req`, `;tr`, `@status`), and
//!   parameters that are not known are refused. Of fields `;sf` is known for the dictionaries of RFC 9421 and RFC
//!   9530, `;key` and `;bs` for all.
//! * The body: `--set require_content_digest=true` (the default) asks that `content-digest` is covered and that
//!   every digest in it that is known (sha-256, sha-512) is the body's, at least one of them. With `false` the
//!   signature says nothing about the body.
//! * Replay protection: `expires`, and `created`, which must be there (`--set require_created=false` waives it)
//!   and at most 60 s ahead (`--set skew_s=…`); its age only with `--set max_age_s=…`, as nothing is said of it in
//!   the RFC.
//! * Dedupe id: `nonce`, if there is one. Type: what the source's settings say.
//! * Checked with: RFC 9421's examples (appendix B), http-message-signatures 3.0.0. Where the RFCs leave a choice:
//!   two digests of which one is wrong, and a `created` minutes ahead, are refused, as that library does.

use crate::model::Source;

use super::crypto::{Hash, equal, hmac_matches, sha256, sha512};
use super::hmac::decode_secrets;
use super::keys::{Algorithm, public_keys};
use super::params::Params;
use super::settings::{need_secrets, not_ahead, not_older, tried};
use super::signature_base::{Component, components, joined, signature_base};
use super::structured::{Bare, Dictionary, Item, Member, Parameters, dictionary};
use super::{ANY_METHOD, Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "rfc9421",
    header: "Signature, Signature-Input, Content-Digest",
    algorithm: "RSA, ECDSA, Ed25519, HMAC-SHA256",
    signed: "covered components",
    replay: "expires, created",
    dedupe: "nonce",
    kind: "the source's settings",
    checked_with: "RFC 9421's examples, http-message-signatures 3.0.0",
    methods: ANY_METHOD,
    secret: Need::Optional,
    public_key: Need::Optional,
    params: &[
        ("alg", "the algorithm, e.g. ed25519"),
        ("keyid", "the keyid that the signature must name"),
        ("label", "the signature that counts"),
        ("require_content_digest", "true (by default), or false: the body is not protected"),
        ("secret_encoding", "of an HMAC secret: text (by default), hex, base64"),
        ("require_created", "true (by default), or false: a signature may leave its time out"),
        ("max_age_s", "seconds that created may be old; not checked by default"),
        ("skew_s", "seconds that created may be ahead, 60 by default"),
    ],
    verify,
    check,
};

const ALGORITHMS: &[&str] =
    &["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256", "hmac-sha256"];

const SKEW_S: i64 = 60;

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
    let params = Params(source);
    if params.value("alg").is_none() {
        return Err(format!("the scheme rfc9421 needs --set alg=…, one of {}", ALGORITHMS.join(", ")));
    }
    let name = params.word("alg", ALGORITHMS)?;
    params.text("keyid")?;
    params.text("label")?;
    params.flag("require_content_digest", true)?;
    params.flag("require_created", true)?;
    params.number("max_age_s")?;
    params.number("skew_s")?;
    let encoding = params.word("secret_encoding", &["text", "hex", "base64"])?;
    let Some(algorithm) = asymmetric(name) else {
        if source.secrets.is_empty() {
            return Err(format!("alg {name} needs a secret; give it with --secret-file"));
        }
        let secrets = source.secrets.iter().map(|timed| timed.secret.0.as_str()).collect();
        return decode_secrets(encoding, secrets).map(|_| ());
    };
    let Some(text) = &source.public_key else {
        return Err(format!("alg {name} needs the sender's public key; give it with --public-key-file"));
    };
    if public_keys(text)?.iter().any(|key| key.kind() != algorithm.kind()) {
        return Err(format!("the public key is of another kind than alg {name} needs"));
    }
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let inputs = field_dictionary(request, "signature-input")?;
    let signatures = field_dictionary(request, "signature")?;
    let label = chosen(source, &inputs)?;
    let (items, parameters) = match member(&inputs, label) {
        Some(Member::Inner(items, parameters)) => (items, parameters),
        Some(Member::Item(_)) => return Err(Refusal::malformed("Signature-Input is not a list of components")),
        None => return Err(Refusal::missing(format!("Signature-Input has no signature {label:?}"))),
    };
    let given = match member(&signatures, label) {
        Some(Member::Item(Item { value: Bare::Bytes(bytes), .. })) => bytes,
        Some(_) => return Err(Refusal::malformed("the signature is not a byte sequence")),
        None => return Err(Refusal::missing(format!("Signature has no signature {label:?}"))),
    };

    check_parameters(source, parameters, now)?;
    let components = components(items)?;
    let base = signature_base(request, &components, items, parameters)?;
    prove(source, &base, given, now)?;
    if Params(source).flag("require_content_digest", true)? {
        check_digest(request, &components)?;
    }
    Ok(Verdict::Proven(describe(parameters)))
}

fn field_dictionary(request: &Request<'_>, name: &str) -> Result<Dictionary, Refusal> {
    let value = joined(request, name).ok_or_else(|| Refusal::missing(format!("the header {name} is missing")))?;
    let text = std::str::from_utf8(&value).ok();
    text.and_then(dictionary)
        .ok_or_else(|| Refusal::malformed(format!("the header {name} is not a structured dictionary")))
}

fn member<'d>(dictionary: &'d Dictionary, label: &str) -> Option<&'d Member> {
    dictionary.iter().find(|(name, _)| name == label).map(|(_, member)| member)
}

fn chosen<'d>(source: &'d Source, inputs: &'d Dictionary) -> Result<&'d str, Refusal> {
    if let Some(label) = Params(source).text("label")? {
        return Ok(label);
    }
    if let [(only, _)] = inputs.as_slice() {
        return Ok(only);
    }
    let keyid = Params(source).text("keyid")?;
    let ours = |member: &Member| match member {
        Member::Inner(_, parameters) => keyid.is_some() && text(parameters, "keyid").ok().flatten() == keyid,
        Member::Item(_) => false,
    };
    let mut labels = inputs.iter().filter(|(_, member)| ours(member)).map(|(label, _)| label.as_str());
    match (labels.next(), labels.next()) {
        (Some(label), None) => Ok(label),
        _ => Err(Refusal::new("unknown-key", "there are several signatures; say which one counts with --set label=…")),
    }
}

fn text<'p>(parameters: &'p Parameters, name: &str) -> Result<Option<&'p str>, Refusal> {
    match parameters.iter().find(|(key, _)| key == name) {
        None => Ok(None),
        Some((_, Bare::Text(text))) => Ok(Some(text)),
        Some(_) => Err(Refusal::malformed(format!("the signature's {name} is not a string"))),
    }
}

fn time(parameters: &Parameters, name: &str) -> Result<Option<i64>, Refusal> {
    match parameters.iter().find(|(key, _)| key == name) {
        None => Ok(None),
        Some((_, Bare::Integer(time))) => Ok(Some(*time)),
        Some(_) => Err(Refusal::malformed(format!("the signature's {name} is not an integer"))),
    }
}

fn check_parameters(source: &Source, parameters: &Parameters, now: i64) -> Result<(), Refusal> {
    let params = Params(source);
    let known = ["created", "expires", "nonce", "alg", "keyid", "tag"];
    if let Some((unknown, _)) = parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Refusal::malformed(format!("the signature's parameter {unknown:?} is not known")));
    }
    for name in ["nonce", "tag"] {
        text(parameters, name)?;
    }
    let (keyid, wanted) = (text(parameters, "keyid")?, params.text("keyid")?);
    if wanted.is_some() && keyid != wanted {
        return Err(Refusal::new("unknown-key", format!("the signature's keyid is {keyid:?}, not {wanted:?}")));
    }
    let (alg, wanted) = (text(parameters, "alg")?, params.word("alg", ALGORITHMS)?);
    if alg.is_some_and(|alg| alg != wanted) {
        return Err(Refusal::new("algorithm", format!("the signature's alg is {alg:?}, not {wanted:?}")));
    }
    let created = time(parameters, "created")?;
    if let Some(created) = created {
        not_ahead(created, now, params.number("skew_s")?.unwrap_or(SKEW_S))?;
    } else if params.flag("require_created", true)? {
        return Err(Refusal::missing("the signature does not say when it was created"));
    }
    if let Some(max_age) = params.number("max_age_s")? {
        let created = created.ok_or_else(|| Refusal::missing("the signature does not say when it was created"))?;
        not_older(created, now, max_age)?;
    }
    match time(parameters, "expires")? {
        Some(expires) if expires < now => {
            Err(Refusal::stale(format!("the signature expired {} s ago", now.saturating_sub(expires))))
        }
        _ => Ok(()),
    }
}

fn prove(source: &Source, base: &[u8], given: &[u8], now: i64) -> Result<(), Refusal> {
    let params = Params(source);
    if params.value("alg").is_none() {
        return Err(Refusal::settings("the source has no --set alg=…"));
    }
    let Some(algorithm) = asymmetric(params.word("alg", ALGORITHMS)?) else {
        let encoding = params.word("secret_encoding", &["text", "hex", "base64"])?;
        let keys = decode_secrets(encoding, need_secrets(source, now)?).map_err(Refusal::settings)?;
        if hmac_matches(Hash::Sha256, &keys, &[base], given) {
            return Ok(());
        }
        return Err(Refusal::mismatch(format!("the signature does not match with {}", tried(keys.len()))));
    };
    let keys = public_keys(source.public_key.as_deref().unwrap_or_default()).map_err(Refusal::settings)?;
    if keys.iter().any(|key| key.verify(algorithm, base, given)) {
        return Ok(());
    }
    Err(Refusal::mismatch("the signature does not match with the public key"))
}

fn check_digest(request: &Request<'_>, components: &[Component]) -> Result<(), Refusal> {
    if !components.iter().any(|component| component.name == "content-digest") {
        return Err(Refusal::missing("the signature does not cover content-digest, so nothing protects the body"));
    }
    let digests = field_dictionary(request, "content-digest")?;
    let mut known = 0;
    for (name, member) in &digests {
        let expected = match name.as_str() {
            "sha-256" => sha256(request.body),
            "sha-512" => sha512(request.body),
            _ => continue,
        };
        known += 1;
        match member {
            Member::Item(Item { value: Bare::Bytes(given), .. }) if equal(given, &expected) => {}
            _ => return Err(Refusal::mismatch(format!("the {name} of Content-Digest is not the body's"))),
        }
    }
    if known == 0 {
        return Err(Refusal::new("algorithm", "Content-Digest holds neither sha-256 nor sha-512"));
    }
    Ok(())
}

fn describe(parameters: &Parameters) -> Proven {
    let nonce = text(parameters, "nonce").ok().flatten();
    let keyid = text(parameters, "keyid").ok().flatten().unwrap_or_default();
    Proven { dedupe_key: nonce.map(|nonce| format!("{keyid}:{nonce}")), ..Proven::default() }
}
