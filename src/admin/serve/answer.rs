//! One request: found in the table, permitted, read, done, and answered.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;

use super::body::RequestBody;
use super::dispatch::dispatch;
use super::routes::{self, Op, Route};
use crate::admin::callers::peer::Caller;
use crate::admin::context::Admin;
use crate::admin::http::params::RequestParams;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::{AdminBody, ApiResponse};
use crate::model::limits;

/// Answers a request, and reads the rest of its body.
pub async fn answer(
    admin: &Arc<Admin>,
    request: Request<Incoming>,
    stop: watch::Receiver<bool>,
) -> Response<AdminBody> {
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(&head.headers, body);
    let response = answer_to(admin, &head, &mut body, stop).await;
    body.drain();
    response
}

async fn answer_to(
    admin: &Arc<Admin>,
    head: &Parts,
    body: &mut RequestBody,
    stop: watch::Receiver<bool>,
) -> Response<AdminBody> {
    let caller = admin.context.caller;
    let (uid, pid) = (caller.uid, caller.pid);
    let (method, path) = (&head.method, head.uri.path());
    let (route, arg) = match routes::find(method, path) {
        Ok(found) => found,
        Err(problem) => return problem.into_response(),
    };
    if let Err(problem) = permit(&caller, route) {
        tracing::warn!(target: "audit", uid, pid, %method, path, "refused");
        return problem.into_response();
    }

    let answer = read_and_do(admin, route.op, arg, (head, body), stop).await;
    let response = match answer {
        Ok(answer) => answer.into_response(),
        Err(problem) => problem.into_response(),
    };

    // Consumers come and go all day: what they do stands in the log, and needs no line each.
    let consumes = matches!(route.op, Op::Lease | Op::LeaseAck | Op::LeaseReject | Op::LeaseExtend);
    if route.method != "GET" && !consumes {
        let status = response.status().as_u16();
        tracing::info!(target: "audit", uid, pid, %method, path, status, "operator");
    }
    response
}

async fn read_and_do(
    admin: &Arc<Admin>,
    op: Op,
    arg: String,
    (head, body): (&Parts, &mut RequestBody),
    stop: watch::Receiver<bool>,
) -> Result<ApiResponse, Problem> {
    let caller = admin.context.caller;
    let params = RequestParams::parse(head.uri.query().unwrap_or_default())?;
    let limit = match op {
        Op::EventSend | Op::SourceCheck | Op::LogImport | Op::Apply => limits::ADMIN_BODY,
        _ => limits::ADMIN_SMALL_BODY,
    };

    // Held until the request is done with, body and all.
    let _turn = body.large_turn(&admin.context.bodies, &caller, limit).await?;
    let body = body.read(limit).await?;
    dispatch(admin, op, ApiRequest { caller, arg, params, body, stop }).await
}

/// Whether this caller may do this.
pub fn permit(caller: &Caller, route: &Route) -> Result<(), Problem> {
    if caller.may(route.need) {
        return Ok(());
    }
    let (uid, method, path) = (caller.uid, route.method, route.path);
    let detail = format!(
        "user {uid} may read and operate; {method} {path} is for root and the daemon's own user: \
         use sudo"
    );
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}
