//! Events come in: HTTP/1.1 and HTTP/2 (prior knowledge, or by ALPN over TLS) on TCP and Unix sockets.
//!
//! `POST /in/{source}` is looked up, its sender's address and its proof are checked, its body is read, and what
//! it says of itself (type, dedupe key) is found. Then the scheduler remembers it, and only after that the
//! sender is answered. A request that is refused leaves no event.
//!
//! Limits (see `model::limits`; [`IngestLimits`] makes them smaller for tests): connections over all listeners;
//! the time a connection may stay without a request in service, which bounds slow heads, idle connections and
//! readers that do not read; the time of a whole body; bytes of bodies and heads in memory over all requests;
//! header fields, bytes of a head, bytes of a request target; streams of one HTTP/2 connection.
//!
//! Invariants: nothing is answered with success before it is durable; a refusal never says which part of a
//! proof was wrong; only trusted proxies are believed when they name another client; what proves a sender
//! (`authorization`, cookies, tokens) is not remembered.
//!
//! Things: [`Listener`] (a way in), [`Ingest`] (what all of them share), `prelude` (what comes before HTTP: PROXY header,
//! TLS), `connection` (one connection and its pulse), `guard` (what no head may hold), `bare` (hyper's own refusals), `request` (one request from its
//! line to its answer), `route`, `headers`, `facts` and `pointer` (pure), `proxy` (who the client is behind a proxy),
//! `allow` and `rate` (who may come in, and how often), `tls`, `keys` (key material that stands elsewhere), `body`
//! (reading under a budget), `problem` and `reply` (answers), [`Refusals`] (what was refused and why, for the operator),
//! `verify` (the proofs), `confirm` (a subscription that asks to be confirmed).
//!
//! Operations: [`Ingest::serve`] accepts on one listener until it is told to stop, then finishes what is in
//! flight.
//!
//! Fatal: nothing. Refused: with a problem document (RFC 9457), also what hyper refuses itself (`bare`). Retried: only `accept()`, after a pause, when the process is short of
//! descriptors.

pub mod allow;
mod bare;
mod body;
mod confirm;
mod connection;
pub mod facts;
mod guard;
mod headers;
pub mod keys;
pub mod listen;
mod pointer;
mod prelude;
mod problem;
pub mod proxy;
mod rate;
pub mod refusals;
mod reply;
mod request;
mod route;
mod server;
pub mod tls;
pub mod verify;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

pub use allow::AllowLists;
pub use keys::{Fetch, Keyring, Origins};
pub use listen::{ListenError, Listener};
pub use proxy::Trusted;
pub use refusals::{Refusals, SourceRefusals};
pub use tls::{Tls, TlsFiles};

use crate::model::{Now, Source, limits};
use crate::scheduler::Handle;

/// Reads both clocks; the daemon hands it in.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// How much ingest takes upon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    /// Connections at a time, over all listeners.
    pub connections: usize,
    /// A connection without a request in service is cut after this: slow heads, idleness, answers not read.
    pub head_timeout_ms: u64,
    /// For a whole body.
    pub body_timeout_ms: u64,
    /// Heads and bodies in memory at a time, over all requests.
    pub ingest_bytes: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            head_timeout_ms: limits::HEAD_TIMEOUT_MS,
            body_timeout_ms: limits::BODY_TIMEOUT_MS,
            ingest_bytes: limits::INGEST_BYTES,
        }
    }
}

/// What all listeners share.
pub struct Ingest {
    handle: Handle,
    clock: Clock,
    limits: IngestLimits,
    refusals: Arc<Refusals>,
    budget: Arc<body::Budget>,
    connections: Arc<AtomicUsize>,
    http: connection::Http,
    keys: Keyring,
    confirmations: Arc<Semaphore>,
    allow_lists: AllowLists,
    rates: rate::Rates,
    trusted: RwLock<Arc<Trusted>>,
    /// For listeners that speak TLS.
    tls: Option<Tls>,
}

impl Ingest {
    #[must_use]
    pub fn new(handle: Handle, clock: Clock, own: IngestLimits) -> Self {
        let budget = Arc::new(body::Budget::new(own.ingest_bytes));
        let http = connection::http(&own);
        let refusals = Arc::new(Refusals::default());
        Self {
            handle,
            clock,
            limits: own,
            refusals,
            budget,
            connections: Arc::new(AtomicUsize::new(0)),
            http,
            keys: Keyring::default(),
            confirmations: Arc::new(Semaphore::new(limits::CONFIRMATIONS)),
            allow_lists: AllowLists::default(),
            rates: rate::Rates::default(),
            trusted: RwLock::default(),
            tls: None,
        }
    }

    /// With a certificate for listeners that speak TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// With key material that stands elsewhere than in the log.
    #[must_use]
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// Key material that stands elsewhere than in the log.
    #[must_use]
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The named allow-lists.
    #[must_use]
    pub fn allow_lists(&self) -> &AllowLists {
        &self.allow_lists
    }

    /// What TLS listeners speak with.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Believes these proxies, on connections that come from now on.
    pub fn trust(&self, trusted: Trusted) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trusted);
    }

    fn trusted(&self) -> Arc<Trusted> {
        self.trusted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what was kept for sources that are gone.
    pub fn forget_sources(&self, those_there_are: &[Arc<Source>]) {
        let ids: HashSet<_> = those_there_are.iter().map(|source| source.id).collect();
        let names: HashSet<_> = those_there_are.iter().map(|source| source.name.as_str()).collect();
        self.rates.retain(|id| ids.contains(&id));
        self.refusals.retain(|name| name.is_empty() || names.contains(name));
        self.keys.retain(those_there_are);
    }

    /// What was refused, for the operator. Shared with the admin room.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        self.refusals.clone()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}
