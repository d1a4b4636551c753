//! Process manners: signals, a second daemon, configuration, stale sockets, readiness.

use std::time::Duration;

use rustix::process::Signal;

use super::support::daemon::signal;
use super::support::{Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint};

#[test]
fn sigterm_lets_what_is_under_way_finish_and_exits_0() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.script("/hook", [Step::Slow(Duration::from_millis(700))]);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &[]);
    daemon.accept("/in/in", &[], b"x");
    receiver.wait("/hook", 1, SOON);
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();
    assert_eq!(
        daemon.json(&["status"])["deliveries"]["delivered"],
        1,
        "its end was remembered before the exit"
    );
    assert_eq!(receiver.count("/hook"), 1);
}

/// The log's file `format` is a pipe here: the daemon is opening the log until something is written
/// to it.
#[test]
fn signals_during_the_start_end_nothing_half_way() {
    let home = Home::new();
    assert_eq!(home.start().terminate().code(), Some(0));
    let format = home.data().join("log/format");
    let bytes = std::fs::read(&format).expect("reads");
    std::fs::remove_file(&format).expect("removes");
    assert!(std::process::Command::new("mkfifo").arg(&format).status().expect("mkfifo").success());

    let starting = home.spawn();
    let pid = starting.pid();
    until("the signals to be caught", SOON, || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        let wanted =
            [Signal::HUP, Signal::INT, Signal::TERM].map(|signal| 1 << (signal.as_raw() - 1));
        wanted.iter().all(|bit: &u64| caught & bit != 0).then_some(())
    });

    signal(pid, Signal::HUP);
    signal(pid, Signal::TERM);
    let mut pipe =
        std::fs::OpenOptions::new().write(true).open(&format).expect("the daemon reads it");
    std::fs::rename(home.write("format", &String::from_utf8_lossy(&bytes)), &format)
        .expect("for whoever reads it again");
    std::io::Write::write_all(&mut pipe, &bytes).expect("the daemon reads it");
    drop(pipe);

    match starting.ready(SOON) {
        Ok(daemon) => assert_eq!(daemon.terminate().code(), Some(0)),
        Err(why) => assert!(why.contains("exit status: 0"), "{why}"),
    }
}

#[test]
fn sigterm_does_not_wait_for_ever() {
    let home = Home::new();
    let daemon = home.start();
    let receiver = Receiver::start();
    receiver.always("/hook", Step::Hang);
    open_source(&daemon, "in");
    quick_endpoint(&daemon, "app", &receiver.url("/hook"), &["--timeout", "5m"]);
    daemon.accept("/in/in", &[], b"x");
    receiver.wait("/hook", 1, SOON);
    // Its end comes before that of the attempt, which has five minutes; and the attempt is made
    // again.
    assert_eq!(daemon.terminate().code(), Some(0));
    let daemon = home.start();
    receiver.wait("/hook", 2, SOON);
    assert_eq!(daemon.attempts("app").len(), 0, "the first had not ended");
}

#[test]
fn p09_under_load_sigterm_loses_no_answered_event() {
    let home = Home::new();
    let daemon = home.start();
    open_source(&daemon, "in");

    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut client = daemon.client();
            std::thread::spawn(move || {
                let mut ids = Vec::new();
                while let Ok(answer) = client.post("/in/in", &[], b"load") {
                    if answer.status != 202 {
                        break;
                    }
                    ids.push(answer.json()["id"].as_str().expect("an id").to_owned());
                }
                ids
            })
        })
        .collect();

    until("some events", SOON, || {
        (daemon.asked("/v1/status")["events"].as_u64() > Some(100)).then_some(())
    });
    assert_eq!(daemon.terminate().code(), Some(0));
    let ids: Vec<String> = threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect();

    let daemon = home.start();
    let listed = daemon.lines(&["event", "list", "--limit", "1000000"]);
    let kept: std::collections::HashSet<&str> =
        listed.iter().filter_map(|e| e["id"].as_str()).collect();
    assert!(
        ids.iter().all(|id| kept.contains(id.as_str())),
        "{} answered, {} kept",
        ids.len(),
        kept.len()
    );
}

