//! One answer, for people: a sentence, or a screen.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::answer::Whole;
use super::clock::now_ms;
use super::fields::fields_except;
use super::table::{
    ALWAYS, Columns, Show, Table, clean, count, local, moment, or_dash, text, time,
};
use super::terminal::Terminal;
use crate::api::values::SecretText;
use crate::api::views::{
    AcknowledgedView, AttemptView, CheckView, DamageView, DeliveryDetailView, EndpointTestView,
    EndpointView, EventDetailView, ExplainView, HeadersView, ReasonView, SourceView, VerifyView,
};
use crate::model::limits;
use crate::model::safe_text::readable;
use crate::model::time::{parse_wall, rfc3339};

/// A source or a bin that was just created.
pub(super) fn created_source(noun: &str, source: &SourceView) -> String {
    let (name, url) = (&source.name, text(&source.url));
    let mut text = format!("Created {noun} {name}. Post webhooks to {url}");
    if source.expires_at.is_some() {
        let _ = write!(text, "\nIt expires {}.", time(source.expires_at, now_ms()));
    }

    text + &secret_line(source.settings.secret.as_ref()) + &warning_lines(&source.warnings)
}

/// An endpoint that was just created.
pub(super) fn created_endpoint(endpoint: &EndpointView) -> String {
    let (name, url) = (&endpoint.name, or_dash(endpoint.settings.url.as_ref()));
    let secret = secret_line(endpoint.settings.secret.as_ref());
    format!("Created endpoint {name}. It delivers to {url}{secret}")
}

/// A source that was just updated.
pub(super) fn updated_source(source: &SourceView) -> String {
    let (name, secret) = (&source.name, secret_line(source.settings.secret.as_ref()));
    format!("Updated source {name}.{secret}{}", warning_lines(&source.warnings))
}

/// An endpoint that was just updated.
pub(super) fn updated_endpoint(endpoint: &EndpointView) -> String {
    let (name, secret) = (&endpoint.name, secret_line(endpoint.settings.secret.as_ref()));
    format!("Updated endpoint {name}.{secret}{}", warning_lines(&endpoint.warnings))
}

pub(super) fn warning_lines(warnings: &[String]) -> String {
    let line = |warning: &String| format!("\nWarning: {}.", text(warning));
    warnings.iter().map(line).collect()
}

fn secret_line(secret: Option<&SecretText>) -> String {
    let line = |secret: &SecretText| format!("\nSecret (shown only once): {}", secret.0.0);
    secret.map(line).unwrap_or_default()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase().to_string());
    first.map(|first| first + letters.as_str()).unwrap_or_default()
}

/// An event with its headers, its deliveries and its body.
pub(super) fn event(event: &Whole<EventDetailView>) -> String {
    let mut screen = fields_except(&event.fields, &["headers", "body_base64", "deliveries"]);
    let event = &event.view;
    screen.push_str(&header_lines(&event.headers));

    screen.push_str("\ndeliveries\n");
    if event.deliveries.is_empty() {
        // When it was not the filters, a field above says what it was.
        let is_explained = !event.filter_too_expensive.is_empty() || event.remark.is_some();
        screen.push_str(if is_explained { "  none\n" } else { "  none: no endpoint matched it\n" });
    }
    for delivery in &event.deliveries {
        let (endpoint, state) = (text(&delivery.endpoint), text(&delivery.state.to_string()));
        let _ = writeln!(screen, "  {}  {endpoint}  {state}", delivery.id);
    }

    screen.push_str("\nbody\n");
    let save = format!("hookboxctl event body {} > FILE", event.summary.id);
    screen.push_str(&beginning(&event.body_base64, event.summary.size, &save));
    screen
}

/// The beginning of a body of this size as text, and how all of it is saved.
fn beginning(base64: &str, size: usize, save: &str) -> String {
    // Four letters are three bytes: no more is decoded than is shown.
    let letters = base64.len().min(limits::BODY_SHOWN / 3 * 4);
    let body = STANDARD.decode(&base64.as_bytes()[..letters]).unwrap_or_default();
    let left = size.saturating_sub(body.len());
    if left == 0 {
        return body_text(&body, usize::MAX);
    }
    let shown = readable(&body, true).map(|_| body_text(&body, body.len()) + "\n");
    let more = if shown.is_some() { "more bytes" } else { "bytes that are not text" };
    let left = if shown.is_some() { left } else { size };
    format!("{}… {left} {more}: {save}", shown.unwrap_or_default())
}

