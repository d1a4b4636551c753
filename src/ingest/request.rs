//! One request, from its line to its answer. Each step may refuse, and the walk ends there.
//!
//! head → source → client's address → admission → body → proof → rate → events → scheduler →
//! answer. Only the scheduler makes an event: a request that is refused by a step before it leaves
//! none.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};

use super::body::{self, BodyError};
use super::budget::{Claim, Holder};
use super::holder_permits::{HolderPermit, wait_for_both};
use super::new_events::new_events;
use super::problem::IngestProblem;
use super::proof::{ProofTask, in_turn};
use super::pulse::Pulse;
use super::rate::RateClass;
use super::refused_requests::KeptRefusal;
use super::route::{self, IngestRoute, Peer};
use super::service::Ingest;
use super::under_way::{HeldMeanwhile, UnderWay};
use super::verify::{self, Proven, Verdict};
use super::{confirmation, headers, lapse, reply};
use crate::model::share::{Share, ShareHolder};
use crate::model::{Header, Now, Source, TraceContext, limits};
use crate::queue::{Accepted, NewEvent};
use crate::scheduler::Directory;

type HttpResponse = Response<Full<Bytes>>;

/// Boxed, so that the result of a step that succeeds stays small.
type BoxedProblem = Box<IngestProblem>;

/// Answers one request.
pub(super) async fn handle(
    ingest: &Ingest,
    peer: &Peer,
    pulse: &Pulse,
    request: Request<Incoming>,
) -> Response<reply::ClaimedBody> {
    let (peer, has_lapsed) = lapse::proven_now(ingest, peer);
    let (peer, version) = (&*peer, request.version());
    let mut claim = match ingest.budget.claim_bytes([peer.holder(), None], limits::REQUEST_BYTES) {
        Ok(claim) => claim,
        Err(mut claim) => {
            ingest.note_full(Share::OpenStreams, &mut claim);
            return refuse_without_memory(ingest, peer, pulse, request, claim).await;
        }
    };

    let mut response = respond(ingest, peer, request, &mut claim).await;
    if has_lapsed {
        lapse::end_connection(version, pulse, &mut response);
    }
    ingest.note_full(Share::BytesBeingRead, &mut claim);

    // The body of the request is gone. What is left of the claim stays until the response is sent.
    claim.shrink_to(limits::REQUEST_BYTES);
    reply::ClaimedBody::new(response, claim)
}

/// Refuses a request because its peer has as many open as there is memory for.
async fn refuse_without_memory(
    ingest: &Ingest,
    peer: &Peer,
    pulse: &Pulse,
    request: Request<Incoming>,
    claim: Claim,
) -> Response<reply::ClaimedBody> {
    let (head, body) = request.into_parts();
    let problem = IngestProblem::no_memory();
    let reason = format!("{}: its requests take all the memory that they may have", peer.text);
    ingest.refusals.count("", problem.kind, &reason, (ingest.clock)());

    let mut response = problem.response();
    if head.version == Version::HTTP_2 {
        // A body would wait for a client that may not read it; ending the connection stops further
        // streams.
        *response.body_mut() = Full::default();
        pulse.end();
    }

    release_connection(&head, body, problem.close, &mut response).await;
    reply::ClaimedBody::new(response, claim)
}

/// The response to a request that has its memory. A refusal is counted, and answered with a problem
/// document.
async fn respond(
    ingest: &Ingest,
    peer: &Peer,
    request: Request<Incoming>,
    claim: &mut Claim,
) -> HttpResponse {
    let (head, mut body) = request.into_parts();
    let directory = ingest.handle.directory();
    let now = (ingest.clock)();
    let mut exchange = Exchange { ingest, peer, head: &head, now, claim, source: None };

    let mut problem = match exchange.accept(&directory, &mut body).await {
        Ok(response) => return response,
        Err(problem) => problem,
    };

    exchange.count_refusal(&problem);
    exchange.claim.shrink_to(limits::REQUEST_BYTES);
    let mut response = match problem.instead.take() {
        Some(answer) => reply::provider_answer(answer),
        None => problem.response(),
    };
    release_connection(&head, body, problem.close, &mut response).await;
    response
}

/// Leaves the connection of a refused request fit for the next one, or has it closed.
async fn release_connection(
    head: &Parts,
    body: Incoming,
    close: bool,
    response: &mut HttpResponse,
) {
    // Streams of HTTP/2 end one by one.
    if head.version == Version::HTTP_2 {
        return;
    }
    if close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }

    // A client that waits for 100 Continue has sent nothing, and reading the body would make it
    // send.
    if !body.is_end_stream() && !head.headers.contains_key(header::EXPECT) {
        body::drain(body).await;
    }
}

