//! How the daemon ends: an exit code of sysexits(3) and one line that says what to do.

use std::io;
use std::process::ExitCode;

use crate::config::{Listen, parse_listen};
use crate::ingest::ListenError;
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

    /// A listener that could not be made.
    pub fn cannot_listen(error: &ListenError) -> Self {
        let cure = match error {
            ListenError::Bind { address, error } if is_privileged(address, error) => {
                ": ports below 1024 need root, or hookboxd.socket"
            }
            _ => "",
        };
        Self::new(Self::CANNOT_CREATE, format!("{error}{cure}"))
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

/// Whether only its port keeps this user from listening.
fn is_privileged(address: &str, error: &io::Error) -> bool {
    let port = match parse_listen(address) {
        Ok(Listen::Tcp { address, .. }) => address.port(),
        Ok(Listen::Unix(_)) | Err(_) => return false,
    };
    error.kind() == io::ErrorKind::PermissionDenied && (1..1024).contains(&port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_for_everybody_is_explained() {
        let what = |address: &str, kind: io::ErrorKind| {
            let error = ListenError::Bind { address: address.to_owned(), error: kind.into() };
            let exit = Exit::cannot_listen(&error);
            assert_eq!(exit.code, Exit::CANNOT_CREATE);
            exit.what.contains("ports below 1024 need root, or hookboxd.socket")
        };
        let denied = io::ErrorKind::PermissionDenied;
        assert!(what("127.0.0.1:80", denied) && what("tls://127.0.0.1:443", denied));
        assert!(!what("127.0.0.1:8420", denied) && !what("unix:/run/in.sock", denied));
        assert!(!what("127.0.0.1:80", io::ErrorKind::AddrInUse));
    }
}