fn header_lines(headers: &HeadersView) -> String {
    let mut lines = "\nheaders\n".to_owned();
    for (name, value) in headers.iter() {
        let _ = writeln!(lines, "  {name}: {}", text(value));
    }
    lines
}

/// How many bytes a text in base64 stands for.
fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

/// Text without its control characters; of anything else, how many bytes there are. Of a body of so
/// many bytes `kept` there may have been more.
fn body_text(body: &[u8], kept: usize) -> String {
    match readable(body, body.len() >= kept) {
        Some(text) if text.is_empty() => "(empty)".into(),
        Some(text) => {
            let lines = text
                .split('\n')
                .map(|line| clean(&line.trim_end_matches('\r').replace('\t', "  ")));
            lines.collect::<Vec<_>>().join("\n")
        }
        None => format!("({} bytes that are not text: use --json)", body.len()),
    }
}

/// A delivery with a line for each attempt, and what was answered to the last one.
pub(super) fn delivery(delivery: &Whole<DeliveryDetailView>, terminal: Terminal) -> String {
    let mut screen = fields_except(&delivery.fields, &["history", "operator"]);
    let DeliveryDetailView { delivery, history, operator } = &delivery.view;

    screen.push('\n');
    match (history.is_empty(), delivery.attempts) {
        (false, _) => screen.push_str(&attempt_table(history, terminal)),
        (true, None | Some(0)) => screen.push_str("Not attempted yet.\n"),
        (true, _) => screen.push_str(
            "Its attempts are not in this log: it was imported, or retention has removed them.\n",
        ),
    }

    for action in operator {
        let at = moment(Some(action.at), now_ms());
        let _ = writeln!(screen, "{} by the operator {at}", action.what);
    }
    screen + &history.last().map(said).unwrap_or_default()
}

const ATTEMPTS: Columns<AttemptView> = &[
    ("ATTEMPT", Show::Number(|attempt| Some(attempt.number.into())), ALWAYS),
    ("STARTED", Show::Text(|attempt| local(attempt.started_at.0)), 2),
    ("TOOK MS", Show::Number(|attempt| Some(attempt.duration_ms)), 1),
    ("OUTCOME", Show::State(|attempt| attempt.outcome.clone()), ALWAYS),
    ("STATUS", Show::Number(|attempt| attempt.status.map(u64::from)), ALWAYS),
    ("NEXT", Show::Time(|attempt| attempt.next_at), ALWAYS),
    ("ERROR OR ANSWER", Show::Text(why), ALWAYS),
];

