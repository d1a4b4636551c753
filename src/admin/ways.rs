//! Settings of how an endpoint is reached and what is sent: shape, proxy and certificates, commands, leases.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::http::Problem;
use crate::model::Endpoint;

/// Puts the given fields into `endpoint`.
pub(super) fn apply(_endpoint: &mut Endpoint, _fields: &mut Fields) -> Result<(), Problem> {
    Ok(())
}

/// Adds them to what is shown of it.
pub(super) fn show(_endpoint: &Endpoint, _row: &mut Map<String, Value>) {}
