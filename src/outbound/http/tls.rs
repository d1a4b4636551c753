//! TLS: the system's roots and an extra CA file, or an endpoint's own certificates, and what goes
//! wrong in words.
//!
//! The system's roots (a few megabytes while they are read) are loaded at the first https attempt,
//! so that a daemon without https endpoints never holds them. When loading fails the next attempt
//! tries again: a certificate store can be installed while the daemon runs. rustls refuses
//! everything older than TLS 1.2.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::{is_authority, read_certificates, read_key};
use crate::model::ConnectSettings;
use crate::outbound::failure::AttemptFailure;
use crate::outbound::settings::OutboundError;
use crate::outbound::tls_words::{explain, explain_tls};

use super::certificate_check::{CertificateCheck, Trusted};
use super::url::Destination;

/// The names of the protocols in the handshake (RFC 9113 section 3.2, RFC 7301 section 6).
pub const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The client side of TLS.
pub struct TlsClient {
    extra_ca: Option<PathBuf>,
    extra: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl TlsClient {
    /// Reads the extra CA file; the system's roots wait.
    pub fn new(extra_ca: Option<PathBuf>) -> Result<Self, OutboundError> {
        let extra = extra_ca.as_ref().map(|path| read_ca(path)).transpose()?.unwrap_or_default();
        Ok(Self { extra_ca, extra, config: OnceCell::new() })
    }

    /// The same with what the files hold now.
    pub fn read_anew(&self) -> Result<Self, OutboundError> {
        Self::new(self.extra_ca.clone())
    }

    /// Shakes hands as the client of `destination`, with the endpoint's own certificates if it has
    /// some.
    pub async fn handshake(
        &self,
        tcp: TcpStream,
        destination: &Destination,
        own: Option<&EndpointTls>,
        offer_http2: bool,
    ) -> Result<TlsStream<TcpStream>, AttemptFailure> {
        let name = match destination {
            Destination::Name { name, .. } => ServerName::try_from(name.clone()).map_err(|_| {
                AttemptFailure::Tls(format!("'{name}' cannot be the name in a certificate"))
            })?,
            Destination::Literal { ip, .. } => ServerName::IpAddress((*ip).into()),
            Destination::Socket(_) => {
                return Err(AttemptFailure::Tls("a Unix socket needs no TLS".to_owned()));
            }
        };

        let config = match own {
            None => self.config.get_or_try_init(|| self.load(None)).await?.clone(),
            Some(own) => match own.config.get_or_try_init(|| self.load(Some(own))).await {
                Ok(config) => config.clone(),
                Err(failure) => own.kept.get().cloned().ok_or(failure)?,
            },
        };
        let connector = TlsConnector::from(config);
        let connected = if offer_http2 {
            let protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
            connector.with_alpn(protocols).connect(name, tcp).await
        } else {
            connector.connect(name, tcp).await
        };
        connected.map_err(|e| AttemptFailure::Tls(explain(&e)))
    }

    /// The roots and the client's certificate: the endpoint's own, or else the system's roots and
    /// no certificate.
    async fn load(&self, own: Option<&EndpointTls>) -> Result<Arc<ClientConfig>, AttemptFailure> {
        let trusted = match own.filter(|own| own.names_receiver()) {
            Some(own) => own.trusted().map_err(AttemptFailure::Tls)?,
            None => self.system_roots().await?,
        };
        let identity =
            own.map(EndpointTls::identity).transpose().map_err(AttemptFailure::Tls)?.flatten();
        build(trusted, identity).map_err(AttemptFailure::Tls)
    }

    /// Those of the system, and what is in the extra CA file.
    async fn system_roots(&self) -> Result<Trusted, AttemptFailure> {
        let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
            .await
            .map_err(|e| {
                AttemptFailure::Tls(format!(
                    "the system's root certificates could not be read: {e}"
                ))
            })?;

        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(system.certs);
        let (mut of_themselves, mut refused) = (Vec::new(), None);
        for certificate in &self.extra {
            match is_authority(certificate) {
                Ok(true) => refused = roots.add(certificate.clone()).err().or(refused),
                Ok(false) => of_themselves.push(certificate.clone()),
                Err(_) => refused = Some(CertificateError::BadEncoding.into()),
            }
        }
        if let Some(error) = refused {
            tracing::warn!(
                %error,
                "a certificate of the extra CA file cannot be a root and is left out"
            );
        }

        if roots.is_empty() && of_themselves.is_empty() {
            let why = system.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
            return Err(AttemptFailure::Tls(format!(
                "this system has no root certificates{why}: install ca-certificates, or name an \
                 extra CA file"
            )));
        }
        let roots = (!roots.is_empty()).then_some(roots);
        Ok(Trusted { roots, of_themselves, ..Trusted::default() })
    }
}

/// A certificate with its chain, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn build(trusted: Trusted, identity: Option<Identity>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = CertificateCheck::new(trusted, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(check));

    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| match e {
            TlsError::InconsistentKeys(_) => "--client-cert and --client-key do not belong \
                                              together: the first certificate of the one has \
                                              another key than the other"
                .to_owned(),
            e => format!("--client-cert and --client-key cannot be used: {}", explain_tls(&e)),
        })?,
    };
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of one endpoint. The files are read at the first handshake, and anew with every
/// configuration.
pub struct EndpointTls {
    client: Option<(PathBuf, PathBuf)>,
    ca: Option<PathBuf>,
    pins: Vec<String>,
    config: OnceCell<Arc<ClientConfig>>,
    /// What the files held when they could be used last.
    kept: OnceLock<Arc<ClientConfig>>,
}

