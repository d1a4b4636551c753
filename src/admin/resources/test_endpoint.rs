//! `endpoint test`: what would be sent for an event, or sending it once. Nothing is remembered.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;

use super::events::content::{content_type_of, data_of};
use super::redaction::is_plain_header;
use crate::admin::adapters::EndpointTest;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::event_lookup::read;
use crate::admin::scan::walk;
use crate::api::TestEndpointBody;
use crate::api::views::EndpointTestView;
use crate::model::secret::redacted_to_origin;
use crate::model::{Endpoint, Event, EventId, Header, REDACTED, SourceId, limits};

/// What others than owners are shown where no request could be made.
const HIDDEN_ERROR: &str = "its settings make no request of this event: `hookboxctl endpoint test` \
                            tells root and the daemon's own user why";

pub async fn test(
    admin: &Arc<Admin>,
    endpoint: Arc<Endpoint>,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    if endpoint.is_leased() {
        let name = &endpoint.name;
        let detail = format!(
            "nothing is sent to '{name}': its consumers fetch their events; use `hookboxctl \
             consume {name}`"
        );
        return Err(Problem::bad(detail));
    }

    let given: TestEndpointBody = request.fields()?;
    let dry_run = given.dry_run;
    let (event, is_chosen) = event(admin, &endpoint, given).await?;
    let Some(test) = admin.adapters.test_endpoint.clone() else {
        let detail = "this daemon cannot try an endpoint: use `hookboxctl event send` and \
                      `hookboxctl delivery list`";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    };

    let why_not =
        if is_chosen { matched(admin, endpoint.clone(), event.clone()).await? } else { None };
    let (name, id) = (endpoint.name.clone(), event.id);
    let has_template = endpoint.template.body.is_some();
    let tested = test(EndpointTest { endpoint, event, dry_run }).await;
    let shows_secrets = admin.shows_secrets();
    let mut shown = tested.map_err(|why| {
        let why = if shows_secrets { why } else { HIDDEN_ERROR.to_owned() };
        Problem::new(StatusCode::BAD_GATEWAY, why)
    })?;
    if !shows_secrets {
        hide(&mut shown, has_template);
    }

    Ok(ApiResponse::ok(EndpointTestView {
        endpoint: name,
        event: id.to_string(),
        dry_run,
        matches: is_chosen.then_some(why_not.is_none()),
        why_not,
        ..shown
    }))
}

/// Leaves out what the endpoint's owner may have written secrets into.
fn hide(shown: &mut EndpointTestView, has_template: bool) {
    // Where no request could be made, the reason is one of the settings.
    if shown.method.is_none() && shown.error.is_some() {
        shown.error = Some(HIDDEN_ERROR.to_owned());
    }
    // Of a command, the arguments follow its path.
    let first = |url: &String| redacted_to_origin(url.split(' ').next().unwrap_or(url));
    shown.url = shown.url.as_ref().map(first);
    if let Some(headers) = &mut shown.headers {
        let names: Vec<String> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names.iter().filter(|name| !is_plain_header(name)) {
            headers.set(name, REDACTED);
        }
    }
    if has_template {
        shown.body_base64 = None;
    }
}

/// Why the endpoint does not want the event; found out where filters are evaluated, by turns.
async fn matched(
    admin: &Admin,
    endpoint: Arc<Endpoint>,
    event: Arc<Event>,
) -> Result<Option<String>, Problem> {
    let why_not = admin.adapters.why_not.clone();
    let permit = admin.context.checks.wait(admin.context.caller.uid).await;
    let found = admin.handle.evaluate(move || {
        let found = why_not(&endpoint, &event);
        drop(permit);
        found
    });
    Ok(found.await?)
}

/// The event to test with: one of the log, one that is given, or a generated one; and whether the
/// caller chose it.
async fn event(
    admin: &Arc<Admin>,
    endpoint: &Endpoint,
    given: TestEndpointBody,
) -> Result<(Arc<Event>, bool), Problem> {
    let (kind, source) = (given.event_type.map(String::from), given.source.map(String::from));
    let content_type = given.content_type.map(String::from);
    let data = data_of(given.data, given.data_base64)?;
    if kind.as_ref().is_some_and(|kind| kind.len() > limits::TYPE_LEN) {
        return Err(Problem::bad(format!("'type' has at most {} characters", limits::TYPE_LEN)));
    }

    let Some(id) = given.event else {
        let is_chosen = data.is_some() || kind.is_some() || source.is_some();
        // One that the endpoint takes events from, when nobody says another.
        let usual = || endpoint.from.first().cloned().unwrap_or_else(|| "test".to_owned());
        let source = source.or_else(|| is_chosen.then(usual));
        return Ok((Arc::new(generated(admin, data, kind, source, content_type)), is_chosen));
    };

    if data.is_some() || kind.is_some() || source.is_some() || content_type.is_some() {
        return Err(Problem::bad(
            "'event' names a stored event: leave it out, or the other fields of an event",
        ));
    }
    let id: EventId = id.0.parse().map_err(|e| Problem::bad(format!("'event': {e}")))?;
    let found = walk::value(admin, move |scan| read(scan, id.seq)).await?;
    let found = found.filter(|(event, _)| event.id == id);
    let (event, _) = found.ok_or_else(|| Problem::missing("event", &id.to_string()))?;
    Ok((event, true))
}

fn generated(
    admin: &Admin,
    body: Option<Bytes>,
    kind: Option<String>,
    source: Option<String>,
    content_type: Option<String>,
) -> Event {
    let wall_ms = admin.wall_ms();
    let plain = br#"{"type":"hookbox.test","data":{"message":"hookbox can reach this endpoint"}}"#;
    let is_plain = body.is_none();
    let body = body.unwrap_or_else(|| Bytes::from_static(plain));
    let content_type = content_type.unwrap_or_else(|| content_type_of(&body).to_owned());
    let named = source
        .as_ref()
        .and_then(|name| admin.handle.directory().sources_by_name.get(name).cloned());

    Event {
        id: EventId { seq: 0, tag: wall_ms },
        // 0 is the daemon's own.
        source: match (&named, &source) {
            (Some(named), _) => named.id,
            (None, Some(name)) if name != "hookbox" => SourceId::MAX,
            _ => 0,
        },
        source_name: source.unwrap_or_else(|| "hookbox".to_owned()),
        kind: kind
            .unwrap_or_else(|| if is_plain { "hookbox.test".to_owned() } else { String::new() }),
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
