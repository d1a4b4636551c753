//! What all listeners and their connections share.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::allow::AllowLists;
use super::budget::{Claim, MemoryBudget};
use super::connections::Connections;
use super::forwarded::TrustedProxies;
use super::holder_permits::HolderPermits;
use super::http::{self, HttpServer};
use super::ingest_limits::IngestLimits;
use super::keys::Keyring;
use super::proof_memory::ProofMemory;
use super::rate::Rates;
use super::refusal_counters::RefusalCounters;
use super::refused_requests::RefusedRequests;
use super::tls::ServerTls;
use crate::model::Clock;
use crate::model::share::Share;
use crate::model::{Source, limits};
use crate::scheduler::Handle;

/// Why sources that ask for client certificates take nothing in.
const NO_TLS: &str = "mtls needs a listener that speaks TLS: put a tls:// address into `listen`, \
                      and client_ca into [tls]";
const NO_CLIENT_CA: &str = "mtls needs the authorities of the clients' certificates: put \
                            client_ca into [tls], and have hookboxd read it (SIGHUP)";

/// What all listeners and their connections share.
pub struct Ingest {
    pub(super) handle: Handle,
    pub(super) clock: Clock,
    pub(super) limits: IngestLimits,
    pub(super) refusals: Arc<RefusalCounters>,
    pub(super) refused: Arc<RefusedRequests>,
    pub(super) budget: Arc<MemoryBudget>,
    pub(super) connections: Arc<Connections>,
    pub(super) accept_permits: HolderPermits,
    /// The same for sources: what comes over a Unix socket or a proxy has no address of its own,
    /// and what many addresses send is one source's.
    pub(super) source_permits: HolderPermits,
    pub(super) http: HttpServer,
    pub(super) keys: Keyring,
    pub(super) confirmations: Arc<Semaphore>,
    pub(super) proof_memory: ProofMemory,
    pub(super) allow_lists: AllowLists,
    pub(super) rates: Rates,
    trusted: RwLock<Arc<TrustedProxies>>,
    /// For listeners that speak TLS.
    pub(super) tls: Option<ServerTls>,
}

impl Ingest {
    #[must_use]
    pub fn new(handle: Handle, clock: Clock, limits: IngestLimits) -> Self {
        let accept_wait = Duration::from_millis(limits::ACCEPT_WAIT_MS);
        Self {
            handle,
            clock,
            refusals: Arc::default(),
            refused: Arc::default(),
            budget: Arc::new(MemoryBudget::new(limits.ingest_bytes)),
            connections: Arc::new(Connections::new(limits.connections)),
            accept_permits: HolderPermits::new(limits.accepts_each, accept_wait),
            source_permits: HolderPermits::new(limits.accepts_of_source, accept_wait),

            http: http::server(&limits),
            keys: Keyring::default(),
            confirmations: Arc::new(Semaphore::new(limits::CONFIRMATIONS)),
            proof_memory: ProofMemory::default(),
            allow_lists: AllowLists::default(),
            rates: Rates::default(),
            trusted: RwLock::default(),
            tls: None,
            limits,
        }
    }

    /// With a certificate for listeners that speak TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls, ..self }
    }

    /// With a keyring for key material that is kept elsewhere than in the log.
    #[must_use]
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// Key material that is kept elsewhere than in the log.
    #[must_use]
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The named allow-lists.
    #[must_use]
    pub fn allow_lists(&self) -> &AllowLists {
        &self.allow_lists
    }

    /// The certificate of TLS listeners; `None` when none speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Trusts these proxies, on connections that come from now on.
    pub fn trust(&self, trusted: TrustedProxies) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trusted);
    }

    pub(super) fn trusted(&self) -> Arc<TrustedProxies> {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All sources that are configured now.
    #[must_use]
    pub fn sources(&self) -> Vec<Arc<Source>> {
        self.handle.directory().sources_by_name.values().cloned().collect()
    }

    /// Why no client can prove itself to a source: it asks for certificates, and none are accepted.
    #[must_use]
    pub fn without_client_certificates(&self, source: &Source) -> Option<String> {
        if source.verify != "mtls" {
            return None;
        }
        let Some(tls) = &self.tls else { return Some(NO_TLS.to_owned()) };
        let accepts_some = tls.current().accepts_client_certificates();
        (!accepts_some).then(|| NO_CLIENT_CA.to_owned())
    }

    /// What is missing that a source's settings name, so that it refuses every request. Reads files
    /// where that was not done lately.
    #[must_use]
    pub fn why_unusable(&self, source: &Arc<Source>) -> Option<String> {
        let lists = self.allow_lists.check(source);
        let keys = lists.and_then(|()| self.keys.resolve(source, (self.clock)()).map(|_| ()));
        keys.err().or_else(|| self.without_client_certificates(source))
    }

    /// Logs which sources refuse everything: at the start, and when the configuration was read
    /// again.
    pub fn report_unusable(&self) {
        let now = (self.clock)();
        for source in self.sources() {
            if let Err(why) = self.allow_lists.check(&source) {
                let source = &source.name;
                tracing::error!(source, "every request of this source is refused: {why}");
            }
            // The keyring logs what it misses by itself, where a request did not ask for it before.
            drop(self.keys.resolve(&source, now));
        }
    }

    /// Keeps what is held for these sources, and forgets all others.
    pub fn forget_sources(&self, sources: &[Arc<Source>]) {
        let ids: HashSet<_> = sources.iter().map(|source| source.id).collect();
        let names: HashSet<_> = sources.iter().map(|source| source.name.as_str()).collect();

        self.rates.retain(|id| ids.contains(&id));
        self.refusals.retain(|name| name.is_empty() || names.contains(name));
        self.refused.retain(|id| ids.contains(&id));
        self.keys.retain(sources);
    }

    /// What was refused, for the operator. Shared with the admin API.
    #[must_use]
    pub fn refusals(&self) -> Arc<RefusalCounters> {
        self.refusals.clone()
    }

    /// The requests that are kept of what was refused. Shared with the admin API.
    #[must_use]
    pub fn refused_requests(&self) -> Arc<RefusedRequests> {
        self.refused.clone()
    }

    /// Records whose share of memory was full, if one was.
    pub(super) fn note_full(&self, share: Share, claim: &mut Claim) {
        if let Some(of) = claim.take_full() {
            self.handle.shares().note(share, of);
        }
    }

    /// Bytes that requests hold now.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.budget.held()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.count()
    }
}
