//! What the service manager hears: the socket of the test stands for systemd's.

use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use crate::bridge::{Bridge, configuration};
use crate::out::{ROUTE, a_box, await_leased};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Home, SOON};

/// What it hears, up to a message with these words.
fn messages_until(socket: &UnixDatagram, words: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let since = Instant::now();
    while !seen.last().is_some_and(|last| last.contains(words)) {
        let mut message = [0; 512];
        let length = socket.recv(&mut message).unwrap_or_else(|e| panic!("{words}: {e}: {seen:?}"));
        seen.push(String::from_utf8_lossy(&message[..length]).into_owned());
        // Others may go on coming.
        assert!(since.elapsed() < SOON, "{words} does not come: {seen:?}");
    }
    seen
}

#[test]
fn the_service_manager_hears_that_it_is_ready_lives_and_stops() {
    let Some(mut server) = NatsServer::start() else { return };
    Js::connect(&server.url()).stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let path = home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let config = configuration(&home, "box-1", &server.url(), ROUTE);
    let path = path.to_str().expect("UTF-8");
    let variables = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "400000")];

    // A server that is away is waited for: the bridge runs, and lives.
    server.kill();
    let bridge = Bridge::spawn_with(&config, &variables);
    let seen = messages_until(&socket, "READY=1");
    assert!(seen.last().is_some_and(|last| last.contains("STATUS=connecting to NATS")), "{seen:?}");
    for _ in 0..3 {
        messages_until(&socket, "WATCHDOG=1");
    }
    server.restart();
    messages_until(&socket, "STATUS=stream -> HOOKS");
    for _ in 0..3 {
        messages_until(&socket, "WATCHDOG=1");
    }

    // What is under way when it is to end is finished: the server answers only afterwards.
    crate::support::daemon::signal(server.pid(), rustix::process::Signal::STOP);
    daemon.accept("/in/app", &[], b"under way");
    await_leased(&daemon, 1);
    crate::support::daemon::signal(bridge.pid(), rustix::process::Signal::TERM);
    messages_until(&socket, "STOPPING=1");
    crate::support::daemon::signal(server.pid(), rustix::process::Signal::CONT);
    assert_eq!(bridge.ended().code(), Some(0));
    daemon.await_count("delivered", 1);
    let attempts = daemon.histories("stream");
    assert!(attempts.values().all(|attempts| attempts.len() == 1), "{attempts:?}");
}

/// It would end without giving back what it holds.
#[test]
fn a_hangup_does_not_end_it() {
    let Some(server) = NatsServer::start() else { return };
    Js::connect(&server.url()).stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    crate::support::daemon::signal(bridge.pid(), rustix::process::Signal::HUP);
    bridge.await_log("SIGHUP: the configuration is read at the start alone");
    daemon.accept("/in/app", &[], b"after it");
    daemon.await_count("delivered", 1);
    assert_eq!(bridge.terminate().code(), Some(0));
}
