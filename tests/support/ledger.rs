//! What a driver outside the daemon writes down: every 2xx answer, and whether a daemon still has
//! it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::admin::Admin;
use super::http::Client;
use super::payloads;
use super::rng::Rng;

/// An event that was answered 202.
#[derive(Clone, Debug)]
pub struct Acked {
    pub id: String,
    pub hash: [u8; 32],
    /// Its deliveries fail for as long as the test lasts, so retention has to keep it.
    pub kept: bool,
    pub sent: Instant,
}

impl Acked {
    /// The number of the record that holds it, which its id says.
    pub fn seq(&self) -> u64 {
        let digit = |c: char| u128::from(c.to_digit(32).expect("base32hex"));
        let digits = self.id.trim_start_matches("evt_").chars().take(13);
        let bits = digits.fold(0u128, |n, c| (n << 5) | digit(c));
        u64::try_from(bits >> 1).expect("13 digits are 65 bits")
    }
}

/// How the load is made.
#[derive(Clone, Debug)]
pub struct Pace {
    pub posters: u64,
    /// Drawn between two requests of one poster.
    pub pause_us: u64,
    /// Bytes of bodies after which the load ends.
    pub bytes: u64,
    pub largest: usize,
    /// The sources, and what share in a hundred goes to the second one.
    pub sources: [&'static str; 2],
    pub kept_percent: u64,
}

/// Requests on and on from several connections until they are stopped.
#[derive(Debug)]
pub struct Load {
    acked: Arc<Mutex<Vec<Acked>>>,
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    posters: Vec<JoinHandle<()>>,
    pace: Pace,
}

impl Load {
    pub fn start(addr: SocketAddr, pace: &Pace, seed: u64) -> Self {
        let mut load = Self {
            acked: Arc::default(),
            stop: Arc::default(),
            bytes: Arc::default(),
            refused: Arc::default(),
            posters: Vec::new(),
            pace: pace.clone(),
        };

        for number in 0..pace.posters {
            let (acked, stop, bytes, refused) =
                (load.acked.clone(), load.stop.clone(), load.bytes.clone(), load.refused.clone());
            let (pace, mut rng) = (pace.clone(), Rng::new(seed ^ ((number + 1) << 32)));
            let running =
                move || !stop.load(Ordering::Acquire) && bytes.load(Ordering::Acquire) < pace.bytes;

            let count = load.bytes.clone();
            load.posters.push(std::thread::spawn(move || {
                let Ok(mut client) = Client::connect(addr) else { return };
                while running() {
                    let Ok(sent) = post_one(&mut client, &pace, &mut rng, &acked, &refused) else {
                        return;
                    };
                    count.fetch_add(sent, Ordering::AcqRel);
                    std::thread::sleep(Duration::from_micros(rng.below(pace.pause_us + 1)));
                }
            }));
        }

        load
    }

    /// What has been answered by now.
    pub fn acked(&self) -> Vec<Acked> {
        lock(&self.acked).clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.acked).len()
    }

    /// Answers that were not 202.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Whether there is nobody left who posts.
    pub fn is_over(&self) -> bool {
        self.bytes.load(Ordering::Acquire) >= self.pace.bytes
            || self.posters.iter().all(JoinHandle::is_finished)
    }

    /// Ends the load; everything that was answered.
    pub fn end(mut self) -> Vec<Acked> {
        self.stop.store(true, Ordering::Release);
        for poster in self.posters.drain(..) {
            poster.join().expect("a poster does not panic");
        }
        self.acked()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Posts one body and writes down what came of it; the bytes sent.
fn post_one(
    client: &mut Client,
    pace: &Pace,
    rng: &mut Rng,
    acked: &Mutex<Vec<Acked>>,
    refused: &AtomicU64,
) -> io::Result<u64> {
    let body = body(pace.largest, rng);
    let hash = super::sha256(&body);
    let kept = rng.below(100) < pace.kept_percent;
    let path = format!("/in/{}", pace.sources[usize::from(kept)]);
    let sent = Instant::now();
    let answer = client.post(&path, &[], &body)?;
    if answer.status == 202 {
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        lock(acked).push(Acked { id, hash, kept, sent });
    } else {
        // 408 when the driver itself was put off in the middle of a body.
        assert!(
            matches!(answer.status, 503 | 408),
            "only a busy or ending daemon refuses: {answer:?}"
        );
        refused.fetch_add(1, Ordering::AcqRel);
    }
    Ok(body.len() as u64)
}

/// Bodies from this size on do not compress.
const INCOMPRESSIBLE: usize = 300_000;

/// 10 bytes to `largest`, as often between 10 and 100 as between 10,000 and 100,000.
fn body(largest: usize, rng: &mut Rng) -> Vec<u8> {
    let mut size = 10;
    let decades = largest.ilog10();
    for _ in 0..rng.below(u64::from(decades)) {
        size *= 10;
    }
    let size = (size + rng.index(size * 9)).min(largest);
    match size {
        // What does not compress is stored in as many blocks as it has.
        0..100 | INCOMPRESSIBLE.. => {
            std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(size).collect()
        }
        _ => payloads::json_of(size, rng.below(1 << 30), rng),
    }
}

/// What became of events that were answered.
#[derive(Debug, Default)]
pub struct Census {
    pub found: usize,
    /// Delivered, and gone with a segment whose time was over.
    pub retired: usize,
    /// Neither: with the reason.
    pub lost: Vec<(u64, String)>,
    /// What `log verify` says.
    pub report: Value,
    /// What `log stat` says.
    pub stat: Value,
}

impl Census {
    pub fn verified(&self) -> bool {
        self.report["ok"] == true
    }

    /// Whether `log verify` names a range that holds this record.
    pub fn names(&self, seq: u64) -> bool {
        let none = Vec::new();
        let problems = self.report["problems"].as_array().unwrap_or(&none);
        problems.iter().any(|p| {
            let number = |key: &str| p[key].as_u64().unwrap_or(0);
            (number("first")..=number("last")).contains(&seq)
        })
    }
}

/// Looks every event up by its id and compares its body.
pub fn look_up(socket: &Path, acked: &[Acked]) -> io::Result<Census> {
    let mut admin = Admin::connect(socket)?;
    let mut census = Census { stat: admin.get("/v1/log")?.1, ..Census::default() };
    let first = census.stat["first"].as_u64().unwrap_or(0);
    let mut sorted: Vec<&Acked> = acked.iter().collect();
    sorted.sort_by_key(|a| a.seq());
    let mut ids = HashMap::new();
    for event in sorted {
        assert!(ids.insert(&event.id, ()).is_none(), "{} was given twice", event.id);
        let (status, shown) = admin.get(&format!("/v1/events/{}", event.id))?;
        match status {
            200 if same_body(&shown, event) => census.found += 1,
            200 => census.lost.push((event.seq(), format!("{} has another body", event.id))),
            404 if event.seq() < first && !event.kept => census.retired += 1,
            _ => census.lost.push((event.seq(), format!("{}: {status} {shown}", event.id))),
        }
    }
    census.report = admin.get("/v1/log/verify")?.1;
    Ok(census)
}

fn same_body(shown: &Value, event: &Acked) -> bool {
    let body = shown["body_base64"].as_str().unwrap_or_default();
    let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
    super::sha256(&body) == event.hash
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
