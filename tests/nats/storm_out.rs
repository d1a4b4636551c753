//! Three daemons feed one stream, and two consumers of one durable share it, while daemons,
//! bridges and the server are killed (SIGKILL) at random moments and started again.
//!
//! At the end: every event that was answered 202 is in the stream; none is in it twice, for all
//! repetitions fell inside the duplicate window; the order of each lane of each box is kept; the
//! two consumers together have seen all of it.
//!
//! SIGKILL takes nothing from the system's cache: what a power cut takes is a matter of
//! `sync_interval`, which is `always` here, and of hookbox's own tests of power cuts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;

use crate::bridge::{Bridge, configuration};
use crate::out::{ROUTE, a_box};
use crate::server::NatsServer;
use crate::streams::{Js, Stored, stored};
use crate::support::rng::Rng;
use crate::support::{Client, Daemon, Home, SOON, until};

const BOXES: usize = 3;
/// Lanes of each box: one poster each, which posts the next event when the last was answered 202.
const LANES: u64 = 4;

/// How much, and with which seed.
pub struct Size {
    pub events: u64,
    pub kills: u64,
    pub seed: u64,
}

impl Size {
    pub fn of_environment() -> Self {
        let number = |name: &str, default: u64| {
            let given = std::env::var(name).ok();
            given.map_or(default, |text| text.parse().expect("a number"))
        };
        Self {
            events: number("HOOKBOX_NATS_EVENTS", 400),
            kills: number("HOOKBOX_NATS_KILLS", 6),
            seed: Rng::seed_from_env(),
        }
    }

    /// How long to wait in vain at most: for a test that fails. Ten times what it takes.
    pub fn patience(&self) -> Duration {
        SOON + Duration::from_millis(self.events * 200) + Duration::from_secs(self.kills * 60)
    }
}

/// One box of the fleet.
pub struct FleetBox {
    pub home: Home,
    pub config: String,
    pub daemon: Option<Daemon>,
    pub bridge: Option<Bridge>,
    /// Where its daemon listens; none while it is down.
    pub addr: Arc<Mutex<Option<SocketAddr>>>,
}

impl FleetBox {
    pub fn set_addr(&self) {
        let addr = self.daemon.as_ref().map(|daemon| daemon.addr);
        *self.addr.lock().expect("no panic") = addr;
    }

    pub fn restart_daemon(&mut self) {
        *self.addr.lock().expect("no panic") = None;
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.daemon = Some(self.home.start());
        self.set_addr();
    }

    pub fn restart_bridge(&mut self) {
        if let Some(bridge) = self.bridge.take() {
            bridge.kill();
        }
        self.bridge = Some(Bridge::spawn(&self.config));
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }
}

/// Kills one of them, or the server.
pub fn kill_one(fleet: &mut [FleetBox], server: &mut NatsServer, rng: &mut Rng) -> &'static str {
    let boxes = fleet.len();
    match rng.index(2 * boxes + boxes) {
        n if n < boxes => {
            fleet[n].restart_daemon();
            "daemon"
        }
        n if n < 2 * boxes => {
            fleet[n - boxes].restart_bridge();
            "bridge"
        }
        _ => {
            server.restart();
            "server"
        }
    }
}

/// What the posters share.
#[derive(Default)]
struct Ledger {
    /// Ids that were answered 202, by box and lane, in the order of their answers.
    answered: Mutex<HashMap<(usize, u64), Vec<String>>>,
    count: AtomicU64,
    /// The posters go no further than this.
    allowed: AtomicU64,
    stop: AtomicBool,
}

