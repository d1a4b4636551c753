//! Commands: what they get, what their answers mean, and that none of them outlives its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FakeResolver, Outbound, Ways, clock, event, send, settings, with};
use crate::model::{AttemptReport, Endpoint, Outcome, TimedSecret, limits};

const AGAIN: Outcome = Outcome::Retryable { after_ms: None };

fn room(allow: &[&str]) -> Arc<Outbound> {
    let exec_allow = allow.iter().map(ToString::to_string).collect();
    let ways = Ways { exec_allow, ..Ways::default() };
    Outbound::new(super::Settings { ways, ..settings(FakeResolver::default()) }, clock()).unwrap()
}

fn shell(script: &str) -> Arc<Endpoint> {
    let mut endpoint = Endpoint::new("mail", "exec:/bin/sh");
    endpoint.id = 7;
    endpoint.timeout_ms = 20_000;
    endpoint.exec.args = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned(), "--subject".to_owned()];
    Arc::new(endpoint)
}

async fn run(script: &str) -> AttemptReport {
    send(&room(&["/bin/sh"]), &shell(script), event()).await
}

fn output(report: &AttemptReport) -> String {
    let command = report.command.as_ref().expect("it ran");
    String::from_utf8_lossy(&command.output).into_owned()
}

#[tokio::test]
async fn exit_codes_say_what_becomes_of_the_delivery() {
    for (script, outcome, error) in [
        ("exit 0", Outcome::Delivered, None),
        ("echo busy >&2; exit 75", AGAIN, Some("exit 75: to be tried again: busy")),
        ("echo no such user; exit 100", Outcome::Refused, Some("exit 100: not to be tried again: no such user")),
        ("exit 1", AGAIN, Some("exit 1")),
        ("kill -9 $$", AGAIN, Some("ended by signal 9")),
    ] {
        let report = run(script).await;
        assert_eq!((report.outcome, report.error.as_deref()), (outcome, error), "{script}");
    }
    assert_eq!(run("kill -9 $$").await.command.map(|c| (c.exit, c.signal)), Some((None, Some(9))));
}

