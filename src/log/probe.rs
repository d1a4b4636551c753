//! The probe: a child process that opens a suspicious segment first. sled may panic over flipped bits, and where
//! panics abort that would end the daemon, again at each start. So a segment that was open when a process died (its
//! `seg-N.open` is still there) is opened and read to its end by a child; when the child dies of it, the segment is
//! damaged, and the daemon lives.
//!
//! Opening a torn segment changes it: sled makes free room of what it cannot read. A child shows what the next opening of
//! the same files does, so it opens a segment again until that changes nothing, and reads it then.
//!
//! Only the child's death counts, and only one of its own doing: what it can read and find wrong, the daemon finds as
//! well, and tells with the exact range. A child that cannot be started, or that somebody else ended, says nothing. Nor
//! is a segment damaged because the operating system refused a call: sled panics over some of these errors too, and
//! then the segment is not opened now, and stays what it is.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::segment::{self, Segment};
use super::shelf::Facts;
use super::sums::{self, Glance};
use super::walk::{Walk, walk};
use super::{Fault, LogError, folder};
use crate::model::Seq;

/// Reading 64 MiB takes less than a second; the largest segment that can be configured less than a minute.
const PATIENCE_MS: u64 = 180_000;
const NAP_MS: u64 = 2;
/// How often a child opens a segment at most. What sled repairs stays repaired: two or three times are enough.
const ROUNDS: usize = 8;
/// By how much the time of a data file is set back, to see whether it is written to.
const SET_BACK: Duration = Duration::from_secs(1);
/// What is read of the last words of a child.
const LAST_WORDS: u64 = 4096;
/// SIGKILL, SIGTERM, SIGINT, SIGHUP: somebody else wanted it to end.
const FROM_OUTSIDE: [i32; 4] = [9, 15, 2, 1];

/// How the child ended.
enum Ended {
    /// It found everything that the segment was sealed with.
    Whole,
    /// It lived, and has found something wrong; or it says nothing.
    Lived,
    Died(String),
}

/// Has the segment opened by a child. A snapshot of sled's that it dies of is put aside. Returns whether everything is
/// there that the segment was sealed with.
pub(super) fn probe(program: &Path, segment: &Path) -> Result<bool, LogError> {
    let why = match ask(program, segment) {
        Ended::Died(why) => why,
        lived => return Ok(matches!(lived, Ended::Whole)),
    };
    if is_of_the_system(&why) {
        return Err(refused(segment, &why));
    }
    segment::put_aside_what_can_be_spared(segment)?;
    match ask(program, segment) {
        Ended::Died(why) if is_of_the_system(&why) => Err(refused(segment, &why)),
        Ended::Died(why) => Err(LogError::corrupt("open", segment, format!("a process that reads it dies: {why}"))),
        lived => Ok(matches!(lived, Ended::Whole)),
    }
}

/// Whether the last words name an error of the operating system.
fn is_of_the_system(words: &str) -> bool {
    words.contains("Os { code: ") || words.contains("(os error ")
}

fn refused(segment: &Path, why: &str) -> LogError {
    let what = format!("a process that reads it dies of an error of the system: {why}");
    LogError::Store { doing: "open", path: segment.to_path_buf(), fault: Fault::Io, what }
}

/// What the child does: opens the segment until opening it leaves it as it was, and then reads all of it. An error, too,
/// when it is not what it was sealed with.
pub(super) fn read_all(path: &Path) -> Result<(), LogError> {
    let (Some(dir), Some(first)) = (path.parent(), folder::first_of(path)) else {
        return Err(LogError::corrupt("open", path, "it is not the folder of a segment"));
    };
    for _ in 1..ROUNDS {
        let before = marked(dir, first);
        let opened = Segment::open_unmarked(dir, first);
        // Reading is the longer part by far, and what counts is how it reads as the daemon will find it.
        if before.is_none() || sums::glance(dir, first) != before {
            continue;
        }
        let found = opened.and_then(|segment| read(&segment, path, dir, first));
        if sums::glance(dir, first) == before {
            return found;
        }
    }
    Segment::open_unmarked(dir, first).and_then(|segment| read(&segment, path, dir, first))
}

/// How the files look, with the time of the data file set back, so that whatever is written to it shows: the clock of a
/// file system takes steps of some milliseconds.
fn marked(dir: &Path, first: Seq) -> Option<Glance> {
    let db = File::options().write(true).open(folder::segment(dir, first).join("db")).ok()?;
    let time = db.metadata().and_then(|found| found.modified()).ok()?;
    db.set_modified(time.checked_sub(SET_BACK)?).ok()?;
    sums::glance(dir, first)
}

fn read(segment: &Segment, path: &Path, dir: &Path, first: Seq) -> Result<(), LogError> {
    let checkpoint = segment.checkpoint();
    let walked = walk(segment, Walk { deep: true, ..Walk::ALL }, &mut |_, _| {})?;
    checkpoint?;
    if let Some(problem) = walked.problems.into_iter().next() {
        return Err(LogError::Damaged(problem));
    }
    let Some(sealed) = folder::read_checked::<Facts>(&folder::seal(dir, first)) else {
        return Err(LogError::corrupt("read", path, "it has no seal: whether it is complete cannot be told"));
    };
    let found = (segment.header.prev, walked.last, walked.records, walked.head);
    if found == (sealed.prev, sealed.last, sealed.records, sealed.head) {
        Ok(())
    } else {
        Err(LogError::corrupt("read", path, "it does not hold what it was sealed with"))
    }
}

fn ask(program: &Path, segment: &Path) -> Ended {
    let mut command = Command::new(program);
    // The ctl is the daemon when it is called by its name.
    command.arg0("hookboxd");
    command.arg("--probe-segment").arg(segment);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return Ended::Lived };
    let status = wait(&mut child);
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Ended::Died(format!("it was not done after {} s", PATIENCE_MS / 1000));
    };
    let Some(signal) = status.signal().filter(|signal| !FROM_OUTSIDE.contains(signal)) else {
        return if status.success() { Ended::Whole } else { Ended::Lived };
    };
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(LAST_WORDS).read_to_end(&mut words);
    }
    let words = String::from_utf8_lossy(&words);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    Ended::Died(format!("signal {signal}, {}", words.join(" ")))
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..PATIENCE_MS / NAP_MS {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::park_timeout(Duration::from_millis(NAP_MS)),
            Err(_) => return None,
        }
    }
    None
}
