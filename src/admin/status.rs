//! Status: one screen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::Admin;
use super::http::{Answer, Call, Problem};
use super::walk::{self, unexpected};
use crate::model::time::rfc3339;
use crate::queue::{Query, Reply, Status};

pub(super) async fn show(admin: &Arc<Admin>, mut call: Call) -> Result<Answer, Problem> {
    call.params.done()?;
    let status = ask(admin).await?;
    let (segments, damage) = walk::value(admin, |walker| Ok((walker.log().segments(), walker.log().damage()))).await?;
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    for refusal in (admin.refusals)() {
        *refused.entry(refusal.kind).or_default() += refusal.count;
    }
    let health = admin.handle.health();
    let accepting = health.is_accepting();
    let room = health.room.room();
    Ok(Answer::ok(json!({
        "events": status.events,
        "duplicates": status.duplicates,
        "deliveries": {
            "pending": status.pending,
            "in_flight": status.in_flight,
            "delivered": status.delivered,
            "dead": status.dead,
            "held": status.held,
            "cancelled": status.cancelled,
            "retrying": status.retrying,
        },
        "attempts": status.attempts,
        "failed_attempts": status.failed_attempts,
        "sources": status.sources,
        "endpoints": status.endpoints,
        "replays": status.replays,
        "refused": refused,
        "link": {
            "online": status.offline.is_none(),
            "offline_since": status.offline.map(|(since, _)| rfc3339(since)),
            "next_probe_at": status.offline.map(|(_, probe_at)| rfc3339(probe_at)),
            "endpoints_away": status.away,
        },
        "clock": {"suspect": status.clock_suspect, "waiting_until": status.clock_until.map(rfc3339)},
        "breakers_open": status.breakers_open,
        "parked_lanes": status.parked_lanes,
        "catching_up": status.catching_up,
        "leased": status.leased,
        "log": {
            "segments": segments.len(),
            "bytes": segments.iter().map(|s| s.disk_bytes).sum::<u64>(),
            "quota_bytes": room.quota,
            "reserve_bytes": room.reserve,
            "used_bytes": room.used,
            "free_bytes": room.free,
            "left_bytes": room.left().saturating_sub(room.reserve),
            "level": health.room.level().name(),
            "last": health.durable.load(Ordering::Acquire),
            "damage": damage.iter().map(super::logs::problem_view).collect::<Vec<_>>(),
        },
        "accepting": accepting,
        "reason": Some(health.reason()).filter(|reason| !accepting && !reason.is_empty()),
        "listen": admin.info.listen,
        "data": admin.info.data.display().to_string(),
        "started_at": rfc3339(admin.info.started.wall_ms),
        "uptime_s": uptime_s(admin),
        "version": admin.info.version,
    })))
}

/// By the monotonic clock: it does not jump with the wall's.
pub(super) fn uptime_s(admin: &Admin) -> u64 {
    (admin.clock)().mono_ms.saturating_sub(admin.info.started.mono_ms) / 1000
}

pub(super) async fn ask(admin: &Admin) -> Result<Box<Status>, Problem> {
    match admin.handle.ask(Query::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(unexpected(&other)),
    }
}