/// Why an attempt failed: its error, and what was answered.
fn why(attempt: &AttemptView) -> String {
    // What a receiver says to what it takes is shown below.
    let answer = attempt.answer.as_deref().filter(|_| attempt.outcome != "delivered");
    let parts = [attempt.error.as_deref(), answer];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn attempt_table(history: &[AttemptView], terminal: Terminal) -> String {
    let mut table = Table::on(terminal, now_ms(), ATTEMPTS);
    let lines: String = history.iter().filter_map(|attempt| table.push(attempt)).collect();
    lines + &table.finish()
}

/// What the receiver answered to an attempt, or the command said, as text.
fn said(attempt: &AttemptView) -> String {
    let number = attempt.number;
    let mut screen = String::new();
    if let Some(response) = &attempt.response {
        let body = STANDARD.decode(&response.body_base64).unwrap_or_default();
        let body = match response.trimmed {
            true => "(not kept: disk space was scarce)".to_owned(),
            false => body_text(&body, limits::RESPONSE_KEPT),
        };
        let status = response.status;
        let _ = writeln!(screen, "\nanswer to attempt {number}: {status}\n{}", indented(&body));
    }
    if let Some(output) = &attempt.output {
        let exit = attempt.exit.map_or_else(|| "killed".to_owned(), |exit| format!("exit {exit}"));
        let output = indented(&body_text(output.as_bytes(), usize::MAX));
        let _ = writeln!(screen, "\noutput of attempt {number}: {exit}\n{output}");
    }
    screen
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Why a delivery waits: a sentence a line.
pub(super) fn explained(answer: &ExplainView) -> String {
    let (id, event, endpoint) = (&answer.id, &answer.event, text(&answer.endpoint));
    let (state, attempts) = (text(&answer.state.to_string()), count(answer.attempts, "attempt"));

    let mut lines = format!("{id} ({event} to {endpoint}) is {state}, after {attempts}.\n");
    for reason in &answer.reasons {
        let _ = writeln!(lines, "- {}.", capital(&text(&with_local_times(reason))));
    }
    lines
}

/// A reason, with the times among its facts as they are where the caller is.
fn with_local_times(reason: &ReasonView) -> String {
    let mut text = reason.text.clone();
    for fact in reason.facts.values().filter_map(Value::as_str) {
        // Only what is written as a time: others may be a receiver's words.
        if let Some(at) = parse_wall(fact).filter(|at| rfc3339(*at) == fact) {
            text = text.replace(fact, &local(at));
        }
    }
    text
}

/// The result of `source check`: what would happen to a request.
pub(super) fn checked(answer: &CheckView) -> String {
    let verdict = if answer.accepted { "accepted" } else { "refused" };
    let reason = match answer.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", clean(reason)),
    };

    let mut lines = format!("It would be {verdict}{reason}\n");
    for (label, value) in [
        ("type", or_dash(answer.event_type.as_ref())),
        ("dedupe key", or_dash(answer.dedupe_key.as_ref())),
        ("answer", answer.response.status.to_string()),
        ("not checked", answer.not_checked.join(", ")),
    ] {
        let _ = writeln!(lines, "{label:<11} {}", text(&value));
    }
    lines
}

/// The result of `endpoint test`: what was sent, or would be, and the outcome.
pub(super) fn tested(answer: &Whole<EndpointTestView>) -> String {
    let mut given = answer.fields.clone();
    given.retain(|_, value| !value.is_null());
    let mut screen = fields_except(&given, &["headers", "body_base64", "output"]);

    let answer = &answer.view;
    if let Some(headers) = &answer.headers {
        screen.push_str(&header_lines(headers));
    }
    if let Some(body) = &answer.body_base64 {
        screen.push_str("\nbody\n");
        screen.push_str(&beginning(body, decoded_len(body), "see --json"));
    }
    if let Some(output) = answer.output.as_ref().filter(|output| !output.is_empty()) {
        screen.push_str("\noutput\n");
        screen.push_str(&body_text(output.as_bytes(), usize::MAX));
    }
    screen
}

/// That damage was acknowledged, and when; nothing where it was not.
pub(super) fn known(damage: &DamageView) -> String {
    let when = damage.acknowledged_at.map(|at| local(at.0));
    when.map(|when| format!(" (acknowledged {when})")).unwrap_or_default()
}

/// What `log acknowledge` has done.
pub(super) fn acknowledged(done: &AcknowledgedView) -> String {
    if done.damage.is_empty() {
        return "No damage is known.".to_owned();
    }
    let ranges = count(done.acknowledged, "damaged range");
    let mut lines = format!("Acknowledged: {ranges}.\n");
    for damage in &done.damage {
        let DamageView { segment, first, last, .. } = damage;
        let _ = writeln!(
            lines,
            "segment {segment}, records {first} to {last}{}: {}",
            known(damage),
            text(&damage.what)
        );
    }
    lines
}

/// The report of `log verify`.
pub(super) fn verified(report: &VerifyView) -> String {
    let records = count(report.records, "record");
    let segments = count(report.segments, "segment");
    let (first, last) = (report.first, report.last);
    if report.ok {
        let expected = report
            .expected_at
            .map(|at| format!(" The expected head is in the chain, at record {at}."))
            .unwrap_or_default();
        return format!("OK: {records}, {first} to {last}, in {segments}.{expected}");
    }

    let mut lines = format!("INCONSISTENT: {records}, {first} to {last}, in {segments}.\n");
    for problem in &report.problems {
        let (segment, first, last) = (problem.segment, problem.first, problem.last);
        let (what, known) = (text(&problem.what), known(problem));
        let _ = writeln!(lines, "segment {segment}, records {first} to {last}{known}: {what}");
    }
    lines.push_str(
        "What a damaged segment still has may be read with `hookboxctl log salvage --output FILE` \
         (and --data DIR where no daemon runs).\n",
    );
    lines
}
