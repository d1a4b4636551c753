//! Import: events that another log accepted, or a lost part of this one, as lines of JSON (see
//! `record::line`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use data_encoding::HEXLOWER;
use hyper::StatusCode;
use sha2::{Digest, Sha256};

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::identity::{NO_SOURCE, fingerprint, identity, imported_as};
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::walk;
use crate::api::views::ImportView;
use crate::ingest::verify;
use crate::model::time::parse_wall;
use crate::model::{EndpointId, Event, WallMs, limits};
use crate::queue::{ImportEvents, ImportedDead, ImportedEvent, Refusal};
use crate::record::line::{DeliveryLine, EventLine};

/// Why a dead letter died, when an export does not say.
const NO_REASON: &str = "it was a dead letter where it was imported from";

/// Imports the lines of the body that were not imported before. With `history_only` nothing of them
/// is delivered.
pub async fn import(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let history_only = request.params.flag("history_only")?;
    let first_line = match request.params.take("first_line") {
        None => 1,
        Some(text) => text
            .parse()
            .map_err(|_| Problem::bad(format!("'first_line' is a number, not '{text}'")))?,
    };
    request.params.done()?;

    let health = admin.handle.health();
    if !health.accepting.load(Ordering::Acquire) {
        return Err(Refusal::NoDiskSpace(health.reason()).into());
    }

    let lines = read_lines(admin, &request.body, first_line, history_only)?;
    if lines.len() > limits::SLICE {
        let detail = format!("at most {} events at a time", limits::SLICE);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    walk::value(admin, move |scan| {
        let all = lines.len();
        let imported = scan.ask(&ImportEvents { events: fresh(scan, lines)? })?;
        Ok(ApiResponse::ok(ImportView { imported, skipped: all - imported }))
    })
    .await
}

/// A line of an export, as the queue takes it.
struct ImportedLine {
    event: ImportedEvent,
    /// Which of its endpoints is not here. It matters only if the event is not here either.
    absent: Option<Problem>,
}

fn read_lines(
    admin: &Admin,
    body: &[u8],
    first_line: u64,
    history_only: bool,
) -> Result<Vec<ImportedLine>, Problem> {
    let mut lines = Vec::new();
    for (line, number) in body.split(|byte| *byte == b'\n').zip(first_line..u64::MAX) {
        if !line.iter().all(u8::is_ascii_whitespace) {
            let at_line = |what| Problem::bad(format!("line {number}: {what}"));
            let (event, absent) = imported(admin, line, history_only).map_err(at_line)?;
            lines.push(ImportedLine { event, absent: absent.map(at_line) });
        }
    }
    Ok(lines)
}

/// The events that are not here yet.
fn fresh(scan: &LogScan, lines: Vec<ImportedLine>) -> Result<Vec<ImportedEvent>, Problem> {
    let mut fresh = Vec::new();
    for ImportedLine { event, absent } in lines {
        if is_here(scan, &event)? {
            continue;
        }
        match absent {
            Some(problem) if imported_as(scan, event.event.webhook_id())?.is_none() => {
                return Err(problem);
            }
            // It was imported before: the queue leaves it out.
            _ => fresh.push(event),
        }
    }
    Ok(fresh)
}

/// Reads a line. Gives as well which endpoint of it is not here.
fn imported(
    admin: &Admin,
    line: &[u8],
    history_only: bool,
) -> Result<(ImportedEvent, Option<String>), String> {
    let line: EventLine = serde_json::from_slice(line).map_err(|error| {
        // The number of the line stands before it.
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
        format!("this is not an exported event: {words}, at column {}", error.column())
    })?;
    let mut event = line.event()?;
    check_sizes(&event)?;

    let directory = admin.handle.directory();
    let source = directory.sources_by_name.get(&event.source_name);
    if let Some(source) = source {
        event.source = source.id;
    }
    let deliveries: &[DeliveryLine] = if history_only { &[] } else { &line.deliveries };
    let open = open_deliveries(admin, deliveries)?;

    let key = event.dedupe_key.as_ref().filter(|_| event.source != NO_SOURCE);
    let of = |text: &str| fingerprint(directory.salt, event.source, text);
    // As ingest makes it: an event with this key and another body is another event. What a scheme
    // makes of a request is not known here: then its key alone says that it came before.
    let is_known = source.is_none_or(|source| !verify::has_own_content(&source.verify));
    let content = || of(&format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&event.body))));
    let imported = ImportedEvent {
        dedupe: key.map(|key| of(key)),
        content: key.filter(|_| is_known).map(|_| content()),
        identity: identity(admin, event.webhook_id()),
        event,
        deliver_to: open.deliver_to,
        dead: open.dead,
    };
    Ok((imported, open.absent))
}

