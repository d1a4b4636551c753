//! The live screen: what scripts get of it, and in a terminal of its own, driven by keys.

use std::path::Path;
use std::process::{Command, Output};

use super::support::ctl::built;
use super::support::{Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint};

/// A daemon with an endpoint that works, one that is held, and dead letters of a third.
fn busy(home: &Home, receiver: &Receiver) -> Daemon {
    let daemon = home.start();
    open_source(&daemon, "in");
    receiver.always("/bad", Step::Status(500));
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&daemon, "bad", &receiver.url("/bad"), &["--max-attempts", "1"]);
    quick_endpoint(&daemon, "later", &receiver.url("/later"), &[]);
    daemon.done(&["endpoint", "hold", "later"]);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    assert_eq!(daemon.post("/in/nobody", &[], b"x").status, 404);
    daemon.await_count("delivered", 3);
    daemon.await_count("dead", 3);
    daemon.await_count("held", 3);
    daemon
}

#[test]
fn scripts_get_a_view_as_text_and_everything_as_json() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = busy(&home, &receiver);

    let overview = daemon.done(&["top", "--once", "--ascii"]).stdout;
    for part in ["accepting  0 waiting  3 held  3 dead", "accepted", "bad", "later"] {
        assert!(overview.contains(part), "{part} in\n{overview}");
    }
    assert!(!overview.contains("q end") && !overview.ends_with("\n\n"), "{overview}");
    let dead = daemon.done(&["top", "--once", "--screen", "dead"]).stdout;
    assert_eq!(dead.matches("answered 500").count(), 3, "{dead}");
    let tail = daemon.done(&["top", "--once", "--screen", "tail"]).stdout;
    assert!(tail.contains("delivered 200"), "{tail}");
    let sorted = ["top", "--once", "--screen", "endpoints", "--sort", "name"];
    let endpoints = daemon.done(&sorted).stdout;
    let at = |name: &str| endpoints.find(name).unwrap_or_else(|| panic!("{name}: {endpoints}"));
    assert!(at("\napp") < at("\nbad") && at("\nbad") < at("\nlater"), "{endpoints}");

    let all = daemon.lines(&["top", "-n", "2", "-d", "200ms"]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["status"]["deliveries"]["dead"], 3, "{}", all[1]);
    assert_eq!(all[1]["endpoints"].as_array().map(Vec::len), Some(3));
    assert_eq!(all[1]["dead_letters"].as_array().map(Vec::len), Some(3));
    assert_eq!(all[1]["history"]["total"]["accepted"], 3);

    let refused = daemon.ctl().run(&["top"]).expect(64).stderr;
    assert!(refused.contains("needs a terminal"), "{refused}");
    let refused = daemon.ctl().run(&["top", "--once", "--sort", "colour"]).expect(64).stderr;
    assert!(refused.contains("no column 'colour'"), "{refused}");
}

