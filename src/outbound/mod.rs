//! Attempts go out: guard the address, sign, post, judge.
//!
//! Limits and invariants: one deadline over resolve, connect, handshake, head and body; a response is read up to
//! `limits::RESPONSE_READ` behind a head of at most `limits::RESPONSE_HEAD`, never unpacked, its first
//! `limits::RESPONSE_KEPT` bytes kept; redirects are not followed; every address goes through [`guard`] right before
//! it is dialled, unless the endpoint has `allow_private`; idle connections belong to one endpoint in one
//! configuration. Secrets never reach a report.
//!
//! Things: [`Outbound`] holds what is prepared per endpoint (URL, keys, pool); `url` reads endpoint URLs; `connect`
//! resolves, guards and dials; `via` is the way there (proxy, source address, certificates); `exec` runs commands; `tls` has the roots; `stream` and `pool` are the connections; `message` is what is
//! sent, of one event or of several; `sign` and `headers` make the request of it; `post` carries it out; `judge` says
//! what the answer means; `failure` says why there is none; `check` is asked before an endpoint is created or changed.
//!
//! Operations: [`Outbound::attempt`] makes one attempt and always reports, [`Outbound::attempt_message`] too;
//! [`Outbound::forget`] drops what belongs to endpoints that are gone; [`Outbound::fetch`] gets a URL that is no
//! endpoint; [`check_endpoint`], [`generate_secret`].
//!
//! Refused (no use in trying again): URLs and secrets that cannot be used, literal addresses and ports that may not be
//! dialled, loops. Retried by policy: everything else, also names that lead to refused addresses, since names change.
//! Sent again at once, a single time: a request on a kept-alive connection which ended before any byte of an answer.
//! Nothing is fatal here.

mod batch;
pub mod check;
mod command;
mod connect;
mod exec;
mod failure;
mod fetch;
pub mod guard;
mod headers;
pub mod judge;
mod message;
mod pool;
mod post;
mod prepared;
mod preview;
pub mod pull;
pub mod resolve;
mod shape;
pub mod sign;
mod stream;
mod terms;
#[cfg(test)]
mod tests;
mod tls;
pub mod url;
mod via;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use hyper::header::HeaderValue;

use crate::model::{
    AttemptReport, BatchFormat, BatchId, DeliveryId, Endpoint, EndpointId, Event, EventId, Now, Outcome, RequestHead,
    limits,
};

pub use check::check_endpoint;
pub use message::Message;
pub use prepared::Ways;
pub use preview::Preview;
pub use resolve::{Resolve, SystemResolver};
pub use sign::generate_secret;

use command::command_facts;
use connect::{Connector, Dial, SystemDialer, Wanted};
use exec::Exec;
use failure::Failure;
use headers::Facts;
use post::{Attempt, Trace};
use prepared::{Parts, Permits, Prepared, Way};
use shape::Shaper;

/// How the room is set up.
pub struct Settings {
    /// Certificates in PEM form that are trusted beside the system's roots.
    pub extra_ca: Option<PathBuf>,
    pub user_agent: String,
    pub resolver: Arc<dyn Resolve>,
    /// What a secret that only names one (`env:NAME`) stands for.
    pub lookup: Option<Lookup>,
    pub ways: Ways,
}

/// What `env:NAME` or `cred:NAME` stands for; `Ok(None)` when the text is the secret itself.
pub type Lookup = Arc<dyn Fn(&str) -> Result<Option<String>, String> + Send + Sync>;

/// Both clocks, read at one seam.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Why the room cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the extra CA file {} cannot be used: {why}", path.display())]
    ExtraCa { path: PathBuf, why: String },
    #[error("'{0}' cannot be a User-Agent: use printable ASCII")]
    UserAgent(String),
    #[error("[outbound] {0}")]
    Proxy(String),
}

/// The room. One for the daemon, shared.
pub struct Outbound {
    connector: Connector,
    agent: HeaderValue,
    lookup: Option<Lookup>,
    clock: Clock,
    permits: RwLock<Arc<Permits>>,
    exec: Exec,
    prepared: RwLock<HashMap<EndpointId, Arc<Prepared>>>,
    /// Idle connections over all pools.
    idle: Arc<AtomicUsize>,
    reaping: AtomicBool,
    me: Weak<Self>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Sets the room up. Nothing is dialled, and the system's roots are not read yet.
    ///
    /// # Errors
    /// When the extra CA file or the user agent cannot be used.
    pub fn new(settings: Settings, clock: Clock) -> Result<Arc<Self>, OutboundError> {
        Self::with_dialer(settings, clock, Box::new(SystemDialer))
    }

