//! Names: read from requests, and shown for the numbers that the log knows.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::model::similar::nearest;
use crate::model::{DeliveryFilter, Endpoint, EndpointId, check_name};
use crate::queue::OWN_SOURCE;

/// The name in the body of a request that creates something.
pub fn name(body: &mut Map<String, Value>) -> Result<Option<String>, Problem> {
    match body.shift_remove("name") {
        None => Ok(None),
        Some(Value::String(name)) => match check_name(&name) {
            Ok(()) => Ok(Some(name)),
            Err(why) => Err(Problem::bad(why)),
        },
        Some(_) => Err(Problem::bad("'name': must be a text in quotes")),
    }
}

/// There is no such endpoint: which one was probably meant.
pub fn missing_endpoint(admin: &Admin, name: &str) -> Problem {
    let directory = admin.handle.directory();
    missing("endpoint", name, directory.endpoints.iter().map(|endpoint| endpoint.name.as_str()))
}

/// There is no such source: which one was probably meant.
pub fn missing_source(admin: &Admin, name: &str) -> Problem {
    let directory = admin.handle.directory();
    missing("source", name, directory.sources_by_name.keys().map(String::as_str))
}

fn missing<'a>(
    what: &'static str,
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Problem {
    let mut problem = Problem::missing(what, name);
    if let Some(meant) = nearest(name, names) {
        problem.detail = format!("{}; did you mean '{meant}'?", problem.detail);
    }
    problem
}

/// Refuses a name that no endpoint has.
pub fn check_endpoint(admin: &Admin, name: &str) -> Result<(), Problem> {
    let is_there = admin.handle.directory().endpoints.iter().any(|found| found.name == name);
    if is_there { Ok(()) } else { Err(missing_endpoint(admin, name)) }
}

/// Refuses a name that no source has.
pub fn check_source(admin: &Admin, name: &str) -> Result<(), Problem> {
    let directory = admin.handle.directory();
    let is_there = name == OWN_SOURCE || directory.sources_by_name.contains_key(name);
    if is_there { Ok(()) } else { Err(missing_source(admin, name)) }
}

/// Refuses the names of a filter that nothing has or had, once nothing was found: events of a
/// source that was deleted are still there.
pub fn check_filter(admin: &Admin, filter: &DeliveryFilter) -> Result<(), Problem> {
    let directory = admin.handle.directory();
    if let Some(name) = filter.events.source.as_deref() {
        check_source(admin, name)?;
    }
    let is_former = |name: &str| directory.former_endpoints.values().any(|former| former == name);
    match filter.endpoint.as_deref().filter(|name| !is_former(name)) {
        Some(name) => check_endpoint(admin, name),
        None => Ok(()),
    }
}

/// The numbers of the endpoints that have or had this name; see [`endpoint_name`].
pub fn endpoint_ids(admin: &Admin, name: &str) -> Vec<EndpointId> {
    let directory = admin.handle.directory();
    let living = directory.endpoints.iter().filter(|endpoint| endpoint.name == name);
    let former = directory.former_endpoints.iter().filter(|(_, former)| *former == name);
    // One that is not known any more is named by its number.
    let number = name.strip_prefix('#').and_then(|number| number.parse().ok());
    living.map(|endpoint| endpoint.id).chain(former.map(|(id, _)| *id)).chain(number).collect()
}

/// The settings of an endpoint that was not deleted.
pub fn endpoint_of(admin: &Admin, id: EndpointId) -> Option<Arc<Endpoint>> {
    admin.handle.directory().endpoints.iter().find(|endpoint| endpoint.id == id).cloned()
}

/// The endpoint's name; its number when it was deleted.
pub fn endpoint_name(admin: &Admin, id: EndpointId) -> String {
    let directory = admin.handle.directory();
    let found = directory.endpoints.iter().find(|e| e.id == id);
    let former = || directory.former_endpoints.get(&id).cloned();
    found.map(|e| e.name.clone()).or_else(former).unwrap_or_else(|| format!("#{id}"))
}
