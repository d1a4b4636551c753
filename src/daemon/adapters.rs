//! What the admin module borrows of other modules, as functions, so that these modules need not
//! know each other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::history::HistoryKeeper;
use crate::admin::{Adapters, CapturedRequest, EndpointTest, RefusalCount, Refused, ShowHistory};
use crate::api::values::Time;
use crate::api::views::{
    CertificateView, CheckElementView, CheckResponseView, CheckView, EndpointTestView, HeadersView,
    RefusedRequestView,
};
use crate::ingest::verify::{self, Proven, ProviderAnswer, Request, Verdict};
use crate::ingest::{Ingest, IngestProblem, KeptRefusal, Origins, RefusalCounters, identity};
use crate::model::{
    AttemptReport, BatchId, DeliveryId, Endpoint, Header, Outcome, Source, WallMs, limits,
};
use crate::outbound::LeaseHub;
use crate::outbound::{EndpointRefusal, Outbound, SecretLookup, computed_secret, weak_secret};
use crate::queue::matcher;

/// Everything that is lent. `has_file`: the daemon reads a configuration file.
pub fn lend(
    outbound: Arc<Outbound>,
    ingest: &Arc<Ingest>,
    lookup: SecretLookup,
    hub: &Arc<LeaseHub>,
    history: &Arc<HistoryKeeper>,
    has_file: bool,
) -> Adapters {
    let (lending, settling) = (hub.clone(), hub.clone());
    let (refusals, resolving, of_check) = (ingest.refusals(), ingest.clone(), ingest.clone());
    let (kept, looking) = (ingest.refused_requests(), ingest.clone());
    let (warned_of, shown) = (ingest.clone(), ingest.clone());

    Adapters {
        refused: Arc::new(move |source| {
            let seen = refusals.of(source)?;
            Some(Refused {
                counts: seen.counts,
                last_reason: seen.last_reason,
                last_at: seen.last_at,
            })
        }),
        refused_requests: Arc::new(move |source| {
            kept.of(source).into_iter().map(refused_request).collect()
        }),
        why_unusable: Arc::new(move |source| looking.why_unusable(source)),
        certificate: Arc::new(move |wall_ms| own_certificate(&shown, wall_ms)),
        check: Arc::new(move |source, captured, at| match resolving.keys().look_up(source) {
            Ok(source) => check(&source, captured, at),
            Err(why) => refused(IngestProblem::unproven("settings", why, None)),
        }),
        check_source: Arc::new(move |source| {
            let is_new = source.created_at == 0;
            // A reload cannot bring a listener, but client_ca.
            let is_hopeless = is_new && of_check.tls().is_none();
            if let Some(why) = of_check.without_client_certificates(source).filter(|_| is_hopeless)
            {
                return Err(why);
            }
            of_check.allow_lists().check(source)?;
            verify::check_settings(&of_check.keys().look_up(source)?)
        }),
        check_recipient: Arc::new(|source| match verify::unnamed_recipient(source) {
            Some(why) if verify::needs_recipient_first(&source.verify) => Err(why),
            unnamed => Ok(unnamed.is_none()),
        }),
        warnings: Arc::new(move |source| {
            let unreachable = warned_of.without_client_certificates(source).into_iter();
            unreachable.chain(warnings(source)).collect()
        }),
        check_endpoint: Arc::new(endpoint_check(outbound.clone(), lookup, has_file)),
        computed_secret: Arc::new(computed_secret),
        weak_secret: Arc::new(weak_secret),
        why_not: Arc::new(matcher::why_not),
        test_endpoint: Some(Arc::new(move |test| {
            let outbound = outbound.clone();
            Box::pin(async move { try_endpoint(&outbound, &test).await })
        })),
        history: Some(shown_history(history)),
        lease: Arc::new(move |endpoint, ask| {
            let hub = lending.clone();
            Box::pin(async move { hub.lease(&endpoint, ask).await })
        }),
        settle: Arc::new(move |lease, settlement| {
            let hub = settling.clone();
            Box::pin(async move { hub.settle(&lease, settlement).await })
        }),
    }
}

