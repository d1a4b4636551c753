//! `/metrics`: the counts in the Prometheus text format, version 0.0.4.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::status::{ask, uptime_s};
use super::{endpoint_health, shares};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::walk;
use crate::api::views::EndpointCondition;
use crate::log::{LogProblem, SegmentInfo};
use crate::model::histogram::HistogramCounts;
use crate::queue::{EndpointSnapshot, EndpointsQuery, Status};
use crate::scheduler::{DiskLevel, DiskState, Meters};
use crate::service::metrics_page::{CONTENT_TYPE, MetricsPage, seconds};
use crate::service::process::Process;
use crate::service::scrape::MakePage;

/// The conditions of an endpoint, as the API names them.
const CONDITIONS: &[(EndpointCondition, &str)] = &[
    (EndpointCondition::Active, "active"),
    (EndpointCondition::Held, "held"),
    (EndpointCondition::Failing, "failing"),
    (EndpointCondition::Offline, "offline"),
    (EndpointCondition::Parked, "parked"),
    (EndpointCondition::Lagging, "lagging"),
    (EndpointCondition::CatchingUp, "catching_up"),
];

/// Also has those of endpoints that are none any more.
const DEAD_LETTERS: &str = "hookbox_dead_letters";

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    Ok(ApiResponse::Text(CONTENT_TYPE, page(admin).await?.into()))
}

impl Admin {
    /// What the listener for metrics serves.
    #[must_use]
    pub fn metrics_page(self: &Arc<Self>) -> MakePage {
        let admin = self.clone();
        Arc::new(move || {
            let admin = admin.clone();
            Box::pin(async move { page(&admin).await.ok() })
        })
    }
}

/// The whole page. With thousands of endpoints it has megabytes, so it is written on a thread that
/// may take its time.
pub async fn page(admin: &Arc<Admin>) -> Result<String, Problem> {
    let status = ask(admin).await?;
    let endpoints = admin.handle.ask(EndpointsQuery).await?;
    walk::value(admin, move |scan| {
        let (admin, log) = (&scan.admin, scan.log());
        let mut page = MetricsPage::default();
        page.intake(admin, &status);
        page.deliveries(&status);
        page.durations(admin.handle.meters());
        page.conditions(&status);
        page.endpoints(&endpoints, &status);
        page.refusals(admin, &status);
        page.log(admin, &log.segments(), &log.damage(), &status);
        page.daemon(admin);
        page.process(&Process::read());
        Ok(page.0)
    })
    .await
}

impl MetricsPage {
    fn intake(&mut self, admin: &Admin, status: &Status) {
        let name = "hookbox_accepted_total";
        self.head(name, "counter", "Events accepted since the start, by source.");
        let accepted = admin.handle.meters().accepted();
        for source in admin.handle.directory().sources_by_name.values() {
            let count = accepted.get(&source.id).copied().unwrap_or(0);
            self.line(name, &[("source", &source.name)], count);
        }

        self.counter("hookbox_events_total", "Events accepted.", status.events);
        self.counter(
            "hookbox_duplicates_total",
            "Requests that repeated an event within its window.",
            status.duplicates,
        );
        self.counter(
            "hookbox_dedupe_conflicts_total",
            "Events with the dedupe key of an earlier event and another body; stored as events of \
             their own.",
            status.dedupe_conflicts,
        );
    }

    fn deliveries(&mut self, status: &Status) {
        self.head(
            "hookbox_deliveries",
            "gauge",
            "Deliveries by state; pending includes those in flight, and in_flight counts attempts.",
        );
        for (state, count) in [
            ("pending", status.pending),
            ("in_flight", status.in_flight),
            ("delivered", status.delivered),
            ("dead", status.dead),
            ("held", status.held),
            ("cancelled", status.cancelled),
        ] {
            self.line("hookbox_deliveries", &[("state", state)], count);
        }
        self.gauge("hookbox_retrying", "Deliveries that wait for a retry.", status.retrying);
        self.gauge("hookbox_replays", "Replays under way.", status.replays as u64);
    }

    fn durations(&mut self, meters: &Meters) {
        let durations = [
            (
                "hookbox_accept_duration_seconds",
                "From reading a request until its events are durable.",
                &meters.accept,
            ),
            (
                "hookbox_delivery_latency_seconds",
                "From the acceptance of an event to its delivery.",
                &meters.latency,
            ),
            ("hookbox_attempt_duration_seconds", "Requests to receivers.", &meters.attempt),
            (
                "hookbox_commit_duration_seconds",
                "Commits of the log, until they are durable.",
                &meters.commit,
            ),
        ];

        for (name, help, histogram) in durations {
            self.histogram(name, help, &histogram.counts());
        }
    }

