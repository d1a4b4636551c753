//! What of the configuration can change while the daemon runs, read whole before any of it is taken up.

use std::sync::Arc;

use super::args::Args;
use super::logging::Levels;
use crate::config::Config;
use crate::ingest::allow::ReadLists;
use crate::ingest::{AllowLists, Ingest, Tls, TlsFiles, Trusted};
use crate::outbound::Outbound;

/// Read, and not in force yet.
pub struct Fresh {
    lists: ReadLists,
    trusted: Trusted,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Fresh {
    /// Reads what the configuration names outside itself.
    ///
    /// # Errors
    /// The first thing that is wrong: where, and the mend.
    pub fn read(config: &Config) -> Result<Self, String> {
        let lists = AllowLists::read(config.allow_lists.dir.as_deref())?;
        let (nets, unix) = config.trusted_proxies()?;
        let tls = match (&config.tls.cert, &config.tls.key) {
            (Some(cert), Some(key)) => {
                let client_ca = config.tls.client_ca.clone();
                Some(Tls::read(&TlsFiles { cert: cert.clone(), key: key.clone(), client_ca })?)
            }
            _ => None,
        };
        Ok(Self { lists, trusted: Trusted { nets, unix }, tls })
    }

    /// TLS for the ingress, at the start.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone().map(Tls::new)
    }

    /// Takes it up. Nothing can go wrong any more.
    pub fn set(self, ingest: &Ingest) {
        ingest.allow_lists().set(self.lists);
        ingest.trust(self.trusted);
        ingest.keys().look_up_again();
        if let (Some(tls), Some(config)) = (ingest.tls(), self.tls) {
            tls.set(config);
        }
    }
}

/// Takes up a changed file, whole or not at all.
///
/// # Errors
/// What keeps it from being taken up.
pub fn reload(
    args: &Args,
    old: &Config,
    levels: &Levels,
    ingest: &Ingest,
    outbound: &Outbound,
) -> Result<Config, String> {
    let new = args.configuration().map_err(|error| error.to_string())?;
    super::start::check(&new).map_err(|exit| exit.what)?;
    let mut expected = old.clone();
    expected.logging.level = new.logging.level;
    expected.ingress = new.ingress.clone();
    expected.allow_lists = new.allow_lists.clone();
    expected.exec = new.exec.clone();
    expected.outbound.proxy.clone_from(&new.outbound.proxy);
    expected.outbound.no_proxy.clone_from(&new.outbound.no_proxy);
    // TLS cannot come or go, for listeners stay as they are; its files can be others.
    if old.tls.cert.is_some() == new.tls.cert.is_some() {
        expected.tls = new.tls.clone();
    }
    if new != expected {
        return Err(
            "only logging.level, [ingress], [allow_lists], [exec], the proxy of [outbound] and the files of [tls] can \
                    change while hookboxd runs: restart it for the rest"
                .to_owned(),
        );
    }
    let fresh = Fresh::read(&new)?;
    // Secrets and certificates that stand elsewhere are looked up again, too.
    outbound.set_ways(&super::start::ways(&new)).map_err(|error| error.to_string())?;
    fresh.set(ingest);
    levels.set(new.logging.level);
    Ok(new)
}