#[test]
fn every_acknowledged_event_of_three_boxes_is_in_the_stream_once_and_in_order() {
    let Some(mut server) = NatsServer::start() else { return };
    let size = Size::of_environment();
    println!("out: {} events, {} kills, HOOKBOX_SEED={}", size.events, size.kills, size.seed);
    let mut rng = Rng::new(size.seed);
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let mut fleet: Vec<FleetBox> = (0..BOXES).map(|number| a_fleet_box(number, &server)).collect();

    let ledger = Arc::new(Ledger::default());
    let consumers = Consumers::start(&js, &server);
    let posters: Vec<_> = fleet
        .iter()
        .enumerate()
        .flat_map(|(number, one)| {
            (0..LANES)
                .map(|lane| post_on(number, lane, one.addr.clone(), ledger.clone(), size.events))
                .collect::<Vec<_>>()
        })
        .collect();

    let started = Instant::now();
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 1..=size.kills {
        let wanted = size.events * number / (size.kills + 1);
        ledger.allowed.store(wanted + LANES, Ordering::SeqCst);
        until("events between two kills", size.patience(), || {
            (ledger.count.load(Ordering::SeqCst) >= wanted).then_some(())
        });
        *killed.entry(kill_one(&mut fleet, &mut server, &mut rng)).or_default() += 1;
    }
    ledger.allowed.store(u64::MAX, Ordering::SeqCst);
    for poster in posters {
        poster.join().expect("a poster does not panic");
    }
    println!("out: {killed:?}, posted after {:?}", started.elapsed());

    for one in &fleet {
        until("a box that is done", size.patience(), || is_done(one.daemon()).then_some(()));
    }
    println!("out: published after {:?}", started.elapsed());
    let all = js.all("HOOKS");
    check_stream(&ledger, &all);
    consumers.finish(&all, &size);
    for one in &mut fleet {
        let ended = one.bridge.take().expect("it runs").terminate();
        assert_eq!(ended.code(), Some(0));
    }
}

fn a_fleet_box(number: usize, server: &NatsServer) -> FleetBox {
    let home = Home::new();
    let daemon = a_box(&home, &["--order", "key", "--order-key", "/k"]);
    let config = configuration(&home, &format!("box-{number}"), &server.url(), ROUTE);
    let bridge = Some(Bridge::spawn(&config));
    let made = FleetBox { home, config, daemon: Some(daemon), bridge, addr: Arc::default() };
    made.set_addr();
    made
}

/// Posts the events of one lane, each until it was answered 202. One of which the answer was lost
/// is recognized by its id.
fn post_on(
    number: usize,
    lane: u64,
    addr: Arc<Mutex<Option<SocketAddr>>>,
    ledger: Arc<Ledger>,
    events: u64,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut client: Option<(SocketAddr, Client)> = None;
        for step in 0.. {
            let key = format!("{number}-{lane}-{step}");
            let body = format!("{{\"k\":{lane},\"n\":{step}}}");
            let id = loop {
                let count = ledger.count.load(Ordering::SeqCst);
                if count >= events || ledger.stop.load(Ordering::SeqCst) {
                    return;
                }
                let now = *addr.lock().expect("no panic");
                if count >= ledger.allowed.load(Ordering::SeqCst) || now.is_none() {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                }
                if let Some(id) = post(&mut client, now.expect("it is there"), &key, &body) {
                    break id;
                }
                std::thread::sleep(Duration::from_millis(5));
            };

            let mut answered = ledger.answered.lock().expect("no panic");
            answered.entry((number, lane)).or_default().push(id);
            drop(answered);
            ledger.count.fetch_add(1, Ordering::SeqCst);
        }
    })
}

fn post(
    client: &mut Option<(SocketAddr, Client)>,
    addr: SocketAddr,
    key: &str,
    body: &str,
) -> Option<String> {
    if client.as_ref().is_none_or(|(there, _)| *there != addr) {
        *client = Some((addr, Client::connect(addr).ok()?));
    }
    let (_, connection) = client.as_mut()?;
    let answer = connection.post("/in/app", &[("webhook-id", key)], body.as_bytes());
    match answer {
        Ok(answer) if answer.status == 202 => {
            Some(answer.json()["id"].as_str().expect("an id").to_owned())
        }
        Ok(_) => None,
        Err(_) => {
            *client = None;
            None
        }
    }
}

