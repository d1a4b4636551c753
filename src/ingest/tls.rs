//! The server side of TLS: certificate, key and, for client certificates, the authorities that are
//! trusted.
//!
//! TLS 1.2 and 1.3 with rustls and ring; ALPN offers h2 and http/1.1. A client may show a
//! certificate when `client_ca` is set; one of another authority fails the handshake. A client
//! without one is accepted: sources require it by themselves (`--verify mtls`). Then no session is
//! resumed, so that a certificate is looked at in every handshake.
//!
//! Reload: [`TlsSetup::read`] reads the files anew, [`ServerTls::set`] uses them for new
//! connections, and for the proofs of those that are there. The handshake is bounded by the time
//! for a head, and a connection in it counts as any other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;

use super::client_check::ClientCheck;
use super::own_certificate::{CertificateState, OwnCertificate};
use crate::certificates::{read_certificates, read_key};
use crate::model::WallMs;

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

/// What the files hold.
#[derive(Debug)]
pub struct TlsSetup {
    pub(super) config: Arc<ServerConfig>,
    /// `None` when its dates cannot be read.
    own: Option<OwnCertificate>,
    /// Whose client certificates are accepted, if anybody's.
    pub(super) clients: Option<Arc<ClientCheck>>,
    /// What is odd about them and no error.
    notes: Vec<String>,
}

impl TlsSetup {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, why, and what to do.
    pub fn read(files: &TlsFiles) -> Result<Arc<Self>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;

        let clients = files.client_ca.as_deref().map(|file| client_check(file, &provider));
        let clients = clients.transpose()?.map(Arc::new);
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        };

        let cannot = |key: &str, file: &Path, why: String| {
            format!("tls.{key}: cannot read {}: {why}", file.display())
        };
        let chain =
            read_certificates(&files.cert).map_err(|why| cannot("cert", &files.cert, why))?;
        let own = chain.first().and_then(|first| OwnCertificate::new(&files.cert, first));
        let key = read_key(&files.key).map_err(|why| cannot("key", &files.key, why))?;
        provider.key_provider.load_private_key(key.clone_key()).map_err(|_| {
            let file = files.key.display();
            format!(
                "tls.key: the private key in {file} is of a kind that cannot be used: it must be \
                 RSA of 2048 to 4096 bits, ECDSA with P-256 or P-384, or Ed25519"
            )
        })?;

        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("tls.cert: it does not fit tls.key: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if clients.is_some() {
            // A session that goes on shows no certificate, which may have expired meanwhile.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }

        let notes = clients.as_deref().zip(files.client_ca.as_deref()).map(odd_authorities);
        Ok(Arc::new(Self {
            config: Arc::new(config),
            own,
            clients,
            notes: notes.into_iter().flatten().collect(),
        }))
    }

    /// What the operator should know of these files, at this time: a sentence each, after the key.
    #[must_use]
    pub fn warnings(&self, wall_ms: WallMs) -> Vec<String> {
        let own = self.own.as_ref().and_then(|own| own.warning(wall_ms));
        own.into_iter().chain(self.notes.iter().cloned()).collect()
    }

    /// Whether clients can prove themselves with certificates.
    #[must_use]
    pub fn accepts_client_certificates(&self) -> bool {
        self.clients.is_some()
    }
}

fn client_check(file: &Path, provider: &Arc<CryptoProvider>) -> Result<ClientCheck, String> {
    let listed = read_certificates(file)
        .map_err(|why| format!("tls.client_ca: cannot read {}: {why}", file.display()))?;
    ClientCheck::new(listed, provider)
        .map_err(|why| format!("tls.client_ca: {} cannot be used: {why}", file.display()))
}

/// Those in the file that are no authorities': a sentence each.
fn odd_authorities((clients, file): (&ClientCheck, &Path)) -> Vec<String> {
    let sentence = |subject: String| {
        format!(
            "tls.client_ca: the certificate '{subject}' in {} is no authority's (CA:TRUE with the \
             right to sign certificates): it vouches for nobody but itself",
            file.display()
        )
    };
    clients.no_authorities().into_iter().map(sentence).collect()
}

/// The TLS configuration in force.
#[derive(Debug)]
pub struct ServerTls {
    setup: RwLock<Arc<TlsSetup>>,
    /// What was last reported of the certificate's dates.
    reported: Mutex<CertificateState>,
}

impl ServerTls {
    #[must_use]
    pub fn new(setup: Arc<TlsSetup>) -> Self {
        Self { setup: RwLock::new(setup), reported: Mutex::default() }
    }

    /// Uses it from now on. Its warnings at this time were reported.
    pub fn set(&self, setup: Arc<TlsSetup>, wall_ms: WallMs) {
        let state = setup.own.as_ref().map(|own| own.state(wall_ms));
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = state.unwrap_or_default();
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
    }

    /// What is in force.
    #[must_use]
    pub fn current(&self) -> Arc<TlsSetup> {
        self.setup.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The certificate that is shown; `None` when its dates cannot be read.
    #[must_use]
    pub fn own_certificate(&self) -> Option<OwnCertificate> {
        self.current().own.clone()
    }

    /// What has become of the certificate's dates since that was asked last: once each that it
    /// should be renewed, and that it has expired.
    #[must_use]
    pub fn news(&self, wall_ms: WallMs) -> Option<String> {
        let own = self.own_certificate()?;
        let state = own.state(wall_ms);
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *reported, state) == state {
            return None;
        }
        own.warning(wall_ms)
    }
}

#[cfg(test)]
mod tests;