/// Checks an endpoint with the secrets that it names.
fn endpoint_check(
    outbound: Arc<Outbound>,
    lookup: SecretLookup,
    has_file: bool,
) -> impl Fn(&Endpoint) -> Result<(), String> + Send + Sync {
    move |endpoint: &Endpoint| {
        let checked = outbound.check(&looked_up(endpoint, &lookup)?);
        checked.map_err(|refusal| match refusal {
            // The advice is to change a file, which this daemon does not read.
            EndpointRefusal::NotAllowed(why) if !has_file => {
                format!("{why} (start hookboxd with --config FILE)")
            }
            refusal => refusal.to_string(),
        })
    }
}

/// A request that was refused and kept, as it is shown.
fn refused_request(kept: KeptRefusal) -> RefusedRequestView {
    let mut headers = HeadersView::default();
    kept.headers.iter().for_each(|header| headers.add(&header.name, &header.text()));
    RefusedRequestView {
        number: kept.number,
        at: Time(kept.at),
        kind: kept.kind.to_owned(),
        reason: kept.reason,
        remote: kept.remote,
        method: kept.method,
        url: kept.url,
        headers,
        size: kept.size as u64,
        body_base64: STANDARD.encode(&kept.body),
    }
}

/// What the history shows.
fn shown_history(keeper: &Arc<HistoryKeeper>) -> ShowHistory {
    let keeper = keeper.clone();
    Arc::new(move |ask| {
        let keeper = keeper.clone();
        Box::pin(async move { keeper.answer(&ask).await })
    })
}

/// An endpoint with the secrets that its references stand for. An old one that is not found any
/// more is left out.
fn looked_up(endpoint: &Endpoint, lookup: &SecretLookup) -> Result<Endpoint, String> {
    let mut endpoint = endpoint.clone();
    for mut timed in std::mem::take(&mut endpoint.secrets) {
        match lookup(&timed.secret.0) {
            Ok(Some(secret)) => timed.secret.0 = secret,
            Ok(None) => {}
            Err(_) if timed.expires_at.is_some() => continue,
            Err(why) => return Err(why),
        }
        endpoint.secrets.push(timed);
    }
    Ok(endpoint)
}

/// The certificate that TLS listeners show, at this time.
fn own_certificate(ingest: &Ingest, wall_ms: WallMs) -> Option<CertificateView> {
    let own = ingest.tls()?.own_certificate()?;
    Some(CertificateView {
        expires_at: Time(own.not_after),
        valid: own.is_valid(wall_ms),
        warning: own.warning(wall_ms),
    })
}

/// What secrets that only name one stand for.
pub fn lookup(origins: &Origins) -> SecretLookup {
    let origins = origins.clone();
    Arc::new(move |text| origins.reference(text))
}

/// How often each source refused, by kind.
pub fn refusals(
    refusals: &Arc<RefusalCounters>,
) -> Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync> {
    let refusals = refusals.clone();
    Arc::new(move || {
        let counted = refusals.all().into_iter().flat_map(|(source, seen)| {
            let one = move |(kind, count): (&'static str, u64)| RefusalCount {
                source: source.clone(),
                kind: kind.to_owned(),
                count,
            };
            seen.counts.into_iter().map(one)
        });
        counted.collect()
    })
}

/// What the operator should know of a source's settings.
fn warnings(source: &Source) -> Vec<String> {
    let effect = if source.recipient_required {
        "until then requests with a valid proof are answered 503"
    } else {
        "requests made for other recipients are accepted too"
    };
    let unnamed = verify::unnamed_recipient(source).map(|why| format!("{why}; {effect}"));
    unnamed.into_iter().chain(verify::advice(source)).collect()
}

