//! Whom a TLS client certificate names.

use std::fmt;
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
    pub names: Vec<AlternativeName>,
    /// The SHA-256 of its DER, in lower-case hex.
    pub fingerprint: String,
    /// It came over a listener with the PROXY protocol: a proxy that ends TLS would have shown its
    /// own.
    pub proxied: bool,
    /// Why it proves nothing any more, though the handshake did.
    pub lapse: Option<CertificateLapse>,
}

/// How a proof by certificate ends before its connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateLapse {
    /// Its time is over.
    Expired,
    /// Those who are trusted now do not vouch for it.
    Authorities,
}

/// A name that a certificate has beside its subject's (RFC 5280, section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    Dns(String),
    Mail(String),
    Uri(String),
    Address(IpAddr),
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
            Ok(Some((_, found))) => found.0.iter().filter_map(AlternativeName::of).collect(),
            _ => Vec::new(),
        };

        let fingerprint = HEXLOWER.encode(&Sha256::digest(der));
        Some(Self { common_name, names, fingerprint, proxied: false, lapse: None })
    }
}

impl AlternativeName {
    fn of(name: &GeneralName) -> Option<Self> {
        Some(match name {
            GeneralName::DnsName(text) => Self::Dns(text.to_string()),
            GeneralName::Rfc822Name(text) => Self::Mail(text.to_string()),
            GeneralName::UniformResourceIdentifier(text) => Self::Uri(text.to_string()),
            GeneralName::IpAddress(bytes) => Self::Address(match bytes.as_bytes() {
                four if four.len() == 4 => <[u8; 4]>::try_from(four).ok()?.into(),
                sixteen => <[u8; 16]>::try_from(sixteen).ok()?.into(),
            }),
            _ => return None,
        })
    }

    /// Whether this text means it. What is an address means no other kind; of the rest a `:` makes
    /// it a URI, a `@` a mail address, and neither a DNS name.
    pub(super) fn is_meant_by(&self, text: &str) -> bool {
        let address: Option<IpAddr> = text.parse().ok();
        match self {
            Self::Address(own) => address == Some(*own),
            _ if address.is_some() => false,
            Self::Uri(own) => text.contains(':') && is_same_uri(own, text),
            _ if text.contains(':') => false,
            Self::Mail(own) => is_same_mail(own, text),
            Self::Dns(own) => !text.contains('@') && own.eq_ignore_ascii_case(text),
        }
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Mail(text) | Self::Uri(text) => f.write_str(text),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// The host has no case, whoever is meant at it has (RFC 5280, section 7.5).
fn is_same_mail(one: &str, other: &str) -> bool {
    let (Some((who, host)), Some((other_who, other_host))) =
        (one.rsplit_once('@'), other.rsplit_once('@'))
    else {
        return false;
    };
    who == other_who && host.eq_ignore_ascii_case(other_host)
}

/// Scheme and host have no case, all else has (RFC 5280, section 7.4).
fn is_same_uri(one: &str, other: &str) -> bool {
    let (Some((scheme, rest)), Some((other_scheme, other_rest))) =
        (one.split_once(':'), other.split_once(':'))
    else {
        return false;
    };

    let (login, host, path) = uri_parts(rest);
    let (other_login, other_host, other_path) = uri_parts(other_rest);
    scheme.eq_ignore_ascii_case(other_scheme)
        && host.eq_ignore_ascii_case(other_host)
        && (login, path) == (other_login, other_path)
}

/// What stands before the host of a URI, with its `@`; the host with its port; and what follows.
/// There is no host where no `//` says so.
fn uri_parts(rest: &str) -> (&str, &str, &str) {
    let Some(behind) = rest.strip_prefix("//") else { return ("", "", rest) };
    let (authority, path) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
    let (login, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    (login, host, path)
}

#[cfg(test)]
mod tests {
    use super::AlternativeName::{self, Address, Dns, Mail, Uri};

    #[test]
    fn kinds_do_not_mean_each_other_and_case_counts_where_it_does() {
        let means = |name: &AlternativeName, texts: &[&str]| {
            texts.iter().map(|text| name.is_meant_by(text)).collect::<Vec<_>>()
        };
        let dns = Dns("App.example".to_owned());
        assert_eq!(
            means(&dns, &["app.EXAMPLE", "b.example", "@app.example"]),
            [true, false, false]
        );
        let like_an_address = Dns("10.0.0.1".to_owned());
        assert_eq!(means(&like_an_address, &["10.0.0.1"]), [false]);
        let address = Address([10, 0, 0, 1].into());
        assert_eq!(means(&address, &["10.0.0.1", "10.0.0.01", "10.0.0.2"]), [true, false, false]);
        assert!(Address("2001:db8::1".parse().unwrap()).is_meant_by("2001:DB8:0::1"));

        let mail = Mail("Ops@Example.com".to_owned());
        assert_eq!(
            means(&mail, &["Ops@example.COM", "ops@example.com", "Ops"]),
            [true, false, false]
        );
        let like_a_mail = Uri("Ops@Example.com".to_owned());
        assert_eq!(means(&like_a_mail, &["Ops@Example.com"]), [false]);
        assert!(!Dns("Ops@Example.com".to_owned()).is_meant_by("Ops@Example.com"));

        let uri = Uri("spiffe://Trust.example/Ns/a?Q".to_owned());
        let texts = [
            "SPIFFE://trust.EXAMPLE/Ns/a?Q",
            "spiffe://trust.example/ns/a?Q",
            "spiffe://trust.example/Ns/a?q",
            "https://trust.example/Ns/a?Q",
            "spiffe:Trust.example/Ns/a?Q",
        ];
        assert_eq!(means(&uri, &texts), [true, false, false, false, false]);
        let login = Uri("https://Me@a.example".to_owned());
        assert_eq!(means(&login, &["https://Me@A.example", "https://me@a.example"]), [true, false]);
        assert!(!Uri("urn:uuid:A".to_owned()).is_meant_by("urn:uuid:a"));
        assert!(Uri("urn:uuid:A".to_owned()).is_meant_by("URN:uuid:A"));
    }
}
