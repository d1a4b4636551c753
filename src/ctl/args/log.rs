//! The arguments of `hookboxctl log`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::filter::EventFilterArgs;

#[derive(Subcommand, Debug)]
pub enum LogCommand {
    /// List the log's segments.
    #[command(visible_alias = "stats")]
    Stat,
    /// Read the whole log, check it, and report inconsistencies.
    #[command(after_help = "Examples:\n  hookboxctl log verify\n  \
        hookboxctl log verify --expect \"$(cat /mnt/elsewhere/head)\"\n  \
        hookboxctl log verify --data /mnt/backup/hookbox")]
    Verify {
        /// Require that this head, which `log head` printed earlier, is on the log's hash chain.
        #[arg(long, value_name = "[RECORD:]HASH")]
        expect: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Acknowledge known damage, so that `status --check` no longer ends with 1 because of it.
    ///
    /// `status` and `log verify` show it as acknowledged. Damage of other records is reported anew.
    /// Nothing is repaired or removed.
    #[command(after_help = "Examples:\n  hookboxctl log verify          # what is damaged\n  \
        hookboxctl log acknowledge     # all of it\n  \
        hookboxctl log acknowledge 40961")]
    Acknowledge {
        /// Only the damage of these segments, as `log verify` numbers them [default: all].
        #[arg(value_name = "SEGMENT")]
        segments: Vec<u64>,
    },
    /// Print the head of the log's hash chain: store it elsewhere, for `log verify --expect`.
    #[command(after_help = "Example:\n  hookboxctl log head > /mnt/elsewhere/head")]
    Head {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Copy the log, while the daemon runs, into a folder that a daemon can be started on.
    #[command(after_help = "Examples:\n  hookboxctl log backup /mnt/backup/hookbox-2026-11-24\n  \
        hookboxd --data /mnt/backup/hookbox-2026-11-24     # a backup is a data folder")]
    Backup(BackupArgs),
    /// Export events, one line of JSON each, with the state of their deliveries.
    #[command(
        after_help = "Examples:\n  hookboxctl log export --since 2d --output events.ndjson\n  \
        hookboxctl log export --source github --format cloudevents\n  \
        hookboxctl log export --data /mnt/backup/hookbox | gzip > events.gz"
    )]
    Export(ExportArgs),
    /// Import events from an export, a backup or a salvage. Events that exist already are skipped.
    ///
    /// Deliveries that had succeeded are not made again; the others are, under the same id.
    #[command(after_help = "Examples:\n  hookboxctl log import events.ndjson\n  \
        hookboxctl log import /mnt/backup/hookbox\n  \
        hookboxctl log import salvaged.ndjson --history-only")]
    Import(ImportArgs),
    /// Recover what is readable in damaged segments, as lines of JSON.
    #[command(after_help = "Examples:\n  \
        hookboxctl log salvage --output salvaged.ndjson     # the segments in quarantine\n  \
        hookboxctl log salvage --data /var/lib/hookbox      # with the daemon stopped\n  \
        hookboxctl log import salvaged.ndjson               # import what was recovered")]
    Salvage(SalvageArgs),
}

/// The folder of a log that is read without its daemon.
#[derive(Args, Debug, Clone, Default)]
pub struct DataArgs {
    /// Read the log of this data folder instead of the daemon's. No daemon may be using it. It is
    /// read in a copy below TMPDIR; nothing in the folder is changed.
    #[arg(long = "data", value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The folder to copy to; created if it is missing. It must not contain a `log` yet.
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub data: DataArgs,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    pub filter: EventFilterArgs,
    /// Only this event.
    #[arg(long, value_name = "ID")]
    pub event: Option<String>,
    /// Only from this record of the log on.
    #[arg(long, value_name = "RECORD")]
    pub from: Option<u64>,
    /// Only up to this record of the log.
    #[arg(long, value_name = "RECORD")]
    pub to: Option<u64>,
    /// The format of the lines.
    #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
    pub format: ExportFormat,
    /// Write to this new file, readable by its owner only [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum, PartialEq, Eq)]
pub enum ExportFormat {
    /// Everything, as `log import` reads it.
    Ndjson,
    /// CloudEvents 1.0 in JSON, the body in data_base64.
    Cloudevents,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A file written by `log export` or `log salvage` (- for stdin), or a backup's data folder.
    #[arg(value_name = "FILE|DIR")]
    pub from: PathBuf,
    /// Deliver nothing: only store the events, to be looked at and replayed.
    #[arg(long)]
    pub history_only: bool,
}

#[derive(Args, Debug)]
pub struct SalvageArgs {
    /// Folders of segments [default: those in quarantine, and those known to be damaged].
    #[arg(value_name = "SEGMENT")]
    pub segments: Vec<PathBuf>,
    /// The data folder [default: the daemon's].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write to this new file, readable by its owner only [default: stdout].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
