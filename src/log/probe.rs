//! The probe: a child process that opens a suspect segment first.
//!
//! sled may panic over flipped bits, and where panics abort that would end the daemon, again at
//! each start. So a segment that was open when a process died (its `seg-N.open` is still there) is
//! opened and read to its end by a child. When the child dies of it, the segment is damaged, and
//! the daemon lives.
//!
//! Opening a torn segment changes it: sled overwrites what it cannot read. A child shows what the
//! next opening of the same files does, so it opens a segment again until that leaves their content
//! as it was, and reads it then.
//!
//! Only the child's death counts, and only one that its own work caused: what it can read and finds
//! wrong, the daemon finds as well, and reports with the exact range. A child that cannot be
//! started, or that somebody else ended, proves nothing. Nor is a segment damaged because the
//! operating system refused a call, or memory: sled panics over some of these errors, too. Nor
//! because a child takes long, or because nobody knows how it ended. In these cases the segment is
//! not opened now, and stays as it is.
//!
//! A process that ignores SIGCHLD does not learn how a child ended (wait(2)), and one may inherit
//! that. So a child that lives to its end says as its last word what it found.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::checksums::{self, FileStamps, SegmentChecksums};
use super::error::{LogError, StoreFault};
use super::scan::{ScanOptions, scan};
use super::segment::Segment;
use super::segment_summary::SegmentSummary;
use super::{database, folder};
use crate::model::Seq;

/// How long a child may take, and the bytes a second that it reads at least. Reading 64 MiB takes
/// less than a second; the largest segment that can be configured less than a minute.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
const SLOWEST_DISK: u64 = 256 << 10;
const POLL_MS: u64 = 2;
/// How often a child opens a segment at most. What sled repairs stays repaired: two or three times
/// are enough.
const ROUNDS: usize = 8;
/// By how much the time of a data file is set back, to see whether it is written to.
const SET_BACK: Duration = Duration::from_secs(1);
/// Bytes read of what a child wrote to its standard error.
const STDERR_MAX: u64 = 4096;
/// The last words of a child that has lived to its end.
const COMPLETE: &str = "the segment is complete";
const SURVIVED: &str = "the segment can be opened";
/// SIGKILL, SIGTERM, SIGINT, SIGHUP: somebody else wanted it to end.
const SIGNALS_FROM_OUTSIDE: [i32; 4] = [9, 15, 2, 1];

/// How the child ended.
enum ProbeOutcome {
    /// It found everything that the segment was sealed with.
    Complete,
    /// It survived, and found something wrong; or it proves nothing.
    Survived,
    Died(DyingWords),
    /// Nobody knows how it ended.
    Unknown(String),
}

/// The signal that a child died of, and the beginning of what it wrote to its standard error.
struct DyingWords {
    signal: i32,
    text: String,
}

/// The program that opens suspect segments, and how long it may take.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    pub program: PathBuf,
    pub patience: Duration,
}

impl Prober {
    /// Lets a child open the segment. A snapshot of sled's that it dies of is set aside. Returns
    /// whether everything is there that the segment was sealed with.
    ///
    /// # Errors
    /// When the child dies of it, twice, or nothing is proved.
    pub fn probe(&self, segment: &Path) -> Result<bool, LogError> {
        if let Ok(is_complete) = self.look(segment)? {
            return Ok(is_complete);
        }

        // Without the files that sled can do without, it may be able to open the segment.
        database::set_aside_dispensable(segment)?;
        self.look(segment)?.map_err(|words| {
            let what = format!("a process that reads it dies: {}", words.short());
            LogError::corrupt("open", segment, what)
        })
    }

    /// One child: whether it found the segment complete, or the words with which it died of it.
    ///
    /// # Errors
    /// When it proved nothing.
    fn look(&self, segment: &Path) -> Result<Result<bool, DyingWords>, LogError> {
        match self.run_child(segment) {
            ProbeOutcome::Complete => Ok(Ok(true)),
            ProbeOutcome::Survived => Ok(Ok(false)),
            ProbeOutcome::Died(words) if words.name_the_system() => {
                let why = words.short();
                Err(refused(segment, &format!("dies of an error of the system: {why}")))
            }
            ProbeOutcome::Died(words) => Ok(Err(words)),
            ProbeOutcome::Unknown(why) => Err(refused(segment, &why)),
        }
    }

