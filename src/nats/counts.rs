//! What is counted, and the page of metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config::NatsConfig;
use crate::service::metrics_page::MetricsPage;
use crate::service::process::Process;

/// The connection to the servers.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    pub connects: AtomicU64,
}

/// One route out.
#[derive(Debug, Default)]
pub struct OutCounts {
    pub name: String,
    /// Publishes that were sent, repeated ones included.
    pub published: AtomicU64,
    /// Deliveries that the stream has acknowledged and hookbox knows of.
    pub acknowledged: AtomicU64,
    /// Acknowledgements of what the stream had already.
    pub duplicates: AtomicU64,
    /// Deliveries that were given back, to be tried again or as dead letters.
    pub rejected: AtomicU64,
    pub dead: AtomicU64,
    /// Leases that had ended when they were to be settled.
    pub lost_leases: AtomicU64,
    pub in_flight: AtomicU64,
    /// Deliveries that wait in hookbox, as it last said.
    pub waiting: AtomicU64,
}

/// One route in.
#[derive(Debug, Default)]
pub struct InCounts {
    pub name: String,
    pub received: AtomicU64,
    /// Messages that hookbox has stored and the server knows of.
    pub acknowledged: AtomicU64,
    pub duplicates: AtomicU64,
    /// Messages that were given back for later.
    pub postponed: AtomicU64,
    /// Messages that are given up.
    pub terminated: AtomicU64,
    /// Acknowledgements that the server did not confirm.
    pub unconfirmed: AtomicU64,
    pub in_flight: AtomicU64,
    /// Messages of the stream that are not acknowledged and not being taken, as the server last
    /// said.
    pub waiting: AtomicU64,
}

/// All of it.
#[derive(Debug, Default)]
pub struct BridgeCounts {
    pub connection: Arc<ConnectionCounts>,
    pub out: Vec<Arc<OutCounts>>,
    pub intake: Vec<Arc<InCounts>>,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl BridgeCounts {
    /// Nothing yet, for the routes of this configuration.
    #[must_use]
    pub fn of(config: &NatsConfig) -> Self {
        let out = config
            .out
            .iter()
            .map(|route| Arc::new(OutCounts { name: route.route(), ..OutCounts::default() }));
        let intake = config
            .intake
            .iter()
            .map(|route| Arc::new(InCounts { name: route.route(), ..InCounts::default() }));
        Self { out: out.collect(), intake: intake.collect(), ..Self::default() }
    }

    /// The page.
    #[must_use]
    pub fn page(&self, is_up: bool) -> String {
        let mut page = MetricsPage::default();
        let connects = self.connection.connects.load(Ordering::Relaxed);
        let help = "1 while the connection to NATS stands.";
        page.gauge("hookbox_nats_connected", help, u64::from(is_up));
        let help = "Connections to NATS after the first.";
        page.counter("hookbox_nats_reconnects_total", help, connects.saturating_sub(1));
        self.out_page(&mut page);
        self.in_page(&mut page);
        page.process(&Process::read());
        page.0
    }

    fn out_page(&self, page: &mut MetricsPage) {
        type ReadOut = fn(&OutCounts) -> &AtomicU64;
        let rows: [(&str, &str, ReadOut); 8] = [
            ("hookbox_nats_out_published_total", "Publishes, repeated ones included.", |c| {
                &c.published
            }),
            (
                "hookbox_nats_out_acknowledged_total",
                "Deliveries that the stream has stored.",
                |c| &c.acknowledged,
            ),
            (
                "hookbox_nats_out_duplicates_total",
                "Publishes of what the stream had already.",
                |c| &c.duplicates,
            ),
            ("hookbox_nats_out_refused_total", "Deliveries that were given back.", |c| &c.rejected),
            ("hookbox_nats_out_dead_total", "Of these, those that became dead letters.", |c| {
                &c.dead
            }),
            ("hookbox_nats_out_lost_leases_total", "Leases that ended too early.", |c| {
                &c.lost_leases
            }),
            ("hookbox_nats_out_in_flight", "Deliveries that are leased.", |c| &c.in_flight),
            ("hookbox_nats_out_waiting", "Deliveries that wait in hookbox.", |c| &c.waiting),
        ];

        for (name, help, read) in rows {
            page.head(name, kind(name), help);
            for counts in &self.out {
                let value = read(counts).load(Ordering::Relaxed);
                page.line(name, &[("route", &counts.name)], value);
            }
        }
    }

    fn in_page(&self, page: &mut MetricsPage) {
        type ReadIn = fn(&InCounts) -> &AtomicU64;
        let rows: [(&str, &str, ReadIn); 8] = [
            ("hookbox_nats_in_received_total", "Messages, repeated ones included.", |c| {
                &c.received
            }),
            ("hookbox_nats_in_acknowledged_total", "Messages that hookbox has stored.", |c| {
                &c.acknowledged
            }),
            ("hookbox_nats_in_duplicates_total", "Messages that hookbox had already.", |c| {
                &c.duplicates
            }),
            ("hookbox_nats_in_refused_total", "Messages that were given back for later.", |c| {
                &c.postponed
            }),
            ("hookbox_nats_in_terminated_total", "Messages that were given up.", |c| &c.terminated),
            ("hookbox_nats_in_unconfirmed_total", "Acknowledgements without an answer.", |c| {
                &c.unconfirmed
            }),
            ("hookbox_nats_in_in_flight", "Messages that are being taken.", |c| &c.in_flight),
            ("hookbox_nats_in_waiting", "Messages that wait in the stream.", |c| &c.waiting),
        ];

        for (name, help, read) in rows {
            page.head(name, kind(name), help);
            for counts in &self.intake {
                let value = read(counts).load(Ordering::Relaxed);
                page.line(name, &[("route", &counts.name)], value);
            }
        }
    }
}

fn kind(name: &str) -> &'static str {
    if name.ends_with("_total") { "counter" } else { "gauge" }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BridgeCounts, InCounts, OutCounts, count};

    #[test]
    fn each_route_has_its_lines() {
        let out = OutCounts { name: "app -> HOOKS".to_owned(), ..OutCounts::default() };
        let intake = InCounts { name: "JOBS/box -> jobs".to_owned(), ..InCounts::default() };
        count(&out.published);
        count(&intake.terminated);
        let counts = BridgeCounts {
            out: vec![Arc::new(out)],
            intake: vec![Arc::new(intake)],
            ..BridgeCounts::default()
        };

        let page = counts.page(true);
        for line in [
            "hookbox_nats_connected 1",
            "hookbox_nats_reconnects_total 0",
            "hookbox_nats_out_published_total{route=\"app -> HOOKS\"} 1",
            "hookbox_nats_in_terminated_total{route=\"JOBS/box -> jobs\"} 1",
            "# TYPE hookbox_nats_out_in_flight gauge",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
    }
}
