//! The history: what the daemon did and how it stood, by time.

use std::sync::Arc;

use hyper::StatusCode;

use super::names::missing_endpoint;
use crate::admin::adapters::HistoryAsk;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::model::EndpointId;
use crate::model::time::{parse_moment, parse_span_ms};

/// How far it goes back when nobody says so.
const USUAL_MS: u64 = 86_400_000;

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    let params = &mut request.params;
    let (since, until) = (params.take("since"), params.take("until"));
    let (step, name) = (params.take("step"), params.take("endpoint"));
    params.done()?;

    let now = admin.wall_ms();
    let moment = |key: &str, text: String| {
        parse_moment(&text, now).map_err(|why| Problem::bad(format!("'{key}' (--{key}): {why}")))
    };
    let until = until.map_or(Ok(now), |text| moment("until", text))?;
    let since = since.map_or(Ok(until.saturating_sub(USUAL_MS)), |text| moment("since", text))?;
    let step_ms = step.map(|text| parse_step(&text)).transpose()?;
    let endpoint = name.as_ref().map(|name| endpoint(admin, name)).transpose()?;

    let Some(history) = &admin.adapters.history else {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "this daemon keeps no history"));
    };
    let mut view =
        history(HistoryAsk { endpoint, since, until, step_ms }).await.map_err(Problem::bad)?;
    view.endpoint = name;
    Ok(ApiResponse::ok(view))
}

fn parse_step(text: &str) -> Result<u64, Problem> {
    match parse_span_ms(text) {
        Ok(0) => Err(Problem::bad("'step' (--step): must be longer than 0")),
        step => step.map_err(|why| Problem::bad(format!("'step' (--step): {why}"))),
    }
}

fn endpoint(admin: &Admin, name: &str) -> Result<EndpointId, Problem> {
    let directory = admin.handle.directory();
    let found = directory.endpoints.iter().find(|endpoint| endpoint.name == name);
    found.map(|endpoint| endpoint.id).ok_or_else(|| missing_endpoint(admin, name))
}
