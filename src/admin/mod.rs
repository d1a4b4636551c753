//! The local door: HTTP/1.1 and JSON over a Unix socket, for the operator, the ctl and whoever has `curl`.
//!
//! Everything the operator can ask or order stands in one table, [`route::ROUTES`], together with what a caller
//! must be to do it. Callers are known by SO_PEERCRED alone (see [`peer`]).
//!
//! Limits: `limits::ADMIN_CONNECTIONS` at a time, one more is told 503 and closed; `limits::ADMIN_BODY` bytes of
//! a body (two such at a time; 1 MiB where only settings are due); `limits::ADMIN_TIMEOUT_MS` for a head, for a body, and for a client to take what it asked for.
//!
//! Invariants:
//! * This room sees the scheduler's handle and the read-only [`LogView`], nothing else. What it needs of other
//!   rooms (checking a source's settings, trying an endpoint) comes as functions in [`Seams`].
//! * Lists walk the log and stream: no list is ever in memory, no index is kept. A walk stops within one record
//!   of its client going away.
//! * A secret leaves once, in the answer to the request that generated it.
//! * Every change, and every refused attempt at one, leaves a line in the process log under the target `audit`.
//!
//! Operations: [`bind`] makes the socket, [`Admin::serve`] answers on it until it is told to stop.
//! Refused: what is malformed (400), not there (404), not allowed (403), impossible (409), or too much (413, 503).
//! Nothing here is fatal to the daemon, but a socket that cannot be made is for its start.

mod deliveries;
mod dlq;
mod endpoints;
mod events;
mod explain;
mod fare;
mod fields;
mod http;
mod imports;
mod io;
mod leases;
mod logs;
pub mod logview;
mod metrics;
mod pacing;
mod peer;
mod replays;
mod route;
mod select;
mod server;
mod socket;
mod sources;
mod status;
mod tail;
mod trial;
mod walk;
mod ways;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::model::{Endpoint, Event, Header, LeaseAsk, LeaseFault, Leased, Now, Settlement, Source, WallMs};
use crate::scheduler::Handle;

pub use logview::LogView;
pub use peer::{Caller, Permission};
pub use route::{ROUTES, Route};
pub use socket::{AdminError, bind};
pub use trial::Trial;

/// What the daemon is, for `status`.
#[derive(Clone, Debug, Default)]
pub struct AdminInfo {
    pub version: String,
    pub started: Now,
    pub data: PathBuf,
    /// Where the ingress listens: `http://127.0.0.1:8420`, `127.0.0.1:8420` or `unix:/path`.
    pub listen: Vec<String>,
}

/// How often requests to a source were refused for one reason, since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalCount {
    pub source: String,
    /// A short, stable word: `mismatch`, `stale`, `too-large`.
    pub kind: String,
    pub count: u64,
}

/// What one source refused since the start, for the operator alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How often, by a short stable word.
    pub counts: BTreeMap<&'static str, u64>,
    /// Of the last one, precisely.
    pub last_reason: String,
    pub last_at: WallMs,
}

/// A request that somebody kept, for `source check`.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    pub method: String,
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<Header>,
    pub body: Vec<u8>,
}

/// The answer of a function that takes its time.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type Clock = Arc<dyn Fn() -> Now + Send + Sync>;
type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
type Refusals = Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync>;
type CheckRequest = Arc<dyn Fn(&Source, CapturedRequest, i64) -> serde_json::Value + Send + Sync>;
type RefusedBy = Arc<dyn Fn(&str) -> Option<Refused> + Send + Sync>;
type CheckSource = Arc<dyn Fn(&Source) -> Result<(), String> + Send + Sync>;
type CheckEndpoint = Arc<dyn Fn(&Endpoint) -> Result<(), String> + Send + Sync>;
type TestEndpoint = Arc<dyn Fn(Trial) -> Later<Result<serde_json::Value, String>> + Send + Sync>;

type WhyNot = Arc<dyn Fn(&Endpoint, &Event) -> Option<String> + Send + Sync>;

type LeaseOut = Arc<dyn Fn(Arc<Endpoint>, LeaseAsk) -> Later<Result<Vec<Leased>, LeaseFault>> + Send + Sync>;
type Settle = Arc<dyn Fn(String, Settlement) -> Later<Result<(), LeaseFault>> + Send + Sync>;

/// What other rooms lend this one; the daemon wires it.
#[derive(Clone)]
pub struct Seams {
    /// What would happen to this request, at this unix time (`source check`).
    pub check: CheckRequest,
    /// What a source refused; `None` when it never did.
    pub refused: RefusedBy,
    /// What is wrong with a source's settings, beyond what this room knows.
    pub check_source: CheckSource,
    /// What is wrong with an endpoint's settings, beyond what this room knows.
    pub check_endpoint: CheckEndpoint,
    /// Why an endpoint does not want an event; `None` when it does.
    pub why_not: WhyNot,
    /// Says what would be sent to an endpoint, or sends it once and says what came of it; `None` answers 501.
    pub test_endpoint: Option<TestEndpoint>,
    /// Lends deliveries of a pull endpoint.
    pub lease: LeaseOut,
    /// What a consumer says of a lease; `Ok` when it is remembered.
    pub settle: Settle,
}

impl Default for Seams {
    /// Nobody checks further, and nothing can be tried.
    fn default() -> Self {
        Self {
            check: Arc::new(|_, _, _| serde_json::json!({"accepted": false, "reason": "checking is not wired"})),
            refused: Arc::new(|_| None),
            check_source: Arc::new(|_| Ok(())),
            check_endpoint: Arc::new(|_| Ok(())),
            why_not: Arc::new(|_, _| None),
            test_endpoint: None,
            lease: Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
            settle: Arc::new(|_, _| Box::pin(async { Err(LeaseFault::Gone) })),
        }
    }
}

/// The local door.
pub struct Admin {
    pub handle: Handle,
    pub log: Arc<dyn LogView>,
    pub clock: Clock,
    /// Fills a buffer for secrets, tokens and names.
    pub random: Random,
    pub refusals: Refusals,
    pub info: AdminInfo,
    pub seams: Seams,
}

impl Admin {
    fn wall_ms(&self) -> u64 {
        (self.clock)().wall_ms
    }

    fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// A Standard Webhooks secret of 32 random bytes.
    fn new_secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.random_bytes::<32>()))
    }
}

/// The request of `source check`, as it comes over the wire.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckBody {
    method: String,
    url: String,
    #[serde(default)]
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    body_base64: String,
    /// Unix seconds; now when it is not given.
    at: Option<i64>,
}
