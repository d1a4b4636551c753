//! The values themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::WallMs;

/// Stands in the place of a secret.
pub const REDACTED: &str = "…";

/// A secret as its owner writes it (`whsec_…` kept whole). Serialized in full only into the log
/// (mode 0600).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Secret {
    /// Whether it only says where a secret is found: in the daemon's environment, among its
    /// credentials, in a file.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        ["env:", "cred:", "file:"].iter().any(|origin| self.0.starts_with(origin))
    }
}

/// A secret as it is meant: without the byte order mark that an editor put in front, and without
/// blanks and line ends around it.
#[must_use]
pub fn trimmed_secret(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One of several secrets in use at a time, while they are rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedSecret {
    pub secret: Secret,
    /// Not used any more after this time; `None` for the current one.
    pub expires_at: Option<WallMs>,
}

impl TimedSecret {
    /// The current secret.
    #[must_use]
    pub fn current(text: impl Into<String>) -> Self {
        Self { secret: Secret(text.into()), expires_at: None }
    }

    /// Whether it may still be used at `wall_ms`.
    #[must_use]
    pub fn is_live(&self, wall_ms: WallMs) -> bool {
        self.expires_at.is_none_or(|end| wall_ms < end)
    }
}
