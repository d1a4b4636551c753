//! `/metrics`: the counts in the Prometheus text format, version 0.0.4.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shares;
use super::status::{ask, uptime_s};
use crate::admin::context::Admin;
use crate::admin::http::problem::Problem;
use crate::admin::http::request::ApiRequest;
use crate::admin::http::response::ApiResponse;
use crate::admin::scan::walk;
use crate::log::SegmentInfo;
use crate::queue::{EndpointSnapshot, EndpointsQuery, Status};
use crate::scheduler::{DiskLevel, DiskState};

pub async fn show(admin: &Arc<Admin>, mut request: ApiRequest) -> Result<ApiResponse, Problem> {
    request.params.done()?;
    let status = ask(admin).await?;
    let endpoints = admin.handle.ask(EndpointsQuery).await?;
    let segments = walk::value(admin, |scan| Ok(scan.log().segments())).await?;

    let mut page = MetricsPage::default();
    page.intake(&status);
    page.deliveries(&status);
    page.conditions(&status);
    page.endpoints(&endpoints);
    page.refusals(admin, &status);
    page.log(admin, &segments);
    page.daemon(admin);
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

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn intake(&mut self, status: &Status) {
        self.counter("hookbox_events_total", "Events accepted.", status.events);
        self.counter(
            "hookbox_duplicates_total",
            "Events that came again within their window.",
            status.duplicates,
        );
        self.counter(
            "hookbox_dedupe_conflicts_total",
            "Events that had the dedupe key of an earlier one and other content: kept as \
             events of their own.",
            status.dedupe_conflicts,
        );
    }

    fn deliveries(&mut self, status: &Status) {
        self.counter("hookbox_attempts_total", "Attempts that ended.", status.attempts);
        let failed = status.failed_attempts;
        self.counter("hookbox_failed_attempts_total", "Attempts that failed.", failed);

        self.head("hookbox_deliveries", "gauge", "Deliveries by state.");
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

    fn conditions(&mut self, status: &Status) {
        let online = u64::from(status.offline.is_none());
        self.gauge("hookbox_online", "0 while the link is taken for down.", online);
        let suspect = u64::from(status.clock_suspect);
        self.gauge("hookbox_clock_suspect", "1 while the wall clock is not believed.", suspect);

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
                "Endpoints that work off a backlog.",
                status.catching_up as u64,
            ),
        ] {
            self.gauge(name, help, count);
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
        let help = "Events whose JSON body was asked for something and is none.";
        self.head(name, "counter", help);
        for (source, count) in admin.handle.unreadable().all() {
            self.line(name, &[("source", &source)], count);
        }
    }

    fn log(&mut self, admin: &Admin, segments: &[SegmentInfo]) {
        let health = admin.handle.health();
        let bytes = segments.iter().map(|segment| segment.disk_bytes).sum();
        let durable = health.durable.load(Ordering::Acquire);

        self.gauge("hookbox_log_segments", "Segments of the log.", segments.len() as u64);
        self.gauge("hookbox_log_bytes", "Bytes of the log on disk.", bytes);
        self.disk(&health.disk);
        self.gauge("hookbox_log_durable", "The last durable record.", durable);
    }

    fn disk(&mut self, state: &DiskState) {
        let space = state.space();
        let left = space.left().saturating_sub(space.reserve);
        for (name, help, bytes) in [
            ("hookbox_log_quota_bytes", "Bytes the log may take.", space.quota),
            (
                "hookbox_log_reserve_bytes",
                "Bytes of these that events may not take.",
                space.reserve,
            ),
            ("hookbox_log_used_bytes", "Bytes the whole log takes on disk.", space.used),
            ("hookbox_disk_free_bytes", "Bytes free on the log's file system.", space.free),
            ("hookbox_log_left_bytes", "Bytes left before events are refused.", left),
        ] {
            self.gauge(name, help, bytes);
        }

        let name = "hookbox_log_level";
        self.head(name, "gauge", "1 at how full it is: open, low, refusing or halted.");
        for level in [DiskLevel::Open, DiskLevel::Low, DiskLevel::Refusing, DiskLevel::Halted] {
            let is_it = u64::from(level == state.level());
            self.line(name, &[("level", level.name())], is_it);
        }
    }

    fn daemon(&mut self, admin: &Admin) {
        let accepting = u64::from(admin.handle.health().is_accepting());
        self.gauge("hookbox_accepting", "1 while events are accepted.", accepting);
        self.gauge("hookbox_uptime_seconds", "Seconds since the start.", uptime_s(admin));
        self.head("hookbox_info", "gauge", "The version that runs.");
        self.line("hookbox_info", &[("version", &admin.info.version)], 1);
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
