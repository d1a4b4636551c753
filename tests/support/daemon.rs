//! `hookboxd` as a child process, in a folder of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::admin::Admin;
use super::ctl::{Ctl, Done, built, finish, program};
use super::http::{Client, Response};
use super::{SOON, until, wall_ms};

/// A folder for one log and the options its daemons start with. Removed at the end.
#[derive(Debug)]
pub struct Home {
    dir: tempfile::TempDir,
    pub args: Vec<String>,
    /// Put into the daemon's environment.
    pub environment: Vec<(String, String)>,
    /// A program with its arguments that runs the daemon in its place and under its pid.
    pub under: Vec<String>,
    /// Passed to the daemon as a service manager does, under this name.
    pub passed: Option<(std::os::fd::OwnedFd, String)>,
}

/// Makes standard input the first passed socket: number 3, as sd_listen_fds(3) has it.
const PASS: &str = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&0 </dev/null"#;

impl Home {
    pub fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("hookbox-test-").tempdir().expect("a temporary folder");
        let args = vec!["--listen".into(), "127.0.0.1:0".into()];
        Self { dir, args, environment: Vec::new(), under: Vec::new(), passed: None }
    }

    /// The same, with more options for the daemon.
    pub fn with(args: &[&str]) -> Self {
        let mut home = Self::new();
        home.args.extend(args.iter().map(|&a| a.to_owned()));
        home
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn ctl(&self) -> Ctl {
        Ctl::new(&self.data().join("admin.sock"))
    }

    /// A file in the home, e.g. a configuration; gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file in the temporary folder");
        path.to_string_lossy().into_owned()
    }

    /// A program, or a script, at `to` in the home; gives its path. Another process writes it: a
    /// descriptor of our own that it is written through may live on in a child that another thread
    /// is starting, and then it cannot be run.
    pub fn program(&self, from: &str, to: &str) -> String {
        let path = self.path().join(to);
        let copied = std::process::Command::new("install")
            .args(["-D", "-m", "755", from])
            .arg(&path)
            .status();
        assert!(
            copied.expect("install runs").success(),
            "{from} cannot be copied to {}",
            path.display()
        );
        path.to_string_lossy().into_owned()
    }

    /// Starts a daemon without waiting for it.
    pub fn spawn(&self) -> Starting {
        let daemon = built("hookboxd");
        let mut command = program(self.under.first().map_or(&*daemon, String::as_str));
        if let Some((_, rest)) = self.under.split_first() {
            command.args(rest).arg(daemon);
        }

        command.arg("--data").arg(self.data()).args(&self.args);
        if !self.args.iter().any(|arg| arg == "--log-format") {
            command.args(["--log-format", "json"]);
        }
        command.current_dir(self.path()).stdin(std::process::Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));

        if let Some((socket, name)) = &self.passed {
            let mut by_shell = program("sh");
            by_shell.args(["-c", PASS, "sh"]).arg(command.get_program()).args(command.get_args());
            by_shell.env("LISTEN_FDNAMES", name).current_dir(self.path());
            by_shell.envs(self.environment.iter().map(|(name, value)| (name, value)));
            by_shell.stdin(socket.try_clone().expect("a descriptor"));
            command = by_shell;
        }

        let started = Instant::now();
        let mut child = command.spawn().expect("hookboxd starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            collect(child.stderr.take().expect("a pipe"), &log),
            collect(child.stdout.take().expect("a pipe"), &log),
        ];

        Starting {
            child: Some(child),
            log,
            readers,
            started,
            socket: self.data().join("admin.sock"),
        }
    }

    /// Starts a daemon and waits until it is ready.
    #[track_caller]
    pub fn start(&self) -> Daemon {
        self.spawn().ready(SOON).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Runs a daemon that is expected to end by itself.
    pub fn run_daemon(&self, args: &[&str]) -> Done {
        let mut command = program(&built("hookboxd"));
        command.current_dir(self.path()).args(args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        finish(command, None)
    }
}

/// A daemon that may not be ready yet.
#[derive(Debug)]
pub struct Starting {
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// End when it has written its last word.
    readers: Vec<JoinHandle<()>>,
    started: Instant,
    socket: PathBuf,
}

impl Starting {
    /// Waits for the line that says where it listens.
    pub fn ready(mut self, within: Duration) -> Result<Daemon, String> {
        loop {
            let found = lock(&self.log).iter().find_map(|line| ready_line(line));
            let child = self.child.as_mut().expect("not taken yet");
            if let Some(listen) = found {
                let child = self.child.take().expect("not taken yet");
                let log = self.log.clone();
                let ready_after = self.started.elapsed();
                let (readers, socket) = (std::mem::take(&mut self.readers), self.socket.clone());
                return Ok(Daemon {
                    child,
                    addr: listen,
                    log,
                    readers,
                    ready_after,
                    socket,
                    gone: false,
                });
            }

            if let Ok(Some(status)) = child.try_wait() {
                for reader in self.readers.drain(..) {
                    let _ = reader.join();
                }
                return Err(format!(
                    "hookboxd ended with {status} before it was ready:\n{}",
                    lock(&self.log).join("\n")
                ));
            }

            if self.started.elapsed() > within {
                return Err(format!(
                    "hookboxd was not ready within {within:?}:\n{}",
                    lock(&self.log).join("\n")
                ));
            }

            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("not taken yet").id()
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A running daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it listens; port 0 when only on a Unix socket.
    pub addr: SocketAddr,
    pub socket: PathBuf,
    /// From exec to the readiness line.
    pub ready_after: Duration,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    gone: bool,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ctl(&self) -> Ctl {
        Ctl::new(&self.socket)
    }

    /// What `hookboxctl --json …` prints, which must succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.ctl().json(args)
    }

    #[track_caller]
    pub fn lines(&self, args: &[&str]) -> Vec<Value> {
        self.ctl().lines(args)
    }

    /// What the daemon answers to a `GET` of this path, which must succeed. For what is asked again
    /// and again, until something has happened: a ctl for each question takes most of a core.
    #[track_caller]
    pub fn asked(&self, path: &str) -> Value {
        let (status, answer) = self.admin().get(path).expect("an answer");
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Whether there is nothing at this path.
    #[track_caller]
    pub fn has_not(&self, path: &str) -> bool {
        self.admin().get(path).expect("an answer").0 == 404
    }

    /// The same as `asked` for a list.
    #[track_caller]
    pub fn rows(&self, path: &str) -> Vec<Value> {
        self.admin().lines(path).expect("a list")
    }

    /// A connection to the admin socket.
    #[track_caller]
    pub fn admin(&self) -> Admin {
        Admin::connect(&self.socket).expect("the admin socket")
    }

    /// Runs the ctl, which must succeed.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> Done {
        self.ctl().run(args).expect(0)
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr).expect("the ingress takes connections")
    }

    /// One POST on a connection of its own.
    #[track_caller]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.client().post(path, headers, body).expect("an answer")
    }

    /// Posts and gives the id of the event, which must be accepted.
    #[track_caller]
    pub fn accept(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let answer = self.post(path, headers, body);
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// All that it has logged so far.
    pub fn log_text(&self) -> String {
        lock(&self.log).join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        signal_pid(self.pid(), signal);
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.gone = true;
    }

    /// SIGTERM; the exit status.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// How it ended, when it has. Then all that it wrote is in the log.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("our own child")?;
        if !self.gone {
            self.gone = true;
            // A process that it left behind may hold its pipe for longer.
            let since = Instant::now();
            while self.readers.iter().any(|reader| !reader.is_finished())
                && since.elapsed() < Duration::from_secs(10)
            {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Some(status)
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("the daemon's end", SOON, || self.ended())
    }

    /// Waits until it has logged this. What it writes comes through a pipe, later than what it
    /// does.
    #[track_caller]
    pub fn await_log(&self, words: &str) {
        until(&format!("'{words}' in the log"), SOON, || {
            self.log_text().contains(words).then_some(())
        });
    }

    /// A number of `/proc/PID/FILE`, e.g. `status` `VmRSS` in KiB, or `io` `write_bytes`.
    pub fn proc_number(&self, file: &str, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.pid()))
            .expect("the process lives");
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))
            .expect("the key is there");
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Waits until `status` counts `wanted` in `deliveries.{state}`.
    #[track_caller]
    pub fn await_count(&self, state: &str, wanted: u64) {
        until(&format!("{wanted} {state} deliveries"), SOON, || {
            let status =
                Admin::connect(&self.socket).and_then(|mut admin| admin.get("/v1/status")).ok()?.1;
            (status["deliveries"][state].as_u64() == Some(wanted)).then_some(())
        });
    }

    /// When the attempts at an endpoint that are in the log began, by the daemon's own clock, the
    /// earliest first; in milliseconds since 1970. At the receiver they can all come at once, when
    /// the test was put off meanwhile.
    #[track_caller]
    pub fn attempts(&self, endpoint: &str) -> Vec<u64> {
        let mut all: Vec<u64> = self.histories(endpoint).into_values().flatten().collect();
        all.sort_unstable();
        all
    }

    /// The same for each delivery, by its id.
    #[track_caller]
    pub fn histories(&self, endpoint: &str) -> BTreeMap<String, Vec<u64>> {
        let mut admin = self.admin();
        let rows = self.lines(&["delivery", "list", "--endpoint", endpoint, "--limit", "1000000"]);
        let ids = rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned());
        ids.map(|id| {
            let shown = admin.get(&format!("/v1/deliveries/{id}")).expect("an answer").1;
            let history =
                shown["history"].as_array().unwrap_or_else(|| panic!("no history: {shown}"));
            let times = history.iter().map(|attempt| wall_ms(&attempt["started_at"])).collect();
            (id, times)
        })
        .collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = lock(&self.log);
            let from = log.len().saturating_sub(40);
            eprintln!("--- the daemon's last lines ---\n{}", log[from..].join("\n"));
        }
    }
}

/// Sends a signal to a process that this harness started.
pub fn signal(pid: u32, signal: Signal) {
    signal_pid(pid, signal);
}

fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn collect(pipe: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lock(&log).push(line);
        }
    })
}

fn lock(log: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    log.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The first TCP address of the readiness line:
/// `{"message":"ready","listen":"127.0.0.1:1,unix:/x",…}`, its fields at the top or under `fields`.
fn ready_line(line: &str) -> Option<SocketAddr> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        let (_, listen) = line.split_once("ready listen=")?;
        let text = listen.split_whitespace().next()?.trim_matches('"');
        return Some(text.split(',').find_map(|one| one.parse().ok()).unwrap_or(nowhere));
    };
    let fields = value.get("fields").unwrap_or(&value);
    if fields.get("message")?.as_str()? != "ready" {
        return None;
    }
    let listen = fields.get("listen")?;
    let text = match listen {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str()?.to_owned(),
    };
    Some(text.split([',', ' ']).find_map(|one| one.parse().ok()).unwrap_or(nowhere))
}
