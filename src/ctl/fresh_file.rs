//! A file that is written whole, in the place of an older one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file anew, in the place of what has its name: a link there may lead anywhere. Whoever
/// reads it meanwhile reads all of the old one, and a write that fails leaves that.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }

    let written = File::create_new(&fresh).and_then(|mut file| file.write_all(text));
    let replaced = written.and_then(|()| fs::rename(&fresh, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    replaced
}