/// `source check`: what would happen to this request, without remembering anything.
fn check(source: &Source, captured: CapturedRequest, at: i64) -> CheckView {
    let CapturedRequest { method, url, headers, body } = captured;
    if let Some(refusal) = head_refusal(&url, &headers) {
        return refusal;
    }
    if !verify::answers(source, &method) {
        let allow = verify::methods(source);
        let reason =
            format!("the scheme {} does not answer {method}; it answers {allow}", source.verify);
        return refused(IngestProblem { reason: Some(reason), ..IngestProblem::method(allow) });
    }

    if body.len() as u64 > source.max_body {
        let reason = format!(
            "the body has {} bytes, and the source accepts at most {}",
            body.len(),
            source.max_body
        );
        let problem = IngestProblem::too_large(source.max_body);
        return refused(IngestProblem { reason: Some(reason), ..problem });
    }

    let request = Request {
        method: &method,
        url: &url,
        headers: &headers,
        body: &body,
        client: None,
        keys: None,
    };

    match verify::verify(source, &request, at) {
        Verdict::Proven(found) => proven(source, &headers, &body, found),
        Verdict::Handshake(answer) => CheckView {
            accepted: true,
            reason: "a handshake: answered, nothing is logged".to_owned(),
            kind: None,
            warnings: None,
            event_type: None,
            dedupe_key: None,
            response: response(&answer),
            not_checked: not_checked(),
            elements: None,
        },
        Verdict::Refused { reason, kind, answer } => {
            refused(IngestProblem::unproven(kind, reason, answer))
        }
    }
}

/// The refusal of a head that the ingress would not have taken: what follows is bounded by that.
fn head_refusal(url: &str, headers: &[Header]) -> Option<CheckView> {
    let target = url.split_once("://").map_or(url, |(_, target)| target).len();
    if target > limits::URI_BYTES {
        return Some(refused(IngestProblem::target_too_long(limits::URI_BYTES)));
    }

    let line = |header: &Header| header.name.len() + ": \r\n".len() + header.value.len();
    let bytes = target + headers.iter().map(line).sum::<usize>();
    if bytes <= limits::HEAD_BYTES && headers.len() <= limits::HEADERS {
        return None;
    }
    Some(refused(IngestProblem::head_too_large(limits::HEAD_BYTES)))
}

/// A request whose proof holds: what it would become.
fn proven(source: &Source, headers: &[Header], body: &[u8], found: Proven) -> CheckView {
    let body = found.part.as_ref().map_or(body, |part| &part.body[..]);
    let facts = identity::of_request(source, headers, body, &found);
    let Proven { answer, elements, .. } = found;
    let reason = match verify::unnamed_recipient(source) {
        Some(why) => format!("the proof is valid, but does not say for whom it was made: {why}"),
        None => "the proof is valid".to_owned(),
    };

    let element = |(n, element)| {
        let facts = identity::of_element(source, headers, element, n);
        CheckElementView { event_type: Some(facts.kind), dedupe_key: facts.dedupe_key }
    };
    let elements: Vec<CheckElementView> = elements.iter().enumerate().map(element).collect();

    CheckView {
        accepted: true,
        reason,
        kind: None,
        warnings: Some(warnings(source)),
        event_type: Some(facts.kind),
        dedupe_key: facts.dedupe_key,
        response: response(&answer.unwrap_or_else(|| ProviderAnswer::empty(202))),
        not_checked: not_checked(),
        elements: Some(elements).filter(|elements| !elements.is_empty()),
    }
}

fn refused(problem: IngestProblem) -> CheckView {
    let answer = problem.answer();
    let IngestProblem { kind, detail, reason, .. } = problem;
    CheckView {
        accepted: false,
        reason: reason.unwrap_or_else(|| detail.into_owned()),
        kind: Some(kind.to_owned()),
        warnings: None,
        event_type: None,
        dedupe_key: None,
        response: response(&answer),
        not_checked: not_checked(),
        elements: None,
    }
}

