//! `endpoint test`: what would be sent for an event, or sending it once. Nothing is remembered.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::Admin;
use super::events::{self, body};
use super::fields::{Fields, boolean, text};
use super::http::{Answer, Call, Problem};
use super::walk;
use crate::model::{Endpoint, Event, EventId, Header, SourceId, limits};

/// One trial, as another room carries it out.
#[derive(Clone, Debug)]
pub struct Trial {
    pub endpoint: Arc<Endpoint>,
    pub event: Arc<Event>,
    /// Only say what would be sent.
    pub dry_run: bool,
}

pub(super) async fn test(admin: &Arc<Admin>, endpoint: Arc<Endpoint>, call: Call) -> Result<Answer, Problem> {
    if endpoint.is_pull() {
        let name = &endpoint.name;
        let detail = format!(
            "nothing is sent to '{name}': its consumers come for what is due; take it as one with `hookboxctl consume {name}`"
        );
        return Err(Problem::bad(detail));
    }
    let given = if call.body.is_empty() { Map::new() } else { call.object()? };
    let mut fields = Fields::new(given);
    let dry_run = fields.get("dry_run", boolean)?.unwrap_or(false);
    let (event, told) = event(admin, &endpoint, &mut fields).await?;
    fields.done()?;
    let Some(test) = admin.seams.test_endpoint.clone() else {
        let detail = "this daemon cannot try an endpoint: use `hookboxctl event send` and `hookboxctl delivery list`";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    };
    let why_not = told.then(|| (admin.seams.why_not)(&endpoint, &event)).flatten();
    let mut answer = json!({
        "endpoint": endpoint.name,
        "event": event.id.to_string(),
        "dry_run": dry_run,
        "matches": told.then_some(why_not.is_none()),
        "why_not": why_not,
    });
    let said = test(Trial { endpoint, event, dry_run }).await;
    let said = said.map_err(|why| Problem::new(StatusCode::BAD_GATEWAY, why))?;
    if let (Value::Object(answer), Value::Object(said)) = (&mut answer, said) {
        answer.extend(said);
    }
    Ok(Answer::ok(answer))
}

/// The event to try: one of the log, one that is given, or one that is made up; and whether somebody chose it.
async fn event(admin: &Arc<Admin>, endpoint: &Endpoint, fields: &mut Fields) -> Result<(Arc<Event>, bool), Problem> {
    let id = fields.get("event", text)?;
    let (kind, source) = (fields.get("type", text)?, fields.get("source", text)?);
    let content_type = fields.get("content_type", text)?;
    let given = if fields.has("data") || fields.has("data_base64") {
        Some(body(fields)?)
    } else {
        // Known all the same, for the list of what there is.
        let _ = (fields.take("data"), fields.take("data_base64"));
        None
    };
    if kind.as_ref().is_some_and(|kind| kind.len() > limits::TYPE_LEN) {
        return Err(Problem::bad(format!("'type' has at most {} characters", limits::TYPE_LEN)));
    }
    let Some(id) = id else {
        let told = given.is_some() || kind.is_some() || source.is_some();
        // One that the endpoint takes events from, when nobody says another.
        let usual = || endpoint.from.first().cloned().unwrap_or_else(|| "test".to_owned());
        let source = source.or_else(|| told.then(usual));
        return Ok((Arc::new(made_up(admin, given, kind, source, content_type)), told));
    };
    if given.is_some() || kind.is_some() || source.is_some() || content_type.is_some() {
        return Err(Problem::bad("'event' is one of the log: give nothing else of it, or leave it out"));
    }
    let id: EventId = id.parse().map_err(|e| Problem::bad(format!("'event': {e}")))?;
    let found = walk::value(admin, move |walker| events::read(walker, id.seq)).await?;
    let (event, _) =
        found.filter(|(event, _)| event.id == id).ok_or_else(|| Problem::missing("event", &id.to_string()))?;
    Ok((event, true))
}

fn made_up(
    admin: &Admin,
    body: Option<Bytes>,
    kind: Option<String>,
    source: Option<String>,
    content_type: Option<String>,
) -> Event {
    let wall_ms = admin.wall_ms();
    let plain = br#"{"type":"hookbox.test","data":{"message":"hookbox can reach this endpoint"}}"#;
    let made_up = body.is_none();
    let body = body.unwrap_or_else(|| Bytes::from_static(plain));
    let content_type = content_type.unwrap_or_else(|| events::content_type_of(&body).to_owned());
    let named = source.as_ref().and_then(|name| admin.handle.directory().sources_by_name.get(name).cloned());
    Event {
        id: EventId { seq: 0, tag: wall_ms },
        // 0 is the daemon's own.
        source: match (&named, &source) {
            (Some(named), _) => named.id,
            (None, Some(name)) if name != "hookbox" => SourceId::MAX,
            _ => 0,
        },
        source_name: source.unwrap_or_else(|| "hookbox".to_owned()),
        kind: kind.unwrap_or_else(|| if made_up { "hookbox.test".to_owned() } else { String::new() }),
        received_at: wall_ms,
        dedupe_key: None,
        request_line: String::new(),
        remote: String::new(),
        headers: vec![Header::new("content-type", content_type)],
        body,
        from_provider: false,
        first_id: None,
    }
}
