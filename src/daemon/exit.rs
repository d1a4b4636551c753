//! How the daemon ends, when it is the log or a listener that ends it.

use std::io;

use crate::config::{Listen, parse_listen};
use crate::ingest::ListenError;
use crate::log::LogError;
pub use crate::service::exit::Exit;

impl Exit {
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
