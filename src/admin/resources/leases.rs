//! Leases of pull endpoints: lease deliveries, acknowledge, reject or extend them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

use super::endpoints;
use super::redaction::headers_view;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::{ApiRequest, stopped};
use crate::admin::http::response::ApiResponse;
use crate::api::values::{Int, Span, Text, Time};
use crate::api::views::{LeaseView, LeasesView, SettledView};
use crate::api::{EmptyBody, ExtendBody, LeaseBody, RejectBody};
use crate::model::share::{Share, ShareHolder};
use crate::model::{LeaseError, LeaseRequest, LeasedDelivery, Settlement, limits, query};

pub async fn lease(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let body: LeaseBody = request.fields()?;
    let found = endpoints::find(admin, &request.arg).await?;
    // What is due has to be read before it can be leased.
    let may_come = found.waiting > 0;
    let endpoint = found.endpoint;
    if !endpoint.is_leased() {
        let detail = format!(
            "endpoint '{}' is not a pull endpoint: make one with --url pull:",
            endpoint.name
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }

    let max = body.max.map_or(1, Int::get) as usize;
    let wait_ms = body.wait.map_or(0, Span::ms);
    let wait_ms = if may_come { wait_ms.max(limits::LEASE_LOOK_MS) } else { wait_ms };
    let lease_ms = body.lease.map_or(endpoint.pull.lease_ms, Span::ms);
    let ask = LeaseRequest { max, wait_ms, lease_ms };
    let uid = request.caller.uid;
    let Some(_permit) = admin.context.consumers.take(uid) else {
        admin.handle.shares().note(Share::Consumers, ShareHolder::User(uid));
        return Err(problem(LeaseError::TooMany(limits::CONSUMERS)));
    };
    let leased = tokio::select! {
        leased = (admin.adapters.lease)(endpoint, ask) => leased.map_err(problem)?,
        // A daemon that stops leases nothing.
        () = stopped(&mut request.stop) => Vec::new(),
    };
    let leases = leased.iter().map(view).collect();
    Ok(ApiResponse::ok(LeasesView { leases, lease: Span::from_ms(lease_ms) }))
}

fn view(leased: &LeasedDelivery) -> LeaseView {
    let event = &leased.event;
    LeaseView {
        lease: leased.lease.clone(),
        expires_at: Time(leased.expires_at),
        delivery: Text(leased.delivery),
        attempt: leased.number,
        event: Text(event.webhook_id()),
        source: event.source_name.clone(),
        event_type: event.kind.clone(),
        received_at: Time(event.received_at),
        query: event.query().map(query::without_secrets).unwrap_or_default(),
        headers: headers_view(&event.headers),
        body_base64: STANDARD.encode(&event.body),
    }
}

pub async fn ack(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let EmptyBody {} = request.fields()?;
    settle(admin, &request.arg, Settlement::Ack, "acknowledged").await
}

pub async fn reject(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: RejectBody = request.fields()?;
    let reason = body.reason.map_or_else(|| "the consumer rejected it".to_owned(), String::from);
    let settlement = match body.dead {
        true => Settlement::Dead { reason },
        false => Settlement::Reject { after_ms: body.after.map(Span::ms), reason },
    };
    settle(admin, &request.arg, settlement, "rejected").await
}

pub async fn extend(admin: &Admin, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: ExtendBody = request.fields()?;
    let lease = body
        .lease
        .ok_or_else(|| Problem::bad("'lease' is missing: give how much longer, from now"))?;
    settle(admin, &request.arg, Settlement::Extend { lease_ms: lease.ms() }, "extended").await
}

async fn settle(
    admin: &Admin,
    lease: &str,
    settlement: Settlement,
    done: &str,
) -> Result<ApiResponse, Problem> {
    (admin.adapters.settle)(lease.to_owned(), settlement).await.map_err(problem)?;
    Ok(ApiResponse::ok(SettledView { lease: lease.to_owned(), done: done.to_owned() }))
}

fn problem(fault: LeaseError) -> Problem {
    let status = match fault {
        LeaseError::Gone | LeaseError::Ended => StatusCode::CONFLICT,
        LeaseError::Busy | LeaseError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, fault.to_string())
}
