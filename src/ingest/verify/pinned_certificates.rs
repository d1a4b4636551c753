//! The certificates that a source pins (`--set certs=@FILE.json`, `--public-key-file`) or has
//! fetched.

use super::params::SchemeParams;
use super::public_key::Certificate;
use super::refusal::ProofRefusal;
use crate::model::Source;

/// Checks that `certs` is an object of URL to PEM, and that every certificate in it can be read.
pub(super) fn check_certs(source: &Source) -> Result<(), String> {
    let unreadable = |pem: &String| Certificate::from_pem(pem).is_none();
    if source.public_key.as_ref().is_some_and(unreadable) {
        return Err(
            "the file of --public-key-file is not a certificate in PEM (BEGIN CERTIFICATE)".into(),
        );
    }

    let Some(certs) = SchemeParams(source).value("certs").filter(|_| !fetches(source)) else {
        return Ok(());
    };
    let wrong =
        || "--set certs=@FILE.json must be an object of certificate URL to PEM text".to_owned();

    for (url, pem) in certs.as_object().ok_or_else(wrong)? {
        let pem = pem.as_str().ok_or_else(wrong)?;
        Certificate::from_pem(pem)
            .ok_or_else(|| format!("the certificate for {url} in --set certs is not PEM"))?;
    }
    Ok(())
}

/// Whether certificates are fetched from the URL that a request names.
pub(super) fn fetches(source: &Source) -> bool {
    SchemeParams(source).value("certs").is_some_and(|certs| *certs == "fetch")
}

/// The pinned certificate of a URL, valid at `now`: that of `certs`, or of `--public-key-file` for
/// any URL when there are no `certs`. The caller has looked at the URL.
pub(super) fn pinned(source: &Source, url: &str, now: i64) -> Result<Certificate, ProofRefusal> {
    let pem = match SchemeParams(source).value("certs").filter(|_| !fetches(source)) {
        Some(certs) => certs.get(url).and_then(serde_json::Value::as_str),
        None => source.public_key.as_deref(),
    };
    let pem = pem.ok_or_else(|| {
        let reason = format!(
            "the certificate {url} is not here; check it, then add it with --set certs=@FILE.json \
             (URL to PEM), or have such certificates fetched with --set certs=fetch"
        );
        ProofRefusal::unknown_key(reason)
    })?;

    let certificate = Certificate::from_pem(pem).ok_or_else(|| {
        ProofRefusal::settings(format!("the certificate pinned for {url} cannot be read"))
    })?;

    if now < certificate.not_before || now > certificate.not_after {
        return Err(ProofRefusal::stale(format!(
            "the certificate {url} is not valid at this time"
        )));
    }
    Ok(certificate)
}
