//! Commands: what they get, what their answers mean, and that none of them outlives its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FakeResolver, Outbound, OutboundPolicy, clock, event, send, settings, with};
use crate::model::{AttemptReport, Endpoint, Outcome, TimedSecret, limits};

const AGAIN: Outcome = Outcome::Retryable { after_ms: None };

fn outbound(allow: &[&str]) -> Arc<Outbound> {
    let exec_allow = allow.iter().map(ToString::to_string).collect();
    let policy = OutboundPolicy { exec_allow, ..OutboundPolicy::default() };
    Outbound::new(super::OutboundSettings { policy, ..settings(FakeResolver::default()) }, clock())
        .unwrap()
}

fn shell(script: &str) -> Arc<Endpoint> {
    let mut endpoint = Endpoint::new("mail", "exec:/bin/sh");
    endpoint.id = 7;
    endpoint.timeout_ms = 200_000;
    endpoint.exec.args =
        vec!["-c".to_owned(), script.to_owned(), "sh".to_owned(), "--subject".to_owned()];
    Arc::new(endpoint)
}

async fn run(script: &str) -> AttemptReport {
    send(&outbound(&["/bin/sh"]), &shell(script), event()).await
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
        (
            "echo no such user; exit 100",
            Outcome::Refused,
            Some("exit 100: not to be tried again: no such user"),
        ),
        ("exit 1", AGAIN, Some("exit 1")),
        ("kill -9 $$", AGAIN, Some("ended by signal 9")),
        ("kill -9 $PPID; sleep 600", AGAIN, Some("ended by signal 9 with its helper")),
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
    let mut came = event();
    came.request_line = "GET /in/github?a=1&token=…".to_owned();
    let report = send(&outbound(&["/bin/sh"]), &endpoint, came).await;
    let written = output(&report);
    let mut lines: Vec<&str> = written.lines().collect();
    assert_eq!((lines[0], lines[1]), (r#"{"a":1}"#, "/"), "{written}");
    assert_eq!(lines.pop(), Some("--subject"));

    for fact in [
        "HOOKBOX_ENDPOINT=mail",
        "HOOKBOX_TYPE=push",
        "HOOKBOX_SOURCE=github",
        "HOOKBOX_QUERY=a=1",
        "HOOKBOX_CONTENT_TYPE=application/json",
        "HOOKBOX_ATTEMPT=3",
        "HOOKBOX_TIMESTAMP=1795438800",
        "LANG=C.UTF-8",
    ] {
        assert!(lines.contains(&fact), "{fact} is missing in {written}");
    }

    for begin in [
        "HOOKBOX_ID=evt_",
        "HOOKBOX_DELIVERY=dlv_",
        "HOOKBOX_SIGNATURE=v1,",
        "PATH=/usr/local/sbin:",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(begin)),
            "{begin} is missing in {written}"
        );
    }

    // The shell adds PWD and the like of its own.
    let known = ["HOOKBOX_", "PATH=", "LANG=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    let foreign: Vec<_> =
        lines[2..].iter().filter(|line| !known.iter().any(|k| line.starts_with(k))).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let shown = format!("{:?}", report.request);
    assert!(shown.contains("HOOKBOX_TYPE") && !shown.contains("HOOKBOX_SIGNATURE"), "{shown}");
}

#[tokio::test]
async fn no_new_privileges_and_bounds_hold_for_the_command_alone() {
    let report = run("cat /proc/self/status /proc/self/limits; cat >/dev/null").await;
    let written = output(&report);
    assert!(written.contains("NoNewPrivs:\t1"), "{written}");
    let limit =
        |name: &str| written.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_owned();
    assert!(limit("Max open files").contains(&limits::COMMAND_FILES.to_string()), "{written}");
    assert!(limit("Max core file size").split_whitespace().any(|w| w == "0"), "{written}");
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(ours.contains("NoNewPrivs:\t0"), "the daemon itself stays as it is");
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_its_output_is_kept() {
    let endpoint = with(
        &shell("echo begun; sleep 600 & echo $!; setsid sleep 600 & echo $!; sleep 600"),
        |e| {
            e.timeout_ms = 5_500;
        },
    );

    let report = send(&outbound(&["/bin/sh"]), &endpoint, event()).await;
    assert_eq!(report.outcome, AGAIN);
    assert!(
        report.error.as_deref().is_some_and(|why| why.contains("did not end within 5s 500ms")),
        "{report:?}"
    );

    let written = output(&report);
    let mut lines = written.lines();
    assert_eq!(lines.next(), Some("begun"));
    let pids: Vec<&str> = lines.collect();
    assert_eq!(pids.len(), 2, "{written}");
    pids.into_iter().for_each(gone);
}

#[tokio::test]
async fn what_leaves_its_group_and_session_ends_with_the_command() {
    // As a child, as a daemon whose parents have ended, and as one that tells nobody its name.
    let script = "setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!; \
                  (setsid sh -c 'sleep 600 </dev/null >/dev/null 2>&1 & echo $!'); \
                  (env -i setsid sh -c 'exec </dev/null 2>&1; sleep 600 >/dev/null & echo $!' &); \
                  sleep 1";
    let report = run(script).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let written = output(&report);
    assert_eq!(written.lines().count(), 3, "{written}");
    written.lines().for_each(gone);
}

/// Of what left the group nobody is the parent any more: it is found by what it has in its
/// environment, also with a child that has nothing there.
#[tokio::test]
async fn what_a_killed_supervisor_leaves_behind_is_ended_before_the_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let (file, quiet) =
        (dir.path().join("pid").display().to_string(), "</dev/null >/dev/null 2>&1");
    let script = format!(
        "sleep 600 {quiet} & echo $!; setsid sleep 600 {quiet} & echo $!; setsid sh -c 'env -i \
         sleep 600 & echo $! > {file}; exec sleep 600' {quiet} & \
         until [ -s {file} ]; do sleep 0.05; done; cat {file}; kill -9 $PPID; sleep 600"
    );
    let report = run(&script).await;
    let error = report.error.as_deref().unwrap_or_default();
    assert!(error.starts_with("ended by signal 9 with its helper:"), "{error}");

    let written = output(&report);
    assert_eq!(written.lines().count(), 3, "{written}");
    // Not in a while: by now.
    assert!(written.lines().all(is_gone), "{written}");
}

/// The attempt gives it up, and its supervisor does not see that.
#[tokio::test]
async fn a_supervisor_that_is_stopped_leaves_nothing_behind_either() {
    let script =
        "kill -STOP $PPID; setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!; sleep 600";
    let endpoint = with(&shell(script), |e| e.timeout_ms = 2_000);
    let report = send(&outbound(&["/bin/sh"]), &endpoint, event()).await;
    let error = report.error.as_deref().unwrap_or_default();
    assert!(error.contains("did not end within"), "{error}");
    let written = output(&report);
    assert_eq!(written.lines().count(), 1, "{written}");
    written.lines().for_each(gone);
}

#[tokio::test]
async fn an_attempt_that_is_dropped_ends_its_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = format!(
        "echo $$ > {0}; setsid sleep 600 & echo $! >> {0}; echo end >> {0}; sleep 600",
        file.display()
    );
    let outbound = outbound(&["/bin/sh"]);
    let task = tokio::spawn(async move { send(&outbound, &shell(&script), event()).await });
    let pids = loop {
        match std::fs::read_to_string(&file) {
            Ok(text) if text.ends_with("end\n") => break text,
            _ => tokio::task::yield_now().await,
        }
    };
    task.abort();
    assert!(task.await.is_err());
    pids.lines().filter(|line| *line != "end").for_each(gone);
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it_and_does_not_delay_it() {
    // Its output stays open, which is nobody's wait: one that waited would have come to its
    // deadline.
    let report = run("sleep 600 & echo $!").await;
    assert_eq!(report.outcome, Outcome::Delivered);
    gone(output(&report).trim());
}

/// Waits until a process is gone, or a zombie that its parent has not looked at.
fn gone(pid: &str) {
    let until = Instant::now() + Duration::from_secs(200);
    while !is_gone(pid) {
        assert!(Instant::now() < until, "{pid} lives");
        std::thread::yield_now();
    }
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn large_bodies_and_much_talk_hang_nobody() {
    let mut large = event();
    large.body = vec![b'x'; 4 << 20].into();
    // Reads nothing; reads all; talks before it reads.
    let outbound = outbound(&["/bin/sh"]);
    let report = send(&outbound, &shell("exit 0"), large.clone()).await;
    assert_eq!(report.outcome, Outcome::Delivered, "{report:?}");
    let report = send(&outbound, &shell("wc -c"), large.clone()).await;
    assert_eq!(output(&report).trim(), "4194304");
    let talk = "i=0; while [ $i -lt 3000 ]; \
                do echo \"line $i of the output of this command at length ............\"; \
                i=$((i+1)); done; wc -c; echo the end";
    let report = send(&outbound, &shell(talk), large).await;
    let written = output(&report);
    assert!(written.ends_with("4194304\nthe end\n"), "{written}");
    assert_eq!(written.len(), limits::OUTPUT_KEPT);
}

#[tokio::test]
async fn what_is_not_allowed_or_not_there_is_tried_again_later() {
    for (allow, url, word) in [
        (&[][..], "exec:/bin/sh", "[exec]"),
        (&["/bin/true"][..], "exec:/bin/sh", "not in allow"),
        (&["/bin/*"][..], "exec:/bin/no-such-command", "not there"),
    ] {
        let endpoint = with(&shell("exit 0"), |e| e.url = url.into());
        let outbound = outbound(allow);
        assert!(outbound.check(&endpoint).expect_err(word).to_string().contains(word));
        let report = send(&outbound, &endpoint, event()).await;
        assert_eq!(report.outcome, AGAIN);
        assert!(report.error.as_deref().is_some_and(|why| why.contains(word)), "{report:?}");
    }

    let outbound = outbound(&["/bin/sh"]);
    let nobody = with(&shell("exit 0"), |e| e.exec.user = Some("no-such-user-here".to_owned()));
    assert!(outbound.check(&nobody).expect_err("user").to_string().contains("no such user"));

    // What is opened and closed while attempts are made counts at the next attempt.
    outbound.set_policy(&OutboundPolicy::default()).unwrap();
    assert_eq!(send(&outbound, &shell("exit 0"), event()).await.outcome, AGAIN);
}

#[tokio::test]
#[ignore = "only root can become another user; run as root: just faults"]
async fn root_can_give_a_command_another_user() {
    let script = format!("id -u; id -G; echo $USER; kill -0 {} || echo cannot", std::process::id());
    let endpoint = with(&shell(&script), |e| e.exec.user = Some("nobody".to_owned()));
    let report = send(&outbound(&["/bin/sh"]), &endpoint, event()).await;
    let written = output(&report);
    let lines: Vec<&str> = written.lines().collect();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let nobody: Vec<&str> =
        passwd.lines().find(|l| l.starts_with("nobody:")).unwrap().split(':').collect();
    assert_eq!((lines[0], lines[1], lines[2]), (nobody[2], nobody[3], "nobody"), "{written}");
    assert!(written.contains("cannot"), "{written}");
}
