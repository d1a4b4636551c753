//! One request, from its line to its answer: a straight walk in which each step may refuse.
//!
//! line → source → address → method → body → proof → facts → remembered → answer.
//! Only the last step but one makes an event; whatever refuses before it leaves none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};

use super::body::{self, BodyError, Claim};
use super::problem::Problem;
use super::route::{self, Peer, Route};
use super::verify::{self, Answer, Proven, Verdict};
use super::{Ingest, confirm, facts, headers, reply};
use crate::model::{Header, Now, Source, limits};
use crate::queue::NewEvent;
use crate::scheduler::Directory;

type Reply = Response<Full<Bytes>>;

/// Boxed, so that the way of success stays small.
type Refused = Box<Problem>;

/// Answers one request.
pub(super) async fn handle(ingest: &Ingest, peer: &Peer, request: Request<Incoming>) -> Reply {
    let (head, mut body) = request.into_parts();
    let now = (ingest.clock)();
    let directory = ingest.handle.directory();
    let mut at_source = None;
    let mut problem = match answer(ingest, peer, now, &directory, &head, &mut body, &mut at_source).await {
        Ok(reply) => return reply,
        Err(refused) => refused,
    };
    let source = at_source.as_ref().map_or("", |source: &Arc<Source>| source.name.as_str());
    ingest.refusals.count(source, problem.kind, problem.reason(), now);
    let mut reply = problem.instead.take().map_or_else(|| problem.response(), reply::answer);
    finish(&head, body, problem.close, &mut reply).await;
    reply
}

/// What a refused connection still needs: the rest of the body out of the way, or an end.
async fn finish(head: &Parts, body: Incoming, close: bool, reply: &mut Reply) {
    if head.version == Version::HTTP_2 {
        return; // its streams end one by one
    }
    if close {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // A client that waits for 100 Continue has sent nothing, and asking for the body would make it.
    if !body.is_end_stream() && !head.headers.contains_key(header::EXPECT) {
        body::drain(body).await;
    }
}

/// The walk. `at_source` is set as soon as it is known, for whoever counts refusals.
async fn answer(
    ingest: &Ingest,
    peer: &Peer,
    now: Now,
    directory: &Directory,
    head: &Parts,
    body: &mut Incoming,
    at_source: &mut Option<Arc<Source>>,
) -> Result<Reply, Refused> {
    if route::target_length(head) > limits::URI_BYTES {
        return Err(Problem::target_too_long(limits::URI_BYTES).into());
    }
    if let Some(wrong) = route::malformed(head) {
        return Err(Problem::malformed(wrong).into());
    }
    if head.headers.len() > limits::HEADERS {
        return Err(Problem::too_many_fields(limits::HEADERS).into()); // HTTP/2: hyper counts HTTP/1's
    }
    let key = match Route::of(head.uri.path()) {
        Route::Source(key) => key,
        Route::Health => return probe(head).map(|()| reply::well()),
        Route::Ready => return probe(head).and_then(|()| ready(ingest)),
        Route::Nowhere => return Err(Problem::nowhere().into()),
    };
    let source =
        directory.sources_by_path.get(key).filter(|source| source.expires_at.is_none_or(|end| now.wall_ms < end));
    let source = at_source.insert(source.ok_or_else(Problem::no_such_source)?.clone());
    let behind;
    let peer = match &peer.trusted {
        None => peer,
        Some(trusted) => {
            behind = peer.client_of(trusted, &head.headers).map_err(Problem::malformed)?;
            &behind
        }
    };
    admit(ingest, source, peer, head, now)?;

    let mut claim = ingest.budget.claim();
    let body = read(ingest, source, head, body, &mut claim).await?;
    let all = headers::collect(&head.headers);
    let mut proven = match prove(ingest, source, peer, head, &all, &body, now).await {
        Verdict::Proven(proven) => proven,
        Verdict::Handshake(answer) => return Ok(reply::answer(answer)),
        Verdict::Refused { reason, kind, answer } => return Err(Problem::unproven(kind, reason, answer).into()),
    };
    room_for_elements(&proven, head, &mut claim)?;
    let follow_up = proven.follow_up.take();
    let (events, wanted) = events(source, directory.salt, peer, head, all, body, proven);
    let accepted = ingest.handle.accept(events).await.map_err(|refusal| Problem::of_refusal(&refusal))?;
    drop(claim);
    if accepted.is_empty() {
        return Err(Problem::internal("the scheduler accepted nothing").into());
    }
    if let Some(follow_up) = follow_up {
        confirm::start(ingest, source, follow_up);
    }
    tracing::debug!(source = %source.name, peer = %peer.text, id = %accepted[0].id, "accepted");
    Ok(match wanted {
        Some(answer) => reply::answer(answer),
        None => reply::accepted(&accepted),
    })
}

/// The body, under the limits of the source and of all requests together.
async fn read(
    ingest: &Ingest,
    source: &Source,
    head: &Parts,
    body: &mut Incoming,
    claim: &mut Claim,
) -> Result<Bytes, Refused> {
    if !claim.grow(headers::size(&head.headers)) {
        return Err(Problem::no_memory().into());
    }
    let max_body = source.max_body.min(limits::MAX_BODY);
    let limit = usize::try_from(max_body).unwrap_or(usize::MAX);
    if body.size_hint().lower() > max_body {
        return Err(Problem::of_body(BodyError::TooLarge, max_body).into());
    }
    let deadline = Duration::from_millis(ingest.limits.body_timeout_ms);
    let read = body::read(body, limit, claim, deadline).await;
    Ok(read.map_err(|error| Problem::of_body(error, max_body))?)
}

/// A batch that is taken apart costs more than its bytes: each element has the headers to itself.
fn room_for_elements(proven: &Proven, head: &Parts, claim: &mut Claim) -> Result<(), Refused> {
    let count = proven.elements.len();
    if count > limits::BATCH_EVENTS {
        return Err(Problem::too_many_events(count, limits::BATCH_EVENTS).into());
    }
    let bodies: usize = proven.elements.iter().map(|element| element.body.len()).sum();
    if claim.grow(count * headers::size(&head.headers) + bodies) { Ok(()) } else { Err(Problem::no_memory().into()) }
}

/// Health checks are questions.
fn probe(head: &Parts) -> Result<(), Refused> {
    if matches!(head.method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Problem::method("GET, HEAD").into()) }
}