    fn run_child(&self, segment: &Path) -> ProbeOutcome {
        let mut command = Command::new(&self.program);
        // hookboxctl acts as the daemon when it is called by its name.
        command.arg0("hookboxd");
        command.arg("--probe-segment").arg(segment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return ProbeOutcome::Survived };

        let patience = self.patience + Duration::from_secs(file_bytes(segment) / SLOWEST_DISK);
        let status = match wait(&mut child, patience) {
            Ok(Some(status)) => status,
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = patience.as_secs();
                return ProbeOutcome::Unknown(format!("did not end within {seconds} s"));
            }
            Err(error) => return outcome_by_words(&mut child, &error),
        };

        let by_itself = status.signal().filter(|signal| !SIGNALS_FROM_OUTSIDE.contains(signal));
        let Some(signal) = by_itself else {
            return if status.success() { ProbeOutcome::Complete } else { ProbeOutcome::Survived };
        };
        let text = beginning_of(child.stderr.take());
        ProbeOutcome::Died(DyingWords { signal, text })
    }
}

impl DyingWords {
    /// Whether they name an error of the operating system, or a lack of memory.
    fn name_the_system(&self) -> bool {
        let of_the_system = ["Os { code: ", "(os error "];
        of_the_system.iter().any(|words| self.text.contains(words))
            || self.text.lines().any(|line| {
                line.starts_with("memory allocation of ") && line.contains(" bytes failed")
            })
    }

    fn short(&self) -> String {
        let lines = self.text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first_lines: Vec<&str> = lines.take(2).collect();
        format!("signal {}, {}", self.signal, first_lines.join(" "))
    }
}

fn refused(segment: &Path, why: &str) -> LogError {
    let what = format!("a process that reads it {why}");
    LogError::Store { doing: "open", path: segment.to_path_buf(), fault: StoreFault::Io, what }
}

/// Bytes of a segment's data file.
fn file_bytes(segment: &Path) -> u64 {
    fs::metadata(segment.join("db")).map_or(0, |found| found.len())
}

/// How a child ended of which the system does not say it.
fn outcome_by_words(child: &mut Child, error: &io::Error) -> ProbeOutcome {
    let words = beginning_of(child.stdout.take());
    match words.trim_end() {
        COMPLETE => ProbeOutcome::Complete,
        SURVIVED => ProbeOutcome::Survived,
        _ => ProbeOutcome::Unknown(format!("ended, and the system does not say how: {error}")),
    }
}

