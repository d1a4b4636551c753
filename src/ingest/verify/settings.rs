//! The check of a source's settings when it is made or changed: what the scheme needs, what it does not know, and
//! the option that mends it.

use crate::model::Source;

use super::crypto::{Hash, hmac_matches, is_one_of};
use super::{Need, Refusal, SCHEMES, SchemeFacts, scheme};

/// How far ahead of or behind our clock a sender's timestamp may be, when nothing else is said.
pub(super) const TOLERANCE_S: i64 = 300;

/// The secrets that are live at `now_unix`, the newest first.
pub(super) fn live_secrets(source: &Source, now_unix: i64) -> Vec<&str> {
    let now_ms = u64::try_from(now_unix.max(0)).unwrap_or(0).saturating_mul(1000);
    source.secrets.iter().filter(|timed| timed.is_live(now_ms)).map(|timed| timed.secret.0.as_str()).collect()
}

/// Like [`live_secrets`]; refused when there is none.
pub(super) fn need_secrets(source: &Source, now_unix: i64) -> Result<Vec<&str>, Refusal> {
    let secrets: Vec<&str> = live_secrets(source, now_unix).into_iter().filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() {
        return Err(Refusal::settings("the source has no secret; give it one with --secret-file"));
    }
    Ok(secrets)
}

/// "the secret", "either of 2 secrets": what a signature did not match.
pub(super) fn tried(secrets: usize) -> String {
    match secrets {
        1 => "the secret".to_owned(),
        2 => "either of 2 secrets".to_owned(),
        n => format!("any of {n} secrets"),
    }
}

/// Proves the parts with any live secret, taken as the text it is.
pub(super) fn prove_hmac(
    source: &Source,
    now_unix: i64,
    hash: Hash,
    parts: &[&[u8]],
    given: &[u8],
) -> Result<(), Refusal> {
    let secrets = need_secrets(source, now_unix)?;
    if hmac_matches(hash, &secrets, parts, given) {
        return Ok(());
    }
    Err(Refusal::mismatch(format!("the signature does not match with {}", tried(secrets.len()))))
}

/// Proves a value that must be one of the live secrets.
pub(super) fn prove_secret(source: &Source, now_unix: i64, what: &str, given: &[u8]) -> Result<(), Refusal> {
    let secrets = need_secrets(source, now_unix)?;
    if is_one_of(&secrets, given) {
        return Ok(());
    }
    Err(Refusal::mismatch(format!("{what} is not {}", tried(secrets.len()))))
}

pub(super) fn check(source: &Source) -> Result<(), String> {
    let Some(facts) = scheme(&source.verify) else {
        return Err(format!("there is no scheme {:?}; --verify takes one of {}", source.verify, SCHEMES.join(", ")));
    };
    check_params(source, facts)?;
    check_secret(source, facts)?;
    check_public_key(source, facts)?;
    (facts.check)(source)
}

/// A scheme that has nothing more to say.
pub(super) fn nothing_more(_: &Source) -> Result<(), String> {
    Ok(())
}

fn check_params(source: &Source, facts: &SchemeFacts) -> Result<(), String> {
    let known = |key: &String| facts.params.iter().any(|(name, _)| name == key);
    let Some(unknown) = source.params.keys().find(|key| !known(key)) else { return Ok(()) };
    let keys: Vec<&str> = facts.params.iter().map(|(name, _)| *name).collect();
    Err(match keys.as_slice() {
        [] => format!("the scheme {} has no settings, so --set {unknown}=… means nothing; leave it out", facts.name),
        keys => format!("the scheme {} does not know --set {unknown}=…; it knows {}", facts.name, keys.join(", ")),
    })
}

fn check_secret(source: &Source, facts: &SchemeFacts) -> Result<(), String> {
    let name = facts.name;
    if source.secrets.iter().any(|timed| timed.secret.0.trim().is_empty()) {
        return Err("a secret is empty; give one with --secret-file, or let one be made with --generate-secret".into());
    }
    match facts.secret {
        Need::Required if source.secrets.is_empty() => {
            Err(format!("the scheme {name} needs the provider's secret; give it with --secret-file"))
        }
        Need::Unused if !source.secrets.is_empty() => {
            Err(format!("the scheme {name} has no use for a secret; leave --secret and --secret-file out"))
        }
        _ => Ok(()),
    }
}

fn check_public_key(source: &Source, facts: &SchemeFacts) -> Result<(), String> {
    let name = facts.name;
    match (facts.public_key, &source.public_key) {
        (Need::Required, None) => {
            Err(format!("the scheme {name} needs the provider's public key; give it with --public-key-file"))
        }
        (Need::Unused, Some(_)) => {
            Err(format!("the scheme {name} has no use for a public key; leave --public-key-file out"))
        }
        _ => Ok(()),
    }
}

/// A timestamp in whole seconds, as its digits.
pub(super) fn unix_seconds(text: &str) -> Result<i64, Refusal> {
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| Refusal::malformed("the timestamp is not a number of seconds"))
}

/// Refuses what is older than `limit_s`; the limit itself is still good.
pub(super) fn not_older(at: i64, now: i64, limit_s: i64) -> Result<(), Refusal> {
    let age = now.saturating_sub(at);
    if age > limit_s {
        return Err(Refusal::stale(format!("the timestamp is {age} s old, at most {limit_s} s are allowed")));
    }
    Ok(())
}

/// Refuses what is further in the future than `limit_s`.
pub(super) fn not_ahead(at: i64, now: i64, limit_s: i64) -> Result<(), Refusal> {
    let ahead = at.saturating_sub(now);
    if ahead > limit_s {
        let reason = format!("the timestamp is {ahead} s ahead of this clock, at most {limit_s} s are allowed");
        return Err(Refusal::stale(reason));
    }
    Ok(())
}
