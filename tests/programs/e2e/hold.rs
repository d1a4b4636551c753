//! Holds: an endpoint put aside, by the operator or by 410; what waits behind it stays.

use super::support::{Home, Receiver, SOON, Step};
use super::{delivery_in, open_source, quick_endpoint, text};

#[test]
fn a_hold_keeps_and_a_release_delivers() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);
    daemon.done(&["endpoint", "hold", "app"]);
    assert_eq!(text(&daemon.json(&["endpoint", "show", "app"]), "state"), "held");
    for n in 0..5 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("held", 5);
    assert_eq!(daemon.lines(&["delivery", "list", "--state", "held"]).len(), 5);
    daemon.kill();
    let daemon = home.start();
    daemon.await_count("held", 5);
    assert_eq!(receiver.count("/hook"), 0);
    daemon.done(&["endpoint", "release", "app"]);
    daemon.await_count("delivered", 5);
    assert_eq!(text(&daemon.json(&["endpoint", "show", "app"]), "state"), "active");
}

#[test]
fn gone_holds_the_endpoint_and_the_others_go_on() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/gone", [Step::Status(410)]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "gone", &receiver.url("/gone"), &["--concurrency", "1"]);
    quick_endpoint(&daemon, "good", &receiver.url("/good"), &[]);
    for n in 0..4 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("held", 4);
    receiver.wait("/good", 4, SOON);
    assert_eq!(receiver.count("/gone"), 1, "nothing more is sent after 410");
    let shown = daemon.json(&["endpoint", "show", "gone"]);
    assert_eq!(text(&shown, "state"), "held");
    daemon.done(&["endpoint", "release", "gone"]);
    daemon.await_count("delivered", 8);
}

#[test]
fn a_deleted_endpoint_cancels_what_waits() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", Step::Status(500));
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--retry-base", "1h"]);

    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    receiver.wait("/hook", 3, SOON);

    daemon.done(&["endpoint", "delete", "app"]);
    daemon.await_count("pending", 0);
    daemon.accept("/in/in", &[], b"after");

    daemon.kill();
    let daemon = home.start();
    assert_eq!(daemon.json(&["status"])["deliveries"]["pending"], 0);
    assert_eq!(receiver.count("/hook"), 3);

    // Its name is free again, and a new endpoint of that name starts with nothing.
    quick_endpoint(&daemon, "app", &receiver.url("/new"), &[]);
    daemon.accept("/in/in", &[], b"new");
    delivery_in(&daemon, "app", "delivered");
    assert_eq!(receiver.count("/new"), 1);
}

#[test]
fn an_update_takes_effect_for_what_waits() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/old"), &[]);
    daemon.done(&["endpoint", "hold", "app"]);
    daemon.accept("/in/in", &[], b"x");
    daemon.done(&["endpoint", "update", "app", "--url", &receiver.url("/new")]);
    daemon.done(&["endpoint", "release", "app"]);
    receiver.wait("/new", 1, SOON);
    assert_eq!(receiver.count("/old"), 0);
}
