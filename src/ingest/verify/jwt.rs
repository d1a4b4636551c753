//! JWT bearer tokens, in general (`jwt`), and what Okta's and Google's tokens share with them.
//!
//! * Header: `Authorization: Bearer <token>`; the scheme's word in any case (RFC 9110, 11.1).
//! * Algorithm: `--set algorithms=…` of what [`super::jws`] knows. Without it: every asymmetric one
//!   when there is a key set or a public key, the HMAC ones when there is only a secret.
//! * Keys: `--set jwks=@FILE.json` or `--set jwks_url=https://…` (fetched and kept by the daemon),
//!   and/or `--public-key-file` (PEM), and/or the secret for HMAC.
//! * Claims: `exp` is required and must be in the future; `nbf` must not be; `iss` must be one of
//!   `--set issuer=…`/`issuers=…`, letter for letter; `aud` (a text or a list of texts) must hold
//!   one of `--set audience=…`, and a token with an `aud` is refused where no audience is
//!   configured (RFC 7519, 4.1.3); `email` must be `--set email=…` and verified. `--set leeway_s=…`
//!   (10) is granted to all times.
//! * A token does not cover the body, and may be used for many requests. Replay protection: `exp`.
//! * Dedupe id: none; `jti` with `--set dedupe=jti`, for issuers that make a token for every
//!   request.
//! * Source: RFC 7515, 7518, 7519, 6750. Checked with: RFC 7515's examples, PyJWT 2.15.1, jose
//!   6.2.17. Where they disagree: an `iat` in the future is no reason to refuse (jose), except for
//!   Google's tokens (google-auth).
//!
//! **What it proves.** The issuer, and whoever got hold of a token, until it expires. The recipient
//! is named by `aud`, or by an issuer that makes tokens for this source alone; one of both has to
//! be configured. Signed are the claims and nothing of the request: body, ids and types are
//! trusted because the bearer is, and a repetition is known by such an id alone. A token is shared
//! by many deliveries, so `jti` is a key only where the operator configures it (`--set
//! dedupe=jti`).

use serde_json::{Map, Value};

use crate::model::Source;

use super::jws::{JwsKey, JwsKeyMaterial, WithoutKid, algorithm, verified};
use super::params::SchemeParams;
use super::secrets::live_secrets;
use super::token_keys::{JWKS_URL, TokenKeys, nameless, set_keys};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "jwt",
    header: "Authorization: Bearer",
    algorithm: "RS/PS/ES/HS 256 to 512, EdDSA",
    signed: "the token alone",
    replay: "the token's exp",
    dedupe: "none; jti with --set dedupe=jti",
    kind: "the source's settings",
    checked_with: "RFC 7515's examples, PyJWT 2.15.1, jose 6.2.17",
    secret: Need::Optional,
    public_key: Need::Optional,
    params: &[
        ("jwks", "the issuer's keys, @FILE.json"),
        ("jwks_url", "the https URL of the issuer's keys, instead of a file"),
        ("allow_private", "true allows a private address in jwks_url"),
        ("algorithms", "the alg values that are accepted, separated by commas"),
        ("issuer", "the token's iss"),
        ("issuers", "several, separated by commas"),
        ("audience", "the token's aud, or several separated by commas"),
        ("email", "the token's email, which must be verified"),
        ("leeway_s", "tolerance for the token's times in seconds, 10 by default"),
        ("mode", "jwt"),
        ("dedupe", "none (by default), jti"),
    ],
    check,
    has_key_set: true,
    recipient_first: true,
    ..Scheme::new(verify, recipient, Scheme::no_secret_header)
};

/// Whose rules beyond the RFC's apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    Plain,
    Okta,
    Google,
}

/// Two clocks differ by some seconds. A token that lasts an hour lasts no longer by it.
const LEEWAY_S: i64 = 10;

const GOOGLE: &[&str] = &["https://accounts.google.com", "accounts.google.com"];
const ASYMMETRIC: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"];
const SYMMETRIC: &[&str] = &["HS256", "HS384", "HS512"];

fn check(source: &Source) -> Result<(), String> {
    SchemeParams(source).word("mode", &["jwt"])?;
    SchemeParams(source).word("dedupe", &["none", "jti"])?;
    check_claims(source, &[])
}

