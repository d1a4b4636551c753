//! The part of the configuration that can change while the daemon runs: it is read whole before any
//! of it is put in force.

use std::sync::Arc;

use crate::config::Config;
use crate::ingest::allow::ReadLists;
use crate::ingest::{AllowLists, Ingest, ServerTls, TlsFiles, TlsSetup, TrustedProxies};
use crate::model::{Source, WallMs};

/// The part of a configuration that can be replaced, read and not in force yet.
pub struct FreshConfig {
    lists: ReadLists,
    trusted: TrustedProxies,
    tls: Option<Arc<TlsSetup>>,
}

impl FreshConfig {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// The first thing that is wrong: where, and how to fix it.
    pub fn read(config: &Config) -> Result<Self, String> {
        let lists = AllowLists::read(config.allow_lists.dir.as_deref())?;
        let (nets, unix) = config.trusted_proxies()?;
        let tls = match (&config.tls.cert, &config.tls.key) {
            (Some(cert), Some(key)) => {
                let client_ca = config.tls.client_ca.clone();
                Some(TlsSetup::read(&TlsFiles { cert: cert.clone(), key: key.clone(), client_ca })?)
            }
            _ => None,
        };
        Ok(Self { lists, trusted: TrustedProxies { nets, unix }, tls })
    }

    /// What is odd about it and no error: a sentence each.
    pub fn warnings(&self, wall_ms: WallMs) -> Vec<String> {
        self.tls.as_ref().map(|tls| tls.warnings(wall_ms)).unwrap_or_default()
    }

    /// Whether clients can prove themselves with certificates.
    pub fn accepts_client_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.accepts_client_certificates())
    }

    /// A list that the source names and that is not among these.
    pub fn missing_list<'a>(&self, source: &'a Source) -> Option<&'a str> {
        self.lists.missing(source)
    }

    /// TLS for the ingress, when the daemon starts.
    pub fn tls(&self) -> Option<ServerTls> {
        self.tls.clone().map(ServerTls::new)
    }

    /// Puts it in force, which cannot fail.
    pub fn set(self, ingest: &Ingest, wall_ms: WallMs) {
        for warning in self.warnings(wall_ms) {
            tracing::warn!("{warning}");
        }
        ingest.allow_lists().set(self.lists);
        ingest.trust(self.trusted);
        ingest.keys().look_up_again();
        if let (Some(tls), Some(setup)) = (ingest.tls(), self.tls) {
            tls.set(setup, wall_ms);
        }
    }
}
