//! What tests of several modules need of the log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Log, Options, Recovered};
use crate::model::WallMs;

/// The log of a daemon whose data stands in this folder.
pub(crate) fn log_options(dir: &Path) -> Options {
    Options { dir: dir.join("log"), ..Options::default() }
}

/// Opens it, or begins it.
pub(crate) fn open_log(dir: &Path, wall_ms: WallMs) -> Recovered {
    Log::open(log_options(dir), wall_ms).expect("the log opens")
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// A file of a segment that is read only as slowly as a test wants.
pub(crate) struct SlowFile(PathBuf);

/// Adds one to a closed segment's files, of those whose checksums count.
pub(crate) fn slow_file(segment: &Path) -> SlowFile {
    let path = segment.join("snap.slow");
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).expect("a pipe");
    SlowFile(path)
}

impl SlowFile {
    /// Returns once somebody reads it, who gets to its end when what this returns is dropped. It is
    /// gone then: the store would wait for it as well.
    pub fn await_reader(self) -> File {
        let writing = File::options().write(true).open(&self.0).expect("somebody reads it");
        fs::remove_file(&self.0).expect("removes");
        writing
    }
}