fn ready(ingest: &Ingest) -> Result<Reply, Refused> {
    let health = ingest.handle.health();
    if health.is_accepting() {
        return Ok(reply::well());
    }
    Err(Problem::not_ready(health.reason()).into())
}

/// Whether this peer may use this method here, now.
fn admit(ingest: &Ingest, source: &Source, peer: &Peer, head: &Parts, now: Now) -> Result<(), Refused> {
    if !ingest.allow_lists.allows(source, peer.ip) {
        return Err(Problem::not_allowed(&peer.text).into());
    }
    if let Some(rate) = source.rate {
        let taken = ingest.rates.take(source.id, rate, now.mono_ms);
        taken.map_err(|after_ms| Problem::too_often(after_ms, rate))?;
    }
    if !verify::answers(&source.verify, head.method.as_str()) {
        return Err(Problem::method(verify::methods(&source.verify)).into());
    }
    Ok(())
}

/// The verdict on a request. When it names a key that the issuer's set does not hold, the set is fetched anew, unless
/// that was done a moment ago.
async fn prove(
    ingest: &Ingest,
    source: &Arc<Source>,
    peer: &Peer,
    head: &Parts,
    headers: &[Header],
    body: &Bytes,
    now: Now,
) -> Verdict {
    let seen = ingest.keys.version(source);
    let verdict = judge(ingest, source, peer, head, headers, body, now);
    let unknown = matches!(verdict, Verdict::Refused { kind: "unknown-key" | "no-keys", .. });
    match seen.filter(|_| unknown) {
        Some(seen) if ingest.keys.refresh(source, seen, now).await => {
            judge(ingest, source, peer, head, headers, body, now)
        }
        _ => verdict,
    }
}

fn judge(
    ingest: &Ingest,
    source: &Arc<Source>,
    peer: &Peer,
    head: &Parts,
    headers: &[Header],
    body: &Bytes,
    now: Now,
) -> Verdict {
    let source = match ingest.keys.resolve(source) {
        Ok(source) => source,
        Err(reason) => return Verdict::Refused { reason, kind: "settings", answer: None },
    };
    // Without a scheme nothing is signed, and this is the way of most events.
    let url = if source.verify == "none" { String::new() } else { route::public_url(&source, head, peer.is_https) };
    let client = peer.certificate.as_deref();
    let request = verify::Request { method: head.method.as_str(), url: &url, headers, body, client };
    let now_unix = i64::try_from(now.wall_ms / 1000).unwrap_or(i64::MAX);
    verify::verify(&source, &request, now_unix)
}

/// The events of a proven request, and the answer that the provider wants for them.
pub(super) fn events(
    source: &Arc<Source>,
    salt: u64,
    peer: &Peer,
    head: &Parts,
    mut headers: Vec<Header>,
    body: Bytes,
    proven: Proven,
) -> (Vec<NewEvent>, Option<Answer>) {
    let Proven { kind, dedupe_key, answer, elements, follow_up: _ } = proven;
    let all_facts: Vec<facts::Facts> = if elements.is_empty() {
        vec![facts::of_request(source, &headers, &body, kind, dedupe_key)]
    } else {
        elements.iter().enumerate().map(|(n, element)| facts::of_element(source, &headers, element, n)).collect()
    };
    headers::keep(source, &mut headers);
    let request_line = route::request_line(source, head);
    let event = |facts: facts::Facts, headers: Vec<Header>, body: Bytes| NewEvent {
        source: source.clone(),
        dedupe: facts.dedupe_key.as_deref().map(|key| facts::fingerprint(salt, source.id, key)),
        kind: facts.kind,
        dedupe_key: facts.dedupe_key,
        request_line: request_line.clone(),
        remote: peer.text.clone(),
        headers,
        body,
    };
    if elements.is_empty() {
        let one = all_facts.into_iter().map(|facts| event(facts, std::mem::take(&mut headers), body.clone())).collect();
        return (one, answer);
    }
    headers.retain(|header| !matches!(header.name.as_str(), "content-type" | "content-encoding"));
    let split = all_facts.into_iter().zip(elements).map(|(facts, element)| {
        let mut own = headers.clone();
        own.push(Header::new("content-type", element.content_type));
        event(facts, own, element.body)
    });
    (split.collect(), answer)
}
