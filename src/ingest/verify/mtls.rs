//! Client certificates (mutual TLS): the proof is that of the handshake.
//!
//! * Proof: a certificate of one of the authorities in the configuration's `tls.client_ca`, or one
//!   that stands there itself, shown on a `tls://` listener. That of a trusted proxy proves nobody
//!   behind it and is not taken. Whether it is theirs and valid was settled in the handshake, and
//!   is looked at again with each request: a proof ends with the certificate's time, and with its
//!   authorities. Here it is looked up whose it is.
//! * `--set subject=…` names its subject's CN, `--set san=…` one of its alternative names (DNS,
//!   e-mail, URI, address), `--set fingerprint=…` is the SHA-256 of its DER in hex; each may be a
//!   list separated by commas, and all that are given must fit. Kinds of names do not match each
//!   other, and case is ignored in DNS names and in the hosts of the others. `--set any=true` takes
//!   every certificate of the authorities, but none that comes over a listener with the PROXY
//!   protocol: a proxy may end TLS there and show its own, which has to be distinguished from its
//!   clients' by name.
//! * Signed bytes: the connection, so a request cannot be sent again from elsewhere. Dedupe id,
//!   type: the source's settings. Answer: 202. Handshakes: none.
//! * Source: RFC 8446 (4.4.2), RFC 5280. Checked with: certificates made by rcgen, handshakes by
//!   rustls.
//!
//! **What it proves.** Whoever holds the private key of a certificate that the configured
//! authorities issued and the source names. The recipient is the server that the client spoke TLS
//! with; behind a proxy that ends TLS nobody is proven, and where a proxy passes TLS through,
//! clients are proven by their names alone. Nothing is signed; all bytes of the connection are
//! protected, headers as well, so they are trusted as the client's word. What repeats, and what
//! different deliveries share, is the client's business: the common headers, or the source's
//! settings.

use crate::model::Source;

use super::certificate::CertificateLapse;
use super::crypto::equal;
use super::params::SchemeParams;
use super::{Need, ProofRefusal, Proven, Request, Scheme, Verdict, VerifyResult};

pub(super) const SCHEME: Scheme = Scheme {
    name: "mtls",
    header: "none: the TLS client certificate",
    algorithm: "X.509, by the handshake",
    signed: "the connection",
    replay: "the connection",
    dedupe: "the source's settings",
    kind: "the source's settings",
    checked_with: "rcgen and rustls",
    secret: Need::Unused,
    public_key: Need::Unused,
    params: &[
        ("subject", "the certificate's CN"),
        ("san", "an alternative name: DNS name, mail address, URI or IP address"),
        ("fingerprint", "the SHA-256 of the certificate's DER: 64 digits of hex"),
        ("any", "true accepts every certificate of the authorities; not over tls+proxy://"),
    ],
    check,
    ..Scheme::new(verify, Scheme::key_names_recipient, Scheme::no_secret_header)
};

fn check(source: &Source) -> Result<(), String> {
    let params = SchemeParams(source);
    let named = ["subject", "san", "fingerprint"].map(|key| params.list(key));
    let mut none = true;
    for list in named {
        none &= list?.is_none();
    }
    let fingerprints = params.list("fingerprint")?.unwrap_or_default();
    if let Some(wrong) = fingerprints.iter().find(|text| !is_fingerprint(text)) {
        return Err(format!(
            "--set fingerprint={wrong}: the SHA-256 of a certificate has 64 hexadecimal digits, \
             with or without colons, as `openssl x509 -noout -fingerprint -sha256 -in FILE` shows \
             it"
        ));
    }

    match (none, params.flag("any", false)?) {
        (true, false) => {
            Err("name the client's certificate with --set subject=…, san=… or fingerprint=…, or \
                 accept every one of the authorities' with --set any=true"
                .into())
        }
        (false, true) => {
            Err("--set any=true accepts every certificate: leave the names out".into())
        }
        _ => Ok(()),
    }
}

fn is_fingerprint(text: &str) -> bool {
    let digits = plain(text);
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A fingerprint as it is compared.
fn plain(fingerprint: &str) -> String {
    fingerprint.replace(':', "").to_ascii_lowercase()
}

fn verify(source: &Source, request: &Request<'_>, _: i64) -> VerifyResult {
    let params = SchemeParams(source);
    let Some(certificate) = request.client else {
        return Err(ProofRefusal::missing(
            "the client showed no certificate (is the listener tls://, is tls.client_ca set? The \
             certificate of a trusted proxy proves nobody behind it: have it pass TLS through, \
             with the PROXY protocol)",
        ));
    };

    match certificate.lapse {
        Some(CertificateLapse::Expired) => {
            return Err(ProofRefusal::stale(
                "the client's certificate has expired since its connection was made",
            ));
        }
        Some(CertificateLapse::Authorities) => {
            return Err(ProofRefusal::mismatch(
                "tls.client_ca has changed since the client's connection was made, and does not \
                 vouch for its certificate",
            ));
        }
        None => {}
    }
    if certificate.proxied && params.flag("any", false)? {
        return Err(ProofRefusal::settings(
            "the certificate came over a listener with the PROXY protocol, and may be that of a \
             proxy which ends TLS: it would prove everybody behind it. Name the clients' with \
             --set subject=…, san=… or fingerprint=… instead of any",
        ));
    }

    if let Some(wanted) = params.list("subject")? {
        let name = certificate.common_name.as_deref().unwrap_or_default();
        fits("subject", wanted.contains(&name), name)?;
    }
    if let Some(wanted) = params.list("san")? {
        let found =
            certificate.names.iter().any(|name| wanted.iter().any(|one| name.is_meant_by(one)));
        let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
        fits("san", found, &names.join(", "))?;
    }
    if let Some(wanted) = params.list("fingerprint")? {
        let found = wanted
            .iter()
            .any(|one| equal(plain(one).as_bytes(), certificate.fingerprint.as_bytes()));
        fits("fingerprint", found, &certificate.fingerprint)?;
    }

    Ok(Verdict::Proven(Proven::default()))
}

fn fits(what: &str, holds: bool, found: &str) -> Result<(), ProofRefusal> {
    if holds {
        Ok(())
    } else {
        Err(ProofRefusal::mismatch(format!("the client certificate's {what} is {found:?}")))
    }
}
