//! `hookbox.toml`: what belongs to the process. Sources and endpoints are not here: they are in the log, made with
//! `hookboxctl`.
//!
//! Every key has a default, so that no file is needed at all. Options beat the environment, the environment beats
//! the file. An unknown key is an error, and every error names the file, the line and the mend.
//!
//! ```toml
//! data = "/var/lib/hookbox"            # where the log lives
//! listen = ["127.0.0.1:8420"]          # host:port, tls://host:port, proxy://host:port (the PROXY protocol, version 2),
//!                                      # tls+proxy://host:port, or unix:/path
//! admin_socket = "/run/hookbox/admin.sock"
//!
//! [log]
//! segment_size = "64MiB"               # a segment is sealed at this size
//! segment_age = "1d"                   # or at this age
//! quota = "10GiB"                      # what the log may take; by default 80 % of the file system at the first start
//! reserve = "32MiB"                    # of it, what is kept for outcomes; by default the larger of 32 MiB and 2 %
//!
//! [retention]
//! delivered = "7d"                     # events that ended well, with their history
//! delivered_events = 1000000           # they go earlier once so many events came after them
//! delivered_bytes = "10GiB"            # or once what came after them takes so much
//! dead = "30d"                         # dead letters
//! dead_events = 100000                 # the oldest go when there are more
//! dead_bytes = "1GiB"                  # or when their events have more bytes
//!
//! [ingress]
//! trusted_proxies = ["10.0.0.0/8"]     # whose Forwarded, X-Forwarded-For and PROXY headers are believed; "unix" for
//!                                      # whoever posts over a Unix socket
//!
//! [allow_lists]
//! dir = "/etc/hookbox/allow"           # files of networks, one a line, for --allow @NAME
//!
//! [tls]
//! cert = "/etc/hookbox/tls.pem"        # for tls:// listeners; read anew on SIGHUP, like the lists
//! key = "/etc/hookbox/tls.key"
//! client_ca = "/etc/hookbox/clients.pem" # whose client certificates are taken (--verify mtls)
//!
//! [limits]
//! connections = 8192                   # at a time, over all listeners
//! head_timeout = "15s"                 # to send a request's head, and to stay idle
//! body_timeout = "30s"                 # to send a request's body
//!
//! [outbound]
//! extra_ca = "/etc/hookbox/ca.pem"     # trusted beside the system's roots
//! catch_up_rate = "50/s"               # attempts while backlogs are worked off, over all endpoints; no limit without it
//! proxy = "http://10.0.0.1:3128"       # for endpoints that name none; http://user:password@host:port
//! no_proxy = ["example.com", "10.0.0.0/8"] # names (and all below them), addresses, networks; "*" for all
//!
//! [exec]
//! allow = ["/usr/local/lib/hooks/*"]   # commands that exec: endpoints may run; none without it
//!
//! [logging]
//! format = "text"                      # or "json"
//! level = "info"                       # error, warn, info, debug, trace
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::model::{Rate, limits, size, time};

