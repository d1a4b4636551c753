//! The folder in which fetched key material is kept over a restart, so that the issuer may be
//! unreachable then.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A folder with a file for each URL; without one nothing is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyCache(pub Option<PathBuf>);

impl KeyCache {
    /// What was kept of this URL. `kind` is the end of the file's name.
    pub fn read(&self, url: &str, kind: &str) -> Option<Vec<u8>> {
        std::fs::read(self.file(url, kind)?).ok()
    }

    /// Keeps it. The file appears whole, and is not synced: losing it costs one fetch.
    pub fn write(&self, url: &str, kind: &str, bytes: &[u8]) {
        let Some(file) = self.file(url, kind) else { return };
        let fresh = file.with_extension("new");
        let written = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&fresh, bytes))
            .and_then(|()| std::fs::rename(&fresh, &file));
        if let Err(error) = written {
            let file = file.display();
            tracing::warn!(%file, %error, "a fetched key could not be kept for the next start");
        }
    }

    fn file(&self, url: &str, kind: &str) -> Option<PathBuf> {
        let name = HEXLOWER.encode(&Sha256::digest(url.as_bytes()));
        Some(self.0.as_ref()?.join(format!("{name}.{kind}")))
    }
}
