//! L-01, L-06: what runs for long, and what is started often, stays as it was.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::sizes::size;
use super::support::{Client, Daemon, Home, Receiver, payloads};

/// Connections that send, each on its own beat.
const SENDERS: u32 = 4;

/// A daemon whose segments are small and soon dropped, so that all that happens in months happens
/// in minutes.
fn home(segment_mib: u64) -> Home {
    let mut home = Home::new();
    let aging =
        format!("[log]\nsegment_size = \"{segment_mib}MiB\"\n[retention]\ndelivered = \"5s\"\n");
    let path = home.write("hookbox.toml", &aging);
    home.args.extend(["--config".to_owned(), path]);
    home
}

fn subscribe(daemon: &Daemon, receiver: &Receiver) {
    daemon.json(&["source", "create", "in", "--verify", "none"]);
    daemon.json(&["endpoint", "create", "app", "--url", &receiver.url("/"), "--allow-private"]);
}

/// How the daemon stood at a moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    resident_kib: u64,
    descriptors: u64,
}

impl Sample {
    fn of(daemon: &Daemon, begun: Instant) -> Self {
        let open =
            std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count);
        Self {
            at: begun.elapsed(),
            resident_kib: daemon.proc_number("status", "VmRSS"),
            descriptors: open as u64,
        }
    }
}

/// `HOOKBOX_SOAK_S` seconds (a day: 86400) of `HOOKBOX_SOAK_RATE` real payloads a second (1,000 by
/// default) that come in, go out, pass their age and are dropped. The last quarter of that time has
/// to look like the second one.
#[test]
#[ignore = "measures the optimized programs for as long as HOOKBOX_SOAK_S says"]
fn l01_a_soak_takes_no_more_memory_nor_files() {
    let asked = |name: &str| u32::try_from(size(name)).expect("a size that fits");
    let (seconds, rate) = (asked("HOOKBOX_SOAK_S"), asked("HOOKBOX_SOAK_RATE"));
    let (home, receiver) = (home(4), Receiver::start());
    receiver.forget_requests();
    let daemon = home.start();
    subscribe(&daemon, &receiver);

    let total = Duration::from_secs(seconds.into());
    let (samples, took) = soak(&daemon, total, rate);
    let quarter = total / 4;
    let look = |number: u32| Quarter::of(&samples, &took, quarter * number, quarter);
    let (second, last) = (look(1), look(3));
    daemon.await_count("delivered", took.len() as u64);

    let status = daemon.json(&["status"]);
    println!(
        "soak: {seconds} s, {} events sent, {} segments left: quarter 2: {second:?}; quarter 4: \
         {last:?}; memory grows by {:.2} MiB/h",
        took.len(),
        status["log"]["segments"],
        (last.resident_kib as f64 - second.resident_kib as f64)
            / 1024.0
            / (quarter * 2).as_secs_f64()
            * 3600.0
    );
    assert!(second.sent > 0 && last.sent * 10 > second.sent * 8, "as many as before");
    // sled's caches are fuller at one time than at another.
    assert!(last.resident_kib < second.resident_kib + (8 << 10), "memory");
    assert!(last.descriptors <= second.descriptors + 8, "descriptors");
    // Others may use the machine.
    assert!(last.p99 < second.p99 * 5 + Duration::from_millis(250), "time");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// When an event was sent, and how long its answer took.
type Sent = (Duration, Duration);

/// Sends for so long at this rate; how the daemon stood meanwhile, and what was sent.
fn soak(daemon: &Daemon, total: Duration, rate: u32) -> (Vec<Sample>, Vec<Sent>) {
    let bodies: Vec<Vec<u8>> = payloads::github().into_iter().map(|event| event.body).collect();
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let took = Mutex::new(Vec::new());
    let send = |mut client: Client| {
        for (n, body) in (0..).zip(bodies.iter().cycle()) {
            if over.load(Ordering::Acquire) {
                break;
            }
            let due = Duration::from_secs(1) * SENDERS * n / rate;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            let sent = begun.elapsed();
            assert_eq!(client.post("/in/in", &[], body).expect("an answer").status, 202);
            took.lock().expect("no panic").push((sent, begun.elapsed() - sent));
        }
    };

    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            let client = daemon.client();
            scope.spawn(|| send(client));
        }
        while begun.elapsed() < total {
            std::thread::sleep(
                (total / 400).clamp(Duration::from_millis(20), Duration::from_secs(10)),
            );
            samples.push(Sample::of(daemon, begun));
        }
        over.store(true, Ordering::Release);
    });

    (samples, took.into_inner().expect("no panic"))
}

#[derive(Debug)]
struct Quarter {
    resident_kib: u64,
    descriptors: u64,
    p99: Duration,
    sent: usize,
}

impl Quarter {
    /// What was between `from` and `length` after it.
    fn of(samples: &[Sample], took: &[Sent], from: Duration, length: Duration) -> Self {
        let within = |at: Duration| (from..from + length).contains(&at);
        let those: Vec<Sample> =
            samples.iter().copied().filter(|sample| within(sample.at)).collect();
        let mut times: Vec<Duration> =
            took.iter().filter(|(at, _)| within(*at)).map(|(_, time)| *time).collect();
        times.sort_unstable();

        Self {
            resident_kib: median(those.iter().map(|sample| sample.resident_kib)),
            descriptors: those.iter().map(|sample| sample.descriptors).max().unwrap_or_default(),
            p99: times.get(times.len() * 99 / 100).copied().unwrap_or_default(),
            sent: times.len(),
        }
    }
}

fn median<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The time to be ready does not grow with what has been before: only the newest segment is read.
/// It is filled anew every third or fourth time.
#[test]
#[ignore = "measures the optimized programs"]
fn l06_starts_take_no_longer_after_many_of_them() {
    let starts = usize::try_from(size("HOOKBOX_STARTS")).expect("a number of starts");
    let (home, receiver) = (home(1), Receiver::start());
    receiver.forget_requests();

    let bodies: Vec<Vec<u8>> = payloads::github().into_iter().map(|event| event.body).collect();
    let mut sent = bodies.iter().cycle();
    let mut took = Vec::new();
    for number in 0..starts {
        let begun = Instant::now();
        let daemon = home.start();
        took.push(begun.elapsed());
        if number == 0 {
            subscribe(&daemon, &receiver);
        }

        let mut client = daemon.client();
        for body in sent.by_ref().take(300) {
            assert_eq!(client.post("/in/in", &[], body).expect("an answer").status, 202);
        }
        assert_eq!(daemon.terminate().code(), Some(0));
    }

    let third = (starts / 3).max(1);
    let (first, last) =
        (median(took.iter().take(third).copied()), median(took.iter().rev().take(third).copied()));
    println!(
        "soak: {starts} starts with 300 events after each: {first:?} at first, {last:?} at last"
    );
    assert!(last < first * 3 / 2 + Duration::from_millis(50), "{took:?}");
}