/// The whole configuration, every default filled in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub data: PathBuf,
    pub listen: Vec<String>,
    /// `<data>/admin.sock` when `None`.
    pub admin_socket: Option<PathBuf>,
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

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub segment_size: Bytes,
    pub segment_age: Millis,
    /// What the log may take; see `crate::log::Budget` for what it is when nothing is said.
    pub quota: Option<Bytes>,
    pub reserve: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    pub delivered: Millis,
    pub delivered_events: Option<u64>,
    pub delivered_bytes: Option<Bytes>,
    pub dead: Millis,
    pub dead_events: Option<u64>,
    pub dead_bytes: Option<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngressConfig {
    /// Networks and addresses, or the word `unix`.
    pub trusted_proxies: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllowListsConfig {
    pub dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub connections: usize,
    pub head_timeout: Millis,
    pub body_timeout: Millis,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    pub extra_ca: Option<PathBuf>,
    /// Attempts of all endpoints together that work off a backlog.
    pub catch_up_rate: Option<Paced>,
    /// It may hold a password.
    pub proxy: Option<String>,
    pub no_proxy: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecConfig {
    /// Whole paths, or a folder's with `/*`.
    pub allow: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfig {
    pub format: LogFormat,
    pub level: Level,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// A duration in milliseconds, written like `"15s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u64);

/// A size in bytes, written like `"64MiB"` or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A rate, written like `"50/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paced(pub Rate);

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./hookbox-data"),
            listen: vec!["127.0.0.1:8420".to_owned()],
            admin_socket: None,
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
        Self { format: LogFormat::Text, level: Level::Info }
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        time::parse_duration_ms(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Paced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|what: String| D::Error::custom(format!("'{text}' {what}")))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(n) => Ok(Self(n)),
            Written::Text(text) => size::parse_bytes(&text).map(Self).map_err(D::Error::custom),
        }
    }
}

/// What is wrong with a configuration, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    pub line: Option<usize>,
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: None,
            what: format!("cannot read it: {error}; give another one with --config, or leave it out for the defaults"),
        })?;
        Self::parse(&text, file)
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: error.span().map(|span| text.get(..span.start).unwrap_or("").matches('\n').count() + 1),
            what: error.message().replace('\n', " "),
        })?;
        config.check().map_err(|(key, what)| ConfigError {
            file: file.to_owned(),
            line: text.lines().position(|line| line.trim_start().starts_with(key)).map(|n| n + 1),
            what: format!("{key}: {what}"),
        })?;
        Ok(config)
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
            let single = text.parse::<IpAddr>().ok().map(IpNet::from);
            match single.or_else(|| text.parse().ok()) {
                Some(net) => nets.push(net),
                None if text == "unix" => unix = true,
                None => return Err(format!("'{text}' is not a network: write it as 10.0.0.0/8, or unix")),
            }
        }
        Ok((nets, unix))
    }

    /// What is wrong with the values: the key, and why with the mend.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |key, value: u64, low: u64, high: u64, unit: &str| {
            let fits = (low..=high).contains(&value);
            if fits {
                Ok(())
            } else {
                Err((key, format!("{value} {unit} is out of range: use {low} to {high} {unit}")))
            }
        };
        if self.data.as_os_str().is_empty() {
            return Err(("data", "is empty: name a folder, such as \"/var/lib/hookbox\"".to_owned()));
        }
        let has_nul = |path: &Path| path.as_os_str().as_encoded_bytes().contains(&0);
        for (key, path) in [("data", Some(&self.data)), ("admin_socket", self.admin_socket.as_ref())] {
            if path.is_some_and(|path| has_nul(path)) {
                return Err((key, "has a NUL character in it, which no path can have".to_owned()));
            }
        }
        if self.admin_socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(("admin_socket", "is empty: name a path, or leave it out for <data>/admin.sock".to_owned()));
        }
        if self.listen.is_empty() {
            return Err(("listen", "nothing to listen on: give at least one \"127.0.0.1:8420\"".to_owned()));
        }
        for address in &self.listen {
            let listen = parse_listen(address).map_err(|what| ("listen", what))?;
            if listen.is_tls() && (self.tls.cert.is_none() || self.tls.key.is_none()) {
                return Err(("listen", format!("'{address}' needs a certificate: give cert and key in [tls]")));
            }
            if listen.is_proxied() && self.ingress.trusted_proxies.is_empty() {
                let what = format!("'{address}' needs to know its proxies: give ingress.trusted_proxies");
                return Err(("listen", what));
            }
        }
        self.trusted_proxies().map_err(|what| ("trusted_proxies", what))?;
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return Err(("cert", "cert and key of [tls] belong together: give both".to_owned()));
        }
        if self.tls.client_ca.is_some() && self.tls.cert.is_none() {
            return Err(("client_ca", "client certificates need TLS: give cert and key in [tls], too".to_owned()));
        }
        if self.exec.allow.len() > limits::EXEC_ALLOW || self.outbound.no_proxy.len() > limits::NO_PROXY {
            return Err(("allow", format!("allow and no_proxy have at most {} entries", limits::EXEC_ALLOW)));
        }
        if let Some(bad) = self.exec.allow.iter().find(|rule| !is_command_rule(rule)) {
            let what = format!("'{bad}' is not a command: write its whole path, or a folder's with /* behind it");
            return Err(("allow", what));
        }
        within("segment_size", self.log.segment_size.0, 1 << 20, 4 << 30, "bytes")?;
        within("segment_age", self.log.segment_age.0, 1000, 365 * 86_400_000, "ms")?;
        let quota = self.log.quota.map_or(1 << 50, |quota| quota.0);
        within("quota", quota, limits::QUOTA_MIN, 1 << 50, "bytes")?;
        let reserve = self.log.reserve.map_or(limits::ROOM_RESERVE_MIN, |reserve| reserve.0);
        within("reserve", reserve, limits::ROOM_RESERVE_MIN, quota / 2, "bytes")?;
        within("delivered", self.retention.delivered.0, 1000, 36_500 * 86_400_000, "ms")?;
        within("dead", self.retention.dead.0, 1000, 36_500 * 86_400_000, "ms")?;
        let RetentionConfig { delivered_events, delivered_bytes, dead_events, dead_bytes, .. } = &self.retention;
        within("delivered_events", delivered_events.unwrap_or(1), 1, 1 << 50, "events")?;
        within("delivered_bytes", delivered_bytes.map_or(1 << 20, |b| b.0), 1 << 20, 1 << 50, "bytes")?;
        within("dead_events", dead_events.unwrap_or(0), 0, 1 << 50, "dead letters")?;
        within("dead_bytes", dead_bytes.map_or(0, |b| b.0), 0, 1 << 50, "bytes")?;
        within("connections", self.limits.connections as u64, 1, 1 << 20, "connections")?;
        within("head_timeout", self.limits.head_timeout.0, 100, 600_000, "ms")?;
        within("body_timeout", self.limits.body_timeout.0, 100, 3_600_000, "ms")?;
        Ok(())
    }
}

