//! Whether the last run ended by itself. A file in the data folder says that a daemon runs; one
//! that is killed, or loses its power, leaves it behind, and the next start says so.

use std::fs;
use std::path::{Path, PathBuf};

/// The file, below the data folder.
const NAME: &str = "running";

/// The mark of this run.
pub struct RunMark(PathBuf);

impl RunMark {
    /// Says so when the last run did not end by itself, and marks this one. Called once the data
    /// folder is ours alone, and it is known whether the log is whole.
    pub fn set(data: &Path, is_whole: bool) -> Self {
        let path = data.join(NAME);
        if fs::symlink_metadata(&path).is_ok() {
            let log = match is_whole {
                true => "nothing that was acknowledged is lost",
                false => "the log is damaged, see the lines before this one",
            };
            tracing::warn!(
                "the last run was not stopped cleanly: it was killed, or the power failed; {log}; \
                 attempts that were in flight are made again"
            );
        }
        // Without the file nothing else is lost than this line at the next start.
        if let Err(error) = fs::write(&path, std::process::id().to_string()) {
            tracing::debug!(%error, "the mark of this run was not written");
        }
        Self(path)
    }

    /// This run ends by itself.
    pub fn clear(self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, "the mark of this run was not removed");
        }
    }
}
