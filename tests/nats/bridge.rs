//! `hookbox-nats` as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::daemon::signal;
use crate::support::{Client, Home, SOON, until};

/// The lines of a configuration that have it serve its metrics.
pub const METRICS: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// What a run of it came to.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running bridge. Killed when dropped.
pub struct Bridge {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// The program: as cargo built it, or in `HOOKBOX_PROGRAMS`.
fn program() -> Command {
    let own = env!("CARGO_BIN_EXE_hookbox-nats").to_owned();
    let named = std::env::var("HOOKBOX_PROGRAMS").map(|dir| format!("{dir}/hookbox-nats"));
    let named = named.ok().filter(|path| Path::new(path).is_file());
    let mut command = Command::new(named.unwrap_or(own));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("INVOCATION_ID").env_remove("NOTIFY_SOCKET");
    command
}

/// A configuration for the box at this home.
pub fn configuration(home: &Home, name: &str, url: &str, routes: &str) -> String {
    let socket = home.data().join("admin.sock");
    let text = format!(
        "box = \"{name}\"\n[nats]\nservers = [\"{url}\"]\n[hookbox]\nadmin_socket = {socket:?}\n\
         ingress = {:?}\n{routes}",
        home.path().join("in.sock")
    );
    home.write("nats.toml", &text)
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Ended {
    let output = program().args(args).output().expect("hookbox-nats runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Bridge {
    /// Starts it without waiting.
    pub fn spawn(config: &str) -> Self {
        Self::spawn_with(config, &[])
    }

    /// The same, with variables of the environment.
    pub fn spawn_with(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = program()
            .args(["--config", config, "--create", "--log-format", "json"])
            .envs(variables.iter().copied())
            .spawn()
            .expect("hookbox-nats starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stderr.take().expect("a pipe"), &log);
        collect(child.stdout.take().expect("a pipe"), &log);
        Self { child, log }
    }

    /// Starts it and waits until its routes run.
    pub fn start(config: &str) -> Self {
        let mut bridge = Self::spawn(config);
        until("a bridge that is ready", SOON, || {
            let ended = bridge.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", bridge.log_text());
            bridge.log_text().contains("\"message\":\"ready\"").then_some(())
        });
        bridge
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log_text(&self) -> String {
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n")
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub fn await_log(&self, words: &str) {
        until(&format!("'{words}' in the log of the bridge"), SOON, || {
            self.log_text().contains(words).then_some(())
        });
    }

    /// Its page of metrics, once it serves one ([`METRICS`]).
    pub fn metrics(&self) -> Option<String> {
        let text = self.log_text();
        let line = text.lines().find(|line| line.contains("metrics are served"))?;
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let addr = line["address"].as_str().expect("an address").parse().expect("an address");
        let answer = Client::connect(addr).ok()?.get("/metrics").ok()?;
        String::from_utf8(answer.body).ok()
    }

    /// One of its counts.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let page = self.metrics()?;
        let line = page.lines().find(|line| line.split(['{', ' ']).next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; how it ended.
    pub fn terminate(self) -> ExitStatus {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        until("the end of the bridge", SOON, || self.child.try_wait().expect("our own child"))
    }
}

fn collect(pipe: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
        }
    });
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = self.log_text();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(30);
            eprintln!("--- the bridge's last lines ---\n{}", lines[from..].join("\n"));
        }
    }
}
