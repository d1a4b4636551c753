//! How fast, and how much memory: beside hookbox's own attempts, and beside a client that publishes
//! to the same server with nothing in between. Prints; judges nothing.

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use crate::bridge::{Bridge, configuration};
use crate::intake;
use crate::out::{ROUTE, a_box};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Client, Daemon, Home, Receiver, SOON, until};

const BODY: usize = 512;
const POSTERS: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Posts so many events from several connections, one after the other on each.
fn fill(daemon: &Daemon, events: u64) -> Duration {
    let started = Instant::now();
    let addr = daemon.addr;
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            std::thread::spawn(move || {
                let mut client = Client::connect(addr).expect("a connection");
                let body = vec![b'x'; BODY];
                for _ in (poster..events).step_by(usize::try_from(POSTERS).expect("small")) {
                    let answer = client.post("/in/app", &[], &body).expect("an answer");
                    assert_eq!(answer.status, 202);
                }
            })
        })
        .collect();
    posters.into_iter().for_each(|poster| poster.join().expect("no panic"));
    started.elapsed()
}

/// Events in a second of a run, and of a client alone in the same run: on a machine that others use
/// the quotient says more than either.
#[derive(Clone, Copy)]
struct Rates {
    events: u64,
    alone: f64,
}

impl Rates {
    fn say(self, what: &str, took: Duration) {
        let rate = self.events as f64 / took.as_secs_f64();
        println!("figures: {what:<45} {rate:>7.0}/s  {:.2} of it", rate / self.alone);
    }
}

/// MiB: now, and at most so far.
fn memory(bridge: &Bridge) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid()));
    let text = text.expect("it lives");
    let mib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("its memory");
        let kib = line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        kib.expect("a number") / 1024.0
    };
    format!("{:.1} MiB, {:.1} at most", mib("VmRSS:"), mib("VmHWM:"))
}

fn await_delivered(daemon: &Daemon, events: u64) {
    until("deliveries", SOON * 10, || {
        let status = daemon.asked("/v1/status");
        (status["deliveries"]["delivered"].as_u64()? >= events).then_some(())
    });
}

#[test]
#[ignore = "a measurement: HOOKBOX_PROGRAMS names optimized programs"]
fn rates_and_memory() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    let events = number("HOOKBOX_NATS_FIGURES", 20_000);
    println!("figures: {events} events of {BODY} bytes, sync_interval always");
    let took = alone(&js, events);
    let rates = Rates { events, alone: events as f64 / took.as_secs_f64() };
    rates.say("a client alone publishes", took);

    // hookbox's own attempts over HTTP, to a receiver in this process.
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["source", "create", "app", "--verify", "none"]);
    let receiver = Receiver::start();
    receiver.forget_bodies();
    let url = receiver.url("/x");
    daemon.json(&[
        "endpoint",
        "create",
        "web",
        "--url",
        &url,
        "--allow-private",
        "--concurrency",
        "64",
    ]);
    let started = Instant::now();
    let posted = fill(&daemon, events);
    await_delivered(&daemon, events);
    rates.say("hookbox accepts", posted);
    rates.say("hookbox accepts and delivers over HTTP", started.elapsed());
    drop(daemon);

    out(&js, &server, rates);
    intake_of(&js, &server, rates);
}

/// A client that publishes with as many in flight as the bridge.
fn alone(js: &Js, events: u64) -> Duration {
    js.stream("ALONE", &["alone"], |_| {});
    let started = Instant::now();
    js.runtime.block_on(async {
        let published = futures_util::stream::iter(0..events).map(|_| async {
            let sent = js.context.publish("alone", vec![b'x'; BODY].into()).await.expect("sent");
            sent.await.expect("acknowledged");
        });
        published.buffer_unordered(256).collect::<Vec<()>>().await;
    });
    started.elapsed()
}

fn out(js: &Js, server: &NatsServer, rates: Rates) {
    let events = rates.events;
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    fill(&daemon, events);
    let started = Instant::now();
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    await_delivered(&daemon, events);
    rates.say("out: a backlog is published", started.elapsed());
    println!("figures: the bridge takes {}", memory(&bridge));

    let started = Instant::now();
    fill(&daemon, events);
    await_delivered(&daemon, 2 * events);
    rates.say("out: accepted and published", started.elapsed());
    latency(js, &daemon);
}

/// From the request to the message, one at a time on a machine that does nothing else.
fn latency(js: &Js, daemon: &Daemon) {
    let mut client = daemon.client();
    let mut times = Vec::new();
    for number in 0..300_u32 {
        let body = format!("{number}");
        times.push(js.runtime.block_on(async {
            let nats = js.context.client();
            let mut messages = nats.subscribe("hooks.>").await.expect("subscribed");
            nats.flush().await.expect("flushed");
            let started = Instant::now();
            assert_eq!(client.post("/in/app", &[], body.as_bytes()).expect("sent").status, 202);
            let accepted = started.elapsed();
            let message = messages.next().await.expect("a message");
            assert_eq!(message.payload, body.as_bytes());
            (accepted, started.elapsed())
        }));
    }

    let percentile = |mut all: Vec<Duration>, at: usize| {
        all.sort_unstable();
        all[all.len() * at / 100]
    };
    let accepted: Vec<_> = times.iter().map(|(accepted, _)| *accepted).collect();
    let published: Vec<_> = times.iter().map(|(_, published)| *published).collect();
    println!(
        "figures: the 202 after {:?} (p50) and {:?} (p99), the message after {:?} and {:?}",
        percentile(accepted.clone(), 50),
        percentile(accepted, 99),
        percentile(published.clone(), 50),
        percentile(published, 99)
    );
}

fn intake_of(js: &Js, server: &NatsServer, rates: Rates) {
    let events = rates.events;
    for via in ["admin", "ingress"] {
        let _ = js.runtime.block_on(js.context.delete_stream("JOBS"));
        js.stream("JOBS", &["jobs.>"], |_| {});
        js.runtime.block_on(async {
            let published = futures_util::stream::iter(0..events).map(|_| async {
                let body = vec![b'x'; BODY].into();
                let sent = js.context.publish("jobs.a", body).await.expect("sent");
                sent.await.expect("acknowledged");
            });
            published.buffer_unordered(256).collect::<Vec<()>>().await;
        });

        let mut home = Home::new();
        let _daemon = intake::a_box(&mut home, &[]);
        let config = configuration(&home, "box-1", &server.url(), &intake::route(via));
        let started = Instant::now();
        let bridge = Bridge::start(&config);
        intake::await_taken(js);
        rates.say(&format!("in: a backlog is taken by {via}"), started.elapsed());
        println!("figures: the bridge takes {}", memory(&bridge));
    }
}
