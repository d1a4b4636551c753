//! Whether events were refused for want of disk space when the last run ended. A level of the disk
//! is left only well above where it was entered, and a start does not change that: what was refused
//! before it is refused after it until there is clearly more space.

use std::fs;
use std::path::{Path, PathBuf};

/// The file, below the data folder.
const NAME: &str = "refusing";

/// The file that is there while events are refused for want of disk space.
pub struct RefusalMark {
    path: PathBuf,
    is_set: bool,
}

impl RefusalMark {
    /// As the last run left it.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        let path = data.join(NAME);
        let is_set = fs::symlink_metadata(&path).is_ok();
        Self { path, is_set }
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set
    }

    /// Sets or clears it. A full disk may have no place even for this: then a start takes the level
    /// from the space alone.
    pub fn follow(&mut self, refusing: bool) {
        if refusing == self.is_set {
            return;
        }
        let done = if refusing { fs::write(&self.path, "") } else { fs::remove_file(&self.path) };
        if let Err(error) = done {
            tracing::debug!(%error, refusing, "the mark of refusal was not changed");
        }
        self.is_set = refusing;
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalMark;

    #[test]
    fn the_next_run_finds_what_the_last_one_left() {
        let data = tempfile::tempdir().expect("a folder");
        let mut mark = RefusalMark::of(data.path());
        assert!(!mark.is_set());

        mark.follow(true);
        assert!(RefusalMark::of(data.path()).is_set());

        mark.follow(false);
        assert!(!RefusalMark::of(data.path()).is_set());
    }
}
