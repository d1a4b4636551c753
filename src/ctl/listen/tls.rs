//! TLS to the application that events are forwarded to, by the system's authorities.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Shakes hands with one application.
#[derive(Clone)]
pub(super) struct ForwardTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl ForwardTls {
    /// For this host, as the URL has it.
    ///
    /// # Errors
    /// In words, when no certificate can have that name, or the system has no authorities.
    pub(super) fn of(host: &str) -> Result<Self, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| "its host cannot be the name in a certificate".to_owned())?;

        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let what = "this machine has no certificates of authorities (Debian's package \
                        ca-certificates has them, and SSL_CERT_FILE names others)";
            return Err(what.to_owned());
        }

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let shaken = self.connector.connect(self.name.clone(), stream).await;
        shaken.map_err(|error| {
            format!("no TLS: {error}; SSL_CERT_FILE can name the certificate of your own authority")
        })
    }
}
