//! What marks the processes of one run of a command: a variable in their environment, which they
//! inherit. By it they are found when nobody is left who knows them: see [`leftovers`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::leftovers;

/// The value of [`leftovers::VARIABLE`] for one run of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMark(String);

impl CommandMark {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Ends what still runs of this run of the command. Returns whether nothing is left that can
    /// be found.
    pub fn end(&self) -> bool {
        leftovers::end(|found| found == self.0)
    }
}

/// Makes a mark for each run.
#[derive(Debug)]
pub struct CommandMarks {
    /// Of all daemons at this data folder, one after the other.
    folder: String,
    /// Of this one.
    daemon: String,
    next: AtomicU64,
    cleared: OnceLock<bool>,
}

impl CommandMarks {
    /// `folder` names the data folder among all of this machine, `daemon` this daemon among all
    /// that have served it.
    pub fn new(folder: &str, daemon: &str) -> Self {
        Self {
            folder: format!("{folder}."),
            daemon: format!("{folder}.{daemon}."),
            next: AtomicU64::new(1),
            cleared: OnceLock::new(),
        }
    }

    pub fn next(&self) -> CommandMark {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CommandMark(format!("{}{number}", self.daemon))
    }

    /// Ends what commands of an earlier daemon at this folder have left running, once. Whoever
    /// comes meanwhile waits.
    pub fn end_those_of_before(&self) {
        let is_old =
            |found: &str| found.starts_with(&self.folder) && !found.starts_with(&self.daemon);
        // A daemon that a command has started is one of its processes.
        let is_cleared =
            || std::env::var_os(leftovers::VARIABLE).is_some() || leftovers::end(is_old);
        if !self.cleared.get_or_init(is_cleared) {
            tracing::warn!(
                "commands that an earlier hookboxd had started go on, and cannot be ended"
            );
        }
    }
}
