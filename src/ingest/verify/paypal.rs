//! PayPal.
//!
//! * Headers: `PAYPAL-TRANSMISSION-ID`, `-TIME`, `-SIG`, `PAYPAL-CERT-URL`, `PAYPAL-AUTH-ALGO` (`SHA256withRSA`
//!   and nothing else).
//! * Algorithm and signed bytes: RSA PKCS#1 v1.5 with SHA-256, base64, of `id|time|webhook_id|crc32(body)`, the
//!   CRC as an unsigned decimal; the webhook's id is a setting (`--set webhook_id=…`), so that no other webhook's
//!   delivery passes. PayPal's simulator signs with the literal id `WEBHOOK_ID`.
//! * Key: the certificate at the URL, which must be https on api.paypal.com or api.sandbox.paypal.com, name
//!   messageverificationcerts[.sandbox].paypal.com, and be valid now. It must be pinned (`--set certs=@FILE.json`,
//!   an object of URL to PEM, or `--public-key-file` for all URLs); nothing is fetched here.
//! * Replay protection: none (the time is signed, retries go on for days). Dedupe id: the body's `id`. Type:
//!   `event_type`.
//! * Source: developer.paypal.com, "Verify webhook signatures"; PayPal-Python-SDK. Checked with: that SDK,
//!   PayPal-node-SDK, real deliveries.

use crate::model::Source;

use super::crypto::unbase64;
use super::keys::{Algorithm, Certificate};
use super::params::Params;
use super::pick::pick;
use super::{Need, Outcome, Proven, Refusal, Request, SchemeFacts, Verdict};

pub(super) const FACTS: SchemeFacts = SchemeFacts {
    name: "paypal",
    header: "PAYPAL-TRANSMISSION-SIG and four more",
    algorithm: "RSA PKCS#1 v1.5 SHA-256, base64",
    signed: "id|time|webhook_id|crc32(body)",
    replay: "none (dedupe id)",
    dedupe: "body id",
    kind: "body event_type",
    checked_with: "PayPal-Python-SDK, PayPal-node-SDK, captured deliveries",
    methods: "POST",
    secret: Need::Unused,
    public_key: Need::Optional,
    params: &[
        ("webhook_id", "the webhook's id, as PayPal's dashboard shows it"),
        ("certs", "the pinned certificates, @FILE.json: {\"https://api.paypal.com/…\": \"PEM\"}"),
    ],
    verify,
    check,
};

const HOSTS: &[&str] = &["https://api.paypal.com/", "https://api.sandbox.paypal.com/"];
const NAMES: &[&str] = &["messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"];

fn check(source: &Source) -> Result<(), String> {
    if Params(source).text("webhook_id")?.is_none() {
        return Err("the scheme paypal needs the webhook's id; give it with --set webhook_id=…".into());
    }
    check_certs(source)
}

/// The shape of `certs`, and that every certificate in it can be read.
pub(super) fn check_certs(source: &Source) -> Result<(), String> {
    let unreadable = |pem: &String| Certificate::from_pem(pem).is_none();
    if source.public_key.as_ref().is_some_and(unreadable) {
        return Err("the file of --public-key-file is not a certificate in PEM (BEGIN CERTIFICATE)".into());
    }
    let Some(certs) = Params(source).value("certs") else { return Ok(()) };
    let wrong = || "--set certs=@FILE.json must be an object of certificate URL to PEM text".to_owned();
    for (url, pem) in certs.as_object().ok_or_else(wrong)? {
        let pem = pem.as_str().ok_or_else(wrong)?;
        Certificate::from_pem(pem).ok_or_else(|| format!("the certificate for {url} in --set certs is not PEM"))?;
    }
    Ok(())
}

/// The pinned certificate of a URL, valid at `now`: that of `certs`, or of `--public-key-file` for any URL when there
/// are no `certs`. The caller has looked at the URL.
pub(super) fn pinned(source: &Source, url: &str, now: i64) -> Result<Certificate, Refusal> {
    let pem = match Params(source).value("certs") {
        Some(certs) => certs.get(url).and_then(serde_json::Value::as_str),
        None => source.public_key.as_deref(),
    };
    let pem = pem.ok_or_else(|| {
        let reason = format!(
            "the certificate {url} is not pinned; check it, then add it with --set certs=@FILE.json (URL to PEM)"
        );
        Refusal::new("unknown-key", reason)
    })?;
    let certificate = Certificate::from_pem(pem)
        .ok_or_else(|| Refusal::settings(format!("the certificate pinned for {url} cannot be read")))?;
    if now < certificate.not_before || now > certificate.not_after {
        return Err(Refusal::stale(format!("the certificate {url} is not valid at this time")));
    }
    Ok(certificate)
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> Outcome {
    let id = request.header("paypal-transmission-id")?;
    let time = request.header("paypal-transmission-time")?;
    let signature = request.header("paypal-transmission-sig")?;
    let url = request.header("paypal-cert-url")?;
    if request.header("paypal-auth-algo")? != "SHA256withRSA" {
        return Err(Refusal::new("algorithm", "PAYPAL-AUTH-ALGO is not SHA256withRSA"));
    }
    let webhook_id =
        Params(source).text("webhook_id")?.ok_or_else(|| Refusal::settings("the source has no --set webhook_id=…"))?;
    let given = unbase64(signature).ok_or_else(|| Refusal::malformed("PAYPAL-TRANSMISSION-SIG is not base64"))?;
    if !HOSTS.iter().any(|host| url.starts_with(host)) {
        return Err(Refusal::new("not-allowed", "PAYPAL-CERT-URL is not an https URL of api.paypal.com"));
    }
    let certificate = pinned(source, url, now)?;
    if !certificate.common_name.as_deref().is_some_and(|name| NAMES.contains(&name)) {
        return Err(Refusal::new("not-allowed", "the certificate is not one of messageverificationcerts.paypal.com"));
    }
    let signed = format!("{id}|{time}|{webhook_id}|{}", crc32fast::hash(request.body));
    if !certificate.key.verify(Algorithm::RsaSha256, signed.as_bytes(), &given) {
        return Err(Refusal::mismatch(
            "the signature does not match with the certificate, the webhook id and the body",
        ));
    }
    Ok(Verdict::Proven(describe(request)))
}

fn describe(request: &Request<'_>) -> Proven {
    let [dedupe_key, kind] = pick(request.body, ["/id", "/event_type"]);
    Proven { kind, dedupe_key, ..Proven::default() }
}
