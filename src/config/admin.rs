//! `[admin]`: who may open the admin socket.

use serde::{Deserialize, Serialize};

/// The bits that a socket's mode may have: whoever else could open it would operate the daemon.
const MOST: u32 = 0o660;
/// Those that it needs.
const LEAST: u32 = 0o600;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// A name or a number; the daemon's own group when `None`.
    pub group: Option<String>,
    pub mode: SocketMode,
}

/// The mode of a socket, written like `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SocketMode(pub u32);

impl Default for SocketMode {
    fn default() -> Self {
        Self(MOST)
    }
}

impl From<SocketMode> for String {
    fn from(mode: SocketMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

impl TryFrom<String> for SocketMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if is_octal && mode & !MOST == 0 && mode & LEAST == LEAST => Ok(Self(mode)),
            _ => Err(format!(
                "'{text}' is not a mode for the socket: write it as \"0660\" (the group may \
                 operate) or \"0600\" (only root and the daemon's user)"
            )),
        }
    }
}
