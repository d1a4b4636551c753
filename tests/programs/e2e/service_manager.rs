//! What the daemon says to the service manager: that it is ready, lives, and stops.

use std::os::unix::net::UnixDatagram;
use std::panic::{self, AssertUnwindSafe};
use std::process::Child;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::ctl::program;
use super::support::daemon::signal;
use super::support::{Home, SOON};

/// A daemon, and the socket of its service manager.
fn supervised(home: &Home, environment: &[(&str, &str)]) -> (Child, UnixDatagram) {
    let path = home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");

    let mut command = program(env!("CARGO_BIN_EXE_hookboxd"));
    command
        .arg("--data")
        .arg(home.data())
        .args(["--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", &path)
        .envs(environment.iter().copied());
    (command.spawn().expect("it starts"), socket)
}

/// What the service manager hears, up to a message with these words.
fn messages_until(socket: &UnixDatagram, words: &str) -> Vec<String> {
    messages_within(socket, words, SOON)
}

/// The same, within this time: signs of life go on coming when it does not.
fn messages_within(socket: &UnixDatagram, words: &str, most: Duration) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let since = Instant::now();
    while !seen.last().is_some_and(|last| last.contains(words)) {
        let mut message = [0; 512];
        let length = socket.recv(&mut message).unwrap_or_else(|e| panic!("{words}: {e}: {seen:?}"));
        seen.push(String::from_utf8_lossy(&message[..length]).into_owned());
        assert!(since.elapsed() < most, "'{words}' does not come: {seen:?}");
    }
    seen
}

#[test]
fn a_message_that_does_not_come_is_given_up_while_others_do() {
    let home = Home::new();
    let path = home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    let (stop, stopped) = mpsc::channel::<()>();
    let sends = thread::spawn(move || {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("it is a socket");
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let _ = sender.send_to(b"WATCHDOG=1", &path);
            thread::yield_now();
        }
    });
    let waits = || messages_within(&socket, "READY=1", Duration::from_millis(20));
    let gave_up = panic::catch_unwind(AssertUnwindSafe(waits));
    drop(stop);
    sends.join().expect("no panic");
    let why = gave_up.expect_err("it never comes");
    let why = why.downcast_ref::<String>().expect("a message");
    assert!(why.contains("READY=1") && why.contains("WATCHDOG=1"), "{why}");
}

#[test]
fn systemd_hears_that_the_committing_thread_lives_and_what_it_does() {
    let home = Home::new();
    let (mut child, socket) = supervised(&home, &[("WATCHDOG_USEC", "400000")]);

    messages_until(&socket, "STATUS=accepting on 127.0.0.1:");
    for _ in 0..3 {
        messages_until(&socket, "WATCHDOG=1");
    }
    signal(child.id(), Signal::TERM);
    let seen = messages_until(&socket, "STATUS=closing the log");
    let stopping = seen.iter().find(|message| message.contains("STOPPING=1")).expect("it stops");
    assert!(stopping.contains("STATUS=stopping, 0 attempts in flight\n"), "{stopping}");
    // The 10 s that attempts may take, and what is asked for while the log is closed.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=40000000\n"), "{stopping}");
    assert!(child.wait().is_ok_and(|status| status.success()));
}

#[test]
fn systemd_is_notified_when_it_is_ready() {
    let home = Home::new();
    let (mut child, socket) = supervised(&home, &[]);
    let seen = messages_until(&socket, "READY=1");
    let _ = child.kill();
    let _ = child.wait();
    let opening = seen.first().map(String::as_str);
    assert_eq!(opening, Some("STATUS=opening the log\n"), "{seen:?}");
}
