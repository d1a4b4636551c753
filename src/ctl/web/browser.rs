//! Opening the caller's browser, where there is one.
//!
//! Arguments of processes can be read by other users of the machine, so the URL with its token is
//! no argument: the browser is given a file that only the caller can read, which leads on to the
//! page. It lies in the folder that the system makes for the caller (`XDG_RUNTIME_DIR`) and is
//! removed when the command ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program that opens what is given with the program that the caller has chosen for it.
const OPENER: &str = "xdg-open";

/// A browser that was asked to open the page.
pub(super) struct OpenedBrowser {
    file: PathBuf,
}

impl OpenedBrowser {
    /// Asks the browser; `None` where there is no screen, or no folder of the caller's own. The
    /// printed URL is there in any case.
    pub(super) fn open(url: &str) -> Option<Self> {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") {
            return None;
        }
        let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
        let found = fs::symlink_metadata(&folder).ok()?;
        let is_own = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !is_own || found.mode() & 0o077 != 0 {
            return None;
        }

        let opened = Self { file: folder.join(format!("hookbox-web-{}.html", std::process::id())) };
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&opened.file).ok()?;
        // The URL consists of digits, letters and `:/?=._-[]`: nothing to escape.
        let text =
            format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={url}\">\n");
        file.write_all(text.as_bytes()).ok()?;

        let mut program = Command::new(OPENER);
        program.arg(&opened.file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().ok()?;
        // It may end with the browser: somebody has to wait for it.
        std::thread::spawn(move || child.wait());
        Some(opened)
    }
}

impl Drop for OpenedBrowser {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
