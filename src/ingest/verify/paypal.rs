//! PayPal.
//!
//! * Headers: `PAYPAL-TRANSMISSION-ID`, `-TIME`, `-SIG`, `PAYPAL-CERT-URL`, `PAYPAL-AUTH-ALGO`
//!   (`SHA256withRSA` and nothing else).
//! * Algorithm and signed bytes: RSA PKCS#1 v1.5 with SHA-256, base64, of
//!   `id|time|webhook_id|crc32(body)`, the CRC as an unsigned decimal; the webhook's id is a
//!   setting (`--set webhook_id=…`), so that no other webhook's delivery passes. PayPal's simulator
//!   signs with the literal id `WEBHOOK_ID`.
//! * Key: the certificate at the URL, which must be https on api.paypal.com or
//!   api.sandbox.paypal.com, name messageverificationcerts[.sandbox].paypal.com, and be valid now.
//!   It must be pinned (`--set certs=@FILE.json`, an object of URL to PEM, or `--public-key-file`
//!   for all URLs), or fetched by the daemon with `--set certs=fetch`: over https from there,
//!   without following redirects. A certificate that is not here (yet) is answered 503.
//! * Replay protection: the signed time, at most four days old, for retries go on for three (`--set
//!   max_age_s=…`, `none` for any age), and at most an hour ahead. What was signed is remembered
//!   for as long as that, whatever `--dedupe-window` says. Dedupe id: the body's `id`. Type:
//!   `event_type`.
//! * Source: developer.paypal.com, "Verify webhook signatures"; PayPal-Python-SDK. Checked with:
//!   that SDK, PayPal-node-SDK, real deliveries.
//!
//! **What it proves.** PayPal alone, for the webhook whose id is configured: it is signed, and
//! names the recipient. Signed are transmission id, time and a CRC-32 of the body. A CRC holds
//! nothing together: whoever has one delivery can make other bodies of the same CRC, and bear them
//! under its signature. So the signature itself is a key: what was signed is taken once, and what
//! comes again under it is a repetition, whatever its body. The body's ids and types are trusted
//! no further than that. A retry repeats the body's `id`; several webhooks of one app share it, and
//! differ in what is signed.

use crate::model::Source;