/// A whole path without `..`; one `*` may stand for the files of a folder.
fn is_command_rule(rule: &str) -> bool {
    let path = rule.strip_suffix("/*").unwrap_or(rule);
    (path.starts_with('/') || rule == "/*") && !path.contains('*') && !path.split('/').any(|part| part == "..")
}

/// Where connections come in, and what they speak below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp {
        address: SocketAddr,
        tls: bool,
        /// Each connection begins with a PROXY header, version 2.
        proxy: bool,
    },
    Unix(PathBuf),
}

impl Listen {
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    #[must_use]
    pub fn is_proxied(&self) -> bool {
        matches!(self, Self::Tcp { proxy: true, .. })
    }
}

/// Reads what to listen on: `host:port`, `tls://`, `proxy://` or `tls+proxy://` before it, or `unix:/path`.
///
/// # Errors
/// Says what an address looks like.
pub fn parse_listen(address: &str) -> Result<Listen, String> {
    if let Some(path) = address.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(Listen::Unix(PathBuf::from(path)))
        } else {
            Err(format!("'{address}' needs an absolute path: write it as unix:/run/hookbox/in.sock"))
        };
    }
    let (tls, proxy, rest) = match address.split_once("://") {
        None => (false, false, address),
        Some(("tls", rest)) => (true, false, rest),
        Some(("proxy", rest)) => (false, true, rest),
        Some(("tls+proxy" | "proxy+tls", rest)) => (true, true, rest),
        Some((scheme, _)) => {
            return Err(format!("'{address}': {scheme}:// is not known; use tls://, proxy:// or tls+proxy://"));
        }
    };
    match rest.parse() {
        Ok(address) => Ok(Listen::Tcp { address, tls, proxy }),
        Err(_) => Err(format!(
            "'{address}' is not an address: write it as 127.0.0.1:8420, [::1]:8420, tls://127.0.0.1:8443 or unix:/path"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Bytes, Config, Millis};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("hookbox.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pace_is_a_rate() {
        let paced = parse("[outbound]\ncatch_up_rate = \"50/s\"\n").expect("a rate");
        assert_eq!(paced.outbound.catch_up_rate.map(|paced| paced.0.count), Some(50));
        let wrong = parse("[outbound]\ncatch_up_rate = \"soon\"\n").expect_err("no rate");
        assert!(wrong.contains("hookbox.toml:2") && wrong.contains("10/s"), "{wrong}");
    }

    #[test]
    fn nothing_gives_the_defaults_and_everything_can_be_said() {
        assert_eq!(parse(""), Ok(Config::default()));
        let config =
            parse("data = \"/d\"\n[log]\nsegment_size = \"8MiB\"\n[retention]\ndead = \"2d\"\n").expect("valid");
        assert_eq!(config.log.segment_size, Bytes(8 << 20));
        assert_eq!(config.retention.dead, Millis(2 * 86_400_000));
        assert_eq!(config.socket(), Path::new("/d/admin.sock"));
    }

    #[test]
    fn errors_name_file_line_and_mend() {
        let unknown = parse("data = \"/d\"\nlisten_on = 3\n").expect_err("unknown key");
        assert!(unknown.starts_with("hookbox.toml:2: unknown field `listen_on`"), "{unknown}");
        let range = parse("\n[limits]\nconnections = 0\n").expect_err("out of range");
        assert!(range.starts_with("hookbox.toml:3: connections: 0"), "{range}");
        let listen = parse("listen = [\"localhost\"]").expect_err("not an address");
        assert!(listen.contains("127.0.0.1:8420"), "{listen}");
        assert!(parse("listen = [\"tls://127.0.0.1:1\"]").expect_err("no certificate").contains("[tls]"));
        assert!(parse("listen = [\"proxy://127.0.0.1:1\"]").expect_err("no proxies").contains("trusted_proxies"));
        assert!(parse("listen = [\"ftp://127.0.0.1:1\"]").expect_err("no such scheme").contains("tls://"));
        assert!(parse("[tls]\ncert = \"/c\"").expect_err("half").starts_with("hookbox.toml:2: cert"));
        let proxies = parse("[ingress]\ntrusted_proxies = [\"everybody\"]").expect_err("not a network");
        assert!(proxies.starts_with("hookbox.toml:2: trusted_proxies: 'everybody'"), "{proxies}");
        let quota = parse("[log]\nquota = \"1MiB\"\n").expect_err("too small");
        assert!(quota.starts_with("hookbox.toml:2: quota: 1048576 bytes is out of range"), "{quota}");
        let reserve = parse("[log]\nquota = \"16MiB\"\nreserve = \"9MiB\"\n").expect_err("too much of it");
        assert!(reserve.starts_with("hookbox.toml:3: reserve: "), "{reserve}");
        assert!(parse("[retention]\ndelivered_events = 0\n").expect_err("none").contains("use 1 to"));
        assert!(parse("[limits]\nhead_timeout = \"soon\"").expect_err("no duration").contains("15s"));
        let nul = parse("data = \"\\u0000\"\n").expect_err("no path");
        assert!(nul.starts_with("hookbox.toml:1: data: has a NUL"), "{nul}");
        let allow = parse("[exec]\nallow = [\"mail\"]").expect_err("no path");
        assert!(allow.starts_with("hookbox.toml:2: allow: 'mail'"), "{allow}");
        assert!(parse("[exec]\nallow = [\"/a/../b\"]").is_err() && parse("[exec]\nallow = [\"/a/*x\"]").is_err());
        assert!(parse("[exec]\nallow = [\"/a/*\", \"/b/c\"]").is_ok());
        assert!(parse("data = ").is_err() && parse("\u{0}").is_err());
    }
}