fn recipient(source: &Source) -> Result<(), String> {
    if ["issuer", "issuers", "audience"].iter().any(|key| SchemeParams(source).value(key).is_some())
    {
        return Ok(());
    }
    Err("a token of these keys may be meant for anybody: name the issuer with --set issuer=…, or \
         the audience that tokens must be made for with --set audience=… (better: both)"
        .into())
}

/// Whether keys, algorithms and claims are there and can be read.
pub(super) fn check_claims(source: &Source, needed: &[&str]) -> Result<(), String> {
    let params = SchemeParams(source);
    for key in needed {
        if params.value(key).is_none() && !(*key == "issuer" && params.value("issuers").is_some()) {
            return Err(format!(
                "tokens of this kind need --set {key}=…, or any token of the same issuer would pass"
            ));
        }
    }

    params.number("leeway_s")?;
    params.text("email")?;
    params.list("audience")?;
    params.either("issuer", "issuers")?;

    let allowed = allowed(source, Flavour::Plain)?;
    if let Some(unknown) = allowed.iter().find(|name| algorithm(name).is_none()) {
        return Err(format!(
            "--set algorithms=… holds {unknown:?}, which is not one of {} {}",
            ASYMMETRIC.join(" "),
            SYMMETRIC.join(" ")
        ));
    }

    let private = params.flag("allow_private", false)?;
    let url = params.text(JWKS_URL)?;
    if url.is_some_and(|url| {
        !(url.starts_with("https://") || (private && url.starts_with("http://")))
    }) {
        return Err("--set jwks_url=… must be an https:// URL".into());
    }

    if set_keys(source)?.is_empty() && source.secrets.is_empty() && url.is_none() {
        return Err(
            "give the issuer's keys with --set jwks=@FILE.json, --public-key-file or --secret-file"
                .into(),
        );
    }
    Ok(())
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let claims = prove(source, request, now, Flavour::Plain)?;
    Ok(Verdict::Proven(describe(source, &claims)?))
}

/// Proves the bearer token and returns its claims.
pub(super) fn prove(
    source: &Source,
    request: &Request<'_>,
    now: i64,
    flavour: Flavour,
) -> Result<Map<String, Value>, ProofRefusal> {
    let token = request.authorization("Bearer")?;
    let read;
    let set = match request.keys {
        Some(set) => set,
        None => {
            read = TokenKeys::of(source);
            &read
        }
    };
    let secrets = secret_keys(source, now);
    let keys: Vec<&JwsKey> = set.keys()?.iter().chain(&secrets).collect();
    if keys.is_empty() {
        return Err(no_keys(source));
    }

    let allowed = allowed(source, flavour).map_err(ProofRefusal::settings)?;
    let without_kid = match flavour {
        Flavour::Plain => WithoutKid::TheOnlyKey,
        Flavour::Okta => WithoutKid::Refused,
        Flavour::Google => WithoutKid::AnyKey,
    };
    let claims = verified(token, &keys, &allowed, without_kid)?;

    check_times(source, &claims, now, flavour)?;
    check_issuer(source, &claims, flavour)?;
    check_audience(source, &claims, flavour)?;
    check_email(source, &claims, flavour)?;
    Ok(claims)
}

fn no_keys(source: &Source) -> ProofRefusal {
    if SchemeParams(source).value(JWKS_URL).is_some() {
        return ProofRefusal::no_keys("the issuer's key set (jwks_url) was not fetched yet");
    }
    ProofRefusal::settings("the source has no key; give it one with --set jwks=@FILE.json")
}

fn secret_keys(source: &Source, now: i64) -> Vec<JwsKey> {
    let secrets = live_secrets(source, now).into_iter();
    secrets.map(|secret| nameless(JwsKeyMaterial::Secret(secret.as_bytes().to_vec()))).collect()
}

fn allowed(source: &Source, flavour: Flavour) -> Result<Vec<&str>, String> {
    let params = SchemeParams(source);
    let only_secrets = params.value("jwks").is_none()
        && params.value(JWKS_URL).is_none()
        && source.public_key.is_none();
    Ok(match params.list("algorithms")? {
        Some(names) => names,
        None if flavour != Flavour::Plain => vec!["RS256"],
        None if only_secrets => SYMMETRIC.to_vec(),
        None => ASYMMETRIC.to_vec(),
    })
}

fn claim_error(reason: impl Into<String>) -> ProofRefusal {
    ProofRefusal::new("claims", reason)
}

