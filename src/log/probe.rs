//! The probe: a child process that opens a suspicious segment first. sled may panic over flipped bits, and where
//! panics abort that would end the daemon, again at each start. So a segment that was open when a process died (its
//! `seg-N.open` is still there) is opened and read to its end by a child; when the child dies of it, the segment is
//! damaged, and the daemon lives.
//!
//! Only the child's death counts, and only one of its own doing: what it can read and find wrong, the daemon finds as
//! well, and tells with the exact range. A child that cannot be started, or that somebody else ended, says nothing. Nor
//! is a segment damaged because the operating system refused a call: sled panics over some of these errors too, and
//! then the segment is not opened now, and stays what it is.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::segment::{self, Segment};
use super::walk::{Walk, walk};
use super::{Fault, LogError, folder};

/// Reading 64 MiB takes less than a second; the largest segment that can be configured less than a minute.
const PATIENCE_MS: u64 = 180_000;
const NAP_MS: u64 = 2;
/// What is read of the last words of a child.
const LAST_WORDS: u64 = 4096;
/// SIGKILL, SIGTERM, SIGINT, SIGHUP: somebody else wanted it to end.
const FROM_OUTSIDE: [i32; 4] = [9, 15, 2, 1];

/// Has the segment opened by a child. A snapshot of sled's that it dies of is put aside.
pub(super) fn probe(program: &Path, segment: &Path) -> Result<(), LogError> {
    let Some(why) = dies(program, segment) else { return Ok(()) };
    if is_of_the_system(&why) {
        return Err(refused(segment, &why));
    }
    segment::put_aside_what_can_be_spared(segment)?;
    match dies(program, segment) {
        None => Ok(()),
        Some(why) if is_of_the_system(&why) => Err(refused(segment, &why)),
        Some(why) => Err(LogError::corrupt("open", segment, format!("a process that reads it dies: {why}"))),
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

/// What the child does: opens the segment and reads all of it.
pub(super) fn read_all(path: &Path) -> Result<(), LogError> {
    let (Some(dir), Some(first)) = (path.parent(), folder::first_of(path)) else {
        return Err(LogError::corrupt("open", path, "it is not the folder of a segment"));
    };
    let segment = Segment::open_unmarked(dir, first)?;
    let _ = segment.checkpoint();
    walk(&segment, Walk { deep: true, ..Walk::ALL }, &mut |_, _| {}).map(|_| ())
}

fn dies(program: &Path, segment: &Path) -> Option<String> {
    let mut command = Command::new(program);
    // The ctl is the daemon when it is called by its name.
    command.arg0("hookboxd");
    command.arg("--probe-segment").arg(segment);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let status = wait(&mut child);
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Some(format!("it was not done after {} s", PATIENCE_MS / 1000));
    };
    let signal = status.signal().filter(|signal| !FROM_OUTSIDE.contains(signal))?;
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(LAST_WORDS).read_to_end(&mut words);
    }
    let words = String::from_utf8_lossy(&words);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    Some(format!("signal {signal}, {}", words.join(" ")))
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
