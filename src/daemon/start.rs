//! The start: folder, log, fold.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rand::TryRngCore;
use rustix::fs::Mode;

use super::exit::Exit;
use super::reload::Fresh;
use crate::config::Config;
use crate::log::{Budget, Log, Options, Problem, Reader, Recovered};
use crate::model::Now;
use crate::outbound::{Outbound, Settings, SystemResolver, Ways};
use crate::queue::{Queue, State, StateError};
use crate::scheduler::Clock;

/// What the log gave.
pub struct Opened {
    pub log: Log,
    pub reader: Reader,
    pub queue: Queue,
    pub problems: Vec<Problem>,
}

/// Checks what a configuration names outside itself.
pub fn check(config: &Config) -> Result<(), Exit> {
    config.check().map_err(|(key, what)| Exit::new(Exit::CONFIG, format!("{key}: {what}")))?;
    let settings = Settings {
        extra_ca: config.outbound.extra_ca.clone(),
        user_agent: "hookbox".to_owned(),
        resolver: Arc::new(SystemResolver),
        lookup: None,
        ways: ways(config),
    };
    Outbound::new(settings, Arc::new(Now::default)).map_err(|error| Exit::new(Exit::CONFIG, error.to_string()))?;
    Fresh::read(config).map(|_| ()).map_err(|what| Exit::new(Exit::CONFIG, what))
}

/// Which ways out the configuration opens.
pub fn ways(config: &Config) -> Ways {
    Ways {
        proxy: config.outbound.proxy.clone(),
        no_proxy: config.outbound.no_proxy.clone(),
        exec_allow: config.exec.allow.clone(),
    }
}

/// Opens the log and folds the state.
pub fn open(config: &Config, clock: &Clock, skip_sync: bool) -> Result<Opened, Exit> {
    check(config)?;
    // Everything that is made from here on belongs to the daemon's user alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    make_folder(&config.data)?;
    let options = Options {
        dir: config.data.join("log"),
        // A file never comes near what the system allows it: that would be an error, or a signal.
        segment_bytes: config.log.segment_size.0.min((largest_file() / 4).max(64 << 10)),
        segment_age_ms: config.log.segment_age.0,
        skip_sync,
        probe: std::env::current_exe().ok(),
        budget: Budget { quota: config.log.quota.map(|q| q.0), reserve: config.log.reserve.map(|r| r.0) },
    };
    if skip_sync {
        tracing::warn!("fdatasync is left out: what is acknowledged now does not survive a power cut");
    }
    let Recovered { mut log, reader, checkpoint, first_to_fold, problems } = Log::open(options, clock().wall_ms)?;
    for problem in &problems {
        tracing::error!(%problem, "the log is damaged; see `hookboxctl log verify`");
    }
    let state = fold(&log, &reader, checkpoint.as_deref(), first_to_fold)?;
    drop_forgotten(&mut log, &reader, state.first_seq);
    let is_new = state.next_seq == 1;
    let mut queue = Queue::new(state, seed()?, clock());
    queue.set_pace(config.outbound.catch_up_rate.map(|paced| paced.0));
    if is_new {
        let begun = queue.begin(clock(), env!("CARGO_PKG_VERSION"));
        let _durable = log.commit(&begun.records)?;
    }
    Ok(Opened { log, reader, queue, problems })
}

/// What `ulimit -f` allows.
fn largest_file() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

fn make_folder(data: &Path) -> Result<(), Exit> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error: io::Error| {
        let what = format!("cannot create {}: {error}; choose another folder with --data", data.display());
        Exit::new(Exit::CANNOT_CREATE, what)
    })
}

/// One checkpoint and the records after it.
fn fold(log: &Log, reader: &Reader, checkpoint: Option<&[u8]>, first: u64) -> Result<State, Exit> {
    let damaged = |what: String| Exit::new(Exit::IO, format!("the log cannot be folded: {what}"));
    let mut state = match checkpoint {
        Some(bytes) => State::from_checkpoint(bytes).map_err(|error| match error {
            StateError::Version { .. } => Exit::new(
                Exit::CONFIG,
                format!("the log was written by hookbox {}: {error}, or a later one", reader.written_by()),
            ),
            error => damaged(error.to_string()),
        })?,
        None => State::new(),
    };
    for item in reader.forward(first) {
        let (seq, record) = match item {
            Ok(item) => item,
            Err(error) if error.is_newer() => return Err(error.into()),
            // Only for the moment: the next start may read it, so nothing may be left out.
            Err(error) if !error.is_damage() => return Err(damaged(error.to_string())),
            Err(error) => {
                tracing::error!(%error, "going on without what cannot be read");
                continue;
            }
        };
        let lost = state.skip_lost(seq);
        if lost > 0 {
            tracing::error!(before = seq, lost, "records are lost; see `hookboxctl log verify`");
        }
        state.apply(seq, &record).map_err(|error| damaged(error.to_string()))?;
    }
    state.skip_lost(log.next_seq());
    Ok(state)
}

/// Removes segments that the state has dropped already: the process died between the commit that says so and the
/// removal.
fn drop_forgotten(log: &mut Log, reader: &Reader, first_seq: u64) {
    for segment in reader.segments() {
        if segment.last.is_some_and(|last| last < first_seq)
            && let Err(error) = log.drop_segment(segment.first)
        {
            tracing::error!(first = segment.first, %error, "a dropped segment could not be removed");
        }
    }
}

/// A seed from the operating system.
fn seed() -> Result<u64, Exit> {
    rand::rngs::OsRng
        .try_next_u64()
        .map_err(|error| Exit::new(Exit::SOFTWARE, format!("the system gives no random numbers: {error}")))
}