fn beginning_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(STDERR_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The child's work: opens the segment until opening it leaves it as it was, and then reads all of
/// it. The process may die of it.
///
/// # Errors
/// When the segment cannot be read, or is not what it was sealed with. The caller only wants to
/// know whether this process survives.
pub fn probe_segment(path: &Path) -> Result<(), LogError> {
    let found = open_and_read(path);
    // Nobody may be listening.
    let _ = writeln!(io::stdout(), "{}", if found.is_ok() { COMPLETE } else { SURVIVED });
    found
}

fn open_and_read(path: &Path) -> Result<(), LogError> {
    let (Some(dir), Some(first)) = (path.parent(), folder::first_of(path)) else {
        return Err(LogError::corrupt("open", path, "it is not the folder of a segment"));
    };

    let mut content = None;
    for _ in 1..ROUNDS {
        let Some((opened, stamps)) = open_if_still(&mut content, dir, first) else { continue };

        // Reading takes far longer than opening, and what counts is how the segment reads as the
        // daemon will find it.
        let found = opened.and_then(|segment| read_all(&segment, path, dir, first));
        if checksums::stamps(dir, first).as_ref() == Some(&stamps) {
            return found;
        }
    }
    Segment::open_unmarked(dir, first).and_then(|segment| read_all(&segment, path, dir, first))
}

/// Opens the segment. Returns it, and the stamps of its files, when opening it has left these as
/// they were. `content` is what they held after the opening before.
fn open_if_still(
    content: &mut Option<SegmentChecksums>,
    dir: &Path,
    first: Seq,
) -> Option<(Result<Segment, LogError>, FileStamps)> {
    let before = stamps_set_back(dir, first);
    let opened = Segment::open_unmarked(dir, first);
    if let Some(stamps) = before
        && checksums::stamps(dir, first).as_ref() == Some(&stamps)
    {
        return Some((opened, stamps));
    }

    // Where the last part of sled's log is not full, sled writes zeros behind its end each time
    // that it opens it. So a file that was written to may hold what it held.
    let found = checksums::of_files(dir, first).ok();
    let is_same = found.is_some() && found == *content;
    *content = found;
    if is_same { Some((opened, stamps_set_back(dir, first)?)) } else { None }
}

/// The stamps of the files, with the time of the data file set back, so that whatever is written to
/// it shows: the clock of a file system takes steps of some milliseconds.
fn stamps_set_back(dir: &Path, first: Seq) -> Option<FileStamps> {
    let db = File::options().write(true).open(folder::segment(dir, first).join("db")).ok()?;
    let time = db.metadata().and_then(|found| found.modified()).ok()?;
    db.set_modified(time.checked_sub(SET_BACK)?).ok()?;
    checksums::stamps(dir, first)
}

/// Reads everything that the store holds, and compares it with the seal.
///
/// A segment without a seal cannot be found complete, whatever its frames are. So these are read
/// from the store then, but neither compared with their chain heads nor decoded, unless something
/// else is wrong: the daemon does that itself.
fn read_all(segment: &Segment, path: &Path, dir: &Path, first: Seq) -> Result<(), LogError> {
    let seal = folder::read_checked::<SegmentSummary>(&folder::seal(dir, first));
    let checkpoint = segment.checkpoint();
    let scan = |deep| {
        let options = ScanOptions { hashes: deep, deep, ..ScanOptions::ALL };
        scan(segment, options, &mut |_, _| {})
    };
    let mut scanned = scan(seal.is_some())?;
    if seal.is_none() && !scanned.is_sound() {
        scanned = scan(true)?;
    }
    checkpoint?;
    if let Some(problem) = scanned.problems.into_iter().next() {
        return Err(LogError::Damaged(problem));
    }

    let Some(seal) = seal else {
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

/// Waits for the child; `None` when it takes too long.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let pause = Duration::from_millis(POLL_MS);
    let mut waited = Duration::ZERO;
    while waited < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::park_timeout(pause);
        waited += pause;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::process::{Command, Stdio};

    use super::{COMPLETE, ProbeOutcome, SURVIVED, open_if_still, outcome_by_words};
    use crate::log::testing::open_log;
    use crate::record::Record;

    #[test]
    fn a_segment_that_was_left_open_is_read_at_its_second_opening() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = open_log(dir.path(), 1).log;
        for event in 1..=9 {
            let _durable = log.commit(&[Record::DuplicateSeen { event, at: 1 }]).expect("commits");
        }
        drop(log);

        let mut content = None;
        let mut is_still = || open_if_still(&mut content, &dir.path().join("log"), 1).is_some();
        assert_eq!([is_still(), is_still()], [false, true], "the first one writes a snapshot");
    }

    #[test]
    fn the_last_words_of_a_child_say_how_it_ended_where_the_system_does_not() {
        let ended = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().expect("a shell");
            let outcome = outcome_by_words(&mut child, &io::Error::from_raw_os_error(10));
            let _ = child.wait();
            outcome
        };
        let say = |words: &str| ended(&format!("echo '{words}'"));
        assert!(matches!(say(COMPLETE), ProbeOutcome::Complete));
        assert!(matches!(say(SURVIVED), ProbeOutcome::Survived));
        assert!(matches!(ended("kill -ABRT $$"), ProbeOutcome::Unknown(_)));
    }
}
