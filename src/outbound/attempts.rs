//! [`Outbound`]: makes attempts, each with the transport of its endpoint.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use data_encoding::HEXLOWER;

use crate::model::secret::redacted_url;
use crate::model::{
    AttemptReport, BatchFormat, BatchId, Clock, DeliveryId, Endpoint, EndpointId, Event, EventId,
    Now, Outcome, RequestHead, TraceContext, limits,
};

use crate::permits::{FairPermits, run_in_place};

use super::batch::response::{BatchAnswer, read_batch_answer};
use super::check::check_endpoint;
use super::classify::classify;
use super::exec::mark::CommandMarks;
use super::exec::runner::CommandRunner;
use super::failure::{AttemptFailure, EndpointRefusal};
use super::http::client::HttpClient;
use super::http::connect::{Dial, SystemDialer};
use super::http::tls::EndpointTls;
use super::message::Message;
use super::parsed_policy::ParsedPolicy;
use super::prepared::{Machinery, Parts, PreparedEndpoint};
use super::response::ReadLimits;
use super::settings::{FillRandom, OutboundError, OutboundPolicy, OutboundSettings};
use super::template::compiled::EndpointTemplates;
use super::transport::{Attempt, SentAttempt};

/// Makes attempts. One for the daemon, shared.
pub struct Outbound {
    machinery: Machinery,
    clock: Clock,
    random: FillRandom,
    /// For putting large messages together.
    making: Arc<FairPermits<EndpointId>>,
    policy: RwLock<Arc<ParsedPolicy>>,
    prepared: RwLock<HashMap<EndpointId, Arc<PreparedEndpoint>>>,
    /// Whether the task that closes idle connections runs.
    closes_idle: AtomicBool,
    me: Weak<Self>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.machinery.http.idle_connections();
        f.debug_struct("Outbound").field("idle", &idle).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Sets it up. Nothing is dialled, and the system's certificates are not read yet.
    ///
    /// # Errors
    /// When the extra CA file, the user agent or the policy cannot be used.
    pub fn new(settings: OutboundSettings, clock: Clock) -> Result<Arc<Self>, OutboundError> {
        Self::with_dialer(settings, clock, Box::new(SystemDialer))
    }

    pub(super) fn with_dialer(
        settings: OutboundSettings,
        clock: Clock,
        dialer: Box<dyn Dial>,
    ) -> Result<Arc<Self>, OutboundError> {
        let policy = ParsedPolicy::new(&settings.policy)?;
        let (lookup, random) = (settings.lookup.clone(), settings.random.clone());
        let note_share = settings.note_share.clone();
        let marks = CommandMarks::new(&settings.command_marks.0, &settings.command_marks.1);
        let machinery = Machinery {
            http: Arc::new(HttpClient::new(settings, clock.clone(), dialer)?),
            commands: Arc::new(CommandRunner::new(clock.clone(), note_share, marks)),
            lookup,
        };

        Ok(Arc::new_cyclic(|me| Self {
            machinery,
            clock,
            random,
            making: FairPermits::new(limits::MADE_AT_A_TIME, 0, &[]),
            policy: RwLock::new(Arc::new(policy)),
            prepared: RwLock::default(),
            closes_idle: AtomicBool::new(false),
            me: me.clone(),
        }))
    }

    /// Ends what commands of an earlier daemon at this data folder have left running.
    pub fn end_commands_of_before(&self) {
        self.machinery.commands.end_those_of_before();
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
        // Without templates the body goes out as it is.
        let bytes = if prepared.has_templates() { event.body.len() } else { 0 };
        let message = self.make(endpoint.id, bytes, || prepared.message(event, number)).await;
        let trace = message.as_ref().ok().and_then(|message| message.trace.clone());
        let trace_id = trace.as_ref().map(TraceContext::trace_id);

        let SentAttempt { report, .. } =
            self.send(&prepared, Some(delivery), number, message, ReadLimits::ONE).await;
        let AttemptReport { outcome, error, .. } = &report;
        tracing::debug!(%delivery, number, ?outcome, error, trace_id, "attempt made");
        report
    }

