//! Where what is made cannot be shown, and where what is stored is taken away.

use super::support::Home;

#[test]
fn a_secret_that_cannot_be_shown_can_be_replaced() {
    let home = Home::new();
    let daemon = home.start();
    let ctl = super::support::ctl::built("hookboxctl");
    let socket = daemon.ctl().socket.display().to_string();
    let create = format!(
        "exec '{ctl}' --socket '{socket}' source create in --verify github --generate-secret \
         >/dev/full"
    );
    let mut command = super::support::ctl::program("/bin/bash");
    command.args(["-c", &create]);
    let said = super::support::ctl::finish(command, None).expect(1).stderr;
    assert!(said.contains("`hookboxctl source rotate-secret in --generate-secret`"), "{said}");
    daemon.done(&["source", "rotate-secret", "in", "--generate-secret"]);
}

#[test]
fn a_daemon_whose_log_is_removed_ends_and_says_so() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.json(&["source", "create", "in", "--verify", "none"]);
    daemon.accept("/in/in", &[], b"stored");

    std::fs::remove_dir_all(home.data().join("log")).expect("removed");
    // Something that is written wakes whoever looks.
    let _ = daemon.client().post("/in/in", &[], b"lost");
    let ended = daemon.wait();
    assert!(!ended.success(), "{ended}");
    daemon.await_log("the log was removed while hookboxd ran");
}
