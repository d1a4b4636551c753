//! The demo: the whole story, in seconds, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use rustix::process::Signal;

use super::support::ctl::{finish, program};
use super::support::daemon::signal;
use super::support::{Home, SOON, until};

/// `hookboxctl` with nothing beside it, as `cargo run --bin hookboxctl` leaves it, and a folder for
/// temporary files.
fn alone(home: &Home) -> (std::process::Command, PathBuf) {
    let own = home.program(env!("CARGO_BIN_EXE_hookboxctl"), "bin/hookboxctl");
    let temporary = home.path().join("tmp");
    std::fs::create_dir_all(&temporary).expect("a fresh folder");
    let mut command = program(&own);
    command.arg("demo").current_dir(&temporary).env("TMPDIR", &temporary).env("PATH", "");
    (command, temporary)
}

fn left_in(folder: &PathBuf) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect()
}

#[test]
fn the_demo_tells_the_story_and_cleans_up() {
    let home = Home::new();
    let (command, temporary) = alone(&home);
    let done = finish(command, None).expect(0);

    for line in [
        "< 202 {\"id\":\"evt_",
        "\"duplicate\":true}",
        "< 401 {",
        "app: attempt 3: 200 delivered",
        "the v1 signature verifies",
        "3 of 3 attempts failed",
        "Retried: 1 of 1 dead letter.",
        "billing: attempt 4: 200 delivered",
        "$ hookboxctl replay --event evt_",
        "archive: attempt 1: 200 delivered",
        "kill -9",
        "200 of 200 acknowledged events arrived at app",
        "OK: ",
        "All checks passed",
    ] {
        assert!(done.stdout.contains(line), "the story lacks '{line}':\n{}", done.stdout);
    }

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/demo.md");
    let page = std::fs::read_to_string(page).expect("the page about the demo");
    for title in done.stdout.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        assert!(page.contains(title), "docs/guide/demo.md shows another output, without '{title}'");
    }

    assert!(!done.stdout.contains('\u{1b}'), "colours in a pipe");
    assert_eq!(left_in(&temporary), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_demo_says_so_and_cleans_up() {
    // On a machine that does not let this test run for some seconds the signal can come when the
    // demo is over. One that no signal interrupts goes on to its end each time.
    const TRIES: usize = 5;

    let home = Home::new();
    for _ in 0..TRIES {
        let (mut command, temporary) = alone(&home);
        let mut child = command.spawn().expect("the demo starts");
        let mut lines =
            BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);

        // The daemon is there by then, and the delays of the retries are still to come.
        assert!(lines.any(|line| line.starts_with("3. ")), "the story did not begin");
        signal(child.id(), Signal::TERM);
        let was_finished = lines.any(|line| line.contains("All checks passed"));
        let status =
            until("the end of the demo", SOON, || child.try_wait().expect("our own child"));

        assert_eq!(left_in(&temporary), Vec::<PathBuf>::new());
        if !was_finished {
            assert_eq!(status.code(), Some(1));
            return;
        }
    }
    panic!("it went on to its end, {TRIES} times");
}
