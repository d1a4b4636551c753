//! What one address or one source at full force costs the others, measured on the optimized
//! programs.
//!
//! An honest sender at 127.0.0.1 posts at its own pace, and its latencies count from the moment at
//! which a request was due. Beside it one attacker at 127.0.0.2 does the worst that it can with one
//! resource. Runs without and with the attacker alternate, and each pair gives a ratio; the median
//! and the range of these are printed. Attackers run at the lowest priority: the processor time
//! that they take is that of their own machine, which this one has to be, too.
//!
//! What is asserted is counted, not timed: every honest request is answered 202, and `status` names
//! the attacker where a share of its own binds. Times have ten times the bound that is promised,
//! for this machine may be busy.

mod hostile_bodies;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::support::http::connect_from;
use super::support::sizes::size;
use super::support::{Client, Daemon, Home};

const ATTACKER: &str = "127.0.0.2";
/// Requests of the honest sender in a second, over its connections.
const RATE: u64 = 100;
const CONNECTIONS: usize = 4;

/// One way to take all that one can.
struct Attack {
    name: &'static str,
    /// The share that has to be named in `status`, when this attack finds one full.
    share: Option<&'static str>,
    threads: usize,
    run: fn(SocketAddr, &AtomicBool),
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "connections, held and opened anew",
        share: Some("connections"),
        threads: 1,
        run: hold_connections,
    },
    Attack {
        name: "bodies that begin and stop",
        share: Some("bytes_being_read"),
        threads: 1,
        run: stall_bodies,
    },
    Attack {
        name: "requests without a proof, 64 connections",
        share: Some("unproven_requests"),
        threads: 64,
        run: |to, stop| flood(to, stop, "/in/keyed", b"{}", false),
    },
    Attack {
        name: "forms of 8 MiB without a proof",
        share: Some("parsed_bytes"),
        threads: 4,
        run: large_forms,
    },
    Attack {
        name: "events of another source, 64 connections",
        share: None,
        threads: 64,
        run: |to, stop| flood(to, stop, "/in/bad", b"{\"a\":1}", true),
    },
    Attack { name: "bodies for slow filters", share: None, threads: 16, run: slow_filters },
];

#[test]
#[ignore = "measures: needs optimized programs and a machine to itself"]
fn fair_shares_of_what_all_use() {
    let rounds = size("HOOKBOX_FAIR_ROUNDS");
    println!(
        "| attack | rate, of its own | p50, times its own | p99, times its own | p99 without, \
         with (ms) | named |"
    );
    println!("|---|---|---|---|---|---|");
    for attack in ATTACKS {
        let mut home = Home::new();
        // So that one test has descriptors enough to take a share of them.
        let config = home.write("hookbox.toml", "[limits]\nconnections = 2000\n");
        home.args.extend(["--config".to_owned(), config]);
        let daemon = home.start();
        prepare(&daemon);
        let _warm = honest(daemon.addr);
        let pairs: Vec<(Run, Run)> =
            (0..rounds).map(|_| (honest(daemon.addr), beside(&daemon, attack))).collect();
        let of = |what: fn(&Run, &Run) -> f64| {
            Spread::of(pairs.iter().map(|(without, with)| what(without, with)))
        };
        let rate = of(|without, with| with.per_second / without.per_second);
        let (p50, p99) = (
            of(|without, with| with.p50 / without.p50),
            of(|without, with| with.p99 / without.p99),
        );
        let (own, now) = (of(|without, _| without.p99), of(|_, with| with.p99));
        let named = daemon.json(&["status"])["shares"].clone();
        let named: Vec<&str> = named
            .as_array()
            .expect("a list")
            .iter()
            .map(|full| full["share"].as_str().expect("a name"))
            .collect();
        println!(
            "| {} | {rate} | {p50} | {p99} | {own}, {now} | {} |",
            attack.name,
            named.join(", ")
        );

        for (without, with) in &pairs {
            assert_eq!(
                (without.refused, with.refused),
                (0, 0),
                "{}: honest requests were refused",
                attack.name
            );
        }
        assert!(
            attack.share.is_none_or(|share| named.contains(&share)),
            "{}: {named:?}",
            attack.name
        );
        assert!(p99.median < 20.0, "{}: p99 is {p99} times its own", attack.name);
    }
}

fn prepare(daemon: &Daemon) {
    daemon.json(&["source", "create", "good", "--verify", "none"]);
    daemon.json(&["source", "create", "bad", "--verify", "none", "--max-body", "32MiB"]);
    daemon.json(&[
        "source",
        "create",
        "keyed",
        "--verify",
        "github",
        "--secret",
        "s3cret-s3cret",
        "--rate",
        "100/s",
    ]);

    let url = "https://hooks.example.com/in/form";
    let form =
        ["--verify", "twilio", "--secret", "s3cret", "--max-body", "32MiB", "--public-url", url];
    daemon.json(&[&["source", "create", "form"][..], &form].concat());

    let filter = "search(@.body.text,'[A-Za-z0-9+/]{16,40}==') || search(@.body.a, '(a|aa)+7$')";
    for n in 0..12 {
        let name = format!("slow-{n}");
        let nowhere =
            ["--url", "http://127.0.0.1:9/", "--allow-private", "--from", "bad", "--where", filter];
        daemon.json(&[&["endpoint", "create", &name][..], &nowhere].concat());
    }
}

/// How it went for the honest sender.
struct Run {
    per_second: f64,
    refused: u64,
    p50: f64,
    p99: f64,
}