    /// Makes one attempt to deliver several events in one request. Returns with the report the
    /// events that the receiver did not take. Never fails, either.
    pub async fn attempt_batch(
        &self,
        batch: BatchId,
        number: u32,
        endpoint: &Arc<Endpoint>,
        events: &[Arc<Event>],
        format: BatchFormat,
    ) -> (AttemptReport, Vec<EventId>) {
        let prepared = self.prepare(endpoint);
        let bytes = events.iter().map(|event| event.body.len()).sum();
        let of_batch = || Message::of_batch(batch, format, events);
        let message = self.make(endpoint.id, bytes, of_batch).await;

        let sent = self.send(&prepared, None, number, Ok(message), ReadLimits::BATCH).await;
        let (report, failed) = read_failed_events(sent, events);
        let (events, outcome) = (events.len(), &report.outcome);
        tracing::debug!(%batch, number, events, ?outcome, "attempt made");
        (report, failed)
    }

    /// Makes a message of so many bytes: a large one when it is the endpoint's turn, and so that
    /// requests that come in do not wait for it.
    async fn make<T>(&self, endpoint: EndpointId, bytes: usize, make: impl FnOnce() -> T) -> T {
        if bytes <= limits::MADE_INLINE {
            return make();
        }
        let _permit = self.making.wait(endpoint).await;
        run_in_place(make)
    }

    /// Sends a message with the transport of its endpoint, and redacts secrets in what is reported.
    async fn send(
        &self,
        prepared: &PreparedEndpoint,
        delivery: Option<DeliveryId>,
        number: u32,
        message: Result<Message, AttemptFailure>,
        read_limits: ReadLimits,
    ) -> SentAttempt {
        let started = (self.clock)();
        let mut redactor = prepared.redactor.clone();

        let mut sent = match (message, prepared.parts()) {
            (Ok(mut message), Ok(parts)) => {
                message.begin_span(&self.new_span_id());
                redactor.extend(&message.redactor);
                let (endpoint, keys) = (&*prepared.endpoint, &*parts.keys);
                parts
                    .transport
                    .send(Attempt {
                        endpoint,
                        delivery,
                        number,
                        message,
                        keys,
                        started,
                        read_limits,
                    })
                    .await
            }
            (Err(failure), _) | (Ok(_), Err(failure)) => {
                let report = self.not_sent(&prepared.endpoint, started, &failure);
                SentAttempt { report, response: None }
            }
        };

        redactor.redact(&mut sent.report);
        self.start_closing_idle();
        sent
    }

    /// 16 digits of hex, not all of which are zero.
    fn new_span_id(&self) -> String {
        let mut bytes = [0; 8];
        (self.random)(&mut bytes);
        HEXLOWER.encode(&u64::from_ne_bytes(bytes).max(1).to_be_bytes())
    }

    /// The report of an attempt for which there was nothing to send.
    fn not_sent(
        &self,
        endpoint: &Endpoint,
        started: Now,
        failure: &AttemptFailure,
    ) -> AttemptReport {
        let now = (self.clock)();

        AttemptReport {
            started_at: started.wall_ms,
            duration_ms: now.mono_ms.saturating_sub(started.mono_ms),
            connect_ms: None,
            outcome: failure.outcome(),
            request: RequestHead {
                method: "POST".to_owned(),
                url: redacted_url(&endpoint.url),
                headers: Vec::new(),
            },
            response: None,
            error: Some(failure.to_string()),
            fault: failure.fault(),
            command: None,
        }
    }

    /// Changes what the operator allows and prescribes. Every endpoint is prepared anew.
    ///
    /// # Errors
    /// When the policy cannot be parsed or the extra CA file cannot be used; then nothing changes.
    pub fn set_policy(&self, policy: &OutboundPolicy) -> Result<(), OutboundError> {
        let policy = Arc::new(ParsedPolicy::new(policy)?);
        self.machinery.http.connector.read_certificates_anew()?;
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.forget(&[]);
        Ok(())
    }

    /// Changes the policy, and reads the files of these endpoints again. One whose files cannot be
    /// used goes on with what it has loaded of them. Returns a sentence for each of these.
    ///
    /// # Errors
    /// As [`set_policy`](Self::set_policy).
    pub fn reload(
        &self,
        policy: &OutboundPolicy,
        endpoints: &[Arc<Endpoint>],
    ) -> Result<Vec<String>, OutboundError> {
        let before = self.prepared.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.set_policy(policy)?;

        let broken = endpoints.iter().filter_map(|endpoint| {
            let own = EndpointTls::new(&endpoint.via).ok().flatten()?;
            let why = own.check().err()?;

            let earlier = before.get(&endpoint.id).filter(|earlier| earlier.is_for(endpoint));
            let goes_on =
                earlier.is_some_and(|earlier| self.prepare(endpoint).keep_tls_of(earlier));
            let effect = match goes_on {
                true => "it goes on with what it has read before",
                false => "its attempts fail until that is put right",
            };
            Some(format!("the endpoint '{}' cannot use its files: {why}; {effect}", endpoint.name))
        });
        Ok(broken.collect())
    }

