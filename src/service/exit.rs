//! How a program ends: an exit code of sysexits(3) and one line that says what to do.

use std::io;
use std::process::ExitCode;

use super::stdio;

/// Why a program did not start, or did not end well.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    pub what: String,
}

impl Exit {
    pub const USAGE: u8 = 64;
    pub const UNAVAILABLE: u8 = 69;
    pub const SOFTWARE: u8 = 70;
    pub const CANNOT_CREATE: u8 = 73;
    pub const IO: u8 = 74;
    pub const IN_USE: u8 = 75;
    pub const CONFIG: u8 = 78;

    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }

    /// The output could not be written.
    pub fn output(error: io::Error) -> Self {
        Self::new(Self::IO, format!("cannot write the output: {error}"))
    }

    /// Says it in the name of the program, and gives the code.
    #[must_use]
    pub fn report(&self, program: &str) -> ExitCode {
        stdio::note(format_args!("{program}: {}", self.what));
        ExitCode::from(self.code)
    }
}
