//! The settings of the daemon for attempts: those of its start, and those that can change while it
//! runs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::share::{Share, ShareHolder};

use super::resolve::Resolve;

/// How [`Outbound`](super::Outbound) is set up.
pub struct OutboundSettings {
    /// Certificates in PEM form that are trusted beside the system's roots.
    pub extra_ca: Option<PathBuf>,
    pub user_agent: String,
    pub resolver: Arc<dyn Resolve>,
    /// Finds the value of a secret that is only named (`env:NAME`).
    pub lookup: Option<SecretLookup>,
    pub policy: OutboundPolicy,
    /// Fills the ids of spans.
    pub random: FillRandom,
    /// Notes everybody that has its share of something, and waits for more.
    pub note_share: NoteShare,
    /// Marks the commands of this daemon: what names its data folder among all of this machine, and
    /// this daemon among all that have served it.
    pub command_marks: (String, String),
}

/// Fills a buffer with random bytes.
pub type FillRandom = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Notes that somebody has its share of something.
pub type NoteShare = Arc<dyn Fn(Share, ShareHolder) + Send + Sync>;

/// Finds the value of `env:NAME`, `cred:NAME` or `file:/path`; `Ok(None)` when the text is the
/// secret itself.
pub type SecretLookup = Arc<dyn Fn(&str) -> Result<Option<String>, String> + Send + Sync>;

/// The rules of the machine's operator for attempts, in `hookbox.toml`. They can be changed by a
/// reload.
#[derive(Clone, Debug, Default)]
pub struct OutboundPolicy {
    /// `http://[user:password@]host:port`, for endpoints that have no setting of their own.
    pub proxy: Option<String>,
    /// Receivers that are reached without that proxy.
    pub no_proxy: Vec<String>,
    /// Commands that `exec:` endpoints may run.
    pub exec_allow: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("outbound.extra_ca: {} cannot be used: {why}", path.display())]
    ExtraCa { path: PathBuf, why: String },
    #[error("'{0}' cannot be a User-Agent: use printable ASCII")]
    UserAgent(String),
    /// Begins with the key.
    #[error("{0}")]
    Proxy(String),
}
