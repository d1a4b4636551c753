//! An endpoint: a named way out.
//!
//! Where it leads stands in its URL: `http://…` and `https://…`, `unix:/run/app.sock:/path`, `exec:/path/to/command`, or
//! `pull:` (consumers come and lease its deliveries).

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{EndpointId, Secret, TimedSecret, WallMs, says_secret};

/// When a failed delivery is tried again: `base · factor^n` up to `max`, each delay spread by ±`jitter`, until
/// `max_age` has passed since the delivery was made.
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

/// At most `count` attempts in `per_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub count: u32,
    pub per_ms: u64,
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
            _ => Err("is a rate such as \"10/s\", \"100/m\" or \"1000/h\"".to_owned()),
        }
    }
}

/// Whether an endpoint's deliveries wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    None,
    /// One lane: each delivery waits for all before it to end.
    Strict,
    /// A lane for each key, see [`Endpoint::order_key`].
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

/// Several deliveries in one request. A batch closes by number, by bytes or by the age of its oldest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub max_events: u32,
    /// Of the events' bodies.
    pub max_bytes: u64,
    pub max_wait_ms: u64,
    pub format: BatchFormat,
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchFormat {
    /// A JSON array.
    #[default]
    Json,
    /// One JSON object a line.
    Ndjson,
    /// CloudEvents 1.0 JSON batch (`application/cloudevents-batch+json`).
    Cloudevents,
}

/// How a backlog is worked off after the link or the receiver was away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    pub mode: CatchUpMode,
    /// Attempts while catching up; no limit beyond the endpoint's own when `None`.
    pub rate: Option<Rate>,
    /// What `Latest` keeps the latest of: a JSON Pointer into the body.
    pub key: Option<String>,
}

/// In which order a backlog is worked off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUpMode {
    #[default]
    Oldest,
    Newest,
    /// Only the latest event of each key; the older ones end as superseded.
    Latest,
}

/// What is sent instead of the event's own request: templates over `{id, type, source, received_at, headers, body}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The request's method; POST when `None`.
    pub method: Option<String>,
    /// Put behind the URL's path.
    pub path: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub content_type: Option<String>,
}

impl Shape {
    /// The headers' templates for people: `Name: template`, without what stands in them as a secret.
    pub fn shown_headers(&self) -> impl Iterator<Item = String> {
        self.headers.iter().map(|(name, template)| {
            let hidden = says_secret(&name.to_ascii_lowercase()) && !template.contains("secret(");
            format!("{name}: {}", if hidden { "…" } else { template })
        })
    }

    /// Whether the event goes out as it came.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Over which way an endpoint is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
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
}

/// An address as text: what the library makes of addresses takes fifty kilobytes of program.
mod address_text {
    use std::net::IpAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(address: &Option<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        address.map(|address| address.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

impl Via {
    /// The proxy for people: without its password.
    #[must_use]
    pub fn shown_proxy(&self) -> Option<String> {
        let proxy = &self.proxy.as_ref()?.0;
        let shown = match proxy.rsplit_once('@') {
            None => proxy.clone(),
            Some((before, host)) => {
                let (scheme, user) = before.split_once("://").unwrap_or(("http", before));
                format!("{scheme}://{}:…@{host}", user.split(':').next().unwrap_or_default())
            }
        };
        Some(shown)
    }
}

/// How an `exec:` endpoint runs its command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub args: Vec<String>,
    /// The user it runs as; the daemon's own when `None`.
    pub user: Option<String>,
}

/// How a `pull:` endpoint lends deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    pub lease_ms: u64,
}

impl Default for Pull {
    fn default() -> Self {
        Self { lease_ms: super::limits::DEFAULT_LEASE_MS }
    }
}

/// A named way out, with filter, signing, retry policy and limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    /// As a source's name.
    pub name: String,
    /// `http://…`, `https://…`, or `unix:/run/app.sock:/path`.
    pub url: String,
    /// Names of sources; all when empty.
    pub from: Vec<String>,
    /// Globs over the event type (`*` any run of characters, `?` one); all when empty.
    pub types: Vec<String>,
    /// An RFC 9535 filter expression over `{type, source, headers, body}`.
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
    /// JSON Pointer (RFC 6901) into the body, for [`Order::Key`]: events with the same value there are one lane; those
    /// without it are a lane, too.
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
    #[serde(default)]
    pub shape: Shape,
    #[serde(default)]
    pub via: Via,
    #[serde(default)]
    pub exec: Exec,
    #[serde(default)]
    pub pull: Pull,
}

fn default_hold_after() -> u64 {
    super::limits::DEFAULT_HOLD_AFTER_MS
}

impl Endpoint {
    /// Whether consumers come for its deliveries, instead of attempts going out.
    #[must_use]
    pub fn is_pull(&self) -> bool {
        self.url.starts_with("pull:")
    }

    /// Whether a command takes its deliveries.
    #[must_use]
    pub fn is_exec(&self) -> bool {
        self.url.starts_with("exec:")
    }

    /// An endpoint with every setting at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            id: 0,
            name: name.into(),
            url: url.into(),
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
            created_at: 0,
            order_key: None,
            head_of_line: HeadOfLine::Block,
            batch: None,
            burst: None,
            hold_after_ms: default_hold_after(),
            catch_up: CatchUp::default(),
            shape: Shape::default(),
            via: Via::default(),
            exec: Exec::default(),
            pull: Pull::default(),
        }
    }
}