    pub(super) fn policy(&self) -> Arc<ParsedPolicy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn http(&self) -> &HttpClient {
        &self.machinery.http
    }

    pub(super) fn now(&self) -> Now {
        (self.clock)()
    }

    /// Checks an endpoint like [`check_endpoint`], and what of it depends on this machine: files,
    /// users, permissions.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), EndpointRefusal> {
        check_endpoint(endpoint)?;
        if endpoint.is_leased() {
            return Ok(());
        }

        let parts = Parts::new(endpoint, &self.machinery, &self.policy());
        let parts = parts.map_err(|why| why.to_string())?;
        let missing = parts.templates.as_ref().and_then(EndpointTemplates::missing_secret);
        if let Some(why) = missing {
            return Err(why.clone().into());
        }
        parts.transport.check()
    }

    /// Drops the connections and keys of endpoints that are not in this list, or are in it with
    /// other settings.
    pub fn forget(&self, endpoints: &[Arc<Endpoint>]) {
        let known: HashMap<EndpointId, &Arc<Endpoint>> =
            endpoints.iter().map(|endpoint| (endpoint.id, endpoint)).collect();

        let mut prepared = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        prepared.retain(|id, one| known.get(id).is_some_and(|endpoint| one.is_for(endpoint)));
    }

    pub(super) fn prepare(&self, endpoint: &Arc<Endpoint>) -> Arc<PreparedEndpoint> {
        let mono_ms = self.now().mono_ms;
        let is_ready =
            |one: &PreparedEndpoint| one.is_for(endpoint) && !one.is_to_be_made_anew(mono_ms);
        let known = self.prepared.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = known.get(&endpoint.id).filter(|one| is_ready(one)) {
            return prepared.clone();
        }
        drop(known);

        // The policy is read under the lock that `set_policy` takes after it has changed it, so
        // that nothing made by an old policy stays.
        let mut all = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        match all.get(&endpoint.id) {
            // Another attempt was faster; two pools for one endpoint would halve the use of both.
            Some(prepared) if is_ready(prepared) => prepared.clone(),
            _ => {
                let policy = self.policy();
                let prepared = PreparedEndpoint::new(endpoint, &self.machinery, &policy, mono_ms);
                let prepared = Arc::new(prepared);
                all.insert(endpoint.id, prepared.clone());
                prepared
            }
        }
    }

    /// Closes idle connections in the background, for as long as there are any.
    fn start_closing_idle(&self) {
        let has_idle = self.machinery.http.idle_connections() > 0;
        if !has_idle || self.closes_idle.swap(true, Ordering::AcqRel) {
            return;
        }

        let me = self.me.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(limits::IDLE_MS / 2)).await;
                let Some(outbound) = me.upgrade() else { return };
                if !outbound.close_idle() {
                    return;
                }
            }
        });
    }

    /// Closes what has been idle for too long; false when there is nothing left to look after.
    pub(super) fn close_idle(&self) -> bool {
        let prepared = self.prepared.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Arc<PreparedEndpoint>> = prepared.values().cloned().collect();
        drop(prepared);

        let mono_ms = self.now().mono_ms;
        for prepared in all {
            prepared.close_idle(mono_ms);
        }

        // A connection that became idle meanwhile may rely on this task, which then goes on.
        self.closes_idle.store(false, Ordering::Release);
        let has_idle = self.machinery.http.idle_connections() > 0;
        has_idle && !self.closes_idle.swap(true, Ordering::AcqRel)
    }
}

/// Reads from the response to a batch which of its events failed. One that cannot be understood
/// makes the whole batch fail, so that all of it goes out again.
fn read_failed_events(sent: SentAttempt, events: &[Arc<Event>]) -> (AttemptReport, Vec<EventId>) {
    let SentAttempt { mut report, response } = sent;
    let Some(response) = response.filter(|_| report.outcome == Outcome::Delivered) else {
        return (report, Vec::new());
    };

    match read_batch_answer(&response, events) {
        BatchAnswer::Failed(failed) => (report, failed),
        BatchAnswer::Unclear(why) => {
            report.outcome =
                classify(response.summary(), false, report.started_at + report.duration_ms);
            report.error = Some(format!(
                "status {} came, but which events failed cannot be read from the answer, so that \
                 all of the batch is to be sent again: {why}",
                response.head.status
            ));
            (report, Vec::new())
        }
    }
}
