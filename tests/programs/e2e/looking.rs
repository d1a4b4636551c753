//! The operator sees what is wrong: which endpoint, since when, what the receiver said, and what to
//! type; on one screen, in the log, and for monitoring.

use std::process::Command;

use serde_json::Value;

use super::support::ctl::{built, finish};
use super::support::{Daemon, Done, Home, Receiver, SOON, Step, until};
use super::{delivery_in, open_source, quick_endpoint, text};

fn answers(body: &str) -> Step {
    Step::Reply(500, Vec::new(), body.as_bytes().to_vec())
}

/// A daemon with an endpoint whose breaker is open, because the receiver's database is down.
fn failing(home: &Home, receiver: &Receiver) -> Daemon {
    let daemon = home.start();
    open_source(&daemon, "in");
    receiver.always("/app", answers("{\"error\":\"database is down\u{1b}[2J\"}"));
    let url = receiver.url("/app");
    quick_endpoint(&daemon, "app", &url, &["--retry-base", "200ms", "--retry-max", "500ms"]);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    until("an open breaker", SOON, || {
        (daemon.asked("/v1/status")["breakers_open"] == 1).then_some(())
    });
    daemon
}

#[test]
fn status_names_the_broken_endpoint_its_reason_and_the_cure() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = failing(&home, &receiver);

    let status = daemon.json(&["status"]);
    let worst = &status["worst"][0];
    assert_eq!((text(worst, "endpoint"), text(worst, "condition")), ("app", "failing"), "{worst}");
    assert_eq!(text(worst, "last_error"), "answered 500");
    assert_eq!(text(worst, "last_answer"), "{\"error\":\"database is down\\x1b[2J\"}");
    assert_eq!(text(worst, "command"), "hookboxctl endpoint test app");
    for time in ["since", "oldest_waiting_at", "next_probe_at"] {
        assert!(worst[time].is_string(), "{time}: {worst}");
    }
    assert_eq!((&status["troubled"], &status["urgent"]), (&1.into(), &1.into()));

    let screen = daemon.done(&["status"]).stdout;
    for part in [
        "worst      app: failing, ",
        "answered 500: {\"error\":\"database is down\\x1b",
        "> hookboxctl endpoint test app\n",
    ] {
        assert!(screen.contains(part), "{part} in {screen}");
    }
    assert!(!screen.contains('\u{1b}'), "{screen:?}");

    let check = daemon.ctl().run(&["status", "--check"]).expect(1).stdout;
    assert!(check.starts_with("ATTENTION: app: failing, ") && check.lines().count() == 1);
    let json = daemon.ctl().try_json(&["status", "--check"]).expect(1).stdout;
    let verdict: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&verdict["ok"], &verdict["accepting"]), (&false.into(), &true.into()));

    // The same words where one delivery, or one endpoint, is looked at.
    let one = delivery_in(&daemon, "app", "pending");
    let shown = daemon.done(&["delivery", "show", text(&one, "id")]).stdout;
    assert!(shown.contains("\nanswer to attempt "), "{shown}");
    assert!(shown.contains("\n  {\"error\":\"database is down\\x1b[2J\"}"), "{shown}");
    let why = daemon.done(&["delivery", "explain", text(&one, "id")]).stdout;
    assert!(why.contains("answered 500: {\"error\":\"database is down"), "{why}");
    let shown = daemon.done(&["endpoint", "show", "app"]).stdout;
    assert!(shown.starts_with("app: failing, "), "{shown}");
    assert!(shown.contains("retry_base ") && !shown.contains("retry_factor "), "{shown}");
    let tested = daemon.ctl().run(&["endpoint", "test", "app"]).expect(1).stdout;
    assert!(tested.contains("{\"error\":\"database is down"), "{tested}");

    // It is repaired.
    receiver.always("/app", Step::Status(200));
    daemon.await_count("delivered", 3);
    let check = daemon.ctl().run(&["status", "--check"]).expect(0).stdout;
    assert_eq!(check, "OK: accepting, 1 endpoint\n");
    assert!(!daemon.done(&["status"]).stdout.contains("worst"));
}

