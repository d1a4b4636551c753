//! JSON Web Signatures in compact form (RFC 7515) against a key set (RFC 7517).
//!
//! The header only chooses among what the source allows: the algorithm must be in the source's list
//! *and* be one of the key's kind, so that a public key is never taken for an HMAC secret and
//! `none` is never taken at all. A `kid` must be in the set; what a token without one is worth is
//! the issuer's rule ([`WithoutKid`]). Any `crit` is refused, for no extension is understood.
//!
//! ring verifies directly: the clock is an argument here, `crit` must be refused, and the keys are
//! the same as elsewhere in this module.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::ProofRefusal;
use super::crypto::{HashFunction, hmac_matches};
use super::public_key::{Algorithm, KeyKind, PublicKey};
use crate::model::limits;

/// How one `alg` signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningMethod {
    Mac(HashFunction),
    Signature(Algorithm),
}

/// The `alg` values that are known (RFC 7518, RFC 8037, RFC 9864).
pub(super) fn algorithm(name: &str) -> Option<SigningMethod> {
    Some(match name {
        "HS256" => SigningMethod::Mac(HashFunction::Sha256),
        "HS384" => SigningMethod::Mac(HashFunction::Sha384),
        "HS512" => SigningMethod::Mac(HashFunction::Sha512),
        "RS256" => SigningMethod::Signature(Algorithm::RsaSha256),
        "RS384" => SigningMethod::Signature(Algorithm::RsaSha384),
        "RS512" => SigningMethod::Signature(Algorithm::RsaSha512),
        "PS256" => SigningMethod::Signature(Algorithm::PssSha256),
        "PS384" => SigningMethod::Signature(Algorithm::PssSha384),
        "PS512" => SigningMethod::Signature(Algorithm::PssSha512),
        "ES256" => SigningMethod::Signature(Algorithm::P256Fixed),
        "ES384" => SigningMethod::Signature(Algorithm::P384Fixed),
        "EdDSA" | "Ed25519" => SigningMethod::Signature(Algorithm::Ed25519),
        _ => return None,
    })
}

/// A key of the set, or one given by itself.
pub(super) struct JwsKey {
    pub(super) kid: Option<String>,
    /// Given by itself (a secret, a PEM file): it is the one to use, whatever the token calls it.
    pub(super) alone: bool,
    /// The only algorithm that the key may be used with, if it names one.
    pub(super) only: Option<SigningMethod>,
    pub(super) material: JwsKeyMaterial,
}

pub(super) enum JwsKeyMaterial {
    Secret(Vec<u8>),
    Public(PublicKey),
}

impl JwsKey {
    fn fits(&self, how: SigningMethod) -> bool {
        let kind = match (&self.material, how) {
            (JwsKeyMaterial::Secret(_), SigningMethod::Mac(_)) => true,
            (JwsKeyMaterial::Public(key), SigningMethod::Signature(algorithm)) => {
                key.kind() == algorithm.kind()
            }
            _ => false,
        };
        kind && self.only.is_none_or(|only| only == how)
    }

    fn holds(&self, how: SigningMethod, signed: &str, signature: &[u8]) -> bool {
        match (&self.material, how) {
            (JwsKeyMaterial::Secret(key), SigningMethod::Mac(hash)) => {
                hmac_matches(hash, &[key], &[signed.as_bytes()], signature)
            }
            (JwsKeyMaterial::Public(key), SigningMethod::Signature(algorithm)) => {
                key.verify(algorithm, signed.as_bytes(), signature)
            }
            _ => false,
        }
    }
}

/// The keys of a JWKS that can verify. What is of another use, curve or type is passed over, as RFC
/// 7517 (5) asks.
pub(super) fn key_set(jwks: &Value) -> Result<Vec<JwsKey>, String> {
    let wrong = "--set jwks=@FILE.json must be a JSON object with an array \"keys\"";
    let parsed;
    let jwks = match jwks {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).map_err(|_| wrong.to_owned())?;
            &parsed
        }
        other => other,
    };

    let keys = jwks.get("keys").and_then(Value::as_array).ok_or(wrong)?;
    let keys: Vec<JwsKey> = keys.iter().filter_map(key).collect();

    if keys.is_empty() {
        Err("--set jwks=@FILE.json holds no key that can verify a signature".into())
    } else {
        Ok(keys)
    }
}

