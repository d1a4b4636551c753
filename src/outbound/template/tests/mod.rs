//! Templates: what they make of events, what is refused, and what becomes of secrets.

mod checks;
mod requests;
mod values;

use std::sync::Arc;

use hyper::header::HeaderValue;

use super::compiled::EndpointTemplates;
use crate::model::{Event, EventId, Header, RequestTemplate};
use crate::outbound::message::Message;
use crate::outbound::settings::SecretLookup;

fn event(body: &str) -> Arc<Event> {
    Arc::new(Event {
        id: EventId { seq: 1, tag: 1 },
        source: 1,
        source_name: "shop".into(),
        kind: "order.paid".into(),
        received_at: 0,
        dedupe_key: None,
        request_line: String::new(),
        remote: String::new(),
        headers: vec![
            Header::new("content-type", "application/json"),
            Header::new("x-shop", "north"),
        ],
        body: body.to_owned().into(),
        from_provider: false,
        first_id: None,
    })
}

fn template_of(body: &str) -> RequestTemplate {
    RequestTemplate { body: Some(body.to_owned()), ..RequestTemplate::default() }
}

fn message(event: &Event) -> Message {
    Message::new(
        event.id.to_string(),
        event.body.clone(),
        HeaderValue::from_static("application/json"),
    )
}

fn apply(template: &RequestTemplate, event: &Arc<Event>, url: &str) -> Result<Message, String> {
    let lookup: SecretLookup = Arc::new(|name| match name {
        "env:KEY" => Ok(Some("hunter2".to_owned())),
        _ => Ok(None),
    });
    let mut message = message(event);
    EndpointTemplates::new(template, Some(&lookup))?
        .apply(event, 2, &url.parse().unwrap(), &mut message)
        .map_err(|unusable| unusable.to_string())?;
    Ok(message)
}

fn body(template: &str, event_body: &str) -> Result<String, String> {
    let made = apply(&template_of(template), &event(event_body), "/")?;
    Ok(String::from_utf8_lossy(&made.body).into_owned())
}
