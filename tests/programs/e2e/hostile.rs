//! Slow and many clients leave honest ones served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::open_source;
use super::support::sizes::size;
use super::support::{Home, SOON};

/// `count` connections that send the beginning of something and then nothing.
fn slow(addr: std::net::SocketAddr, count: usize) -> Vec<TcpStream> {
    let starts: [&[u8]; 4] = [
        b"",
        b"POST /in/in HT",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nX-Slow: ",
        b"POST /in/in HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\npart",
    ];
    let connect = |n: usize| {
        let mut stream = TcpStream::connect(addr).expect("a connection");
        stream.write_all(starts[n % starts.len()]).expect("sent");
        stream
    };
    (0..count).map(connect).collect()
}

#[test]
fn honest_clients_are_served_among_hundreds_of_slow_ones() {
    // Many descriptors, here and there: CI asks for 4,000 where the limits allow it.
    let count = usize::try_from(size("HOOKBOX_SLOW_CLIENTS")).expect("a number of clients");
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    // What half of a hundred requests take at most: the system may put off some of them for as long
    // as it likes.
    let median = || {
        let mut client = daemon.client();
        let mut post = |n: usize| {
            let started = Instant::now();
            let answer = client.post("/in/in", &[], format!("{n}").as_bytes()).expect("an answer");
            assert_eq!(answer.status, 202);
            started.elapsed()
        };
        let mut took: Vec<Duration> = (0..100).map(&mut post).collect();
        took.sort_unstable();
        took[50]
    };

    let alone = median();
    let slow = slow(daemon.addr, count);
    let among = median();
    assert!(
        among < alone * 10,
        "half of the honest requests took {among:?} and more, {alone:?} without the slow ones"
    );

    for _ in 0..20 {
        daemon.accept("/in/in", &[], b"on a connection of its own");
    }
    drop(slow);
}

#[test]
fn slow_clients_are_sent_away_in_time() {
    let with = |head: &str, body: &str| {
        let mut home = Home::new();
        let limits = format!("[limits]\nhead_timeout = \"{head}\"\nbody_timeout = \"{body}\"\n");
        let path = home.write("hookbox.toml", &limits);
        home.args.extend(["--config".to_owned(), path]);
        let daemon = home.start();
        open_source(&daemon, "in");
        (home, daemon)
    };

    // Where there is more time, older connections stay open, but for bodies that come at no pace at
    // all.
    let (_patient_home, patient) = with("10m", "10m");
    let waiting = slow(patient.addr, 3);

    let (_home, daemon) = with("500ms", "700ms");
    for (n, mut stream) in slow(daemon.addr, 8).into_iter().enumerate() {
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let reset = ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(ended.is_ok() || reset, "connection {n} was still open after {SOON:?}");
        if n % 4 == 3 {
            assert!(
                rest.starts_with(b"HTTP/1.1 408"),
                "a body too slow: {}",
                String::from_utf8_lossy(&rest)
            );
        }
    }

    for mut stream in waiting {
        stream.set_nonblocking(true).expect("a flag");
        assert!(
            stream.read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            "cut before its time"
        );
    }
    assert_eq!(daemon.json(&["status"])["events"], 0);
}

#[test]
fn idle_memory_is_small() {
    let home = Home::new();
    let daemon = home.start();
    daemon.json(&["status"]);
    let resident = daemon.proc_number("status", "VmRSS");
    // The release program's bound is 16 MiB, and CI measures that one; without link-time
    // optimization the program itself takes more pages.
    let bound = if cfg!(debug_assertions) { 48 << 10 } else { 18 << 10 };
    assert!(resident < bound, "{resident} KiB resident, at most {bound}");
}

/// The allocator takes its settings from the environment that the process begins with.
#[test]
fn the_allocator_gives_back_soon_what_is_freed() {
    let setting = |home: &Home| {
        let daemon = home.start();
        let all =
            std::fs::read(format!("/proc/{}/environ", daemon.pid())).expect("the process lives");
        let all = String::from_utf8_lossy(&all).into_owned();
        all.split('\0').find_map(|one| one.strip_prefix("MIMALLOC_PURGE_DELAY=").map(str::to_owned))
    };
    assert_eq!(setting(&Home::new()).as_deref(), Some("100"));
    let mut home = Home::new();
    home.environment.push(("MIMALLOC_PURGE_DELAY".to_owned(), "500".to_owned()));
    assert_eq!(setting(&home).as_deref(), Some("500"), "what somebody sets counts");
}

/// Each of these took from 120 to 520 MiB.
#[test]
fn bodies_of_nothing_but_elements_take_little_memory() {
    let home = Home::new();
    let daemon = home.start();
    let keyed = ["--secret", "s3cret", "--max-body", "8MiB"];
    for scheme in ["okta", "cloudevents", "twilio"] {
        daemon.json(&[&["source", "create", scheme, "--verify", scheme][..], &keyed].concat());
    }
    let list = format!("[0{}]", ",0".repeat(2 << 20)).into_bytes();
    let object = format!("{{\"a\":[0{}]}}", ",0".repeat(2 << 20)).into_bytes();
    let form = b"a&".repeat(2 << 20);
    let before = daemon.proc_number("status", "VmHWM");

    let batch = ("Content-Type", "application/cloudevents-batch+json");
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    let answers = [
        daemon.post("/in/okta", &[("Authorization", "s3cret")], &list).status,
        daemon.post("/in/okta", &[("Authorization", "s3cret")], &object).status,
        daemon.post("/in/cloudevents", &[("Authorization", "Bearer s3cret"), batch], &list).status,
        daemon.post("/in/twilio", &[("X-Twilio-Signature", "AAAA"), form_type], &form).status,
    ];
    assert_eq!(answers, [200, 200, 202, 401]);
    let grown = daemon.proc_number("status", "VmHWM") - before;
    assert!(grown < 100 << 10, "{grown} KiB more than before");
}