fn key(jwk: &Value) -> Option<JwsKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let number =
        |name: &str| BASE64URL_NOPAD.decode(text(name)?.trim_end_matches('=').as_bytes()).ok();
    let verifies = jwk
        .get("key_ops")
        .and_then(Value::as_array)
        .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if text("use").is_some_and(|usage| usage != "sig") || !verifies {
        return None;
    }

    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => JwsKeyMaterial::Public(PublicKey::rsa(&number("n")?, &number("e")?)?),
        ("EC", Some("P-256")) => {
            JwsKeyMaterial::Public(PublicKey::ec(KeyKind::P256, &number("x")?, &number("y")?)?)
        }
        ("EC", Some("P-384")) => {
            JwsKeyMaterial::Public(PublicKey::ec(KeyKind::P384, &number("x")?, &number("y")?)?)
        }
        ("OKP", Some("Ed25519")) => JwsKeyMaterial::Public(PublicKey::ed25519(&number("x")?)?),
        ("oct", _) => JwsKeyMaterial::Secret(number("k").filter(|key| !key.is_empty())?),
        _ => return None,
    };

    let only = match text("alg") {
        Some(name) => Some(algorithm(name)?),
        None => None,
    };
    Some(JwsKey { kid: text("kid").map(str::to_owned), alone: false, only, material })
}

/// The keys that a token is tried with when it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutKid {
    /// Exactly one key of the set must fit (jose).
    TheOnlyKey,
    /// Every key that fits is tried (google-auth).
    AnyKey,
    /// A token must name its key (Okta's verifier).
    Refused,
}

/// The claims of a token whose signature holds.
pub(super) fn verified(
    token: &str,
    keys: &[&JwsKey],
    allowed: &[&str],
    without_kid: WithoutKid,
) -> Result<Map<String, Value>, ProofRefusal> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header64, claims64, signature64] = parts.as_slice() else {
        return Err(ProofRefusal::malformed(
            "the token does not have three parts separated by dots",
        ));
    };
    let header = object(header64, "header")?;

    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let how = algorithm(name).filter(|_| allowed.contains(&name)).ok_or_else(|| {
        ProofRefusal::new("algorithm", format!("the token's alg {name:?} is not allowed here"))
    })?;

    if header.contains_key("crit") {
        return Err(ProofRefusal::malformed(
            "the token's header asks for an extension (crit) that is not understood",
        ));
    }

    let signature = part(signature64, "signature")?;
    let signed = token.rsplit_once('.').map(|(signed, _)| signed).unwrap_or_default();
    let candidates = candidates(&header, keys, how, without_kid)?;
    if signature.is_empty() || !candidates.iter().any(|key| key.holds(how, signed, &signature)) {
        return Err(ProofRefusal::mismatch("the token's signature does not match with the key"));
    }

    object(claims64, "claims")
}

fn candidates<'k>(
    header: &Map<String, Value>,
    keys: &[&'k JwsKey],
    how: SigningMethod,
    without_kid: WithoutKid,
) -> Result<Vec<&'k JwsKey>, ProofRefusal> {
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid),
        Some(_) => return Err(ProofRefusal::malformed("the token's kid is not a text")),
    };

    let named = |key: &&'k JwsKey| kid.is_none() || key.alone || key.kid.as_ref() == kid;
    let fitting: Vec<&JwsKey> =
        keys.iter().copied().filter(|key| key.fits(how)).filter(named).collect();

    match (fitting.len(), kid) {
        // Each is tried with a signature that anybody may have made up.
        (limits::TOKEN_KEYS.., _) => {
            let most = limits::TOKEN_KEYS - 1;
            Err(ProofRefusal::new(
                "unknown-key",
                format!("more than {most} keys would fit: the token has to name one by its kid"),
            ))
        }
        (0, Some(kid)) => Err(ProofRefusal::unknown_key(format!(
            "no key of the set has the kid {kid:?} and this alg"
        ))),
        (0, None) => Err(ProofRefusal::unknown_key("no key of the set fits the token's alg")),
        (_, None) if without_kid == WithoutKid::Refused => Err(ProofRefusal::new(
            "unknown-key",
            "the token names no kid, and this issuer's tokens must",
        )),
        (_, None) if without_kid == WithoutKid::AnyKey => Ok(fitting),
        (1, _) | (_, Some(_)) => Ok(fitting),
        (_, None) if fitting.iter().all(|key| key.alone) => Ok(fitting),
        (..) => Err(ProofRefusal::new(
            "unknown-key",
            "the token names no kid, and several keys of the set would fit",
        )),
    }
}

fn object(part64: &str, what: &str) -> Result<Map<String, Value>, ProofRefusal> {
    serde_json::from_slice(&part(part64, what)?)
        .map_err(|_| ProofRefusal::malformed(format!("the token's {what} is not a JSON object")))
}

fn part(text: &str, what: &str) -> Result<Vec<u8>, ProofRefusal> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| {
        ProofRefusal::malformed(format!("the token's {what} is not base64url without padding"))
    })
}