/// Nothing fails where nobody takes: what tells the operator is the age of what waits.
#[test]
fn an_endpoint_that_lags_is_named_until_it_has_caught_up() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");
    daemon.done(&["endpoint", "create", "jobs", "--url", "pull:", "--warn-after", "1s"]);
    daemon.accept("/in/in", &[], b"1");
    let check = until("it lags", SOON, || {
        let check = daemon.ctl().run(&["status", "--check"]);
        (check.code == Some(1)).then_some(check.stdout)
    });
    assert!(check.starts_with("ATTENTION: jobs: lags behind its warn_after, 1 waiting"), "{check}");
    assert!(check.contains(" for up to ") && check.contains(", since "), "{check}");

    let worst = daemon.json(&["status"])["worst"][0].clone();
    assert_eq!(text(&worst, "condition"), "lagging", "{worst}");
    assert_eq!(text(&worst, "command"), "hookboxctl endpoint show jobs");
    let screen = daemon.done(&["status"]).stdout;
    assert!(screen.contains("worst      jobs: lags behind its warn_after, 1 waiting"), "{screen}");
    let listed = daemon.lines(&["endpoint", "list", "--state", "lagging"]);
    assert_eq!((listed.len(), text(&listed[0], "condition")), (1, "lagging"));
    assert!(listed[0]["lagging_since"].is_string(), "{}", listed[0]);
    let list = daemon.done(&["endpoint", "list"]).stdout;
    assert!(list.contains("lagging"), "{list}");
    let shown = daemon.done(&["endpoint", "show", "jobs"]).stdout;
    assert!(shown.starts_with("jobs: lags behind its warn_after, 1 waiting for up to "), "{shown}");
    let metrics = daemon.done(&["metrics"]).stdout;
    let line = "hookbox_endpoint_state{endpoint=\"jobs\",state=\"lagging\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");

    daemon.done(&["consume", "jobs", "--once", "--exec", "true"]);
    until("it has caught up", SOON, || {
        (daemon.ctl().run(&["status", "--check"]).code == Some(0)).then_some(())
    });
    assert!(daemon.lines(&["endpoint", "list", "--state", "lagging"]).is_empty());
}

/// The lines of the log with these words in their messages.
fn logged(daemon: &Daemon, words: &str) -> Vec<Value> {
    let log = daemon.log_text();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains(words))).collect()
}

#[test]
fn changes_of_endpoints_are_lines_of_the_log() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = failing(&home, &receiver);

    daemon.await_log("an endpoint keeps failing");
    let opened = logged(&daemon, "an endpoint keeps failing");
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!((text(&opened[0], "endpoint"), text(&opened[0], "level")), ("app", "WARN"));
    let error = "answered 500: {\"error\":\"database is down\\x1b[2J\"}";
    assert_eq!(text(&opened[0], "error"), error);

    receiver.always("/app", Step::Status(200));
    daemon.await_log("an endpoint has recovered");

    // Dead letters: one line at once, and few that count the others.
    receiver.always("/dead", answers("no such tenant"));
    quick_endpoint(&daemon, "dead", &receiver.url("/dead"), &["--max-attempts", "1"]);
    for n in 0..20 {
        daemon.accept("/in/in", &[], format!("d{n}").as_bytes());
    }
    daemon.await_count("dead", 20);
    until("lines that count them all", SOON, || {
        let given_up = logged(&daemon, "given up");
        let count = |line: &Value| line["dead_letters"].as_u64().unwrap_or(0);
        (given_up.iter().map(count).sum::<u64>() == 20).then_some(())
    });
    let given_up = logged(&daemon, "given up");
    assert!(given_up.len() <= 5, "{given_up:?}");
    assert_eq!(text(&given_up[0], "endpoint"), "dead");
    assert!(text(&given_up[0], "reason").contains("answered 500"), "{given_up:?}");

    receiver.always("/gone", Step::Status(410));
    quick_endpoint(&daemon, "gone", &receiver.url("/gone"), &[]);
    daemon.accept("/in/in", &[], b"g");
    daemon.await_log("an endpoint is put on hold");
    let held = &logged(&daemon, "an endpoint is put on hold")[0];
    assert_eq!((text(held, "endpoint"), text(held, "reason")), ("gone", "gone"));
    assert!(text(held, "message").contains("hookboxctl endpoint release gone"), "{held}");
}

#[test]
fn a_start_says_when_the_last_run_did_not_end_by_itself() {
    let home = Home::new();
    let unclean = |daemon: &Daemon| {
        let lines = logged(daemon, "was not stopped cleanly");
        let whole = lines.iter().filter(|line| text(line, "message").contains("nothing that was"));
        (lines.len(), whole.count())
    };
    let first = home.start();
    assert_eq!(unclean(&first), (0, 0));
    first.kill();

    let second = home.start();
    assert_eq!(unclean(&second), (1, 1));
    assert!(second.terminate().success());

    let third = home.start();
    assert_eq!(unclean(&third), (0, 0));
    third.kill();

    // Of a damaged log nobody says that nothing is lost.
    std::fs::remove_file(home.data().join("log/watermark")).expect("removes");
    assert_eq!(unclean(&home.start()), (1, 0));
}

