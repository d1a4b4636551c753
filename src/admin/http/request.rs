//! One request, as its handler sees it.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::params::RequestParams;
use super::problem::Problem;
use crate::admin::callers::peer::Caller;
use crate::api::apply::unique_keys;
use crate::api::body::read;

/// One request, with its body read.
pub struct ApiRequest {
    pub caller: Caller,
    /// What stood in the place of `{name}` or `{id}`.
    pub arg: String,
    pub params: RequestParams,
    pub body: Bytes,
    /// True once the daemon stops: long streams end then.
    pub stop: watch::Receiver<bool>,
}

impl ApiRequest {
    /// The body as JSON of a known type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(malformed)
    }

    /// The body as one of [`crate::api::bodies`].
    pub fn fields<T: Default + Serialize + DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(read(&self.body)?)
    }

    /// The body as a JSON object; an absent body is an empty one.
    pub fn object(&self) -> Result<Map<String, Value>, Problem> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        // The settings, and the members of one.
        unique_keys::check_levels(&self.body, 2).map_err(malformed)?;
        self.json()
    }
}

fn malformed(why: serde_json::Error) -> Problem {
    Problem::bad(format!("the body does not have the expected form: {why}"))
}

/// Waits until the daemon stops.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}
