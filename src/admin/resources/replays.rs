//! Replays: count what would be delivered anew, register it with the queue, list what is under way.

use std::collections::HashSet;
use std::sync::Arc;

use crate::admin::callers::peer::Permission;
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::{ApiResponse, line};
use crate::admin::resources::names::{check_filter, endpoint_name, missing_endpoint};
use crate::admin::scan::event_lookup::{RelocatedEvents, listed_at, read as read_event, stands_at};
use crate::admin::scan::filters::{check_times, with_local_event};
use crate::admin::scan::log_scan::LogScan;
use crate::admin::scan::types::check_type;
use crate::admin::scan::walk;
use crate::api::ReplayBody;
use crate::api::values::{Text, Time};
use crate::api::views::{ReplayStartView, ReplayView};
use crate::model::{DeliveryFilter, EndpointId, Event, EventFilter, Rate, Seq};
use crate::queue::{EndedReplaysQuery, ReplaysQuery, StartReplay, StopReplay};
use crate::record::{HeldEvent, Replay, ReplayFilter};

pub async fn list(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let replays = admin.handle.ask(ReplaysQuery).await?;
    let under_way = replays.iter().rev().map(|replay| view(admin, replay));
    let ended = admin.handle.ask(EndedReplaysQuery).await?;
    let ended = ended.iter().rev().map(|(replay, endpoint)| ReplayView {
        to: Some(endpoint.name.clone()),
        ended: Some("its endpoint was deleted".to_owned()),
        ..view(admin, replay)
    });
    Ok(ApiResponse::lines(under_way.chain(ended).map(|view| line(&view))))
}

pub async fn stop(admin: &Admin, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let missing = |_| Problem::missing("replay", &request.arg);
    let id: u64 = request.arg.parse().map_err(missing)?;

    let stopped = admin.handle.ask(StopReplay { id }).await?;
    Ok(ApiResponse::ok(view(admin, &stopped)))
}

pub async fn start(admin: &Arc<Admin>, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: ReplayBody = request.fields()?;
    let to = body.to.map(String::from);
    let rate = body.rate.map(|rate| per_second(rate.0)).transpose()?;
    let filter = body.filter.at(admin.wall_ms());
    check_times(&filter)?;
    if filter.is_empty() && !body.all {
        return Err(Problem::bad(
            "no events selected: give event, source, type, since or until, or all for every \
             stored event",
        ));
    }

    let directory = admin.handle.directory();
    let is_there = |name: &String| directory.endpoints.iter().any(|e| e.name == *name);
    if let Some(name) = to.as_ref().filter(|name| !is_there(name)) {
        return Err(missing_endpoint(admin, name));
    }

    let dry_run = body.dry_run;
    walk::value(admin, move |scan| {
        let filter = with_local_event(scan, filter)?;
        let found = count(scan, &filter, to.is_some())?;
        if let (Some(id), 0) = (filter.event, found.events) {
            return Err(Problem::missing("event", &id.to_string()));
        }
        if found.events == 0 {
            let events = filter.clone();
            check_filter(&scan.admin, &DeliveryFilter { events, endpoint: None })?;
            check_type(scan, filter.kind.as_deref())?;
        }

        let counted = ReplayStartView {
            matched: found.events,
            queued: 0,
            dry_run,
            would_queue: None,
            replay: None,
        };

        if dry_run || found.deliveries == 0 {
            let would_queue = Some(found.deliveries);
            return Ok(ApiResponse::ok(ReplayStartView { would_queue, ..counted }));
        }
        let replay = register(scan, ReplayFilter::new(&filter, to.clone()), rate, &found)?;
        let queued = found.deliveries;
        Ok(ApiResponse::accepted(ReplayStartView { queued, replay, ..counted }))
    })
    .await
}

