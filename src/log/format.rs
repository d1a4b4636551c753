//! The folder's format: a small file, `format`, that is read before anything else, so that a folder
//! of a later version is refused before a byte of it is changed.
//!
//! A change that an older version would misread (files, keys, frames, records beyond new kinds and
//! new fields at the end) raises [`FORMAT`]. `hookbox` is the newest version that has written here:
//! a record that cannot be read in a folder of a later version belongs to that version, and is
//! refused; in any other folder it is damage.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::LogError;
use super::folder;

/// The format of the folder that this version writes: with it, segments have format 4.
pub const FORMAT: u32 = 4;
const THIS_VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderFormat {
    format: u32,
    hookbox: String,
}

impl FolderFormat {
    /// The format that the folder states, or that of this version when it states none.
    pub fn read(dir: &Path) -> Result<Self, LogError> {
        let own = Self { format: FORMAT, hookbox: THIS_VERSION.to_owned() };
        let found: Self = folder::read_checked(&path(dir)).unwrap_or(own);

        if found.format > FORMAT {
            let what = format!("it has format {}, this version reads up to {FORMAT}", found.format);
            return Err(found.refuse(dir, what));
        }
        Ok(found)
    }

    /// Records that this version writes here.
    pub fn write(&self, dir: &Path) -> Result<(), LogError> {
        let newest = if self.is_newer() { self.hookbox.clone() } else { THIS_VERSION.to_owned() };
        let own = Self { format: FORMAT, hookbox: newest };
        if folder::read_checked::<Self>(&path(dir)).as_ref() == Some(&own) {
            return Ok(());
        }
        folder::write_checked(&path(dir), &own)
    }

    /// Whether a later version has written here.
    pub fn is_newer(&self) -> bool {
        parts(&self.hookbox) > parts(THIS_VERSION)
    }

    pub fn written_by(&self) -> &str {
        &self.hookbox
    }

    pub fn refuse(&self, dir: &Path, what: String) -> LogError {
        LogError::Newer { path: dir.to_path_buf(), written_by: self.hookbox.clone(), what }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("format")
}

/// Major, minor, patch.
fn parts(version: &str) -> [u64; 3] {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn versions_compare_by_number() {
        assert!(parts("0.10.0") > parts("0.9.9"));
        assert!(parts("1.0.0") > parts("0.10.0"));
        assert_eq!(parts("0.1.0-rc.1"), parts("0.1.0"));
    }
}