use super::crypto::{fingerprint, unbase64};
use super::json::scalars;
use super::params::SchemeParams;
use super::pinned_certificates::{check_certs, pinned};
use super::public_key::{Algorithm, Certificate};
use super::timestamps::{not_ahead, not_older, rfc3339_seconds};
use super::{Need, ProofRefusal, Proven, Request, Scheme, Signed, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "paypal",
    header: "PAYPAL-TRANSMISSION-SIG and four more",
    algorithm: "RSA PKCS#1 v1.5 SHA-256, base64",
    signed: "id|time|webhook_id|crc32(body)",
    replay: "time, 4 d; what was signed",
    dedupe: "body id",
    kind: "body event_type",
    checked_with: "PayPal-Python-SDK, PayPal-node-SDK, captured deliveries",
    secret: Need::Unused,
    public_key: Need::Optional,
    params: &[
        ("webhook_id", "the webhook's id, as PayPal's dashboard shows it"),
        (
            "certs",
            "the pinned certificates, @FILE.json: {\"https://api.paypal.com/…\": \"PEM\"}; or \
             fetch",
        ),
        (
            "max_age_s",
            "maximum age of the transmission's time in seconds, 345600 by default, or none",
        ),
    ],
    check,
    advice,
    certificate_url: Some(certificate_url),
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

/// PayPal tries for three days.
const MAX_AGE_S: i64 = 4 * 86_400;

/// How far the signed time may be ahead of a clock that is behind. What was signed is remembered
/// from its arrival on, so that it is taken once although the clock is set right meanwhile.
const AHEAD_S: i64 = 3600;
/// How long what was signed is remembered where it is accepted at any age.
const FOR_ANY_AGE_S: i64 = 366 * 86_400;

const HOSTS: &[&str] = &["https://api.paypal.com/", "https://api.sandbox.paypal.com/"];
const NAMES: &[&str] =
    &["messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"];

fn check(source: &Source) -> Result<(), String> {
    if SchemeParams(source).text("webhook_id")?.is_none() {
        return Err(
            "the scheme paypal needs the webhook's id; give it with --set webhook_id=…".into()
        );
    }
    SchemeParams(source).age("max_age_s", MAX_AGE_S)?;
    check_certs(source)
}

/// What was signed cannot be remembered for ever.
fn advice(source: &Source) -> Option<String> {
    let is_any = matches!(SchemeParams(source).age("max_age_s", MAX_AGE_S), Ok(None));
    is_any.then(|| {
        "PayPal signs a CRC-32 of the body, which others can forge for as long as a delivery is \
         accepted; with --set max_age_s=none that is for ever, and what was signed is remembered \
         for a year: leave it out, and deliveries of up to 4 days are accepted"
            .to_owned()
    })
}

fn verify(source: &Source, request: &Request<'_>, now: i64) -> VerifyResult {
    let id = request.header("paypal-transmission-id")?;
    let time = request.header("paypal-transmission-time")?;
    let signature = request.header("paypal-transmission-sig")?;
    let url = request.header("paypal-cert-url")?;
    if request.header("paypal-auth-algo")? != "SHA256withRSA" {
        return Err(ProofRefusal::new("algorithm", "PAYPAL-AUTH-ALGO is not SHA256withRSA"));
    }

    let webhook_id = SchemeParams(source)
        .text("webhook_id")?
        .ok_or_else(|| ProofRefusal::settings("the source has no --set webhook_id=…"))?;
    let given = unbase64(signature)
        .ok_or_else(|| ProofRefusal::malformed("PAYPAL-TRANSMISSION-SIG is not base64"))?;
    let certificate = certificate(source, url, now)?;
    let at = rfc3339_seconds(time)?;
    not_ahead(at, now, AHEAD_S)?;
    let max_age = SchemeParams(source).age("max_age_s", MAX_AGE_S)?;
    if let Some(max_age) = max_age {
        not_older(at, now, max_age)?;
    }

    let signed = format!("{id}|{time}|{webhook_id}|{}", crc32fast::hash(request.body));
    if !certificate.key.verify(Algorithm::RsaSha256, signed.as_bytes(), &given) {
        return Err(ProofRefusal::mismatch(
            "the signature does not match with the certificate, the webhook id and the body",
        ));
    }
    let for_s = max_age.map_or(FOR_ANY_AGE_S, |age| age.saturating_add(AHEAD_S));
    Ok(Verdict::Proven(describe(request, signed.as_bytes(), for_s)))
}

/// The certificate at this URL, when both are PayPal's.
fn certificate(source: &Source, url: &str, now: i64) -> Result<Certificate, ProofRefusal> {
    if !HOSTS.iter().any(|host| url.starts_with(host)) {
        return Err(ProofRefusal::new(
            "not-allowed",
            "PAYPAL-CERT-URL is not an https URL of api.paypal.com",
        ));
    }
    let certificate = pinned(source, url, now)?;
    if !certificate.common_name.as_deref().is_some_and(|name| NAMES.contains(&name)) {
        return Err(ProofRefusal::new(
            "not-allowed",
            "the certificate is not one of messageverificationcerts.paypal.com",
        ));
    }
    Ok(certificate)
}

/// The certificate that a request names, where PayPal publishes them.
pub(super) fn certificate_url(request: &Request<'_>) -> Option<String> {
    let url = request.readable_header("paypal-cert-url")?;
    let path = HOSTS.iter().find_map(|host| url.strip_prefix(host))?;
    // One name, which has one spelling: each further one would be fetched and kept as well.
    let name = path.strip_prefix("v1/notifications/certs/")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (plain && !name.is_empty()).then_some(url)
}

fn describe(request: &Request<'_>, signed: &[u8], for_s: i64) -> Proven {
    let [dedupe_key, kind] = scalars(request.body, ["/id", "/event_type"]);
    Proven {
        kind,
        dedupe_key,
        signed: Some(Signed::Alone { digest: fingerprint(signed), for_s }),
        ..Proven::default()
    }
}
