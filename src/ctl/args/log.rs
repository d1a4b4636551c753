//! The arguments of `hookboxctl log`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Filter;

#[derive(Subcommand, Debug)]
pub enum LogCommand {
    /// Its segments.
    #[command(visible_alias = "stats")]
    Stat,
    /// Read everything, from the first record to the last, and say what does not add up.
    #[command(after_help = "Examples:\n  hookboxctl log verify\n  \
        hookboxctl log verify --expect \"$(cat /mnt/elsewhere/head)\"\n  hookboxctl log verify --data /mnt/backup/hookbox")]
    Verify {
        /// This head, kept elsewhere since `log head` printed it, has to be on the chain.
        #[arg(long, value_name = "[RECORD:]HASH")]
        expect: Option<String>,
        /// Of this folder, which no daemon is using, instead of the daemon's log. It is opened as a daemon would open it: it
        /// has to be writable, and what is damaged in it is put aside.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// The end of the chain over everything in the log: keep it elsewhere, and let `log verify --expect` look for it.
    #[command(after_help = "Example:\n  hookboxctl log head > /mnt/elsewhere/head")]
    Head {
        /// Of this folder, which no daemon is using, instead of the daemon's log. It is opened as a daemon would open it: it
        /// has to be writable, and what is damaged in it is put aside.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Copy the log, while the daemon runs, into a folder that a daemon can start on.
    #[command(after_help = "Examples:\n  hookboxctl log backup /mnt/backup/hookbox-2026-11-24\n  \
        hookboxd --data /mnt/backup/hookbox-2026-11-24     # it is a data folder")]
    Backup(BackupArgs),
    /// Write events, a line of JSON each, with where their deliveries stand.
    #[command(after_help = "Examples:\n  hookboxctl log export --since 2d --output events.ndjson\n  \
        hookboxctl log export --source github --format cloudevents\n  \
        hookboxctl log export --data /mnt/backup/hookbox | gzip > events.gz")]
    Export(ExportArgs),
    /// Take in the events of an export, a backup or a salvage. What had been delivered is not delivered again; what had
    /// not is delivered under the same id. What is there already is skipped.
    #[command(after_help = "Examples:\n  hookboxctl log import events.ndjson\n  \
        hookboxctl log import /mnt/backup/hookbox\n  hookboxctl log import salvaged.ndjson --history-only")]
    Import(ImportArgs),
    /// Bring out what is readable in damaged segments, as lines of JSON.
    #[command(
        after_help = "Examples:\n  hookboxctl log salvage --output salvaged.ndjson     # what the daemon put aside\n  \
        hookboxctl log salvage --data /var/lib/hookbox      # with the daemon stopped\n  \
        hookboxctl log import salvaged.ndjson               # and back in"
    )]
    Salvage(SalvageArgs),
}

#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where to; made when it is missing. Its `log` must not be there yet.
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Of this folder, which no daemon is using, instead of the daemon's log. It is opened as a daemon would open it: it
    /// has to be writable, and what is damaged in it is put aside.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    pub filter: Filter,
    /// Only this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// From this record of the log on.
    #[arg(long, value_name = "RECORD")]
    pub from: Option<u64>,
    /// Up to this record of the log.
    #[arg(long, value_name = "RECORD")]
    pub to: Option<u64>,
    /// How the lines look.
    #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
    pub format: ExportFormat,
    /// Into this new file, for its owner alone [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Of this folder, which no daemon is using, instead of the daemon's log. It is opened as a daemon would open it: it
    /// has to be writable, and what is damaged in it is put aside.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum ExportFormat {
    /// What `log import` takes, everything included.
    Ndjson,
    /// CloudEvents 1.0 in JSON, the body in data_base64.
    Cloudevents,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A file of `log export` or `log salvage` (- for stdin), or a data folder: a backup.
    #[arg(value_name = "FILE|DIR")]
    pub from: PathBuf,
    /// Deliver nothing of it: only keep it, to be looked at and replayed.
    #[arg(long)]
    pub history_only: bool,
}

#[derive(Args, Debug)]
pub struct SalvageArgs {
    /// Folders of segments [default: all that were put aside, and those that are known to be damaged].
    #[arg(value_name = "SEGMENT")]
    pub segments: Vec<PathBuf>,
    /// The data folder [default: the daemon's].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Into this new file, for its owner alone [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