impl EndpointTls {
    /// The certificates that an endpoint's settings name, if any.
    ///
    /// # Errors
    /// When only one half of a pair is there.
    pub fn new(via: &ConnectSettings) -> Result<Option<Self>, String> {
        let client = match (&via.client_cert, &via.client_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            _ => return Err("--client-cert and --client-key belong together: give both".to_owned()),
        };
        let (ca, pins) = (via.ca.clone(), via.pins.clone());
        let is_there = client.is_some() || ca.is_some() || !pins.is_empty();
        Ok(is_there.then(|| Self {
            client,
            ca,
            pins,
            config: OnceCell::new(),
            kept: OnceLock::new(),
        }))
    }

    /// Reads the files, to see whether they can be used.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn check(&self) -> Result<(), String> {
        let nobody = || Trusted { pins: vec![String::new()], ..Trusted::default() };
        let trusted = if self.names_receiver() { self.trusted()? } else { nobody() };
        build(trusted, self.identity()?).map(|_| ())
    }

    /// What was read of the files, if that is something.
    pub fn loaded(&self) -> Option<Arc<ClientConfig>> {
        self.config.get().or_else(|| self.kept.get()).cloned()
    }

    /// Goes on with this for as long as the files cannot be used.
    pub fn keep(&self, loaded: Arc<ClientConfig>) {
        self.kept.get_or_init(|| loaded);
    }

    /// Whether the settings say who the receiver is.
    fn names_receiver(&self) -> bool {
        self.ca.is_some() || !self.pins.is_empty()
    }

    fn trusted(&self) -> Result<Trusted, String> {
        let mut trusted = Trusted { pins: self.pins.clone(), ..Trusted::default() };
        let Some(path) = &self.ca else { return Ok(trusted) };

        let mut roots = RootCertStore::empty();
        let read = read_certificates(path);
        for certificate in read.map_err(|why| format!("--ca {}: {why}", path.display()))? {
            let is_authority = is_authority(&certificate).map_err(|why| {
                format!("--ca {}: a certificate in it cannot be read: {why}", path.display())
            })?;
            if is_authority {
                roots.add(certificate.clone()).map_err(|e| {
                    format!("--ca {}: a certificate in it cannot be a root: {e}", path.display())
                })?;
            }
            trusted.exactly.push(certificate);
        }
        trusted.roots = (!roots.is_empty()).then_some(roots);
        Ok(trusted)
    }

    fn identity(&self) -> Result<Option<Identity>, String> {
        let Some((cert, key)) = &self.client else { return Ok(None) };
        let chain = read_certificates(cert)
            .map_err(|why| format!("--client-cert {}: {why}", cert.display()))?;
        let key = read_key(key).map_err(|why| format!("--client-key {}: {why}", key.display()))?;
        Ok(Some((chain, key)))
    }
}

fn read_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, OutboundError> {
    let refused = |why: String| OutboundError::ExtraCa { path: path.to_owned(), why };
    let certificates = read_certificates(path).map_err(refused)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        is_authority(certificate)
            .map_err(|why| refused(format!("a certificate in it cannot be read: {why}")))?;
        store
            .add(certificate.clone())
            .map_err(|e| refused(format!("a certificate in it cannot be a root: {e}")))?;
    }
    Ok(certificates)
}
