//! D-05: how large a file of the process may be.

use std::process::Command;

use rustix::process::Signal;

use super::{Answer, Sender, all_came, nothing_lost, set_up};
use crate::support::sizes::require;
use crate::support::{Home, Receiver};

#[test]
fn d05_below_a_file_limit_segments_stay_small() {
    let (home, receiver) = limited(8 << 20);
    let daemon = home.start();
    set_up(&daemon, &receiver);
    let mut sender = Sender::new(51);
    let mut client = daemon.client();
    for _ in 0..600 {
        assert!(matches!(sender.post(&mut client, 20_000), Answer::Taken), "{}", daemon.log_text());
    }
    all_came(&receiver, &sender.acked, "8 MiB a file");
    let segments = daemon.json(&["status"])["log"]["segments"].as_u64().expect("a number");
    assert!(segments >= 4, "{segments} segments");
    nothing_lost(&daemon, &sender.acked, "8 MiB a file");
    assert_eq!(daemon.terminate().code(), Some(0));
}

#[test]
fn d05_a_file_limit_that_is_too_small_ends_it_with_a_word() {
    let (mut home, receiver) = limited(700 << 10);
    let mut daemon = home.start();
    set_up(&daemon, &receiver);
    daemon.json(&["endpoint", "hold", "out"]);

    let mut sender = Sender::new(52);
    let mut client = daemon.client();
    for _ in 0..50 {
        assert!(matches!(sender.post(&mut client, 5_000), Answer::Taken), "{}", daemon.log_text());
    }

    // It rolls often enough for those; one alone that is larger than a file may be is another
    // matter.
    let answer = sender.post(&mut client, 900_000);
    assert!(matches!(answer, Answer::Gone), "{answer:?}\n{}", daemon.log_text());
    let status = daemon.wait();
    let output = daemon.log_text();
    use std::os::unix::process::ExitStatusExt as _;
    assert_ne!(
        status.signal(),
        Some(Signal::XFSZ.as_raw()),
        "it was killed without a word: {output}"
    );
    assert!(
        output.contains("the log could not be written") && output.contains("File too large"),
        "{output}"
    );

    home.under.clear();
    let daemon = home.start();
    nothing_lost(&daemon, &sender.acked, "700 KiB a file");
    daemon.json(&["endpoint", "release", "out"]);
    all_came(&receiver, &sender.acked, "700 KiB a file");
    assert_eq!(daemon.terminate().code(), Some(0));
}

/// A home whose daemon may write files of so many bytes.
fn limited(bytes: u64) -> (Home, Receiver) {
    let works = Command::new("prlimit")
        .args(["--fsize=1000000", "true"])
        .status()
        .is_ok_and(|s| s.success());
    require((!works).then(|| "prlimit (util-linux) is not installed".to_owned()));
    let mut home = Home::new();
    home.under = vec!["prlimit".to_owned(), format!("--fsize={bytes}")];
    let receiver = Receiver::start();
    receiver.forget_bodies();
    (home, receiver)
}