    fn with_dialer(settings: Settings, clock: Clock, dialer: Box<dyn Dial>) -> Result<Arc<Self>, OutboundError> {
        let tls = tls::Tls::new(settings.extra_ca.as_ref())?;
        let agent = HeaderValue::from_str(&settings.user_agent)
            .map_err(|_| OutboundError::UserAgent(settings.user_agent.clone()))?;
        let permits = Arc::new(Permits::read(&settings.ways)?);
        Ok(Arc::new_cyclic(|me| Self {
            permits: RwLock::new(permits),
            exec: Exec::default(),
            connector: Connector { resolver: settings.resolver, dialer, tls },
            agent,
            lookup: settings.lookup,
            clock,
            prepared: RwLock::default(),
            idle: Arc::default(),
            reaping: AtomicBool::new(false),
            me: me.clone(),
        }))
    }

    /// Makes one attempt to deliver one event. Never fails: whatever happens is in the report.
    pub async fn attempt(
        &self,
        delivery: DeliveryId,
        number: u32,
        endpoint: &Arc<Endpoint>,
        event: &Arc<Event>,
    ) -> AttemptReport {
        let prepared = self.prepare(endpoint);
        let (report, _) = self.carry(&prepared, Some(delivery), number, prepared.message(event, number)).await;
        tracing::debug!(%delivery, number, outcome = ?report.outcome, error = report.error, "attempt made");
        report
    }

    /// Makes one attempt with what was put together elsewhere, such as a batch. Never fails, either.
    pub async fn attempt_message(&self, number: u32, endpoint: &Arc<Endpoint>, message: Message) -> AttemptReport {
        let prepared = self.prepare(endpoint);
        let (report, _) = self.carry(&prepared, None, number, Ok(message)).await;
        tracing::debug!(endpoint = endpoint.name, number, outcome = ?report.outcome, error = report.error, "sent");
        report
    }

    /// Makes one attempt to deliver several events in one request. Returns with the report which of them the receiver did
    /// not take. Never fails, either.
    pub async fn attempt_batch(
        &self,
        batch: BatchId,
        number: u32,
        endpoint: &Arc<Endpoint>,
        events: &[Arc<Event>],
    ) -> (AttemptReport, Vec<EventId>) {
        let prepared = self.prepare(endpoint);
        let format = endpoint.batch.map_or(BatchFormat::Json, |batch| batch.format);
        let (report, body) = self.carry(&prepared, None, number, Message::of_batch(batch, format, events)).await;
        tracing::debug!(%batch, number, events = events.len(), outcome = ?report.outcome, "attempt made");
        let failed = if report.outcome == Outcome::Delivered { batch::failed(&body) } else { Vec::new() };
        (report, failed)
    }

