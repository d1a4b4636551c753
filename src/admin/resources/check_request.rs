//! `source check`: what would happen to a request, without remembering it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

use super::sources;
use crate::admin::adapters::CapturedRequest;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::api::CheckBody;
use crate::model::Header;

pub async fn check(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let source = sources::find(admin, &request.arg)?;
    let given: CheckBody = request.fields()?;
    let at = given.at.unwrap_or_else(|| i64::try_from(admin.wall_ms() / 1000).unwrap_or(i64::MAX));
    let captured = captured(given)?;

    let check = admin.adapters.check.clone();
    // Public-key schemes take a while: not on a thread that serves others. The
    // permit is given back when the check is done, even if its sender has hung up.
    let permit = admin.context.checks.wait(request.caller.uid).await;
    let checked = tokio::task::spawn_blocking(move || {
        let checked = check(&source, captured, at);
        drop(permit);
        checked
    });
    let checked = checked.await;
    let broke = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "checking the request failed");
    Ok(ApiResponse::ok(checked.map_err(broke)?))
}

fn captured(given: CheckBody) -> Result<CapturedRequest, Problem> {
    let body = STANDARD.decode(&given.body_base64).map_err(|e| {
        Problem::bad(format!("'body_base64' is not base64 (RFC 4648 section 4, padded): {e}"))
    })?;

    let header =
        |(name, value): (&str, &str)| Header::new(name.to_ascii_lowercase(), value.to_owned());
    let headers = given.headers.iter().map(header).collect();

    let missing = |key: &str| Problem::bad(format!("'{key}' is missing"));
    Ok(CapturedRequest {
        method: given.method.ok_or_else(|| missing("method"))?,
        url: given.url.ok_or_else(|| missing("url"))?,
        headers,
        body,
    })
}
