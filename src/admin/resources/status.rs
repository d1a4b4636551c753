//! Status: one screen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{damage, shares, worst};
use crate::admin::apply::ConfiguredNow;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::walk;
use crate::api::values::Time;
use crate::api::views::{
    BootApplyView, ClockView, DeletedEndpointView, DeliveryCounts, LinkView, LogSpaceView,
    StatusView, UnusableSourceView,
};
use crate::log::{LogProblem, SegmentInfo};
use crate::model::limits;
use crate::queue::{Status, StatusQuery, WorstQuery};
use crate::scheduler::Directory;

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let status = ask(admin).await?;
    let troubled = admin.handle.ask(WorstQuery { limit: limits::WORST_SHOWN }).await?;
    let (troubled_count, urgent) = (troubled.troubled, troubled.urgent);
    let (segments, known, worst, applied, mut unusable_sources) = walk::value(admin, move |scan| {
        let worst = worst::views(scan, &troubled)?;
        let (segments, damage) = (scan.log().segments(), scan.log().damage());
        Ok((segments, damage, worst, applied(&scan.admin), unusable_sources(&scan.admin)))
    })
    .await?;
    let unusable = unusable_sources.len();
    unusable_sources.truncate(limits::WORST_SHOWN);
    let health = admin.handle.health();
    let accepting = health.is_accepting();

    Ok(ApiResponse::ok(StatusView {
        events: status.events,
        duplicates: status.duplicates,
        dedupe_conflicts: status.dedupe_conflicts,
        deliveries: delivery_counts(&status),
        attempts: status.attempts,
        failed_attempts: status.failed_attempts,
        sources: status.sources,
        endpoints: status.endpoints,
        replays: status.replays,
        settings_bytes: status.settings_bytes,
        refused: refused(admin),
        link: LinkView {
            online: status.offline.is_none(),
            offline_since: status.offline.map(|(since, _)| Time(since)),
            next_probe_at: status.offline.map(|(_, probe_at)| Time(probe_at)),
            endpoints_away: status.away,
        },
        clock: ClockView {
            suspect: status.clock_suspect,
            waiting_until: status.clock_until.map(Time),
        },
        breakers_open: status.breakers_open,
        worst,
        deleted_with_dead: deleted_with_dead(admin, &status),
        troubled: troubled_count,
        urgent,
        parked_lanes: status.parked_lanes,
        catching_up: status.catching_up,
        leased: status.leased,
        unusable,
        unusable_sources,
        log: log_space(admin, &status, &segments, &known),
        shares: shares::lately(admin, &status.full),
        applied,
        certificate: (admin.adapters.certificate)(admin.wall_ms()),
        accepting,
        reason: Some(health.reason()).filter(|reason| !accepting && !reason.is_empty()),
        listen: admin.info.listen.clone(),
        data: admin.info.data.display().to_string(),
        started_at: Time(admin.info.started.wall_ms),
        uptime_s: uptime_s(admin),
        version: admin.info.version.clone(),
    }))
}

/// The sources that refuse every request, by their names. It may read files.
fn unusable_sources(admin: &Admin) -> Vec<UnusableSourceView> {
    let directory = admin.handle.directory();
    let mut unusable: Vec<UnusableSourceView> = directory
        .sources_by_name
        .iter()
        .filter_map(|(name, source)| {
            let reason = (admin.adapters.why_unusable)(source)?;
            Some(UnusableSourceView { source: name.clone(), reason })
        })
        .collect();
    unusable.sort_by(|a, b| a.source.cmp(&b.source));
    unusable
}

/// The files that were applied at the start, and what is different from them by now.
fn applied(admin: &Admin) -> Option<BootApplyView> {
    let now_ms = admin.wall_ms();
    let configured = |directory: &Directory| ConfiguredNow::of(directory, now_ms);
    let mut view = admin.info.applied.as_ref()?.view(&admin.handle.directory(), configured)?;
    // It may quote what stands in a file.
    if !admin.shows_secrets() && view.error.is_some() {
        view.error = Some("only root and the daemon's own user see the reason".to_owned());
    }
    Some(view)
}

/// Deleted endpoints with dead letters, and how these are given up.
fn deleted_with_dead(admin: &Admin, status: &Status) -> Vec<DeletedEndpointView> {
    let directory = admin.handle.directory();
    let view = |(name, dead): &(String, u64)| {
        // One that has the same name by now may have others, which are not to be discarded.
        let is_taken = directory.endpoints.iter().any(|endpoint| endpoint.name == *name);
        let verb = if is_taken { "list" } else { "discard" };
        DeletedEndpointView {
            endpoint: name.clone(),
            dead: *dead,
            command: format!("hookboxctl dlq {verb} --endpoint {name}"),
        }
    };
    status.deleted_with_dead.iter().map(view).collect()
}

/// How often requests were refused at the ingress, by reason.
fn refused(admin: &Admin) -> BTreeMap<String, u64> {
    let mut refused = BTreeMap::new();
    for refusal in (admin.refusals)() {
        *refused.entry(refusal.kind).or_default() += refusal.count;
    }
    refused
}

fn delivery_counts(status: &Status) -> DeliveryCounts {
    DeliveryCounts {
        pending: status.pending,
        in_flight: status.in_flight,
        delivered: status.delivered,
        dead: status.dead,
        dead_of_deleted: status.dead_of_deleted,
        held: status.held,
        cancelled: status.cancelled,
        retrying: status.retrying,
        lost: status.lost,
    }
}

fn log_space(
    admin: &Admin,
    status: &Status,
    segments: &[SegmentInfo],
    known: &[LogProblem],
) -> LogSpaceView {
    let health = admin.handle.health();
    let space = health.disk.space();
    LogSpaceView {
        segments: segments.len(),
        bytes: segments.iter().map(|segment| segment.disk_bytes).sum(),
        checkpoint_bytes: space.checkpoint,
        quota_bytes: space.quota,
        reserve_bytes: space.reserve,
        used_bytes: space.used,
        free_bytes: space.free,
        left_bytes: space.left().saturating_sub(space.reserve),
        level: health.disk.level().name().to_owned(),
        over_share: match health.disk.is_contested() {
            true => status.over_share.clone(),
            false => Vec::new(),
        },
        last: health.durable.load(Ordering::Acquire),
        damage: known.iter().map(|problem| damage::view(problem, &status.acknowledged)).collect(),
    }
}

/// By the monotonic clock: it does not jump with the wall's.
pub fn uptime_s(admin: &Admin) -> u64 {
    (admin.clock)().mono_ms.saturating_sub(admin.info.started.mono_ms) / 1000
}

pub async fn ask(admin: &Admin) -> Result<Status, Problem> {
    Ok(admin.handle.ask(StatusQuery).await?)
}
