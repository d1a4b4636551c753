//! The options of `hookboxd`, and how they, the environment and the file become one configuration.

use std::path::PathBuf;

use clap::Parser;

use crate::config::{Config, ConfigError, LogFormat, parse_listen};

/// Takes webhooks in, remembers each before it says 202, and carries them out to their endpoints.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hookboxd",
    version,
    after_help = "With no options at all it keeps its data in ./hookbox-data and listens on 127.0.0.1:8420.\n\
        Sources and endpoints are made with hookboxctl; begin with `hookboxctl --help`,\n\
        or see the whole story in seconds with `hookboxctl demo`.\n\n\
        Signals: TERM and INT finish what is in flight (10 s at most) and exit 0; HUP reads the file anew.\n\
        Exit codes: 64 usage, 73 cannot create, 74 I/O, 75 data in use, 78 configuration."
)]
pub struct Args {
    /// Read this configuration file (TOML); without one everything has its default
    #[arg(long, value_name = "FILE", env = "HOOKBOX_CONFIG")]
    pub config: Option<PathBuf>,
    /// Keep the log and all that belongs to it here
    #[arg(long, value_name = "DIR", env = "HOOKBOX_DATA")]
    pub data: Option<PathBuf>,
    /// Take webhooks in here; may be given several times
    #[arg(long, value_name = "[tls://]ADDR:PORT|unix:/PATH", env = "HOOKBOX_LISTEN", value_delimiter = ',', value_parser = listen_address)]
    pub listen: Vec<String>,
    /// Where hookboxctl finds the daemon [default: <DATA>/admin.sock]
    #[arg(long, value_name = "PATH", env = "HOOKBOX_SOCKET")]
    pub admin_socket: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Only check the configuration, say what is wrong with it, and exit
    #[arg(long)]
    pub check: bool,
    /// Leaves out the log's own fdatasync: only for tests that have to see what is lost then.
    #[arg(long, hide = true)]
    pub unsafe_skip_sync: bool,
    /// Only reads one segment of the log and says whether it survived that: what the daemon starts by itself.
    #[arg(long, hide = true, value_name = "DIR")]
    pub probe_segment: Option<PathBuf>,
}

impl Args {
    /// The configuration: the file, with what was given beside it in its place.
    ///
    /// # Errors
    /// What is wrong, where, and the mend.
    pub fn configuration(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::from_file(file)?,
            None => Config::default(),
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
        if let Some(socket) = &self.admin_socket {
            config.admin_socket = Some(socket.clone());
        }
        if let Some(format) = self.log_format {
            config.logging.format = format;
        }
        Ok(config)
    }
}

/// An address that can be listened on, as it was written; what is not one is a mistake in usage.
fn listen_address(text: &str) -> Result<String, String> {
    parse_listen(text).map(|_| text.to_owned())
}
