//! What a server that goes away does: nothing that hookbox has acknowledged is missing afterwards.

use std::time::{Duration, Instant};

use crate::bridge::{Bridge, METRICS, configuration};
use crate::out::{ROUTE, a_box, await_leased};
use crate::server::NatsServer;
use crate::streams::Js;
use crate::support::{Home, SOON, until};

#[test]
fn a_server_that_is_away_gets_everything_when_it_is_back() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let route = ROUTE.replace("\"10s\"", "\"2s\"");
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route));
    daemon.accept("/in/app", &[], b"before");
    daemon.await_count("delivered", 1);

    server.proxy.set_closed(true);
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(daemon.accept("/in/app", &[], format!("{number}").as_bytes()));
    }
    // Nothing is hoarded: what it held is given back when it could not be published in time.
    bridge.await_log("the connection to NATS is lost");
    await_leased(&daemon, 0);
    daemon.await_count("pending", 50);
    let away = std::env::var("HOOKBOX_NATS_AWAY").map_or(0, |text| text.parse().expect("seconds"));
    let since = Instant::now();
    until("the end of the outage", SOON + Duration::from_secs(away), || {
        (since.elapsed() >= Duration::from_secs(away)).then_some(())
    });
    // However long it takes, nothing is leased in vain, and no attempts are used up.
    let attempts = daemon.histories("stream");
    let most = attempts.values().map(Vec::len).max();
    assert!(most <= Some(1), "{attempts:?}");
    println!("away for {away} s: {most:?} attempts of a delivery at most");

    server.proxy.set_closed(false);
    daemon.await_count("delivered", 51);
    let stored = js.all("HOOKS");
    assert_eq!(stored.len(), 51);
    assert!(ids.iter().all(|id| stored.iter().any(|one| one.id() == id)));
    assert_eq!(bridge.terminate().code(), Some(0));
}

#[test]
fn a_network_that_is_cut_in_the_middle_of_publishes_loses_and_doubles_nothing() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));

    let body = vec![b'x'; 20_000];
    for round in 0..12_i64 {
        server.proxy.cut_after(3_000 + round * 1_777);
        for _ in 0..4 {
            daemon.accept("/in/app", &[], &body);
        }
        let wanted = (u64::try_from(round).expect("small") + 1) * 4;
        daemon.await_count("delivered", wanted);
    }
    let stored = js.all("HOOKS");
    let mut ids: Vec<&str> = stored.iter().map(|one| one.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((stored.len(), ids.len()), (48, 48));
    assert!(stored.iter().all(|one| one.body == body), "bit for bit");
    drop(bridge);
}

#[test]
fn an_event_that_comes_again_after_the_window_is_stored_twice_and_said_so() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    let short = |config: &mut async_nats::jetstream::stream::Config| {
        config.duplicate_window = Duration::from_millis(300);
    };
    js.stream("HOOKS", &["hooks.>"], short);
    let home = Home::new();
    let daemon = a_box(&home, &[]);

    // What has a window of its own is stored a first time, as if its acknowledgement were lost.
    let id = daemon.accept("/in/app", &[], b"twice");
    js.publish("hooks.box-1.app.%", &[("Nats-Msg-Id", &id)], b"twice");
    let since = Instant::now();
    until("the end of the window", SOON, || {
        (since.elapsed() > Duration::from_millis(900)).then_some(())
    });
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), ROUTE));
    bridge.await_log("may be stored twice");
    daemon.await_count("delivered", 1);
    let stored = js.all("HOOKS");
    assert_eq!(stored.iter().filter(|one| one.id() == id).count(), 2);

    // Within it the stream recognizes it.
    js.update("HOOKS", |config| config.duplicate_window = Duration::from_secs(3_600));
    let again = daemon.accept("/in/app", &[], b"once");
    daemon.await_count("delivered", 2);
    js.publish("hooks.box-1.app.%", &[("Nats-Msg-Id", &again)], b"once");
    assert_eq!(js.count("HOOKS"), 3);
}

/// Each sync of the server's takes longer than the bridge waits for an acknowledgement.
#[test]
fn a_disk_that_syncs_slowly_stores_each_event_once() {
    let traces = std::process::Command::new("strace").arg("-V").output();
    if !traces.is_ok_and(|done| done.status.success()) {
        return println!("skipped: strace is not installed");
    }
    // The tracer is beside the server (-D), which is the child of this process.
    let inject = "--inject=fsync:delay_enter=700000";
    let before = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", inject];
    let Some(server) = NatsServer::start_behind(&before, "") else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let route = METRICS.to_owned() + &ROUTE.replace("\"2s\"", "\"200ms\"");
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route));

    for number in 0..8 {
        daemon.accept("/in/app", &[], format!("{number}").as_bytes());
    }
    daemon.await_count("delivered", 8);
    let stored = js.all("HOOKS");
    let mut ids: Vec<&str> = stored.iter().map(|one| one.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((stored.len(), ids.len()), (8, 8), "{stored:?}");
    let counted = |name: &str| bridge.metric(&format!("hookbox_nats_out_{name}_total"));
    let (published, duplicates) = (counted("published"), counted("duplicates"));
    println!("a slow disk: {published:?} publishes of 8 events, {duplicates:?} known already");
    assert!(
        published > Some(8) && duplicates > Some(0),
        "it was slow: {published:?} {duplicates:?}"
    );
    assert_eq!(bridge.terminate().code(), Some(0));
}

#[test]
fn a_server_that_hangs_delays_and_loses_nothing() {
    let Some(server) = NatsServer::start() else { return };
    let js = Js::connect(&server.url());
    js.stream("HOOKS", &["hooks.>"], |_| {});
    let home = Home::new();
    let daemon = a_box(&home, &[]);
    let route = ROUTE.replace("\"2s\"", "\"200ms\"");
    let bridge = Bridge::start(&configuration(&home, "box-1", &server.url(), &route));

    // Stopped again and again for longer than an acknowledgement may take.
    for number in 0..40 {
        daemon.accept("/in/app", &[], format!("{number}").as_bytes());
    }
    for _ in 0..6 {
        crate::support::daemon::signal(server.pid(), rustix::process::Signal::STOP);
        let since = Instant::now();
        until("a while", SOON, || (since.elapsed() > Duration::from_millis(400)).then_some(()));
        daemon.accept("/in/app", &[], b"while it hangs");
        crate::support::daemon::signal(server.pid(), rustix::process::Signal::CONT);
    }
    daemon.await_count("delivered", 46);
    js.await_count("HOOKS", 46);
    assert_eq!(bridge.terminate().code(), Some(0));
}
