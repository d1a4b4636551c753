//! The file of the history: read at the start, replaced now and then.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::book::History;
use crate::model::limits;

/// The file, and what it is written as before it replaces the one that is there.
const FILE: &str = "history";
const NEW: &str = "history.new";
/// Where a file is put that cannot be read.
const ASIDE: &str = "history.unreadable";

/// The file of one daemon.
#[derive(Clone, Debug)]
pub struct HistoryFile(PathBuf);

impl HistoryFile {
    pub fn in_folder(data: &Path) -> Self {
        Self(data.to_owned())
    }

    /// The history that was written last, or an empty one.
    pub fn read(&self) -> History {
        match self.load() {
            Ok(None) => History::default(),
            Ok(Some(history)) => history,
            Err(why) => {
                self.put_aside(&why);
                History::default()
            }
        }
    }

    fn load(&self) -> Result<Option<History>, String> {
        let mut file = match open(&self.0.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };

        let mut bytes = Vec::new();
        let most = limits::HISTORY_BYTES as u64;
        (&mut file).take(most + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > most {
            return Err("it is too large".to_owned());
        }
        History::read(&bytes).map(Some).map_err(str::to_owned)
    }

    fn put_aside(&self, why: &str) {
        let (file, aside) = (self.0.join(FILE), self.0.join(ASIDE));
        let moved = fs::rename(&file, &aside);
        let to = match &moved {
            Ok(()) => aside.display().to_string(),
            Err(error) => format!("nowhere ({error})"),
        };
        tracing::warn!(
            file = %file.display(), to,
            "the history cannot be read, and starts empty: {why}"
        );
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The system's. The file that was there stays.
    pub fn replace(&self, contents: &[u8]) -> io::Result<()> {
        let new = self.0.join(NEW);
        let written = write(&new, contents).and_then(|()| fs::rename(&new, self.0.join(FILE)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

/// Opens a file, and waits for nobody: a pipe of that name has no reader or writer.
fn open(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_data()
}
