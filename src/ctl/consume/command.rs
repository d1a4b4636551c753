//! The command of a consumer: it gets the signals that end the consumer, and does not outlive it.

use std::io::{self, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::ctl::error::CtlError;
use crate::service::signals::{hangup_is_ignored, received};

/// What the signals TERM, INT and HUP do: a consumer that only waits for events ends at once; one
/// whose command runs passes them on, reports what became of the command, and ends then.
#[derive(Clone)]
pub struct ConsumerSignals(Arc<Mutex<ConsumerStop>>);

#[derive(Default)]
struct ConsumerStop {
    /// Events are leased and not settled yet.
    is_busy: bool,
    command: Option<Pid>,
    by: Option<Signal>,
}

/// Events are leased and not settled yet, until it is dropped.
pub struct Busy<'a>(&'a ConsumerSignals);

impl ConsumerSignals {
    /// Catches them from now on, and wakes this thread when one has come.
    pub fn catch() -> Result<Self, CtlError> {
        let failed = |error| CtlError::Io { what: "cannot wait for signals".into(), error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let catch = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(failed)
        };
        let mut terminate = catch(SignalKind::terminate())?;
        let mut interrupt = catch(SignalKind::interrupt())?;
        let mut hangup = (!hangup_is_ignored()).then(|| catch(SignalKind::hangup())).transpose()?;

        let signals = Self(Arc::default());
        let (caught, consumer) = (signals.clone(), std::thread::current());
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let waiting = thread.spawn(move || {
            runtime.block_on(async {
                loop {
                    let by = tokio::select! {
                        _ = terminate.recv() => Signal::TERM,
                        _ = interrupt.recv() => Signal::INT,
                        () = received(hangup.as_mut()) => Signal::HUP,
                    };
                    caught.stop(by, &consumer);
                }
            });
        });
        waiting.map_err(failed)?;
        Ok(signals)
    }

    fn stop(&self, by: Signal, consumer: &Thread) {
        let mut stop = self.lock();
        stop.by = Some(by);
        if !stop.is_busy {
            std::process::exit(exit_code(by));
        }
        if let Some(command) = stop.command {
            let _ = kill_process(command, by);
        }
        drop(stop);
        consumer.unpark();
    }

    /// From now on the consumer ends only when its events are settled.
    pub fn busy(&self) -> Busy<'_> {
        self.lock().is_busy = true;
        Busy(self)
    }

    /// The exit code of a consumer that is to end.
    pub fn end_code(&self) -> Option<i32> {
        self.lock().by.map(exit_code)
    }

    fn lock(&self) -> MutexGuard<'_, ConsumerStop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().is_busy = false;
    }
}

/// To be stopped is how a service ends; whoever interrupts a script wants all of it to end.
fn exit_code(by: Signal) -> i32 {
    if by == Signal::TERM { 0 } else { 128 + by.as_raw() }
}

/// A command that runs. Dropped before it has ended, it is killed.
pub struct ConsumerCommand<'a> {
    child: Child,
    signals: &'a ConsumerSignals,
}

impl<'a> ConsumerCommand<'a> {
    /// Starts it, and feeds it its input.
    pub fn start(
        command: &mut Command,
        input: Vec<u8>,
        signals: &'a ConsumerSignals,
    ) -> io::Result<Self> {
        // Under the lock, so that a signal finds it, or the consumer the signal.
        let mut stop = signals.lock();
        let mut child = command.spawn()?;
        stop.command = Pid::from_child(&child).into();
        drop(stop);

        if let Some(mut stdin) = child.stdin.take() {
            // A thread of its own, for a command may write before it has read all. Whether it reads
            // its input is its own affair.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        Ok(Self { child, signals })
    }

    /// How it ended, when it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        // Once it has been waited for, its number may be another process's.
        let mut stop = self.signals.lock();
        let ended = self.child.try_wait()?;
        if ended.is_some() {
            stop.command = None;
        }
        Ok(ended)
    }
}

impl Drop for ConsumerCommand<'_> {
    fn drop(&mut self) {
        let mut stop = self.signals.lock();
        if stop.command.take().is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use super::{ConsumerCommand, ConsumerSignals};

    #[test]
    fn a_command_that_is_let_go_is_killed_and_waited_for() {
        let signals = ConsumerSignals(Arc::default());
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::piped());
        let running = ConsumerCommand::start(&mut command, b"x".to_vec(), &signals);
        let running = running.expect("sleep runs");
        let process = PathBuf::from(format!("/proc/{}", running.child.id()));
        assert!(process.exists());
        drop(running);
        assert!(!process.exists(), "not even a zombie");
        assert!(signals.lock().command.is_none());
    }
}