#[test]
fn sigint_ends_it_too() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.signal(Signal::INT);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn c07_a_second_daemon_on_the_same_data_is_refused() {
    let home = Home::new();
    let daemon = home.start();
    let data = home.data();
    let second =
        home.run_daemon(&["--data", &data.to_string_lossy(), "--listen", "127.0.0.1:0"]).expect(75);
    assert!(
        second.stderr.contains("in use") || second.stderr.contains("another"),
        "{}",
        second.stderr
    );
    daemon.json(&["status"]);
}

#[test]
fn a_stale_socket_is_no_hindrance_and_a_stranger_is_not_removed() {
    let home = Home::new();
    home.start().kill();
    assert!(home.data().join("admin.sock").exists(), "left behind by the kill");
    home.start().json(&["status"]);
    let stranger = home.write("precious.sock", "not a socket");
    let data = home.data().to_string_lossy().into_owned();
    let done =
        home.run_daemon(&["--data", &data, "--listen", "127.0.0.1:0", "--admin-socket", &stranger]);
    assert!(matches!(done.code, Some(73 | 74)), "{:?} {}", done.code, done.stderr);
    assert_eq!(std::fs::read_to_string(&stranger).expect("it is still there"), "not a socket");
}

#[test]
fn a_taken_port_is_said_plainly() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let data = home.data().to_string_lossy().into_owned();
    let done = home.run_daemon(&["--data", &data, "--listen", &addr]).expect(73);
    assert!(done.stderr.contains(&addr), "{}", done.stderr);

    let config = home.write("m.toml", &format!("[metrics]\nlisten = \"{addr}\"\n"));
    let free = ["--data", &data, "--listen", "127.0.0.1:0"];
    let done = home.run_daemon(&[&free[..], &["--config", &config]].concat()).expect(73);
    assert!(done.stderr.contains(&addr), "{}", done.stderr);

    let socket = home.path().join("missing/admin.sock").display().to_string();
    let done = home.run_daemon(&[&free[..], &["--admin-socket", &socket]].concat()).expect(73);
    assert!(done.stderr.contains("missing"), "{}", done.stderr);
    assert!(!home.data().exists(), "nothing is made by a daemon that cannot listen");
}

/// Also when the other daemon has the port: that it has the data is what matters.
#[test]
fn a_second_daemon_on_the_same_data_and_port_hears_that_the_data_is_in_use() {
    let home = Home::new();
    let daemon = home.start();
    let (data, addr) = (home.data().display().to_string(), daemon.addr.to_string());
    let second = home.run_daemon(&["--data", &data, "--listen", &addr]).expect(75);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
}

/// Runs a program with these words after it, in a shell that closes or fills its output.
fn through_shell(program: &str, rest: &str) -> Option<i32> {
    let mut command = super::support::ctl::program("/bin/bash");
    command.args(["-c", &format!("set -o pipefail; exec 2>/dev/null; '{program}' {rest}")]);
    super::support::ctl::finish(command, None).code
}