/// A terminal of its own, which ends with the test.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// Runs a command in a terminal of this size. `None` where there is no tmux.
    fn run(home: &Home, command: &str, (width, height): (u16, u16)) -> Option<Self> {
        let socket = home.path().join("tmux.sock").display().to_string();
        let tmux = Self { socket };
        let (width, height) = (width.to_string(), height.to_string());
        let size = ["-x", width.as_str(), "-y", height.as_str()];
        let mut args = vec!["-f", "/dev/null", "new-session", "-d"];
        args.extend(size);
        args.push(command);
        let started = tmux.try_tell(&args)?;
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        Some(tmux)
    }

    fn try_tell(&self, args: &[&str]) -> Option<Output> {
        let mut tmux = Command::new("tmux");
        tmux.args(["-u", "-S", &self.socket]).args(args).env("LC_ALL", "C.UTF-8").output().ok()
    }

    fn tell(&self, args: &[&str]) -> Output {
        self.try_tell(args).expect("tmux was there a moment ago")
    }

    /// Keys by their names in tmux: `j`, `Enter`, `Escape`.
    fn keys(&self, keys: &[&str]) {
        let args: Vec<&str> = ["send-keys"].into_iter().chain(keys.iter().copied()).collect();
        assert!(self.tell(&args).status.success());
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tell(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the screen shows this.
    #[track_caller]
    fn shows(&self, part: &str) -> String {
        let mut seen = String::new();
        until(part, SOON, || {
            seen = self.screen();
            seen.contains(part).then_some(())
        });
        seen
    }

    /// Waits until the screen shows this so many times.
    #[track_caller]
    fn lists(&self, part: &str, times: usize) {
        until(part, SOON, || (self.screen().matches(part).count() == times).then_some(()));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.try_tell(&["kill-server"]);
    }
}

#[test]
#[ignore = "needs tmux; run: just with-tools"]
fn keys_do_what_the_help_says_in_a_real_terminal() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let daemon = busy(&home, &receiver);
    let socket = home.data().join("admin.sock");
    let command = format!(
        "{} --socket {} top -d 500ms; echo ENDED; exec cat",
        built("hookboxctl"),
        socket.display()
    );
    let tmux = Tmux::run(&home, &command, (80, 24)).expect("tmux (apt install tmux)");

    // The overview names who needs somebody; all lines fit.
    let screen = tmux.shows("1 overview");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    tmux.shows("later");

    // Release what is held: counted, asked, refused, asked again, done.
    tmux.keys(&["2", "/", "l", "a", "t", "e", "r", "Enter"]);
    tmux.shows("/later");
    tmux.keys(&["u"]);
    tmux.shows("Release later? 3 deliveries are attempted again. [y/N]");
    tmux.keys(&["n"]);
    tmux.shows("nothing was done");
    tmux.keys(&["u"]);
    tmux.shows("[y/N]");
    tmux.keys(&["y"]);
    tmux.shows("released: later");
    daemon.await_count("delivered", 6);
    tmux.keys(&["h"]);
    tmux.shows("Hold later?");
    tmux.keys(&["y"]);
    tmux.shows("on hold: later");

    // Dead letters: the attempts of one, one that is retried, and the others discarded.
    tmux.keys(&["5"]);
    tmux.shows("answered 500");
    tmux.keys(&["Enter"]);
    tmux.shows("ATTEMPT");
    receiver.always("/bad", Step::Status(200));
    // Nobody waits between the two.
    tmux.keys(&["Escape", "r"]);
    tmux.shows("Attempt 1 dead letter again? [y/N]");
    tmux.keys(&["y"]);
    daemon.await_count("delivered", 7);
    daemon.await_count("dead", 2);
    tmux.shows("1 delivery attempted again");
    // What is listed still would be named, too, and refused with all the others.
    tmux.lists("answered 500", 2);
    tmux.keys(&["*", "d"]);
    tmux.shows("[y/N]");
    tmux.keys(&["y"]);
    daemon.await_count("dead", 0);
    tmux.shows("no dead letters");

    // The tail is live, and follows what comes.
    tmux.keys(&["4"]);
    tmux.shows("delivered 200");
    daemon.accept("/in/in", &[], b"tail-follows");
    tmux.shows("12 B to 3");

    // Another size, and the end, which gives the terminal back.
    tmux.tell(&["resize-window", "-x", "60", "-y", "12"]);
    let screen = tmux.shows("1 overview");
    assert!(screen.lines().count() <= 24, "{screen}");
    tmux.keys(&["?"]);
    tmux.shows("another view");
    tmux.keys(&["q", "q"]);
    tmux.shows("ENDED");
    assert!(!tmux.screen().contains("1 overview"));
}

/// The process that wrote its id there, once it shows something.
fn begun(tmux: &Tmux, pid: &Path) -> String {
    tmux.shows("1 overview");
    std::fs::read_to_string(pid).expect("it has begun").trim().to_owned()
}

#[test]
#[ignore = "needs tmux; run: just with-tools"]
fn signals_give_the_terminal_back() {
    let home = Home::new();
    let daemon = home.start();
    let socket = home.data().join("admin.sock");
    for signal in ["TERM", "HUP", "INT"] {
        let home = Home::new();
        let pid = home.path().join("pid");
        let command = format!(
            "sh -c 'echo $$ > {}; exec {} --socket {} top'; \
             echo ENDED $?; stty -a | grep -ow -- -*icanon; exec cat",
            pid.display(),
            built("hookboxctl"),
            socket.display()
        );
        let tmux = Tmux::run(&home, &command, (80, 24)).expect("tmux (apt install tmux)");

        let pid = begun(&tmux, &pid);
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill is there").success());
        let screen = tmux.shows("icanon");
        assert!(screen.contains("ENDED 0") && !screen.contains("-icanon"), "{signal}: {screen}");
        assert!(!screen.contains("1 overview"), "{signal}: {screen}");
    }
    daemon.done(&["status"]);
}

#[test]
#[ignore = "needs tmux; run: just with-tools"]
fn a_terminal_that_is_gone_ends_it() {
    let home = Home::new();
    let daemon = home.start();
    let (pid, socket) = (home.path().join("pid"), home.data().join("admin.sock"));
    let command = format!(
        "echo $$ > {}; exec {} --socket {} top",
        pid.display(),
        built("hookboxctl"),
        socket.display()
    );
    let tmux = Tmux::run(&home, &command, (80, 24)).expect("tmux (apt install tmux)");

    let process = format!("/proc/{}/cmdline", begun(&tmux, &pid));
    drop(tmux);
    until("it ends", SOON, || {
        let command = std::fs::read(&process).unwrap_or_default();
        command.is_empty().then_some(())
    });
    daemon.done(&["status"]);
}