#[tokio::test]
async fn a_command_gets_the_body_the_facts_and_nothing_of_ours() {
    let endpoint = with(&shell("cat; echo; pwd; env; echo \"$@\""), |e| {
        e.secrets = vec![TimedSecret::current("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")];
    });
    let report = send(&room(&["/bin/sh"]), &endpoint, event()).await;
    let said = output(&report);
    let mut lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[1]), (r#"{"a":1}"#, "/"), "{said}");
    assert_eq!(lines.pop(), Some("--subject"));
    for fact in [
        "HOOKBOX_ENDPOINT=mail",
        "HOOKBOX_TYPE=push",
        "HOOKBOX_SOURCE=github",
        "HOOKBOX_CONTENT_TYPE=application/json",
        "HOOKBOX_ATTEMPT=3",
        "HOOKBOX_TIMESTAMP=1795438800",
        "LANG=C.UTF-8",
    ] {
        assert!(lines.contains(&fact), "{fact} is missing in {said}");
    }
    for begin in ["HOOKBOX_ID=evt_", "HOOKBOX_DELIVERY=dlv_", "HOOKBOX_SIGNATURE=v1,", "PATH=/usr/local/sbin:"] {
        assert!(lines.iter().any(|line| line.starts_with(begin)), "{begin} is missing in {said}");
    }
    // The shell adds PWD and the like of its own.
    let known = ["HOOKBOX_", "PATH=", "LANG=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    let foreign: Vec<_> = lines[2..].iter().filter(|line| !known.iter().any(|k| line.starts_with(k))).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let shown = format!("{:?}", report.request);
    assert!(shown.contains("HOOKBOX_TYPE") && !shown.contains("HOOKBOX_SIGNATURE"), "{shown}");
}

// The bounds are set a moment after the command has begun: it waits for them here.
#[tokio::test]
async fn no_new_privileges_and_bounds_hold_for_the_command_alone() {
    let report = run("sleep 1; cat /proc/self/status /proc/self/limits; cat >/dev/null").await;
    let said = output(&report);
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    let limit = |name: &str| said.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(limit("Max open files").contains(&limits::COMMAND_FILES.to_string()), "{said}");
    assert!(limit("Max core file size").split_whitespace().any(|w| w == "0"), "{said}");
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(ours.contains("NoNewPrivs:\t0"), "the daemon itself stays as it is");
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_what_it_said_is_kept() {
    let endpoint = with(&shell("echo begun; sleep 600 & echo $!; sleep 600"), |e| e.timeout_ms = 1500);
    let begun = Instant::now();
    let report = send(&room(&["/bin/sh"]), &endpoint, event()).await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(report.outcome, AGAIN);
    assert!(report.error.as_deref().is_some_and(|why| why.contains("did not end within 1s 500ms")), "{report:?}");
    let said = output(&report);
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("begun"));
    gone(lines.next().expect("the number of its child"));
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it_and_does_not_delay_it() {
    let begun = Instant::now();
    let report = run("sleep 600 & echo $!").await;
    assert_eq!(report.outcome, Outcome::Delivered);
    assert!(begun.elapsed() < Duration::from_secs(15), "its output stays open, which is nobody's wait");
    gone(output(&report).trim());
}

/// Waits until a process is gone, or a zombie that its parent has not looked at.
fn gone(pid: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < until, "{pid} lives");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn large_bodies_and_much_talk_hang_nobody() {
    let mut large = event();
    large.body = vec![b'x'; 4 << 20].into();
    // Reads nothing; reads all; talks before it reads.
    let room = room(&["/bin/sh"]);
    let report = send(&room, &shell("exit 0"), large.clone()).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let report = send(&room, &shell("wc -c"), large.clone()).await;
    assert_eq!(output(&report).trim(), "4194304");
    let talk = "i=0; while [ $i -lt 3000 ]; do echo \"line $i of what is said by this command at length ............\"; \
                i=$((i+1)); done; wc -c; echo the end";
    let report = send(&room, &shell(talk), large).await;
    let said = output(&report);
    assert!(said.ends_with("4194304\nthe end\n"), "{said}");
    assert_eq!(said.len(), limits::OUTPUT_KEPT);
}

#[tokio::test]
async fn what_is_not_allowed_or_not_there_is_tried_again_later() {
    for (allow, url, word) in [
        (&[][..], "exec:/bin/sh", "[exec]"),
        (&["/bin/true"][..], "exec:/bin/sh", "not in allow"),
        (&["/bin/*"][..], "exec:/bin/no-such-command", "not there"),
    ] {
        let endpoint = with(&shell("exit 0"), |e| e.url = url.to_owned());
        let room = room(allow);
        assert!(room.check(&endpoint).expect_err(word).contains(word));
        let report = send(&room, &endpoint, event()).await;
        assert_eq!(report.outcome, AGAIN);
        assert!(report.error.as_deref().is_some_and(|why| why.contains(word)), "{report:?}");
    }
    let room = room(&["/bin/sh"]);
    let nobody = with(&shell("exit 0"), |e| e.exec.user = Some("no-such-user-here".to_owned()));
    assert!(room.check(&nobody).expect_err("user").contains("no such user"));
    // What is opened and closed while the room works counts at the next attempt.
    room.set_ways(&Ways::default()).unwrap();
    assert_eq!(send(&room, &shell("exit 0"), event()).await.outcome, AGAIN);
}

#[tokio::test]
async fn root_can_give_a_command_another_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let endpoint = with(&shell("id -u; id -G; echo $USER; kill -0 $PPID || echo cannot"), |e| {
        e.exec.user = Some("nobody".to_owned());
    });
    let report = send(&room(&["/bin/sh"]), &endpoint, event()).await;
    let said = output(&report);
    let lines: Vec<&str> = said.lines().collect();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> = passwd.lines().find(|l| l.starts_with("nobody:")).unwrap().split(':').collect();
    assert_eq!((lines[0], lines[1], lines[2]), (nobody[2], nobody[3], "nobody"), "{said}");
    assert!(said.contains("cannot"), "{said}");
}
