//! `/metrics`: the counts in the Prometheus text format, version 0.0.4.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Admin;
use super::http::{ApiRequest, ApiResponse, Problem};
use super::shares;
use super::status::{ask, uptime_s};
use super::walk;
use crate::queue::{EndpointSnapshot, EndpointsQuery};
use crate::scheduler::{DiskLevel, DiskState};

#[allow(clippy::too_many_lines, reason = "one line of the page for each metric")]
pub(super) async fn show(
    admin: &Arc<Admin>,
    mut request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let status = ask(admin).await?;
    let endpoints = admin.handle.ask(EndpointsQuery).await?;
    let segments = walk::value(admin, |scan| Ok(scan.log().segments())).await?;
    let mut page = MetricsPage::default();
    page.one("hookbox_events_total", "counter", "Events accepted.", status.events);
    page.one(
        "hookbox_duplicates_total",
        "counter",
        "Events that came again within their window.",
        status.duplicates,
    );
    page.one(
        "hookbox_dedupe_conflicts_total",
        "counter",
        "Events that had the dedupe key of an earlier one and said something else: kept as events \
         of their own.",
        status.dedupe_conflicts,
    );
    page.one("hookbox_attempts_total", "counter", "Attempts that ended.", status.attempts);
    page.one(
        "hookbox_failed_attempts_total",
        "counter",
        "Attempts that failed.",
        status.failed_attempts,
    );
    page.head("hookbox_deliveries", "gauge", "Deliveries by state.");
    for (state, count) in [
        ("pending", status.pending),
        ("in_flight", status.in_flight),
        ("delivered", status.delivered),
        ("dead", status.dead),
        ("held", status.held),
        ("cancelled", status.cancelled),
    ] {
        page.line("hookbox_deliveries", &[("state", state)], count);
    }
    page.one("hookbox_retrying", "gauge", "Deliveries that wait for a retry.", status.retrying);
    page.one("hookbox_replays", "gauge", "Replays under way.", status.replays as u64);
    let online = u64::from(status.offline.is_none());
    page.one("hookbox_online", "gauge", "0 while the link is taken for down.", online);
    page.one(
        "hookbox_clock_suspect",
        "gauge",
        "1 while the wall clock is not believed.",
        u64::from(status.clock_suspect),
    );
    page.one(
        "hookbox_breakers_open",
        "gauge",
        "Endpoints whose breaker is open.",
        status.breakers_open as u64,
    );
    page.one(
        "hookbox_parked_lanes",
        "gauge",
        "Lanes that wait for the operator.",
        status.parked_lanes as u64,
    );
    page.one(
        "hookbox_catching_up",
        "gauge",
        "Endpoints that work off a backlog.",
        status.catching_up as u64,
    );
    page.endpoints(&endpoints);
    page.head(
        "hookbox_refused_total",
        "counter",
        "Requests refused at the ingress, by source and reason.",
    );
    for refusal in (admin.refusals)() {
        page.line(
            "hookbox_refused_total",
            &[("source", &refusal.source), ("reason", &refusal.kind)],
            refusal.count,
        );
    }
    let (name, help) = (
        "hookbox_share_refused_total",
        "Requests, attempts and look-ups that were refused or delayed because a share was full.",
    );
    page.head(name, "counter", help);
    for (share, count) in shares::totals(admin, &status.full) {
        page.line(name, &[("share", share.name())], count);
    }
    let (name, help) = (
        "hookbox_unreadable_bodies_total",
        "Events whose JSON body was asked for something and is none.",
    );
    page.head(name, "counter", help);
    for (source, count) in admin.handle.unreadable().all() {
        page.line(name, &[("source", &source)], count);
    }
    let health = admin.handle.health();
    let durable = health.durable.load(Ordering::Acquire);
    page.one("hookbox_log_segments", "gauge", "Segments of the log.", segments.len() as u64);
    page.one(
        "hookbox_log_bytes",
        "gauge",
        "Bytes of the log on disk.",
        segments.iter().map(|s| s.disk_bytes).sum(),
    );
    page.room(&health.disk);
    page.one("hookbox_log_durable", "gauge", "The last durable record.", durable);
    let accepting = u64::from(health.is_accepting());
    page.one("hookbox_accepting", "gauge", "1 while events are accepted.", accepting);
    page.one("hookbox_uptime_seconds", "gauge", "Seconds since the start.", uptime_s(admin));
    page.head("hookbox_info", "gauge", "The version that runs.");
    page.line("hookbox_info", &[("version", &admin.info.version)], 1);
    Ok(ApiResponse::Text("text/plain; version=0.0.4; charset=utf-8", page.0.into()))
}

