//! Without a link.

use std::cell::Cell;
use std::rc::Rc;

use hookbox::model::{AttemptFault, Endpoint, Outcome, Rate};
use hookbox::queue::UpdateEndpoint;

use super::{endpoint, per_second};
use crate::sim::script::{Says, Script};

/// Two endpoints behind a link that is down, with so many deliveries each, and what their receivers
/// say from then on.
fn offline(pace: Option<Rate>, later: impl FnMut() -> Says + 'static) -> (Script, Rc<Cell<bool>>) {
    let (up, mut later) = (Rc::new(Cell::new(false)), later);
    let is_up = up.clone();
    let mut script =
        Script::new([endpoint("a"), endpoint("b")], pace, move |_, _, _| match is_up.get() {
            true => later(),
            false => Says {
                fault: Some(AttemptFault::Unreachable),
                status: None,
                within_ms: 1_000,
                ..Says::fails(0)
            },
        });
    for n in 0..5 {
        script.accept(format!("{n}"));
    }
    script.run_for(30_000);
    assert!(script.queue().is_offline());
    (script, up)
}

#[test]
fn the_pace_of_backlogs_does_not_keep_the_daemon_offline() {
    let (mut script, up) = offline(Some(per_second(10)), Says::ok);
    script.restart(1_000);
    up.set(true);
    script.run_for(60_000);
    assert!(
        !script.queue().is_offline(),
        "all that waits is a backlog, and one of it is sent to look for the link"
    );
    assert_eq!(script.queue().status(script.now).pending, 0);
}

#[test]
fn a_probe_that_was_refused_before_it_was_sent_is_followed_by_another() {
    let mut first = true;
    let (mut script, up) = offline(None, move || match std::mem::take(&mut first) {
        true => Says { outcome: Outcome::Refused, status: None, ..Says::ok() },
        false => Says::ok(),
    });
    up.set(true);
    script.run_for(120_000);
    assert!(!script.queue().is_offline());
    assert_eq!(script.queue().status(script.now).pending, 0);
}

#[test]
fn endpoints_that_are_moved_to_this_machine_wait_for_no_link() {
    let (mut script, up) = offline(None, Says::ok);
    up.set(true);
    for name in ["a", "b"] {
        let moved = Endpoint { url: "http://127.0.0.1:1/".into(), ..endpoint(name) };
        script.command(UpdateEndpoint(Box::new(moved)));
    }
    script.restart(1_000);
    script.run_for(120_000);
    assert!(!script.queue().is_offline());
    assert_eq!(script.queue().status(script.now).pending, 0);
}