    fn histogram(&mut self, name: &str, help: &str, counts: &HistogramCounts) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound_ms, count) in &counts.at_most {
            self.line(&bucket, &[("le", &seconds(*bound_ms))], *count);
        }
        self.line(&bucket, &[("le", "+Inf")], counts.count);
        let _ = writeln!(self.0, "{name}_sum {}", seconds(counts.sum_ms));
        self.line(&format!("{name}_count"), &[], counts.count);
    }

    fn conditions(&mut self, status: &Status) {
        let online = u64::from(status.offline.is_none());
        self.gauge("hookbox_online", "1 while the network link is up, otherwise 0.", online);
        let suspect = u64::from(status.clock_suspect);
        self.gauge("hookbox_clock_suspect", "1 while the wall clock is not trusted.", suspect);

        for (name, help, count) in [
            (
                "hookbox_breakers_open",
                "Endpoints whose breaker is open.",
                status.breakers_open as u64,
            ),
            (
                "hookbox_parked_lanes",
                "Lanes that wait for the operator.",
                status.parked_lanes as u64,
            ),
            (
                "hookbox_catching_up",
                "Endpoints that are delivering a backlog.",
                status.catching_up as u64,
            ),
        ] {
            self.gauge(name, help, count);
        }
    }

    fn endpoints(&mut self, views: &[EndpointSnapshot], status: &Status) {
        type Field = fn(&EndpointSnapshot) -> u64;
        let fields: [(&str, &str, &str, Field); 9] = [
            (
                "hookbox_endpoint_pending",
                "gauge",
                "Deliveries that have not ended, those on hold included.",
                |v| v.waiting,
            ),
            (
                "hookbox_endpoint_oldest_pending_seconds",
                "gauge",
                "How long the daemon has run since the oldest of them was accepted, or was retried \
                 by the operator.",
                |v| v.flow.oldest_age_ms.unwrap_or(0) / 1000,
            ),
            (
                DEAD_LETTERS,
                "gauge",
                "Dead letters; without a name those of deleted endpoints.",
                |v| v.dead,
            ),
            ("hookbox_endpoint_in_flight", "gauge", "Attempts under way.", |v| v.in_flight),
            ("hookbox_endpoint_retrying", "gauge", "Deliveries that wait for a retry.", |v| {
                v.retrying
            }),
            ("hookbox_endpoint_delivered_total", "counter", "Deliveries made.", |v| v.delivered),
            (
                "hookbox_endpoint_window",
                "gauge",
                "Attempts that may be in flight at a time.",
                |v| v.flow.width as u64,
            ),
            ("hookbox_endpoint_parked_lanes", "gauge", "Lanes that wait for the operator.", |v| {
                v.flow.parked as u64
            }),
            (
                "hookbox_endpoint_filter_too_expensive_total",
                "counter",
                "Events that were not delivered because its filter was too expensive for them.",
                |v| v.undecided,
            ),
        ];

        for (name, kind, help, value) in fields {
            self.head(name, kind, help);
            for view in views {
                self.line(name, &[("endpoint", &view.endpoint.name)], value(view));
            }
            if name == DEAD_LETTERS {
                self.line(name, &[("endpoint", "")], status.dead_of_deleted);
            }
        }
        self.endpoint_states(views);
        self.attempts(views);
    }

    fn endpoint_states(&mut self, views: &[EndpointSnapshot]) {
        let name = "hookbox_endpoint_state";
        self.head(name, "gauge", "1 for the condition that an endpoint is in.");
        for view in views {
            let condition = endpoint_health::condition(view);
            for (state, word) in CONDITIONS {
                let labels = [("endpoint", view.endpoint.name.as_str()), ("state", *word)];
                self.line(name, &labels, u64::from(*state == condition));
            }
        }
    }

    fn attempts(&mut self, views: &[EndpointSnapshot]) {
        let name = "hookbox_attempts_total";
        self.head(name, "counter", "Requests to receivers, by outcome.");
        for view in views {
            for (outcome, count) in
                [("delivered", view.flow.succeeded), ("failed", view.flow.failed)]
            {
                let labels = [("endpoint", view.endpoint.name.as_str()), ("outcome", outcome)];
                self.line(name, &labels, count);
            }
        }
    }

    fn refusals(&mut self, admin: &Admin, status: &Status) {
        let name = "hookbox_refused_total";
        self.head(name, "counter", "Requests refused at the ingress, by source and reason.");
        for refusal in (admin.refusals)() {
            let labels = [("source", refusal.source.as_str()), ("reason", &refusal.kind)];
            self.line(name, &labels, refusal.count);
        }

        let name = "hookbox_share_refused_total";
        let help = "Requests, attempts and look-ups that were refused or delayed because a share \
                    was full.";
        self.head(name, "counter", help);
        for (share, count) in shares::totals(admin, &status.full) {
            self.line(name, &[("share", share.name())], count);
        }

        let name = "hookbox_unreadable_bodies_total";
        let help = "Events whose body claims to be JSON and cannot be parsed.";
        self.head(name, "counter", help);
        for (source, count) in admin.handle.unreadable().all() {
            self.line(name, &[("source", &source)], count);
        }
    }

    fn log(
        &mut self,
        admin: &Admin,
        segments: &[SegmentInfo],
        damage: &[LogProblem],
        status: &Status,
    ) {
        let health = admin.handle.health();
        let bytes = segments.iter().map(|segment| segment.disk_bytes).sum();
        let durable = health.durable.load(Ordering::Acquire);

        self.gauge("hookbox_log_segments", "Segments of the log.", segments.len() as u64);
        self.gauge("hookbox_log_bytes", "Bytes of the log on disk.", bytes);
        let damaged: BTreeSet<u64> = damage.iter().map(|problem| problem.segment).collect();
        let help = "Segments with records that cannot be read.";
        self.gauge("hookbox_damaged_segments", help, damaged.len() as u64);
        let is_new = |problem: &&LogProblem| {
            status.acknowledged.covers(problem.first, problem.last).is_none()
        };
        let new: BTreeSet<u64> =
            damage.iter().filter(is_new).map(|problem| problem.segment).collect();
        let help = "Those of them all of whose damage was acknowledged.";
        let known = damaged.len() - new.len();
        self.gauge("hookbox_damaged_segments_acknowledged", help, known as u64);
        self.disk(&health.disk);
        self.gauge("hookbox_log_durable", "The last durable record.", durable);
    }

    fn disk(&mut self, state: &DiskState) {
        let space = state.space();
        let left = space.left().saturating_sub(space.reserve);
        for (name, help, bytes) in [
            (
                "hookbox_log_checkpoint_bytes",
                "Bytes of the newest complete checkpoint of the log.",
                space.checkpoint,
            ),
            ("hookbox_log_quota_bytes", "Bytes that the log may use.", space.quota),
            (
                "hookbox_log_reserve_bytes",
                "Bytes of the quota that are reserved for outcomes.",
                space.reserve,
            ),
            ("hookbox_log_used_bytes", "Bytes that the whole log uses on disk.", space.used),
            ("hookbox_disk_free_bytes", "Bytes free on the log's file system.", space.free),
            ("hookbox_log_room_bytes", "Bytes left before events are refused.", left),
        ] {
            self.gauge(name, help, bytes);
        }

        let name = "hookbox_log_level";
        self.head(name, "gauge", "1 for the current disk level, 0 for the others.");
        for level in [DiskLevel::Open, DiskLevel::Low, DiskLevel::Refusing, DiskLevel::Halted] {
            let is_it = u64::from(level == state.level());
            self.line(name, &[("level", level.name())], is_it);
        }
    }

    fn daemon(&mut self, admin: &Admin) {
        let accepting = u64::from(admin.handle.health().is_accepting());
        self.gauge("hookbox_accepting", "1 while events are accepted.", accepting);
        self.gauge("hookbox_uptime_seconds", "Seconds since the start.", uptime_s(admin));

        let name = "hookbox_tls_not_after_seconds";
        self.head(name, "gauge", "When the certificate of TLS listeners expires, in Unix seconds.");
        if let Some(own) = (admin.adapters.certificate)(admin.wall_ms()) {
            self.line(name, &[], own.expires_at.0 / 1000);
        }
        self.head("hookbox_build_info", "gauge", "Always 1; the label is the running version.");
        self.line("hookbox_build_info", &[("version", &admin.info.version)], 1);
    }
}