/// Posts at a pace of its own for some seconds.
fn honest(to: SocketAddr) -> Run {
    let count = RATE * size("HOOKBOX_FAIR_S");
    let begin = Instant::now() + Duration::from_millis(50);

    let one = |at: usize| {
        std::thread::spawn(move || {
            let mut client = Client::connect(to).expect("an honest connection");
            let (mut took, mut refused) = (Vec::new(), 0);
            for n in (at as u64..count).step_by(CONNECTIONS) {
                let due = begin + Duration::from_micros(n * 1_000_000 / RATE);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let body = format!("{{\"n\":{n},\"at\":\"{begin:?}\"}}");
                match client.post("/in/good", &[], body.as_bytes()) {
                    Ok(answer) if answer.status == 202 => took.push(due.elapsed()),
                    _ => {
                        refused += 1;
                        client = Client::connect(to).expect("an honest connection");
                    }
                }
            }
            (took, refused)
        })
    };

    let all: Vec<JoinHandle<_>> = (0..CONNECTIONS).map(one).collect();
    let (mut took, mut refused) = (Vec::new(), 0);
    for one in all {
        let (own, none) = one.join().expect("an honest sender");
        took.extend(own);
        refused += none;
    }

    let elapsed = begin.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |percent: usize| {
        took.get(took.len() * percent / 100).map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
    };
    Run { per_second: took.len() as f64 / elapsed, refused, p50: at(50), p99: at(99) }
}

/// The same beside an attacker, which has begun before.
fn beside(daemon: &Daemon, attack: &Attack) -> Run {
    let (to, stop) = (daemon.addr, Arc::new(AtomicBool::new(false)));
    let start = |_| {
        let (run, stop) = (attack.run, stop.clone());
        std::thread::spawn(move || {
            let own = rustix::thread::gettid();
            let _ = rustix::process::setpriority_process(Some(own), 19);
            run(to, &stop);
        })
    };
    let attackers: Vec<JoinHandle<()>> = (0..attack.threads).map(start).collect();
    std::thread::sleep(Duration::from_millis(500));
    let run = honest(to);
    stop.store(true, Ordering::Relaxed);
    attackers.into_iter().for_each(|one| one.join().expect("an attacker"));
    run
}

/// A median with its range.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

/// A connection that does not wait long for anything.
fn connect(to: SocketAddr) -> Option<TcpStream> {
    let stream = connect_from(ATTACKER, to).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.set_write_timeout(Some(Duration::from_millis(500))).ok()?;
    Some(stream)
}

/// Opens connections without an end, and holds the last 700, which are more than a quarter of all.
fn hold_connections(to: SocketAddr, stop: &AtomicBool) {
    let mut held = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(mut stream) = connect(to) else { continue };
        let _ = stream.write_all(b"POST /in/bad HTTP/1.1\r\n");
        held.push_back(stream);
        if held.len() > 700 {
            held.pop_front();
        }
    }
}

/// Begins bodies of 350 KB and stops, again and again.
fn stall_bodies(to: SocketAddr, stop: &AtomicBool) {
    let part = vec![b'x'; 300_000];
    let mut held = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(mut stream) = connect(to) else { continue };
        let _ =
            stream.write_all(b"POST /in/bad HTTP/1.1\r\nHost: h\r\nContent-Length: 350000\r\n\r\n");
        let _ = stream.write_all(&part);
        held.push_back(stream);
        if held.len() > 137 {
            held.pop_front();
        }
    }
}

/// One request after the other, as fast as they are answered.
fn flood(to: SocketAddr, stop: &AtomicBool, path: &str, body: &[u8], distinct: bool) {
    let mut n: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut stream) = connect(to) else { continue };
        let mut answer = [0; 4096];
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let id = if distinct {
                format!("Idempotency-Key: {:p}-{n}\r\n", &raw const answer)
            } else {
                String::new()
            };

            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: h\r\n{id}Content-Length: {}\r\n\r\n",
                body.len()
            );
            let sent = stream.write_all(&[head.as_bytes(), body].concat());
            // Answers are small, and come whole.
            if sent.is_err() || stream.read(&mut answer).map_or(true, |length| length == 0) {
                break;
            }
        }
    }
}

fn large_forms(to: SocketAddr, stop: &AtomicBool) {
    let value = "x".repeat(2040);
    let form = (0..4096).map(|n| format!("{n}={value}&")).collect::<String>();
    let head = format!(
        "POST /in/form HTTP/1.1\r\nHost: h\r\nX-Twilio-Signature: AAAA\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    repeat(to, stop, &[head.as_bytes(), form.as_bytes()].concat());
}

fn slow_filters(to: SocketAddr, stop: &AtomicBool) {
    let body =
        format!("{{\"text\":\"{}\",\"a\":\"{}\"}}", "a".repeat(500_000), "a".repeat(500_000));
    let head = format!(
        "POST /in/bad HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: \
         {}\r\n\r\n",
        body.len()
    );
    repeat(to, stop, &[head.as_bytes(), body.as_bytes()].concat());
}

/// A large request after the other, each on a connection of its own.
fn repeat(to: SocketAddr, stop: &AtomicBool, request: &[u8]) {
    while !stop.load(Ordering::Relaxed) {
        let Some(mut stream) = connect(to) else { continue };
        let _ = stream.write_all(request);
        let _ = stream.read(&mut [0; 4096]);
    }
}
