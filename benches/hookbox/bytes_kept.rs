//! (e) Bytes written (`/proc/PID/io`) and kept on disk for one event.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Options;
use super::load::{Bound, closed_loop, github_requests, small_requests};
use super::report::{Report, number};
use super::sink::Sink;
use super::support::{Home, until};

/// Events of one measurement, unless `--events` is less.
const COUNT: u64 = 100_000;

pub fn run(options: &Options, report: &mut Report) {
    report.title("bytes for one event, accepted only, and accepted and delivered");
    let github = github_requests();
    let per_event = github.iter().map(|r| r.len() as u64).sum::<u64>() / github.len() as u64;
    report.figure("bytes_github.request", number(per_event), "bytes");
    for (name, requests, count) in
        [("bytes_1k", small_requests(), COUNT), ("bytes_github", github, COUNT / 4)]
    {
        for delivered in [false, true] {
            measure(name, &requests, count.min(options.events), delivered, options, report);
        }
    }
}

fn measure(
    name: &str,
    requests: &Arc<Vec<Bytes>>,
    count: u64,
    delivered: bool,
    options: &Options,
    report: &mut Report,
) {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "bench", "--verify", "none"]);
    let sink = Sink::start(false);
    if delivered {
        daemon.json(&[
            "endpoint",
            "create",
            "sink",
            "--url",
            &sink.url(),
            "--allow-private",
            "--generate-secret",
        ]);
    }

    let written_before = daemon.proc_number("io", "write_bytes");
    let kept_before = on_disk(&home.data());
    let bound = Bound { seconds: 300.0, events: count };
    let load = closed_loop(daemon.addr, requests, options.connections, bound);
    if delivered {
        until("everything to be delivered", Duration::from_secs(300), || {
            (daemon.json(&["status"])["deliveries"]["delivered"].as_u64() >= Some(load.accepted))
                .then_some(())
        });
    }

    let accepted = number(load.accepted.max(1));
    let written = daemon.proc_number("io", "write_bytes").saturating_sub(written_before);
    assert_eq!(daemon.terminate().code(), Some(0));
    let kept = on_disk(&home.data()).saturating_sub(kept_before);

    let what = if delivered { "delivered" } else { "accepted" };
    report.figure(&format!("{name}.{what}.written"), number(written) / accepted, "bytes/event");
    report.figure(&format!("{name}.{what}.kept"), number(kept) / accepted, "bytes/event");
}

/// Blocks that a folder takes, in bytes.
fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => on_disk(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
