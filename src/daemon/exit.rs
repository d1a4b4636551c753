//! How the daemon ends, when it is the log that ends it.

use crate::log::LogError;
pub use crate::service::exit::Exit;

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
