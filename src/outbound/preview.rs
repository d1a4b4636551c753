//! The request that would be sent for an event, for people: secrets are redacted, and nothing is
//! dialled.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;

use crate::model::{BatchId, Endpoint, Event, Header};

use super::attempts::Outbound;
use super::message::Message;
use super::response::ReadLimits;
use super::template::compiled::EndpointTemplates;
use super::transport::Attempt;

/// A request that is not made.
#[derive(Clone, Debug)]
pub struct Preview {
    pub method: String,
    pub url: String,
    pub headers: Vec<Header>,
    pub body: Bytes,
    /// Why it is probably not meant as it is.
    pub warning: Option<String>,
}

impl Outbound {
    /// The request that a first attempt to deliver `event` would send.
    ///
    /// # Errors
    /// Why nothing would be sent, in words for the operator.
    pub fn preview(&self, endpoint: &Arc<Endpoint>, event: &Arc<Event>) -> Result<Preview, String> {
        let prepared = self.prepare(endpoint);
        let parts = prepared.parts().map_err(|failure| failure.to_string())?;

        // Without a way to look secrets up, so that none is in what people are shown.
        let templates = match &parts.templates {
            Some(_) => Some(EndpointTemplates::new(&endpoint.template, None)?),
            None => None,
        };
        let message = match endpoint.batch {
            Some(batch) => {
                let alone = std::slice::from_ref(event);
                Message::of_batch(BatchId::of_one(event.id), batch.format, alone)
            }
            None => parts
                .message_with(templates.as_ref(), endpoint, event, 1)
                .map_err(|why| why.to_string())?,
        };

        let attempt = Attempt {
            endpoint,
            delivery: None,
            number: 1,
            message,
            keys: &parts.keys,
            started: self.now(),
            read_limits: ReadLimits::ONE,
        };
        let request = parts.transport.preview(&attempt)?;
        let message = attempt.message;
        Ok(Preview {
            method: request.method,
            url: request.url,
            headers: request.headers,
            warning: warning(&message, endpoint.template.body.is_some()),
            body: message.body,
        })
    }
}

/// Warns of a template whose body is not the JSON that its content type announces.
fn warning(message: &Message, has_template: bool) -> Option<String> {
    let is_json = |kind: &[u8]| {
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        kind == b"application/json" || kind.ends_with(b"+json")
    };
    let announces_json = message
        .headers
        .iter()
        .any(|(name, value)| name == CONTENT_TYPE && is_json(value.as_bytes()));
    if !has_template || !announces_json {
        return None;
    }

    let error = serde_json::from_slice::<serde::de::IgnoredAny>(&message.body).err()?;
    Some(format!(
        "the body is not JSON ({error}): write values as {{{{ … | tojson }}}}, or give \
         --content-type"
    ))
}
