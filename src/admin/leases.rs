//! Leases of pull endpoints: get some, and say what became of each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::Admin;
use super::events::headers_view;
use super::fields::{Fields, boolean, duration_ms, number, text};
use super::http::{Answer, Call, Problem};
use super::server::stopped;
use crate::model::time::rfc3339;
use crate::model::{LeaseAsk, LeaseFault, Leased, Settlement, limits};

pub(super) async fn lease(admin: &Admin, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let mut fields = Fields::new(call.object()?);
    let found = super::endpoints::find(admin, &call.arg).await?;
    // What is due has to be read before it can be lent.
    let may_come = found.waiting > 0;
    let endpoint = found.endpoint;
    let max = fields.get("max", number(1, limits::LEASE_MAX as u64))?.unwrap_or(1);
    let wait_ms = fields.get("wait_ms", duration_ms(0, limits::LEASE_WAIT_MS))?.unwrap_or(0);
    let wait_ms = if may_come { wait_ms.max(limits::LEASE_LOOK_MS) } else { wait_ms };
    let lease_ms = fields.get("lease_ms", duration_ms(1, limits::LEASE_MS))?.unwrap_or(endpoint.pull.lease_ms);
    fields.done()?;
    if !endpoint.is_pull() {
        let detail = format!("endpoint '{}' is no pull endpoint: make one with --url pull:", endpoint.name);
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let ask = LeaseAsk { max: usize::try_from(max).unwrap_or(1), wait_ms, lease_ms };
    let leased = tokio::select! {
        leased = (admin.seams.lease)(endpoint, ask) => leased.map_err(problem)?,
        // A daemon that stops lends nothing.
        () = stopped(&mut call.stop) => Vec::new(),
    };
    Ok(Answer::ok(json!({"leases": leased.iter().map(view).collect::<Vec<_>>(), "lease_ms": lease_ms})))
}

fn view(leased: &Leased) -> Value {
    let event = &leased.event;
    json!({
        "lease": leased.lease,
        "expires_at": rfc3339(leased.expires_at),
        "delivery": leased.delivery.to_string(),
        "attempt": leased.number,
        "event": event.webhook_id().to_string(),
        "source": event.source_name,
        "type": event.kind,
        "received_at": rfc3339(event.received_at),
        "headers": headers_view(&event.headers),
        "body_base64": STANDARD.encode(&event.body),
    })
}

pub(super) async fn ack(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    Fields::new(call.object()?).done()?;
    settle(admin, &call.arg, Settlement::Ack, "acknowledged").await
}

pub(super) async fn reject(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let after_ms = fields.get("after", duration_ms(0, limits::RETRY_AFTER_MAX_MS))?;
    let dead = fields.get("dead", boolean)?.unwrap_or(false);
    let reason = fields.get("reason", text)?.unwrap_or_else(|| "the consumer rejected it".to_owned());
    fields.done()?;
    let settlement = if dead { Settlement::Dead { reason } } else { Settlement::Reject { after_ms, reason } };
    settle(admin, &call.arg, settlement, "rejected").await
}

pub(super) async fn extend(admin: &Admin, call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::new(call.object()?);
    let lease_ms = fields.get("lease_ms", duration_ms(1, limits::LEASE_MS))?;
    fields.done()?;
    let lease_ms = lease_ms.ok_or_else(|| Problem::bad("'lease_ms' is missing: how much longer, from now?"))?;
    settle(admin, &call.arg, Settlement::Extend { lease_ms }, "extended").await
}

async fn settle(admin: &Admin, lease: &str, settlement: Settlement, done: &str) -> Result<Answer, Problem> {
    (admin.seams.settle)(lease.to_owned(), settlement).await.map_err(problem)?;
    Ok(Answer::ok(json!({"lease": lease, "done": done})))
}

fn problem(fault: LeaseFault) -> Problem {
    let status = match fault {
        LeaseFault::Gone => StatusCode::CONFLICT,
        LeaseFault::Busy | LeaseFault::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, fault.to_string())
}
