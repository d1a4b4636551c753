//! Which version a program is.

use serde::{Deserialize, Serialize};

/// What a program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VersionView {
    pub version: String,
    /// The commit that it was built from, or unknown.
    pub commit: String,
    /// The newest format of logs that it reads and writes.
    pub log_format: Option<u32>,
}
