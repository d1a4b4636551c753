//! `hookbox.toml`: the settings of the process. Sources and endpoints are not here: they are in the
//! log, created with `hookboxctl`.
//!
//! Every key has a default, so that no file is needed at all. Options override the environment, and
//! the environment overrides the file; the system's own file has drop-ins ([`layers`]). An unknown
//! key is an error, and every error names the file, the line and how to fix it.
//! `packaging/hookbox.toml` shows every key with its meaning; a test compares it with [`Config`].

mod admin;
pub mod args;
mod check;
pub mod differences;
mod drop_in_file;
mod error;
pub mod layers;
mod lines;
mod listen;
mod metrics;
mod show;
mod suggest;
pub mod usage;
mod values;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{limits, parse_network};
pub use admin::{AdminConfig, SocketMode};
pub use error::ConfigError;
pub use listen::{Listen, parse_listen};
pub use metrics::MetricsConfig;
pub use values::{Bytes, Millis, RateSetting};

/// The whole configuration, every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub data: PathBuf,
    pub listen: Vec<String>,
    /// `<data>/admin.sock` when `None`.
    pub admin_socket: Option<PathBuf>,
    pub admin: AdminConfig,
    pub metrics: MetricsConfig,
    pub daemon: DaemonConfig,
    pub log: LogConfig,
    pub retention: RetentionConfig,
    pub ingress: IngressConfig,
    pub allow_lists: AllowListsConfig,
    pub tls: TlsConfig,
    pub limits: LimitsConfig,
    pub outbound: OutboundConfig,
    pub exec: ExecConfig,
    pub logging: LoggingConfig,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// Ends after so long without anything to do, when its sockets were passed to it.
    pub idle_exit: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub segment_size: Bytes,
    pub segment_age: Millis,
    /// The disk space that the log may take; see `crate::log::DiskBudget` for its default.
    pub quota: Option<Bytes>,
    pub reserve: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    pub delivered: Millis,
    pub delivered_events: Option<u64>,
    pub delivered_bytes: Option<Bytes>,
    pub dead: Millis,
    pub dead_events: Option<u64>,
    pub dead_bytes: Option<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngressConfig {
    /// Networks and addresses, or the word `unix`.
    pub trusted_proxies: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllowListsConfig {
    pub dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub connections: usize,
    pub head_timeout: Millis,
    pub body_timeout: Millis,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    pub extra_ca: Option<PathBuf>,
    /// Attempts of all endpoints together that work off a backlog.
    pub catch_up_rate: Option<RateSetting>,
    /// It may hold a password.
    pub proxy: Option<String>,
    pub no_proxy: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecConfig {
    /// Whole paths, or a folder's with `/*`.
    pub allow: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfig {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./hookbox-data"),
            listen: vec!["127.0.0.1:8420".to_owned()],
            admin_socket: None,
            admin: AdminConfig::default(),
            metrics: MetricsConfig::default(),
            daemon: DaemonConfig::default(),
            log: LogConfig::default(),
            retention: RetentionConfig::default(),
            ingress: IngressConfig::default(),
            allow_lists: AllowListsConfig::default(),
            tls: TlsConfig::default(),
            limits: LimitsConfig::default(),
            outbound: OutboundConfig::default(),
            exec: ExecConfig::default(),
            logging: LoggingConfig::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_size: Bytes(limits::SEGMENT_BYTES),
            segment_age: Millis(limits::SEGMENT_AGE_MS),
            quota: None,
            reserve: None,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            delivered: Millis(7 * 86_400_000),
            delivered_events: None,
            delivered_bytes: None,
            dead: Millis(30 * 86_400_000),
            dead_events: None,
            dead_bytes: None,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            head_timeout: Millis(limits::HEAD_TIMEOUT_MS),
            body_timeout: Millis(limits::BODY_TIMEOUT_MS),
        }
    }
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// Reads the text of a file of settings. `all` has every key that there is, so that an unknown one
/// can be explained.
///
/// # Errors
/// The first key or value that is wrong, with its line.
pub fn from_toml<T: DeserializeOwned>(
    text: &str,
    file: &Path,
    all: &Value,
) -> Result<T, ConfigError> {
    if let Some((name, line)) = lines::doubled(text, all) {
        let what = format!("{name}: must be a table: write [{name}] once, and not [[{name}]]");
        return Err(ConfigError { file: file.to_owned(), line: Some(line), what });
    }
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().map(|span| text.get(..span.start).unwrap_or("").matches('\n').count() + 1);
        let what = suggest::explained(error.message(), all);
        // Of a value that is refused the key is named; what is no TOML has none.
        let key = line.filter(|_| !what.starts_with("unknown field"));
        let what = match key.and_then(|line| lines::key_at(text, line, all)) {
            Some(key) => format!("{key}: {what}"),
            None => what,
        };
        ConfigError { file: file.to_owned(), line, what }
    })
}

impl Config {
    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config = Self::of_text(text, file)?;
        config.check().map_err(|(key, what)| ConfigError {
            file: file.to_owned(),
            line: lines::line_of(text, key),
            what: format!("{key}: {what}"),
        })?;
        Ok(config)
    }

    /// Reads the text of a file: its keys and the form of its values.
    fn of_text(text: &str, file: &Path) -> Result<Self, ConfigError> {
        from_toml(text, file, &json!(Self::default()))
    }

    /// Where the admin socket is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| self.data.join("admin.sock"))
    }

    /// The networks of `ingress.trusted_proxies`, and whether Unix sockets are among them.
    ///
    /// # Errors
    /// Says what an entry looks like.
    pub fn trusted_proxies(&self) -> Result<(Vec<IpNet>, bool), String> {
        let mut nets = Vec::new();
        let mut unix = false;
        for text in &self.ingress.trusted_proxies {
            match parse_network(text) {
                Some(net) => nets.push(net),
                None if text == "unix" => unix = true,
                None => {
                    return Err(format!(
                        "'{text}' is not a network: write it as 10.0.0.0/8, or unix"
                    ));
                }
            }
        }
        Ok((nets, unix))
    }
}