/// Hands a replay to the queue; returns its number.
fn register(
    scan: &LogScan,
    filter: ReplayFilter,
    rate: Option<u32>,
    extent: &ReplayExtent,
) -> Result<Option<u64>, Problem> {
    let caller = &scan.admin.context.caller;
    let member = (!caller.may(Permission::Own)).then_some(caller.uid);
    let command = StartReplay { filter, rate, next: extent.first, end: extent.last, member };
    Ok(Some(scan.ask(&command)?.id))
}

/// What a replay would do, and between which records its events stand.
#[derive(Default)]
struct ReplayExtent {
    events: u64,
    deliveries: u64,
    first: Seq,
    last: Seq,
}

impl ReplayExtent {
    fn add(&mut self, deliveries: usize) {
        self.events += 1;
        self.deliveries += deliveries as u64;
    }

    /// One of them stands here: where it is listed, or where retention has just written it again.
    fn stands(&mut self, at: Seq) {
        self.first = if self.last == 0 { at } else { self.first.min(at) };
        self.last = self.last.max(at);
    }
}

/// Counts what a replay would do. A replay `to_one` endpoint makes one delivery of each event,
/// others those that it had, to endpoints that are still there.
fn count(scan: &LogScan, filter: &EventFilter, to_one: bool) -> Result<ReplayExtent, Problem> {
    let directory = scan.admin.handle.directory();
    let there: HashSet<EndpointId> = directory.endpoints.iter().map(|e| e.id).collect();
    let made = |fan_out: &[EndpointId]| match to_one {
        true => 1,
        false => fan_out.iter().filter(|endpoint| there.contains(endpoint)).count(),
    };
    let passes = |event: &Event| filter.matches(&event.into());
    let mut found = ReplayExtent::default();

    if let Some(id) = filter.event {
        let event = read_event(scan, id.seq)?.filter(|(event, _)| passes(event));
        if let Some((event, deliveries)) = event {
            debug_assert_eq!(event.id, id);
            let fan_out: Vec<EndpointId> = deliveries.iter().map(|d| d.endpoint).collect();
            found.add(made(&fan_out));
            found.stands(listed_at(scan, id.seq)?);
            found.stands(stands_at(scan, id.seq)?);
        }
        return Ok(found);
    }

    let end = scan.log().durable();
    let mut relocated = RelocatedEvents::default();
    for entry in scan.log().forward(scan.log().first()) {
        scan.still_wanted()?;
        let Some((at, record)) = scan.entry(entry) else { continue };
        if at > end {
            break;
        }
        if record.held_event().is_none_or(|held| !passes(held.event)) {
            continue;
        }
        found.stands(at);
        if let Some(HeldEvent { fan_out, .. }) = relocated.event(scan, at, &record)? {
            found.add(made(fan_out));
        }
    }
    Ok(found)
}

/// The queue paces replays by the second, in whole numbers.
fn per_second(rate: Rate) -> Result<u32, Problem> {
    let per_second = u64::from(rate.count) * 1000 / rate.per_ms;
    let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
    let is_exact = u64::from(per_second) * rate.per_ms == u64::from(rate.count) * 1000;
    match per_second {
        0 => Err(Problem::bad("'rate': must be at least \"1/s\"")),
        _ if is_exact => Ok(per_second),
        slower => Err(Problem::bad(format!(
            "'rate': a replay needs a whole number a second, and {rate} is not: write {slower}/s \
             or {}/s",
            slower.saturating_add(1)
        ))),
    }
}

fn view(admin: &Admin, replay: &Replay) -> ReplayView {
    let filter = &replay.filter;
    let to = replay.to.map(|id| endpoint_name(admin, id));
    ReplayView {
        id: replay.id,
        since: filter.since.map(Time),
        until: filter.until.map(Time),
        source: filter.source.clone(),
        event_type: filter.kind.clone(),
        event: filter.event.map(Text),
        to: to.or_else(|| filter.to.clone()),
        next: replay.next,
        end: replay.end,
        rate: replay.rate.map(|count| Text(Rate { count, per_ms: 1000 })),
        started_at: Time(replay.started_at),
        ended: None,
    }
}
