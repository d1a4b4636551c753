//! A wall clock that is wrong at boot: a box without a battery comes up in 1970 and has its clock
//! set a while later; and one that is put right by an hour while the daemon runs (L-05). What the C
//! library says of the time is put in the daemon's way by a small library, built here with the `cc`
//! that hookbox needs anyway. How long it waits at most is a unit test of `queue::clock`, on a
//! clock that can be wound.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::support::admin::Admin;
use super::support::signature::signed_with;
use super::support::{Daemon, Home, Receiver, SOON, Seen, Step, until};
use super::{open_source, quick_endpoint, text};

/// The wall clock says 1970 and the time since boot, until there is a file that says it is set; it
/// is off by as many seconds as stand in another file.
const FIRMWARE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *time) {
    const char *set = getenv("CLOCK_IS_SET");
    int unset = set != NULL && access(set, F_OK) != 0;
    clockid_t asked = id == CLOCK_REALTIME && unset ? CLOCK_MONOTONIC : id;
    int result = (int)syscall(SYS_clock_gettime, asked, time);
    const char *off = getenv("CLOCK_IS_OFF_BY");
    int file = id == CLOCK_REALTIME && off != NULL ? open(off, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) time->tv_sec += atol(text);
        close(file);
    }
    return result;
}
"#;
const DAY_S: u64 = 86_400;

/// A home whose daemons begin in 1970, and the file that sets their clock.
fn home_without_a_battery() -> (Home, PathBuf) {
    home_with_a_clock("CLOCK_IS_SET")
}

/// A home whose daemons have a clock of their own, and the file that the firmware knows by this
/// name.
fn home_with_a_clock(name: &str) -> (Home, PathBuf) {
    let mut home = Home::new();
    let source = home.write("firmware.c", FIRMWARE);
    let library = home.path().join("firmware.so").display().to_string();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", &library, &source]).status();
    assert!(built.expect("there is a C compiler").success());
    let file = home.path().join("clock");
    home.environment.push(("LD_PRELOAD".to_owned(), library));
    home.environment.push((name.to_owned(), file.display().to_string()));
    (home, file)
}

/// Waits until the daemon says that it does not believe its clock, and how long it waits for it.
fn in_1970(daemon: &Daemon) {
    let clock = until("the clock to be suspect", SOON, || {
        Some(daemon.asked("/v1/status")["clock"].clone())
            .filter(|clock| clock["waiting_until"].is_string())
    });
    assert_eq!(clock["suspect"], true);
    assert!(text(&clock, "waiting_until").starts_with("19"), "{clock}");
    let screen = daemon.done(&["status"]).stdout;
    assert!(screen.contains("signed deliveries wait"), "{screen}");
}

/// Whether it has the time of today and a signature over it.
fn is_of_today(seen: &Seen, secret: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at: u64 =
        seen.header("webhook-timestamp").and_then(|text| text.parse().ok()).expect("a time");
    at.abs_diff(now) < DAY_S && signed_with(seen, secret)
}

/// The consumer of a pull endpoint takes what there is.
fn consume(daemon: &Daemon) -> Vec<Value> {
    let mut admin = Admin::connect(&daemon.socket).expect("the socket");
    let ask = json!({"max": 10, "wait": "20s"});
    let leases = until("something to consume", SOON, || {
        let (status, answer) = admin.post("/v1/endpoints/jobs/lease", &ask).expect("an answer");
        assert_eq!(status, 200, "{answer}");
        answer["leases"].as_array().filter(|leases| !leases.is_empty()).cloned()
    });
    for lease in &leases {
        let path = format!("/v1/leases/{}/ack", text(lease, "lease"));
        assert_eq!(admin.post(&path, &json!({})).expect("an answer").0, 200);
    }
    leases
}

