//! `hookboxctl`, run as a person or a script would.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::SOON;

/// What a run of a program came to.
#[derive(Clone, Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Asserts the exit code, showing what was written when it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The ctl for one admin socket.
#[derive(Clone, Debug)]
pub struct Ctl {
    pub socket: PathBuf,
}

impl Ctl {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// For people: tables and sentences.
    pub fn run(&self, args: &[&str]) -> Done {
        finish(self.command(args), None)
    }

    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Done {
        finish(self.command(args), Some(input))
    }

    /// The one object of a command that must succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut values = self.lines(args);
        assert_eq!(values.len(), 1, "{args:?} prints one object: {values:?}");
        values.remove(0)
    }

    /// The objects of a list, one a line, of a command that must succeed.
    #[track_caller]
    pub fn lines(&self, args: &[&str]) -> Vec<Value> {
        let done = self.try_json(args);
        assert_eq!(
            done.code,
            Some(0),
            "{args:?}\nstdout: {}\nstderr: {}",
            done.stdout,
            done.stderr
        );
        parse_lines(&done.stdout)
    }

    /// With `--json`, whatever comes of it.
    pub fn try_json(&self, args: &[&str]) -> Done {
        let mut all = vec!["--json"];
        all.extend_from_slice(args);
        self.run(&all)
    }

    /// A command that goes on (`tail -f`): its standard output is a pipe.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("hookboxctl starts")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(&built("hookboxctl"));
        command.arg("--socket").arg(&self.socket).args(args);
        command
    }
}

/// Where a program of ours is: as cargo built it, or in `HOOKBOX_PROGRAMS`, a folder with others (a
/// release, an installed package, an older version).
pub fn built(name: &str) -> String {
    let by_cargo = match name {
        "hookboxd" => env!("CARGO_BIN_EXE_hookboxd"),
        "hookboxctl" => env!("CARGO_BIN_EXE_hookboxctl"),
        other => panic!("there is no program {other}"),
    };
    match std::env::var_os("HOOKBOX_PROGRAMS") {
        Some(folder) => Path::new(&folder).join(name).to_string_lossy().into_owned(),
        None => by_cargo.to_owned(),
    }
}

/// A program with no `HOOKBOX_…` of ours in its environment and pipes all around.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    for name in [
        "HOOKBOX_CONFIG",
        "HOOKBOX_DATA",
        "HOOKBOX_LISTEN",
        "HOOKBOX_SOCKET",
        "HOOKBOX_ROOT",
        "NOTIFY_SOCKET",
        "INVOCATION_ID",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a program to its end.
pub fn finish(mut command: Command, input: Option<&[u8]>) -> Done {
    let mut child = command.spawn().expect("the program starts");
    let stdin = child.stdin.take();
    if let (Some(mut stdin), Some(input)) = (stdin, input) {
        let _ = stdin.write_all(input);
    }

    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(child.wait_with_output());
    });
    let Ok(output) = receiver.recv_timeout(SOON) else {
        super::daemon::signal(pid, rustix::process::Signal::KILL);
        panic!("{command:?} did not end within {SOON:?}");
    };

    let output = output.expect("its output can be read");
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// One JSON value a line.
#[track_caller]
pub fn parse_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"))
    };
    text.lines().filter(|l| !l.trim().is_empty()).map(parse).collect()
}
