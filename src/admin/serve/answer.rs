//! One request: found in the table, permitted, read, done, and answered.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;

use super::body::RequestBody;
use super::dispatch::dispatch;
use super::impatient::PATIENCE;
use super::routes::{self, Op, Route};
use crate::admin::callers::peer::Caller;
use crate::admin::context::Admin;
use crate::admin::http::params::RequestParams;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::{AdminBody, ApiResponse};
use crate::api::body::has_more_values;
use crate::model::limits;
use crate::permits::FairPermit;
use crate::queue::Refusal;

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
    let BodyBounds { bytes, values } = BodyBounds::of(op);

    // Held until the request is done with, body and all.
    let turn = body.large_turn(&admin.context.bodies, &caller, bytes).await?;
    let send = send_permit(admin, op).await?;
    let body = body.read(bytes).await?;
    if values.is_some_and(|most| has_more_values(&body, most)) {
        return Err(too_many_values(values));
    }

    let request = ApiRequest { caller, arg, params, body, stop };
    if turn.is_none() && send.is_none() {
        return dispatch(admin, op, request).await;
    }
    // Whoever hangs up has no other turn before this body is done with: it may be on its way to the
    // thread that decides, or on a thread that checks it.
    let admin = admin.clone();
    let done = tokio::spawn(async move {
        let done = dispatch(&admin, op, request).await;
        drop((turn, send));
        done
    });
    done.await.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request broke off"))
    })
}

/// What a body may be.
struct BodyBounds {
    bytes: usize,
    /// Values of JSON, where a tree is made of them.
    values: Option<usize>,
}

impl BodyBounds {
    fn of(op: Op) -> Self {
        match op {
            // What is given as data stays the text that it is.
            Op::EventSend => Self { bytes: limits::ADMIN_BODY, values: None },
            Op::EndpointTest => Self { bytes: limits::ADMIN_SMALL_BODY, values: None },
            Op::SourceCheck => {
                Self { bytes: limits::ADMIN_BODY, values: Some(limits::ADMIN_VALUES) }
            }
            Op::LogImport | Op::Apply => {
                Self { bytes: limits::ADMIN_BODY, values: Some(limits::ADMIN_VALUES_OF_FILES) }
            }
            _ => Self { bytes: limits::ADMIN_SMALL_BODY, values: Some(limits::ADMIN_VALUES) },
        }
    }
}

fn too_many_values(most: Option<usize>) -> Problem {
    let most = most.unwrap_or_default();
    let detail = format!("the body has more values than the {most} that are taken here");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// A place for an event of this caller on its way to the thread that decides.
async fn send_permit(admin: &Admin, op: Op) -> Result<Option<FairPermit<u32>>, Problem> {
    if op != Op::EventSend {
        return Ok(None);
    }
    let permit = admin.context.sends.wait(admin.context.caller.uid);
    let permit = tokio::time::timeout(PATIENCE, permit).await;
    permit.map(Some).map_err(|_| Refusal::Busy.into())
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