/// A NumericDate (RFC 7519, 2), which may have a fraction.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, ProofRefusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    value
        .as_f64()
        .filter(|date| date.is_finite())
        .map(Some)
        .ok_or_else(|| claim_error(format!("the token's {name} is not a time")))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "unix seconds fit a double's 53 bits for as long as it matters"
)]
fn check_times(
    source: &Source,
    claims: &Map<String, Value>,
    now: i64,
    flavour: Flavour,
) -> Result<(), ProofRefusal> {
    let leeway = SchemeParams(source).number("leeway_s")?.unwrap_or(LEEWAY_S) as f64;
    let now = now as f64;
    let exp = date(claims, "exp")?.ok_or_else(|| claim_error("the token has no exp"))?;
    let over = if flavour == Flavour::Plain { exp + leeway <= now } else { exp + leeway < now };
    if over {
        return Err(ProofRefusal::stale(format!("the token expired {:.0} s ago", now - exp)));
    }

    let nbf = date(claims, "nbf")?;
    let iat = date(claims, "iat")?;
    let not_before = if flavour == Flavour::Google {
        Some(iat.ok_or_else(|| claim_error("the token has no iat"))?)
    } else {
        nbf
    };

    match not_before.into_iter().chain(nbf).find(|at| *at > now + leeway) {
        Some(at) => {
            Err(ProofRefusal::stale(format!("the token is valid only in {:.0} s", at - now)))
        }
        None => Ok(()),
    }
}

fn check_issuer(
    source: &Source,
    claims: &Map<String, Value>,
    flavour: Flavour,
) -> Result<(), ProofRefusal> {
    let configured = SchemeParams(source).either("issuer", "issuers")?;
    let issuers = match configured {
        None if flavour == Flavour::Google => GOOGLE.to_vec(),
        None => return Ok(()),
        Some(issuers) => issuers,
    };

    match claims.get("iss").and_then(Value::as_str) {
        Some(issuer) if issuers.contains(&issuer) => Ok(()),
        Some(issuer) => {
            Err(claim_error(format!("the token's iss is {issuer:?}, not {}", issuers.join(" or "))))
        }
        None => Err(claim_error("the token has no iss")),
    }
}

fn check_audience(
    source: &Source,
    claims: &Map<String, Value>,
    flavour: Flavour,
) -> Result<(), ProofRefusal> {
    let wanted = SchemeParams(source).list("audience")?;
    let audiences: Vec<&str> = match claims.get("aud") {
        None if wanted.is_none() => return Ok(()),
        None => return Err(claim_error("the token has no aud")),
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(items)) if flavour != Flavour::Google => items
            .iter()
            .map(|item| {
                item.as_str().ok_or_else(|| claim_error("the token's aud is not a list of texts"))
            })
            .collect::<Result<_, _>>()?,
        Some(_) => {
            return Err(claim_error("the token's aud is neither a text nor a list of texts"));
        }
    };

    let Some(wanted) = wanted else {
        return Err(claim_error(format!(
            "the token is for {audiences:?}; name this source with --set audience=…"
        )));
    };
    if audiences.iter().any(|audience| wanted.contains(audience)) {
        return Ok(());
    }
    Err(claim_error(format!("the token is for {audiences:?}, not for {}", wanted.join(" or "))))
}

fn check_email(
    source: &Source,
    claims: &Map<String, Value>,
    flavour: Flavour,
) -> Result<(), ProofRefusal> {
    let Some(wanted) = SchemeParams(source).text("email")? else {
        return match flavour {
            Flavour::Google => Err(ProofRefusal::settings(
                "the source has no --set email=…, without which any Google account would pass",
            )),
            Flavour::Plain | Flavour::Okta => Ok(()),
        };
    };

    let email = claims.get("email").and_then(Value::as_str).unwrap_or_default();
    if email != wanted {
        return Err(claim_error(format!("the token's email is {email:?}, not {wanted:?}")));
    }

    if claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(claim_error("the token's email is not verified"));
    }
    Ok(())
}

fn describe(source: &Source, claims: &Map<String, Value>) -> Result<Proven, ProofRefusal> {
    let by_jti = SchemeParams(source).word("dedupe", &["none", "jti"])? == "jti";
    let jti = claims.get("jti").and_then(Value::as_str).filter(|_| by_jti);
    Ok(Proven { dedupe_key: jti.map(str::to_owned), ..Proven::default() })
}