/// Whether nothing waits any more, and nothing was given up.
pub fn is_done(daemon: &Daemon) -> bool {
    let done = daemon.ctl().try_json(&["status"]);
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&done.stdout) else { return false };
    let deliveries = &status["deliveries"];
    assert_eq!(deliveries["dead"], 0, "{status}");
    deliveries["pending"] == 0 && deliveries["in_flight"] == 0
}

/// Holds the stream against what was answered.
fn check_stream(ledger: &Ledger, all: &[Stored]) {
    let mut first: HashMap<&str, u64> = HashMap::new();
    let mut doubled = 0;
    for one in all {
        match first.entry(one.id()) {
            std::collections::hash_map::Entry::Occupied(_) => doubled += 1,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(one.sequence);
            }
        }
    }

    let answered = ledger.answered.lock().expect("no panic");
    let (mut events, mut missing, mut disordered) = (0, 0, 0);
    for ids in answered.values() {
        let mut last = 0;
        for id in ids {
            events += 1;
            match first.get(id.as_str()) {
                None => missing += 1,
                Some(sequence) if *sequence < last => disordered += 1,
                Some(sequence) => last = *sequence,
            }
        }
    }
    println!(
        "out: {events} events answered 202, {} messages in the stream: {missing} missing, \
         {doubled} doubled, {disordered} out of order",
        all.len()
    );
    assert_eq!((missing, doubled, disordered), (0, 0, 0));
}

/// Two consumers that share one durable.
struct Consumers {
    seen: Arc<Mutex<BTreeMap<u64, u64>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<u64>>,
}

impl Consumers {
    fn start(js: &Js, server: &NatsServer) -> Self {
        js.runtime.block_on(async {
            let stream = js.context.get_stream("HOOKS").await.expect("the stream");
            let config = pull::Config {
                durable_name: Some("readers".to_owned()),
                ack_wait: Duration::from_secs(5),
                ..pull::Config::default()
            };
            stream.create_consumer(config).await.expect("a consumer");
        });

        let (seen, stop) = (Arc::default(), Arc::default());
        let threads = (0..2).map(|_| {
            let (url, seen, stop) = (server.url(), Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || consume(&url, &seen, &stop))
        });
        let threads = threads.collect();
        Self { seen, stop, threads }
    }

    /// Both have seen all of it between them.
    fn finish(self, all: &[Stored], size: &Size) {
        let wanted: BTreeSet<u64> = all.iter().map(|one| one.sequence).collect();
        until("the consumers", size.patience(), || {
            let seen = self.seen.lock().expect("no panic");
            wanted.iter().all(|sequence| seen.contains_key(sequence)).then_some(())
        });
        self.stop.store(true, Ordering::SeqCst);
        let shares: Vec<u64> =
            self.threads.into_iter().map(|one| one.join().expect("no panic")).collect();
        let seen = self.seen.lock().expect("no panic");
        let again: u64 = seen.values().map(|times| times - 1).sum();
        println!("out: two consumers got {shares:?}, {again} of them again after a kill");
        assert!(shares.iter().all(|share| *share > 0), "each gets a part: {shares:?}");
    }
}

/// One consumer, until it is stopped. How many messages it got.
fn consume(url: &str, seen: &Mutex<BTreeMap<u64, u64>>, stop: &AtomicBool) -> u64 {
    let js = Js::connect(url);
    let mut got = 0;
    js.runtime.block_on(async {
        while !stop.load(Ordering::SeqCst) {
            let round = async {
                let stream = js.context.get_stream("HOOKS").await.ok()?;
                let consumer: async_nats::jetstream::consumer::PullConsumer =
                    stream.get_consumer("readers").await.ok()?;
                let batch = consumer.batch().max_messages(50).expires(Duration::from_secs(1));
                let mut batch = batch.messages().await.ok()?;
                while let Some(Ok(message)) = batch.next().await {
                    got += 1;
                    *seen
                        .lock()
                        .expect("no panic")
                        .entry(stored(&message).sequence)
                        .or_default() += 1;
                    message.ack().await.ok()?;
                }
                Some(())
            };

            if round.await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    got
}
