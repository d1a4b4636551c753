//! The events that a proven request becomes: one, or each element of a batch that its source
//! splits. Pure.

use std::sync::Arc;

use bytes::Bytes;
use hyper::http::request::Parts;

use super::headers;
use super::identity::{self, EventIdentity};
use super::route::{self, Peer};
use super::verify::{Proven, ProviderAnswer, SplitEvent};
use crate::model::secret::is_signature_name;
use crate::model::{Header, Source, is_digest};
use crate::queue::NewEvent;

/// The events of a proven request, and the answer that its provider insists on.
pub(super) fn new_events(
    source: &Arc<Source>,
    salt: u64,
    peer: &Peer,
    head: &Parts,
    mut headers: Vec<Header>,
    body: Bytes,
    proven: Proven,
) -> (Vec<NewEvent>, Option<ProviderAnswer>) {
    let mut proven = proven;
    let is_part = proven.part.is_some();
    let body = match proven.part.take() {
        Some(part) => {
            headers.retain(|header| !describes_the_whole_body(&header.name));
            headers.push(Header::new("content-type", part.content_type));
            part.body
        }
        None => body,
    };

    // Identities are found in all headers, of which not all are kept.
    let identities = identities(source, &headers, &body, &proven);
    let Proven { answer, elements, .. } = proven;
    if is_part || !elements.is_empty() {
        headers.retain(|header| !is_signature(source, &header.name));
    }
    headers::keep(source, &mut headers);

    let request_line = route::request_line(source, head);
    let event = |identity: EventIdentity, headers: Vec<Header>, body: Bytes| {
        let (dedupe, beside) = identity.fingerprints(salt, source.id);
        NewEvent {
            source: source.clone(),
            dedupe,
            beside,
            kind: identity.kind,
            dedupe_key: identity.dedupe_key,
            request_line: request_line.clone(),
            remote: peer.text.clone(),
            headers,
            body,
        }
    };

    if elements.is_empty() {
        let only = identities
            .into_iter()
            .map(|identity| event(identity, std::mem::take(&mut headers), body.clone()));
        return (only.collect(), answer);
    }

    headers.retain(|header| !describes_the_whole_body(&header.name));
    let split = identities.into_iter().zip(elements).map(|(identity, element)| {
        let mut own = headers.clone();
        own.push(Header::new("content-type", element.content_type));
        event(identity, own, element.body)
    });
    (split.collect(), answer)
}

/// One for each event.
fn identities(
    source: &Source,
    headers: &[Header],
    body: &[u8],
    proven: &Proven,
) -> Vec<EventIdentity> {
    if proven.elements.is_empty() {
        return vec![identity::of_request(source, headers, body, proven)];
    }
    let of_element = |(index, element): (usize, &SplitEvent)| {
        identity::of_element(source, headers, element, index)
    };
    proven.elements.iter().enumerate().map(of_element).collect()
}

/// Whether a header is true of a batch and not of its elements.
fn describes_the_whole_body(name: &str) -> bool {
    matches!(name, "content-type" | "content-encoding") || is_digest(name)
}

/// Whether a header holds a signature, which fits no other body than the one that was posted.
fn is_signature(source: &Source, name: &str) -> bool {
    let is_set = |key: &str| {
        let set = source.params.get(key).and_then(serde_json::Value::as_str);
        set.is_some_and(|set| set.eq_ignore_ascii_case(name))
    };
    is_signature_name(name) || (source.verify == "hmac" && is_set("header"))
}
