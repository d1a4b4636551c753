//! What bodies of every hostile shape cost another source than their own, measured on the optimized
//! programs.
//!
//! Twelve endpoints of the source `bad` have filters with slow patterns. Bodies come from 127.0.0.2,
//! three of each shape and size, one after the other; meanwhile `good` gets one small event after
//! the other on one connection. Given is its slowest 202, beside that of a run of the same length
//! without such a body: the middle of some rounds, because a disk has slow moments of its own.
//!
//! What is asserted is counted: every honest request is answered 202, the daemon is the same one in
//! the end, and its memory was within the budget.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::support::http::connect_from;
use super::super::support::sizes::size;
use super::super::support::{Client, Home};
use super::{ATTACKER, prepare};

/// Bodies of one shape and size in a round.
const BODIES: usize = 3;
/// What the daemon may take at most, in KiB: what the bytes being read and parsed may be, and what
/// it holds besides.
const MOST_MEMORY_KIB: u64 = 512 * 1024;

type Shape = (&'static str, fn(usize) -> Vec<u8>);

const SHAPES: &[Shape] = &[
    ("one long string", |size| around("{\"text\":\"", b"a", "\"}", size)),
    ("`aaa…` for `(a\\|aa)+`", |size| around("{\"a\":\"", b"a", "\"}", size)),
    ("a string of escapes", |size| around("{\"text\":\"", b"\\u0041", "\"}", size)),
    ("`[0,0,0,…]`", |size| around("[", b"0,", "0]", size)),
    ("`[[[[…`", |size| vec![b'['; size]),
    ("an object of many keys", many_keys),
    ("objects in each other", |size| around("", b"{\"a\":", "1", size)),
    ("one long number", |size| around("{\"a\":", b"7", "}", size)),
    ("half surrogate pairs, cut", |size| around("{\"text\":\"", b"\\ud83d", "", size)),
    ("no UTF-8", |size| around("{\"text\":\"", b"\xff\xc0", "\"}", size)),
    ("noise", noise),
];

fn around(before: &str, part: &[u8], behind: &str, size: usize) -> Vec<u8> {
    let mut body = before.as_bytes().to_vec();
    while body.len() + part.len() + behind.len() <= size {
        body.extend(part);
    }
    body.extend(behind.as_bytes());
    body
}

fn many_keys(size: usize) -> Vec<u8> {
    let mut body = b"{".to_vec();
    for n in 0.. {
        let key = format!("\"k{n}\":0,");
        if body.len() + key.len() + 10 > size {
            break;
        }
        body.extend(key.as_bytes());
    }
    body.extend(b"\"last\":0}");
    body
}

/// Bytes that no compression makes fewer.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(next).collect()
}

#[test]
#[ignore = "measures: needs optimized programs and a machine to itself"]
fn fair_shares_beside_hostile_bodies() {
    let rounds = size("HOOKBOX_FAIR_ROUNDS");
    let home = Home::new();
    let mut daemon = home.start();
    prepare(&daemon);
    daemon.json(&["source", "update", "bad", "--max-body", "33MiB"]);
    let _warm = honest_while(daemon.addr, || std::thread::sleep(Duration::from_millis(500)));

    println!("| body | size | slowest 202 without, with, more (ms) | answers | memory (MiB) |");
    println!("|---|---|---|---|---|");
    for (name, make) in SHAPES {
        for mib in [1, 4, 32] {
            let body = make(mib << 20);
            let mut more = Vec::new();
            let mut answers = BTreeSet::new();
            for _ in 0..rounds {
                let began = Instant::now();
                let with = honest_while(daemon.addr, || {
                    answers.extend((0..BODIES).map(|_| post(daemon.addr, &body)));
                });
                let length = began.elapsed();
                let without = honest_while(daemon.addr, || std::thread::sleep(length));
                more.push((with.saturating_sub(without), without, with));
            }

            more.sort_unstable();
            let (more, without, with) = more[more.len() / 2];
            let memory = daemon.proc_number("status", "VmHWM");
            println!(
                "| {name} | {mib} MiB | {}, {}, {} | {} | {} |",
                without.as_millis(),
                with.as_millis(),
                more.as_millis(),
                answers.into_iter().collect::<Vec<_>>().join(", "),
                memory / 1024
            );
            assert!(memory < MOST_MEMORY_KIB, "{memory} KiB");
            assert!(daemon.ended().is_none(), "{name} of {mib} MiB ended the daemon");
        }
    }
}

/// Posts small events, one after the other, until this is done. Returns how long the slowest took.
fn honest_while(to: SocketAddr, done: impl FnOnce()) -> Duration {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut client = Client::connect(to).expect("an honest connection");
            let (mut slowest, mut n) = (Duration::ZERO, 0);
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let body = format!("{{\"n\":{n},\"at\":\"{:?}\"}}", Instant::now());
                let asked = Instant::now();
                let answer = client.post("/in/good", &[], body.as_bytes()).expect("an answer");
                assert_eq!(answer.status, 202, "an honest request was refused");
                slowest = slowest.max(asked.elapsed());
            }
            slowest
        });

        std::thread::sleep(Duration::from_millis(100));
        done();
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        honest.join().expect("an honest sender")
    })
}

/// Posts a body to `bad`, as someone else. Returns the status, or what came in its place.
fn post(to: SocketAddr, body: &[u8]) -> String {
    let Ok(mut stream) = connect_from(ATTACKER, to) else { return "no connection".to_owned() };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let head = format!(
        "POST /in/bad HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: \
         {}\r\n\r\n",
        body.len()
    );
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));

    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap_or(0);
    let text = String::from_utf8_lossy(&answer[..length]);
    match (text.split(' ').nth(1), sent) {
        (Some(status), _) => status.to_owned(),
        (None, Err(_)) => "closed".to_owned(),
        (None, Ok(())) => "none".to_owned(),
    }
}
