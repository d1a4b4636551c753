//! The result of a command, and its output.

use std::borrow::Cow;

use bytes::Bytes;

use crate::model::{CommandEnd, Outcome, limits};

use super::sandbox::Sandbox;
use super::supervise::CommandExit;

/// How a command asks for another attempt (`EX_TEMPFAIL` of sysexits), and for none.
const TRY_AGAIN: i32 = 75;
const GIVE_UP: i32 = 100;

/// The result of one run of a command.
pub struct CommandResult {
    pub outcome: Outcome,
    /// `None` where the command did not start.
    pub command: Option<CommandEnd>,
    pub error: Option<String>,
}

impl CommandResult {
    /// Of a command that did not start.
    pub fn not_started(why: String) -> Self {
        Self { outcome: Outcome::Retryable { after_ms: None }, command: None, error: Some(why) }
    }

    /// Of a command that was ended before it had ended itself.
    pub fn broken(why: String, output: OutputTail) -> Self {
        let command = CommandEnd { exit: None, signal: None, output: output.kept() };
        Self {
            outcome: Outcome::Retryable { after_ms: None },
            command: Some(command),
            error: Some(why),
        }
    }

    /// Of a command that has ended. A failure may have to do with the sandbox.
    pub fn of(end: CommandExit, output: OutputTail, sandbox: &Sandbox) -> Self {
        let again = Outcome::Retryable { after_ms: None };
        let (outcome, why) = match (end.exit, end.signal) {
            (Some(0), _) => (Outcome::Delivered, None),
            (Some(TRY_AGAIN), _) => (again, Some("exit 75: to be tried again".to_owned())),
            (Some(GIVE_UP), _) => {
                (Outcome::Refused, Some("exit 100: not to be tried again".to_owned()))
            }
            (Some(code), _) => (again, Some(format!("exit {code}"))),
            (None, signal) => {
                let signal = signal.map_or_else(|| "?".to_owned(), |signal| signal.to_string());
                let helper = match (end.was_unsupervised, end.may_go_on) {
                    (false, _) => "",
                    (true, false) => " with its helper",
                    (true, true) => " with its helper, so that processes of it may be left",
                };
                (again, Some(format!("ended by signal {signal}{helper}")))
            }
        };

        let error = why.map(|why| {
            let line = output.last_line().map(|line| format!(": {line}")).unwrap_or_default();
            let advice = sandbox.explains(end, &output.text());
            let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
            format!("{why}{line}{advice}")
        });
        let command = CommandEnd { exit: end.exit, signal: end.signal, output: output.kept() };
        Self { outcome, command: Some(command), error }
    }
}

/// The last bytes of what a command writes.
#[derive(Debug, Default)]
pub struct OutputTail(Vec<u8>);

impl OutputTail {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * limits::OUTPUT_READ {
            self.0.drain(..self.0.len() - limits::OUTPUT_READ);
        }
    }

    /// The bytes that the log keeps.
    fn kept(self) -> Bytes {
        let from = self.0.len().saturating_sub(limits::OUTPUT_KEPT);
        Bytes::copy_from_slice(&self.0[from..])
    }

    /// The bytes that are looked at.
    fn text(&self) -> Cow<'_, str> {
        let from = self.0.len().saturating_sub(limits::OUTPUT_READ);
        String::from_utf8_lossy(&self.0[from..])
    }

    /// The last line, for an error.
    fn last_line(&self) -> Option<String> {
        let text = self.text();
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.trim().chars().filter(|c| !c.is_control()).take(200).collect())
    }
}
