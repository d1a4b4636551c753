//! `[metrics]`: where Prometheus may read how the daemon is.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where `/metrics` is served and nothing else; nowhere when `None`. The names of sources and
    /// endpoints are on that page, so that it belongs on the loopback.
    pub listen: Option<SocketAddr>,
}
