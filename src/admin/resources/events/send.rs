//! `event send`: an event that comes in as a source's, without the proof that its senders need.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper::StatusCode;
use sha2::{Digest, Sha256};

use super::content::{content_type_of, data_of, extra_headers};
use crate::admin::callers::peer::Caller;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::sources;
use crate::admin::scan::identity::fingerprint;
use crate::api::SendEventBody;
use crate::api::values::Text;
use crate::api::views::EventSentView;
use crate::model::{Fingerprints, Header, Source, limits};
use crate::queue::{NewEvent, OWN_SOURCE};

pub async fn send(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let event = new_event(admin, request.fields()?, request.caller)?;
    let accepted = admin.handle.accept(vec![event]).await?;
    let first = accepted.first().ok_or_else(Problem::gone)?;
    Ok(ApiResponse::accepted(EventSentView {
        id: Text(first.id),
        duplicate: first.duplicate,
        conflicts_with: first.conflicts_with.map(Text),
    }))
}

fn new_event(admin: &Admin, given: SendEventBody, caller: Caller) -> Result<NewEvent, Problem> {
    let name = given
        .source
        .ok_or_else(|| Problem::bad("'source' is missing: name the source of the event"))?
        .0;
    if name == OWN_SOURCE {
        let what = format!(
            "'{OWN_SOURCE}' is built in, and its events are made by the daemon \
                            alone: send the event in the name of another source"
        );
        return Err(Problem::new(StatusCode::CONFLICT, what));
    }
    let source = sources::find(admin, &name)?;
    let kind = given.event_type.map(String::from).unwrap_or_default();
    let key = given.id.map(String::from);
    let body = data_of(given.data, given.data_base64)?
        .ok_or_else(|| Problem::bad("'data' is missing: give 'data' or 'data_base64'"))?;
    check_sizes(&source, &kind, key.as_deref(), &body)?;

    let content_type =
        given.content_type.map_or_else(|| content_type_of(&body).to_owned(), String::from);
    let mut headers = vec![Header::new("content-type", content_type)];
    headers.extend(extra_headers(&given.headers)?);

    let salt = admin.handle.directory().salt;
    let of = |text: &str| fingerprint(salt, source.id, text);
    let content =
        key.as_ref().map(|_| of(&format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&body)))));
    Ok(NewEvent {
        dedupe: key.as_deref().map(of),
        beside: Fingerprints { content, ..Fingerprints::default() },
        dedupe_key: key,
        request_line: format!("POST /in/{}", source.name),
        remote: format!("admin socket, user {}", caller.uid),
        source,
        kind,
        headers,
        body,
    })
}

fn check_sizes(
    source: &Source,
    kind: &str,
    key: Option<&str>,
    body: &Bytes,
) -> Result<(), Problem> {
    if kind.len() > limits::TYPE_LEN || key.is_some_and(|key| key.len() > limits::DEDUPE_KEY_LEN) {
        let (kind, key) = (limits::TYPE_LEN, limits::DEDUPE_KEY_LEN);
        let detail = format!("'type' has at most {kind} characters, 'id' at most {key}");
        return Err(Problem::bad(detail));
    }
    if body.len() as u64 > source.max_body {
        let (name, most) = (&source.name, source.max_body);
        let detail = format!(
            "the data has {} bytes, and source '{name}' accepts at most {most}",
            body.len()
        );
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(())
}
