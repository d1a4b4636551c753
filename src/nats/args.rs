//! The options of `hookbox-nats`.

use std::path::PathBuf;

use clap::Parser;

use crate::config::LogFormat;

/// Connects hookbox with NATS JetStream: publishes the deliveries of pull: endpoints, and takes
/// the messages of consumers into sources.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hookbox-nats",
    version,
    long_version = crate::model::version_and_commit(),
    after_help = "A delivery is acknowledged to hookbox when the stream has acknowledged it, and\n\
        a message to NATS when hookbox has stored it. What that is worth is printed at the\n\
        start, and by --check.\n\n\
        Signals: TERM and INT finish what is under way (10 s at most) and exit 0. HUP changes\n\
        nothing: the configuration is read at the start.\n\
        Exit codes: 64 usage, 69 a server or the daemon refuses what is asked of it, 70 internal\n\
        error, 73 cannot create, 74 I/O, 78 configuration."
)]
pub struct BridgeArgs {
    /// Read this configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "HOOKBOX_NATS_CONFIG", required_unless_present = "man")]
    pub config: Option<PathBuf>,
    /// Check the configuration, and what the streams promise where they can be asked, and exit
    #[arg(long)]
    pub check: bool,
    /// Create streams of [[out]] and consumers that are missing, and print the settings that they
    /// get
    #[arg(long)]
    pub create: bool,
    /// The format of log lines [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Prints the manual page, for packages.
    #[arg(long, hide = true)]
    pub man: bool,
}