/// A request that is being answered.
struct Exchange<'a> {
    ingest: &'a Ingest,
    /// The other end of the connection: the client, or a proxy.
    peer: &'a Peer,
    head: &'a Parts,
    now: Now,
    claim: &'a mut Claim,
    /// Set as soon as it is known, so that a refusal is counted for it.
    source: Option<Arc<Source>>,
}

impl<'a> Exchange<'a> {
    /// Takes the request from its head to the answer. What costs most comes last: whoever may not
    /// post has no body read, and without a proof nothing is remembered.
    async fn accept(
        &mut self,
        directory: &Directory,
        body: &mut Incoming,
    ) -> Result<HttpResponse, BoxedProblem> {
        self.check_head()?;
        let (key, is_below) = match IngestRoute::of(self.head.uri.path()) {
            IngestRoute::Source(key) => (key, false),
            IngestRoute::Below(key) => (key, true),
            IngestRoute::Health => return self.health(),
            IngestRoute::Ready => return self.readiness(),
            IngestRoute::Nowhere => return Err(IngestProblem::nowhere().into()),
        };

        let source = self.find_source(directory, key)?;
        if is_below && source.verify != "bin" {
            return Err(IngestProblem::nowhere().into());
        }
        let client = self.client()?;
        self.admit(&source, &client)?;

        // Until now the claim was counted for the peer, which may be a proxy.
        self.claim.move_to([client.holder(), Some(Holder::Source(source.id))]);
        let body = self.read_body(&source, body).await?;
        let headers = headers::collect(&self.head.headers);

        let task = ProofTask {
            ingest: self.ingest,
            source: &source,
            peer: &client,
            head: self.head,
            headers: &headers,
            body: &body,
            now: self.now,
        };
        let mut proven = match task.prove().await {
            Verdict::Proven(proven) => proven,
            Verdict::Handshake(answer) => {
                self.take_unproven(&source, "a handshake")?;
                return Ok(reply::provider_answer(answer));
            }
            Verdict::Refused { reason, kind, answer } => {
                // What is not the sender's fault is always reported.
                if !matches!(kind, "no-keys" | "settings") {
                    self.take_unproven(&source, &reason)?;
                }
                self.keep_refused(&source, &client, (kind, &reason), headers, &body);
                return Err(IngestProblem::unproven(kind, reason, answer).into());
            }
        };

        // The rate counts proven requests alone: others must not use it up.
        self.take_from_rate(&source)?;
        self.claim_elements(&proven)?;
        let follow_up = proven.follow_up.take();
        // Their types and keys are looked for in the body, and digests are made of it.
        let length = body.len();
        let make =
            || new_events(&source, directory.salt, &client, self.head, headers, body, proven);
        let (events, answer) = in_turn(self.ingest, &source, &client, length, make).await;
        let trace_id = trace_id(&events);
        let accepted = self.remember(&client, events).await?;

        if let Some(follow_up) = follow_up {
            confirmation::start(self.ingest, &source, follow_up);
        }
        trace_accepted(&source, &client, &accepted, trace_id.as_deref());
        Ok(answer.map_or_else(|| reply::accepted(&accepted), reply::provider_answer))
    }

    /// Refuses a head that is too large, or that RFC 9112 calls malformed though hyper takes it.
    fn check_head(&self) -> Result<(), BoxedProblem> {
        if route::target_length(self.head) > limits::URI_BYTES {
            return Err(IngestProblem::target_too_long(limits::URI_BYTES).into());
        }
        if let Some(wrong) = route::malformed(self.head) {
            return Err(IngestProblem::malformed(wrong).into());
        }

        // hyper counts the fields of HTTP/1 alone.
        if self.head.headers.len() > limits::HEADERS {
            return Err(IngestProblem::too_many_fields(limits::HEADERS).into());
        }
        Ok(())
    }

    fn health(&self) -> Result<HttpResponse, BoxedProblem> {
        self.check_probe()?;
        Ok(reply::ok())
    }

    fn readiness(&self) -> Result<HttpResponse, BoxedProblem> {
        self.check_probe()?;
        let health = self.ingest.handle.health();
        if health.is_accepting() {
            return Ok(reply::ok());
        }
        Err(IngestProblem::not_ready(health.reason()).into())
    }

