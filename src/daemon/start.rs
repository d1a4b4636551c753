//! The start: the folder, the log, the state folded from it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rand::TryRngCore;

use super::exit::Exit;
use crate::config::Config;
use crate::log::{DiskBudget, FoldAhead, Log, LogError, LogProblem, Options, Reader, Recovered};
use crate::model::Seq;
use crate::queue::{Queue, QueueRequest, State, StateError};
use crate::record::Record;
use crate::scheduler::{AskQueue, Clock, settle_at_start};

/// An opened log, and the queue made from it.
pub struct Opened {
    pub log: Log,
    pub reader: Reader,
    pub queue: Queue,
    pub problems: Vec<LogProblem>,
}

/// Opens the log and folds the state, with a configuration that was checked.
pub fn open(config: &Config, clock: &Clock, skip_sync: bool) -> Result<Opened, Exit> {
    make_folder(&config.data)?;
    let options = Options {
        dir: config.data.join("log"),
        // A file stays far below the limit of the system: beyond it, a write fails, or is a signal.
        segment_bytes: config.log.segment_size.0.min((largest_file() / 4).max(64 << 10)),
        segment_age_ms: config.log.segment_age.0,
        skip_sync,
        probe: std::env::current_exe().ok(),
        budget: DiskBudget {
            quota: config.log.quota.map(|q| q.0),
            reserve: config.log.reserve.map(|r| r.0),
        },
        ..Options::default()
    };

    if skip_sync {
        tracing::warn!(
            "fdatasync is left out: what is acknowledged now does not survive a power cut"
        );
    }
    let mut ahead = StateAhead::default();
    let Recovered { mut log, reader, checkpoint, first_to_fold, mut problems } =
        Log::open_folding(options, clock().wall_ms, &mut ahead)?;
    for problem in &problems {
        tracing::error!(%problem, "the log is damaged; see `hookboxctl log verify`");
    }

    let state = match ahead.complete(&log) {
        Some(state) => state,
        None => fold(&mut log, &reader, checkpoint.as_deref(), first_to_fold)?,
    };
    drop(checkpoint);
    if let Some(problem) = reader.report_missing_before(state.first_seq) {
        tracing::error!(%problem, "the log is damaged; see `hookboxctl log verify`");
        problems.push(problem);
    }
    drop_forgotten(&mut log, &reader, state.first_seq);

    // A log of which all was lost begins anew as well: without a salt, its ids could be guessed.
    let is_new = state.next_seq == 1 || state.salt == 0;
    let mut queue = Queue::new(state, seed()?, clock());
    queue.set_pace(config.outbound.catch_up_rate.map(|paced| paced.0));
    if is_new {
        let begun = queue.begin(clock(), env!("CARGO_PKG_VERSION"));
        let _durable = log.commit(&begun.records)?;
    }

    settle_losses(&mut log, &reader, &mut queue, clock)?;
    Ok(Opened { log, reader, queue, problems })
}

/// The largest file that `ulimit -f` allows.
fn largest_file() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

fn make_folder(data: &Path) -> Result<(), Exit> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error: io::Error| {
        let what =
            format!("cannot create {}: {error}; choose another folder with --data", data.display());
        Exit::new(Exit::CANNOT_CREATE, what)
    })?;
    warn_of_open_folder(data);
    Ok(())
}

/// Whoever can change the folder can exchange the log in it, and the socket.
fn warn_of_open_folder(data: &Path) {
    let Ok(meta) = std::fs::metadata(data) else { return };
    if !crate::trust::is_ours(&meta) {
        tracing::warn!(
            "others can change the data folder {} (it belongs to user {} and has mode {:04o}): \
             chown it to the user of hookboxd, and chmod go-w it",
            data.display(),
            meta.uid(),
            meta.mode() & 0o7777
        );
    }
}

/// The state that is folded while the log is being verified. What cannot be folded is left to
/// [`fold`], which reports it.
#[derive(Default)]
struct StateAhead {
    state: Option<State>,
    is_confirmed: bool,
}