#[test]
fn output_that_cannot_be_written_changes_no_exit_code() {
    let home = Home::new();
    let config = home.write("good.toml", "");
    let daemon = &super::support::ctl::built("hookboxd");
    let ctl = &super::support::ctl::built("hookboxctl");
    let check = format!("--config {config} --listen 127.0.0.1:0 --check");
    for (program, rest, code) in [
        (daemon, format!("{check} >/dev/full"), 74),
        (daemon, format!("{check} --print >/dev/full"), 74),
        (daemon, format!("{check} >&-"), 0),
        (daemon, "--help >/dev/full".to_owned(), 74),
        (daemon, "--bogus 2>/dev/full".to_owned(), 64),
        (daemon, "--config /nonexistent 2>/dev/full".to_owned(), 78),
        (ctl, "bogus 2>/dev/full".to_owned(), 64),
        (ctl, "--socket /nonexist status 2>/dev/full".to_owned(), 69),
        (ctl, "--help >/dev/full".to_owned(), 1),
    ] {
        assert_eq!(through_shell(program, &rest), Some(code), "{program} {rest}");
    }

    // A reader that is gone before anything is written.
    for print in [&[][..], &["--print"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = super::support::ctl::program(daemon);
        command.args(["--config", &config, "--listen", "127.0.0.1:0", "--check"]).args(print);
        let ended = command.stdout(writer).status().expect("it runs");
        assert_eq!(ended.code(), Some(0), "{print:?}");
    }
}

#[test]
fn check_tells_good_from_bad_and_where() {
    let home = Home::new();
    let good = home.write("good.toml", "");
    home.run_daemon(&["--config", &good, "--check"]).expect(0);
    for (n, text) in ["no_such_key = 1\n", "= broken\n", "listen = 17\n"].iter().enumerate() {
        let path = home.write(&format!("bad{n}.toml"), text);
        let done = home.run_daemon(&["--config", &path, "--check"]).expect(78);
        assert!(done.stderr.contains(&format!("bad{n}.toml")), "the file: {}", done.stderr);
        let line = done.stderr.contains(":1") || done.stderr.contains("line 1");
        assert!(line, "the line: {}", done.stderr);
    }
    home.run_daemon(&["--config", &home.path().join("missing.toml").to_string_lossy(), "--check"])
        .expect(78);

    let file = home.write("file", "");
    let link = home.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).expect("a link");
    let link = link.display().to_string();
    for data in [file.clone(), format!("{file}/below"), link.clone()] {
        for how in [&["--check"][..], &["--listen", "127.0.0.1:0"]] {
            let done = home.run_daemon(&[how, &["--data", &data]].concat()).expect(73);
            assert!(done.stderr.contains("is not a folder"), "{}", done.stderr);
            assert_eq!(done.stderr.contains("a link to nowhere"), data == link);
        }
    }
    let deep = home.path().join("x".repeat(100)).display().to_string();
    for check in [&["--check"][..], &["--listen", "127.0.0.1:0"]] {
        let done = home.run_daemon(&[check, &["--data", &deep]].concat()).expect(78);
        assert!(done.stderr.contains("at most 107 bytes"), "{}", done.stderr);
    }
    assert!(!home.data().exists(), "a check makes nothing");
}

#[test]
fn wrong_usage_is_64() {
    let home = Home::new();
    home.run_daemon(&["--no-such-option"]).expect(64);
    home.run_daemon(&["--listen", "nonsense"]).expect(64);
    home.run_daemon(&["--help"]).expect(0);
    home.run_daemon(&["--version"]).expect(0);
}

#[test]
fn sighup_reloads_whole_or_not_at_all() {
    let mut home = Home::new();
    let path = home.write("hookbox.toml", "# all defaults\n");
    home.args.extend(["--config".to_owned(), path]);
    let daemon = home.start();
    open_source(&daemon, "in");
    home.write("hookbox.toml", "no_such_key = true\n");
    daemon.signal(Signal::HUP);
    until("a word about the bad file", SOON, || {
        daemon.log_text().contains("no_such_key").then_some(())
    });
    daemon.accept("/in/in", &[], b"still served");
    home.write("hookbox.toml", "# fine again\n");
    let before = daemon.log_text().len();
    daemon.signal(Signal::HUP);
    until("a word about the reload", SOON, || {
        daemon.log_text()[before..].contains("was reloaded").then_some(())
    });
    daemon.accept("/in/in", &[], b"still served");
}

