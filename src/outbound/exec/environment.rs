//! The environment of a command.

use hyper::header::CONTENT_TYPE;

use crate::model::Header;
use crate::outbound::message::{TRACEPARENT, TRACESTATE};
use crate::outbound::sign;
use crate::outbound::transport::Attempt;

const SIGNATURE: &str = "HOOKBOX_SIGNATURE";

/// The variables of one attempt. One is empty where there is nothing to put into it.
pub fn environment(attempt: &Attempt<'_>) -> Vec<Header> {
    let message = &attempt.message;
    let mut headers = message.headers.iter();
    let content_type = headers.find(|(name, _)| name == CONTENT_TYPE);
    let content_type = content_type.map(|(_, value)| value.as_bytes());

    let delivery = attempt.delivery.map(|delivery| delivery.to_string()).unwrap_or_default();
    let number = attempt.number.to_string();
    let wall_ms = attempt.started.wall_ms;
    let seconds = (wall_ms / 1000).to_string();
    let signed = sign::signature(attempt.keys, &message.id, &seconds, &message.body, wall_ms);
    let signature = signed.map(|signed| signed.value).unwrap_or_default();

    let field = |wanted| {
        let found = message.headers.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.as_bytes()).unwrap_or_default()
    };
    let variables: [(&str, &[u8]); 12] = [
        ("HOOKBOX_ENDPOINT", attempt.endpoint.name.as_bytes()),
        ("HOOKBOX_ID", message.id.as_bytes()),
        ("HOOKBOX_TYPE", message.kind.as_bytes()),
        ("HOOKBOX_SOURCE", message.source.as_bytes()),
        ("HOOKBOX_QUERY", message.query.as_bytes()),
        ("HOOKBOX_CONTENT_TYPE", content_type.unwrap_or_default()),
        ("HOOKBOX_DELIVERY", delivery.as_bytes()),
        ("HOOKBOX_ATTEMPT", number.as_bytes()),
        ("HOOKBOX_TIMESTAMP", seconds.as_bytes()),
        (SIGNATURE, signature.as_bytes()),
        ("TRACEPARENT", field(TRACEPARENT)),
        ("TRACESTATE", field(TRACESTATE)),
    ];

    // A text from outside may hold a NUL, which no environment can.
    let without_nul = |value: &[u8]| value.iter().copied().filter(|b| *b != 0).collect::<Vec<u8>>();
    // A trace that is empty would be one that cannot be read.
    let is_given = |(name, value): &(&str, &[u8])| !name.starts_with("TRACE") || !value.is_empty();
    variables
        .into_iter()
        .filter(is_given)
        .map(|(name, value)| Header::new(name, without_nul(value)))
        .collect()
}

/// The variables as the log keeps them: without the signature.
pub fn shown(mut environment: Vec<Header>) -> Vec<Header> {
    environment.retain(|variable| !variable.value.is_empty() && variable.name != SIGNATURE);
    environment
}
