//! (m) Where the time goes: processor time for each event by threads, and system calls for each
//! event by name, of taking events, and of attempts at an endpoint.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::Options;
use super::backlog::fill;
use super::load::{Bound, closed_loop, small_requests};
use super::processor;
use super::report::{Report, number};
use super::sink::Sink;
use super::support::daemon::signal;
use super::support::{Daemon, Home};
use super::watch::await_delivered;

/// Events that are attempted, unless `--events` is less; a tenth of them under `strace`.
const ATTEMPTED: u64 = 100_000;
/// System calls that are named; the others are added up.
const NAMED: usize = 8;
/// What threads are called, as far as the system keeps it.
const GROUPS: [(&str, &str); 4] = [
    ("hookbox-io", "io"),
    ("hookbox-schedul", "scheduler"),
    ("hookbox-reader", "reader"),
    ("sled-", "sled"),
];

pub fn run(options: &Options, report: &mut Report) {
    report.title("where time goes: processor time and system calls for each event; 1 KiB");
    let attempted = ATTEMPTED.min(options.events).max(1);
    by_thread("ingest", options, report, |daemon| ingest(daemon, options));
    by_thread("attempt", options, report, |daemon| attempts(daemon, attempted, options, |_| {}));
    by_call(attempted.div_ceil(10), options, report);
}

/// Takes events; gives how many.
fn ingest(daemon: &Daemon, options: &Options) -> (Used, u64) {
    let before = Moment::now(daemon);
    let bound = Bound { seconds: options.seconds, events: options.events };
    let load = closed_loop(daemon.addr, &small_requests(), options.connections, bound);
    (before.until_now(daemon), load.accepted)
}

/// Delivers events that waited. `ready` is called when nothing is left to be done but that.
fn attempts(
    daemon: &Daemon,
    count: u64,
    options: &Options,
    mut ready: impl FnMut(&Daemon),
) -> (Used, u64) {
    let sink = Sink::start(false);
    let more = ["--allow-private", "--concurrency", "64"];
    daemon.json(&[&["endpoint", "create", "sink", "--url", &sink.url()][..], &more].concat());
    daemon.json(&["endpoint", "hold", "sink"]);
    fill(daemon, count, options);

    ready(daemon);
    let before = Moment::now(daemon);
    daemon.json(&["endpoint", "release", "sink"]);
    await_delivered(daemon, count);
    (before.until_now(daemon), count)
}

/// Processor time of a daemon, by groups of its threads.
struct Used {
    groups: BTreeMap<&'static str, Duration>,
    all: Duration,
}

/// The same at one moment, by threads.
struct Moment {
    threads: BTreeMap<String, (String, Duration)>,
    all: Duration,
}

impl Moment {
    fn now(daemon: &Daemon) -> Self {
        let threads = processor::of_threads(daemon.pid());
        Self { threads, all: processor::of_process(daemon.pid()) }
    }

    /// What was used since then.
    fn until_now(&self, daemon: &Daemon) -> Used {
        let now = Self::now(daemon);
        let mut groups: BTreeMap<&'static str, Duration> = BTreeMap::new();
        for (thread, (name, used)) in &now.threads {
            let before = self.threads.get(thread).map_or(Duration::ZERO, |(_, used)| *used);
            let group = GROUPS.iter().find(|(begins, _)| name.starts_with(begins));
            let group = group.map_or("others", |(_, group)| group);
            *groups.entry(group).or_default() += used.saturating_sub(before);
        }
        let all = now.all.saturating_sub(self.all);
        // sled starts threads when it has much to do, and they end by themselves.
        groups.insert("ended", all.saturating_sub(groups.values().sum()));
        Used { groups, all }
    }
}

fn by_thread(
    name: &str,
    options: &Options,
    report: &mut Report,
    measure: impl Fn(&Daemon) -> (Used, u64),
) {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..options.rounds {
        let home = Home::new();
        let daemon = home.start();
        daemon.json(&["source", "create", "bench", "--verify", "none"]);
        let (used, events) = measure(&daemon);
        groups.entry("all").or_default().push(processor::each(used.all, events));
        for (group, used) in used.groups {
            groups.entry(group).or_default().push(processor::each(used, events));
        }
    }
    for (group, values) in groups {
        report.spread(&format!("time.{name}.{group}.cpu_us"), &values, "us/event");
    }
}

/// Counts system calls. `strace` makes everything slower, so this is apart from the times.
fn by_call(attempted: u64, options: &Options, report: &mut Report) {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let file = home.path().join("calls").to_string_lossy().into_owned();

    let tracer = match Tracer::attach(daemon.pid(), &file) {
        Ok(tracer) => tracer,
        Err(why) => return report.skipped("calls", &why),
    };
    let (_, events) = ingest(&daemon, options);
    report_calls("ingest", &tracer.counts(), events, report);

    let mut tracer = None;
    let (_, events) = attempts(&daemon, attempted, options, |daemon| {
        tracer = Tracer::attach(daemon.pid(), &file).ok();
    });
    match tracer {
        Some(tracer) => report_calls("attempt", &tracer.counts(), events, report),
        None => report.skipped("calls.attempt", "strace did not attach a second time"),
    }
}

fn report_calls(name: &str, counts: &[(String, u64)], events: u64, report: &mut Report) {
    let each = |calls: u64| number(calls) / number(events.max(1));
    report.figure(&format!("calls.{name}.events"), number(events), "events");
    report.figure(
        &format!("calls.{name}.all"),
        each(counts.iter().map(|(_, calls)| calls).sum()),
        "calls/event",
    );
    let (named, others) = counts.split_at(NAMED.min(counts.len()));
    for (call, calls) in named {
        report.figure(&format!("calls.{name}.{call}"), each(*calls), "calls/event");
    }
    let others = others.iter().map(|(_, calls)| calls).sum();
    report.figure(&format!("calls.{name}.others"), each(others), "calls/event");
}

/// `strace`, which counts the system calls of a process with all its threads.
struct Tracer {
    child: Child,
    file: String,
}

impl Tracer {
    fn attach(pid: u32, file: &str) -> Result<Self, String> {
        let mut child = Command::new("strace")
            .args(["-f", "-c", "-o", file, "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|why| format!("strace: {why}"))?;
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let first = lines.by_ref().map_while(Result::ok).find(|line| line.contains("ttach"));
        // It writes a line for each thread that begins or ends.
        std::thread::spawn(move || lines.for_each(drop));
        match first {
            Some(line) if line.contains("attached") => Ok(Self { child, file: file.to_owned() }),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                Err(other.unwrap_or_else(|| "strace does not attach".to_owned()))
            }
        }
    }

    /// Lets the process go; how often it made each call, the most frequent first.
    fn counts(mut self) -> Vec<(String, u64)> {
        signal(self.child.id(), Signal::INT);
        let _ = self.child.wait();
        let table = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut counts: Vec<(String, u64)> = table.lines().filter_map(row).collect();
        counts.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        counts
    }
}

/// `% time, seconds, usecs/call, calls, errors (or nothing), syscall`.
fn row(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}
