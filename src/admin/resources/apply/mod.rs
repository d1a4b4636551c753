//! Sources and endpoints from files: applied in one commit, compared, exported.

mod perform;

pub use perform::apply_at_start;

use hyper::StatusCode;

use crate::admin::apply::{self, ConfiguredNow, PlanOptions};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::api::{ApplyBody, ConfigurationSet};
use crate::model::similar::nearest;

/// Applies a set, or shows what that would change.
pub async fn apply(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let body: ApplyBody = request.fields()?;
    let ApplyBody { source, endpoint, set, prune, force, dry_run } = body;
    let wanted = ConfigurationSet::read(source, endpoint)?;
    let options = PlanOptions { set: set.map(|set| set.0), prune, force };
    Ok(ApiResponse::ok(perform::apply(admin, &wanted, &options, dry_run).await?))
}

/// What is configured, as a file has it.
pub async fn export(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let set = request.params.take("set");
    request.params.done()?;
    let now = perform::configured_now(admin).await?;
    if let Some(name) = set.as_deref().filter(|name| !now.has_set(name)) {
        return Err(unknown_set(&now, name));
    }
    Ok(ApiResponse::ok(apply::export(&now, set.as_deref())))
}

/// Nothing that is configured belongs to this set: which one was probably meant.
fn unknown_set(now: &ConfiguredNow, name: &str) -> Problem {
    let mut detail = format!("no source and no endpoint belongs to the set '{name}'");
    if let Some(meant) = nearest(name, now.sets()) {
        detail.push_str(&format!("; did you mean '{meant}'?"));
    }
    Problem::new(StatusCode::NOT_FOUND, detail)
}
