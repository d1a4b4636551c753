//! The live secrets of a source, and the proofs that compare with them.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::crypto::{HashFunction, hmac_matches, is_one_of};
use super::params::SchemeParams;
use super::refusal::ProofRefusal;
use crate::model::Source;

/// The secrets that are live at `now_unix`, the newest first.
pub(super) fn live_secrets(source: &Source, now_unix: i64) -> Vec<&str> {
    let now_ms = u64::try_from(now_unix.max(0)).unwrap_or(0).saturating_mul(1000);
    source
        .secrets
        .iter()
        .filter(|timed| timed.is_live(now_ms))
        .map(|timed| timed.secret.0.as_str())
        .collect()
}

/// Like [`live_secrets`]; refused when there is none.
pub(super) fn required_secrets(source: &Source, now_unix: i64) -> Result<Vec<&str>, ProofRefusal> {
    let secrets: Vec<&str> =
        live_secrets(source, now_unix).into_iter().filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() {
        return Err(ProofRefusal::settings(
            "the source has no secret; give it one with --secret-file",
        ));
    }
    Ok(secrets)
}

/// "the secret", "either of 2 secrets": what a signature did not match.
pub(super) fn secrets_in_words(secrets: usize) -> String {
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
    hash: HashFunction,
    parts: &[&[u8]],
    given: &[u8],
) -> Result<(), ProofRefusal> {
    let secrets = required_secrets(source, now_unix)?;
    if hmac_matches(hash, &secrets, parts, given) {
        return Ok(());
    }
    Err(ProofRefusal::mismatch(format!(
        "the signature does not match with {}",
        secrets_in_words(secrets.len())
    )))
}

/// Proves a value that must be one of the live secrets.
pub(super) fn prove_secret(
    source: &Source,
    now_unix: i64,
    what: &str,
    given: &[u8],
) -> Result<(), ProofRefusal> {
    let secrets = required_secrets(source, now_unix)?;
    if is_one_of(&secrets, given) {
        return Ok(());
    }
    Err(ProofRefusal::mismatch(format!("{what} is not {}", secrets_in_words(secrets.len()))))
}

/// The keys that the secrets encode, as `--set secret_encoding=…` says.
pub(super) fn secret_keys(source: &Source, secrets: Vec<&str>) -> Result<Vec<Vec<u8>>, String> {
    let encoding = SchemeParams(source).word("secret_encoding", &["text", "hex", "base64"])?;
    decode_secrets(encoding, secrets)
}

/// The keys that the secrets' texts encode.
pub(super) fn decode_secrets(encoding: &str, secrets: Vec<&str>) -> Result<Vec<Vec<u8>>, String> {
    let key = |secret: &str| match encoding {
        "hex" => HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok(),
        "base64" => BASE64.decode(secret.as_bytes()).ok(),
        _ => Some(secret.as_bytes().to_vec()),
    };

    let keys: Option<Vec<Vec<u8>>> =
        secrets.into_iter().map(|secret| key(secret).filter(|key| !key.is_empty())).collect();
    keys.ok_or_else(|| {
        format!("a secret is not {encoding}, as --set secret_encoding={encoding} requires")
    })
}