#[test]
fn many_deliveries_are_retried_and_cancelled_by_a_filter() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    for name in ["app", "crm"] {
        receiver.always(&format!("/{name}"), Step::Status(500));
        let url = receiver.url(&format!("/{name}"));
        quick_endpoint(&daemon, name, &url, &["--retry-base", "1h", "--retry-max", "1h"]);
    }
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    receiver.wait("/app", 3, SOON);
    receiver.wait("/crm", 3, SOON);
    until("all that wait for a retry", SOON, || {
        (daemon.asked("/v1/status")["deliveries"]["retrying"] == 6).then_some(())
    });

    let nothing = daemon.ctl().run(&["delivery", "cancel"]).expect(64).stderr;
    assert!(nothing.contains("--endpoint") && nothing.contains("--all"), "{nothing}");
    let counted = daemon.json(&["delivery", "cancel", "--endpoint", "app", "--dry-run"]);
    assert_eq!((&counted["matched"], &counted["cancelled"]), (&3.into(), &0.into()));
    let cancelled = daemon.json(&["delivery", "cancel", "--endpoint", "app"]);
    assert_eq!((&cancelled["matched"], &cancelled["cancelled"]), (&3.into(), &3.into()));
    assert_eq!(daemon.json(&["status"])["deliveries"]["cancelled"], 3);
    let again = daemon.done(&["delivery", "cancel", "--endpoint", "app"]).stdout;
    assert_eq!(again, "Cancelled: 0 of 0 deliveries.\n");

    receiver.always("/crm", Step::Status(200));
    let retried = daemon.json(&["delivery", "retry", "--endpoint", "crm", "--yes"]);
    assert_eq!((&retried["matched"], &retried["queued"]), (&3.into(), &3.into()));
    daemon.await_count("delivered", 3);

    // What would be left out is counted before, and by the same reasons.
    daemon.done(&["endpoint", "hold", "crm"]);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("held {n}").as_bytes());
    }
    daemon.await_count("held", 3);
    let retry = ["delivery", "retry", "--endpoint", "crm", "--state", "held"];
    let counted = daemon.json(&[&retry[..], &["--dry-run"]].concat());
    let said = daemon.done(&[&retry[..], &["--dry-run"]].concat()).stdout;
    assert!(said.contains("Would retry: 0. Nothing was changed (--dry-run)."), "{said}");
    let retried = daemon.json(&[&retry[..], &["--yes"]].concat());
    assert_eq!((&retried["matched"], &retried["queued"]), (&3.into(), &0.into()));
    assert_eq!(counted["left_out"], retried["left_out"], "{counted}");
    assert_eq!(counted["left_out"][0]["count"], 3, "{counted}");

    // A name that nobody has is not an empty list.
    let unknown = daemon.ctl().run(&["delivery", "cancel", "--endpoint", "ap"]).expect(1).stderr;
    assert!(unknown.contains("did you mean 'app'?"), "{unknown}");
}

#[test]
fn ids_are_taken_by_their_beginning() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    let event = daemon.accept("/in/in", &[], b"{\"n\":1}\n");
    daemon.await_count("delivered", 1);
    let delivery = delivery_in(&daemon, "app", "delivered");
    let delivery = text(&delivery, "id");

    for after in [&event[..17], delivery, &delivery[..20]] {
        assert!(daemon.lines(&["event", "list", "--after", after]).is_empty(), "{after}");
    }
    let listed = daemon.lines(&["delivery", "list", "--after", &delivery[..20]]);
    assert!(listed.is_empty(), "{listed:?}");

    for id in [&event[..17], &event[..19], delivery, &delivery[..20]] {
        assert_eq!(text(&daemon.json(&["event", "show", id]), "id"), event, "{id}");
    }
    for id in [&event[..17], &delivery[..20]] {
        assert_eq!(text(&daemon.json(&["delivery", "show", id]), "id"), delivery, "{id}");
    }
    let listed = daemon.lines(&["delivery", "list", "--event", &event[..17]]);
    assert_eq!(listed.iter().map(|row| text(row, "id")).collect::<Vec<_>>(), [delivery]);
    let counted = daemon.json(&["replay", "--event", delivery, "--dry-run"]);
    assert_eq!(counted["matched"], 1);
    let tested = daemon.json(&["endpoint", "test", "app", "--event", &event[..17], "--dry-run"]);
    assert_eq!(text(&tested, "event"), event);
    let refused = daemon.ctl().run(&["delivery", "retry", &delivery[..20]]).expect(1).stderr;
    assert!(refused.contains(delivery) && refused.contains("was delivered"), "{refused}");
    assert_eq!(daemon.done(&["event", "body", &event[..17]]).stdout, "{\"n\":1}\n");
}

