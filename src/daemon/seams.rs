//! What the admin room borrows of other rooms, as functions, so that the rooms need not know each other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admin::logview::{Expect, LogFault, Problem, Progress, Report, SegmentInfo, Walk};
use crate::admin::{CapturedRequest, LogView, RefusalCount, Refused, Seams, Trial};
use crate::ingest::verify::{self, Answer, Proven, Request, Verdict};
use crate::ingest::{Ingest, Origins, Refusals, facts};
use crate::log::Reader;
use crate::model::{DeliveryId, Header, Outcome, Seq, Source};
use crate::outbound::pull::Hub;
use crate::outbound::{Lookup, Outbound};
use crate::queue::matcher;
use crate::record::Record;

/// Everything that is lent.
pub fn lend(outbound: Arc<Outbound>, ingest: &Arc<Ingest>, lookup: Lookup, hub: &Arc<Hub>) -> Seams {
    let (lending, settling) = (hub.clone(), hub.clone());
    let checking = outbound.clone();
    let (refusals, resolving, of_check) = (ingest.refusals(), ingest.clone(), ingest.clone());
    Seams {
        refused: Arc::new(move |source| {
            let seen = refusals.of(source)?;
            Some(Refused { counts: seen.counts, last_reason: seen.last_reason, last_at: seen.last_at })
        }),
        check: Arc::new(move |source, captured, at| match resolving.keys().look_up(source) {
            Ok(source) => check(&source, captured, at),
            Err(why) => refused(&why, "settings", &Answer::empty(401)),
        }),
        check_source: Arc::new(move |source| {
            of_check.allow_lists().check(source)?;
            verify::check_settings(&of_check.keys().look_up(source)?)
        }),
        check_endpoint: Arc::new(move |endpoint| {
            let mut endpoint = endpoint.clone();
            for timed in &mut endpoint.secrets {
                if let Some(secret) = lookup(&timed.secret.0)? {
                    timed.secret.0 = secret;
                }
            }
            checking.check(&endpoint)
        }),
        why_not: Arc::new(matcher::why_not),
        test_endpoint: Some(Arc::new(move |trial| {
            let outbound = outbound.clone();
            Box::pin(async move { try_endpoint(&outbound, &trial).await })
        })),
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

/// What secrets that only name one stand for.
pub fn lookup(origins: &Origins) -> Lookup {
    let origins = origins.clone();
    Arc::new(move |text| origins.reference(text))
}

/// How often each source refused, by kind.
pub fn refusals(refusals: &Arc<Refusals>) -> Arc<dyn Fn() -> Vec<RefusalCount> + Send + Sync> {
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

/// `source check`: what would happen to this request, without remembering anything.
fn check(source: &Source, captured: CapturedRequest, at: i64) -> Value {
    let CapturedRequest { method, url, headers, body } = captured;
    if !verify::answers(&source.verify, &method) {
        let allow = verify::methods(&source.verify);
        let reason = format!("the scheme {} does not answer {method}; it answers {allow}", source.verify);
        let headers = vec![("allow".to_owned(), allow.to_owned())];
        return refused(&reason, "method", &Answer { status: 405, headers, body: Vec::new() });
    }
    if body.len() as u64 > source.max_body {
        let reason = format!("the body has {} bytes, the source takes {}", body.len(), source.max_body);
        return refused(&reason, "too-large", &Answer::empty(413));
    }
    let request = Request { method: &method, url: &url, headers: &headers, body: &body, client: None };
    match verify::verify(source, &request, at) {
        Verdict::Proven(proven) => {
            let Proven { kind, dedupe_key, answer, elements, follow_up: _ } = proven;
            let facts = facts::of_request(source, &headers, &body, kind, dedupe_key);
            let mut said = json!({
                "accepted": true, "reason": "the proof holds", "type": facts.kind, "dedupe_key": facts.dedupe_key,
                "response": response(&answer.unwrap_or_else(|| Answer::empty(202))),
            });
            if !elements.is_empty() {
                let element = |(n, element)| {
                    let facts = facts::of_element(source, &headers, element, n);
                    json!({"type": facts.kind, "dedupe_key": facts.dedupe_key})
                };
                said["elements"] = elements.iter().enumerate().map(element).collect();
            }
            said
        }
        Verdict::Handshake(answer) => json!({
            "accepted": true, "reason": "a handshake: answered, nothing is logged", "type": null, "dedupe_key": null,
            "response": response(&answer),
        }),
        Verdict::Refused { reason, kind, answer } => {
            refused(&reason, kind, &answer.unwrap_or_else(|| Answer::empty(401)))
        }
    }
}

fn refused(reason: &str, kind: &str, answer: &Answer) -> Value {
    json!({
        "accepted": false, "reason": reason, "kind": kind, "type": null, "dedupe_key": null,
        "response": response(answer),
    })
}

fn response(answer: &Answer) -> Value {
    let headers: serde_json::Map<String, Value> =
        answer.headers.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    json!({ "status": answer.status, "headers": headers, "body_base64": STANDARD.encode(&answer.body) })
}

/// `endpoint test`: what would be sent, or one attempt that is not remembered.
async fn try_endpoint(outbound: &Outbound, trial: &Trial) -> Result<Value, String> {
    let Trial { endpoint, event, dry_run } = trial;
    let shown = outbound.preview(endpoint, event);
    let mut said = match &shown {
        Ok(shown) => json!({
            "method": shown.method,
            "url": shown.url,
            "headers": headers(&shown.headers),
            "body_base64": STANDARD.encode(&shown.body),
            "warning": shown.warning,
        }),
        Err(why) if *dry_run => json!({"outcome": "refused", "error": why}),
        Err(_) => json!({}),
    };
    if *dry_run {
        return Ok(said);
    }
    let delivery = DeliveryId { seq: 0, endpoint: endpoint.id };
    let report = outbound.attempt(delivery, 1, endpoint, event).await;
    said["outcome"] = json!(match report.outcome {
        Outcome::Delivered => "delivered",
        Outcome::Retryable { .. } => "failed",
        Outcome::Gone => "gone",
        Outcome::Refused => "refused",
        Outcome::Hold => "hold",
        Outcome::Drop => "drop",
    });
    said["status"] = json!(report.response.as_ref().map(|response| response.status));
    said["duration_ms"] = json!(report.duration_ms);
    said["error"] = json!(report.error);
    if let Some(command) = &report.command {
        said["exit"] = json!(command.exit);
        said["output"] = json!(String::from_utf8_lossy(&command.output));
    }
    Ok(said)
}

fn headers(headers: &[Header]) -> Value {
    headers.iter().map(|header| (header.name.clone(), Value::String(header.text()))).collect()
}

/// The log as the admin room sees it.
pub struct View(pub Reader);

impl LogView for View {
    fn first(&self) -> Seq {
        self.0.first()
    }

    fn durable(&self) -> Seq {
        self.0.durable()
    }

    fn read(&self, seq: Seq) -> Result<Option<Record>, LogFault> {
        self.0.read(seq).map_err(|error| LogFault(error.to_string()))
    }

    fn forward(&self, from: Seq) -> Walk<'_> {
        Box::new(self.0.forward(from).map(|item| item.map_err(|error| LogFault(error.to_string()))))
    }

    fn backward(&self, before: Seq) -> Walk<'_> {
        Box::new(self.0.backward(before).map(|item| item.map_err(|error| LogFault(error.to_string()))))
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.0.segments().into_iter().map(|s| SegmentInfo {
            number: s.number,
            first: s.first,
            last: s.last,
            records: s.records,
            payload_bytes: s.payload_bytes,
            disk_bytes: s.disk_bytes,
            created_at: s.created_at,
            sealed_at: s.sealed_at,
            head: s.head,
            lost: s.lost,
        });
        segments.collect()
    }

    fn head(&self) -> (Seq, [u8; 32]) {
        let head = self.0.head();
        (head.seq, head.hash)
    }

    fn pieces(&self, first: Seq, send: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<(), LogFault> {
        let sent = self.0.pieces(first, &mut |piece| send(piece.to_wire()));
        sent.map(|_| ()).map_err(|error| LogFault(error.to_string()))
    }

    fn damage(&self) -> Vec<Problem> {
        self.0.damage().into_iter().map(problem).collect()
    }

    fn verify(&self, expect: Option<Expect>, progress: &mut dyn FnMut(Progress)) -> Report {
        let mut told = |p: crate::log::Progress| {
            progress(Progress { segment: p.segment, segments: p.segments as u64, records: p.records });
        };
        let report = match expect {
            Some(Expect { seq, head }) => self.0.verify_expecting(crate::log::Expect { seq, head }, &mut told),
            None => self.0.verify(&mut told),
        };
        Report {
            ok: report.ok,
            records: report.records,
            segments: report.segments as u64,
            first: report.first,
            last: report.last,
            head: report.head,
            expected_at: report.expected_at,
            problems: report.problems.into_iter().map(problem).collect(),
        }
    }
}

fn problem(p: crate::log::Problem) -> Problem {
    Problem { segment: p.segment, first: p.first, last: p.last, what: p.what }
}
