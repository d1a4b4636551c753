//! The probe: a child process that opens a suspect segment first.
//!
//! sled may panic over flipped bits, and where panics abort that would end the daemon, again at
//! each start. So a segment that was open when a process died (its `seg-N.open` is still there) is
//! opened and read to its end by a child. When the child dies of it, the segment is damaged, and
//! the daemon lives.
//!
//! Opening a torn segment changes it: sled overwrites what it cannot read. A child shows what the
//! next opening of the same files does, so it opens a segment again until that changes nothing, and
//! reads it then.
//!
//! Only the child's death counts, and only one that its own work caused: what it can read and finds
//! wrong, the daemon finds as well, and reports with the exact range. A child that cannot be
//! started, or that somebody else ended, proves nothing. Nor is a segment damaged because the
//! operating system refused a call: sled panics over some of these errors, too, and then the
//! segment is not opened now and stays as it is.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::checksums::{self, FileStamps};
use super::error::{LogError, StoreFault};
use super::scan::{ScanOptions, scan};
use super::segment::Segment;
use super::segment_summary::SegmentSummary;
use super::{database, folder};
use crate::model::Seq;

/// Reading 64 MiB takes less than a second; the largest segment that can be configured less than a
/// minute.
const TIMEOUT_MS: u64 = 180_000;
const POLL_MS: u64 = 2;
/// How often a child opens a segment at most. What sled repairs stays repaired: two or three times
/// are enough.
const ROUNDS: usize = 8;
/// By how much the time of a data file is set back, to see whether it is written to.
const SET_BACK: Duration = Duration::from_secs(1);
/// Bytes read of what a child wrote to its standard error.
const STDERR_MAX: u64 = 4096;
/// SIGKILL, SIGTERM, SIGINT, SIGHUP: somebody else wanted it to end.
const SIGNALS_FROM_OUTSIDE: [i32; 4] = [9, 15, 2, 1];

/// How the child ended.
enum ProbeOutcome {
    /// It found everything that the segment was sealed with.
    Complete,
    /// It survived, and found something wrong; or it proves nothing.
    Survived,
    Died(String),
}

/// Lets a child open the segment. A snapshot of sled's that it dies of is set aside. Returns
/// whether everything is there that the segment was sealed with.
pub(super) fn probe(program: &Path, segment: &Path) -> Result<bool, LogError> {
    let why = match run_child(program, segment) {
        ProbeOutcome::Died(why) => why,
        survived => return Ok(matches!(survived, ProbeOutcome::Complete)),
    };
    if is_system_error(&why) {
        return Err(refused(segment, &why));
    }

    // Without the files that sled can do without, it may be able to open the segment.
    database::set_aside_dispensable(segment)?;
    match run_child(program, segment) {
        ProbeOutcome::Died(why) if is_system_error(&why) => Err(refused(segment, &why)),
        ProbeOutcome::Died(why) => {
            Err(LogError::corrupt("open", segment, format!("a process that reads it dies: {why}")))
        }
        survived => Ok(matches!(survived, ProbeOutcome::Complete)),
    }
}

/// Whether a panic message names an error of the operating system.
fn is_system_error(message: &str) -> bool {
    message.contains("Os { code: ") || message.contains("(os error ")
}

fn refused(segment: &Path, why: &str) -> LogError {
    let what = format!("a process that reads it dies of an error of the system: {why}");
    LogError::Store { doing: "open", path: segment.to_path_buf(), fault: StoreFault::Io, what }
}

/// The child's work: opens the segment until opening it leaves it as it was, and then reads all of
/// it. The process may die of it.
///
/// # Errors
/// When the segment cannot be read, or is not what it was sealed with. The caller only wants to
/// know whether this process survives.
pub fn probe_segment(path: &Path) -> Result<(), LogError> {
    let (Some(dir), Some(first)) = (path.parent(), folder::first_of(path)) else {
        return Err(LogError::corrupt("open", path, "it is not the folder of a segment"));
    };

    for _ in 1..ROUNDS {
        let before = stamps_set_back(dir, first);
        let opened = Segment::open_unmarked(dir, first);
        // Reading takes far longer than opening, and what counts is how the segment reads as the
        // daemon will find it.
        if before.is_none() || checksums::stamps(dir, first) != before {
            continue;
        }

        let found = opened.and_then(|segment| read_all(&segment, path, dir, first));
        if checksums::stamps(dir, first) == before {
            return found;
        }
    }
    Segment::open_unmarked(dir, first).and_then(|segment| read_all(&segment, path, dir, first))
}

/// The stamps of the files, with the time of the data file set back, so that whatever is written to
/// it shows: the clock of a file system takes steps of some milliseconds.
fn stamps_set_back(dir: &Path, first: Seq) -> Option<FileStamps> {
    let db = File::options().write(true).open(folder::segment(dir, first).join("db")).ok()?;
    let time = db.metadata().and_then(|found| found.modified()).ok()?;
    db.set_modified(time.checked_sub(SET_BACK)?).ok()?;
    checksums::stamps(dir, first)
}

/// Reads everything and compares it with the seal.
fn read_all(segment: &Segment, path: &Path, dir: &Path, first: Seq) -> Result<(), LogError> {
    let checkpoint = segment.checkpoint();
    let scanned = scan(segment, ScanOptions { deep: true, ..ScanOptions::ALL }, &mut |_, _| {})?;
    checkpoint?;
    if let Some(problem) = scanned.problems.into_iter().next() {
        return Err(LogError::Damaged(problem));
    }

    let Some(seal) = folder::read_checked::<SegmentSummary>(&folder::seal(dir, first)) else {
        let what = "it has no seal, so whether it is complete is unknown";
        return Err(LogError::corrupt("read", path, what));
    };
    let found = (segment.header.prev, scanned.last, scanned.records, scanned.head);
    if found == (seal.prev, seal.last, seal.records, seal.head) {
        Ok(())
    } else {
        Err(LogError::corrupt("read", path, "its contents differ from its seal"))
    }
}

fn run_child(program: &Path, segment: &Path) -> ProbeOutcome {
    let mut command = Command::new(program);
    // hookboxctl acts as the daemon when it is called by its name.
    command.arg0("hookboxd");
    command.arg("--probe-segment").arg(segment);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return ProbeOutcome::Survived };

    let Some(status) = wait(&mut child) else {
        let _ = child.kill();
        let _ = child.wait();
        return ProbeOutcome::Died(format!("it did not end within {} s", TIMEOUT_MS / 1000));
    };
    let by_itself = status.signal().filter(|signal| !SIGNALS_FROM_OUTSIDE.contains(signal));
    let Some(signal) = by_itself else {
        return if status.success() { ProbeOutcome::Complete } else { ProbeOutcome::Survived };
    };

    let mut stderr = Vec::new();
    if let Some(pipe) = child.stderr.take() {
        let _ = pipe.take(STDERR_MAX).read_to_end(&mut stderr);
    }
    let text = String::from_utf8_lossy(&stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first_lines: Vec<&str> = lines.take(2).collect();
    ProbeOutcome::Died(format!("signal {signal}, {}", first_lines.join(" ")))
}

/// Waits for the child; `None` when it takes too long or cannot be waited for.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..TIMEOUT_MS / POLL_MS {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::park_timeout(Duration::from_millis(POLL_MS)),
            Err(_) => return None,
        }
    }
    None
}
