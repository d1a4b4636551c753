//! Runs commands, so many at a time.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::model::Clock;
use crate::model::share::{Share, ShareHolder};
use crate::model::time::format_duration_ms;
use crate::model::{EndpointId, Header, Now, limits};
use crate::outbound::settings::NoteShare;
use crate::permits::{FairPermit, FairPermits};
use bytes::Bytes;

use super::allow::{self, Admitted, AllowedCommands};
use super::leftovers;
use super::mark::{CommandMark, CommandMarks};
use super::program::Program;
use super::result::{CommandResult, OutputTail};
use super::sandbox::Sandbox;
use super::spawn::Spawner;
use super::supervise;

/// This program, whatever has become of its file.
const OWN: &str = "/proc/self/exe";

/// Runs the commands of all endpoints.
pub struct CommandRunner {
    spawner: Spawner,
    marks: Arc<CommandMarks>,
    /// Each endpoint has its share of them.
    running: Arc<FairPermits<EndpointId>>,
    note_share: NoteShare,
    clock: Clock,
    /// Looked at when it is first asked for: most daemons run no command.
    sandbox: OnceLock<Sandbox>,
}

impl CommandRunner {
    pub fn new(clock: Clock, note_share: NoteShare, marks: CommandMarks) -> Self {
        let marks = Arc::new(marks);
        Self {
            spawner: Spawner::new(marks.clone()),
            marks,
            running: FairPermits::new(limits::COMMANDS, 0, &[]),
            note_share,
            clock,
            sandbox: OnceLock::new(),
        }
    }

    /// The sandbox that commands run in.
    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.get_or_init(Sandbox::of_this_process)
    }

    /// Ends what commands of an earlier daemon have left running.
    pub fn end_those_of_before(&self) {
        let marks = self.marks.clone();
        // Without a thread the first command waits for it.
        let _ = std::thread::Builder::new().spawn(move || marks.end_those_of_before());
    }

    pub fn now(&self) -> Now {
        (self.clock)()
    }

    /// Waits until the endpoint may run another command.
    async fn permit(&self, endpoint: EndpointId) -> FairPermit<EndpointId> {
        if let Some(permit) = self.running.take(endpoint) {
            return permit;
        }
        (self.note_share)(Share::Commands, ShareHolder::Endpoint(endpoint));
        self.running.wait(endpoint).await
    }

    /// Runs a command of an endpoint once.
    pub async fn run(
        &self,
        endpoint: EndpointId,
        program: &Program,
        allowed: &AllowedCommands,
        environment: &[Header],
        body: Bytes,
        timeout_ms: u64,
    ) -> CommandResult {
        let admitted = match allowed.admit(&program.path) {
            Ok(admitted) => admitted,
            Err(why) => return CommandResult::not_started(why.to_string()),
        };
        let _permit = self.permit(endpoint).await;

        let mark = self.marks.next();
        let prepared = prepare(program, &admitted, (environment, &mark), timeout_ms);
        let (reader, command) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let why = format!("no pipe for the command's output: {error}");
                return CommandResult::not_started(why);
            }
        };
        let not_started = |why: &str| {
            CommandResult::not_started(format!(
                "{} cannot be started: {why}",
                program.path.display()
            ))
        };
        let mut running = match self.spawner.spawn(command, mark).await {
            Ok(running) => running,
            Err(error) => return not_started(&error.to_string()),
        };

        let mut output = OutputTail::default();
        let timeout = Duration::from_millis(timeout_ms);
        let attended =
            tokio::time::timeout(timeout, running.attend(reader, body, &mut output)).await;
        match attended {
            Ok(Ok(())) => match running.end().await {
                Ok(Ok(end)) => CommandResult::of(end, output, self.sandbox()),
                Ok(Err(why)) => not_started(&why),
                Err(error) => {
                    let why = format!("how the command ended is not known: {error}");
                    CommandResult::broken(why, output)
                }
            },
            Ok(Err(error)) => {
                running.stop().await;
                CommandResult::broken(format!("the command cannot be supervised: {error}"), output)
            }
            Err(_) => {
                running.stop().await;
                let after = format_duration_ms(timeout_ms);
                let why = format!("the command did not end within {after}: it was killed");
                CommandResult::broken(why, output)
            }
        }
    }
}

/// Everything that is set before the start: the supervisor, its arguments, environment, user and
/// pipes.
fn prepare(
    program: &Program,
    admitted: &Admitted,
    (environment, mark): (&[Header], &CommandMark),
    timeout_ms: u64,
) -> io::Result<(OwnedFd, Command)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(OWN);
    command.arg0("hookboxd");
    #[cfg(test)]
    command.args([supervise::tests::TEST, "--exact", "--nocapture", "--"]);
    command.args(supervise::arguments(admitted, &program.args, timeout_ms.div_ceil(1000) + 1));

    command.env_clear().env("PATH", allow::search_path()).env("LANG", "C.UTF-8");
    command.env(leftovers::VARIABLE, mark.as_str());
    for variable in environment {
        command.env(&variable.name, std::ffi::OsStr::from_bytes(&variable.value));
    }
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(writer);

    if let Some(account) = &program.account {
        command.env("USER", &account.name).env("LOGNAME", &account.name).env("HOME", &account.home);
        if rustix::process::geteuid().as_raw() != account.uid {
            // The groups of the daemon go with its user.
            command.gid(account.gid).uid(account.uid);
        }
    }
    Ok((reader.into(), command))
}
