//! The server side of TLS: certificate, key and, for client certificates, the authorities that are
//! believed.
//!
//! TLS 1.2 and 1.3 with rustls and ring; ALPN offers h2 and http/1.1. A client may show a
//! certificate when `client_ca` is set; one of another authority fails the handshake. A client
//! without one is accepted: sources require it by themselves (`--verify mtls`).
//!
//! Reload: [`ServerTls::read`] reads the files anew, [`ServerTls::set`] uses them for new
//! connections. The handshake is bounded by the time for a head, and a connection in it counts as
//! any other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_cert::der::Decode;

use crate::model::WallMs;
use crate::model::time::rfc3339;

/// The files of certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate first, then those that lead to its authority.
    pub cert: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// PEM: the authorities of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// The TLS configuration in force.
#[derive(Debug)]
pub struct ServerTls {
    config: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config: RwLock::new(config) }
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, why, and what to do.
    pub fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => builder.with_client_cert_verifier(client_verifier(file, provider)?),
        };

        let chain = certificates("cert", &files.cert)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
            let (file, why) = (files.key.display(), pem_words(&error));
            format!("tls.key: cannot read a private key in {file}: {why}")
        })?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("tls.cert: it does not fit tls.key: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Why clients will not believe the certificate in this file, by this clock; `None` when its
    /// dates are right.
    #[must_use]
    pub fn warning(cert: &Path, wall_ms: WallMs) -> Option<String> {
        let chain = certificates("cert", cert).ok()?;
        let own = x509_cert::Certificate::from_der(chain.first()?).ok()?;
        let validity = own.tbs_certificate().validity();
        let ms = |time: x509_cert::time::Time| {
            u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
        };

        let (from, to) = (ms(validity.not_before), ms(validity.not_after));
        let what = match () {
            () if wall_ms > to => format!("expired at {}", rfc3339(to)),
            () if wall_ms < from => format!("is not valid before {}", rfc3339(from)),
            () => return None,
        };
        Some(format!("tls.cert: the certificate in {} {what}: clients refuse it", cert.display()))
    }

    /// Uses it for new connections.
    pub fn set(&self, config: Arc<ServerConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Accepts clients without a certificate, and those with one of an authority in this file.
fn client_verifier(
    file: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let wrong = |why: &dyn std::fmt::Display| {
        format!("tls.client_ca: {} cannot be used: {why}", file.display())
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates("client_ca", file)? {
        roots.add(authority).map_err(|error| wrong(&error))?;
    }

    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(&error))
}

/// What is wrong with a file in PEM form, without the bytes that its reader shows.
fn pem_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it is cut off: the end of its last part is missing".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with ----- is none of the PEM form".to_owned()
        }
        error => error.to_string(),
    }
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot =
        |why: &dyn std::fmt::Display| format!("tls.{key}: cannot read {}: {why}", file.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| cannot(&pem_words(&error)))?.collect();
    let found = found.map_err(|error| cannot(&pem_words(&error)))?;
    if found.is_empty() { Err(cannot(&"it holds no certificate (PEM)")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{ServerTls, certificates};

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["box.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        let made = params.self_signed(&key).expect("a certificate").pem();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cert.pem");
        std::fs::write(&file, &made).expect("written");

        let ms = |seconds: u64| seconds * 1000;
        let late = ServerTls::warning(&file, ms(1_577_923_200)).expect("it is over");
        assert!(late.contains("expired at 2020-01-01T00:00:00.000Z"), "{late}");
        assert!(
            ServerTls::warning(&file, ms(1_500_000_000)).expect("too early").contains("before")
        );
        assert_eq!(ServerTls::warning(&file, ms(1_560_000_000)), None);

        let end = made.find("-----END").expect("an end");
        std::fs::write(&file, &made[..end]).expect("written");
        let why = certificates("cert", &file).expect_err("it is cut off");
        assert!(why.contains("it is cut off") && !why.contains("[67, "), "{why}");
    }
}
