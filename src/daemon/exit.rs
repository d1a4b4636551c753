//! How the daemon ends: an exit code of sysexits(3) and one line that says what to do.

use std::process::ExitCode;

use crate::log::LogError;

/// Why the daemon did not start, or did not end well.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    pub what: String,
}

impl Exit {
    pub const USAGE: u8 = 64;
    pub const SOFTWARE: u8 = 70;
    pub const CANNOT_CREATE: u8 = 73;
    pub const IO: u8 = 74;
    pub const IN_USE: u8 = 75;
    pub const CONFIG: u8 = 78;

    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }

    /// Says it and gives the code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        eprintln!("hookboxd: {}", self.what);
        ExitCode::from(self.code)
    }
}

impl From<LogError> for Exit {
    fn from(error: LogError) -> Self {
        let code = match error {
            LogError::InUse { .. } => Self::IN_USE,
            // Starting again does not help, so the service manager need not try.
            LogError::Newer { .. } => Self::CONFIG,
            _ => Self::IO,
        };
        Self::new(code, error.to_string())
    }
}