fn check_sizes(event: &Event) -> Result<(), String> {
    let texts = [
        (event.kind.len(), limits::TYPE_LEN),
        (event.source_name.len(), limits::NAME_LEN),
        (event.dedupe_key.as_ref().map_or(0, String::len), limits::DEDUPE_KEY_LEN),
    ];
    let headers = event.headers.iter().map(|h| h.name.len() + h.value.len()).sum::<usize>();
    let too_large =
        (event.body.len() as u64) > limits::MAX_BODY || headers > limits::HEAD_BYTES * 2;

    if too_large || texts.iter().any(|(len, most)| len > most) {
        return Err("the event is larger than any that is accepted here".to_owned());
    }
    Ok(())
}

/// What of an imported event is still to be done.
#[derive(Default)]
struct OpenDeliveries {
    deliver_to: Vec<EndpointId>,
    dead: Vec<ImportedDead>,
    /// Why it cannot be done: the endpoint is not here.
    absent: Option<String>,
}

fn open_deliveries(admin: &Admin, deliveries: &[DeliveryLine]) -> Result<OpenDeliveries, String> {
    let directory = admin.handle.directory();
    let mut open = OpenDeliveries::default();
    for delivery in deliveries {
        let what = match delivery.state.as_str() {
            _ if delivery.waits() => "still has to be delivered to",
            _ if delivery.is_dead() => "is a dead letter of",
            "delivered" | "cancelled" | "unknown" => continue,
            other => return Err(format!("'{other}' is not a state of a delivery")),
        };

        let name = &delivery.endpoint;
        let Some(endpoint) = directory.endpoints.iter().find(|endpoint| endpoint.name == *name)
        else {
            open.absent = Some(format!(
                "it {what} endpoint '{name}', which is not here: create it, or import with \
                 --history-only"
            ));
            continue;
        };
        match delivery.is_dead() {
            true => open.dead.push(dead_letter(delivery, endpoint.id, admin.wall_ms())?),
            false => open.deliver_to.push(endpoint.id),
        }
    }

    let mut named = HashSet::new();
    let mut all = open.dead.iter().map(|dead| dead.endpoint).chain(open.deliver_to.iter().copied());
    if !all.all(|endpoint| named.insert(endpoint)) {
        return Err("it names an endpoint twice".to_owned());
    }
    Ok(open)
}

/// A dead letter as it was; what an export does not say of it (a CloudEvent has no place for it) is
/// made up for.
fn dead_letter(
    delivery: &DeliveryLine,
    endpoint: EndpointId,
    now: WallMs,
) -> Result<ImportedDead, String> {
    let letter = delivery.dead_letter.clone().unwrap_or_default();
    let died_at = match &letter.died_at {
        Some(at) => parse_wall(at).ok_or_else(|| format!("'died_at': '{at}' is not a time"))?,
        None => now,
    };

    let mut reason = if letter.reason.is_empty() { NO_REASON.to_owned() } else { letter.reason };
    reason.truncate(reason.floor_char_boundary(limits::REASON_LEN));
    Ok(ImportedDead { endpoint, attempts: letter.attempts, died_at, reason })
}

/// Whether this very log holds the event under its first id. One that it has lost may come in
/// again.
fn is_here(scan: &LogScan, imported: &ImportedEvent) -> Result<bool, Problem> {
    let id = imported.event.webhook_id();
    if id.seq == 0 || id.seq > scan.log().durable() {
        return Ok(false);
    }
    let at = scan.event_views(&[id.seq])?.first().map_or(id.seq, |view| view.stands_at);
    // What cannot be read is lost: that is what is being brought back.
    let record = scan.log().read(at).ok().flatten();
    Ok(record.and_then(|record| Some(record.held_event()?.event.id)) == Some(id))
}
