//! Reading the log for the queue, again and again where the moment is to blame.
//!
//! What is passed over here is never delivered. So only what is damaged is: an error of the moment
//! (no descriptors, no memory, a disk that fails once) is tried again until it is gone, or until
//! the disk has failed often enough to read a segment; that segment alone is given up
//! then, until the next start.

use std::sync::Arc;
use std::time::Duration;

use super::read_log::{ReadLog, Walk, event_of};
use crate::log::{LogError, Reader};
use crate::model::{Event, Seq};
use crate::record::{Record, Sieve};

/// The pause after an error of the moment, and how often it may come back before a segment is given
/// up.
const PAUSE: Duration = Duration::from_millis(200);
const TRIES: u32 = 50;

/// The log, read patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatientReader<'a>(pub &'a Reader);

impl ReadLog for PatientReader<'_> {
    fn first(&self) -> Seq {
        self.0.first()
    }

    fn last(&self) -> Seq {
        self.0.durable()
    }

    fn event(&self, seq: Seq) -> Option<Arc<Event>> {
        patiently(self.0, || match self.0.read(seq) {
            Ok(record) => Ok(record.as_ref().and_then(event_of)),
            Err(error) if error.is_lasting() => {
                tracing::error!(seq, %error, "cannot read an event from the log");
                Ok(None)
            }
            Err(error) => Err(error),
        })
    }

    fn forward<T>(&self, from: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        patiently(self.0, || readable(self.0.forward_sifted(from, sieve.clone()), &take))
    }

    fn backward<T>(&self, before: Seq, sieve: &Sieve, take: impl Fn(Walk<'_>) -> T) -> T {
        patiently(self.0, || readable(self.0.backward_sifted(before, sieve.clone()), &take))
    }
}

/// Reads, and reads again as long as the moment is to blame.
fn patiently<T>(reader: &Reader, mut read: impl FnMut() -> Result<T, LogError>) -> T {
    let mut tries = 0u32;
    loop {
        let error = match read() {
            Ok(done) => return done,
            Err(error) => error,
        };
        if tries.is_multiple_of(TRIES / 5) {
            tracing::error!(%error, "cannot read the log at the moment; trying again");
        }
        tries += 1;
        if tries.is_multiple_of(TRIES) && reader.give_up(&error) {
            tracing::error!(%error, "continuing without a segment that the disk cannot read");
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Takes what it wants of a walk over the log. What is damaged is skipped with an error in the log;
/// any other error ends it, and what was taken is not to be used.
fn readable<T>(
    walk: impl Iterator<Item = Result<(Seq, Option<Record>), LogError>>,
    take: impl FnOnce(Walk<'_>) -> T,
) -> Result<T, LogError> {
    let mut failed = None;
    let mut records = walk.filter_map(|item| match item {
        Ok(item) => Some(item),
        Err(error) => {
            if error.is_lasting() {
                tracing::error!(%error, "skipping what cannot be read of the log");
            } else {
                failed = Some(error);
            }
            None
        }
    });
    let taken = take(&mut records);
    drop(records);
    failed.map_or(Ok(taken), Err)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::super::stream_reads::{StreamPart, refill, stream_sieve};
    use super::super::testing::accepted;
    use super::{patiently, readable};
    use crate::log::testing::open_log;
    use crate::log::{Log, LogError, Reader, Recovered};
    use crate::model::Seq;

    /// Three segments of two events each; only the last one is open.
    fn log(dir: &Path) -> (Log, Reader) {
        let Recovered { mut log, reader, .. } = open_log(dir, 1);
        for first in [1, 3, 5] {
            if first > 1 {
                log.roll(b"checkpoint", 1).expect("rolls");
            }
            let _durable = log
                .commit(&[accepted(first, vec![1]), accepted(first + 1, vec![1])])
                .expect("commits");
        }
        reader.close_idle();
        (log, reader)
    }

    fn positions(reader: &Reader) -> Result<(Vec<Seq>, Seq), LogError> {
        let wanted = [(1, StreamPart { endpoint: 1, max_entries: 100, max_bytes: 1 << 20 })];
        let walk = reader.forward_sifted(1, stream_sieve(vec![1]));
        let (entries, next) =
            readable(walk, |all| refill(all, reader.durable(), &wanted))?.remove(0);
        Ok((entries.iter().map(|entry| entry.position).collect(), next))
    }

    #[test]
    fn an_error_of_the_moment_skips_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_log, reader) = log(dir.path());
        // A loop of links: an error that is not the files' fault, and gone once the file is back.
        let db = dir.path().join("log/seg-00000000000000000003/db");
        let away = db.with_extension("away");
        fs::rename(&db, &away).expect("renames");
        symlink("db", &db).expect("links");
        let error = positions(&reader).expect_err("a segment cannot be opened");
        assert!(!error.is_damage(), "{error}");
        let mut tries = 0;
        let read = patiently(&reader, || {
            tries += 1;
            if tries == 3 {
                fs::rename(&away, &db).expect("renames");
            }
            positions(&reader)
        });
        assert_eq!(read, (vec![1, 2, 3, 4, 5, 6], 7));
        assert_eq!(tries, 3);
    }

    #[test]
    fn a_segment_that_the_disk_does_not_give_back_is_given_up_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_log, reader) = log(dir.path());
        let path = dir.path().join("log/seg-00000000000000000003/db");
        let failed = |code| LogError::Io {
            doing: "read",
            path: path.clone(),
            source: std::io::Error::from_raw_os_error(code),
        };
        // EMFILE passes; EIO says that the disk cannot.
        assert!(!reader.give_up(&failed(24)));
        assert!(reader.give_up(&failed(5)));
        assert_eq!(positions(&reader).expect("goes on"), (vec![1, 2, 5, 6], 7));
        let report = reader.verify(&mut |_| {});
        assert!(!report.ok);
        assert_eq!((report.problems[0].first, report.problems[0].last), (3, 4));
    }
}