impl StateAhead {
    /// The state, when it counts and nothing is missing behind it.
    fn complete(self, log: &Log) -> Option<State> {
        self.state.filter(|state| self.is_confirmed && state.next_seq == log.next_seq())
    }
}

impl FoldAhead for StateAhead {
    fn begin(&mut self, checkpoint: &[u8]) -> bool {
        // The one that was begun before goes first.
        self.state = None;
        self.state = match checkpoint {
            [] => Some(State::new()),
            bytes => State::from_checkpoint(bytes).ok(),
        };
        self.state.is_some()
    }

    fn fold(&mut self, seq: Seq, record: &Record) -> bool {
        self.state.as_mut().is_some_and(|state| state.apply(seq, record).is_ok())
    }

    fn confirm(&mut self) {
        self.is_confirmed = true;
    }
}

/// One checkpoint and the records after it.
fn fold(
    log: &mut Log,
    reader: &Reader,
    checkpoint: Option<&[u8]>,
    first: u64,
) -> Result<State, Exit> {
    let damaged = |what: String| Exit::new(Exit::IO, format!("the log cannot be folded: {what}"));
    let mut state = match checkpoint {
        Some(bytes) => State::from_checkpoint(bytes).map_err(|error| match error {
            StateError::Version { .. } => Exit::new(
                Exit::CONFIG,
                format!(
                    "the log was written by hookbox {}: {error}, or a later one",
                    reader.written_by()
                ),
            ),
            error => damaged(error.to_string()),
        })?,
        None => State::new(),
    };

    for item in reader.forward(first) {
        let (seq, record) = match item {
            Ok(item) => item,
            Err(error) if error.is_newer() => return Err(error.into()),
            // It may be readable at the next start, so nothing may be left out now.
            Err(error) if !error.is_damage() => return Err(damaged(error.to_string())),
            Err(error) => {
                tracing::error!(%error, "records that cannot be read are left out");
                log.report_gaps();
                continue;
            }
        };

        let lost = state.skip_lost(seq);
        if lost > 0 {
            tracing::error!(before = seq, lost, "records are lost; see `hookboxctl log verify`");
            log.report_gaps();
        }
        state.apply(seq, &record).map_err(|error| damaged(error.to_string()))?;
    }

    state.skip_lost(log.next_seq());
    Ok(state)
}

/// Ends the deliveries whose records are lost, as far as that is known by now.
fn settle_losses(
    log: &mut Log,
    reader: &Reader,
    queue: &mut Queue,
    clock: &Clock,
) -> Result<(), Exit> {
    let first = queue.state().first_seq;
    let mut direct = DirectQueue { log, queue, clock, failed: None };
    if !settle_at_start(reader, first, &mut direct) {
        tracing::warn!("what was lost with damaged records is found out while the daemon serves");
    }
    direct.failed.map_or(Ok(()), |error| Err(Exit::from(error)))?;
    reader.report_lost(&queue.state().lost);
    Ok(())
}

/// The queue before its thread runs: each answer is durable before it is given.
struct DirectQueue<'a> {
    log: &'a mut Log,
    queue: &'a mut Queue,
    clock: &'a Clock,
    failed: Option<LogError>,
}

impl AskQueue for DirectQueue<'_> {
    fn ask<R: QueueRequest>(&mut self, request: R) -> Option<R::Answer> {
        let decision = self.queue.handle((self.clock)(), request);
        match self.log.commit(&decision.records) {
            Ok(_durable) => decision.answer.ok(),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

/// Removes segments that the state has dropped already: the process died between the commit that
/// says so and the removal.
fn drop_forgotten(log: &mut Log, reader: &Reader, first_seq: u64) {
    for segment in reader.segments() {
        if segment.last.is_some_and(|last| last < first_seq)
            && let Err(error) = log.drop_segment(segment.first)
        {
            let first = segment.first;
            tracing::error!(first, %error, "a dropped segment cannot be removed");
        }
    }
}

/// A seed from the operating system.
fn seed() -> Result<u64, Exit> {
    rand::rngs::OsRng.try_next_u64().map_err(|error| {
        Exit::new(Exit::SOFTWARE, format!("the system gives no random numbers: {error}"))
    })
}

#[cfg(test)]
mod tests;
