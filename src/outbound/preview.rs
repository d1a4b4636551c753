//! What would be sent for an event, for people: secrets struck out, nothing dialled.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;

use crate::model::{Endpoint, Event, Header};

use super::command::{COMMAND, command_facts};
use super::headers::{self, Facts};
use super::message::Message;
use super::prepared::Way;
use super::shape::Shaper;
use super::{Outbound, exec, url};

/// A request that is not made.
#[derive(Clone, Debug)]
pub struct Preview {
    pub method: String,
    pub url: String,
    pub headers: Vec<Header>,
    pub body: Bytes,
    /// What can be sent and is probably not meant.
    pub warning: Option<String>,
}

impl Outbound {
    /// What a first attempt to deliver `event` would send.
    ///
    /// # Errors
    /// Why nothing would be sent, in words for the operator.
    pub fn preview(&self, endpoint: &Arc<Endpoint>, event: &Arc<Event>) -> Result<Preview, String> {
        let prepared = self.prepare(endpoint);
        let parts = prepared.parts.as_ref().map_err(Clone::clone)?;
        let mut message = Message::of(endpoint, event).map_err(|failure| failure.to_string())?;
        if parts.shaper.is_some() {
            // Compiled anew without whoever knows the secrets.
            Shaper::new(&endpoint.shape, None)?.apply(event, 1, &parts.way.uri(), &mut message)?;
        }
        let started = (self.clock)();
        let target = match &parts.way {
            Way::Http { target, .. } => target,
            Way::Exec(program) => {
                self.permits().allow.admit(program.path())?;
                let facts = command_facts(None, 1, started, &message, &parts.keys);
                return Ok(Preview {
                    method: COMMAND.to_owned(),
                    url: program.shown(),
                    headers: exec::shown(exec::environment(endpoint, &message, &facts)),
                    warning: warning(&message, endpoint.shape.body.is_some()),
                    body: message.body,
                });
            }
        };
        let facts = Facts {
            message: &message,
            number: 1,
            wall_ms: started.wall_ms,
            host: &target.host,
            agent: &self.agent,
            keys: &parts.keys,
        };
        let (_, shown) = headers::build(&facts);
        let url =
            message.path.as_ref().map_or_else(|| endpoint.url.clone(), |path| url::with_path(&endpoint.url, path));
        Ok(Preview {
            method: message.method.to_string(),
            url,
            headers: shown,
            warning: warning(&message, endpoint.shape.body.is_some()),
            body: message.body,
        })
    }
}

/// A template that makes what is no JSON, and says that it is.
fn warning(message: &Message, is_shaped: bool) -> Option<String> {
    let says_json = |kind: &[u8]| {
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        kind == b"application/json" || kind.ends_with(b"+json")
    };
    let is_said = message.headers.iter().any(|(name, value)| name == CONTENT_TYPE && says_json(value.as_bytes()));
    if !is_shaped || !is_said {
        return None;
    }
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(&message.body).err()?;
    Some(format!("the body is not JSON ({error}): write values as {{{{ … | tojson }}}}, or give --content-type"))
}
