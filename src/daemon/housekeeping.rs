//! What has to be looked after while the daemon runs: sources whose time is over, key sets that
//! have to be fetched, and what was kept for sources and endpoints that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::notices::{self, DiskNotice, RefusalWatch};
use super::refusal_mark::RefusalMark;
use crate::ingest::{Fetch, Ingest};
use crate::model::Source;
use crate::outbound::Outbound;
use crate::queue::DeleteSource;
use crate::scheduler::{Clock, DiskLevel, Handle};

/// Between two rounds while sources refuse requests.
const ROUND: Duration = Duration::from_secs(10);
/// Between two rounds when nothing happens. A temporary source answers 404 at once when its time is
/// over; its record goes when the system's clock says so, and this much later when that was set
/// meanwhile.
const QUIET_ROUND: Duration = Duration::from_secs(60);

/// Fetches through the guarded client of `outbound`, for modules that do not know it.
pub fn fetch(outbound: Arc<Outbound>) -> Fetch {
    Arc::new(move |url: String, allow_private| {
        let outbound = outbound.clone();
        Box::pin(async move { outbound.fetch(&url, allow_private).await })
    })
}

/// Runs until the daemon stops.
pub async fn run(
    ingest: Arc<Ingest>,
    outbound: Arc<Outbound>,
    handle: Handle,
    clock: Clock,
    mut mark: RefusalMark,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = handle.directory_changes();
    let mut fetching: Option<tokio::task::JoinHandle<()>> = None;
    let mut watch = RefusalWatch::default();
    let mut level = DiskLevel::Open;
    let refusals = ingest.refusals();
    let mut refused = BTreeMap::new();

    loop {
        // What was kept for sources and endpoints that are gone.
        let directory = handle.directory();
        let sources: Vec<Arc<Source>> = directory.sources_by_name.values().cloned().collect();
        outbound.forget(&directory.endpoints);
        handle.unreadable().retain(|name| directory.sources_by_name.contains_key(name));
        drop(directory);
        ingest.forget_sources(&sources);

        let refused_before = std::mem::replace(&mut refused, unproven(&ingest));
        for found in watch.look(clock().mono_ms, &refused) {
            notices::refusing(&handle, found).await;
        }

        if let Some(news) = ingest.tls().and_then(|tls| tls.news(clock().wall_ms)) {
            tracing::warn!("{news}");
        }

        let before = std::mem::replace(&mut level, handle.health().disk.reported_level());
        if let Some(change) = disk_change(&handle, before, level) {
            notices::disk(&handle, &change).await;
        }
        mark.follow(level >= DiskLevel::Refusing);

        end_temporary(&handle, &sources, clock().wall_ms).await;
        let is_quiet = refused == refused_before;
        let pause = if is_quiet { until_next_end(&sources, clock().wall_ms) } else { ROUND };
        if fetching.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            fetching = Some(tokio::spawn(fetch_keys(ingest.clone(), sources, clock.clone())));
        }

        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = handle.health().disk.reported() => {}
            () = refusals.next_unproven(), if is_quiet => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How long nothing has to be done when nothing happens: until the next temporary source ends.
fn until_next_end(sources: &[Arc<Source>], wall_ms: u64) -> Duration {
    let ends = sources.iter().filter_map(|source| source.expires_at);
    // One that could not be deleted is tried again after a usual round.
    let left = ends.map(|end| match end.saturating_sub(wall_ms) {
        0 => ROUND,
        left => Duration::from_millis(left),
    });
    left.min().unwrap_or(QUIET_ROUND).min(QUIET_ROUND)
}

/// The notice that is sent when the disk space has changed from one level to another between two
/// rounds. The log contains every change.
fn disk_change(handle: &Handle, before: DiskLevel, now: DiskLevel) -> Option<DiskNotice> {
    let disk = &handle.health().disk;
    match (before >= DiskLevel::Refusing, now >= DiskLevel::Refusing) {
        (false, true) => Some(DiskNotice::Refusing { reason: disk.refusal().unwrap_or_default() }),
        (true, false) => Some(DiskNotice::Accepting),
        (false, false) if before < DiskLevel::Low && now == DiskLevel::Low => {
            Some(DiskNotice::Low { left_bytes: disk.space().left() })
        }
        _ => None,
    }
}

/// How many requests each source refused since the start for their proof or address, and why the
/// last one was refused.
fn unproven(ingest: &Ingest) -> BTreeMap<String, (u64, String)> {
    let all = ingest.refusals().all().into_iter().filter(|(name, _)| !name.is_empty());
    all.map(|(name, seen)| (name, (seen.unproven, seen.last_reason))).collect()
}

async fn end_temporary(handle: &Handle, sources: &[Arc<Source>], wall_ms: u64) {
    for source in
        sources.iter().filter(|source| source.expires_at.is_some_and(|end| end <= wall_ms))
    {
        match handle.ask(DeleteSource { name: source.name.clone() }).await {
            Ok(_) => tracing::info!(source = source.name, "expired and deleted"),
            Err(refusal) => tracing::debug!(source = source.name, %refusal, "not deleted yet"),
        }
    }
}

async fn fetch_keys(ingest: Arc<Ingest>, sources: Vec<Arc<Source>>, clock: Clock) {
    for source in sources {
        ingest.keys().refresh_if_due(&source, clock()).await;
    }
}
