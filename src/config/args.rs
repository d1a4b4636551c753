//! The options of `hookboxd`, and how they, the environment and the file make one configuration.

use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::layers::{EffectiveConfig, ValueOrigin};
use super::{ConfigError, LogFormat, parse_listen};

/// Receives webhooks, stores each before it is acknowledged, and delivers them to endpoints.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hookboxd",
    version,
    long_version = crate::model::version_and_commit(),
    after_help = "Without options, data is kept in ./hookbox-data, and webhooks are received on\n\
        127.0.0.1:8420.\n\
        Sources and endpoints are created with hookboxctl: begin with `hookboxctl --help`,\n\
        or see everything at work in seconds with `hookboxctl demo`.\n\n\
        Signals: TERM and INT finish what is in flight (10 s at most) and exit 0; HUP reloads the\n\
        file.\n\
        Exit codes: 64 usage, 70 internal error, 73 cannot create, 74 I/O, 75 data in use,\n\
        78 configuration."
)]
pub struct Args {
    /// Read this configuration file (TOML) [default: none, every setting has a default]
    #[arg(long, value_name = "FILE", env = "HOOKBOX_CONFIG")]
    pub config: Option<PathBuf>,
    /// Keep the log and everything else in this folder [default: ./hookbox-data]
    #[arg(long, value_name = "DIR", env = "HOOKBOX_DATA")]
    pub data: Option<PathBuf>,
    /// Receive webhooks on this address; may be given several times; proxy:// or tls+proxy://
    /// stands before it where a proxy sends the PROXY header [default: 127.0.0.1:8420]
    #[arg(
        long,
        value_name = "[tls://]ADDR:PORT|unix:/PATH",
        env = "HOOKBOX_LISTEN",
        value_delimiter = ',',
        value_parser = listen_address
    )]
    pub listen: Vec<String>,
    /// The socket for hookboxctl [default: admin.sock in the data folder]
    #[arg(long, value_name = "PATH", env = "HOOKBOX_SOCKET")]
    pub admin_socket: Option<PathBuf>,
    /// The format of log lines [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Check the configuration, print what is wrong with it, and exit
    #[arg(long)]
    pub check: bool,
    /// With --check: print every key with its value, and where the value comes from
    #[arg(long, requires = "check")]
    pub print: bool,
    /// Leaves out the log's own fdatasync. Only for tests that need to see what is lost then.
    #[arg(long, hide = true)]
    pub unsafe_skip_sync: bool,
    /// Reads one segment of the log and reports whether that worked. The daemon runs this itself.
    #[arg(long, hide = true, value_name = "DIR")]
    pub probe_segment: Option<PathBuf>,
    /// Which of them were set by their variables.
    #[arg(skip)]
    pub by_variable: Vec<String>,
}

impl Args {
    /// The options of this process.
    ///
    /// # Errors
    /// What is wrong with them, or what was asked for: help, the version.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os()).map_err(of_variable)?;
        let mut args =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;

        let is_variable = |id: &&str| matches.value_source(id) == Some(ValueSource::EnvVariable);
        let ids = ["data", "listen", "admin_socket"].into_iter();
        args.by_variable = ids.filter(is_variable).map(str::to_owned).collect();
        Ok(args)
    }

    /// The configuration: the file, overridden by options and environment; with where each value
    /// comes from.
    ///
    /// # Errors
    /// What is wrong, where, and how to fix it.
    pub fn effective(&self) -> Result<EffectiveConfig, ConfigError> {
        let mut effective = match &self.config {
            Some(file) => EffectiveConfig::read(file)?,
            None => EffectiveConfig::default(),
        };

        let EffectiveConfig { config, origins, .. } = &mut effective;
        let mut set = |key: &str, option: &'static str, variable: &'static str| {
            let by_variable = self.by_variable.iter().any(|id| id == key);
            let origin = if by_variable {
                ValueOrigin::Variable(variable)
            } else {
                ValueOrigin::Option(option)
            };
            origins.insert(key.to_owned(), origin);
        };

        if let Some(data) = &self.data {
            config.data.clone_from(data);
            set("data", "--data", "HOOKBOX_DATA");
        }
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
            set("listen", "--listen", "HOOKBOX_LISTEN");
        }
        if let Some(socket) = &self.admin_socket {
            config.admin_socket = Some(socket.clone());
            set("admin_socket", "--admin-socket", "HOOKBOX_SOCKET");
        }
        if let Some(format) = self.log_format {
            config.logging.format = format;
            set("logging.format", "--log-format", "");
        }
        Ok(effective)
    }
}

/// An error of an option whose value comes from the environment names the variable.
fn of_variable(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = option.split(' ').next().unwrap_or_default();
    let command = Args::command();
    let found = command
        .get_arguments()
        .find(|arg| arg.get_long().is_some_and(|long| name == format!("--{long}")));
    let variable = found.and_then(|arg| arg.get_env()).map(|name| name.to_string_lossy());
    let is_given =
        std::env::args().any(|given| given == name || given.starts_with(&format!("{name}=")));
    if let Some(variable) = variable.filter(|name| !is_given && std::env::var_os(&**name).is_some())
    {
        let option = format!("{option} (from the variable {variable})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(option));
    }
    error
}

/// An address to listen on, as it was written; anything else is a usage error.
fn listen_address(text: &str) -> Result<String, String> {
    parse_listen(text).map(|_| text.to_owned())
}