    /// Sends what there is to send, and says what came of it, with the first bytes of the answer's body.
    async fn carry(
        &self,
        prepared: &Prepared,
        delivery: Option<DeliveryId>,
        number: u32,
        message: Result<Message, Failure>,
    ) -> (AttemptReport, Vec<u8>) {
        let started = (self.clock)();
        let mut trace = Trace::default();
        let mut request =
            RequestHead { method: "POST".to_owned(), url: prepared.endpoint.url.clone(), headers: Vec::new() };
        let parts = prepared.parts.as_ref().map_err(|why| Failure::Endpoint(why.clone()));
        let result = match (message, parts) {
            (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
            (Ok(message), Ok(Parts { way: Way::Exec(program), keys, .. })) => {
                let facts = command_facts(delivery, number, started, &message, keys);
                let report = self.command(&prepared.endpoint, program, &facts, message, started).await;
                return (report, Vec::new());
            }
            (Ok(message), Ok(parts)) => {
                message.method.as_str().clone_into(&mut request.method);
                if let Some(path) = &message.path {
                    request.url = url::with_path(&request.url, path);
                }
                self.post(prepared, parts, number, &message, started, &mut trace).await
            }
        };
        request.headers = std::mem::take(&mut trace.shown);
        let body = trace.answer.as_mut().map(|answer| std::mem::take(&mut answer.body)).unwrap_or_default();
        let report = self.report(request, started, trace, result);
        self.start_reaper();
        (report, body)
    }

    fn permits(&self) -> Arc<Permits> {
        self.permits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens and closes ways out. What was prepared before is made anew.
    ///
    /// # Errors
    /// When they cannot be read; then nothing changes.
    pub fn set_ways(&self, ways: &Ways) -> Result<(), OutboundError> {
        let permits = Arc::new(Permits::read(ways)?);
        *self.permits.write().unwrap_or_else(PoisonError::into_inner) = permits;
        self.forget(&[]);
        Ok(())
    }

    /// Checks an endpoint like [`check_endpoint`], and what of it depends on this machine: files, users, permissions.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), String> {
        check_endpoint(endpoint)?;
        if endpoint.is_pull() {
            return Ok(());
        }
        let permits = self.permits();
        let parts = Parts::new(endpoint, self.lookup.as_ref(), &permits.common)?;
        if let Some(why) = parts.shaper.as_ref().and_then(Shaper::lacks) {
            return Err(why.clone());
        }
        match parts.way {
            Way::Exec(program) => permits.allow.admit(program.path()).map(|_| ()),
            Way::Http { route, .. } => route.own.map_or(Ok(()), |own| own.check()),
        }
    }

    /// Drops the pools and keys of endpoints that are not in this list, or stand in it differently.
    pub fn forget(&self, endpoints: &[Arc<Endpoint>]) {
        let stay: HashMap<EndpointId, &Arc<Endpoint>> = endpoints.iter().map(|e| (e.id, e)).collect();
        let mut prepared = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        prepared.retain(|id, p| stay.get(id).is_some_and(|e| p.is_for(e)));
    }

    async fn post(
        &self,
        prepared: &Prepared,
        parts: &Parts,
        number: u32,
        message: &Message,
        started: Now,
        trace: &mut Trace,
    ) -> Result<(), Failure> {
        let endpoint = prepared.endpoint.as_ref();
        let Way::Http { target, route } = &parts.way else {
            return Err(Failure::Endpoint("a command is not posted to".to_owned()));
        };
        let timeout_ms = endpoint.timeout_ms.clamp(1, limits::TIMEOUT_MS);
        let attempt = Attempt {
            connector: &self.connector,
            pool: &prepared.pool,
            wanted: Wanted { target, route, allow_private: endpoint.allow_private, timeout_ms },
            facts: Facts {
                message,
                number,
                wall_ms: started.wall_ms,
                host: &target.host,
                agent: &self.agent,
                keys: &parts.keys,
            },
            clock: self.clock.as_ref(),
            started,
        };
        let made = tokio::time::timeout(Duration::from_millis(timeout_ms), attempt.run(trace)).await;
        made.unwrap_or_else(|_| Err(Failure::Timeout { after_ms: timeout_ms, phase: trace.phase.clone() }))
    }

    fn report(&self, request: RequestHead, started: Now, trace: Trace, result: Result<(), Failure>) -> AttemptReport {
        let now = (self.clock)();
        let outcome = match (&trace.answer, &result) {
            (Some(answer), _) => {
                let said = judge::Said {
                    status: answer.head.status,
                    retry_after: answer.retry_after.as_deref(),
                    wish: answer.wish.as_deref(),
                };
                judge::judge(said, result.is_ok(), now.wall_ms)
            }
            (None, Err(failure)) => failure.outcome(),
            (None, Ok(())) => Outcome::Retryable { after_ms: None },
        };
        let fault = match (&trace.answer, &result) {
            (None, Err(failure)) => failure.fault(),
            _ => None,
        };
        let error = match result {
            Err(failure) => Some(failure.to_string()),
            Ok(()) => trace.answer.as_ref().and_then(|a| judge::remark(a.head.status, a.location.as_deref())),
        };
        AttemptReport {
            started_at: started.wall_ms,
            duration_ms: now.mono_ms.saturating_sub(started.mono_ms),
            connect_ms: trace.connect_ms,
            outcome,
            request,
            response: trace.answer.map(|a| a.head),
            error,
            fault,
            command: None,
        }
    }

    fn prepare(&self, endpoint: &Arc<Endpoint>) -> Arc<Prepared> {
        let known = self.prepared.read().unwrap_or_else(PoisonError::into_inner).get(&endpoint.id).cloned();
        if let Some(prepared) = known.filter(|p| p.is_for(endpoint)) {
            return prepared;
        }
        let permits = self.permits();
        let mut all = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        match all.get(&endpoint.id) {
            // Another attempt was faster; two pools for one endpoint would halve the use of both.
            Some(prepared) if prepared.is_for(endpoint) => prepared.clone(),
            _ => {
                let prepared = Arc::new(Prepared::new(endpoint, &self.idle, self.lookup.as_ref(), &permits));
                all.insert(endpoint.id, prepared.clone());
                prepared
            }
        }
    }

    /// Closes idle connections in the background, for as long as there are any.
    fn start_reaper(&self) {
        if self.idle.load(Ordering::Acquire) == 0 || self.reaping.swap(true, Ordering::AcqRel) {
            return;
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(limits::IDLE_MS / 2)).await;
                let Some(room) = me.upgrade() else { return };
                if !room.reap() {
                    return;
                }
            }
        });
    }

    /// One round of the reaper; false when there is nothing left to look after.
    fn reap(&self) -> bool {
        let all: Vec<Arc<Prepared>> =
            self.prepared.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mono_ms = (self.clock)().mono_ms;
        for prepared in all {
            prepared.pool.reap(mono_ms);
        }
        self.reaping.store(false, Ordering::Release);
        // Whoever put a connection by meanwhile may have relied on this reaper.
        self.idle.load(Ordering::Acquire) > 0 && !self.reaping.swap(true, Ordering::AcqRel)
    }
}