    fn check_probe(&self) -> Result<(), BoxedProblem> {
        match self.head.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(IngestProblem::method("GET, HEAD").into()),
        }
    }

    /// The source of that name or token. A temporary one whose time is over does not exist.
    fn find_source(
        &mut self,
        directory: &Directory,
        key: &str,
    ) -> Result<Arc<Source>, BoxedProblem> {
        let now = self.now.wall_ms;
        let is_alive = |source: &&Arc<Source>| source.expires_at.is_none_or(|end| now < end);
        let source = directory.sources_by_path.get(key).filter(is_alive);

        self.source = source.cloned();
        Ok(source.ok_or_else(IngestProblem::no_such_source)?.clone())
    }

    /// Who sent the request: the peer, or whom a trusted proxy names in its headers.
    fn client(&self) -> Result<Cow<'a, Peer>, BoxedProblem> {
        match &self.peer.trusted {
            None => Ok(Cow::Borrowed(self.peer)),
            Some(trusted) => {
                let client = self.peer.client_of(trusted, &self.head.headers);
                Ok(Cow::Owned(client.map_err(IngestProblem::malformed)?))
            }
        }
    }

    /// Refuses, before the body is read, whoever may not use this method here and now.
    fn admit(&self, source: &Source, client: &Peer) -> Result<(), BoxedProblem> {
        if !self.ingest.allow_lists.allows(source, client.ip) {
            // A list that is gone is no fault of the sender, who may be in it.
            if let Err(why) = self.ingest.allow_lists.check(source) {
                return Err(IngestProblem::unproven("settings", why, None).into());
            }
            return Err(IngestProblem::not_allowed(&client.address()).into());
        }
        if !verify::answers(source, self.head.method.as_str()) {
            return Err(IngestProblem::method(verify::methods(source)).into());
        }

        // Only proven requests use this rate up, so above it the proof of one more need not be
        // looked at.
        if let Some(rate) = source.rate {
            let left = self.ingest.rates.has(source.id, RateClass::Proven, rate, self.now.mono_ms);
            left.map_err(|after_ms| IngestProblem::too_often(after_ms, rate))?;
        }
        Ok(())
    }

    /// The body, within the source's limit and within the memory of its sender, its source and all
    /// requests.
    async fn read_body(
        &mut self,
        source: &Source,
        body: &mut Incoming,
    ) -> Result<Bytes, BoxedProblem> {
        // The header fields as they came, and the copy that is verified and kept.
        if !self.claim.grow(2 * headers::size(&self.head.headers)) {
            return Err(IngestProblem::no_memory().into());
        }

        let max_body = source.max_body.min(limits::MAX_BODY);
        if body.size_hint().lower() > max_body {
            return Err(IngestProblem::of_body(BodyError::TooLarge, max_body).into());
        }
        let limit = usize::try_from(max_body).unwrap_or(usize::MAX);
        let body = body::read(body, limit, self.claim, &self.ingest.limits)
            .await
            .map_err(|error| IngestProblem::of_body(error, max_body))?;

        // The events of a batch are copied out of it.
        if source.split && !self.claim.grow(body.len()) {
            return Err(IngestProblem::no_memory().into());
        }
        Ok(body)
    }

    /// Counts a request without a proof, such as a handshake, in the source's rate of those. Above
    /// it neither the reason is reported nor the request kept.
    fn take_unproven(&self, source: &Source, reason: &str) -> Result<(), BoxedProblem> {
        let Some(rate) = source.rate else { return Ok(()) };
        let taken = self.ingest.rates.take(source.id, RateClass::Unproven, rate, self.now.mono_ms);
        taken.map_err(|after_ms| {
            let shares = self.ingest.handle.shares();
            shares.note(Share::UnprovenRequests, ShareHolder::Source(source.id));
            IngestProblem::unproven_too_often(after_ms, rate, reason).into()
        })
    }

    /// Keeps a request without a proof, where its source does, for the operator to look at.
    fn keep_refused(
        &self,
        source: &Source,
        client: &Peer,
        (kind, reason): (&'static str, &str),
        mut headers: Vec<Header>,
        body: &Bytes,
    ) {
        if source.keep_refused == 0 {
            return;
        }

        let url = route::shown_url(source, self.head, client.is_https);
        let url = without_token(Some(source), &url).into_owned();
        headers::keep(source, &mut headers);
        self.ingest.refused.keep(
            source,
            KeptRefusal {
                number: 0,
                at: self.now.wall_ms,
                kind,
                reason: without_token(Some(source), reason).into_owned(),
                remote: client.text.clone(),
                method: self.head.method.to_string(),
                url,
                headers,
                size: body.len(),
                body: Bytes::copy_from_slice(&body[..body.len().min(limits::REFUSED_BODY)]),
            },
        );
    }

    /// Counts a proven request in the source's rate.
    fn take_from_rate(&self, source: &Source) -> Result<(), BoxedProblem> {
        let Some(rate) = source.rate else { return Ok(()) };
        let taken = self.ingest.rates.take(source.id, RateClass::Proven, rate, self.now.mono_ms);
        Ok(taken.map_err(|after_ms| IngestProblem::too_often(after_ms, rate))?)
    }

    /// Claims what the events of a batch take beyond their bytes: each has the headers to itself.
    fn claim_elements(&mut self, proven: &Proven) -> Result<(), BoxedProblem> {
        let count = proven.elements.len();
        if count > limits::BATCH_EVENTS {
            return Err(IngestProblem::too_many_events(limits::BATCH_EVENTS).into());
        }
        let part = proven.part.as_ref().map_or(0, |part| part.body.len());
        if !self.claim.grow(count * headers::size(&self.head.headers) + part) {
            return Err(IngestProblem::no_memory().into());
        }
        Ok(())
    }

    /// Hands the events to the scheduler, which answers once they are durable.
    async fn remember(
        &mut self,
        client: &Peer,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Accepted>, BoxedProblem> {
        // One address must not fill the queue in front of the scheduler, nor one source.
        let source = events.first().map(|event| Holder::Source(event.source.id));
        let places = self.wait_for_places(client.holder(), source).await?;

        // From here on the events are on their way, whatever becomes of their connection.
        let claim = std::mem::replace(self.claim, self.ingest.budget.nothing());
        let held = HeldMeanwhile { claim, places };
        let (accepted, held) = UnderWay::begin(&self.ingest.handle, events, held).await;
        *self.claim = held.claim;

        let accepted = accepted.map_err(|refusal| IngestProblem::of_refusal(&refusal))?;
        if accepted.is_empty() {
            return Err(IngestProblem::internal("the scheduler accepted nothing").into());
        }
        Ok(accepted)
    }

    /// A place of this address in front of the scheduler and one of this source, when both have one
    /// free in time.
    async fn wait_for_places(
        &self,
        address: Option<Holder>,
        source: Option<Holder>,
    ) -> Result<[HolderPermit; 2], BoxedProblem> {
        let Ingest { accept_permits, source_permits, .. } = self.ingest;
        let (places, waited) =
            wait_for_both((accept_permits, address), (source_permits, source)).await;
        for (holder, _) in [address, source].into_iter().zip(waited).filter(|(_, waited)| *waited) {
            if let Some(holder) = holder {
                self.ingest.handle.shares().note(Share::WaitingRequests, holder.into());
            }
        }
        Ok(places.ok_or_else(IngestProblem::no_memory)?)
    }

    fn count_refusal(&self, problem: &IngestProblem) {
        let source = self.source.as_deref();
        let name = source.map_or("", |source| source.name.as_str());
        let reason = without_token(source, problem.reason());
        self.ingest.refusals.count(name, problem.kind, &reason, self.now);
        if problem.is_unproven {
            self.ingest.refusals.note_unproven(name);
        }
    }
}

/// A reason may quote the URL. A source's token in it is as good as a password, and is left out.
fn without_token<'r>(source: Option<&Source>, reason: &'r str) -> Cow<'r, str> {
    match source.and_then(|source| source.token.as_deref()) {
        Some(token) if reason.contains(token) => Cow::Owned(reason.replace(token, "…")),
        _ => Cow::Borrowed(reason),
    }
}

/// The trace that a request belongs to, for a line of the daemon's log that will be written.
fn trace_id(events: &[NewEvent]) -> Option<String> {
    let event = events.first().filter(|_| tracing::enabled!(tracing::Level::DEBUG))?;
    let trace = TraceContext::of_request(&event.headers)
        .or_else(|| TraceContext::of_origin(&event.headers, &event.body));
    trace.map(|trace| trace.trace_id().to_owned())
}

fn trace_accepted(source: &Source, client: &Peer, accepted: &[Accepted], trace_id: Option<&str>) {
    if let Some(first) = accepted.first() {
        tracing::debug!(
            source = %source.name, peer = %client.text, id = %first.id, trace_id, "accepted"
        );
    }
    for event in accepted {
        if let Some(first) = event.conflicts_with {
            tracing::debug!(
                source = %source.name, id = %event.id, %first,
                "the same dedupe key with another body: stored as an event of its own"
            );
        }
    }
}
