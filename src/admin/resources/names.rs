//! Names: read from requests, and shown for the numbers that the log knows.

use serde_json::{Map, Value};

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::model::{EndpointId, limits, valid_name};

/// The name in the body of a request that creates something.
pub fn name(body: &mut Map<String, Value>) -> Result<Option<String>, Problem> {
    match body.shift_remove("name") {
        None => Ok(None),
        Some(Value::String(name)) if valid_name(&name) => Ok(Some(name)),
        Some(Value::String(name)) => Err(bad_name(&name)),
        Some(_) => Err(Problem::bad("'name': must be a text in quotes")),
    }
}

fn bad_name(name: &str) -> Problem {
    let shown: String = name.chars().take(80).collect();
    Problem::bad(format!(
        "'{shown}' cannot be a name: use 1 to {} of a-z A-Z 0-9 . _ -, beginning with a letter or \
         a digit",
        limits::NAME_LEN
    ))
}

/// The endpoint's name; its number when it was deleted.
pub fn endpoint_name(admin: &Admin, id: EndpointId) -> String {
    let directory = admin.handle.directory();
    let found = directory.endpoints.iter().find(|e| e.id == id);
    let former = || directory.former_endpoints.get(&id).cloned();
    found.map(|e| e.name.clone()).or_else(former).unwrap_or_else(|| format!("#{id}"))
}