#[derive(Default)]
struct MetricsPage(String);

impl MetricsPage {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let shown: Vec<String> =
            labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
        let _ = match shown.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", shown.join(",")),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn room(&mut self, state: &DiskState) {
        let room = state.space();
        let left = room.left().saturating_sub(room.reserve);
        self.one("hookbox_log_quota_bytes", "gauge", "Bytes the log may take.", room.quota);
        self.one(
            "hookbox_log_reserve_bytes",
            "gauge",
            "Bytes of these that events may not take.",
            room.reserve,
        );
        self.one(
            "hookbox_log_used_bytes",
            "gauge",
            "Bytes the whole log takes on disk.",
            room.used,
        );
        self.one(
            "hookbox_disk_free_bytes",
            "gauge",
            "Bytes free on the log's file system.",
            room.free,
        );
        self.one("hookbox_log_left_bytes", "gauge", "Bytes left before events are refused.", left);
        self.head(
            "hookbox_log_level",
            "gauge",
            "1 at how full it is: open, low, refusing or halted.",
        );
        for level in [DiskLevel::Open, DiskLevel::Low, DiskLevel::Refusing, DiskLevel::Halted] {
            self.line(
                "hookbox_log_level",
                &[("level", level.name())],
                u64::from(level == state.level()),
            );
        }
    }

    fn endpoints(&mut self, views: &[EndpointSnapshot]) {
        type Field = fn(&EndpointSnapshot) -> u64;
        let fields: [(&str, &str, &str, Field); 13] = [
            ("hookbox_endpoint_waiting", "gauge", "Deliveries that have not ended.", |v| v.waiting),
            ("hookbox_endpoint_in_flight", "gauge", "Attempts under way.", |v| v.in_flight),
            ("hookbox_endpoint_retrying", "gauge", "Deliveries that wait for a retry.", |v| {
                v.retrying
            }),
            ("hookbox_endpoint_delivered_total", "counter", "Deliveries made.", |v| v.delivered),
            ("hookbox_endpoint_dead", "gauge", "Dead letters.", |v| v.dead),
            ("hookbox_endpoint_held", "gauge", "1 while it is on hold.", |v| {
                u64::from(v.hold.is_some())
            }),
            ("hookbox_endpoint_window", "gauge", "Attempts that may be under way.", |v| {
                v.flow.width as u64
            }),
            ("hookbox_endpoint_breaker_open", "gauge", "1 while its breaker is open.", |v| {
                u64::from(v.flow.breaker.is_some())
            }),
            ("hookbox_endpoint_offline", "gauge", "1 while it waits for the link.", |v| {
                u64::from(v.flow.away)
            }),
            ("hookbox_endpoint_parked_lanes", "gauge", "Lanes that wait for the operator.", |v| {
                v.flow.parked as u64
            }),
            ("hookbox_endpoint_succeeded_total", "counter", "Requests answered well.", |v| {
                v.flow.succeeded
            }),
            ("hookbox_endpoint_failed_total", "counter", "Requests that failed.", |v| {
                v.flow.failed
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
        }
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_are_escaped() {
        assert_eq!(super::escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
