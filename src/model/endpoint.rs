//! An endpoint: a named outbound destination.
//!
//! Where it leads stands in its URL, which is read into a [`Target`](super::Target).

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::time::format_duration_ms;
use super::{EndpointId, REDACTED, Secret, TargetUrl, TimedSecret, WallMs, is_secret_name};

/// When a failed delivery is tried again: `base · factor^n` up to `max`, each delay spread by
/// ±`jitter`, until `max_age` has passed since the delivery was made.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub base_ms: u64,
    pub factor: f64,
    pub max_ms: u64,
    /// 0 to 1: a share of the delay, drawn evenly from both sides of it.
    pub jitter: f64,
    pub max_age_ms: u64,
    /// No limit when `None`.
    pub max_attempts: Option<u32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base_ms: 1000,
            factor: 2.0,
            max_ms: 3_600_000,
            jitter: 0.2,
            max_age_ms: 3 * 86_400_000,
            max_attempts: None,
        }
    }
}

impl RetryPolicy {
    /// Checks the two delays against each other.
    ///
    /// # Errors
    /// What is wrong with the longest one.
    pub fn check_delays(&self) -> Result<(), String> {
        if self.max_ms >= self.base_ms {
            return Ok(());
        }
        let (base, max) = (format_duration_ms(self.base_ms), format_duration_ms(self.max_ms));
        Err(format!(
            "is less than retry_base ({max} < {base}): the longest delay is at least the first"
        ))
    }
}

/// At most `count` attempts in `per_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub count: u32,
    pub per_ms: u64,
}

impl std::fmt::Display for Rate {
    /// As [`Rate::from_str`](std::str::FromStr::from_str) reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.per_ms {
            60_000 => "m",
            3_600_000 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl std::str::FromStr for Rate {
    type Err = String;

    /// Reads `10/s`, `100/m` or `1000/h`; a number alone is by the second.
    fn from_str(text: &str) -> Result<Self, String> {
        let (count, per) = text.split_once('/').unwrap_or((text, "s"));
        let count = count.trim().parse::<u32>().ok().filter(|n| *n > 0);
        let per_ms = match per.trim() {
            "s" => Some(1000),
            "m" | "min" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        match (count, per_ms) {
            (Some(count), Some(per_ms)) => Ok(Self { count, per_ms }),
            _ => Err("must be a rate such as \"10/s\", \"100/m\" or \"1000/h\"".to_owned()),
        }
    }
}

/// Whether an endpoint's deliveries wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Order {
    /// They do not
    #[default]
    None,
    /// Each delivery waits until all before it have ended
    Strict,
    /// Each delivery waits until those before it with the same key have ended
    Key,
}

/// What happens to a lane whose head fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadOfLine {
    /// The others wait until it is delivered or given up by the retry policy.
    #[default]
    Block,
    /// It is given up after so many attempts, and the lane goes on.
    Skip { after: u32 },
    /// The lane is parked after so many attempts, until the operator retries or cancels its head.
    Park { after: u32 },
}

/// Several deliveries in one request. A batch closes by number, by bytes or by the age of its
/// oldest event.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub max_events: u32,
    /// Of the events' bodies.
    pub max_bytes: u64,
    pub max_wait_ms: u64,
    pub format: BatchFormat,
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum BatchFormat {
    /// A JSON array
    #[default]
    Json,
    /// One JSON object a line
    Ndjson,
    /// The JSON batch format of CloudEvents 1.0, application/cloudevents-batch+json
    Cloudevents,
}

/// How a backlog is worked off after the link or the receiver was away.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    pub mode: CatchUpMode,
    /// Attempts while catching up; no limit beyond the endpoint's own when `None`.
    pub rate: Option<Rate>,
    /// What `Latest` keeps the latest of: a JSON Pointer into the body.
    pub key: Option<String>,
}

/// In which order a backlog is worked off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum CatchUpMode {
    /// The oldest events first
    #[default]
    Oldest,
    /// The newest events first
    Newest,
    /// Only the latest event of each key; older ones are cancelled as superseded
    Latest,
}

/// What is sent instead of the event's own request: templates over `{id, type, source, received_at,
/// headers, body}`.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTemplate {
    /// The request's method; POST when `None`.
    pub method: Option<String>,
    /// Put behind the URL's path.
    pub path: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub content_type: Option<String>,
}

impl RequestTemplate {
    /// The headers' templates for people: `Name: template`, without what stands in them as a
    /// secret.
    pub fn redacted_headers(&self) -> impl Iterator<Item = String> {
        self.headers.iter().map(|(name, template)| {
            let hidden = is_secret_name(name) && !names_its_secret(template);
            format!("{name}: {}", if hidden { REDACTED } else { template })
        })
    }

    /// Whether the event goes out as it came.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the template has nothing secret in it but the name of a secret: one that is looked up,
/// and the word before it.
fn names_its_secret(template: &str) -> bool {
    let Some((before, rest)) = template.split_once("{{") else { return false };
    let Some((tag, after)) = rest.split_once("}}") else { return false };
    let is_scheme = matches!(
        before.trim().to_ascii_lowercase().as_str(),
        "" | "bearer" | "basic" | "token" | "apikey"
    );
    let call: String = tag.chars().filter(|c| !c.is_whitespace()).collect();
    let is_call = call.strip_prefix("secret('").is_some_and(|name| name.ends_with("')"))
        || call.strip_prefix("secret(\"").is_some_and(|name| name.ends_with("\")"));
    is_scheme && is_call && call.matches(['\'', '"']).count() == 2 && after.trim().is_empty()
}

/// Over which way an endpoint is reached.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectSettings {
    /// `http://[user:password@]host:port`, or `none` to go around the daemon's own.
    pub proxy: Option<Secret>,
    /// The local address to connect from.
    #[serde(with = "address_text")]
    pub bind: Option<IpAddr>,
    /// A certificate and key in PEM form that the receiver asks for.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// Certificates in PEM form that are trusted for this endpoint instead of the system's.
    pub ca: Option<PathBuf>,
    /// The keys of which the receiver has one, whatever its certificate says else: the SHA-256 of
    /// the key (its SubjectPublicKeyInfo) in base64.
    #[serde(default)]
    pub pins: Vec<String>,
}

