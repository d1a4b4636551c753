//! A daemon with nothing to do: it sleeps, and ends where somebody else holds its sockets.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::support::{Client, Daemon, Home, NobodysPort, Receiver, SOON, until};
use super::{open_source, quick_endpoint};

/// How long wake-ups are counted. The time is what is measured, not waited for.
const WINDOW: Duration = Duration::from_secs(20);
/// A thread that looks twice a second wakes 40 times in it, one that looks each second 20 times.
const WAKES_MAX: u64 = 10;

/// How often the daemon's threads were woken: its own, and those of the store. A thread that has
/// ended counts no more.
fn wake_ups(daemon: &Daemon) -> (u64, u64) {
    let (mut own, mut stores) = (0, 0);
    let tasks = format!("/proc/{}/task", daemon.pid());
    for task in fs::read_dir(tasks).expect("the daemon lives").flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let switches: u64 = read("status")
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
            .unwrap_or_default();
        let counted = if read("comm").starts_with("sled") { &mut stores } else { &mut own };
        *counted += switches;
    }
    (own, stores)
}

#[test]
fn a_daemon_sleeps_until_something_is_due() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    // One event is delivered, and another one waits for its next attempt, in an hour.
    let receiver = Receiver::start();
    quick_endpoint(&daemon, "app", &receiver.url("/"), &[]);
    let nobody = NobodysPort::new();
    let later = ["--retry-base", "1h", "--retry-max", "1h", "--max-age", "100d"];
    quick_endpoint(&daemon, "down", &nobody.url(), &later);
    daemon.accept("/in/in", &[], b"x");
    daemon.await_count("delivered", 1);
    until("the first attempt", SOON, || (!daemon.attempts("down").is_empty()).then_some(()));

    // A while after the last event it has closed what it read, and sleeps.
    let mut seen = Vec::new();
    until("a window in which the daemon sleeps", SOON, || {
        let before = wake_ups(&daemon);
        std::thread::sleep(WINDOW);
        let after = wake_ups(&daemon);
        let woken = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        seen.push(woken);
        // The store's seven threads would wake 140 times by themselves.
        (woken.0 <= WAKES_MAX && woken.1 <= 70).then_some(())
    });
    println!("woken in {WINDOW:?}, own threads and the store's: {seen:?}");

    // What comes then is dealt with as ever.
    daemon.accept("/in/in", &[], b"y");
    daemon.await_count("delivered", 2);
}

const IDLE: &str = "[daemon]\nidle_exit = \"1s\"\n";

/// A home whose daemons end when nobody needs them, with this socket passed to them.
fn idle_home(socket: OwnedFd, name: &str) -> Home {
    let mut home = Home::new();
    let file = home.write("hookbox.toml", IDLE);
    home.args.extend(["--config".to_owned(), file]);
    home.passed = Some((socket, name.to_owned()));
    home
}

/// Whether somebody waits to be accepted.
fn is_wanted(socket: &impl AsFd) -> bool {
    let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&pause)).is_ok_and(|ready| ready > 0)
}

/// Posts in bursts, with pauses about as long as a daemon stays that nobody needs, so that some
/// fall into its end.
fn post_in_bursts(listener: &TcpListener, accepted: &'static AtomicUsize) -> JoinHandle<()> {
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut pause = Duration::from_secs(1);

        for _ in 0..BURSTS {
            let posts: Vec<_> = (0..EACH)
                .map(|_| {
                    std::thread::spawn(move || {
                        let mut client = Client::connect(addr).expect("somebody listens");
                        client.set_timeout(SOON).expect("a timeout");
                        let answer = client.post("/in/in", &[], b"x").expect("an answer");
                        assert_eq!(answer.status, 202);
                        accepted.fetch_add(1, Ordering::AcqRel);
                    })
                })
                .collect();

            posts.into_iter().for_each(|post| post.join().expect("it was accepted"));
            std::thread::sleep(pause);
            pause += Duration::from_millis(20);
        }
    })
}

const BURSTS: usize = 20;
const EACH: usize = 6;

#[test]
fn what_comes_while_an_idle_daemon_ends_is_served_by_the_next() {
    static ACCEPTED: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let home = idle_home(listener.try_clone().expect("a descriptor").into(), "http");
    let mark = home.data().join("wake-at-boot");

    let mut daemon = home.start();
    assert!(mark.exists(), "a crash leaves the mark for the next boot");
    open_source(&daemon, "in");
    let posting = post_in_bursts(&listener, &ACCEPTED);

    // What a service manager does: it starts the daemon when somebody connects.
    let mut ends = 0;
    loop {
        let status = daemon.wait();
        assert_eq!(status.code(), Some(0), "{}", daemon.log_text());
        assert!(!mark.exists(), "nothing waits");
        ends += 1;

        while !is_wanted(&listener) && !posting.is_finished() {}
        if !is_wanted(&listener) {
            break;
        }
        daemon = home.start();
    }

    posting.join().expect("all were accepted");
    assert!(ends >= 2, "it ended only {ends} times");
    let posted = BURSTS * EACH;
    assert_eq!(ACCEPTED.load(Ordering::Acquire), posted);

    let mut client = Client::connect(listener.local_addr().expect("an address"));
    let daemon = home.start();
    assert_eq!(daemon.json(&["status"])["events"], posted);
    let answer = client.as_mut().expect("it waits").get("/healthz").expect("an answer");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_daemon_stays_while_a_delivery_waits_and_one_without_passed_sockets_always() {
    let passed = || -> OwnedFd { TcpListener::bind("127.0.0.1:0").expect("a free port").into() };
    let nobody = NobodysPort::new();

    let waiting_home = idle_home(passed(), "http");
    let mut waiting = waiting_home.start();
    // One that is needed from here on: it must not end before its endpoint is there.
    let mut client = Client::connect(waiting.addr).expect("it accepts");
    client.send_raw(b"POST /in/in HTTP/1.1\r\n").expect("sent");
    open_source(&waiting, "in");
    quick_endpoint(&waiting, "down", &nobody.url(), &["--retry-base", "1h"]);
    waiting.accept("/in/in", &[], b"x");
    let delivery = super::delivery_in(&waiting, "down", "pending");
    drop(client);

    let mut alone_home = idle_home(passed(), "http");
    alone_home.passed = None;
    let mut alone = alone_home.start();
    alone.await_log("idle_exit is not used");

    // Daemons with nothing to do come and go meanwhile.
    for _ in 0..2 {
        let home = idle_home(passed(), "http");
        assert_eq!(home.start().wait().code(), Some(0));
    }
    assert!(waiting.ended().is_none() && alone.ended().is_none());

    waiting.done(&["delivery", "cancel", super::text(&delivery, "id")]);
    assert_eq!(waiting.wait().code(), Some(0));
}

#[test]
fn the_socket_of_the_ctl_can_be_passed_as_well() {
    let home = Home::new();
    let path = home.path().join("passed.sock");
    let listener = UnixListener::bind(&path).expect("a free path");
    let mut home = home;
    home.passed = Some((listener.into(), "admin".to_owned()));
    let daemon = home.start();
    let ctl = super::support::ctl::Ctl::new(&path);
    assert_eq!(ctl.json(&["status"])["events"], 0);
    assert!(!home.data().join("admin.sock").exists(), "there is one socket");
    assert_ne!(daemon.addr.port(), 0, "webhooks come in where the configuration says");
}
