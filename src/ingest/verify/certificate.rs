//! Whom a TLS client certificate names.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A client certificate that the TLS handshake proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCert {
    /// The CN of its subject.
    pub common_name: Option<String>,
    /// Its alternative names: DNS names, e-mail addresses, URIs, addresses.
    pub names: Vec<String>,
    /// The SHA-256 of its DER, in lower-case hex.
    pub fingerprint: String,
    /// It came over a listener with the PROXY protocol: a proxy that ends TLS would have shown its
    /// own.
    pub proxied: bool,
}

impl ClientCert {
    /// `None` when it cannot be read, which the handshake rules out.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let common_name =
            tbs.subject().common_name().ok().flatten().map(|name| name.value().to_string());
        let names = match tbs.get_extension::<SubjectAltName>() {
            Ok(Some((_, found))) => found.0.iter().filter_map(name).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            common_name,
            names,
            fingerprint: HEXLOWER.encode(&Sha256::digest(der)),
            proxied: false,
        })
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            four if four.len() == 4 => {
                Some(IpAddr::from(<[u8; 4]>::try_from(four).ok()?).to_string())
            }
            sixteen => Some(IpAddr::from(<[u8; 16]>::try_from(sixteen).ok()?).to_string()),
        },
        _ => None,
    }
}
