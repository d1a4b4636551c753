//! The configuration of the bridge: one file, whose keys are all here. An unknown key is an error,
//! and every error names the file, the line and how to fix it, as in `hookbox.toml`.
//! `packaging/hookbox-nats.toml` shows every key with its meaning; a test compares it with
//! [`NatsConfig`].

mod check;
mod place;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::place::line_of;
use super::part::BoxPart;
use super::template::SubjectTemplate;
use crate::config::{Bytes, ConfigError, LoggingConfig, MetricsConfig, Millis, from_toml};
use crate::model::limits;

/// The whole configuration, every default filled in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsConfig {
    /// The name of this box in subjects and headers; that of the machine when `None`.
    #[serde(rename = "box")]
    pub box_name: Option<String>,
    pub nats: ServersConfig,
    pub hookbox: HookboxConfig,
    pub metrics: MetricsConfig,
    pub logging: LoggingConfig,
    pub out: Vec<OutConfig>,
    #[serde(rename = "in")]
    pub intake: Vec<InConfig>,
}

/// The servers, and who this is to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServersConfig {
    /// URLs: `nats://host:port`, or `tls://host:port`.
    pub servers: Vec<String>,
    /// The name of the connection; `hookbox-nats on BOX` when `None`.
    pub name: Option<String>,
    /// Nothing is said before TLS is established.
    pub tls: bool,
    /// Certificates that the servers' must lead to, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// A file of the form `.creds`.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an nkey.
    pub nkey: Option<PathBuf>,
    pub user: Option<String>,
    /// A file with the password of `user`.
    pub password: Option<PathBuf>,
    /// The server's monitoring port, which says how often it syncs: `http://127.0.0.1:8222`.
    pub monitoring: Option<String>,
    /// The JetStream domain, where the servers are leaf nodes.
    pub domain: Option<String>,
    /// What makes the promise weaker than "stored on disk before it is acknowledged" is an error.
    pub strict: bool,
}

/// The daemon of this box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookboxConfig {
    pub admin_socket: PathBuf,
    /// A Unix socket of `listen`, for `[[in]]` with `via = "ingress"`.
    pub ingress: Option<PathBuf>,
}

/// Deliveries of a `pull:` endpoint into a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutConfig {
    pub endpoint: String,
    pub stream: String,
    pub subject: String,
    /// Events that are leased and not yet acknowledged by the stream.
    pub max_in_flight: u32,
    pub lease: Millis,
    /// How long the stream may take to acknowledge, before the event is published again.
    pub ack_timeout: Millis,
    /// How long an event is published again before it is given back to hookbox.
    pub publish_timeout: Millis,
    /// What a stream that is missing gets, with `--create`.
    pub create: CreateStream,
}

/// The settings of a stream that is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateStream {
    pub replicas: usize,
    pub duplicate_window: Millis,
    pub max_bytes: Option<Bytes>,
    pub max_age: Option<Millis>,
    pub max_message: Option<Bytes>,
}

/// Messages of a durable consumer into a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InConfig {
    pub stream: String,
    pub consumer: String,
    /// Which part of the stream is this box's; when `None`, boxes share the consumer.
    pub part: Option<BoxPart>,
    pub source: String,
    pub via: Via,
    pub max_in_flight: u32,
    /// What a consumer that is missing gets, with `--create`.
    pub create: CreateConsumer,
}

/// The settings of a consumer that is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateConsumer {
    /// The subjects that it takes; all of the stream when there is none.
    pub filter: Vec<String>,
    pub ack_wait: Millis,
    pub max_ack_pending: u32,
}

/// Which socket of the daemon takes the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    #[default]
    Admin,
    Ingress,
}

impl Default for ServersConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            name: None,
            tls: false,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            credentials: None,
            nkey: None,
            user: None,
            password: None,
            monitoring: None,
            domain: None,
            strict: false,
        }
    }
}

impl Default for HookboxConfig {
    fn default() -> Self {
        Self { admin_socket: PathBuf::from("/run/hookbox/admin.sock"), ingress: None }
    }
}

impl Default for OutConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            stream: String::new(),
            subject: "hooks.{box}.{source}.{type}".to_owned(),
            max_in_flight: limits::NATS_IN_FLIGHT_DEFAULT,
            lease: Millis(30_000),
            ack_timeout: Millis(5_000),
            publish_timeout: Millis(30_000),
            create: CreateStream::default(),
        }
    }
}

impl Default for CreateStream {
    fn default() -> Self {
        Self {
            replicas: 1,
            duplicate_window: Millis(2 * 3_600_000),
            max_bytes: None,
            max_age: None,
            max_message: None,
        }
    }
}

impl Default for InConfig {
    fn default() -> Self {
        Self {
            stream: String::new(),
            consumer: String::new(),
            part: None,
            source: String::new(),
            via: Via::Admin,
            max_in_flight: limits::NATS_IN_FLIGHT_DEFAULT,
            create: CreateConsumer::default(),
        }
    }
}

impl Default for CreateConsumer {
    fn default() -> Self {
        Self { filter: Vec::new(), ack_wait: Millis(30_000), max_ack_pending: 10_000 }
    }
}

/// Every key that there is.
fn all_keys() -> Value {
    json!(NatsConfig {
        out: vec![OutConfig::default()],
        intake: vec![InConfig::default()],
        ..NatsConfig::default()
    })
}

impl NatsConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let wrong = |what: String| ConfigError { file: file.to_owned(), line: None, what };
        let unreadable = |error| wrong(format!("cannot read it: {error}"));
        let size = fs::metadata(file).map_err(unreadable)?.len();
        if size > limits::NATS_CONFIG_BYTES {
            return Err(wrong(format!("has {size} bytes: is this a configuration?")));
        }
        Self::parse(&fs::read_to_string(file).map_err(unreadable)?, file)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config: Self = from_toml(text, file, &all_keys())?;
        config.check().map_err(|wrong| ConfigError {
            file: file.to_owned(),
            line: line_of(text, wrong.route, wrong.key),
            what: format!("{}: {}", wrong.key, wrong.what),
        })?;
        Ok(config)
    }

    /// The name of this box: the configured one, or the machine's.
    #[must_use]
    pub fn box_name(&self) -> String {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.box_name.clone().unwrap_or_else(machine).trim().to_owned()
    }

    /// The name of the connection.
    #[must_use]
    pub fn connection_name(&self) -> String {
        self.nats.name.clone().unwrap_or_else(|| format!("hookbox-nats on {}", self.box_name()))
    }
}

impl OutConfig {
    /// Its subject, which was checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn template(&self) -> Result<SubjectTemplate, String> {
        self.subject.parse()
    }

    /// How its lines and counts name it.
    #[must_use]
    pub fn route(&self) -> String {
        format!("{} -> {}", self.endpoint, self.stream)
    }
}

impl InConfig {
    /// The name of its consumer.
    #[must_use]
    pub fn consumer_name(&self) -> String {
        self.part.map_or_else(|| self.consumer.clone(), |part| part.consumer(&self.consumer))
    }

    /// How its lines and counts name it.
    #[must_use]
    pub fn route(&self) -> String {
        format!("{}/{} -> {}", self.stream, self.consumer_name(), self.source)
    }
}
