//! The admin API: HTTP/1.1 with JSON over a Unix socket, for the operator, the ctl and whoever has
//! `curl`.
//!
//! Everything the operator can ask or order stands in one table, [`route::ROUTES`], together with
//! what a caller must be to do it. Callers are known by SO_PEERCRED alone (see [`peer`]).
//!
//! Limits: `limits::ADMIN_CONNECTIONS` at a time, of which no user takes all (see
//! [`fair_permits`]), one more is answered 503 and closed; `limits::ADMIN_BODY` bytes of a body
//! (two such at a time; 1 MiB where only settings are due); `limits::ADMIN_TIMEOUT_MS` for a head,
//! for a body, and for a client to take what it asked for.
//!
//! Invariants:
//! * This module sees the scheduler's handle and the read-only [`LogSource`], nothing else. What it
//!   needs of other modules (checking a source's settings, testing an endpoint) comes as functions
//!   in [`Adapters`].
//! * Requests and answers are types of [`crate::api`].
//! * Lists walk the log and stream: no list is ever in memory, no index is kept. A walk stops
//!   within one record of its client going away.
//! * A secret leaves once, in the answer to the request that generated it.
//! * Every change, and every refused attempt at one, leaves a line in the process log under the
//!   target `audit`.
//!
//! Operations: [`bind`] makes the socket, [`Admin::serve`] answers on it until it is stopped.
//! Refused: what is malformed (400), not there (404), not allowed (403), impossible (409), or too
//! much (413, 503). Nothing here is fatal to the daemon, but a socket that cannot be made is for
//! its start.

mod check_request;
mod deliveries;
mod delivery_commands;
mod delivery_row;
mod dlq;
mod endpoint_health;
mod endpoints;
mod events;
mod explain;
mod fair_permits;
mod filters;
mod http;
mod imports;
mod io;
mod leases;
pub mod log_source;
mod logs;
mod metrics;
#[cfg(test)]
mod openapi;
mod orphans;
mod peer;
mod replays;
mod route;
mod secrets;
mod server;
mod shares;
mod socket;
mod sources;
mod status;
mod tail;
mod test_endpoint;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::views::{CheckResponseView, CheckView, EndpointTestView};
use crate::model::{
    Endpoint, Event, Header, LeaseError, LeaseRequest, LeasedDelivery, Now, Settlement, Source,
    WallMs, limits,
};
use crate::scheduler::Handle;

use fair_permits::FairPermits;
pub use log_source::LogSource;
pub use peer::{Caller, Permission};
pub use route::{ROUTES, Route};
pub use socket::{AdminError, bind};
pub use test_endpoint::EndpointTest;

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

use crate::model::Clock;
type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
type Refusals = Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync>;
type CheckRequest = Arc<dyn Fn(&Source, CapturedRequest, i64) -> CheckView + Send + Sync>;
type RefusedBy = Arc<dyn Fn(&str) -> Option<Refused> + Send + Sync>;
type CheckSource = Arc<dyn Fn(&Source) -> Result<(), String> + Send + Sync>;
type Warnings = Arc<dyn Fn(&Source) -> Vec<String> + Send + Sync>;
type CheckRecipient = Arc<dyn Fn(&Source) -> Result<bool, String> + Send + Sync>;
type CheckEndpoint = Arc<dyn Fn(&Endpoint) -> Result<(), String> + Send + Sync>;
type TestEndpoint =
    Arc<dyn Fn(EndpointTest) -> Later<Result<EndpointTestView, String>> + Send + Sync>;

type WhyNot = Arc<dyn Fn(&Endpoint, &Event) -> Option<String> + Send + Sync>;

type LeaseOut = Arc<
    dyn Fn(Arc<Endpoint>, LeaseRequest) -> Later<Result<Vec<LeasedDelivery>, LeaseError>>
        + Send
        + Sync,
>;
type Settle = Arc<dyn Fn(String, Settlement) -> Later<Result<(), LeaseError>> + Send + Sync>;

/// Functions of other modules; the daemon wires them.
#[derive(Clone)]
pub struct Adapters {
    /// What would happen to this request, at this unix time (`source check`).
    pub check: CheckRequest,
    /// What a source refused; `None` when it never did.
    pub refused: RefusedBy,
    /// What is wrong with a source's settings, beyond what this module knows.
    pub check_source: CheckSource,
    /// Whether a source's proofs name their recipient; an error where a source cannot be without
    /// that.
    pub check_recipient: CheckRecipient,
    /// What the operator should know of a source's settings.
    pub warnings: Warnings,
    /// What is wrong with an endpoint's settings, beyond what this module knows.
    pub check_endpoint: CheckEndpoint,
    /// Why an endpoint does not want an event; `None` when it does.
    pub why_not: WhyNot,
    /// Says what would be sent to an endpoint, or sends it once and says what came of it; `None`
    /// answers 501.
    pub test_endpoint: Option<TestEndpoint>,
    /// Lends deliveries of a pull endpoint.
    pub lease: LeaseOut,
    /// What a consumer says of a lease; `Ok` when it is remembered.
    pub settle: Settle,
}

impl Default for Adapters {
    /// Nobody checks further, and nothing can be tried.
    fn default() -> Self {
        Self {
            check: Arc::new(|_, _, _| CheckView {
                accepted: false,
                reason: "checking is not wired".to_owned(),
                kind: None,
                warnings: None,
                event_type: None,
                dedupe_key: None,
                response: CheckResponseView::default(),
                elements: None,
            }),
            refused: Arc::new(|_| None),
            check_source: Arc::new(|_| Ok(())),
            check_recipient: Arc::new(|_| Ok(true)),
            warnings: Arc::new(|_| Vec::new()),
            check_endpoint: Arc::new(|_| Ok(())),
            why_not: Arc::new(|_, _| None),
            test_endpoint: None,
            lease: Arc::new(|_, _| Box::pin(async { Ok(Vec::new()) })),
            settle: Arc::new(|_, _| Box::pin(async { Err(LeaseError::Gone) })),
        }
    }
}

/// For whom something is done, and the places for walks over the log that all callers share.
#[derive(Clone, Debug)]
pub struct CallerContext {
    caller: Caller,
    lists: Arc<FairPermits>,
    walks: Arc<FairPermits>,
}

impl Default for CallerContext {
    /// The daemon's own user.
    fn default() -> Self {
        let uid = socket::own_uid();
        let places = |all| FairPermits::new(all, limits::ADMIN_WALKS_KEPT, uid);
        let caller = Caller { uid, gid: 0, pid: None, may: Permission::Own };
        Self { caller, lists: places(limits::ADMIN_LISTS), walks: places(limits::ADMIN_WALKS) }
    }
}

/// The admin API.
#[derive(Clone)]
pub struct Admin {
    pub handle: Handle,
    pub log: Arc<dyn LogSource>,
    pub clock: Clock,
    /// Fills a buffer for secrets, tokens and names.
    pub random: Random,
    pub refusals: Refusals,
    pub info: AdminInfo,
    pub adapters: Adapters,
    pub context: CallerContext,
}

impl Admin {
    /// The same, for one caller.
    fn for_caller(&self, caller: Caller) -> Arc<Self> {
        let mut admin = self.clone();
        admin.context.caller = caller;
        Arc::new(admin)
    }

    /// Whether its caller may know what is secret in settings.
    fn shows_secrets(&self) -> bool {
        self.context.caller.may(Permission::Own)
    }

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