/// What a request that somebody kept does not tell: who sends it, and how often.
fn not_checked() -> Vec<String> {
    vec!["allow".to_owned(), "rate".to_owned()]
}

fn response(answer: &ProviderAnswer) -> CheckResponseView {
    let mut headers = HeadersView::default();
    answer.headers.iter().for_each(|(name, value)| headers.set(name, value));
    let body_base64 = STANDARD.encode(&answer.body);
    CheckResponseView { status: answer.status, headers, body_base64 }
}

/// `endpoint test`: what would be sent, or one attempt that is not remembered.
async fn try_endpoint(
    outbound: &Outbound,
    test: &EndpointTest,
) -> Result<EndpointTestView, String> {
    let EndpointTest { endpoint, event, dry_run } = test;
    let mut shown = match outbound.preview(endpoint, event) {
        Ok(preview) => EndpointTestView {
            method: Some(preview.method),
            url: Some(preview.url),
            headers: Some(headers(&preview.headers)),
            body_base64: Some(STANDARD.encode(&preview.body)),
            warning: preview.warning,
            ..EndpointTestView::default()
        },
        Err(why) if *dry_run => EndpointTestView {
            outcome: Some(Outcome::Refused.name().to_owned()),
            error: Some(why),
            ..EndpointTestView::default()
        },
        Err(_) => EndpointTestView::default(),
    };
    if *dry_run {
        return Ok(shown);
    }

    let report = match endpoint.batch {
        Some(batch) => {
            let (id, alone) = (BatchId::of_one(event.id), std::slice::from_ref(event));
            let (report, failed) =
                outbound.attempt_batch(id, 1, endpoint, alone, batch.format).await;
            match failed.is_empty() {
                true => report,
                false => AttemptReport {
                    outcome: Outcome::Retryable { after_ms: None },
                    error: Some("the receiver names the event as failed".to_owned()),
                    ..report
                },
            }
        }
        None => {
            let delivery = DeliveryId { seq: 0, endpoint: endpoint.id };
            outbound.attempt(delivery, 1, endpoint, event).await
        }
    };
    shown.outcome = Some(report.outcome.name().to_owned());
    shown.status = report.response.as_ref().map(|response| response.status);
    shown.duration_ms = Some(report.duration_ms);
    shown.answer = report.response.is_some().then(|| report.words()).flatten();
    shown.error = report.error;
    if let Some(command) = &report.command {
        shown.exit = command.exit;
        shown.output = Some(String::from_utf8_lossy(&command.output).into_owned());
    }
    Ok(shown)
}

fn headers(headers: &[Header]) -> HeadersView {
    let mut shown = HeadersView::default();
    headers.iter().for_each(|header| shown.set(&header.name, &header.text()));
    shown
}

#[cfg(test)]
mod tests {
    use super::{CapturedRequest, check};
    use crate::model::{Header, Source, limits};

    #[test]
    fn a_head_is_checked_as_the_ingress_takes_it() {
        let status = |url: &str, headers: Vec<Header>| {
            let (method, url) = ("POST".to_owned(), url.to_owned());
            let captured = CapturedRequest { method, url, headers, body: Vec::new() };
            check(&Source::new("a", "none"), captured, 0).response.status
        };
        let fields =
            |count: usize| (0..count).map(|n| Header::new(format!("x-{n}"), "1")).collect();
        let one = |len: usize| vec![Header::new("x", "y".repeat(len))];
        let url = "https://h.example/in/a";

        assert_eq!(status(url, fields(limits::HEADERS)), 202);
        assert_eq!(status(url, fields(limits::HEADERS + 1)), 431);
        assert_eq!(status(url, one(limits::HEAD_BYTES - 100)), 202);
        assert_eq!(status(url, one(limits::HEAD_BYTES)), 431);
        assert_eq!(status(&format!("{url}?{}", "q".repeat(limits::URI_BYTES)), fields(1)), 414);
    }
}