/// Runs a line of a shell in a terminal of 80 columns, and types `input`.
fn at_a_terminal(daemon: &Daemon, line: &str, input: &str) -> Done {
    let ctl = built("hookboxctl");
    let socket = daemon.ctl().socket;
    let line = line.replace("hookboxctl", &format!("{ctl} --socket {}", socket.display()));
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 80 rows 24 -echo; {line}"), "/dev/null"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("COLUMNS");
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command, Some(input.as_bytes()))
}

#[test]
#[ignore = "needs script, of util-linux; run: just with-tools"]
fn at_a_terminal_lists_fit_and_what_destroys_is_asked_for() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = home.start();
    open_source(&daemon, "in");
    receiver.always("/app", answers(&"the database is down ".repeat(20)));
    let name = "the-application-with-a-long-name";
    quick_endpoint(&daemon, name, &receiver.url("/app"), &["--max-attempts", "1"]);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("dead", 3);

    for line in [
        "hookboxctl dlq list",
        "hookboxctl delivery list",
        "hookboxctl event list",
        "hookboxctl endpoint list",
        "hookboxctl source list",
    ] {
        let shown = at_a_terminal(&daemon, line, "").expect(0).stdout;
        for row in shown.lines().map(|row| row.trim_end_matches('\r')) {
            let plain = without_colours(row);
            assert!(plain.chars().count() <= 80, "{line}: {plain}");
        }
        let plain = daemon.done(&line.split(' ').skip(1).collect::<Vec<_>>()).stdout;
        assert!(!plain.contains('\u{1b}'), "{line}: no colours in a pipe");
    }
    let coloured = at_a_terminal(&daemon, "hookboxctl delivery list", "").expect(0).stdout;
    assert!(coloured.contains("\u{1b}[31mdead\u{1b}[0m"), "{coloured:?}");
    let plain = at_a_terminal(&daemon, "NO_COLOR=1 hookboxctl delivery list", "").expect(0).stdout;
    assert!(!plain.contains("\u{1b}[3"), "{plain:?}");
    let wide = at_a_terminal(&daemon, "hookboxctl dlq list -o wide", "").expect(0).stdout;
    assert!(wide.contains("evt_") && wide.contains(name), "{wide}");
    let page = at_a_terminal(&daemon, "hookboxctl dlq list -n 2", "").expect(0).stdout;
    assert!(page.contains("Shown 2 of 3. Go on with the same filter and:"), "{page}");
    assert!(page.contains("  hookboxctl dlq list --after dlv_"), "{page}");
    for row in page.lines().map(|row| row.trim_end_matches('\r')) {
        assert!(without_colours(row).chars().count() <= 80, "{row}");
    }

    let no = at_a_terminal(&daemon, "hookboxctl dlq discard --all", "n\n").expect(1).stdout;
    assert!(no.contains("This discards 3 dead letters for good. Go on? [y/N]"), "{no}");
    assert_eq!(daemon.json(&["status"])["deliveries"]["dead"], 3);
    let no = at_a_terminal(&daemon, &format!("hookboxctl endpoint delete {name}"), "\n").expect(1);
    assert!(no.stdout.contains("cancels 0 deliveries"), "{}", no.stdout);
    daemon.done(&["bin", "create", "mine"]);
    let no = at_a_terminal(&daemon, "hookboxctl bin delete mine", "n\n").expect(1).stdout;
    assert!(no.contains("This deletes bin mine."), "{no}");
    at_a_terminal(&daemon, "hookboxctl bin delete mine", "y\n").expect(0);
    at_a_terminal(&daemon, "hookboxctl dlq discard --all", "y\n").expect(0);
    assert_eq!(daemon.json(&["status"])["deliveries"]["dead"], 0);
    at_a_terminal(&daemon, &format!("hookboxctl endpoint delete {name} --yes"), "").expect(0);
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut is_code = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => is_code = true,
            'm' if is_code => is_code = false,
            c if !is_code => plain.push(c),
            _ => {}
        }
    }
    plain
}
