//! The command of an endpoint.

use std::path::{Path, PathBuf};

use crate::model::ExecSettings;

use super::account::{self, Account};

/// A command, its arguments, and the user that it runs as.
#[derive(Debug)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<String>,
    /// `None`: the daemon's own user.
    pub account: Option<Account>,
}

impl Program {
    /// The command at `path`, with the settings of its endpoint.
    ///
    /// # Errors
    /// When there is no such user, or the daemon cannot become it.
    pub fn new(path: &Path, settings: &ExecSettings) -> Result<Self, String> {
        let account = settings.user.as_deref().map(account::find).transpose()?;
        Ok(Self { path: path.to_owned(), args: settings.args.clone(), account })
    }

    /// The command with its arguments, for people.
    pub fn shown(&self) -> String {
        let args = self.args.iter().map(|arg| format!(" {arg:?}"));
        format!("{}{}", self.path.display(), args.collect::<String>())
    }
}