#[test]
fn it_listens_on_a_unix_socket_too() {
    use std::io::{Read as _, Write as _};
    let mut home = Home::new();
    let path = home.path().join("in.sock");
    home.args.extend(["--listen".to_owned(), format!("unix:{}", path.display())]);
    let daemon = home.start();
    open_source(&daemon, "in");
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("the ingress socket");
    let request =
        b"POST /in/in HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[test]
fn the_log_verifies_after_kills_and_restarts() {
    let home = Home::new();
    for round in 0..4 {
        let daemon = home.start();
        if round == 0 {
            open_source(&daemon, "in");
        }
        for n in 0..20 {
            daemon.accept("/in/in", &[], format!("{round} {n}").as_bytes());
        }
        if round % 2 == 0 { daemon.kill() } else { assert_eq!(daemon.terminate().code(), Some(0)) }
    }
    let daemon = home.start();
    let verified = daemon.json(&["log", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["records"], verified["last"]);
    assert_eq!(daemon.json(&["status"])["events"], 80);
}

#[test]
fn with_no_options_daemon_and_ctl_meet_in_the_current_folder() {
    let home = Home::new();
    let mut command = super::support::ctl::program(env!("CARGO_BIN_EXE_hookboxd"));
    // Its default port may be taken on this machine; everything else is as it comes.
    command.args(["--listen", "127.0.0.1:0"]).current_dir(home.path());
    let mut child = command.spawn().expect("it starts");

    let status = until("the ctl to find the daemon", SOON, || {
        let mut command = super::support::ctl::program(env!("CARGO_BIN_EXE_hookboxctl"));
        command.args(["status", "--json"]).current_dir(home.path());
        let done = super::support::ctl::finish(command, None);
        (done.code == Some(0)).then_some(done.stdout)
    });

    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert!(status["deliveries"].is_object(), "{status}");
    let data = status["data"].as_str().map(std::path::Path::new);
    assert!(
        data.is_some_and(|data| data.is_absolute() && data.ends_with("hookbox-data")),
        "for a ctl elsewhere: {status}"
    );
    assert!(home.path().join("hookbox-data/admin.sock").exists());

    let output = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        output.contains("127.0.0.1:") && output.contains("hookboxctl"),
        "where it listens, what to type: {output}"
    );
    // An installed daemon's socket would come first.
    if !std::path::Path::new("/run/hookbox/admin.sock").exists() {
        assert!(!output.contains("--socket"), "it is found without: {output}");
    }
}

#[test]
fn the_environment_is_beaten_by_options() {
    let home = Home::new();
    let from_env = home.path().join("from-env");
    let mut command = super::support::ctl::program(env!("CARGO_BIN_EXE_hookboxd"));
    command
        .env("HOOKBOX_DATA", &from_env)
        .env("HOOKBOX_LISTEN", "nonsense")
        .args(["--listen", "127.0.0.1:0"]);
    command.current_dir(home.path());
    let mut child = command.spawn().expect("it starts");
    until("the socket in the folder of the environment", SOON, || {
        from_env.join("admin.sock").exists().then_some(())
    });
    let ctl = super::support::Ctl::new(&from_env.join("admin.sock"));
    until("an answer", SOON, || (ctl.run(&["status"]).code == Some(0)).then_some(()));
    let _ = child.kill();
    let _ = child.wait();
}

/// A process that ignores SIGCHLD does not learn how its children end: here the one that opens the
/// segment which the killed daemon had open.
#[test]
fn a_daemon_that_is_started_with_sigchld_ignored_finds_its_log_whole() {
    let mut home = Home::new();
    home.under = ["env", "--ignore-signal=CHLD"].map(String::from).to_vec();
    let daemon = home.start();
    open_source(&daemon, "in");
    let id = daemon.accept("/in/in", &[], b"x");
    daemon.kill();

    let daemon = home.start();
    assert_eq!(daemon.json(&["event", "show", &id])["id"], id.as_str());
    assert_eq!(daemon.json(&["log", "verify"])["ok"], true);
    let entries = std::fs::read_dir(home.data().join("log")).expect("lists").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_eq!(names.find(|name| name.starts_with("bad-")), None, "nothing is wrong with it");
}
