//! (j) Rolls: how long a 202 takes at worst while a daemon with a large state begins new segments,
//! and how long that daemon takes to start.
//!
//! The state is written through the library, because it would take hours over HTTP: 4,096
//! endpoints with templates, a million dead letters, and as many dedupe keys as are kept. The first
//! segments have format 2, so that earlier versions can be measured on the same.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookbox::log::{Log, Options as LogOptions, Recovered, SegmentFormat};
use hookbox::model::{DeliveryId, Endpoint, Event, EventId, Source};
use hookbox::queue::State;
use hookbox::record::{DeadLetter, Record};

use super::Options;
use super::backlog::restart;
use super::load::{Measured, paced, request};
use super::report::{Report, number, percentile_ms};
use super::support::payloads::json_of;
use super::support::rng::Rng;
use super::support::{Daemon, Home, wall_now_ms};
use super::watch::{resident_mib, status};

const ENDPOINTS: u64 = 4096;
const DEAD: u64 = 1_000_000;
const KEYS: u64 = 1 << 20;
/// Bytes of the template of each endpoint.
const TEMPLATE: usize = 3 << 10;
/// Requests a second, and the bytes of each.
const PACE: u64 = 500;
const BODY: usize = 4 << 10;
/// Small, so that a load of seconds has several rolls.
const CONFIG: &str = "[log]\nsegment_size = \"4MiB\"\n";
/// The file `format` of a folder of format 2.
const FORMAT_2: &str = "{\"format\":2,\"hookbox\":\"0.1.0\"}\n5a34ff47\n";
/// Records of one commit.
const COMMIT: usize = 2_000;

pub fn run(options: &Options, report: &mut Report) {
    let dead = DEAD.min(options.events);
    let keys = KEYS.min(options.events);
    report.title(&format!(
        "rolls: {PACE} requests of {BODY} bytes a second while segments of 4 MiB are begun, with \
         {dead} dead letters, {ENDPOINTS} endpoints with templates and {keys} dedupe keys"
    ));

    let mut home = Home::new();
    let written = write_large(&home.data().join("log"), dead, keys);
    report.figure("rolls.state", number(written) / 1e6, "MB");
    let config = home.write("hookbox.toml", CONFIG);
    home.args.extend(["--config".to_owned(), config]);

    let mut worst = Vec::new();
    let mut p99 = Vec::new();
    let (mut rolls, mut memory, mut bytes) = (0, Vec::new(), 0);
    for round in 0..options.rounds {
        let daemon = home.start();
        let before = segments(&daemon);
        let load = load(&daemon, options, round as u64);
        rolls += segments(&daemon).saturating_sub(before);
        worst.push(percentile_ms(&load.latencies_us, 1.0));
        p99.push(percentile_ms(&load.latencies_us, 0.99));
        memory.push(resident_mib(&daemon));
        bytes = status(&daemon)["log"]["checkpoint_bytes"].as_u64().unwrap_or(0);
        daemon.kill();
    }
    report.spread("rolls.slowest", &worst, "ms");
    report.spread("rolls.p99", &p99, "ms");
    report.figure("rolls.rolls", number(rolls), "in all rounds");
    report.spread("rolls.rss", &memory, "MiB");
    report.figure("rolls.checkpoint", number(bytes) / 1e6, "MB");

    let mut took = Vec::new();
    for _ in 0..options.rounds {
        let (daemon, time) = restart(&home);
        took.push(time.as_secs_f64());
        daemon.kill();
    }
    report.spread("rolls.start_after_kill", &took, "s");
}

fn segments(daemon: &Daemon) -> u64 {
    status(daemon)["log"]["segments"].as_u64().unwrap_or(0)
}

fn load(daemon: &Daemon, options: &Options, round: u64) -> Measured {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = (options.seconds * number(PACE)) as u64;
    let mut rng = Rng::new(round);
    let one = |n| request(&json_of(BODY, round << 32 | n, &mut rng));
    let (measured, _) = paced(daemon.addr, PACE, 16, (0..count).map(one).collect());
    assert_eq!((measured.accepted, measured.refused), (count, 0));
    measured
}

