//! A page of metrics in the Prometheus text format, version 0.0.4.

use std::fmt::Write;

use super::process::Process;

/// What the page is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The lines so far.
#[derive(Default)]
pub struct MetricsPage(pub String);

impl MetricsPage {
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let shown: Vec<String> =
            labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
        let _ = match shown.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", shown.join(",")),
        };
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    /// Under the names that every client library of Prometheus gives them.
    pub fn process(&mut self, process: &Process) {
        let name = "process_cpu_seconds_total";
        self.head(name, "counter", "Processor time used, in seconds.");
        let _ = writeln!(self.0, "{name} {}", seconds(process.cpu_ms));
        let name = "process_start_time_seconds";
        self.head(name, "gauge", "Start time, in Unix seconds.");
        let _ = writeln!(self.0, "{name} {}", seconds(process.started_ms));
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory.", process.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", process.open_fds),
            ("process_max_fds", "The most file descriptors that it may open.", process.max_fds),
            ("process_threads", "Threads.", process.threads),
        ] {
            self.gauge(name, help, value);
        }
    }
}

/// Milliseconds in seconds, to the millisecond.
#[must_use]
pub fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    match rest {
        0 => whole.to_string(),
        _ => format!("{whole}.{rest:03}").trim_end_matches('0').to_owned(),
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn seconds_have_a_point_and_no_more_digits_than_they_need() {
        for (ms, text) in [(0, "0"), (1, "0.001"), (2_500, "2.5"), (60_000, "60"), (1_010, "1.01")]
        {
            assert_eq!(super::seconds(ms), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(super::escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
