//! The answer: what the state knows of a delivery that waits, what the log knows of one that ended,
//! and how its last attempt failed.

use std::sync::Arc;

use super::describe::describe;
use super::ended::{SecretHint, ended};
use super::explainer::Explainer;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::resources::deliveries::{event_of, show_one};
use crate::admin::resources::names::endpoint_name;
use crate::admin::scan::event_lookup::read as read_event;
use crate::admin::scan::filters::state_name;
use crate::admin::scan::ids::delivery_id;
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::walk;
use crate::api::values::{Text, Time};
use crate::api::views::{ExplainView, ReasonFacts, ReasonView};
use crate::model::time::rfc3339;
use crate::model::{DeliveryId, Event};
use crate::queue::{ExplainQuery, Explanation, Keys, WaitReason};

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let text = request.arg;
    walk::value(admin, move |scan| {
        let id = delivery_id(scan, &text)?;
        explain(scan, id).map(ApiResponse::ok)
    })
    .await
}

fn explain(scan: &LogScan, id: DeliveryId) -> Result<ExplainView, Problem> {
    let event = event_of(scan, id)?.ok_or_else(|| Problem::missing("delivery", &id.to_string()))?;
    let stored = read_event(scan, event.seq)?.map(|(event, _)| event);
    let key = stored.as_ref().and_then(|event| lane_key(scan, id, event));
    let source = stored.map(|event| event.source);
    let explained = scan.ask(&ExplainQuery { delivery: id, key, source })?;

    let endpoint = endpoint_name(&scan.admin, id.endpoint);
    let explainer = Explainer { now: scan.admin.wall_ms(), endpoint };
    let mut reasons = wait_reasons(scan, &explainer, &explained)?;
    let mut attempts = explained.attempts;
    if reasons.is_empty() {
        // The state does not keep how often what has ended was attempted: the log does.
        let shown = show_one(scan, id)?;
        attempts = shown.delivery.attempts.unwrap_or(0);
        let status = shown.history.last().and_then(|last| last.status);
        let hint = secret_hint(scan, id, status);
        let directory = scan.admin.handle.directory();
        let is_deleted = !directory.endpoints.iter().any(|known| known.id == id.endpoint);
        reasons.push(ended(id, explained.state, &shown, (&hint, is_deleted)));
    }
    reasons.extend(last_error(scan, &explained, id)?);

    let first = reasons.first().map(|reason| reason.text.as_str()).unwrap_or_default();
    let state = state_name(explained.state);
    Ok(ExplainView {
        id: Text(id),
        event: Text(event),
        summary: format!("{id} to {} is {state}: {first}", explainer.endpoint),
        endpoint: explainer.endpoint,
        state: explained.state.into(),
        attempts,
        reasons,
    })
}

fn wait_reasons(
    scan: &LogScan,
    explainer: &Explainer,
    explained: &Explanation,
) -> Result<Vec<ReasonView>, Problem> {
    let mut reasons = Vec::new();
    for reason in &explained.reasons {
        let head = match reason {
            WaitReason::Parked { head, .. } | WaitReason::Behind { head, .. } => {
                event_of(scan, *head)?
            }
            _ => None,
        };
        let head = head.map(|id| id.to_string()).unwrap_or_default();
        reasons.push(describe(explainer, reason, &head));
    }
    Ok(reasons)
}

/// The delivery's lane, where its endpoint has one for each key.
fn lane_key(scan: &LogScan, id: DeliveryId, event: &Event) -> Option<u64> {
    let directory = scan.admin.handle.directory();
    let endpoint = directory.endpoints.iter().find(|endpoint| endpoint.id == id.endpoint)?;
    Keys::of(endpoint).order_key(event)
}

/// How the last attempt failed, if it did.
fn last_error(
    scan: &LogScan,
    explained: &Explanation,
    id: DeliveryId,
) -> Result<Option<ReasonView>, Problem> {
    let Some(last) = explained.last else { return Ok(None) };
    let Some(record) = scan.log().read(last)? else { return Ok(None) };
    let Some(attempt) = record.attempts().find(|attempt| attempt.delivery == id) else {
        return Ok(None);
    };

    let response = attempt.report.response.as_ref();
    let status = || response.map(|response| format!("answered {}", response.status));
    let error = attempt.error().map(str::to_owned).or_else(status);
    Ok(error.map(|error| {
        let words = attempt.report.words().map(|words| format!(": {words}")).unwrap_or_default();
        let hint = secret_hint(scan, id, response.map(|response| response.status));
        let text = format!("its last attempt failed: {error}{words}{}", hint.text);
        let (attempts, old_secret_until) = (explained.attempts, hint.old_secret_until);
        ReasonView::new(text, &ReasonFacts::LastError { error, attempts, old_secret_until })
    }))
}

/// What a receiver that answers 401 may have against a request that is signed: another secret.
fn secret_hint(scan: &LogScan, id: DeliveryId, status: Option<u16>) -> SecretHint {
    let directory = scan.admin.handle.directory();
    let found = directory.endpoints.iter().find(|endpoint| endpoint.id == id.endpoint);
    let Some(endpoint) = found.filter(|endpoint| endpoint.signs() && status == Some(401)) else {
        return SecretHint::default();
    };

    let now = scan.admin.wall_ms();
    let live = endpoint.secrets.iter().filter(|secret| secret.is_live(now));
    let replaced_until = live.filter_map(|secret| secret.expires_at).max();
    let changed = match replaced_until {
        Some(end) => {
            format!("it was replaced, and the old one signs as well until {}", rfc3339(end))
        }
        None => format!("`hookboxctl endpoint rotate-secret {}` makes another one", endpoint.name),
    };
    SecretHint {
        text: format!(" (does the receiver have the secret of this endpoint? {changed})"),
        old_secret_until: replaced_until.map(Time),
    }
}