/// Writes a log with a large state, and gives the bytes of its last checkpoint.
fn write_large(dir: &Path, dead: u64, keys: u64) -> u64 {
    let options = LogOptions {
        dir: dir.to_path_buf(),
        segment_format: SegmentFormat::Cells,
        ..LogOptions::default()
    };
    let now = wall_now_ms();
    let Recovered { log, .. } = Log::open(options, now).expect("the log opens");
    let mut writer = Writer { log, state: State::new(), records: Vec::new(), now };

    writer.add(Record::LogStarted { at: now, version: "0.1.0".into(), salt: 7 });
    let mut source = Source::new("bench", "none");
    (source.id, source.created_at) = (1, now);
    writer.add(Record::SourceSet { source: Box::new(source) });
    for id in 1..=ENDPOINTS {
        writer.add(Record::EndpointSet { endpoint: Box::new(endpoint(id, now)) });
    }

    let mut rng = Rng::new(9);
    for n in 0..dead.max(keys) {
        let endpoint = u32::try_from(n % ENDPOINTS + 1).expect("few");
        let seq = writer.state.next_seq;
        let fan_out = if n < dead { vec![endpoint] } else { Vec::new() };
        let dedupe = (n < keys).then(|| rng.next());
        let (event, beside) = (Arc::new(event(seq, now)), Default::default());
        writer.add(Record::EventAccepted { event, dedupe, fan_out, beside, ran_ms: 0 });
        if n < dead {
            let delivery = DeliveryId { seq, endpoint };
            let (attempts, reason, last) = (3, "refused".to_owned(), 0);
            let (event, died_at, kept_since) = (seq, now, None);
            let dead = DeadLetter { delivery, event, attempts, died_at, reason, last, kept_since };
            writer.add(Record::DeliveryDied { dead });
        }
    }
    let bytes = writer.finish();
    // So that earlier versions open it: this one has said that it may write a later format.
    std::fs::write(dir.join("format"), FORMAT_2).expect("the folder's format is written");
    bytes
}

struct Writer {
    log: Log,
    state: State,
    records: Vec<Record>,
    now: u64,
}

impl Writer {
    fn add(&mut self, record: Record) {
        self.state.apply(self.state.next_seq, &record).expect("it follows");
        self.records.push(record);
        if self.records.len() == COMMIT {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let _durable = self.log.commit(&self.records).expect("it commits");
        self.records.clear();
        if self.log.wants_roll(self.now) {
            self.log.roll(self.state.checkpoint(), self.now).expect("it rolls");
        }
    }

    fn finish(mut self) -> u64 {
        self.commit();
        let checkpoint = self.state.checkpoint();
        self.log.roll(&checkpoint, self.now).expect("it rolls");
        self.log.close().expect("it closes");
        checkpoint.len() as u64
    }
}

fn endpoint(id: u64, now: u64) -> Endpoint {
    let mut endpoint = Endpoint::new(format!("e{id}"), "http://127.0.0.1:9/");
    endpoint.id = u32::try_from(id).expect("few");
    (endpoint.created_at, endpoint.types) = (now, vec![format!("kind{id}.*")]);
    let mut rng = Rng::new(id);
    let text = (0..TEMPLATE / 16).map(|_| format!("{:016x}", rng.next()));
    let text: String = text.collect();
    endpoint.template.body = Some(format!("{{\"id\": \"{{{{ id }}}}\", \"text\": \"{text}\"}}"));
    endpoint
}

fn event(seq: u64, now: u64) -> Event {
    Event {
        id: EventId { seq, tag: seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) },
        source: 1,
        source_name: "bench".into(),
        kind: "kind0".into(),
        received_at: now,
        dedupe_key: None,
        request_line: "POST /in/bench".into(),
        remote: "127.0.0.1:1".into(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{\"small\":true}"),
        from_provider: false,
        first_id: None,
    }
}
