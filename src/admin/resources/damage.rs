//! Damage of the log: how it is shown, and that an operator acknowledges it.

use std::sync::Arc;

use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::walk;
use crate::api::bodies::AcknowledgeBody;
use crate::api::values::Time;
use crate::api::views::{AcknowledgedView, DamageView};
use crate::log::LogProblem;
use crate::queue::{AcknowledgeDamage, AcknowledgedDamage, StatusQuery};

/// Damage as it is shown.
pub fn view(problem: &LogProblem, acknowledged: &AcknowledgedDamage) -> DamageView {
    DamageView {
        segment: problem.segment,
        first: problem.first,
        last: problem.last,
        what: problem.what.clone(),
        acknowledged_at: acknowledged.covers(problem.first, problem.last).map(Time),
    }
}

pub async fn acknowledge(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let AcknowledgeBody { segments } = request.fields()?;
    let known = walk::value(admin, |scan| Ok(scan.log().damage())).await?;
    let is_there = |segment: &&u64| known.iter().any(|problem| problem.segment == **segment);
    if let Some(segment) = segments.iter().flatten().find(|segment| !is_there(segment)) {
        let what = format!(
            "no damage of segment {segment} is known: `hookboxctl status` lists what is, and \
             `hookboxctl log verify` looks for more"
        );
        return Err(Problem::new(hyper::StatusCode::NOT_FOUND, what));
    }

    let is_meant =
        |problem: &&LogProblem| segments.as_ref().is_none_or(|of| of.contains(&problem.segment));
    let meant: Vec<&LogProblem> = known.iter().filter(is_meant).collect();
    let ranges = meant.iter().map(|problem| (problem.first, problem.last)).collect();
    let count = admin.handle.ask(AcknowledgeDamage { ranges }).await?;

    let acknowledged = admin.handle.ask(StatusQuery).await?.acknowledged;
    let damage = meant.into_iter().map(|problem| view(problem, &acknowledged)).collect();
    Ok(ApiResponse::ok(AcknowledgedView { acknowledged: count, damage }))
}