/// An address as text: what the library makes of addresses takes fifty kilobytes of program.
mod address_text {
    use std::net::IpAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        address: &Option<IpAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        address.map(|address| address.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IpAddr>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

impl ConnectSettings {
    /// The proxy for people: without its password.
    #[must_use]
    pub fn redacted_proxy(&self) -> Option<String> {
        let proxy = &self.proxy.as_ref()?.0;
        let shown = match proxy.rsplit_once('@') {
            // Without a host there is no telling where a password ends.
            None if proxy.contains("://") && proxy.matches(':').count() > 2 => REDACTED.to_owned(),
            None => proxy.clone(),
            Some((before, host)) => {
                let (scheme, user) = before.split_once("://").unwrap_or(("http", before));
                let user = user.split_once(':').map_or(REDACTED, |(user, _)| user);
                format!("{scheme}://{user}:{REDACTED}@{host}")
            }
        };
        Some(shown)
    }
}

/// How an `exec:` endpoint runs its command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSettings {
    pub args: Vec<String>,
    /// The user it runs as; the daemon's own when `None`.
    pub user: Option<String>,
}

/// How a `pull:` endpoint lends deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullSettings {
    pub lease_ms: u64,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self { lease_ms: super::limits::DEFAULT_LEASE_MS }
    }
}

/// A named outbound destination, with its filter, signing, retry policy and limits.
///
/// Positional in the log: new fields come last, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    /// As a source's name.
    pub name: String,
    pub url: TargetUrl,
    /// Names of sources; all when empty.
    pub from: Vec<String>,
    /// Globs over the event type (`*` any run of characters, `?` one); all when empty.
    pub types: Vec<String>,
    /// An RFC 9535 filter expression over `{type, source, headers, query, body}`.
    pub filter: Option<String>,
    /// Standard Webhooks secrets, the newest first; all that are live sign.
    pub secrets: Vec<TimedSecret>,
    pub retry: RetryPolicy,
    /// One deadline over resolve, connect, headers and body.
    pub timeout_ms: u64,
    /// Attempts in flight at a time.
    pub concurrency: u32,
    pub rate: Option<Rate>,
    pub order: Order,
    pub allow_private: bool,
    /// Whether the sender's own headers go along; `None`: only for events from provider presets.
    pub forward_headers: Option<bool>,
    pub created_at: WallMs,
    /// JSON Pointer (RFC 6901) into the body, for [`Order::Key`]: events with the same value there
    /// are one lane; those without it are a lane, too.
    #[serde(default)]
    pub order_key: Option<String>,
    #[serde(default)]
    pub head_of_line: HeadOfLine,
    #[serde(default)]
    pub batch: Option<Batch>,
    /// Attempts that `rate` allows at once after a pause; 1 when `None`.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Nothing but failure for so long puts it on hold.
    #[serde(default = "default_hold_after")]
    pub hold_after_ms: u64,
    #[serde(default)]
    pub catch_up: CatchUp,
    #[serde(default, rename = "shape")]
    pub template: RequestTemplate,
    #[serde(default)]
    pub via: ConnectSettings,
    #[serde(default)]
    pub exec: ExecSettings,
    #[serde(default)]
    pub pull: PullSettings,
    /// Whether the query that an event came with goes along; `None`: only for events from provider
    /// presets.
    #[serde(default)]
    pub forward_query: Option<bool>,
    /// The set of files that it was applied from, under the name that the operator gave the set.
    #[serde(default)]
    pub applied_set: Option<String>,
    /// The operator is notified when the oldest delivery that waits is older than this.
    #[serde(default)]
    pub warn_after_ms: Option<u64>,
}

fn default_hold_after() -> u64 {
    super::limits::DEFAULT_HOLD_AFTER_MS
}

impl Endpoint {
    /// Whether consumers lease its deliveries, instead of attempts going out.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.url.is_leased()
    }

    /// Whether its requests are signed, so that they need a clock that is right.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.url.signs()
    }

    /// Whether several events may go out in one request.
    #[must_use]
    pub fn batches(&self) -> bool {
        self.url.batches()
    }

    /// An endpoint with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<TargetUrl>) -> Self {
        Self {
            id: 0,
            name: name.into(),
            url: url.into(),
            created_at: 0,

            from: Vec::new(),
            types: Vec::new(),
            filter: None,
            secrets: Vec::new(),
            retry: RetryPolicy::default(),
            timeout_ms: super::limits::DEFAULT_TIMEOUT_MS,
            concurrency: super::limits::DEFAULT_CONCURRENCY,
            rate: None,
            order: Order::None,
            allow_private: false,
            forward_headers: None,
            forward_query: None,

            order_key: None,
            head_of_line: HeadOfLine::Block,
            batch: None,
            burst: None,
            hold_after_ms: default_hold_after(),
            catch_up: CatchUp::default(),
            template: RequestTemplate::default(),
            via: ConnectSettings::default(),
            exec: ExecSettings::default(),
            pull: PullSettings::default(),
            applied_set: None,
            warn_after_ms: None,
        }
    }
}
