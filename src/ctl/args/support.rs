//! The arguments of `hookboxctl support`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  hookboxctl support /tmp/hookbox-support.tar.gz\n  \
    tar -xOf /tmp/hookbox-support.tar.gz | less          # before you send it\n\n\
    It has the versions, the configuration without passwords, the status, the conditions of the\n\
    endpoints without their URLs, the history of the last day, the metrics, the segments and the\n\
    check of the log, and the last lines of the daemon's log from the journal. What is missing is\n\
    named there.")]
pub struct SupportArgs {
    /// The new file, a .tar.gz, readable by its owner only.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The daemon's configuration file [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