#[test]
fn a_box_that_boots_in_1970_signs_nothing_until_its_clock_is_set() {
    let (home, set) = home_without_a_battery();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    let made = quick_endpoint(
        &daemon,
        "app",
        &receiver.url("/hook"),
        &["--max-age", "1h", "--generate-secret"],
    );
    let secret = text(&made, "secret").to_owned();
    daemon.json(&["endpoint", "create", "jobs", "--url", "pull:", "--lease", "1h"]);

    in_1970(&daemon);
    let first = daemon.accept("/in/in", &[], b"1");
    // What is not signed goes on.
    assert_eq!(consume(&daemon).len(), 1);
    let waits = daemon.lines(&["delivery", "list", "--endpoint", "app"]).remove(0);
    assert_eq!((text(&waits, "state"), text(&waits, "event")), ("pending", &*first));
    let why = daemon.json(&["delivery", "explain", text(&waits, "id")]);
    assert_eq!(text(&why["reasons"][0], "kind"), "clock", "{why}");

    // Once more in 1970, with something that waits and a log that has seen nothing else.
    daemon.kill();
    let daemon = home.start();
    in_1970(&daemon);
    daemon.accept("/in/in", &[], b"2");
    assert_eq!(consume(&daemon).len(), 1);
    assert_eq!(receiver.count("/hook"), 0);

    // The time comes: 56 years at once, and nobody has to wait five minutes for it.
    std::fs::write(&set, b"").expect("a file in the temporary folder");
    for seen in receiver.wait("/hook", 2, SOON) {
        assert!(is_of_today(&seen, &secret), "{seen:?}");
    }
    daemon.await_count("delivered", 4);
    let status = daemon.json(&["status"]);
    assert_eq!(status["clock"], json!({"suspect": false, "waiting_until": null}));
    assert_eq!(
        (&status["deliveries"]["dead"], &status["deliveries"]["pending"]),
        (&0.into(), &0.into())
    );
    assert_eq!(daemon.lines(&["event", "list"]).len(), 2, "what came in 1970 is not old");

    // The battery is still missing: now the log knows better than the clock.
    daemon.kill();
    std::fs::remove_file(&set).expect("the file is there");
    let daemon = home.start();
    in_1970(&daemon);
    daemon.accept("/in/in", &[], b"3");
    assert_eq!(consume(&daemon).len(), 1);
    assert_eq!(receiver.count("/hook"), 2);
    std::fs::write(&set, b"").expect("a file in the temporary folder");
    assert!(is_of_today(&receiver.wait("/hook", 3, SOON)[2], &secret));
    daemon.await_count("delivered", 6);
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// Retries go by the time that passes, whatever the clock on the wall says meanwhile.
#[test]
fn l05_a_clock_that_jumps_makes_no_storm_and_loses_nothing() {
    const PAUSE: Duration = Duration::from_millis(400);
    let (home, off) = home_with_a_clock("CLOCK_IS_OFF_BY");
    std::fs::write(&off, "0").expect("writes");
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");

    let paths: Vec<String> = (0..5).map(|n| format!("/{n}")).collect();
    for (path, name) in paths.iter().zip(["a", "b", "c", "d", "e"]) {
        receiver.always(path, Step::Status(503));
        let url = receiver.url(path);
        let settings =
            ["--allow-private", "--retry-base", "400ms", "--retry-max", "400ms", "--jitter", "0"];
        daemon.json(&[&["endpoint", "create", name, "--url", &url][..], &settings].concat());
    }

    let id = daemon.accept("/in/in", &[], b"1");
    let tried_twice = || {
        let wanted: Vec<usize> = paths.iter().map(|path| receiver.count(path) + 2).collect();
        paths.iter().zip(wanted).for_each(|(path, wanted)| drop(receiver.wait(path, wanted, SOON)));
    };

    for hours in [0i64, 1, 0, -1, 0] {
        std::fs::write(&off, (hours * 3600).to_string()).expect("writes");
        tried_twice();
    }

    for path in &paths {
        let seen = receiver.seen(path);
        for pair in seen.windows(2) {
            let pause = pair[1].at.duration_since(pair[0].at);
            assert!(pause > PAUSE / 2, "a storm: {pause:?} between two attempts at {path}");
        }
        receiver.always(path, Step::Status(200));
    }

    daemon.await_count("delivered", 5);
    assert!(paths.iter().all(|path| receiver.seen(path).iter().all(|seen| seen.id() == id)));
}
